//! What the service mapping offers, in domain types that cannot contradict themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Binding, Install};
use crate::ids::{EnvKey, JobType, PortName, ServiceName, StageName, WorkerName};
use crate::source::Place;
use crate::template::Template;

/// Every worker type, service and build stage that a roster may name. Every reference in it resolves.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// By name.
    pub workers: BTreeMap<WorkerName, Arc<WorkerType>>,
    /// By name.
    pub services: BTreeMap<ServiceName, Arc<ServiceType>>,
    /// By name.
    pub stages: BTreeMap<StageName, BuildStage>,
}

/// What a worker process of one type claims, and through which connector.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerType {
    /// `comfyui` in `comfyui:2`.
    pub name: WorkerName,
    /// One line for people.
    pub description: String,
    /// The service it works on.
    pub service: ServiceName,
    /// The code that speaks the service's protocol.
    pub connector: Connector,
    /// The `service_required` values it claims; never empty.
    pub accepts: Vec<JobType>,
    /// Own process, or slot of one.
    pub isolation: Isolation,
    /// The variables it reads.
    pub env: Vec<EnvNeed>,
    /// Memory of one worker, in MiB: above it the supervisor restarts the process.
    pub memory_mib: NonZeroU32,
    /// Seconds that a worker may take to finish its job when it is asked to stop.
    pub stop_grace_s: NonZeroU16,
}

/// A protocol that Roster's workers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is named like the service whose protocol it speaks")]
pub enum Connector {
    A1111,
    Comfyui,
    ComfyuiRemote,
    ComfyuiWebsocket,
    Ollama,
    Openai,
    Playwright,
    Replicate,
    Runpod,
    Simulation,
}

impl Connector {
    /// The word in the mapping and in `CONNECTOR`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A1111 => "a1111",
            Self::Comfyui => "comfyui",
            Self::ComfyuiRemote => "comfyui-remote",
            Self::ComfyuiWebsocket => "comfyui-websocket",
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::Playwright => "playwright",
            Self::Replicate => "replicate",
            Self::Runpod => "runpod",
            Self::Simulation => "simulation",
        }
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether each worker of a type is a process of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One process a worker: a crash takes one job with it.
    #[default]
    Process,
    /// All workers of the type are slots of one process: little memory for many workers that only wait.
    SharedProcess,
}

/// A variable that a worker or service reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvNeed {
    /// Its name.
    pub key: EnvKey,
    /// Absent or empty is an error.
    pub required: bool,
    /// It travels as a secret, whatever source it comes from.
    pub secret: bool,
}

/// What must run, or be reachable, for a worker to work.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceType {
    /// Its name.
    pub name: ServiceName,
    /// One line for people.
    pub description: String,
    /// Here or elsewhere.
    pub hosting: Hosting,
    /// The variables that its processes read.
    pub env: Vec<EnvNeed>,
    /// How to see that it is installed, running and healthy.
    pub probes: Probes,
}

impl ServiceType {
    /// What an instance occupies.
    pub fn binding(&self) -> Binding {
        match &self.hosting {
            Hosting::External => Binding::Shared,
            Hosting::Local(LocalService { occupies: Occupies::Gpu { .. }, .. }) => Binding::Gpu,
            Hosting::Local(LocalService { occupies: Occupies::Machine { .. }, .. }) => Binding::Cpu,
        }
    }

    /// The local half, when it runs on this machine.
    pub fn local(&self) -> Option<&LocalService> {
        match &self.hosting {
            Hosting::Local(local) => Some(local),
            Hosting::External => None,
        }
    }
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq)]
pub enum Hosting {
    /// Elsewhere; reached over the network.
    External,
    /// On this machine, as processes that we start.
    Local(LocalService),
}

/// A service that runs on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalService {
    /// What one instance occupies, and how many there may be.
    pub occupies: Occupies,
    /// The smallest build stage that holds it.
    pub build_stage: StageName,
    /// How it is installed before its first start; `None` when the image holds it.
    pub install: Option<Box<Install>>,
    /// Its ports, in the order of the mapping; never empty of names twice.
    pub ports: Vec<PortRule>,
    /// How one instance is started.
    pub start: Start,
    /// What it keeps outside its container.
    pub volumes: Vec<Volume>,
    /// Memory of one instance, in MiB: above it the supervisor restarts it.
    pub memory_mib: NonZeroU32,
}

/// What one instance of a local service occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupies {
    /// A part of a GPU (or MIG slice).
    Gpu {
        /// The most instances on one device.
        instances_per_gpu: NonZeroU8,
        /// Device memory of one instance, in MiB.
        vram_mib: NonZeroU32,
        /// It shares its device with no other service.
        exclusive: bool,
    },
    /// The machine's processor.
    Machine {
        /// The most instances on one machine.
        instances: NonZeroU16,
    },
}

/// How an instance gets a port: `base + increment × instance`.
#[derive(Clone, Debug, PartialEq)]
pub struct PortRule {
    /// `http`.
    pub name: PortName,
    /// The port of instance 0.
    pub base: u16,
    /// Added for each further instance.
    pub increment: u16,
    /// The variable that may replace `base`.
    pub variable: Option<EnvKey>,
    /// Who said `base`: the mapping, or the source of `variable`.
    pub base_from: Place,
}

impl PortRule {
    /// The port of an instance; `None` above 65,535.
    pub fn port_of(&self, instance: u16) -> Option<u16> {
        self.increment.checked_mul(instance).and_then(|it| it.checked_add(self.base))
    }
}

/// How one instance is started. In its templates stand `${PORT}` (the first port), `${PORT_<NAME>}`, `${INSTANCE}`,
/// `${NAME}`, `${LISTEN}` and `${WORKSPACE}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Program and arguments; never empty.
    pub command: Vec<Template>,
    /// Added to the arguments when the inventory is mock.
    pub mock_arguments: Vec<Template>,
    /// Its working directory.
    pub working_directory: Template,
    /// Variables set for it alone.
    pub env: BTreeMap<EnvKey, Template>,
    /// Seconds from start to healthy before it counts as failed.
    pub ready_within_s: NonZeroU32,
    /// Seconds between the ask to stop and the kill.
    pub stop_grace_s: NonZeroU16,
}

impl Start {
    /// Whether an instance is told where to listen, by `${LISTEN}`. One that is not listens on the loopback of its
    /// container, as far as anybody knows.
    pub fn says_where_to_listen(&self) -> bool {
        let texts = self.command.iter().chain(self.env.values());
        texts.flat_map(Template::references).any(|it| it.as_str() == LISTEN)
    }
}

/// The placeholder of the address that an instance is to listen on.
const LISTEN: &str = "LISTEN";

/// The placeholders of [`Start`] other than `PORT_<NAME>`.
pub const PLACEHOLDERS: [&str; 5] = ["PORT", "INSTANCE", "NAME", LISTEN, "WORKSPACE"];

/// Something that outlives the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The volume's name; two services that name the same volume share it.
    pub name: PortName,
    /// Its path in the container: absolute, or below `${WORKSPACE}`.
    pub path: String,
    /// Nobody may write.
    pub read_only: bool,
}

impl Volume {
    /// Its absolute path on a machine with this workspace.
    pub fn path_in(&self, workspace: &str) -> String {
        match self.path.strip_prefix("${WORKSPACE}") {
            Some(rest) => format!("{workspace}{rest}"),
            None => self.path.clone(),
        }
    }
}

/// How to see a service's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    /// It is there.
    pub install: Probe,
    /// It is running.
    pub run: Probe,
    /// It does its work.
    pub health: Probe,
}

/// One look at a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// The supervisor holds a live process.
    Process,
    /// A file exists.
    File {
        /// Its path; the placeholders of [`Start`] are allowed.
        path: Template,
    },
    /// A program exits with 0.
    Exec {
        /// Program and arguments.
        command: Vec<Template>,
    },
    /// Something listens.
    Tcp {
        /// On this port of the instance.
        port: PortName,
    },
    /// A GET answers with a status below 400.
    Http {
        /// On this port of the instance.
        port: PortName,
        /// From `/`.
        path: String,
    },
    /// The variables are set and not empty.
    Variables {
        /// Their names; never empty.
        set: BTreeSet<EnvKey>,
    },
    /// A GET on a URL answers with a status below 500.
    Url {
        /// The variable that holds the address.
        variable: EnvKey,
        /// Appended to it.
        path: String,
    },
}

/// A target of `docker/Dockerfile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildStage {
    /// Its name.
    pub name: StageName,
    /// The stage that it starts from.
    pub from: Option<StageName>,
    /// Every service in it, those of the stages below it included.
    pub provides: BTreeSet<ServiceName>,
}
