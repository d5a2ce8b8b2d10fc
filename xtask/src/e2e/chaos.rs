//! `chaos`: two machines at work on one queue, and whatever happens to machines happens to them: processes are killed and
//! stopped, supervisors too, connections are cut, Redis is killed. Afterwards an audit that shares no code with the broker
//! says what was lost, doubled and left over.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use broker::{Broker as _, Death, JobId, Replay};
use rustix::process::Signal;
use serde_json::json;

use super::{
    Chaos,
    machine::{Machine, processes, processes_in, signal_to},
    project::Project,
    queue::Queue,
    redis::Redis,
    world::{first_port, free_ports, interruptible},
};
use crate::image;

mod audit;
mod proxy;

use proxy::Proxy;

/// The machines.
const MACHINES: [&str; 2] = ["chaos-a", "chaos-b"];
/// So many jobs are in the queue at any time.
const DEPTH: usize = 40;
/// Between two faults, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..900;
/// How long something stands still, in milliseconds: for longer than a lease of two seconds too.
const STOPPED_MS: std::ops::Range<u64> = 300..4000;

/// Runs it, and fails unless nothing was lost, doubled or left over.
///
/// # Errors
///
/// What could not be started, or what the audit finds.
pub(super) async fn run(args: &Chaos) -> Result<(), String> {
    let roster = match &args.roster {
        Some(it) => it.canonicalize().map_err(|error| format!("{}: {error}", it.display()))?,
        None => image::released()?,
    };
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    say!("chaos: {} faults by the seed {seed}", args.kills);
    let folder = tempfile::Builder::new().prefix("roster-chaos-").tempdir();
    let folder = folder.map_err(|error| format!("a folder for the machines: {error}"))?;
    let done = interruptible(act(&roster, folder.path(), args.kills, fastrand::Rng::with_seed(seed))).await;
    if done.is_err() {
        eprintln!("chaos: machines and logs are in {}", folder.keep().display());
    }
    done
}

async fn act(roster: &Path, folder: &Path, faults: u32, rng: fastrand::Rng) -> Result<(), String> {
    let redis = Redis::server(folder)?;
    redis.ready().await?;
    let queue = Arc::new(Queue::fresh(&redis.url(0)).await?);
    let mut machines = Vec::new();
    let ports = first_port();
    for name in MACHINES {
        let proxy = Proxy::start(redis.port()).await?;
        let mut project = Project::new(roster, &folder.join(name), free_ports(&ports)?)?;
        project.set("MACHINE_ID", name);
        project.set("REDIS_URL", format!("redis://127.0.0.1:{}/0", proxy.port));
        let machine = project.boot("simulation --spec simulation:4").await?;
        machines.push(Subject { project, machine, proxy });
    }
    let load = Arc::new(Load::default());
    let feeder = tokio::spawn(Arc::clone(&load).feed(Arc::clone(&queue)));

    let began = Instant::now();
    let mut storm = Storm { rng, redis: &redis, machines, counts: BTreeMap::new(), resume: Vec::new() };
    for _ in 0..faults {
        storm.fault().await?;
        tokio::time::sleep(Duration::from_millis(storm.rng.u64(PAUSE_MS))).await;
    }
    let Storm { machines, counts, resume, .. } = storm;
    for it in resume {
        it.await.map_err(|error| error.to_string())?;
    }
    let (stormed, calm) = (began.elapsed(), Instant::now());
    load.enough.store(true, Ordering::Relaxed);
    feeder.await.map_err(|error| error.to_string())??;

    // A job that met three of the faults is given up as one that kills its workers. It did not; it is put back.
    let ids = load.ids.lock().map_err(|error| error.to_string())?.clone();
    queue.over(&ids).await?;
    let replayed =
        queue.broker.replay(&Replay::Kind(Death::Crashes)).await.map_err(|error| error.to_string())?;
    queue.over(&ids).await?;
    let calm = calm.elapsed();
    queue.audited().await?;
    for Subject { mut machine, .. } in machines {
        machine.ready().await?;
        let status = machine.stop().await?;
        if !status.success() {
            return Err(format!("a machine ended with {status}"));
        }
    }
    let orphans = processes_in(&folder.display().to_string());
    redis.end().await;

    let found = audit::audit(folder, &ids)?;
    let told: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    say!("in {:.0} s: {}", stormed.as_secs_f64(), told.join(", "));
    say!(
        "{} jobs, {} claims, {} ended after three lost workers and put back; all over {:.1} s after the last fault",
        ids.len(),
        found.claims,
        replayed.len(),
        calm.as_secs_f64()
    );
    say!("lost {}, doubled {}, orphans {}", found.lost.len(), found.doubled.len(), orphans.len());
    if found.lost.is_empty() && found.doubled.is_empty() && orphans.is_empty() {
        return Ok(());
    }
    let some = |all: &[String]| all.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    let (lost, doubled) = (some(&found.lost), some(&found.doubled));
    Err(format!("lost: {lost}; doubled: {doubled}; orphans: {}", some(&orphans)))
}

/// A machine, and its way to Redis.
struct Subject {
    project: Project,
    machine: Machine,
    proxy: Proxy,
}

/// Those who submit, and what they have submitted.
#[derive(Default)]
struct Load {
    ids: Mutex<Vec<JobId>>,
    enough: AtomicBool,
}

impl Load {
    /// Keeps the queue filled until it is enough.
    async fn feed(self: Arc<Self>, queue: Arc<Queue>) -> Result<(), String> {
        let mut open: Vec<JobId> = Vec::new();
        for number in 0_u64.. {
            while open.len() >= DEPTH && !self.enough.load(Ordering::Relaxed) {
                let mut left = Vec::new();
                for id in open {
                    // While Redis is away nobody knows.
                    let status = queue.status(&id).await;
                    if status.is_err() || status.is_ok_and(|it| !it.life.state.is_terminal()) {
                        left.push(id);
                    }
                }
                open = left;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if self.enough.load(Ordering::Relaxed) {
                break;
            }
            let payload = json!({ "duration_ms": 50 + number * 37 % 400, "seed": number });
            let id: JobId = format!("chaos-{number}").parse().map_err(|error| format!("{error:?}"))?;
            let job = Queue::job("simulation", payload)?.id(id.clone());
            // Asked again with the same id, it is the same job.
            while queue.submit(vec![job.clone()]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.ids.lock().map_err(|error| error.to_string())?.push(id.clone());
            open.push(id);
        }
        Ok(())
    }
}

/// What happens to machines.
struct Storm<'a> {
    rng: fastrand::Rng,
    redis: &'a Redis,
    machines: Vec<Subject>,
    counts: BTreeMap<&'static str, u32>,
    /// What lets those go on that stand still.
    resume: Vec<tokio::task::JoinHandle<()>>,
}

impl Storm<'_> {
    /// One fault.
    async fn fault(&mut self) -> Result<(), String> {
        let chosen = self.rng.usize(..self.machines.len());
        let dice = self.rng.u32(..20);
        let stopped = Duration::from_millis(self.rng.u64(STOPPED_MS));
        let subject = &mut self.machines[chosen];
        let what = match dice {
            0..=10 => {
                let (kind, word) =
                    if dice < 8 { ("-worker-", "workers killed") } else { ("-service-", "services killed") };
                let Some(pid) = one_of(&subject.project, kind, &mut self.rng)? else { return Ok(()) };
                // It may have gone by itself, or by an earlier fault.
                let _ = signal_to(pid, Signal::KILL);
                word
            }
            11..=13 => {
                let (kind, word) = if dice < 13 {
                    ("-worker-", "workers stopped for a while")
                } else {
                    ("-service-", "services stopped for a while")
                };
                let Some(pid) = one_of(&subject.project, kind, &mut self.rng)? else { return Ok(()) };
                let _ = signal_to(pid, Signal::STOP);
                self.resume.push(tokio::spawn(async move {
                    tokio::time::sleep(stopped).await;
                    let _ = signal_to(pid, Signal::CONT);
                }));
                word
            }
            14..=16 => {
                subject.proxy.cut();
                "times all connections cut"
            }
            17 => {
                subject.machine.signal(Signal::KILL)?;
                subject.machine.ended().await?;
                subject.machine = subject.project.start().await?;
                "machines killed"
            }
            18 => {
                subject.machine.signal(Signal::STOP)?;
                tokio::time::sleep(stopped).await;
                subject.machine.signal(Signal::CONT)?;
                "machines stopped for a while"
            }
            _ => {
                self.redis.restart(Duration::from_millis(500)).await?;
                "times Redis killed"
            }
        };
        *self.counts.entry(what).or_default() += 1;
        Ok(())
    }
}

/// The process number of one of the machine's processes of a kind, by chance.
fn one_of(project: &Project, kind: &str, rng: &mut fastrand::Rng) -> Result<Option<i64>, String> {
    let all = processes(project)?;
    let of_kind: Vec<_> = all.iter().filter(|(name, _)| name.contains(kind)).map(|(_, pid)| *pid).collect();
    Ok((!of_kind.is_empty()).then(|| of_kind[rng.usize(..of_kind.len())]))
}
