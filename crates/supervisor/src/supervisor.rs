//! Runs an ecosystem until it is asked to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ecosystem::Ecosystem;
use spec::env::{EnvSource, NotUnicode};
use spec::ids::ProcessName;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::board::{Board, Means};
use crate::control::{Desk, control};
use crate::core::{Gate, Process, Time};
use crate::launcher::Launcher;
use crate::log::{Keep, Logs};
use crate::metrics::Meter;
use crate::waiter::LOOK_AGAIN;

/// Without news and orders for so long, a supervisor rests.
const CALM: Duration = Duration::from_secs(2);

/// Every process of the ecosystem, by name.
pub type FleetStatus = BTreeMap<ProcessName, Status>;

/// One process, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub process: Process,
    /// While it waits: for what, or for what in vain.
    pub gate: Gate,
    /// Processes that it had started and that could not be ended when it died.
    pub left: usize,
    /// Since when it does that.
    pub since: Time,
}

/// Runs ecosystems.
#[derive(Debug)]
pub struct Supervisor<L> {
    launcher: Arc<L>,
    logs: Arc<Logs>,
    meter: Arc<Meter>,
    seed: u64,
}

impl<L: Launcher> Supervisor<L> {
    /// A supervisor that starts processes through `launcher` and keeps `keep` of their output. `seed` is the chance in
    /// the back-off: another one on each machine and run.
    pub fn new(launcher: L, keep: Keep, seed: u64) -> Self {
        let (logs, meter) = (Arc::new(Logs::new(keep)), Arc::default());
        Self { launcher: Arc::new(launcher), logs, meter, seed }
    }

    /// What the processes say.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// What the processes use.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Runs `ecosystem`, whose variables come from `source`, until `stop` is ready and every process has ended.
    /// `status` follows what they do. The document is one that `Ecosystem::read` accepts. Fails before anything is
    /// started, when a variable that a process is to be given is not Unicode.
    pub async fn run(
        &self,
        ecosystem: &Ecosystem,
        source: &dyn EnvSource,
        stop: impl Future<Output = ()>,
        status: &watch::Sender<FleetStatus>,
    ) -> Result<(), NotUnicode> {
        let (control, desk) = control();
        let stop = async {
            stop.await;
            // It may have ended before.
            let _ = control.shutdown(false).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = self.serve(ecosystem, source, desk, status) => done.map(|_| ()),
            () = stop => Ok(()),
        }
    }

    /// The same, until somebody asks for a shutdown through the [`Control`](crate::control::Control) that belongs to `desk`; and
    /// obeys every other order until then. Returns how many processes could not be ended.
    pub async fn serve(
        &self,
        ecosystem: &Ecosystem,
        source: &dyn EnvSource,
        mut desk: Desk,
        status: &watch::Sender<FleetStatus>,
    ) -> Result<usize, NotUnicode> {
        let (changes, mut news) = mpsc::unbounded_channel();
        let means =
            Means { launcher: self.launcher.clone(), logs: self.logs.clone(), meter: self.meter.clone() };
        let mut board = Board::new(means, self.seed, ecosystem, source, changes, status)?;
        let mut rested = false;
        loop {
            board.advance();
            if board.is_over() {
                break;
            }
            tokio::select! {
                Some(change) = news.recv() => {
                    // What happens together is thought about once.
                    yield_now().await;
                    rested = false;
                    board.put(change);
                    while let Ok(change) = news.try_recv() {
                        board.put(change);
                    }
                }
                Some(ask) = desk.asks.recv() => {
                    rested = false;
                    board.answer(ask);
                }
                () = sleep(LOOK_AGAIN), if !board.waiters.is_empty() => {}
                () = sleep(CALM), if !rested && board.waiters.is_empty() => {
                    rested = true;
                    self.launcher.rest();
                }
            }
        }
        let left = self.launcher.finish().await;
        board.close().await;
        Ok(left)
    }
}
