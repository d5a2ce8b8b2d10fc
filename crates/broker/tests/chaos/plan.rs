//! What a seed decides: which jobs there are, how each goes, and what goes wrong when.

use std::time::Duration;

use broker::{Capabilities, Job, Requirements, Settings};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::proxy::Fault;

/// A lease. Short, so that a stop of a second is past it.
pub const LEASE: Duration = Duration::from_millis(400);

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub jobs: usize,
    pub workers: usize,
    pub kills: usize,
    pub stops: usize,
    /// Connections cut or held up.
    pub cuts: usize,
    pub cancels: usize,
    pub restarts: usize,
}

impl Size {
    pub const FULL: Size =
        Size { jobs: 20_000, workers: 10, kills: 1000, stops: 150, cuts: 400, cancels: 400, restarts: 20 };
    pub const SMALL: Size =
        Size { jobs: 4_000, workers: 8, kills: 150, stops: 24, cuts: 80, cancels: 80, restarts: 4 };
    pub const TINY: Size =
        Size { jobs: 300, workers: 4, kills: 8, stops: 4, cuts: 12, cancels: 12, restarts: 2 };
}

/// How a job goes; its payload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It is done, but for some attempts that fail or are given back.
    Plain,
    /// It takes longer than a lease.
    Long,
    /// It takes longer than it may.
    Endless,
    /// Every attempt fails, and a retry may mend it.
    Failing,
    /// It fails for good.
    Broken,
    /// It kills its worker.
    Poison,
}

/// What is done to the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// A worker is killed.
    Kill,
    /// A worker stands still for so long, then goes on.
    Stop(Duration),
    /// All connections of a client are cut.
    Cut,
    /// Something happens to the next call of a client.
    Arm(Fault),
    /// Redis is started again, after a `SIGKILL` if true.
    Restart(bool),
    /// Someone wants a job stopped that is in this set.
    Cancel(&'static str),
}

/// A run.
pub struct Plan {
    pub seed: u64,
    pub size: Size,
    /// Whether Redis acknowledges only what is on the disk. Only then is it killed.
    pub always: bool,
    /// What is submitted with each call, in order.
    pub batches: Vec<Vec<Job>>,
    /// What is done once so many jobs have ended. They are the clock of a run: a slow machine has as many faults for each
    /// job as a fast one.
    pub deeds: Vec<(u64, Deed)>,
}

impl Plan {
    pub fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::with_seed(seed);
        let always = rng.bool();
        let batches = batches(&mut rng, size.jobs);
        let deeds = deeds(&mut rng, size, always);
        Self { seed, size, always, batches, deeds }
    }
}

/// A queue in which nobody waits long.
pub fn settings() -> Settings {
    let mut settings = Settings::new("chaos".parse().unwrap());
    settings.backoff.base = Duration::from_millis(20);
    settings.backoff.most = Duration::from_millis(100);
    settings.sweep_every = Duration::from_millis(100);
    settings.class_ttl = Duration::from_secs(3);
    settings
}

/// What the worker of this slot has: one of three classes.
pub fn capabilities(slot: usize) -> Capabilities {
    let has = [
        json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": 24 } }),
        json!({ "services": ["comfyui", "openai"], "hardware": { "gpu_memory_gb": 8 } }),
        json!({ "services": ["a1111", "openai"], "models": { "openai": "any" } }),
    ];
    serde_json::from_value(has[slot % has.len()].clone()).unwrap()
}

fn batches(rng: &mut Rng, jobs: usize) -> Vec<Vec<Job>> {
    let mut batches: Vec<Vec<Job>> = Vec::new();
    let mut submitted = 0;
    while submitted < jobs {
        let most = if rng.bool() { 1 } else { rng.usize(2..120) };
        let mut batch: Vec<Job> = (submitted..jobs.min(submitted + most)).map(|n| job(rng, n)).collect();
        submitted += batch.len();
        // A client that does not know whether it was heard says it again: the same job, or another with the same key.
        let again = batch.iter().chain(batches.last().into_iter().flatten());
        let again = again.filter(|it| it.idempotency_key.is_some()).cloned().collect::<Vec<_>>();
        for (n, job) in again.into_iter().enumerate() {
            match rng.u8(..4) {
                0 => batch.push(job),
                1 => batch.push(Job { id: format!("again-{submitted}-{n}").parse().unwrap(), ..job }),
                _ => {}
            }
        }
        batches.push(batch);
    }
    batches
}

fn job(rng: &mut Rng, n: usize) -> Job {
    let (service, needs) = [
        ("comfyui", json!({})),
        ("comfyui", json!({ "hardware": { "gpu_memory_gb": 8 } })),
        ("comfyui", json!({ "hardware": { "gpu_memory_gb": 24 } })),
        ("openai", json!({})),
        ("openai", json!({ "models": ["gpt"] })),
        ("a1111", json!({})),
    ][rng.usize(..6)]
    .clone();
    let (course, ms) = match rng.u16(..1000) {
        0..2 => (Course::Poison, 1),
        2..7 => (Course::Endless, 900),
        7..17 => (Course::Failing, 2),
        17..37 => (Course::Broken, 2),
        37..67 => (Course::Long, rng.u64(500..1200)),
        _ => (Course::Plain, rng.u64(..20)),
    };
    let mut job = Job::new(service.parse().unwrap())
        .id(format!("job-{n}").parse().unwrap())
        .requirements(Requirements::read(&needs).unwrap())
        .payload(json!({ "course": course, "ms": ms }))
        .priority(rng.i16(-2..3))
        .max_attempts(rng.u32(2..5));
    if course == Course::Endless {
        job = job.timeout(Duration::from_millis(500)).max_attempts(2);
    }
    if rng.u8(..20) == 0 {
        job = job.delay(Duration::from_millis(rng.u64(1..1500)));
    }
    if rng.u8(..20) == 0 {
        job = job.idempotency_key(format!("key-{n}").parse().unwrap());
    }
    if rng.u8(..10) == 0 {
        job = job.customer(["anna", "otto"][rng.usize(..2)].parse().unwrap());
    }
    job
}

fn deeds(rng: &mut Rng, size: Size, always: bool) -> Vec<(u64, Deed)> {
    let mut deeds = Vec::new();
    for _ in 0..size.kills {
        deeds.push(match rng.u8(..10) {
            0..6 => Deed::Kill,
            6..8 => Deed::Arm(Fault::KillBefore),
            _ => Deed::Arm(Fault::KillAfter),
        });
    }
    deeds.extend((0..size.stops).map(|_| Deed::Stop(LEASE * 2 + Duration::from_millis(rng.u64(..400)))));
    for _ in 0..size.cuts {
        deeds.push(match rng.u8(..20) {
            0..4 => Deed::Cut,
            4..8 => Deed::Arm(Fault::CutBefore),
            8..12 => Deed::Arm(Fault::CutAfter),
            12..15 => Deed::Arm(Fault::CutWithin),
            15..19 => Deed::Arm(Fault::Stall(Duration::from_millis(rng.u64(50..1500)))),
            // Past the patience of every call.
            _ => Deed::Arm(Fault::Stall(Duration::from_millis(5500))),
        });
    }
    deeds.extend((0..size.restarts).map(|n| Deed::Restart(always && n % 2 == 0)));
    deeds.extend((0..size.cancels).map(|_| Deed::Cancel(["l", "d", "w"][rng.usize(..3)])));
    // Before the last, or there would be nobody to whom it could be done.
    let finished = size.jobs as u64 * 9 / 10;
    let mut deeds: Vec<_> = deeds.into_iter().map(|it| (rng.u64(1..finished), it)).collect();
    deeds.sort_by_key(|(finished, _)| *finished);
    deeds
}
