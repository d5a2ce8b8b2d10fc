//! A job's hash, and the job that it means.

use std::collections::HashMap;

use serde_json::Value;

use super::{capabilities, time};
use crate::error::Error;
use crate::ids::JobId;
use crate::job::{Job, MAX_ATTEMPTS, MAX_PRIORITY, Workflow};
use crate::legacy::Settings;
use crate::life::Millis;

/// What the API takes where a client says no priority, or 0.
pub(super) const PRIORITY: i16 = 50;
/// What the API takes where a client says no `max_retries`, or 0.
pub(super) const ATTEMPTS: u32 = 3;

/// `job:{id}` as it is: texts, of which the empty one means absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash(pub HashMap<String, String>);

impl Hash {
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// A number, as JavaScript's `parseInt` and `parseFloat` would have it; `None` for 0 too, which that system takes for
    /// absent.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.parse().ok().filter(|it: &f64| it.is_finite() && *it != 0.0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a count; what is beyond is not met")]
    pub fn whole(&self, field: &str) -> Option<i64> {
        self.number(field).map(|it| it as i64)
    }

    pub fn json(&self, field: &str) -> Option<Value> {
        serde_json::from_str(self.get(field)?).ok()
    }

    pub fn status(&self) -> &str {
        self.get("status").unwrap_or("pending")
    }

    pub fn created(&self) -> Option<Millis> {
        self.get("created_at").and_then(time::read)
    }

    pub fn retries(&self) -> u32 {
        self.whole("retry_count").and_then(|it| u32::try_from(it).ok()).unwrap_or(0)
    }

    /// How often it may run: `max_retries` counts runs.
    pub fn attempts(&self) -> u32 {
        let told = self.whole("max_retries").and_then(|it| u32::try_from(it).ok());
        told.unwrap_or(ATTEMPTS).min(MAX_ATTEMPTS)
    }

    /// Its place in `jobs:pending`, highest first: the formula with which the API submits, also for jobs that return, so that
    /// they keep their place among fresh ones. `P × 10¹⁵ − ⌊T / 1000⌋`, where the workflow's priority and time stand above the
    /// job's own.
    pub fn score(&self, now: Millis) -> f64 {
        let priority = self.number("workflow_priority").or_else(|| self.number("priority"));
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
        let time = |it: Millis| it as f64;
        let at = self.number("workflow_datetime").or_else(|| self.created().map(time));
        score(priority.unwrap_or(PRIORITY.into()), at.unwrap_or(time(now)))
    }

    /// The job that it means, as far as a connector needs it. What our words cannot say of its requirements is left out:
    /// they have been judged.
    pub fn job(&self, id: &str, settings: &Settings) -> Result<Job, String> {
        let id: JobId = id.parse().map_err(|why| format!("its id is none of ours: {why}"))?;
        let service = self.get("service_required").unwrap_or_default();
        let service = service.parse().map_err(|why| format!("`service_required`: {why}"))?;
        let payload = match self.get("payload") {
            None => Value::Object(serde_json::Map::new()),
            Some(text) => {
                serde_json::from_str(text).map_err(|why| format!("`payload` is not JSON: {why}"))?
            }
        };
        let small = |field| self.whole(field).and_then(|it| u32::try_from(it).ok());
        let workflow = self.get("workflow_id").and_then(|it| it.parse().ok());
        let (step, steps) = (small("current_step"), small("total_steps"));
        let priority = self.whole("priority").map_or(PRIORITY, |it| {
            i16::try_from(it.clamp((-MAX_PRIORITY).into(), MAX_PRIORITY.into())).unwrap_or(PRIORITY)
        });
        Ok(Job {
            id,
            requirements: self.get("requirements").and_then(capabilities::read).unwrap_or_default(),
            priority,
            payload,
            customer: self.get("customer_id").and_then(|it| it.parse().ok()),
            // There, a worker that is reserved for a workflow takes all of its jobs.
            workflow: workflow.map(|id| Workflow { id, step, steps, routed: true }),
            max_attempts: self.attempts(),
            timeout: settings.timeout,
            ..Job::new(service)
        })
    }

    /// The same, where what cannot be read is an error.
    pub fn known(&self, id: &JobId, settings: &Settings) -> Result<Job, Error> {
        self.job(id.as_str(), settings).map_err(|_| Error::Foreign { key: format!("job:{id}") })
    }
}

/// See [`Hash::score`].
pub(super) fn score(priority: f64, at: f64) -> f64 {
    priority * 1e15 - (at / 1000.0).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[(&str, &str)]) -> Hash {
        Hash(fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn the_score_is_that_of_the_api() {
        let created = ("created_at", "2025-01-01T00:00:00.000Z");
        // `50 * 1e15 - Math.floor(1735689600000 / 1000)`, evaluated in Node 20: doubles are 8 apart there.
        let plain =
            hash(&[("priority", "50"), created, ("workflow_priority", ""), ("workflow_datetime", "")]);
        assert_eq!(format!("{}", plain.score(0)), "49999998264310400");
        let workflow = hash(&[
            ("priority", "50"),
            created,
            ("workflow_priority", "9"),
            ("workflow_datetime", "1700000000000"),
        ]);
        assert_eq!(format!("{}", workflow.score(0)), "8999998300000000");
        assert_eq!(hash(&[("priority", "0")]).score(0).to_bits(), score(50.0, 0.0).to_bits());
    }

    #[test]
    fn empty_is_absent_and_defaults_are_those_of_the_api() {
        let settings = Settings::new("m".parse().unwrap());
        let job = hash(&[("service_required", "comfyui"), ("payload", ""), ("workflow_id", "")]);
        let job = job.job("step-1", &settings).unwrap();
        assert_eq!((job.priority, job.max_attempts, job.workflow), (50, 3, None));
        assert!(hash(&[("service_required", "comfyui"), ("payload", "{")]).job("a", &settings).is_err());
        assert!(hash(&[("service_required", "comfyui")]).job("a:b", &settings).is_err());
    }
}
