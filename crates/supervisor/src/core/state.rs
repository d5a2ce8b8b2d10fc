//! The states of a process, what can happen to it, and what is then to be done.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ecosystem::StopSignal;

/// A moment: the time since the supervisor began.
pub type Time = Duration;

/// A process of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub NonZeroU32);

/// One process of the ecosystem over all its runs. A pure value: [`step`](super::step) makes the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it does now.
    pub state: ProcessState,
    /// Starts without success in a row.
    pub streak: u32,
    /// How often it was started.
    pub starts: u64,
    /// Where the chance in its back-off comes from.
    pub seed: u64,
}

impl Process {
    /// A process that has not been started.
    pub fn new(seed: u64) -> Self {
        Self { state: ProcessState::Waiting, streak: 0, starts: 0, seed }
    }
}

/// What a process does now. A state has a [`Pid`] if and only if the process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It has not been started: something that it needs is not there yet.
    Waiting,
    /// The launcher was asked; its answer comes.
    Launching {
        /// A stop was asked for meanwhile.
        abort: bool,
    },
    /// It runs.
    Running {
        /// Which run.
        run: Run,
        /// How far it came.
        level: Level,
    },
    /// It was asked to stop.
    Stopping {
        /// Which run.
        run: Run,
        /// When it is killed.
        kill_at: Time,
        /// Why, and what comes then.
        purpose: Purpose,
    },
    /// It was killed; the kernel has not said so yet.
    Killing {
        /// Which run.
        run: Run,
        /// Why, and what comes then.
        purpose: Purpose,
    },
    /// It is dead; what it started is being ended. Nothing replaces it before that is done.
    Sweeping {
        /// Why, and what comes then.
        purpose: Purpose,
    },
    /// It is started again, later.
    BackingOff {
        /// When.
        until: Time,
        /// Why it is not running.
        trouble: Trouble,
    },
    /// Its budget of starts is used up. It is tried again, slowly.
    Failed {
        /// Why it is not running.
        trouble: Trouble,
        /// When it is tried again.
        retry_at: Time,
    },
    /// It is not running and nobody will start it unasked.
    Exited {
        /// How that came.
        end: End,
    },
}

/// One run of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its process.
    pub pid: Pid,
    /// When it was launched.
    pub since: Time,
}

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Its program runs.
    Started {
        /// When it has to be healthy.
        deadline: Option<Time>,
    },
    /// Its probe `ready` succeeded.
    Ready {
        /// When it has to be healthy.
        deadline: Option<Time>,
    },
    /// Its probe `health` succeeds, or nobody looks.
    Healthy {
        /// From when on.
        since: Time,
    },
    /// Its probe `health` succeeded once and fails now.
    Unhealthy {
        /// Failed looks in a row, at least 1.
        failures: u32,
        /// How long it was healthy before.
        well: Duration,
    },
}

/// Why a run ends, and so what comes then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody asked: it stays down.
    Stop,
    /// Somebody asked: it is started anew, at once.
    Restart,
    /// It was in trouble, or ended by itself: the policy decides.
    Replace {
        /// What was wrong.
        trouble: Trouble,
        /// How long it had been healthy.
        well: Duration,
    },
}

/// Why a process that should run does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It ended by itself.
    Ended(Exit),
    /// It could not be started, and why.
    NotLaunched(Arc<str>),
    /// It was not healthy in time.
    NotHealthyWithin(Duration),
    /// It was healthy, and then its probe failed this often in a row.
    Unhealthy(u32),
    /// Its probe `live` failed this often in a row.
    NotLive(u32),
    /// It had more memory than it may.
    Memory {
        /// Bytes that it had.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
}

/// How a process ended, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this number.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody can say: it was adopted, and only the parent of a process is told.
    Unknown,
}

/// How it came that a process is down and stays down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended with 0 and is not one to be started again.
    Completed,
    /// Somebody asked.
    Stopped,
    /// It went wrong, and its policy says that it is not started again.
    Gone(Trouble),
}

/// What can happen to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It shall run.
    Start,
    /// It shall not run.
    Stop,
    /// It shall run anew.
    Restart,
    /// The launcher started it.
    Launched(Pid),
    /// The launcher could not, and why.
    NotLaunched(Arc<str>),
    /// It ended.
    Died(Exit),
    /// Nothing that it had started is left.
    Swept,
    /// Its probe `ready` succeeded.
    Ready,
    /// Its probe `health` succeeded.
    Healthy,
    /// Its probe `health` failed.
    Unhealthy,
    /// Its probe `live` failed this often in a row, which is too often.
    NotLive(u32),
    /// It has this much memory, in bytes.
    Memory(u64),
    /// Time has passed.
    Tick,
}

/// What is to be done. At most one thing follows from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start its program; `Launched` or `NotLaunched` is the answer.
    Launch,
    /// Send the ask to the process and its group.
    Ask(Pid, StopSignal),
    /// Kill the process and its group.
    Kill(Pid),
    /// End whatever it has started and left behind; `Swept` is the answer.
    Sweep {
        /// Until then they are asked, from then on killed.
        kill_at: Time,
    },
}

impl ProcessState {
    /// The process, if it lives.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Running { run, .. } | Self::Stopping { run, .. } | Self::Killing { run, .. } => {
                Some(run.pid)
            }
            Self::Waiting
            | Self::Launching { .. }
            | Self::Sweeping { .. }
            | Self::BackingOff { .. }
            | Self::Failed { .. }
            | Self::Exited { .. } => None,
        }
    }

    /// When the next [`Event::Tick`] can change anything.
    pub fn wakes_at(&self) -> Option<Time> {
        match self {
            Self::Running { level: Level::Started { deadline } | Level::Ready { deadline }, .. } => *deadline,
            Self::Stopping { kill_at, .. } => Some(*kill_at),
            Self::BackingOff { until: at, .. } | Self::Failed { retry_at: at, .. } => Some(*at),
            Self::Running { level: Level::Healthy { .. } | Level::Unhealthy { .. }, .. }
            | Self::Waiting
            | Self::Launching { .. }
            | Self::Killing { .. }
            | Self::Sweeping { .. }
            | Self::Exited { .. } => None,
        }
    }

    /// Whether it runs, or will without being asked.
    pub fn wants_to_run(&self) -> bool {
        match self {
            Self::Launching { abort } => !abort,
            Self::Stopping { purpose, .. } | Self::Killing { purpose, .. } | Self::Sweeping { purpose } => {
                *purpose != Purpose::Stop
            }
            Self::Waiting | Self::Running { .. } | Self::BackingOff { .. } | Self::Failed { .. } => true,
            Self::Exited { .. } => false,
        }
    }

    /// Whether it is down and stays down.
    pub fn has_exited(&self) -> bool {
        matches!(self, Self::Exited { .. })
    }
}
