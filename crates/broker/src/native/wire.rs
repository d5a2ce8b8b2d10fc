//! What answers of Redis mean. Nothing here panics: whatever is not ours is [`Error::Foreign`].

use std::collections::HashMap;
use std::str::FromStr;

use crate::broker::{Claim, News, Status, Ticket};
use crate::error::Error;
use crate::job::Job;
use crate::life::{Death, Life, Millis, Reason, State};

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match (error.code(), error.detail()) {
            (Some("NOPERM"), Some(words)) => Error::NotAllowed(words.into()),
            (Some("UNREACHABLE"), Some(words)) => Error::Unreachable(words.into()),
            _ => Error::Unreachable(error.to_string()),
        }
    }
}

pub(super) fn foreign(key: &str) -> Error {
    Error::Foreign { key: key.into() }
}

pub(super) fn parsed<T: FromStr>(text: &str, key: &str) -> Result<T, Error> {
    text.parse().map_err(|_| foreign(key))
}

/// What stands before the document of a job and never changes:
/// `<submitted> <score less it, in 1/1024 ms> <signature> <attempts> <timeout> <life of the result>[ <limit key>]`.
pub(super) struct Head<'b> {
    /// When it was submitted.
    pub submitted: Millis,
    /// The job as it was submitted.
    pub document: &'b str,
}

impl<'b> Head<'b> {
    /// Reads what `b:<job>` holds, or the beginning of it.
    pub fn of(body: &'b str, key: &str) -> Result<Self, Error> {
        let (head, document) = body.split_once('\n').ok_or_else(|| foreign(key))?;
        let submitted = head.split(' ').next().unwrap_or_default();
        Ok(Self { submitted: parsed(submitted, key)?, document })
    }
}

/// The job in `b:<job>`.
pub(super) fn job(body: &str, key: &str) -> Result<Job, Error> {
    Job::read(Head::of(body, key)?.document).map_err(|_| foreign(key))
}

/// The seven parts of a claim.
pub(super) fn claim(parts: &[String]) -> Result<Claim, Error> {
    let [id, fence, body, attempts, crashes, until, deadline] = parts else {
        return Err(foreign("claim"));
    };
    Ok(Claim {
        ticket: Ticket { id: parsed(id, id)?, fence: parsed(fence, id)? },
        job: job(body, id)?,
        attempts: parsed(attempts, id)?,
        crashes: parsed(crashes, id)?,
        until: parsed(until, id)?,
        deadline: parsed(deadline, id)?,
    })
}

pub(super) fn news(text: &str) -> Result<News, Error> {
    serde_json::from_str(text).map_err(|_| foreign("an event"))
}

impl Death {
    /// The word that stands for it in keys and fields.
    pub(super) fn word(self) -> &'static str {
        match self {
            Death::Permanent => "permanent",
            Death::Attempts => "attempts",
            Death::Crashes => "crashes",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Death::Permanent, Death::Attempts, Death::Crashes].into_iter().find(|it| it.word() == word)
    }
}

/// A job's hash and its body. Nothing is written that is 0; before its first claim a job that waits has no hash.
pub(super) fn status(key: &str, body: &str, fields: &HashMap<String, String>) -> Result<Status, Error> {
    let field = |name: &str| fields.get(name).map(String::as_str).ok_or_else(|| foreign(key));
    let number = |name: &str| field(name).and_then(|it| parsed(it, key));
    let small = |name: &str| fields.get(name).map_or(Ok(0), |it| parsed(it, key));
    let fence = fields.get("f").map_or(Ok(0), |it| parsed(it, key))?;
    let state = match fields.get("s").map_or("w", String::as_str) {
        "d" => State::Delayed { due: number("u")? },
        "w" => State::Waiting,
        "r" => State::Running {
            worker: parsed(field("o")?, key)?,
            until: number("u")?,
            deadline: number("e")?,
            cancel: fields.get("x").is_some_and(|it| it == "1"),
        },
        "S" => State::Succeeded,
        "C" => State::Cancelled,
        "X" => {
            let kind = Death::of(field("K")?).ok_or_else(|| foreign(key))?;
            State::Dead(Reason { kind, message: field("E")?.into() })
        }
        _ => return Err(foreign(key)),
    };
    let result = fields.get("R").map(|it| serde_json::from_str(it)).transpose();
    Ok(Status {
        job: job(body, key)?,
        life: Life { state, attempts: small("a")?, crashes: small("c")?, fence },
        submitted: Head::of(body, key)?.submitted,
        finished: fields.get("z").map(|it| parsed(it, key)).transpose()?,
        result: result.map_err(|_| foreign(key))?,
        error: fields.get("E").cloned(),
    })
}
