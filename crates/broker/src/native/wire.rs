//! What answers of Redis mean. Nothing here panics: whatever is not ours is [`Error::Foreign`].

use std::collections::HashMap;
use std::str::FromStr;

use crate::broker::{Claim, News, Status, Ticket};
use crate::error::Error;
use crate::job::Job;
use crate::life::{Death, Life, Reason, State};

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        Error::Unreachable(error.to_string())
    }
}

pub(super) fn foreign(key: &str) -> Error {
    Error::Foreign { key: key.into() }
}

pub(super) fn parsed<T: FromStr>(text: &str, key: &str) -> Result<T, Error> {
    text.parse().map_err(|_| foreign(key))
}

fn job(document: &str, key: &str) -> Result<Job, Error> {
    Job::read(document).map_err(|_| foreign(key))
}

/// The seven parts of a claim.
pub(super) fn claim(parts: &[String]) -> Result<Claim, Error> {
    let [id, fence, document, attempts, crashes, until, deadline] = parts else {
        return Err(foreign("claim"));
    };
    Ok(Claim {
        ticket: Ticket { id: parsed(id, id)?, fence: parsed(fence, id)? },
        job: job(document, id)?,
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

/// A job's hash and its document. Counters are not written while they are 0.
pub(super) fn status(key: &str, document: &str, fields: &HashMap<String, String>) -> Result<Status, Error> {
    let field = |name: &str| fields.get(name).map(String::as_str).ok_or_else(|| foreign(key));
    let number = |name: &str| field(name).and_then(|it| parsed(it, key));
    let small = |name: &str| fields.get(name).map_or(Ok(0), |it| parsed(it, key));
    let fence = fields.get("f").map_or(Ok(0), |it| parsed(it, key))?;
    let state = match field("s")? {
        "d" => State::Delayed { due: number("u")? },
        "w" => State::Waiting,
        "r" => State::Running {
            worker: parsed(field("o")?, key)?,
            until: number("u")?,
            deadline: number("e")?,
            cancel: field("x")? == "1",
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
        job: job(document, key)?,
        life: Life { state, attempts: small("a")?, crashes: small("c")?, fence },
        submitted: number("t")?,
        finished: fields.get("z").map(|it| parsed(it, key)).transpose()?,
        result: result.map_err(|_| foreign(key))?,
        error: fields.get("E").cloned(),
    })
}
