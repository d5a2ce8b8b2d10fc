//! What the server answers: documents with a version, promised to strangers.
//!
//! Fields may be added within a version; one is never renamed, and never means something else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::facts::{Millis, Recovery, Stage};
use crate::state::State;

mod lower;
mod page;

pub(crate) use page::{Page, Pages, etag};

/// The version of every document.
pub const SCHEMA_VERSION: u32 = 1;

/// `GET /health`: the machine in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Health {
    /// The version of this document.
    pub schema_version: u32,
    /// Whether everything that is enabled is healthy.
    pub healthy: bool,
    /// Never better than the worst of the enabled services.
    pub state: State,
    /// Since when it has been that, in milliseconds since 1970.
    pub since: Millis,
    /// How far the start-up has come.
    pub stage: Stage,
    /// How much of the stage is done, in percent.
    pub percent: Option<u8>,
    /// What is being recovered from.
    pub recovery: Recovery,
    /// How many services and workers are in each state.
    pub counts: Tally,
}

/// How many services and workers are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[expect(missing_docs, reason = "each is named as its state")]
pub struct Tally {
    pub healthy: u64,
    pub starting: u64,
    pub stopped: u64,
    pub not_installed: u64,
    pub unhealthy: u64,
    pub not_configured: u64,
}

/// `GET /live`: that the program answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Live {
    /// Always; who gets no answer knows the rest.
    pub live: bool,
}

/// `GET /ready`: whether jobs can be done, and if not, why not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Ready {
    /// The version of this document.
    pub schema_version: u32,
    /// The start-up is complete, and everything that is enabled is healthy.
    pub ready: bool,
    /// How far the start-up has come.
    pub stage: Stage,
    /// What is in the way. Empty if and only if it is ready.
    pub blockers: Vec<Blocker>,
}

/// What is in the way of being ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Blocker {
    /// A process, `redis`, `gpu0` or `machine`.
    pub name: String,
    /// What that is.
    pub state: State,
    /// The whole story: `openai-worker-3 not ready ← comfyui-gpu0 unhealthy ← exited 137`.
    pub why: String,
}

/// `GET /version`: what runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Version {
    /// The version of this document.
    pub schema_version: u32,
    /// The version of Roster.
    pub version: String,
    /// The machine's name.
    pub machine: String,
    /// The profile that it was built for.
    pub profile: Option<String>,
    /// The generation of files that it runs.
    pub generation: Option<String>,
}

/// `GET /status`: everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Status {
    /// The version of this document.
    pub schema_version: u32,
    /// When it was seen, in milliseconds since 1970.
    pub at: Millis,
    /// The machine.
    pub machine: Machine,
    /// Its services.
    pub services: Vec<Item>,
    /// Its workers.
    pub workers: Vec<Item>,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
    /// The way to Redis.
    pub redis: Redis,
    /// The file systems that it writes to.
    pub disks: Vec<Disk>,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Machine {
    /// Its name.
    pub id: String,
    /// The version of Roster.
    pub version: String,
    /// The profile that it was built for.
    pub profile: Option<String>,
    /// The generation of files that it runs.
    pub generation: Option<String>,
    /// When it was started, in milliseconds since 1970.
    pub started: Millis,
    /// What it is.
    pub state: State,
    /// Since when it has been that.
    pub since: Millis,
    /// How far the start-up has come.
    pub stage: Stage,
    /// How much of the stage is done, in percent.
    pub percent: Option<u8>,
    /// What is being done just now.
    pub doing: Option<String>,
    /// What is being recovered from.
    pub recovery: Recovery,
    /// Why.
    pub recovery_cause: Option<String>,
    /// Whether jobs can be done.
    pub ready: bool,
    /// What is in the way.
    pub blockers: Vec<Blocker>,
}

/// `GET /services`: every service and every worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Services {
    /// The version of this document.
    pub schema_version: u32,
    /// The services, also those that are not configured.
    pub services: Vec<Item>,
    /// The workers.
    pub workers: Vec<Item>,
}

/// What an [`Item`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A service.
    Service,
    /// A worker.
    Worker,
}

/// One service or worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its entry in the mapping, or its connector.
    pub kind: Option<String>,
    /// One of six.
    pub state: State,
    /// Since when it has been that, in milliseconds since 1970.
    pub since: Millis,
    /// Why it is not healthy: each is the cause of the one before.
    pub cause: Vec<String>,
    /// What to do.
    pub next: String,
    /// Whether the plan has it.
    pub configured: bool,
    /// Whether it is to run.
    pub enabled: bool,
    /// Whether it is installed, if anybody knows.
    pub installed: Option<bool>,
    /// What its supervisor says, in one word; nothing for what runs elsewhere.
    pub process: Option<String>,
    /// Its process, while it lives.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// What was wrong when it last ended in trouble.
    pub last_error: Option<String>,
    /// Where it listens.
    pub port: Option<u16>,
    /// The indices of its GPUs.
    pub gpus: Vec<u32>,
    /// The processes that it needs.
    pub needs: Vec<String>,
    /// What it uses, with all that it has started.
    pub usage: Option<Usage>,
    /// Of a worker: what it works on.
    pub job: Option<Job>,
    /// Of a worker: what it has done.
    pub counts: Option<Counts>,
}

/// What a process uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Usage {
    /// Of one core, of late.
    pub cpu_percent: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Since it was started.
    pub uptime_seconds: u64,
}

/// What a worker works on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// Since when, in milliseconds since 1970.
    pub since: Millis,
    /// How far it is, in percent.
    pub percent: Option<u8>,
    /// What it does.
    pub message: Option<String>,
}

/// What a worker has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Gpu {
    /// Its index.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its name.
    pub name: String,
    /// Bytes of its memory.
    pub memory_total_bytes: u64,
    /// Bytes of it in use; nothing where it cannot be asked.
    pub memory_used_bytes: Option<u64>,
    /// The part of the time in which it computed, in percent.
    pub utilisation_percent: Option<u8>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// Watts.
    pub power_watts: Option<f64>,
    /// XID errors since the machine was started.
    pub xid_errors: Option<u64>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// The way to Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Redis {
    /// Whether it answers; nothing where none was configured, or nobody has asked yet.
    pub connected: Option<bool>,
    /// How long its last answer took.
    pub latency_seconds: Option<f64>,
    /// Why it does not answer.
    pub why: Option<String>,
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Disk {
    /// Where it is seen.
    pub path: String,
    /// Bytes of it.
    pub total_bytes: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// `GET /services/{service}/health`: one service or worker in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ItemHealth {
    /// The version of this document.
    pub schema_version: u32,
    /// Its name.
    pub name: String,
    /// Whether it is healthy.
    pub healthy: bool,
    /// One of six.
    pub state: State,
    /// Since when it has been that, in milliseconds since 1970.
    pub since: Millis,
    /// The whole story in one line.
    pub why: String,
    /// Each is the cause of the one before.
    pub cause: Vec<String>,
    /// What to do.
    pub next: String,
}

/// Something that happened, as `/events` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Happened {
    /// When, in milliseconds since 1970.
    pub at: Millis,
    /// What kind of thing.
    pub kind: String,
    /// Whom it is about, if not the machine as a whole.
    pub subject: Option<String>,
    /// What happened.
    pub message: String,
}

/// An order that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Taken {
    /// What is done now.
    pub doing: String,
}

/// Why there is no answer: RFC 9457.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// What is wrong in general.
    pub title: String,
    /// What is wrong here.
    pub detail: String,
    /// The name that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}
