//! What is known of a machine at one moment. Whoever runs the machine makes these; nothing here is judged yet.

use std::time::Duration;

use spec::ids::{MachineId, ProcessName, ProfileName, ServiceName};

use crate::words::words;

mod devices;
mod process;

pub use devices::{Disk, Gpu, Interface, Reading, RedisLink};
pub use process::{Counts, Job, Phase, Process, Trouble, Usage, Worker};

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

impl Facts {
    /// A machine that has just been started and knows nothing yet.
    pub fn starting(id: MachineId, version: impl Into<String>, at: Millis) -> Self {
        let machine = Machine {
            id,
            version: version.into(),
            profile: None,
            generation: None,
            started: at,
            stage: Stage::Configuration,
            percent: None,
            doing: None,
            recovery: Recovery::Healthy,
            recovery_cause: None,
        };
        Self {
            at,
            machine,
            services: vec![],
            workers: vec![],
            gpus: vec![],
            redis: RedisLink::Unneeded,
            disks: vec![],
            interfaces: vec![],
        }
    }
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

impl Service {
    /// Whether somebody asked for its process to stop, and it has or is about to.
    pub fn is_unwanted(&self) -> bool {
        self.process.as_ref().is_some_and(|it| it.phase.is_unwanted())
    }
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
    /// It was to be put there, and that failed.
    Failed {
        /// What was being done: `probe`.
        step: String,
        /// Why that failed.
        why: String,
        /// The last that was written by the program that failed, on one line. May be empty.
        output: String,
        /// What to do, as an imperative sentence.
        fix: String,
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
