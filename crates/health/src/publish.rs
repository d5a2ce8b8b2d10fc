//! Telling Redis how the machine is: records that end when nobody renews them, and messages for those who watch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use spec::ids::{MachineId, WorkerId};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::board::{Board, Snapshot};
use crate::documents::Page;
use crate::facts::{Millis, Stage};

mod redis;
mod shape;

pub use broker::legacy::Update;
pub use redis::RedisWire;
pub(crate) use redis::{machine_key, machines_key};
pub use shape::message;

/// What changes within this is told together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How long Redis may take for it all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries while Redis does not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// Where what is told goes. Redis, or a list in a test.
pub trait Wire: Send + Sync {
    /// Writes the records and sends the message; if the machine is leaving, removes the records instead. What was kept
    /// of the machine before is the answer.
    fn send<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<Option<String>, String>>;
}

/// One word of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Who speaks.
    pub machine: MachineId,
    /// When, in milliseconds since 1970.
    pub at: Millis,
    /// Why.
    pub update: Update,
    /// The message for those who watch, as JSON: [`message`].
    pub message: String,
    /// What is kept of the machine: the document of `/status`.
    pub status: String,
    /// What is kept of each worker: fields and values.
    pub workers: Vec<(WorkerId, Vec<(&'static str, String)>)>,
    /// How long what is kept holds.
    pub lease: Duration,
}

/// Tells Redis how the machine is: every [`Self::period`], and at once when something changes.
pub struct Publisher {
    /// The machine.
    pub board: Arc<Board>,
    /// Where it goes.
    pub wire: Arc<dyn Wire>,
    /// Between two words when nothing changes; each wait is up to a tenth longer or shorter, so that machines that were
    /// started together do not speak together.
    pub period: Duration,
    /// The address of the health server, for those who watch: `http://localhost:9090/health`.
    pub health_url: String,
    /// Is told once of each other machine that speaks under this one's name while it does, and when that one was started.
    pub namesake: Box<dyn Fn(Millis) + Send + Sync>,
}

impl Publisher {
    /// The default of [`Self::period`].
    pub const PERIOD: Duration = Duration::from_secs(15);

    /// Tells until `stop` is ready, and then that the machine leaves.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let speak = async {
            let mut shown = self.board.watch();
            let (mut told, mut ready, mut known) = (None, false, None);
            loop {
                let now = shown.borrow_and_update().clone();
                let update = match &told {
                    _ if !ready && now.facts.machine.stage == Stage::Running => Update::MachineReady,
                    Some(told) if *told != shape::said(&now) => Update::EventDriven,
                    _ => Update::Periodic,
                };
                let before = self.send(&now, update).await;
                let sent = before.is_ok();
                if let Ok(Some(other)) = before
                    && other != now.facts.machine.started
                    // What is there at first may be of an earlier life.
                    && told.is_some()
                    && known.replace(other) != Some(other)
                {
                    (self.namesake)(other);
                }
                if sent {
                    ready |= update == Update::MachineReady;
                    told = Some(shape::said(&now));
                }
                let wait = if sent {
                    self.period.mul_f64(0.9 + 0.2 * fastrand::f64())
                } else {
                    AGAIN.min(self.period)
                };
                let next = Instant::now() + wait;
                loop {
                    tokio::select! {
                        () = sleep_until(next) => break,
                        Ok(()) = shown.changed() => {
                            let now = shown.borrow_and_update().clone();
                            if sent && told.as_ref() != Some(&shape::said(&now)) {
                                sleep(TOGETHER).await;
                                break;
                            }
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = speak => {}
        }
        // There is nobody left to be told that it failed.
        let _ = self.send(&self.board.latest(), Update::Shutdown).await;
    }

    /// When the machine was started whose word was there before.
    async fn send(&self, now: &Snapshot, update: Update) -> Result<Option<Millis>, ()> {
        let page = now.pages.status.get_or_init(|| Page::of(&now.status()));
        let post = Post {
            machine: now.facts.machine.id.clone(),
            at: now.facts.at,
            update,
            message: message(now, update, &self.health_url).to_string(),
            status: String::from_utf8_lossy(&page.body).into_owned(),
            workers: shape::workers(now),
            lease: 3 * self.period,
        };
        let sent = timeout(PATIENCE, self.wire.send(&post)).await;
        let sent = sent.ok().and_then(Result::ok);
        self.board.meters.lease(sent.is_some());
        Ok(sent.ok_or(())?.and_then(|it| started(&it)))
    }
}

/// When the machine of a record was started.
fn started(status: &str) -> Option<Millis> {
    #[derive(Deserialize)]
    struct Status {
        machine: Machine,
    }
    #[derive(Deserialize)]
    struct Machine {
        started: Millis,
    }
    // A record of another version may have another form.
    serde_json::from_str(status).ok().map(|it: Status| it.machine.started)
}

#[cfg(test)]
mod tests;
