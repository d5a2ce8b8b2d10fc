//! Processes, and the workers among them.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use spec::ids::{ProcessName, WorkerId};

use super::Millis;

/// A process in the words of its supervisor.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// What it does.
    pub phase: Phase,
    /// Since when.
    pub since: Millis,
    /// Its number, while it lives.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// What was wrong, when it last ended or was replaced because something was.
    pub trouble: Option<Trouble>,
    /// What it uses, with all that it has started, if that was measured.
    pub usage: Option<Usage>,
}

/// What a process does. `supervisor::ProcessState`, as much as matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for what it needs.
    Waiting,
    /// It is being started.
    Launching,
    /// It runs, and its readiness probe has not succeeded yet.
    Started,
    /// It is ready, and its health probe has not succeeded yet.
    Ready,
    /// It is well.
    Healthy,
    /// It lives, and its health probe fails.
    Unhealthy,
    /// It is being stopped, to start again.
    Restarting,
    /// It is being stopped, for good.
    Stopping,
    /// It ended in trouble and is started again at a moment.
    BackingOff {
        /// When.
        until: Millis,
    },
    /// Its budget of starts is used up.
    Failed {
        /// When it is tried again all the same.
        retry_at: Option<Millis>,
    },
    /// A one-shot that did what it was for.
    Completed,
    /// Somebody stopped it.
    Stopped,
    /// It ended, and is not started again.
    Gone,
}

impl Phase {
    /// Whether somebody asked for it to stop, and it has or is about to.
    pub fn is_unwanted(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped)
    }
}

/// What was wrong with a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It ended with a code.
    Exited {
        /// The code.
        code: i32,
    },
    /// A signal ended it.
    Killed {
        /// Which.
        signal: i32,
        /// The kernel did, for want of memory.
        out_of_memory: bool,
    },
    /// It ended, and nobody knows how.
    Vanished,
    /// It could not be started.
    NotStarted {
        /// Why.
        why: String,
    },
    /// It was not healthy in time.
    TooSlow {
        /// How much time it had.
        within: Duration,
    },
    /// It lived, and its probe failed too often.
    Unresponsive {
        /// Looks in a row.
        looks: u32,
    },
    /// It used more memory than it may.
    Memory {
        /// Bytes that it used.
        bytes: u64,
        /// Bytes that it may use.
        limit: u64,
    },
}

/// What a process and all that it has started use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processor time, since it was started.
    pub cpu_seconds: f64,
    /// Of one core, of late.
    pub cpu_percent: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Since it was started.
    pub uptime: Duration,
    /// Open files.
    pub open_files: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The name of its process: `comfyui-worker-0`.
    pub name: ProcessName,
    /// What the queue calls it.
    pub id: WorkerId,
    /// Its connector: `comfyui`.
    pub connector: String,
    /// The job types that it accepts.
    pub accepts: Vec<String>,
    /// The processes that it needs: its service, first of all.
    pub needs: Vec<ProcessName>,
    /// The GPU of its service, if that has one.
    pub gpu: Option<u32>,
    /// What the supervisor says.
    pub process: Process,
    /// Why the machine has stopped it, to start it again later: `memory is short`. Nothing while it has not.
    pub held: Option<String>,
    /// What it works on.
    pub job: Option<Job>,
    /// What it has done since it was started.
    pub counts: Counts,
}

impl Worker {
    /// Whether somebody asked for it to stop, and it has or is about to. What the machine holds back is wanted.
    pub fn is_unwanted(&self) -> bool {
        self.held.is_none() && self.process.phase.is_unwanted()
    }
}

/// What a worker works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// Since when.
    pub since: Millis,
    /// How far it is, in percent.
    pub percent: Option<u8>,
    /// What it does, in the words of its connector.
    pub message: Option<String>,
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs claimed.
    pub claimed: u64,
    /// Done.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Given back undone.
    pub handed_back: u64,
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Exited { code } => write!(f, "exited {code}"),
            // As shells number it.
            Self::Killed { signal, out_of_memory: true } => {
                write!(f, "exited {} (killed by the kernel: out of memory)", 128 + signal)
            }
            Self::Killed { signal, out_of_memory: false } => {
                write!(f, "exited {} (ended by signal {signal})", 128 + signal)
            }
            Self::Vanished => f.write_str("ended, nobody knows how"),
            Self::NotStarted { why } => write!(f, "could not be started: {why}"),
            Self::TooSlow { within } => write!(f, "not healthy within {} s", within.as_secs()),
            Self::Unresponsive { looks } => write!(f, "its probe failed {looks} times in a row"),
            Self::Memory { bytes, limit } => {
                write!(f, "{} MiB of memory, above its limit of {} MiB", bytes >> 20, limit >> 20)
            }
        }
    }
}
