//! What those who watch a job are told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::life::Millis;

/// The longest message that is kept, in bytes; what is beyond is cut off.
pub const MAX_MESSAGE: usize = 4096;

/// `message`, cut to [`MAX_MESSAGE`] between two characters.
pub(crate) fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    message
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// In percent.
    pub percent: u8,
    /// What it does, for people.
    pub message: String,
}

impl Progress {
    /// With a message that is not too long.
    pub(crate) fn bounded(self) -> Self {
        Self { message: cut(self.message), ..self }
    }
}

/// A place in the events of a job. It can be written down, to go on from there later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(pub(crate) String);

/// A text that is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the place of an event, as `1700000000000-0`")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;
    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let (time, sequence) = text.split_once('-').unwrap_or((text, "0"));
        let number = |it: &str| it.parse::<u64>().is_ok();
        if number(time) && number(sequence) { Ok(Self(text.into())) } else { Err(NotAnEventId) }
    }
}

impl TryFrom<String> for EventId {
    type Error = NotAnEventId;
    fn try_from(text: String) -> Result<Self, NotAnEventId> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> String {
        id.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// Its place.
    pub id: EventId,
    /// When, by the queue's clock.
    pub at: Millis,
    /// What happened.
    pub news: News,
}

/// What can happen to a job, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum News {
    /// It got further.
    Progress(Progress),
    /// It waits again, after a failure or a lost worker.
    Returned,
    /// The end.
    Succeeded,
    /// The end.
    Cancelled,
    /// The end.
    Dead,
}

impl News {
    /// Whether nothing follows, unless the job is replayed.
    pub fn is_last(&self) -> bool {
        matches!(self, News::Succeeded | News::Cancelled | News::Dead)
    }
}
