//! The seam to the kernel: what the tasks need of it, and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ecosystem::{App, GpuClaim, Limit, StopSignal};
use spec::env::{EnvSource, NotUnicode, Secret};
use spec::ids::{EnvKey, ProcessName};
use tokio::sync::oneshot;

use crate::control::protocol::Signal;
use crate::core::{Exit, Pid};

/// Passed on to every process when the document does not set them: without them most programs find nothing.
const BASE: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// Where container runtimes put secrets.
const RUN_SECRETS: &str = "/run/secrets";

/// Everything that is needed to start a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whose.
    pub name: ProcessName,
    /// A path, or a name to be looked up in the `PATH` of `env`.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Its whole environment, secrets included.
    pub env: BTreeMap<EnvKey, Secret<OsString>>,
    /// Who it runs as, by name or number.
    pub user: Option<String>,
    /// Its group, the same way.
    pub group: Option<String>,
    /// The permissions that files it makes do not get.
    pub umask: Option<u32>,
    /// What it may have at most; `None`: as much as there is.
    pub limits: BTreeMap<Limit, Option<u64>>,
    /// How soon the kernel kills it when memory runs out.
    pub oom_score_adj: Option<i16>,
    /// It outlives a supervisor that is killed.
    pub survive: bool,
    /// The card that it holds.
    pub gpu: Option<GpuClaim>,
    /// The ports that it listens on.
    pub ports: Vec<u16>,
}

impl Plan {
    /// The plan of an app. What the document names but does not hold comes from `source`, or for secrets from the
    /// file that `NAME_FILE` names or `/run/secrets/NAME`. What is nowhere is left out.
    pub fn new(app: &App, source: &dyn EnvSource) -> Result<Self, NotUnicode> {
        let mut env = BTreeMap::new();
        let base = BASE.map(|it| it.parse().expect("our own keys are keys"));
        for key in base.iter().chain(&app.roster.environment) {
            if let Some(value) = source.get(key)? {
                env.insert(key.clone(), Secret::new(value.into()));
            }
        }
        for key in &app.roster.secrets {
            if let Some(value) = secret(key, source)? {
                env.insert(key.clone(), Secret::new(value.into()));
            }
        }
        env.extend(app.env.iter().map(|(key, value)| (key.clone(), Secret::new(value.into()))));
        let role = &app.roster;
        Ok(Self {
            name: app.name.clone(),
            script: app.script.clone(),
            args: app.args.clone(),
            cwd: app.cwd.clone(),
            env,
            user: role.user.clone(),
            group: role.group.clone(),
            // The document's schema lets nothing else through.
            umask: role.umask.as_ref().and_then(|it| u32::from_str_radix(it, 8).ok()),
            limits: role.limits.clone(),
            oom_score_adj: role.oom_score_adj,
            survive: role.survive,
            gpu: role.gpu.clone(),
            ports: role.ports.values().copied().collect(),
        })
    }

    /// A command that runs where the process runs, as what it runs as: a look at it, not it.
    pub(crate) fn look(&self, command: &[String]) -> Option<Self> {
        let (script, args) = command.split_first()?;
        Some(Self {
            script: script.clone(),
            args: args.to_vec(),
            survive: false,
            gpu: None,
            ports: Vec::new(),
            ..self.clone()
        })
    }
}

fn secret(key: &EnvKey, source: &dyn EnvSource) -> Result<Option<String>, NotUnicode> {
    if let Some(value) = source.get(key)? {
        return Ok(Some(value));
    }
    let named = match format!("{key}_FILE").parse() {
        Ok(file) => source.get(&file)?,
        Err(_) => None,
    };
    let path = named.unwrap_or_else(|| format!("{RUN_SECRETS}/{key}"));
    let text = std::fs::read_to_string(path).ok();
    Ok(text.map(|it| it.strip_suffix('\n').map(str::to_owned).unwrap_or(it)))
}

/// Where the output of a process goes.
#[derive(Debug)]
pub struct Output {
    /// Its standard output.
    pub out: OwnedFd,
    /// Its standard error.
    pub err: OwnedFd,
}

/// A process that was started.
#[derive(Debug)]
pub struct Launched {
    /// Its number; it leads a group and a session of that number.
    pub pid: Pid,
    /// How it ends, once it has.
    pub exit: oneshot::Receiver<Exit>,
}

/// Starts, signals and ends processes. The real one is [`Linux`](crate::Linux); tests have one without a kernel.
pub trait Launcher: Send + Sync + 'static {
    /// Starts a process; or why that is not possible. It has been started once its own program runs.
    fn launch(&self, plan: &Plan, output: Output) -> impl Future<Output = Result<Launched, Arc<str>>> + Send;

    /// Asks a process and its group to stop. Does nothing when it has ended.
    fn ask(&self, pid: Pid, signal: StopSignal);

    /// Sends a signal to the process alone: what it started may end by one that it does not expect. Whether the process
    /// was there to have it.
    fn signal(&self, pid: Pid, signal: Signal) -> bool;

    /// Kills a process and its group. Does nothing when it has ended.
    fn kill(&self, pid: Pid);

    /// Ends whatever the run `pid` of `name`, itself dead, has left: asked at once, killed after `patience`. Returns
    /// how many could not be ended.
    fn sweep(&self, name: &ProcessName, pid: Pid, patience: Duration) -> impl Future<Output = usize> + Send;

    /// Nothing has happened for a while, and nothing is expected: gives back what is not needed meanwhile.
    fn rest(&self) {}

    /// Ends whatever is left below the supervisor when every process has exited.
    fn finish(&self) -> impl Future<Output = usize> + Send;
}
