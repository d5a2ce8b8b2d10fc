//! Telling Redis how the machine is: records that end when nobody renews them, and messages for those who watch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use spec::ids::{MachineId, WorkerId};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::board::{Board, Snapshot};
use crate::documents::Page;
use crate::facts::{Millis, Stage};

mod redis;
mod shape;

pub use redis::RedisWire;
pub(crate) use redis::{machine_key, machines_key};
pub use shape::{Update, message};

/// What changes within this is told together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How long Redis may take for it all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries while Redis does not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// Where what is told goes. Redis, or a list in a test.
pub trait Wire: Send + Sync {
    /// Writes the records and sends the message; if the machine is leaving, removes the records instead.
    fn send<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<(), String>>;
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
}

impl Publisher {
    /// The default of [`Self::period`].
    pub const PERIOD: Duration = Duration::from_secs(15);

    /// Tells until `stop` is ready, and then that the machine leaves.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let speak = async {
            let mut shown = self.board.watch();
            let (mut told, mut ready) = (None, false);
            loop {
                let now = shown.borrow_and_update().clone();
                let update = match &told {
                    _ if !ready && now.facts.machine.stage == Stage::Running => Update::MachineReady,
                    Some(told) if *told != shape::said(&now) => Update::EventDriven,
                    _ => Update::Periodic,
                };
                let sent = self.send(&now, update).await;
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
        self.send(&self.board.latest(), Update::Shutdown).await;
    }

    async fn send(&self, now: &Snapshot, update: Update) -> bool {
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
        let sent = matches!(sent, Ok(Ok(())));
        self.board.meters.lease(sent);
        sent
    }
}

#[cfg(test)]
mod tests;
