//! The real launcher. With [`entrance`](crate::entrance), the only place that calls the kernel about processes.
//!
//! Three parts share one table of the processes that live: a thread that starts them (they are killed when it ends,
//! so it lives as long as the launcher), a task that reaps whatever dies below us, and the callers, who signal. Reaping
//! and signalling hold the table's lock, so that a signal never reaches a process that has the number of a dead one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use ecosystem::StopSignal;
use rustix::process::{Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, wait};
use spec::ids::ProcessName;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::core::{Exit, Pid};
use crate::entrance::Entrance;
use crate::launcher::{Launched, Launcher, Output, Plan};
use crate::proc;

/// The variable that marks what a process starts, however far it moves away. Its value is unique to the supervisor's
/// run and the process.
pub(crate) const MARKER: &str = "ROSTER_PROCESS";

/// Between two looks for what is left, if no death of a child wakes us before.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// For the kernel to end what was killed; what is in an uninterruptible call can take longer, and is then reported.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Starts processes on Linux. There is one in a program, which has no children besides: it reaps all of them.
#[derive(Debug)]
pub struct Linux {
    requests: mpsc::Sender<Request>,
    table: Arc<Table>,
    reaper: JoinHandle<()>,
    /// Unique to this run of the supervisor.
    token: String,
}

#[derive(Debug)]
struct Request {
    plan: Plan,
    marker: String,
    output: Output,
    report: OwnedFd,
    answer: oneshot::Sender<io::Result<Launched>>,
}

#[derive(Debug, Default)]
struct Table {
    live: Mutex<BTreeMap<i32, oneshot::Sender<Exit>>>,
    /// Something has been reaped.
    reaped: Notify,
}

impl Table {
    fn live(&self) -> MutexGuard<'_, BTreeMap<i32, oneshot::Sender<Exit>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, pid: Pid, signal: Signal) {
        let live = self.live();
        let raw = raw(pid);
        if let Some(group) = proc::pid(raw).filter(|_| live.contains_key(&raw)) {
            // It has not been reaped, so its number is its own; it may be dead, which is no error.
            let _ = kill_process_group(group, signal);
        }
    }

    fn reap(&self) {
        let mut live = self.live();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            // What is not in the table was orphaned, and we are its parent now.
            if let Some(waiting) = live.remove(&pid.as_raw_nonzero().get()) {
                let _ = waiting.send(exit(status));
            }
        }
        drop(live);
        self.reaped.notify_waiters();
    }
}

impl Linux {
    /// Becomes the parent of whatever is orphaned below this program, and starts to reap. Call it within a Tokio
    /// runtime with IO and time.
    pub fn begin(entrance: Entrance) -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(getpid()))?;
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
        let (requests, orders) = mpsc::channel::<Request>();
        std::thread::Builder::new().name("launcher".into()).spawn({
            let table = table.clone();
            move || {
                for it in orders {
                    let launched = spawn(&entrance, &table, &it);
                    // The other ends of these pipes are read to their end.
                    drop((it.output, it.report));
                    let _ = it.answer.send(launched);
                }
            }
        })?;
        Ok(Self { requests, table, reaper, token: format!("{}.{}", own(), proc::started(own())) })
    }

    fn marker(&self, name: &ProcessName) -> String {
        format!("{}:{name}", self.token)
    }

    /// Ends everything that `left` finds, again and again until it finds nothing.
    async fn end(&self, patience: Duration, left: impl Fn() -> Vec<i32> + Send) -> usize {
        let kill_at = Instant::now() + patience;
        let give_up_at = kill_at + KILL_PATIENCE;
        let mut asked = BTreeSet::new();
        loop {
            // Listening comes first: what dies after the look is heard.
            let reaped = self.table.reaped.notified();
            let left = left();
            let now = Instant::now();
            if left.is_empty() || now >= give_up_at {
                return left.len();
            }
            for it in left {
                let signal = if now >= kill_at { Signal::KILL } else { Signal::TERM };
                if let Some(pid) = proc::pid(it).filter(|_| signal == Signal::KILL || asked.insert(it)) {
                    let _ = kill_process(pid, signal);
                }
            }
            let _ = timeout(LOOK_AGAIN, reaped).await;
        }
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

impl Launcher for Linux {
    async fn launch(&self, plan: &Plan, output: Output) -> Result<Launched, Arc<str>> {
        let failed = |error: io::Error| -> Arc<str> { error.to_string().into() };
        let (reports, report) = io::pipe().map_err(failed)?;
        let (answer, answered) = oneshot::channel();
        let (plan, marker) = (plan.clone(), self.marker(&plan.name));
        let request = Request { plan, marker, output, report: report.into(), answer };
        let gone = || Arc::from("the launcher ended");
        self.requests.send(request).map_err(|_| gone())?;
        let launched = answered.await.map_err(|_| gone())?.map_err(failed)?;

        // The report is closed, empty, when the child's own program runs.
        let mut reports = pipe::Receiver::from_owned_fd(reports.into()).map_err(failed)?;
        let mut why = String::new();
        reports.read_to_string(&mut why).await.map_err(failed)?;
        if why.is_empty() { Ok(launched) } else { Err(why.into()) }
    }

    fn ask(&self, pid: Pid, signal: StopSignal) {
        let signal = match signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
        };
        self.table.signal(pid, signal);
    }

    fn kill(&self, pid: Pid) {
        self.table.signal(pid, Signal::KILL);
    }

    async fn sweep(&self, name: &ProcessName, pid: Pid, patience: Duration) -> usize {
        let (pid, variable) = (raw(pid), format!("{MARKER}={}", self.marker(name)));
        // Its orphans are ours now; what is below another process that lives belongs to that one.
        let left = || {
            let (all, others) = (proc::all(), self.table.live().keys().copied().collect());
            let orphans = proc::descendants(&all, own(), &others);
            let theirs = |it: &i32| {
                all.get(it).is_some_and(|it| it.session == pid || it.group == pid)
                    || proc::has_variable(*it, &variable)
            };
            let heads: Vec<i32> = orphans.into_iter().filter(theirs).collect();
            let below = heads.iter().flat_map(|it| proc::descendants(&all, *it, &others));
            let mut left: Vec<i32> = heads.iter().copied().chain(below).collect();
            left.sort_unstable();
            left.dedup();
            left
        };
        self.end(patience, left).await
    }

    async fn finish(&self) -> usize {
        self.end(Duration::ZERO, || proc::descendants(&proc::all(), own(), &BTreeSet::new())).await
    }
}

fn spawn(entrance: &Entrance, table: &Table, request: &Request) -> io::Result<Launched> {
    let Request { plan, marker, output, report, .. } = request;
    let mut command = entrance.command(&plan.cwd, &plan.script, &plan.args);
    command.env_clear();
    command.envs(plan.env.iter().map(|(key, value)| (key.as_str(), value.expose())));
    command.env(MARKER, marker);
    let stdio = |fd: &OwnedFd| Ok::<_, io::Error>(Stdio::from(File::from(fd.try_clone()?)));
    command.stdin(stdio(report)?).stdout(stdio(&output.out)?).stderr(stdio(&output.err)?);
    let (dead, exit) = oneshot::channel();
    // Until it is in the table nobody may reap it.
    let mut live = table.live();
    let id = command.spawn()?.id();
    live.insert(i32::try_from(id).map_err(io::Error::other)?, dead);
    let pid = Pid(id.try_into().map_err(io::Error::other)?);
    Ok(Launched { pid, exit })
}

fn own() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn raw(pid: Pid) -> i32 {
    i32::try_from(pid.0.get()).unwrap_or_default()
}

fn exit(status: WaitStatus) -> Exit {
    match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or_default()),
    }
}
