//! The document, field by field. What PM2 knows stands beside `name` under PM2's own names; everything else stands
//! under the one key `roster`, which PM2 ignores.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::ids::{EnvKey, MachineId, PortName, ProcessName, ServiceName, WorkerId};

/// The form of the document that this crate writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// Every process of one machine. It holds no secret's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ecosystem {
    /// The form of this document.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Whose processes these are.
    pub machine: MachineId,
    /// The port of the machine's health server. None of the processes has it.
    pub health_port: u16,
    /// What runs for as long as the machine does: services in the order of start-up, then workers.
    pub apps: Vec<App>,
    /// What runs once, to its end, before the services that wait for it. PM2, which has no such thing, ignores it.
    pub setup: Vec<App>,
    /// The services elsewhere: nobody here starts them, but the workers need them.
    pub external: Vec<External>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its name, unique in the document.
    pub name: ProcessName,
    /// The program: a path, or a name that is looked up in `PATH`.
    #[schemars(length(min = 1))]
    pub script: String,
    /// Its arguments, each passed as it is: no shell reads them.
    pub args: Vec<String>,
    /// `none`: the program is started itself. PM2 would look for Node otherwise.
    pub interpreter: Interpreter,
    /// `fork`: one process, not a Node cluster.
    pub exec_mode: ExecMode,
    /// Its working directory, absolute. It has to exist: PM2 calls a process without one `online` and starts nothing.
    #[schemars(regex(pattern = "^/"))]
    pub cwd: String,
    /// The variables set for it.
    pub env: BTreeMap<EnvKey, String>,
    /// Whether it is started again whenever it ends. `false` in `setup`: it is done once it ends with 0.
    pub autorestart: bool,
    /// Milliseconds between the ask to stop and the kill.
    pub kill_timeout: u32,
    /// Milliseconds of life after which a start counts as successful.
    pub min_uptime: u32,
    /// Starts without success, one after the other, before the process counts as failed.
    pub max_restarts: u32,
    /// Milliseconds before the second start in a row without success; each further one waits longer.
    pub exp_backoff_restart_delay: u32,
    /// Bytes of memory above which it is started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_restart: Option<u64>,
    /// The file that its standard output is appended to, absolute.
    #[schemars(regex(pattern = "^/"))]
    pub out_file: String,
    /// The same for its standard error: the same file, so that the order of the lines survives.
    #[schemars(regex(pattern = "^/"))]
    pub error_file: String,
    /// `true`: PM2 adds no number of its own to the names of the log files.
    #[schemars(extend("const" = true))]
    pub merge_logs: bool,
    /// `false`: PM2 looks for no Git repository in `cwd`.
    #[schemars(extend("const" = false))]
    pub vizion: bool,
    /// What PM2 has no field for.
    pub roster: Role,
}

/// The only interpreter: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interpreter {
    /// The program is started itself.
    #[default]
    None,
}

/// The only mode: fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecMode {
    /// One process.
    #[default]
    Fork,
}

/// What a process is for, what it holds, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What kind of process it is.
    pub kind: Kind,
    /// The service that it is an instance of, works on, or installs.
    pub service: ServiceName,
    /// A service's number among the instances that the machine can have; its ports count from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u16>,
    /// The device that it holds: it is not started while another process still has memory on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuClaim>,
    /// The ports that it listens on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<PortName, u16>,
    /// The workers in it: one, or as many as it has slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerId>,
    /// What has to have happened before it is started; on the way down it is stopped before these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// How to see its state. Without probes it is ready and healthy for as long as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Seconds from its start to healthy before it counts as failed; without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_within_s: Option<u32>,
    /// The ask to stop. PM2 sends SIGINT to everything, or what its own `PM2_KILL_SIGNAL` says.
    pub stop_signal: StopSignal,
    /// Whether it outlives a supervisor that is killed: the next one adopts it. Otherwise it is killed with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub survive: bool,
    /// The user that it runs as, by name or number, with that user's groups. Without it, the supervisor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub user: Option<String>,
    /// The group that it runs as, by name or number. Without it, the user's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub group: Option<String>,
    /// The permissions that files it makes do not get, in octal. Without it, the supervisor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3}$"))]
    pub umask: Option<String>,
    /// What it may have at most, soft and hard (`getrlimit(2)`); `null`: as much as there is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Limit, Option<u64>>,
    /// How soon the kernel kills it when memory runs out: -1000 never, 1000 first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub oom_score_adj: Option<i16>,
    /// The public variables that it reads. Their values stand in `env`; those that do not are passed on from the
    /// supervisor's environment when they are set there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvKey>,
    /// The secrets that it is given, by name. Values come from the supervisor's environment, `NAME_FILE`, or
    /// `/run/secrets`; no other secret reaches the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<EnvKey>,
    /// The roster entries that made it be there: `comfyui:2`.
    pub cause: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it may skip so")]
fn is_false(it: &bool) -> bool {
    !it
}

/// Something that a process can be given less of, under the name that a shell's `ulimit` and systemd know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Bytes of address space.
    As,
    /// Bytes of a core file.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of a file that it writes.
    Fsize,
    /// Bytes that may be locked in memory.
    Memlock,
    /// Open files.
    Nofile,
    /// Processes and threads of its user.
    Nproc,
    /// Bytes of stack.
    Stack,
}

/// A kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What workers work on.
    Service,
    /// What claims jobs.
    Worker,
    /// What makes a service be there before its first start.
    Installer,
}

/// A device in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuClaim {
    /// The part of process names: `gpu0`, `gpu0-mig1`.
    pub label: String,
    /// What the driver calls it: a UUID, or an index in PCI bus order.
    pub identity: String,
    /// MiB of its memory that the process needs: it is not started while others leave less than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mib: Option<u32>,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The process, in `apps` or `setup`.
    pub name: ProcessName,
    /// What has to be true of it.
    pub until: Until,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Its program runs.
    Started,
    /// Its probe `ready` succeeds.
    Ready,
    /// Its probe `health` succeeds.
    Healthy,
    /// It has ended with 0. For what is in `setup`, and for that alone.
    Completed,
}

/// The ask to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "each is the signal of its name")]
pub enum StopSignal {
    #[default]
    #[serde(rename = "SIGTERM")]
    Term,
    #[serde(rename = "SIGINT")]
    Int,
    #[serde(rename = "SIGQUIT")]
    Quit,
    #[serde(rename = "SIGHUP")]
    Hup,
    #[serde(rename = "SIGUSR1")]
    Usr1,
    #[serde(rename = "SIGUSR2")]
    Usr2,
    #[serde(rename = "SIGWINCH")]
    Winch,
}

/// A service elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Its name.
    pub service: ServiceName,
    /// How to see its state.
    pub probes: Probes,
}

/// How to see a service's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// It is there.
    pub install: Probe,
    /// It has come up: until this has succeeded once, nothing else is looked at. Without it, `ready` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// It is running.
    pub ready: Probe,
    /// It does its work.
    pub health: Probe,
    /// It can still recover by itself: a process is replaced when this fails, and not when `health` does. Without it,
    /// `health` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Probe>,
}

/// One look, with nothing left to fill in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// The process lives.
    Process,
    /// The file exists.
    File {
        /// Its path.
        path: String,
    },
    /// The program exits with 0.
    Exec {
        /// Program and arguments.
        #[schemars(length(min = 1))]
        command: Vec<String>,
    },
    /// The process has written a line, to either stream, that holds this text since it was started.
    Log {
        /// The text, as it stands in the line.
        #[schemars(length(min = 1))]
        line: String,
    },
    /// Something listens on 127.0.0.1.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A GET answers with a status below 400.
    Http {
        /// The whole address.
        url: String,
    },
    /// The variables are set and not empty.
    Variables {
        /// Their names.
        set: Vec<EnvKey>,
    },
    /// A GET on the address in a variable, `path` appended, answers with a status below 500.
    Url {
        /// The variable.
        variable: EnvKey,
        /// Appended to its value.
        path: String,
    },
}
