//! Both ends of the way in: [`Control`] for those who ask, the desk for the supervisor that answers.

use std::path::PathBuf;

use ecosystem::Ecosystem;
use spec::ids::ProcessName;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::protocol::{Fleet, Report, Signal, Transition, Which};
use crate::refusal::Refusal;

/// How many may wait to be heard.
const WAITING: usize = 64;

/// Makes both ends.
pub fn control() -> (Control, Desk) {
    let (asks, desk) = mpsc::channel(WAITING);
    (Control { asks }, Desk { asks: desk })
}

/// Asks a supervisor in the same program.
#[derive(Clone, Debug)]
pub struct Control {
    asks: mpsc::Sender<Ask>,
}

/// Where a supervisor is asked.
#[derive(Debug)]
pub struct Desk {
    pub(crate) asks: mpsc::Receiver<Ask>,
}

#[derive(Debug)]
pub(crate) enum Ask {
    Order { order: Order, wait: bool, reply: oneshot::Sender<Result<Report, Vec<Refusal>>> },
    Fleet(oneshot::Sender<Fleet>),
    Events(oneshot::Sender<(Vec<Transition>, broadcast::Receiver<Transition>)>),
    Logs(Which, oneshot::Sender<Result<Vec<LogFiles>, Vec<Refusal>>>),
}

/// What changes something.
#[derive(Debug)]
pub(crate) enum Order {
    Start(Which),
    Stop(Which),
    Restart(Which),
    Signal(ProcessName, Signal),
    Scale { group: String, count: u32 },
    Reload(Box<Ecosystem>),
    Shutdown { force: bool },
}

/// Where a process writes to: one file, or one for each stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFiles {
    pub process: ProcessName,
    pub files: Vec<PathBuf>,
}

impl Control {
    /// Starts what is down, and what it needs. Waits until each is healthy or has failed.
    pub async fn start(&self, which: Which) -> Result<Report, Vec<Refusal>> {
        self.order(Order::Start(which), true).await
    }

    /// Stops what is up, and whoever needs it. Waits until all of them are down.
    pub async fn stop(&self, which: Which) -> Result<Report, Vec<Refusal>> {
        self.order(Order::Stop(which), true).await
    }

    /// Stops processes and starts them anew; whoever needs them is left alone. Waits until each is healthy or has failed.
    pub async fn restart(&self, which: Which) -> Result<Report, Vec<Refusal>> {
        self.order(Order::Restart(which), true).await
    }

    /// Takes a new document, with the fewest restarts. Waits until what had to be started is healthy or has failed.
    pub async fn reload(&self, ecosystem: Ecosystem) -> Result<Report, Vec<Refusal>> {
        self.order(Order::Reload(Box::new(ecosystem)), true).await
    }

    /// Stops everything, each process with its own grace; with `force` by killing it, also what was only asked so far.
    /// Does not wait for the end, which is when the supervisor returns: see [`Self::ended`].
    pub async fn shutdown(&self, force: bool) -> Result<(), Vec<Refusal>> {
        self.order(Order::Shutdown { force }, false).await.map(|_| ())
    }

    /// Waits for the end of the supervisor.
    pub async fn ended(&self) {
        self.asks.closed().await;
    }

    /// What happened of late, and what happens from now on. Who reads more than a thousand events too late loses the
    /// oldest, and is told how many.
    pub async fn events(&self) -> Result<(Vec<Transition>, broadcast::Receiver<Transition>), Vec<Refusal>> {
        self.ask(Ask::Events).await
    }

    /// What every process does, without what it uses: see [`Service::fleet`](super::Service::fleet).
    pub async fn fleet(&self) -> Result<Fleet, Vec<Refusal>> {
        self.ask(Ask::Fleet).await
    }

    pub(crate) async fn logs(&self, which: Which) -> Result<Vec<LogFiles>, Vec<Refusal>> {
        self.ask(|reply| Ask::Logs(which, reply)).await?
    }

    pub(crate) async fn order(&self, order: Order, wait: bool) -> Result<Report, Vec<Refusal>> {
        self.ask(|reply| Ask::Order { order, wait, reply }).await?
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Vec<Refusal>> {
        let (reply, answer) = oneshot::channel();
        let ended = || vec![Refusal::Ended];
        self.asks.send(ask(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}
