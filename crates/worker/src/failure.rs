//! Why a job was not done, in three kinds that decide what becomes of it, and the one place that tells them apart.

use std::fmt;
use std::time::Duration;

use crate::connector::Stop;

/// What a failure means for the job and for the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The job would fail everywhere and always: a payload that is refused, content that is refused, a key without
    /// rights, a quota that is used up.
    Permanent,
    /// Another try may succeed: a timeout, a 5xx, a cut connection.
    Retryable,
    /// The service never had the job: it is not there, or not ready. The job goes back without spending an attempt, and
    /// nothing is claimed until the service is well again.
    Service,
    /// The connector stopped because it was asked to, and nothing of the job runs any more.
    Stopped,
}

/// Why a job was not done, in the words of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub kind: Kind,
    /// The service's own words, and what was being done when they were said.
    pub message: String,
    /// The service asks to be left alone for so long. Nothing is claimed for it before.
    pub retry_after: Option<Duration>,
    /// The service is in doubt: nothing is claimed before it was found well.
    pub suspect: bool,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, suspect: kind == Kind::Service }
    }

    /// Would fail again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(Kind::Permanent, message)
    }

    /// May succeed another time.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::new(Kind::Retryable, message)
    }

    /// The service never had the job.
    pub fn service(message: impl Into<String>) -> Self {
        Self::new(Kind::Service, message)
    }

    /// Stopped, as asked.
    pub fn stopped() -> Self {
        Self::new(Kind::Stopped, "stopped as asked")
    }

    /// What this symptom means, with the words of the service.
    pub fn of(symptom: Symptom<'_>, message: impl Into<String>) -> Self {
        let (kind, suspect) = symptom.verdict();
        Self { suspect, ..Self::new(kind, message) }
    }

    /// With a time to leave the service alone.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// After which the service has to be looked at before the next claim.
    #[must_use]
    pub fn suspect(self) -> Self {
        Self { suspect: true, ..self }
    }
}

/// What a connector ends with when it was asked to: `?` after [`Task::unless_stopped`](crate::Task::unless_stopped).
impl From<Stop> for Failure {
    fn from(_: Stop) -> Self {
        Self::stopped()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What was seen of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom<'a> {
    /// An HTTP status that is no success, and the service's own word for the error: `insufficient_quota`.
    Status(u16, Option<&'a str>),
    /// No connection was made: the service has not seen the job.
    NoConnection,
    /// The connection ended in the middle of the job.
    Cut,
    /// No answer in time.
    Timeout,
    /// An answer that is not of the service's protocol.
    Malformed,
    /// The service says that the job failed while it ran.
    Failed,
    /// The service refuses what the job is about.
    Refused,
    /// The payload cannot be done.
    Invalid,
    /// The service has forgotten the job: it was started again.
    Forgotten,
    /// The service ran out of memory.
    OutOfMemory,
}

/// Words of services for a limit that no waiting lifts.
const USED_UP: [&str; 5] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "account_deactivated",
    "payment_required",
];

impl Symptom<'_> {
    /// The kind, and whether the service is in doubt. The whole table; everything else in this crate asks it.
    ///
    /// Statuses as RFC 9110 has them: 408, 409, 421, 423, 425 and 429 speak of the moment, other 4xx of the request;
    /// 501 and 505 of a service that will never do it; a 3xx that was not followed leads where we do not go.
    fn verdict(self) -> (Kind, bool) {
        match self {
            Self::Status(_, Some(word)) if USED_UP.contains(&word) => (Kind::Permanent, false),
            Self::NoConnection => (Kind::Service, true),
            Self::Status(502..=504, _) | Self::Cut | Self::Forgotten | Self::OutOfMemory => {
                (Kind::Retryable, true)
            }
            Self::Status(408 | 409 | 421 | 423 | 425 | 429, _) => (Kind::Retryable, false),
            Self::Status(300..=499 | 501 | 505, _) | Self::Refused | Self::Invalid => {
                (Kind::Permanent, false)
            }
            Self::Status(..) | Self::Timeout | Self::Malformed | Self::Failed => (Kind::Retryable, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symptom_has_one_verdict() {
        use Kind::{Permanent, Retryable, Service};
        use Symptom as S;
        let table = [
            (S::Status(302, None), Permanent, false),
            (S::Status(400, None), Permanent, false),
            (S::Status(401, Some("invalid_api_key")), Permanent, false),
            (S::Status(402, None), Permanent, false),
            (S::Status(403, None), Permanent, false),
            (S::Status(404, Some("model_not_found")), Permanent, false),
            (S::Status(408, None), Retryable, false),
            (S::Status(409, None), Retryable, false),
            (S::Status(413, None), Permanent, false),
            (S::Status(422, None), Permanent, false),
            (S::Status(425, None), Retryable, false),
            (S::Status(429, Some("rate_limit_exceeded")), Retryable, false),
            (S::Status(429, Some("insufficient_quota")), Permanent, false),
            (S::Status(500, None), Retryable, false),
            (S::Status(501, None), Permanent, false),
            (S::Status(502, None), Retryable, true),
            (S::Status(503, Some("billing_not_active")), Permanent, false),
            (S::Status(503, None), Retryable, true),
            (S::Status(504, None), Retryable, true),
            (S::Status(529, None), Retryable, false),
            (S::NoConnection, Service, true),
            (S::Cut, Retryable, true),
            (S::Timeout, Retryable, false),
            (S::Malformed, Retryable, false),
            (S::Failed, Retryable, false),
            (S::Refused, Permanent, false),
            (S::Invalid, Permanent, false),
            (S::Forgotten, Retryable, true),
            (S::OutOfMemory, Retryable, true),
        ];
        for (symptom, kind, suspect) in table {
            let failure = Failure::of(symptom, "words");
            assert_eq!((failure.kind, failure.suspect), (kind, suspect), "{symptom:?}");
        }
    }
}
