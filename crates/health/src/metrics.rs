//! Numbers for Prometheus, in its text format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
//!
//! What a snapshot holds is written anew each time; what happens between two snapshots is counted here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::words::words;

mod text;

pub(crate) use text::text;

/// Pairs of connector and GPU that have numbers of their own; those beyond share the connector [`OTHER`].
const MAX_KINDS: usize = 64;
/// What all other connectors are called together.
const OTHER: &str = "other";

/// The upper bounds of what jobs take, in seconds: from an instant to an hour.
const JOB_BOUNDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// The upper bounds of what an answer of Redis takes, in seconds.
const REDIS_BOUNDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0];

words! {
    /// How a job ended for its worker.
    Outcome {
        /// Done.
        Succeeded = "succeeded",
        /// Failed, to be tried again or for good.
        Failed = "failed",
        /// Given back undone.
        HandedBack = "handed_back",
        /// Stopped because somebody asked.
        Stopped = "stopped",
        /// Its lease ran out, or was taken away.
        Lost = "lost",
    }
}

/// A job that has ended for one of this machine's workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended<'a> {
    /// Through which connector.
    pub connector: &'a str,
    /// On which GPU, if on one.
    pub gpu: Option<u32>,
    /// How.
    pub outcome: Outcome,
    /// From when it could be claimed until it was, if that is known.
    pub waited: Option<Duration>,
    /// From its claim to its end.
    pub ran: Duration,
}

/// What is counted between snapshots.
#[derive(Debug, Default)]
pub struct Meters {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    jobs: BTreeMap<(String, Option<u32>), Jobs>,
    redis: Histogram,
    /// Whether the last renewal of the machine's own lease succeeded, and how often one did and did not.
    leases: (u64, u64),
}

#[derive(Clone, Debug, Default)]
struct Jobs {
    outcomes: BTreeMap<Outcome, u64>,
    waited: Histogram,
    ran: Histogram,
}

/// How often something took how long: the count of each bucket alone, not of all below it.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], took: Duration) {
        let took = took.as_secs_f64();
        self.buckets.resize(bounds.len(), 0);
        if let Some(at) = bounds.iter().position(|it| took <= *it) {
            self.buckets[at] += 1;
        }
        self.count += 1;
        self.sum += took;
    }
}

impl Meters {
    /// A job has ended.
    pub fn job(&self, ended: Ended<'_>) {
        let Ended { connector, gpu, outcome, waited, ran } = ended;
        let jobs = &mut self.counted().jobs;
        let mut key = (connector.to_owned(), gpu);
        if jobs.len() >= MAX_KINDS && !jobs.contains_key(&key) {
            key = (OTHER.into(), None);
        }
        let kind = jobs.entry(key).or_default();
        *kind.outcomes.entry(outcome).or_default() += 1;
        if let Some(waited) = waited {
            kind.waited.observe(JOB_BOUNDS, waited);
        }
        kind.ran.observe(JOB_BOUNDS, ran);
    }

    /// Redis has answered.
    pub fn redis(&self, took: Duration) {
        self.counted().redis.observe(REDIS_BOUNDS, took);
    }

    /// The machine's lease was to be renewed, and was or was not.
    pub fn lease(&self, renewed: bool) {
        let leases = &mut self.counted().leases;
        *(if renewed { &mut leases.0 } else { &mut leases.1 }) += 1;
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
