//! What an audit of a queue finds: whether each job is in exactly one state.

use spec::notes::{Code, Fault};

use crate::codes;
use crate::list::Stage;

/// How much damage is told; what is beyond is only counted.
pub const MAX_DAMAGE: usize = 1_000;

/// What an audit has found so far, or in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Jobs that were looked at, whatever their state.
    pub jobs: u64,
    /// Entries of lines and of the sets of running, delayed and dead jobs that were looked at.
    pub entries: u64,
    /// How much is damaged.
    pub damaged: u64,
    /// What is damaged: the first [`MAX_DAMAGE`] of it.
    pub damage: Vec<Damage>,
}

impl Audit {
    pub(crate) fn found(&mut self, damage: Damage) {
        // The same job is met again in each set that it is in, which may be one more to tell.
        let same = |it: &&mut Damage| match (&**it, &damage) {
            (Damage::Place { id: one, .. }, Damage::Place { id: other, .. }) => one == other,
            (one, other) => one == other,
        };
        if let Some(known) = self.damage.iter_mut().find(same) {
            *known = damage;
            return;
        }
        self.damaged += 1;
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage);
        }
    }
}

/// One thing that is not as it has to be. Keys are named without the queue's prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A job that is in no place, in several, or in one that its record does not name.
    #[error(
        "job `{id}` is {stage} by its record and belongs in {}, but is in {}",
        sets(belongs),
        sets(found)
    )]
    Place {
        /// The job.
        id: String,
        /// Its state, as its record says.
        stage: Stage,
        /// The sets that it has to be in: one; two if it runs under a limit key; none if it is finished.
        belongs: Vec<String>,
        /// The sets that it is in.
        found: Vec<String>,
    },
    /// An entry of a set that is no job.
    #[error("job `{id}` has no document, but is in {}", sets(found))]
    Ghost {
        /// The job.
        id: String,
        /// The sets that it is in.
        found: Vec<String>,
    },
    /// A job that means nothing.
    #[error("job `{id}` has no state or no head that this version knows")]
    Unreadable {
        /// The job.
        id: String,
    },
    /// A date or rank of a job that its record and its set do not agree on.
    #[error("job `{id}` is in `{set}` at {placed}, but its record says {said}")]
    Score {
        /// The job.
        id: String,
        /// The set.
        set: String,
        /// Its score there.
        placed: String,
        /// What the record says.
        said: String,
    },
    /// A record without a document.
    #[error("job `{id}` has a record, but no document")]
    Orphan {
        /// The job.
        id: String,
    },
    /// A job that has ended and will never be forgotten.
    #[error("job `{id}` is {}, but its record does not expire", .stage.word())]
    Endless {
        /// The job.
        id: String,
        /// How it ended.
        stage: Stage,
    },
    /// A job that has not ended and will be forgotten.
    #[error("job `{id}` is {}, but its document expires", .stage.word())]
    Fleeting {
        /// The job.
        id: String,
        /// Its state, as its record says.
        stage: Stage,
    },
    /// The byte count is not the sum of the bytes.
    #[error("unfinished jobs have {counted} bytes, but `m` says {said}")]
    Bytes {
        /// What they have.
        counted: u64,
        /// What `m` says.
        said: i64,
    },
}

fn sets(found: &[String]) -> String {
    match found {
        [] => "none".into(),
        _ => found.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" and "),
    }
}

impl Fault for Damage {
    fn code(&self) -> Code {
        codes::DAMAGE
    }

    fn fix(&self) -> String {
        match self {
            Damage::Place { id, found, .. } if found.is_empty() => {
                format!("Nobody will run it: submit its document, the key `b:{id}`, again under another id.")
            }
            Damage::Place { .. } | Damage::Ghost { .. } => {
                "Find out who wrote to these keys; then remove the entry that is wrong with `ZREM`.".into()
            }
            Damage::Unreadable { .. } => "Let all programs of the queue have one version.".into(),
            Damage::Score { .. } => "Find out who wrote to these keys; the set is what counts.".into(),
            Damage::Orphan { id } => format!("Nothing can run it: remove the field `{id}` of `j` with `HDEL`."),
            Damage::Endless { id, .. } => {
                format!("Give the key `b:{id}` an end with `EXPIRE`, or it stays for ever.")
            }
            Damage::Fleeting { id, .. } => format!("Let the key `b:{id}` stay, with `PERSIST`."),
            Damage::Bytes { .. } => {
                "Correct the field `bytes` of `m` with `HINCRBY` by the difference; the byte budget is held against it."
                    .into()
            }
        }
    }
}
