//! What answers of Redis mean. Nothing here panics: whatever is not ours is [`Error::Foreign`].

use std::collections::HashMap;
use std::str::FromStr;

use crate::broker::{Claim, Status, Ticket};
use crate::error::Error;
use crate::event::News;
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

pub(super) fn value<T: redis::FromRedisValue>(value: redis::Value, key: &str) -> Result<T, Error> {
    redis::from_redis_value(value).map_err(|_| foreign(key))
}

pub(super) fn parsed<T: FromStr>(text: &str, key: &str) -> Result<T, Error> {
    text.parse().map_err(|_| foreign(key))
}

/// What stands before the document of a job and never changes:
/// `<submitted> <score less it, in 1/1024 ms> <signature> <attempts> <timeout> <life of the result>[ <limit key>]`.
pub(super) struct Head<'b> {
    /// When it was submitted.
    pub submitted: Millis,
    /// Its place in its line.
    pub score: f64,
    /// Its signature.
    pub signature: &'b str,
    /// How often it may fail.
    pub max_attempts: u32,
    /// How long it is kept when it has ended, in ms.
    pub ttl: Millis,
    /// Its limit key.
    pub limit_key: Option<&'b str>,
    /// The bytes of the head itself.
    pub length: usize,
    /// The job as it was submitted.
    pub document: &'b str,
}

/// The last byte that has to be read for a head: it is shorter than this.
pub(super) const HEAD: usize = 299;

impl<'b> Head<'b> {
    /// Reads what `b:<job>` holds, or the beginning of it.
    pub fn of(body: &'b str, key: &str) -> Result<Self, Error> {
        let (head, document) = body.split_once('\n').ok_or_else(|| foreign(key))?;
        let mut parts = head.split(' ');
        let [Some(submitted), Some(offset), Some(signature), Some(attempts), Some(_), Some(ttl)] =
            [(); 6].map(|()| parts.next())
        else {
            return Err(foreign(key));
        };
        let (submitted, offset): (Millis, f64) = (parsed(submitted, key)?, parsed(offset, key)?);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
        let score = submitted as f64 + offset / 1024.0;
        let (max_attempts, ttl) = (parsed(attempts, key)?, parsed(ttl, key)?);
        let length = head.len() + 1;
        Ok(Self { submitted, score, signature, max_attempts, ttl, limit_key: parts.next(), length, document })
    }
}

/// The job in `b:<job>`.
pub(super) fn job(body: &str, key: &str) -> Result<Job, Error> {
    Job::read(Head::of(body, key)?.document).map_err(|_| foreign(key))
}

/// Parts of an answer that make one claim.
pub(super) const CLAIM: usize = 2;

/// A claim: `<id> <fence> <attempts> <crashes> <until> <deadline>`, and what `b:<job>` holds.
pub(super) fn claim(line: &str, body: &str) -> Result<Claim, Error> {
    let mut words = line.split(' ').skip(2);
    let mut number = || words.next().and_then(|it| it.parse().ok()).ok_or_else(|| foreign("claim"));
    let (attempts, crashes): (Millis, Millis) = (number()?, number()?);
    let small = |it: Millis| it.try_into().map_err(|_| foreign("claim"));
    let ticket = ticket(line)?;
    let head = Head::of(body, ticket.id.as_str())?;
    Ok(Claim {
        job: Job::read(head.document).map_err(|_| foreign(ticket.id.as_str()))?,
        submitted: head.submitted,
        ticket,
        attempts: small(attempts)?,
        crashes: small(crashes)?,
        until: number()?,
        deadline: number()?,
    })
}

/// The ticket with which the line of a claim begins.
pub(super) fn ticket(line: &str) -> Result<Ticket, Error> {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    Ok(Ticket { id: parsed(word(), "claim")?, fence: parsed(word(), "claim")? })
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

/// The answer to `TIME`, in milliseconds.
pub(super) fn time(parts: &[Option<String>]) -> Result<Millis, Error> {
    let [Some(seconds), Some(micros)] = parts else { return Err(foreign("TIME")) };
    let (seconds, micros): (Millis, Millis) = (parsed(seconds, "TIME")?, parsed(micros, "TIME")?);
    Ok(seconds * 1000 + micros / 1000)
}

/// The state and counters in a job's hash. Nothing is written that is 0; before its first claim a job that waits has none.
pub(super) fn life(key: &str, fields: &HashMap<String, String>) -> Result<Life, Error> {
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
    Ok(Life { state, attempts: small("a")?, crashes: small("c")?, fence })
}

/// A job's hash and its body, at a time.
pub(super) fn status(
    key: &str,
    body: &str,
    fields: &HashMap<String, String>,
    now: Millis,
) -> Result<Status, Error> {
    let result = fields.get("R").map(|it| serde_json::from_str(it)).transpose();
    Ok(Status {
        job: job(body, key)?,
        life: life(key, fields)?,
        submitted: Head::of(body, key)?.submitted,
        finished: fields.get("z").map(|it| parsed(it, key)).transpose()?,
        result: result.map_err(|_| foreign(key))?,
        error: fields.get("E").cloned(),
        now,
    })
}
