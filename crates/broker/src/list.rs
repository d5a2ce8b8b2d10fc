//! Looking through the jobs of a queue, page by page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::broker::Status;
use crate::ids::{CustomerId, JobId, LimitKey};
use crate::life::{Life, Millis, State};
use crate::signature::{Signature, SignatureId};
use spec::ids::JobType;

/// The most jobs of one page.
pub const MAX_PAGE: usize = 100;

/// The name of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A worker has it.
    Running,
    /// Waits for a worker.
    Waiting,
    /// Waits for a time.
    Delayed,
    /// Given up.
    Dead,
    /// Done.
    Succeeded,
    /// Stopped because someone asked.
    Cancelled,
}

impl Stage {
    /// All, in the order of a list.
    pub const ALL: [Stage; 6] =
        [Self::Running, Self::Waiting, Self::Delayed, Self::Dead, Self::Succeeded, Self::Cancelled];

    /// As it is written: `running`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Dead => "dead",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing more happens. Finished jobs are kept for a while and are in no order: see [`Filter::stage`].
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Cancelled)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl State {
    /// Its name.
    pub fn stage(&self) -> Stage {
        match self {
            State::Running { .. } => Stage::Running,
            State::Waiting => Stage::Waiting,
            State::Delayed { .. } => Stage::Delayed,
            State::Dead(_) => Stage::Dead,
            State::Succeeded => Stage::Succeeded,
            State::Cancelled => Stage::Cancelled,
        }
    }
}

/// Which jobs to list: those of which everything said here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state. `None`: running, waiting, delayed or dead. Finished jobs are listed only if they are asked for:
    /// nothing orders them, so all keys have to be looked through, and a job that is seen twice is listed twice.
    pub stage: Option<Stage>,
    /// For this service.
    pub service: Option<JobType>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this signature.
    pub signature: Option<SignatureId>,
}

impl Filter {
    /// Whether a job with this signature may be listed.
    pub(crate) fn takes(&self, signature: &Signature) -> bool {
        self.service.as_ref().is_none_or(|it| *it == signature.service)
            && self.customer.as_ref().is_none_or(|it| signature.customer.as_ref() == Some(it))
            && self.signature.is_none_or(|it| it == signature.id())
    }

    /// Whether jobs in this state may be listed.
    pub(crate) fn wants(&self, stage: Stage) -> bool {
        self.stage.map_or(!stage.is_finished(), |it| it == stage)
    }
}

/// One job of a list: all but its document and result.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: JobId,
    /// What takes part in matching: its service, requirements, customer.
    pub signature: Signature,
    /// Its state and counters.
    pub life: Life,
    /// The key whose limit it is under.
    pub limit_key: Option<LimitKey>,
    /// How often it may fail.
    pub max_attempts: u32,
    /// When it was submitted.
    pub submitted: Millis,
    /// When it ended, if it did.
    pub finished: Option<Millis>,
    /// The message of its last failure.
    pub error: Option<String>,
    /// When this was looked up, by the queue's clock.
    pub now: Millis,
}

impl From<&Status> for Summary {
    fn from(it: &Status) -> Self {
        Self {
            id: it.job.id.clone(),
            signature: it.job.signature(),
            life: it.life.clone(),
            limit_key: it.job.limit_key.clone(),
            max_attempts: it.job.max_attempts,
            submitted: it.submitted,
            finished: it.finished,
            error: it.error.clone(),
            now: it.now,
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Running jobs first, by the end of their lease; then waiting ones, each line best first, and behind them those with a
    /// limit key, each group best first; delayed ones, the next first; dead ones of each kind, the oldest first. Fewer than
    /// were asked for if many had to be looked at, even none.
    pub jobs: Vec<Summary>,
    /// Where the next page begins; `None` behind the last. A job that stays where it is is on one page exactly.
    pub next: Option<Cursor>,
}

/// A place in a list: behind this job of this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which order: the position in the implementation's own list of them.
    pub(crate) order: u8,
    /// Which line of the order, if it has several: a number that the implementation gives it.
    pub(crate) line: u64,
    /// Which part of the line, if it has several: names, divided by spaces.
    pub(crate) part: String,
    /// The score of the job, as the implementation writes it.
    pub(crate) score: String,
    /// The job; empty in front of the first.
    pub(crate) id: String,
}

impl Cursor {
    /// In front of everything.
    pub(crate) fn start() -> Self {
        Self::of(0, 0)
    }

    /// In front of the first job of a line.
    pub(crate) fn of(order: u8, line: u64) -> Self {
        Self { order, line, part: String::new(), score: String::new(), id: String::new() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}:{}", self.order, self.line, self.part, self.score, self.id)
    }
}

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not what a list gave as the place of its next page")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let mut parts = text.split(':');
        let [Some(order), Some(line), Some(part), Some(score), Some(id), None] =
            [(); 6].map(|()| parts.next())
        else {
            return Err(NotACursor);
        };
        let named = |it: &str| it.is_empty() || it.parse::<LimitKey>().is_ok();
        if !(part.split(' ').all(named) && (score.is_empty() || score.parse::<f64>().is_ok()) && named(id)) {
            return Err(NotACursor);
        }
        let (Ok(order), Ok(line)) = (order.parse(), line.parse()) else { return Err(NotACursor) };
        Ok(Self { order, line, part: part.into(), score: score.into(), id: id.into() })
    }
}
