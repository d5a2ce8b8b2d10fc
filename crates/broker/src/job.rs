//! Jobs as people submit them: a builder for programs, a document for everyone else, one door for both.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use spec::ids::JobType;

use crate::ids::{CustomerId, IdempotencyKey, JobId, LimitKey, WorkflowId};
use crate::refusal::{Object, Refusal, Refusals, Why};
use crate::requirements::Requirements;
use crate::signature::Signature;

/// The version of the job document that this crate writes.
pub const VERSION: i64 = 1;
/// Priorities are within ± this.
pub const MAX_PRIORITY: i16 = 1_000;
/// Failed attempts are at most so many.
pub const MAX_ATTEMPTS: u32 = 100;
/// No time of a job is longer: 365 days.
pub const MAX_TIME: Duration = Duration::from_hours(365 * 24);
/// The largest payload, in bytes of JSON. Larger data belongs elsewhere, and its address into the payload.
pub const MAX_PAYLOAD: usize = 256 * 1024;
/// How deep lists and objects of a payload may be in each other. Parsers of JSON stop at 128.
pub const MAX_NESTING: usize = 64;

/// What a job has that does not say otherwise.
const ATTEMPTS: u32 = 3;
const TIMEOUT: Duration = Duration::from_hours(1);
const RESULT_TTL: Duration = Duration::from_hours(24);

/// The workflow that a job is a step of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// Which.
    pub id: WorkflowId,
    /// Which step of it, from 1.
    pub step: Option<u32>,
    /// How many steps it has.
    pub steps: Option<u32>,
    /// Whether its id takes part in matching, so that a worker which is reserved for this workflow takes the job. Each
    /// routed workflow is a signature of its own; others cost nothing.
    pub routed: bool,
}

/// A job to be submitted. [`Job::new`] sets the defaults; every field can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id; a fresh one by default.
    pub id: JobId,
    /// The service that it is for.
    pub service_required: JobType,
    /// What its worker has to have; nothing more by default.
    pub requirements: Requirements,
    /// Higher goes first; 0 by default, within ± [`MAX_PRIORITY`]. One point is worth
    /// [`priority_step`](crate::Settings::priority_step) of waiting.
    pub priority: i16,
    /// What its connector is given. Never looked into.
    pub payload: Value,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// The workflow that it is a step of. Its priority is this job's priority.
    pub workflow: Option<Workflow>,
    /// How often it may fail before it is dead; 3 by default. Crashes of workers are counted apart.
    pub max_attempts: u32,
    /// How long one attempt may take; 1 h by default.
    pub timeout: Duration,
    /// It waits at least so long.
    pub delay: Duration,
    /// It counts against the limit of this key, if there is one.
    pub limit_key: Option<LimitKey>,
    /// Another job with this key is this job.
    pub idempotency_key: Option<IdempotencyKey>,
    /// How long its result is kept; 1 day by default.
    pub result_ttl: Duration,
}

impl Job {
    /// A job for a service, with a fresh id.
    pub fn new(service_required: JobType) -> Self {
        Self {
            id: JobId::fresh(),
            service_required,
            requirements: Requirements::none(),
            priority: 0,
            payload: Value::Object(serde_json::Map::new()),
            customer: None,
            workflow: None,
            max_attempts: ATTEMPTS,
            timeout: TIMEOUT,
            delay: Duration::ZERO,
            limit_key: None,
            idempotency_key: None,
            result_ttl: RESULT_TTL,
        }
    }

    /// With this id.
    #[must_use]
    pub fn id(self, id: JobId) -> Self {
        Self { id, ..self }
    }
    /// With these requirements.
    #[must_use]
    pub fn requirements(self, requirements: Requirements) -> Self {
        Self { requirements, ..self }
    }
    /// With this priority.
    #[must_use]
    pub fn priority(self, priority: i16) -> Self {
        Self { priority, ..self }
    }
    /// With this payload.
    #[must_use]
    pub fn payload(self, payload: Value) -> Self {
        Self { payload, ..self }
    }
    /// Of this customer.
    #[must_use]
    pub fn customer(self, customer: CustomerId) -> Self {
        Self { customer: Some(customer), ..self }
    }
    /// As a step of this workflow.
    #[must_use]
    pub fn workflow(self, workflow: Workflow) -> Self {
        Self { workflow: Some(workflow), ..self }
    }
    /// Dead after so many failures.
    #[must_use]
    pub fn max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }
    /// With this time for an attempt.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
    /// Not before so long.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
    /// Under the limit of this key.
    #[must_use]
    pub fn limit_key(self, key: LimitKey) -> Self {
        Self { limit_key: Some(key), ..self }
    }
    /// One with every other job of this key.
    #[must_use]
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }
    /// With a result that is kept so long.
    #[must_use]
    pub fn result_ttl(self, result_ttl: Duration) -> Self {
        Self { result_ttl, ..self }
    }

    /// What decides which workers may run it.
    pub fn signature(&self) -> Signature {
        let routed = self.workflow.as_ref().filter(|it| it.routed);
        Signature {
            service: self.service_required.clone(),
            requirements: self.requirements.clone(),
            customer: self.customer.clone(),
            workflow: routed.map(|it| it.id.clone()),
        }
    }

    /// Reads a document that this crate has written. [`Job::read`] is for those of others.
    pub(crate) fn kept(text: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(text).ok()?;
        let mut refusals = Refusals::default();
        let job = Self::lower(&document, &mut refusals);
        refusals.or(job).and_then(|it| it.weighed(text.len())).ok()
    }

    /// The job, which was read from a text of this length, if it is within its limits.
    pub(crate) fn weighed(self, length: usize) -> Result<Self, Vec<Refusal>> {
        // Written again, a number can be longer, `1e15` most of all: 18 bytes for 4. What is small needs no weighing.
        if length > MAX_PAYLOAD / 8 || levels(&self.payload) > MAX_NESTING {
            self.check()?;
        }
        Ok(self)
    }

    pub(crate) fn lower(document: &Value, refusals: &mut Refusals) -> Option<Self> {
        let object = Object::open(document, "", FIELDS, refusals)?;
        object.whole("version", VERSION, VERSION, refusals);
        if object.get("service_required").is_none() {
            refusals.add("/service_required", Why::Missing);
        }
        let service = object.name("service_required", refusals);
        let most_ms = i64::try_from(MAX_TIME.as_millis()).unwrap_or(i64::MAX);
        let mut ms = |name: &str, least| {
            let ms = object.whole(name, least, most_ms, refusals)?;
            Some(Duration::from_millis(ms.unsigned_abs()))
        };
        let (timeout, delay, result_ttl) = (ms("timeout_ms", 1), ms("delay_ms", 0), ms("result_ttl_ms", 0));
        let most = i64::from(MAX_PRIORITY);
        let priority = object.whole("priority", -most, most, refusals);
        let attempts = object.whole("max_attempts", 1, MAX_ATTEMPTS.into(), refusals);
        let requirements = object.get("requirements");
        let requirements =
            requirements.and_then(|it| Requirements::within(it, &object.at("requirements"), refusals));
        let workflow = object.get("workflow").and_then(|it| workflow(it, refusals));
        let (id, customer) = (object.name("id", refusals), object.name("customer", refusals));
        let (limit_key, idempotency_key) =
            (object.name("limit_key", refusals), object.name("idempotency_key", refusals));
        let job = Self::new(service?);
        Some(Self {
            id: id.unwrap_or(job.id),
            requirements: requirements.unwrap_or(job.requirements),
            priority: priority.and_then(|it| it.try_into().ok()).unwrap_or(job.priority),
            payload: object.get("payload").cloned().unwrap_or(job.payload),
            customer,
            workflow,
            max_attempts: attempts.and_then(|it| it.try_into().ok()).unwrap_or(job.max_attempts),
            timeout: timeout.unwrap_or(job.timeout),
            delay: delay.unwrap_or(job.delay),
            limit_key,
            idempotency_key,
            result_ttl: result_ttl.unwrap_or(job.result_ttl),
            service_required: job.service_required,
        })
    }

    /// What of a job that was built is beyond its limits. [`Job::read`] and every submission ask it.
    pub fn check(&self) -> Result<(), Vec<Refusal>> {
        self.document().map(drop)
    }

    /// Its document, if it is within its limits.
    pub(crate) fn document(&self) -> Result<String, Vec<Refusal>> {
        let mut refusals = Refusals::default();
        let levels = levels(&self.payload);
        if levels > MAX_NESTING {
            refusals.add("/payload", Why::Limit { found: levels, of: "levels", limit: MAX_NESTING });
            return refusals.or(None);
        }
        // Keys that are texts and numbers that are finite: nothing of it can fail to be JSON.
        let document = serde_json::to_string(self).unwrap_or_default();
        if document.len() > MAX_PAYLOAD {
            let bytes = serde_json::to_string(&self.payload).map_or(0, |it| it.len());
            if bytes > MAX_PAYLOAD {
                refusals.add("/payload", Why::Limit { found: bytes, of: "bytes", limit: MAX_PAYLOAD });
            }
        }
        let mut within = |at: &str, found: i64, least: i64, most: i64| {
            if !(least..=most).contains(&found) {
                refusals.add(at, Why::Range { found: found.into(), least, most });
            }
        };
        let ms = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        within("/priority", self.priority.into(), -i64::from(MAX_PRIORITY), MAX_PRIORITY.into());
        within("/max_attempts", self.max_attempts.into(), 1, MAX_ATTEMPTS.into());
        within("/timeout_ms", ms(self.timeout), 1, ms(MAX_TIME));
        within("/delay_ms", ms(self.delay), 0, ms(MAX_TIME));
        within("/result_ttl_ms", ms(self.result_ttl), 0, ms(MAX_TIME));
        refusals.or(Some(document))
    }
}

const FIELDS: &[&str] = &[
    "version",
    "id",
    "service_required",
    "requirements",
    "priority",
    "payload",
    "customer",
    "workflow",
    "max_attempts",
    "timeout_ms",
    "delay_ms",
    "limit_key",
    "idempotency_key",
    "result_ttl_ms",
];

/// How deep a value is; what is deeper than [`MAX_NESTING`] is not followed further.
pub(crate) fn levels(value: &Value) -> usize {
    fn within(value: &Value, left: usize) -> usize {
        fn deepest<'v>(them: impl Iterator<Item = &'v Value>, left: usize) -> usize {
            if left == 0 { 1 } else { 1 + them.map(|it| within(it, left - 1)).max().unwrap_or_default() }
        }
        match value {
            Value::Array(them) => deepest(them.iter(), left),
            Value::Object(them) => deepest(them.values(), left),
            _ => 0,
        }
    }
    within(value, MAX_NESTING)
}

fn workflow(value: &Value, refusals: &mut Refusals) -> Option<Workflow> {
    let object = Object::open(value, "/workflow", &["id", "step", "steps", "routed"], refusals)?;
    if object.get("id").is_none() {
        refusals.add("/workflow/id", Why::Missing);
    }
    let mut number =
        |name: &str| object.whole(name, 1, 1_000_000, refusals).and_then(|it| it.try_into().ok());
    let (step, steps) = (number("step"), number("steps"));
    let routed = object.flag("routed", refusals).unwrap_or_default();
    Some(Workflow { id: object.name("id", refusals)?, step, steps, routed })
}

impl Serialize for Job {
    /// The document; what has its default is left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("service_required", &self.service_required)?;
        if !self.requirements.is_none() {
            map.serialize_entry("requirements", &self.requirements)?;
        }
        if self.priority != 0 {
            map.serialize_entry("priority", &self.priority)?;
        }
        if self.payload.as_object().is_none_or(|it| !it.is_empty()) {
            map.serialize_entry("payload", &self.payload)?;
        }
        if let Some(customer) = &self.customer {
            map.serialize_entry("customer", customer)?;
        }
        if let Some(it) = &self.workflow {
            let mut workflow = serde_json::Map::new();
            workflow.insert("id".into(), it.id.as_str().into());
            workflow.extend(it.step.map(|step| ("step".into(), step.into())));
            workflow.extend(it.steps.map(|steps| ("steps".into(), steps.into())));
            workflow.extend(it.routed.then(|| ("routed".into(), true.into())));
            map.serialize_entry("workflow", &workflow)?;
        }
        if self.max_attempts != ATTEMPTS {
            map.serialize_entry("max_attempts", &self.max_attempts)?;
        }
        let times = [
            ("timeout_ms", self.timeout, TIMEOUT),
            ("delay_ms", self.delay, Duration::ZERO),
            ("result_ttl_ms", self.result_ttl, RESULT_TTL),
        ];
        for (name, value, _) in times.into_iter().filter(|(_, value, default)| value != default) {
            map.serialize_entry(name, &u64::try_from(value.as_millis()).unwrap_or(u64::MAX))?;
        }
        if let Some(key) = &self.limit_key {
            map.serialize_entry("limit_key", key)?;
        }
        if let Some(key) = &self.idempotency_key {
            map.serialize_entry("idempotency_key", key)?;
        }
        map.end()
    }
}
