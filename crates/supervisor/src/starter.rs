//! The threads that start processes.
//!
//! The kernel kills a process when the thread that started it ends (`PR_SET_PDEATHSIG`), so these live as long as the
//! supervisor. Each waits until its child is its own program. Two keep a machine busy; when all of them wait for a disk
//! that does not answer, another one is hired for those who have come since.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::core::Pid;
use crate::launcher::Launched;
use crate::recipe::Failure;
use crate::spawn::{self, Recipe, Stack, Wires};
use crate::table::Table;

/// At the beginning.
const THREADS: usize = 2;
/// Without any start for so long, somebody who waits gets a thread of his own.
const STUCK: Duration = Duration::from_millis(200);

/// One start. It holds secrets.
pub(crate) struct Start {
    pub recipe: Recipe,
    pub out: OwnedFd,
    pub err: OwnedFd,
    /// The folder of its control group.
    pub cgroup: Option<OwnedFd>,
}

type Started = io::Result<Result<Launched, Failure>>;

/// The threads, as others see them. They end with this.
#[derive(Debug)]
pub(crate) struct Starter {
    desk: Arc<Desk>,
    table: Arc<Table>,
}

#[derive(Debug)]
struct Desk {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    queue: VecDeque<(Start, oneshot::Sender<Started>)>,
    closed: bool,
    /// How many have been taken from the queue,
    taken: u64,
    /// and how many when somebody last looked, and when that was.
    seen: (u64, Instant),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queue", &self.queue.len())
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one, or `None` at the end.
    fn take(&self) -> Option<(Start, oneshot::Sender<Started>)> {
        let idle = |it: &mut State| it.queue.is_empty() && !it.closed;
        let mut state = self.more.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        state.taken += 1;
        state.queue.pop_front()
    }

    /// Whether nobody has got his turn for a while.
    fn is_stuck(&self) -> bool {
        let mut state = self.state();
        let (seen, at) = state.seen;
        if state.queue.is_empty() || at.elapsed() < STUCK {
            return false;
        }
        state.seen = (state.taken, Instant::now());
        seen == state.taken
    }
}

impl Starter {
    pub(crate) fn begin(table: Arc<Table>) -> io::Result<Self> {
        let state = State { queue: VecDeque::new(), closed: false, taken: 0, seen: (0, Instant::now()) };
        let it = Self { desk: Arc::new(Desk { state: Mutex::new(state), more: Condvar::new() }), table };
        (0..THREADS).try_for_each(|_| it.hire())?;
        Ok(it)
    }

    fn hire(&self) -> io::Result<()> {
        let (desk, table) = (self.desk.clone(), self.table.clone());
        let work = move || {
            let blocked = spawn::block_signals().map_err(|it| it.kind());
            let mut stack = Stack::new();
            while let Some((start, answer)) = desk.take() {
                let started = blocked.map_err(Into::into).and_then(|()| run(&table, &start, &mut stack));
                // Nobody waits for what is not wanted any more.
                if let Err(Ok(Ok(unwanted))) = answer.send(started) {
                    table.signal(unwanted.pid, Signal::KILL);
                }
            }
        };
        std::thread::Builder::new().name("launcher".into()).spawn(work).map(drop)
    }

    /// Starts a process, and waits until its own program runs.
    pub(crate) async fn start(&self, start: Start) -> Started {
        let (answer, mut answered) = oneshot::channel();
        self.desk.state().queue.push_back((start, answer));
        self.desk.more.notify_one();
        loop {
            match timeout(STUCK, &mut answered).await {
                Ok(it) => return it.map_err(|_| io::Error::other("the launcher ended"))?,
                Err(_) if self.desk.is_stuck() => self.hire()?,
                Err(_) => {}
            }
        }
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        self.desk.state().closed = true;
        self.desk.more.notify_all();
    }
}

fn run(table: &Table, it: &Start, stack: &mut Stack) -> Started {
    let cgroup = it.cgroup.as_ref().map(AsFd::as_fd);
    let wires = Wires { out: it.out.as_fd(), err: it.err.as_fd(), cgroup };
    let place = table.expect();
    let child = match spawn::spawn(&it.recipe, wires, stack)? {
        Ok(it) => it,
        Err(failure) => return Ok(Err(failure)),
    };
    let pid = u32::try_from(child.as_raw_nonzero().get()).ok().and_then(|it| it.try_into().ok());
    let pid = Pid(pid.ok_or_else(|| io::Error::other("a process without a number"))?);
    Ok(Ok(Launched { pid, exit: place.take(child) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_is_hired_only_while_somebody_waits_and_nobody_is_served() {
        let long_ago = Instant::now().checked_sub(STUCK).unwrap();
        let state = State { queue: VecDeque::new(), closed: false, taken: 3, seen: (3, long_ago) };
        let desk = Desk { state: Mutex::new(state), more: Condvar::new() };
        assert!(!desk.is_stuck(), "nobody waits");
        let (file, _) = io::pipe().unwrap();
        let file = || OwnedFd::from(file.try_clone().unwrap());
        let recipe = Recipe {
            programs: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            cwd: c"/".into(),
            identity: None,
            umask: None,
            limits: Vec::new(),
            oom_score_adj: None,
            survive: false,
        };
        let (answer, _answered) = oneshot::channel();
        desk.state().queue.push_back((Start { recipe, out: file(), err: file(), cgroup: None }, answer));
        assert!(desk.is_stuck());
        assert!(!desk.is_stuck(), "it was looked at just now");
        desk.state().seen = (2, long_ago);
        assert!(!desk.is_stuck(), "somebody was served since");
    }
}
