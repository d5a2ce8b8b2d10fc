//! What the broker is told of a job.

use broker::Outcome;
use serde_json::Value;

use crate::connector::Stop;
use crate::failure::{Failure, Kind};
use crate::redact::Redactor;

/// What the broker is told of a job that ended like this, having been asked to stop for that reason. Nothing of a job
/// that is somebody else's.
pub(super) fn outcome(
    why: Option<Stop>,
    result: Result<Value, Failure>,
    redactor: &Redactor,
) -> Option<Outcome> {
    let failed = |retryable, message| Some(Outcome::Failure { retryable, message: redactor.text(message) });
    match (why, result) {
        (Some(Stop::LeaseLost), _) => None,
        // Done is done, whoever wanted it stopped meanwhile.
        (_, Ok(result)) => Some(Outcome::Success(result)),
        (Some(Stop::Cancelled), Err(_)) => Some(Outcome::Stopped),
        (Some(Stop::Shutdown), Err(_)) => Some(Outcome::HandBack),
        (Some(Stop::Deadline), Err(failure)) => {
            let words = if failure.kind == Kind::Stopped { String::new() } else { format!(": {failure}") };
            failed(true, format!("it took longer than its timeout{words}"))
        }
        (None, Err(failure)) => match failure.kind {
            Kind::Permanent => failed(false, failure.message),
            Kind::Retryable => failed(true, failure.message),
            Kind::Service => Some(Outcome::HandBack),
            Kind::Stopped => failed(true, "its connector stopped although nobody asked".into()),
        },
    }
}
