//! What happened on the machine, of late: numbered, kept for those who lost their connection, and told to all who listen.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::facts::Millis;

/// How many events are kept for those who come back.
pub const KEPT: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place: one more than the event before.
    pub id: u64,
    /// When.
    pub at: Millis,
    /// What kind of thing: `startup_complete`, `state`, `recovery`, `restart`, `shutdown`.
    pub kind: &'static str,
    /// Whom it is about, if not the machine as a whole.
    pub subject: Option<String>,
    /// What happened, for people.
    pub message: String,
}

/// The events of late.
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<VecDeque<Event>>,
    told: broadcast::Sender<Event>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), told: broadcast::Sender::new(KEPT) }
    }
}

impl Journal {
    /// Something happened.
    pub fn say(&self, at: Millis, kind: &'static str, subject: Option<&str>, message: impl Into<String>) {
        let mut kept = self.kept();
        let id = kept.back().map_or(1, |last| last.id + 1);
        let event = Event { id, at, kind, subject: subject.map(Into::into), message: message.into() };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody may be listening. Told under the lock, so that numbers arrive in their order.
        let _ = self.told.send(event);
    }

    /// The events after number `id` that are still kept, and those that come: none is missed between the two.
    pub fn after(&self, id: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept();
        let missed = kept.iter().filter(|event| event.id > id).cloned().collect();
        (missed, self.told.subscribe())
    }

    /// The number of the last event; 0 before the first.
    pub fn latest(&self) -> u64 {
        self.kept().back().map_or(0, |last| last.id)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
