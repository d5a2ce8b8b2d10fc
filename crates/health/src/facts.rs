//! What is known of a machine at one moment. Whoever runs the machine makes these; nothing here is judged yet.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use spec::ids::{MachineId, ProcessName, ProfileName, ServiceName, WorkerId};

use crate::words::words;

/// A moment: milliseconds since 1970-01-01 UTC.
pub type Millis = u64;

/// Everything that is known of a machine at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// When they were gathered.
    pub at: Millis,
    /// The machine.
    pub machine: Machine,
    /// Every service of the mapping: those of the plan by the names of their processes, and those that the plan has no
    /// use for by their own. One-shots of the shared set-up are services too.
    pub services: Vec<Service>,
    /// Every worker of the plan.
    pub workers: Vec<Worker>,
    /// Every GPU, in the order of their indices.
    pub gpus: Vec<Gpu>,
    /// The way to Redis.
    pub redis: RedisLink,
    /// The file systems that the machine writes to.
    pub disks: Vec<Disk>,
    /// The network interfaces, without loopback.
    pub interfaces: Vec<Interface>,
}

/// The machine as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub id: MachineId,
    /// The version of Roster.
    pub version: String,
    /// The profile that it was built for.
    pub profile: Option<ProfileName>,
    /// The generation of files that it runs.
    pub generation: Option<String>,
    /// When `roster run` was started.
    pub started: Millis,
    /// How far the start-up, or the end, has come.
    pub stage: Stage,
    /// How much of [`Self::stage`] is done, in percent, if that is known.
    pub percent: Option<u8>,
    /// What is being done just now, in a few words: `installs models`.
    pub doing: Option<String>,
    /// What is being recovered from.
    pub recovery: Recovery,
    /// Why: `comfyui-gpu0 exited 1`. Nothing while healthy.
    pub recovery_cause: Option<String>,
}

words! {
    /// The steps of the start-up sequence in their order, and the end.
    Stage {
        /// Reads the configuration.
        Configuration = "configuration",
        /// Ends what an earlier run has left.
        CleanUp = "clean_up",
        /// Looks for GPUs, cores and memory, or takes what was declared.
        Inventory = "inventory",
        /// Places the instances.
        Allocation = "allocation",
        /// Writes the processes down.
        Ecosystem = "ecosystem",
        /// Makes itself known in Redis.
        Registration = "registration",
        /// Runs the one-shots that all services share.
        SharedSetup = "shared_setup",
        /// Starts the services, by dependency.
        Services = "services",
        /// Starts the workers.
        Workers = "workers",
        /// The start-up is complete.
        Running = "running",
        /// Claims nothing more, and finishes what it has.
        Draining = "draining",
        /// Ends its processes.
        Stopping = "stopping",
    }
    /// The recovery states of a machine.
    Recovery {
        /// Nothing to recover from.
        Healthy = "healthy",
        /// A process that failed is started again.
        Restarting = "restarting",
        /// Redis is looked for.
        Reconnecting = "reconnecting",
        /// Memory, disk or a GPU is short, and is being freed.
        ResourceRecovery = "resource_recovery",
        /// Nothing helps: the machine hands its jobs back and ends.
        Failed = "failed",
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `comfyui-gpu0`: the name of its process, or of its entry in the mapping.
    pub name: ProcessName,
    /// Its entry in the mapping: `comfyui`. A one-shot of the set-up has none.
    pub kind: Option<ServiceName>,
    /// What the plan says of it.
    pub plan: Planned,
    /// What the install probe says.
    pub install: Install,
    /// What the supervisor says; nothing for a service that runs elsewhere and can only be reached.
    pub process: Option<Process>,
    /// What the machine's own probe says of it.
    pub probe: Probe,
    /// Where it listens.
    pub port: Option<u16>,
    /// The indices of its GPUs.
    pub gpus: Vec<u32>,
    /// The processes that it needs.
    pub needs: Vec<ProcessName>,
}

/// What the plan says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// The mapping knows it, the plan has no use for it.
    Absent,
    /// The plan has it, and it is switched off.
    Disabled,
    /// It is to run.
    Enabled,
}

/// What the install probe says of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Install {
    /// It is there, or there is nothing to install.
    Present,
    /// Nobody has looked yet.
    Unknown,
    /// It is being put there.
    Underway {
        /// What is being done: `model sync`.
        step: String,
        /// How much of it, in percent.
        percent: Option<u8>,
    },
    /// It is not there.
    Missing {
        /// What: `/opt/comfyui/main.py`.
        what: String,
    },
}

/// What a probe says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// There is none: what the supervisor says counts.
    Unneeded,
    /// It has not answered yet.
    Pending,
    /// It was well at the last look.
    Passing {
        /// How long the answer took.
        took: Duration,
    },
    /// It was not.
    Failing {
        /// In the words of the probe: `no answer within 2 s`.
        why: String,
    },
}

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
    /// What it works on.
    pub job: Option<Job>,
    /// What it has done since it was started.
    pub counts: Counts,
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

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpu {
    /// Its index.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its name.
    pub name: String,
    /// Bytes of its memory.
    pub memory_total: u64,
    /// What it does; nothing where it cannot be asked: a declared or mock inventory.
    pub reading: Option<Reading>,
    /// Why it could not be asked: `GPU is lost`.
    pub fault: Option<String>,
}

/// What a GPU does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Bytes of its memory in use.
    pub memory_used: u64,
    /// Of the last sample period, the part in which a kernel ran; percent.
    pub utilisation: u8,
    /// Degrees Celsius.
    pub temperature: u32,
    /// Watts; some cards do not tell.
    pub power: Option<f64>,
    /// XID errors since the machine was started.
    pub xid_errors: u64,
    /// The last of them.
    pub last_xid: Option<u64>,
}

/// The way to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisLink {
    /// None was configured.
    Unneeded,
    /// Nobody has asked yet.
    Pending,
    /// It answers.
    Connected {
        /// How long its last answer took.
        latency: Duration,
    },
    /// It does not.
    Lost {
        /// Since when.
        since: Millis,
        /// Why, without a password.
        why: String,
    },
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where it is seen.
    pub path: String,
    /// Bytes of it.
    pub total: u64,
    /// Bytes that may still be written.
    pub free: u64,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
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
