//! What is said about processes that run.

use ecosystem::Kind;
use serde::{Deserialize, Serialize};
use spec::ids::{MachineId, ProcessName, ServiceName};

use crate::metrics::Usage;

/// What every process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Whose.
    pub machine: MachineId,
    /// The process that runs it.
    pub supervisor: u32,
    /// Everything is to go down.
    pub stopping: bool,
    /// One a process, in the order of the document: `setup`, then `apps`.
    pub processes: Vec<Seen>,
}

/// What one process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its name.
    pub name: ProcessName,
    /// What kind of process it is.
    pub kind: Kind,
    /// The service that it is an instance of, works on, or installs.
    pub service: ServiceName,
    /// What it does, in one word: `waiting`, `launching`, `started`, `ready`, `healthy`, `unhealthy`, `stopping`,
    /// `killing`, `sweeping`, `backing off`, `failed`, `completed`, `stopped`, `gone`.
    pub state: String,
    /// Why, when that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Its number, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Milliseconds that it has been in this state.
    pub state_ms: u64,
    /// Milliseconds since it was launched, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
    /// Milliseconds until it is started again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_in_ms: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Processes that it had started and that could not be ended when it died.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left: usize,
    /// What it uses with all that it started, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Use>,
    /// The ports that it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// What a process uses with all that it started.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// Of one processor: since somebody last looked, or else since it was started.
    pub cpu_percent: f64,
    /// What is shared is counted in parts, where the kernel lets us see it.
    pub memory_bytes: u64,
    /// Open files.
    pub open_fds: u64,
    /// Processes.
    pub processes: u64,
}

impl Use {
    pub(crate) fn of(usage: &Usage) -> Self {
        let it = &usage.tree;
        let average = it.cpu_seconds_total / usage.uptime_seconds.max(f64::MIN_POSITIVE) * 100.0;
        Self {
            cpu_percent: it.cpu_percent.unwrap_or(average),
            memory_bytes: it.memory_bytes,
            open_fds: it.open_fds,
            processes: it.processes,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(it: &usize) -> bool {
    *it == 0
}

impl Seen {
    /// Whether it does what it is there for: it is healthy, or has done its work.
    pub fn is_well(&self) -> bool {
        matches!(self.state.as_str(), "healthy" | "completed")
    }

    /// Whether it is down because of something that is wrong, or waits for what is.
    pub fn is_in_trouble(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "gone" | "unhealthy" | "backing off" | "blocked")
    }
}
