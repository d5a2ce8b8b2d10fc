//! What a broker tells, as documents for other programs: versioned, and with times in milliseconds since the Unix epoch.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::ids::{JobType, WorkerId};

use crate::broker::{Counts, Explanation, Status};
use crate::capabilities::{Capabilities, ClassId};
use crate::event::{EventId, Happened, News};
use crate::ids::{CustomerId, JobId, LimitKey};
use crate::life::{Death, Millis, State, ms};
use crate::limit::Held;
use crate::list::Summary;
use crate::signature::{Signature, SignatureId};

/// The version of these documents. It grows when a field changes its meaning or goes; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

/// A job without its document and result: a row of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Its id.
    pub id: JobId,
    /// The service that it is for.
    pub service: JobType,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// The key whose limit it is under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<LimitKey>,
    /// What it is matched by.
    pub signature: SignatureId,
    /// Where it is.
    #[serde(flatten)]
    pub state: StateDocument,
    /// How often it has failed.
    pub attempts: u32,
    /// How often it may.
    pub max_attempts: u32,
    /// How often its worker was lost.
    pub crashes: u32,
    /// When it was submitted.
    pub submitted_at_ms: Millis,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at_ms: Option<Millis>,
    /// The message of its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of a job: the field `state`, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StateDocument {
    /// Waits for a time.
    Delayed {
        /// When it will wait for a worker.
        due_at_ms: Millis,
    },
    /// Waits for a worker.
    Waiting,
    /// A worker has it.
    Running {
        /// Who.
        worker: WorkerId,
        /// Without renewal the worker has lost it then.
        lease_until_ms: Millis,
        /// When the attempt has taken too long.
        deadline_ms: Millis,
        /// It was asked to stop.
        cancel_asked: bool,
    },
    /// Done.
    Succeeded,
    /// Stopped because someone asked.
    Cancelled,
    /// Given up.
    Dead {
        /// The kind, by which it can be replayed.
        death: Death,
    },
}

impl From<&State> for StateDocument {
    fn from(state: &State) -> Self {
        match state {
            State::Delayed { due } => Self::Delayed { due_at_ms: *due },
            State::Waiting => Self::Waiting,
            State::Running { worker, until, deadline, cancel } => Self::Running {
                worker: worker.clone(),
                lease_until_ms: *until,
                deadline_ms: *deadline,
                cancel_asked: *cancel,
            },
            State::Succeeded => Self::Succeeded,
            State::Cancelled => Self::Cancelled,
            State::Dead(reason) => Self::Dead { death: reason.kind },
        }
    }
}

impl From<&Summary> for SummaryDocument {
    fn from(it: &Summary) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            id: it.id.clone(),
            service: it.signature.service.clone(),
            customer: it.signature.customer.clone(),
            limit_key: it.limit_key.clone(),
            signature: it.signature.id(),
            state: (&it.life.state).into(),
            attempts: it.life.attempts,
            max_attempts: it.max_attempts,
            crashes: it.life.crashes,
            submitted_at_ms: it.submitted,
            finished_at_ms: it.finished,
            error: it.error.clone(),
        }
    }
}

/// A job with its document and result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    /// Where it is.
    #[serde(flatten)]
    pub summary: SummaryDocument,
    /// As it was submitted.
    pub job: Value,
    /// What its worker made, if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

impl From<&Status> for StatusDocument {
    fn from(it: &Status) -> Self {
        Self {
            summary: (&Summary::from(it)).into(),
            // Its keys are texts and its numbers finite, so it cannot fail to be JSON.
            job: serde_json::to_value(&it.job).unwrap_or_default(),
            result: it.result.clone(),
        }
    }
}

/// One event of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HappenedDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whose.
    pub job: JobId,
    /// Its place, from which a watch can go on.
    pub id: EventId,
    /// When.
    pub at_ms: Millis,
    /// The field `event`, and what goes with it.
    #[serde(flatten)]
    pub news: News,
}

impl HappenedDocument {
    /// An event of the job `job`.
    pub fn of(job: &JobId, it: &Happened) -> Self {
        let (id, news) = (it.id.clone(), it.news.clone());
        Self { schema_version: SCHEMA_VERSION, job: job.clone(), id, at_ms: it.at, news }
    }
}

/// How many jobs are where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The numbers.
    #[serde(flatten)]
    pub counts: Counts,
}

impl From<Counts> for CountsDocument {
    fn from(counts: Counts) -> Self {
        Self { schema_version: SCHEMA_VERSION, counts }
    }
}

/// Why a job is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplanationDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where it is.
    pub status: StatusDocument,
    /// What takes part in matching.
    pub signature: Signature,
    /// No job of this queue is claimed.
    pub paused: bool,
    /// The limit that holds it, if it waits for that now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldDocument>,
    /// The live worker classes.
    pub classes: Vec<ClassDocument>,
}

/// The limit that holds a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDocument {
    /// The job's key.
    pub limit_key: LimitKey,
    /// How many jobs of the key run.
    pub running: u64,
    /// How many may, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// How many may start in `rate_per_ms`, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_jobs: Option<NonZeroU32>,
    /// In how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_ms: Option<Millis>,
    /// When the rate allows the next, if it is the rate that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<Millis>,
}

impl From<&Held> for HeldDocument {
    fn from(it: &Held) -> Self {
        Self {
            limit_key: it.key.clone(),
            running: it.running,
            concurrency: it.limit.concurrency,
            rate_jobs: it.limit.rate.map(|it| it.jobs),
            rate_per_ms: it.limit.rate.map(|it| ms(it.per)),
            until_ms: it.until,
        }
    }
}

/// A live worker class, and what it lacks for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassDocument {
    /// The class.
    pub class: ClassId,
    /// What it has.
    pub has: Capabilities,
    /// What it lacks, in words; nothing if it can run the job.
    pub unmet: Vec<String>,
}

impl From<&Explanation> for ExplanationDocument {
    fn from(it: &Explanation) -> Self {
        let class = |(has, unmet): &(Capabilities, Vec<_>)| ClassDocument {
            class: has.class(),
            has: has.clone(),
            unmet: unmet.iter().map(ToString::to_string).collect(),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            status: (&it.status).into(),
            signature: it.signature.clone(),
            paused: it.paused,
            held: it.held.as_ref().map(HeldDocument::from),
            classes: it.classes.iter().map(class).collect(),
        }
    }
}
