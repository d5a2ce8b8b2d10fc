//! Everything that can be asked of a supervisor in the same program: by the socket, and by whoever embeds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ecosystem::Ecosystem;
use spec::ids::ProcessName;
use tokio::task::spawn_blocking;

use super::handle::Control;
use super::logs::LogLines;
use super::protocol::{Document, Fleet, Seen, Use, Which};
use crate::core::Pid;
use crate::log::Logs;
use crate::metrics::{Meter, Usage};
use crate::refusal::Refusal;

/// Reads a document: the one that was sent, or else the one that the supervisor was started with.
pub type Reader = Arc<dyn Fn(Option<&Document>) -> Result<Ecosystem, Vec<Refusal>> + Send + Sync>;

/// What the socket gives access to, and an embedder too.
#[derive(Clone)]
pub struct Service {
    /// The supervisor: orders and events.
    pub control: Control,
    /// What its processes say.
    pub logs: Arc<Logs>,
    /// What they use.
    pub meter: Arc<Meter>,
    /// How to read a document.
    pub reader: Reader,
}

impl Service {
    /// What every process does, and what it uses with all that it started.
    pub async fn fleet(&self) -> Result<Fleet, Vec<Refusal>> {
        let mut fleet = self.control.fleet().await?;
        let usage = self.measured(&fleet).await;
        for it in &mut fleet.processes {
            it.usage = usage.get(&it.name).map(Use::of);
        }
        Ok(fleet)
    }

    /// What every process that lives uses, alone and with all that it started: counters for a monitor.
    pub async fn usage(&self) -> Result<BTreeMap<ProcessName, Usage>, Vec<Refusal>> {
        let fleet = self.control.fleet().await?;
        Ok(self.measured(&fleet).await)
    }

    /// The last `lines` lines of each file of these processes, oldest first; with `follow` also what is written from
    /// then on, of all of them as it comes, until the supervisor has ended.
    pub async fn logs(&self, of: Which, lines: u32, follow: bool) -> Result<LogLines, Vec<Refusal>> {
        let files = self.control.logs(of).await?;
        let supervisor = follow.then(|| self.control.clone());
        Ok(LogLines::read(self.logs.clone(), files, lines, supervisor))
    }

    async fn measured(&self, fleet: &Fleet) -> BTreeMap<ProcessName, Usage> {
        let pid = |it: &Seen| Some((it.name.clone(), Pid(it.pid?.try_into().ok()?)));
        let pids: Vec<(ProcessName, Pid)> = fleet.processes.iter().filter_map(pid).collect();
        let (meter, all) = (self.meter.clone(), pids.iter().map(|it| it.1).collect::<Vec<_>>());
        // A look that failed has nothing to tell.
        let mut usage = spawn_blocking(move || meter.measure(&all)).await.unwrap_or_default();
        pids.into_iter().filter_map(|(name, pid)| Some((name, usage.remove(&pid)?))).collect()
    }
}
