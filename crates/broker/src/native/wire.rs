//! What answers of Redis mean. Nothing here panics: whatever is not ours is [`Error::Foreign`].

use std::str::FromStr;

use super::record::Record;
use crate::broker::{Claim, Status, Ticket};
use crate::error::Error;
use crate::event::News;
use crate::job::Job;
use crate::life::{Death, Millis};

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match (error.code(), error.detail()) {
            (Some("NOPERM"), Some(words)) => Error::NotAllowed(words.into()),
            (Some("UNREACHABLE"), Some(words)) => Error::Unreachable(words.into()),
            (Some("OOM"), _) => Error::NoMemory { submitted: vec![] },
            // 6.2 wraps what a script ran into.
            (_, Some(words)) if words.contains("-OOM ") => Error::NoMemory { submitted: vec![] },
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
/// `<submitted> <score less it, in microseconds> <signature> <attempts> <timeout> <life of the result>[ <limit key>]`.
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
pub(super) const HEAD: isize = 299;

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
        let score = submitted as f64 + offset / 1000.0;
        let (max_attempts, ttl) = (parsed(attempts, key)?, parsed(ttl, key)?);
        let length = head.len() + 1;
        // Behind it stands how the job has ended.
        let document = document.split_once('\n').map_or(document, |(document, _)| document);
        Ok(Self { submitted, score, signature, max_attempts, ttl, limit_key: parts.next(), length, document })
    }
}

/// The job in `b:<job>`.
pub(super) fn job(body: &str, key: &str) -> Result<Job, Error> {
    Job::kept(Head::of(body, key)?.document).ok_or_else(|| foreign(key))
}

/// Parts of an answer that make one claim.
pub(super) const CLAIM: usize = 3;

/// A claim: the job's id, the line of its record, and what `b:<job>` holds.
pub(super) fn claim(id: &str, record: &str, body: &str) -> Result<Claim, Error> {
    let (record, head) = (Record::of(record, "", id)?, Head::of(body, id)?);
    Ok(Claim {
        job: Job::kept(head.document).ok_or_else(|| foreign(id))?,
        submitted: head.submitted,
        ticket: Ticket { id: parsed(id, "claim")?, fence: record.fence },
        attempts: record.failed,
        crashes: record.lost,
        until: record.at,
        deadline: record.deadline,
    })
}

/// The ticket of a claim that may not be readable.
pub(super) fn ticket(id: &str, record: &str) -> Result<Ticket, Error> {
    Ok(Ticket { id: parsed(id, "claim")?, fence: Record::of(record, "", id)?.fence })
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

    pub(super) fn of(word: &str) -> Option<Self> {
        [Death::Permanent, Death::Attempts, Death::Crashes].into_iter().find(|it| it.word() == word)
    }
}

/// The answer to `TIME`, in milliseconds.
pub(super) fn time(parts: &[Option<String>]) -> Result<Millis, Error> {
    let [Some(seconds), Some(micros)] = parts else { return Err(foreign("TIME")) };
    let (seconds, micros): (Millis, Millis) = (parsed(seconds, "TIME")?, parsed(micros, "TIME")?);
    Ok(seconds * 1000 + micros / 1000)
}

/// What `b:<job>` holds, `key`, and the field of `j`, empty if it has none, at a time.
pub(super) fn status(key: &str, body: &str, held: &str, now: Millis) -> Result<Status, Error> {
    let record = Record::of(held, body, key)?;
    let result = record.result.map(serde_json::from_str).transpose();
    Ok(Status {
        job: job(body, key)?,
        life: record.life(key)?,
        submitted: Head::of(body, key)?.submitted,
        finished: record.ended(),
        result: result.map_err(|_| foreign(key))?,
        error: record.message.map(str::to_owned),
        now,
    })
}
