//! What can go wrong with a call.

use spec::notes::{Code, Fault};

use crate::broker::Submission;
use crate::codes;
use crate::ids::JobId;
use crate::native::AddressFault;
use crate::refusal::Refusal;

/// Why a call was not carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A job is refused. No job of the call was submitted.
    #[error("job `{id}`: {}", refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// Which.
        id: JobId,
        /// Every reason.
        refusals: Vec<Refusal>,
    },
    /// The queue has no room for all jobs of the call. Submitting all again is safe.
    #[error("the queue is full: its unfinished jobs have {used} bytes and {budget} is the budget")]
    Full {
        /// Bytes of all unfinished jobs.
        used: u64,
        /// Bytes that they may have.
        budget: u64,
        /// Those of the call that are in the queue all the same, in their order.
        submitted: Vec<Submission>,
    },
    /// Redis has no memory left, and takes nothing new. Submitting all again is safe.
    #[error("Redis is full: it has used up its `maxmemory`")]
    NoMemory {
        /// Those of the call that are in the queue all the same, in their order.
        submitted: Vec<Submission>,
    },
    /// The address of Redis cannot be used. Every reason.
    #[error("the address of Redis: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Address {
        /// All of them.
        faults: Vec<AddressFault>,
    },
    /// Nobody knows such a job, or no longer.
    #[error("no job is named `{id}`")]
    Unknown {
        /// What was asked for.
        id: JobId,
    },
    /// The wire of this queue has no words for it.
    #[error("{0}")]
    Wire(&'static str),
    /// Redis did not answer, or refused.
    #[error("Redis: {0}")]
    Unreachable(String),
    /// The user of the address may not do this: who, what, and the words of Redis.
    #[error("Redis: {0}")]
    NotAllowed(String),
    /// A key holds what this version does not write.
    #[error("`{key}` holds something that is not of this broker")]
    Foreign {
        /// The key, or the part of an answer.
        key: String,
    },
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Error::Refused { refusals, .. } => refusals.first().map_or(codes::SHAPE, Fault::code),
            Error::Full { .. } | Error::NoMemory { .. } => codes::FULL,
            Error::Address { .. } => codes::ADDRESS,
            Error::Unknown { .. } => codes::UNKNOWN_JOB,
            Error::Wire(_) => codes::WIRE,
            Error::Unreachable(_) => codes::UNREACHABLE,
            Error::NotAllowed(_) => codes::NOT_ALLOWED,
            Error::Foreign { .. } => codes::FOREIGN,
        }
    }

    fn fix(&self) -> String {
        match self {
            Error::Refused { refusals, .. } => refusals.first().map(Fault::fix).unwrap_or_default(),
            Error::Full { .. } => "Submit later, start more workers, or submit with a larger byte budget, \
if Redis has the memory."
                .into(),
            Error::NoMemory { .. } => {
                "Give Redis more memory, or wait until results are forgotten; what runs can still end.".into()
            }
            Error::Address { faults } => faults.first().map(Fault::fix).unwrap_or_default(),
            Error::NotAllowed(_) => {
                "Give the user the rules of its role (docs/broker.md, ACL), or use the address of another user.".into()
            }
            Error::Unknown { .. } => {
                "Check the id and the queue's name; a finished job is forgotten after its `result_ttl_ms`."
                    .into()
            }
            Error::Wire(_) => "Do without it, or use a native queue.".into(),
            Error::Unreachable(_) => "Check the address, its user and password, and that the server runs; \
then try again."
                .into(),
            Error::Foreign { .. } => "Find out who else writes to this queue's keys.".into(),
        }
    }
}
