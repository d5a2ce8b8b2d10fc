//! A broker on the wire of the TypeScript job queue, so that our workers and theirs share one queue, and its API, monitor and
//! machines notice no difference.
//!
//! `docs/legacy.md` tells what that wire cannot promise. Where it leaves a choice this takes the safe one: a job is only ever
//! changed by the worker that has it, told by `worker_id` and `assigned_at`, which every claim writes anew and which is this
//! broker's fence; each change is one script.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind};
use serde_json::Value;
use spec::ids::{MachineId, WorkerId};
use tokio::task::AbortHandle;

use crate::broker::Ticket;
use crate::capabilities::Worker;
use crate::error::Error;
use crate::native::link::Link;

mod attest;
mod broker;
mod capabilities;
mod claim;
mod classify;
mod events;
mod finish;
mod inspect;
mod job;
mod look;
mod machine;
mod matching;
mod member;
mod reap;
mod strip;
mod submit;
mod time;

use events::{Commands, Says};
pub use inspect::{Inspection, Issue, inspect};
pub use machine::{Condition, Machine, MachineWorker, Phase, Update, machine_channel};
pub use submit::judge;

/// What the other side is told about us, and the numbers.
#[derive(Clone)]
pub struct Settings {
    /// The machine that the workers are of.
    pub machine: MachineId,
    /// The version that workers say of themselves.
    pub version: String,
    /// How long one run of a job may take: jobs of this wire say nothing about it. 30 min.
    pub timeout: Duration,
    /// How often an idle worker looks for a job. 1 s.
    pub poll_every: Duration,
    /// Give back the jobs of workers whose heartbeat has been gone for so long, besides the 60 s that a heartbeat lasts. `None`,
    /// the default: never, as the other workers do.
    pub reap_after: Option<Duration>,
    /// How long attestations are kept. 30 days.
    pub attestation_ttl: Duration,
    /// How long the progress of a job is kept after its end. 7 days.
    pub progress_ttl: Duration,
    /// Told of each job that stands in the way, once.
    pub troubles: Arc<dyn Fn(&Trouble) + Send + Sync>,
}

impl Settings {
    /// The defaults, for workers of this machine. Troubles are told to nobody.
    pub fn new(machine: MachineId) -> Self {
        Self {
            machine,
            version: env!("CARGO_PKG_VERSION").into(),
            timeout: Duration::from_mins(30),
            poll_every: Duration::from_secs(1),
            reap_after: None,
            attestation_ttl: Duration::from_hours(30 * 24),
            progress_ttl: Duration::from_hours(7 * 24),
            troubles: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("machine", &self.machine).finish_non_exhaustive()
    }
}

/// A job that stands in the way of workers, or that ours cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The Redis Function raises an error where it meets this job.
    #[error("job `{id}` stops the workers of its service: {reason}")]
    Poison {
        /// The job.
        id: String,
        /// What the function cannot bear.
        reason: String,
    },
    /// No worker of ours can run it. Others may.
    #[error("job `{id}` is left to other workers: {reason}")]
    Unreadable {
        /// The job.
        id: String,
        /// What we cannot read.
        reason: String,
    },
}

impl Trouble {
    fn id(&self) -> &str {
        let (Self::Poison { id, .. } | Self::Unreadable { id, .. }) = self;
        id
    }
}

/// A broker on the wire of the TypeScript job queue.
pub struct Legacy {
    settings: Settings,
    link: Link,
    guarded: Script,
    claim: Script,
    submit: Script,
    state: Mutex<State>,
    /// Held while a claim is under way: what it has taken and not yet noted looks like something left behind.
    claiming: tokio::sync::Mutex<()>,
}

/// What this process knows, and Redis does not.
#[derive(Default)]
struct State {
    /// Our workers.
    members: BTreeMap<WorkerId, Member>,
    /// Whether the Redis Function is there, once that was asked.
    function: Option<bool>,
    /// How far down the line was looked in vain.
    scanned: usize,
    /// Jobs in trouble that were told of.
    told: BTreeSet<String>,
    /// Workers without a heartbeat, since when.
    silent: BTreeMap<String, tokio::time::Instant>,
    /// When workers were last looked at.
    reaped: Option<tokio::time::Instant>,
}

/// A worker of ours.
struct Member {
    beats: AbortHandle,
    /// The jobs that it knows to have.
    held: BTreeSet<String>,
    /// A claim may have taken a job of which this process does not know.
    doubt: bool,
}

/// What became of a change that a worker asked for.
struct Answer {
    /// Whether it was made.
    done: bool,
    /// Whether the job is the worker's by this claim, whatever state it is in.
    mine: bool,
    status: String,
    /// The number of its last claim.
    claim: String,
}

impl Legacy {
    /// Connects. From then on the connection opens itself again, as that of [`Native`](crate::Native).
    pub async fn connect(url: &str, settings: Settings) -> Result<Self, Error> {
        if url.starts_with("redis-cluster:") || url.starts_with("rediss-cluster:") {
            return Err(Error::Wire(
                "the keys of a queue of the TypeScript system lie in several slots of a cluster",
            ));
        }
        let link = Link::open(url.parse()?, "jobs:pending".into()).await?;
        Ok(Self {
            settings,
            link,
            guarded: Script::new(include_str!("legacy/guarded.lua")),
            claim: Script::new(include_str!("legacy/claim.lua")),
            submit: Script::new(include_str!("legacy/submit.lua")),
            state: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn says<'a>(&'a self, worker: &'a str) -> Says<'a> {
        Says { worker, settings: &self.settings, now: time::now() }
    }

    /// Runs a script, and loads it if the server has forgotten it.
    async fn run<T: FromRedisValue>(&self, link: &Link, script: &Script, args: &[&str]) -> Result<T, Error> {
        let mut link = link.clone();
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(0).arg(args);
        let answer: RedisResult<T> = command.query_async(&mut link).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.prepare_invoke().load_async(&mut link).await?;
                Ok(command.query_async(&mut link).await?)
            }
            answer => Ok(answer?),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Error> {
        Ok(command.query_async(&mut self.link.clone()).await?)
    }

    async fn hash(&self, id: &str) -> Result<job::Hash, Error> {
        self.ask(redis::cmd("HGETALL").arg(format!("job:{id}"))).await.map(job::Hash)
    }

    /// Does something with a job if it is the worker's, by this claim, and in one of these states.
    async fn guard(&self, change: &Change<'_>, link: &Link) -> Result<Answer, Error> {
        let states = change.states.iter().fold(String::new(), |all, it| all + it + " ");
        let claim = change.claim.map(|it| it.to_string()).unwrap_or_default();
        let worker = change.worker.unwrap_or_default();
        let args = [
            change.id,
            worker,
            &claim,
            &states,
            &change.commands.json(),
            &change.idle.json(),
            change.gone.unwrap_or_default(),
        ];
        let (heard, mine, status, claim): (u8, u8, String, String) =
            self.run(link, &self.guarded, &args).await?;
        Ok(Answer { done: heard == 1, mine: mine == 1, status, claim })
    }

    /// Tells of a job in trouble, once.
    fn tell(&self, trouble: &Trouble) {
        let new = self.state().told.insert(trouble.id().to_owned());
        if new {
            (self.settings.troubles)(trouble);
        }
    }

    /// The worker no longer has this job.
    fn forget(&self, worker: &WorkerId, ticket: &Ticket) {
        if let Some(member) = self.state().members.get_mut(worker) {
            member.held.remove(ticket.id.as_str());
        }
    }

    /// What the other side is told of a worker.
    pub fn capabilities(&self, worker: &Worker) -> Value {
        capabilities::document(worker, &self.settings)
    }
}

/// A change of a job, and under which condition.
struct Change<'c> {
    id: &'c str,
    worker: Option<&'c str>,
    claim: Option<u64>,
    states: &'c [&'c str],
    commands: Commands,
    /// For when the worker has no other job.
    idle: Commands,
    /// A worker that has to be gone.
    gone: Option<&'c str>,
}

impl<'c> Change<'c> {
    fn of(id: &'c str, states: &'c [&'c str], commands: Commands) -> Self {
        Self { id, worker: None, claim: None, states, commands, idle: Commands::default(), gone: None }
    }
}

/// The states of a job that a worker has.
const RUNNING: [&str; 2] = ["assigned", "in_progress"];

impl Drop for Legacy {
    fn drop(&mut self) {
        for member in self.state().members.values() {
            member.beats.abort();
        }
    }
}
