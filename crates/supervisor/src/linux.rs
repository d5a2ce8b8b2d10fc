//! The real launcher.
//!
//! Three parts share one table of the processes that live: the threads that start them, a task that reaps whatever dies
//! below us, and the callers, who signal.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ecosystem::{Ecosystem, StopSignal};
use rustix::process::{Rlimit, Signal, pidfd_send_signal};
use spec::ids::ProcessName;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::adopt::{self, Inherited, Memory, Survivor};
use crate::cgroup::Cgroups;
use crate::control::protocol;
use crate::core::{Exit, Pid};
use crate::gpu::{self, Gpus};
use crate::launcher::{Launched, Launcher, Output, Plan};
use crate::ports;
use crate::proc::{self, Identity, Stat, Variable};
use crate::recipe::{recipe, why};
use crate::rest;
use crate::room;
use crate::spawn;
use crate::starter::{Start, Starter};
use crate::table::{Table, raw};

/// The variable that marks what a process starts, however far it moves away. Its value is unique to the supervisor's
/// run and the process.
pub(crate) const MARKER: &str = "ROSTER_PROCESS";

/// Between two looks for what is left, if no death of a child wakes us before.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// For a process that is becoming another program to be one.
const BECOMING: Duration = Duration::from_millis(1);
/// For the kernel to end what was killed; what is in an uninterruptible call can take longer, and is then reported.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// For what an earlier supervisor has left and nobody wants any more.
const FAREWELL: Duration = Duration::from_secs(10);

/// Starts processes on Linux. There is one in a program, which has no children besides: it reaps all of them.
#[derive(Debug)]
pub struct Linux {
    starter: Starter,
    /// How many files a child may open.
    files: Rlimit,
    table: Arc<Table>,
    reaper: JoinHandle<()>,
    /// Ourselves.
    own: Identity,
    cgroups: Option<Cgroups>,
    gpus: Option<Arc<dyn Gpus>>,
    memory: Memory,
    /// What an earlier supervisor has left, until it is adopted or ended.
    inherited: Mutex<BTreeMap<ProcessName, Survivor>>,
    /// The markers of what was adopted.
    adopted: Mutex<BTreeMap<Pid, String>>,
}

impl Linux {
    /// Becomes the parent of whatever is orphaned below this program, and starts to reap. Call it within a Tokio
    /// runtime with IO and time.
    ///
    /// `memory` is a file in which processes that `survive` are remembered, so that the next supervisor adopts them if
    /// this one is killed. Without it nothing survives. If it says that another one was killed, what that one has left
    /// and `ecosystem` does not want to survive is ended here. Fails when the other one lives.
    pub async fn begin(memory: Option<PathBuf>, ecosystem: &Ecosystem) -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        // What is open belongs to whoever started this program.
        close_fds::set_fds_cloexec(3, &[]);
        let files = room::make(ecosystem.setup.len() + ecosystem.apps.len())?;
        let own = Identity::own();
        let (memory, inherited) = Memory::begin(memory, own)?;
        let table = Arc::new(Table::default());
        let mut children = signal(SignalKind::child())?;
        let reaper = tokio::spawn({
            let table = table.clone();
            async move {
                while children.recv().await.is_some() {
                    table.reap();
                }
            }
        });
        let starter = Starter::begin(table.clone())?;
        let linux = Self {
            starter,
            files,
            table,
            reaper,
            own,
            cgroups: Cgroups::find(),
            gpus: None,
            memory,
            inherited: Mutex::default(),
            adopted: Mutex::default(),
        };
        linux.inherit(inherited, ecosystem).await?;
        Ok(linux)
    }

    /// Looks at the cards before a process that holds one is started.
    #[must_use]
    pub fn with_gpus(mut self, gpus: impl Gpus) -> Self {
        self.gpus = Some(Arc::new(gpus));
        self
    }

    /// Takes over what is to survive, and ends the rest of what an earlier supervisor has left.
    async fn inherit(&self, from: Inherited, ecosystem: &Ecosystem) -> io::Result<()> {
        let Some(supervisor) = from.supervisor else { return Ok(()) };
        let wanted =
            |name: &ProcessName| ecosystem.apps.iter().any(|it| it.roster.survive && it.name == *name);
        let (kept, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            from.survivors.into_iter().partition(|(name, _)| wanted(name));
        for name in rest.keys() {
            self.memory.put(name, None)?;
        }
        let with = |is: &dyn Fn(&str) -> bool| Left::among(proc::all(), |_| false, is);
        // What they had started should have ended with it: it is not asked again.
        let started_by = |marker: &str| marker.split_once(':').and_then(|(it, _)| Identity::parse(it));
        let spared = |marker: &str| kept.values().chain(rest.values()).any(|it| it.marker == marker);
        let orphaned = || with(&|it| started_by(it) == Some(supervisor) && !spared(it));
        self.end(Duration::ZERO, None, orphaned).await;
        let unwanted = || with(&|it| rest.values().any(|unwanted| unwanted.marker == it));
        self.end(FAREWELL, None, unwanted).await;
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove(supervisor);
        }
        *self.inherited() = kept;
        Ok(())
    }

    fn inherited(&self) -> MutexGuard<'_, BTreeMap<ProcessName, Survivor>> {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adopted(&self) -> MutexGuard<'_, BTreeMap<Pid, String>> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marker(&self, name: &ProcessName) -> String {
        format!("{}:{name}", self.own)
    }

    /// Whether a process is one of those that we run, or below one.
    fn is_ours(&self, pid: i32) -> bool {
        let (own, adopted) = (proc::own(), self.adopted().keys().map(|it| raw(*it)).collect::<BTreeSet<_>>());
        let parents = std::iter::successors(Some(pid), |it| Stat::of(*it).map(|it| it.parent));
        parents.take_while(|it| *it > 0).any(|it| it == own || adopted.contains(&it))
    }

    /// Why the card of a process is not free for it, if it is not.
    async fn held(&self, plan: &Plan) -> Option<String> {
        let (claim, gpus) = (plan.gpu.clone()?, self.gpus.clone()?);
        let identity = claim.identity.clone();
        let label = claim.label.clone();
        match tokio::task::spawn_blocking(move || gpus.card(&identity)).await {
            Ok(Ok(card)) => gpu::held(&claim, &card, |it| self.is_ours(it)),
            Ok(Err(why)) => Some(format!("its card {label} cannot be seen: {why}")),
            Err(_) => Some(format!("the look at its card {label} has failed")),
        }
    }

    /// The process that an earlier supervisor has left, if it is what `plan` would start; otherwise it is ended.
    async fn adopt(&self, plan: &Plan, output: &mut Option<Output>) -> Option<Launched> {
        let survivor = self.inherited().remove(&plan.name)?;
        let same = plan.survive && survivor.plan == adopt::digest(plan);
        let handle = survivor.process.handle().filter(|_| same);
        let handles = handle.and_then(|it| {
            let other = it.try_clone().ok()?;
            Some((spawn::end_of(it).ok()?, other))
        });
        let Some((ended, pidfd)) = handles else {
            let Survivor { process, marker, .. } = &survivor;
            self.end(FAREWELL, Some(marker), || self.left_of(process.pid, marker, proc::all())).await;
            return None;
        };
        let pid = Pid(u32::try_from(survivor.process.pid).ok()?.try_into().ok()?);
        self.table.adopt(pid, pidfd);
        self.adopted().insert(pid, survivor.marker.clone());
        let Output { out, err } = output.take()?;
        for (from, to) in survivor.output().into_iter().zip([out, err]) {
            if let Some(from) = from {
                tokio::spawn(forward(from, to));
            }
        }
        let (dead, exit) = oneshot::channel();
        let table = self.table.clone();
        tokio::spawn(async move {
            // A handle that cannot be waited for is one of a process that is gone.
            let _ = ended.readable().await;
            table.lose(pid);
            let _ = dead.send(Exit::Unknown);
        });
        Some(Launched { pid, exit })
    }

    /// What the run `pid` of a process has left among `suspects` and below them, and in its control group.
    fn left_of(&self, pid: i32, marker: &str, suspects: impl IntoIterator<Item = i32>) -> Left {
        let near = |it| Stat::of(it).is_some_and(|it| it.session == pid || it.group == pid);
        let mut left = Left::among(suspects, near, |it| it == marker);
        left.found = proc::trees(left.found);
        left.found.extend(self.cgroups.iter().flat_map(|it| it.members(marker)));
        left
    }

    /// Ends everything that `left` finds, and the control group of `marker`, again and again until nothing is found.
    /// Returns how many could not be ended.
    async fn end(&self, patience: Duration, marker: Option<&str>, left: impl Fn() -> Left + Send) -> usize {
        let kill_at = Instant::now() + patience;
        let give_up_at = kill_at + KILL_PATIENCE;
        let mut asked = BTreeSet::new();
        loop {
            // Listening comes first: what dies after the look is heard.
            let reaped = self.table.reaped.notified();
            let Left { found, unclear } = left();
            let left: Vec<_> = found.into_iter().filter_map(Identity::of).collect();
            let now = Instant::now();
            if left.is_empty() && !unclear || now >= give_up_at {
                return left.len();
            }
            if let (true, Some(cgroups), Some(marker)) = (now >= kill_at, &self.cgroups, marker) {
                cgroups.kill(marker);
            }
            for it in left {
                let signal = if now >= kill_at { Signal::KILL } else { Signal::TERM };
                if signal == Signal::KILL || asked.insert(it) {
                    // It may have ended meanwhile, which is what was wanted.
                    let _ = it.handle().map(|it| pidfd_send_signal(it, signal));
                }
            }
            let again = if unclear { BECOMING } else { LOOK_AGAIN };
            let _ = timeout(again.min(kill_at.max(now + Duration::from_millis(1)) - now), reaped).await;
        }
    }
}

/// What a look for leftovers has found.
struct Left {
    found: BTreeSet<i32>,
    /// There was one of whom it could not be told, because it was just becoming another program.
    unclear: bool,
}

impl Left {
    /// Of `suspects` those that are `near`, or whose marker is one of theirs.
    fn among(
        suspects: impl IntoIterator<Item = i32>,
        near: impl Fn(i32) -> bool,
        theirs: impl Fn(&str) -> bool,
    ) -> Self {
        let mut left = Self { found: BTreeSet::new(), unclear: false };
        for pid in suspects {
            match adopt::marker(pid) {
                _ if near(pid) => _ = left.found.insert(pid),
                Variable::Is(marker) if theirs(&marker) => _ = left.found.insert(pid),
                Variable::Unknown => left.unclear = true,
                Variable::Is(_) | Variable::Absent => {}
            }
        }
        left
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

impl Launcher for Linux {
    async fn launch(&self, plan: &Plan, output: Output) -> Result<Launched, Arc<str>> {
        let mut output = Some(output);
        if let Some(adopted) = self.adopt(plan, &mut output).await {
            return Ok(adopted);
        }
        let Some(Output { mut out, mut err }) = output else {
            return Err("it ended while it was adopted".into());
        };
        if let Some(user) = ports::in_use(&plan.ports) {
            return Err(user.to_string().into());
        }
        if let Some(why) = self.held(plan).await {
            return Err(why.into());
        }
        let failed = |error: io::Error| -> Arc<str> { error.to_string().into() };
        let marker = self.marker(&plan.name);
        let recipe = recipe(plan, (MARKER, &marker), self.files)?;
        if plan.survive {
            (out, err) = (adopt::reopened(&out).map_err(failed)?, adopt::reopened(&err).map_err(failed)?);
        }
        let cgroup = self.cgroups.as_ref().map(|it| it.enter(&marker)).transpose().map_err(failed)?;
        let started = self.starter.start(Start { recipe, out, err, cgroup }).await.map_err(failed)?;
        let launched = started.map_err(|it| why(plan, it))?;
        if plan.survive {
            let process = Identity::of(raw(launched.pid));
            let survivor = process.map(|process| Survivor { process, marker, plan: adopt::digest(plan) });
            self.memory.put(&plan.name, survivor).map_err(failed)?;
        }
        Ok(launched)
    }

    fn ask(&self, pid: Pid, signal: StopSignal) {
        let signal = match signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
            StopSignal::Hup => Signal::HUP,
            StopSignal::Usr1 => Signal::USR1,
            StopSignal::Usr2 => Signal::USR2,
            StopSignal::Winch => Signal::WINCH,
        };
        self.table.signal(pid, signal);
    }

    fn signal(&self, pid: Pid, signal: protocol::Signal) -> bool {
        self.table.signal_alone(pid, signal)
    }

    fn kill(&self, pid: Pid) {
        self.table.signal(pid, Signal::KILL);
    }

    async fn sweep(&self, name: &ProcessName, pid: Pid, patience: Duration) -> usize {
        let adopted = self.adopted().remove(&pid);
        let own = adopted.is_none();
        let marker = adopted.unwrap_or_else(|| self.marker(name));
        let empty = || self.cgroups.as_ref().is_none_or(|it| it.is_empty(&marker));
        let left = if own && self.table.nothing_orphaned() && empty() {
            0
        } else {
            // What our children leave becomes ours; what adopted ones leave becomes somebody else's.
            let suspects = || if own { self.table.orphans() } else { proc::all().into_iter().collect() };
            self.end(patience, Some(&marker), || self.left_of(raw(pid), &marker, suspects())).await
        };
        // If it cannot be written, the next supervisor finds out that the process has ended.
        let _ = self.memory.put(name, None);
        left
    }

    fn rest(&self) {
        rest::begin();
    }

    async fn finish(&self) -> usize {
        let survivors = std::mem::take(&mut *self.inherited());
        let left = self
            .end(Duration::ZERO, None, || {
                let mut left = Left { found: proc::trees(proc::children(proc::own())), unclear: false };
                for it in survivors.values() {
                    let Left { found, unclear } = self.left_of(it.process.pid, &it.marker, proc::all());
                    left.found.extend(found);
                    left.unclear |= unclear;
                }
                left
            })
            .await;
        self.memory.end();
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove(self.own);
        }
        left
    }
}

/// Passes on what an adopted process writes.
async fn forward(from: OwnedFd, to: OwnedFd) {
    let ends = (pipe::Receiver::from_owned_fd(from), pipe::Sender::from_owned_fd(to));
    if let (Ok(mut from), Ok(mut to)) = ends {
        // It ends with the process, or with whoever reads.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }
}
