//! The mapping as people write it. `docs/mapping.md` explains every field to them; the doc comments here become the
//! descriptions of the JSON Schema.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::Deserialize;
use spec::ids::{EnvKey, JobType, PortName, ServiceName, StageName, WorkerName};
use spec::model::{Binding, Connector, Install, Isolation};

/// What Roster knows of every worker, service and build stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappingDocument {
    /// For editors: where the schema is. Not read.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "editors read it")]
    schema: Option<String>,
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    #[allow(dead_code, reason = "the schema lets no other value through")]
    version: u8,
    /// The targets of `docker/Dockerfile`, by name.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) stages: BTreeMap<StageName, StageEntry>,
    /// The workers that a roster can name, by name.
    pub(crate) workers: BTreeMap<WorkerName, WorkerEntry>,
    /// The services that workers work on, by name.
    pub(crate) services: BTreeMap<ServiceName, ServiceEntry>,
}

/// A target of `docker/Dockerfile`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageEntry {
    /// The stage that it starts from, whose services it has too.
    pub(crate) from: Option<StageName>,
    /// The services that this stage adds.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) provides: Vec<ServiceName>,
}

/// What a worker of one type claims, and how it works.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerEntry {
    /// One line for people.
    #[schemars(length(min = 1))]
    pub(crate) description: String,
    /// The service that it works on.
    pub(crate) service: ServiceName,
    /// The code that speaks the service's protocol.
    pub(crate) connector: Connector,
    /// The `service_required` values of the jobs that it claims.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) accepts: Vec<JobType>,
    /// Whether each worker is a process of its own, or all are slots of one.
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// Variables that it cannot do without.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) required_env: Vec<EnvKey>,
    /// Variables that it reads when they are set.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) optional_env: Vec<EnvKey>,
    /// Those of both lists that are secrets.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) secret_env: Vec<EnvKey>,
    /// Memory of one worker, in MiB: above it the supervisor restarts the process.
    #[serde(default = "WorkerEntry::default_memory_mib")]
    pub(crate) memory_mib: NonZeroU32,
    /// Seconds that a worker may take to finish its job when it is asked to stop.
    #[serde(default = "WorkerEntry::default_stop_grace_s")]
    pub(crate) stop_grace_s: NonZeroU16,
}

impl WorkerEntry {
    fn default_memory_mib() -> NonZeroU32 {
        const { NonZeroU32::new(512).expect("not zero") }
    }
    fn default_stop_grace_s() -> NonZeroU16 {
        const { NonZeroU16::new(30).expect("not zero") }
    }
}

/// What must run, or be reachable, for a worker to work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceEntry {
    /// One line for people.
    #[schemars(length(min = 1))]
    pub(crate) description: String,
    /// What one instance occupies: part of a GPU, the machine, or nothing here because the service is elsewhere.
    pub(crate) binding: Binding,
    /// The smallest stage that holds it.
    pub(crate) build_stage: Option<StageName>,
    /// How it is installed before its first start. Absent when the image holds it.
    pub(crate) install: Option<Install>,
    /// The most instances on one GPU; 1 when absent.
    pub(crate) instances_per_gpu: Option<NonZeroU8>,
    /// The most instances on one machine; 1 when absent.
    pub(crate) instances_per_machine: Option<NonZeroU16>,
    /// GPU memory of one instance, in MiB.
    pub(crate) vram_mib: Option<NonZeroU32>,
    /// Whether it shares its GPU with no other service; it may when absent.
    pub(crate) exclusive: Option<bool>,
    /// Memory of one instance, in MiB: above it the supervisor restarts it. 4096 when absent.
    pub(crate) memory_mib: Option<NonZeroU32>,
    /// The ports of an instance.
    #[serde(default)]
    pub(crate) ports: Vec<PortEntry>,
    /// How an instance is started.
    pub(crate) start: Option<StartEntry>,
    /// What outlives the container.
    #[serde(default)]
    pub(crate) volumes: Vec<VolumeEntry>,
    /// Variables that it, or a probe of it, cannot do without.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) required_env: Vec<EnvKey>,
    /// Variables that it, or a probe of it, reads when they are set.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) optional_env: Vec<EnvKey>,
    /// Those of both lists that are secrets.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) secret_env: Vec<EnvKey>,
    /// How to see its state.
    pub(crate) probes: ProbesEntry,
}

/// A port of each instance: `base + increment × instance`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortEntry {
    /// Its name, by which probes and `${PORT_<NAME>}` mean it.
    pub(crate) name: PortName,
    /// The port of instance 0.
    #[schemars(range(min = 1))]
    pub(crate) base: u16,
    /// What each further instance adds.
    pub(crate) increment: u16,
    /// The variable that replaces `base` when it is set.
    pub(crate) variable: Option<EnvKey>,
}

/// How an instance is started. `${PORT}` (the first port), `${PORT_<NAME>}`, `${INSTANCE}`, `${NAME}`,
/// `${LISTEN}` and `${WORKSPACE}` stand for the instance's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartEntry {
    /// The program and its arguments.
    #[schemars(length(min = 1))]
    pub(crate) command: Vec<String>,
    /// Added to the arguments when the inventory is mock.
    #[serde(default)]
    pub(crate) mock_arguments: Vec<String>,
    /// Where it runs: absolute, or from `${WORKSPACE}`.
    pub(crate) working_directory: String,
    /// Variables set for it alone.
    #[serde(default)]
    pub(crate) env: BTreeMap<EnvKey, String>,
    /// Seconds from start to healthy before it counts as failed.
    #[serde(default = "StartEntry::default_ready_within_s")]
    pub(crate) ready_within_s: NonZeroU32,
    /// Seconds between the ask to stop and the kill.
    #[serde(default = "StartEntry::default_stop_grace_s")]
    pub(crate) stop_grace_s: NonZeroU16,
}

impl StartEntry {
    fn default_ready_within_s() -> NonZeroU32 {
        const { NonZeroU32::new(120).expect("not zero") }
    }
    fn default_stop_grace_s() -> NonZeroU16 {
        const { NonZeroU16::new(10).expect("not zero") }
    }
}

/// A directory that outlives the container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VolumeEntry {
    /// Its name; services that name the same volume share it.
    pub(crate) name: PortName,
    /// Where it is in the container: absolute.
    pub(crate) path: String,
    /// Whether nobody may write to it.
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// The three looks at a service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbesEntry {
    /// It is there.
    pub(crate) install: ProbeEntry,
    /// It is running.
    pub(crate) run: ProbeEntry,
    /// It does its work.
    pub(crate) health: ProbeEntry,
}

/// One look at a service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ProbeEntry {
    /// The supervisor holds a live process.
    Process,
    /// A file exists.
    File {
        /// Its path: absolute, or from `${WORKSPACE}`.
        path: String,
    },
    /// A program exits with 0.
    Exec {
        /// The program and its arguments.
        #[schemars(length(min = 1))]
        command: Vec<String>,
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
    /// Variables are set and not empty.
    Variables {
        /// Their names.
        #[schemars(length(min = 1), extend("uniqueItems" = true))]
        set: Vec<EnvKey>,
    },
    /// A GET on an address answers with a status below 500.
    Url {
        /// The variable that holds the address.
        variable: EnvKey,
        /// Appended to it.
        path: String,
    },
}
