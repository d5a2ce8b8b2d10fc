//! Workers that crash, stall and lie over a broker in memory, with a clock that the test turns: whatever happens, every
//! job is in exactly one state, no claim is given twice, only the present claim is heard, limits hold, and in the end every
//! job has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::life::State;
use broker::{
    Broker, Claim, Clock, Job, JobId, Limit, LimitKey, Memory, Millis, Outcome, Rate, Replay, Ticket, Want,
    Worker,
};
use serde_json::json;

use crate::contract::{LONG, failure, job, requirements, settings, worker_with};

const SEEDS: u64 = 1_000;

#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the test knows, apart from the broker.
#[derive(Default)]
struct Ledger {
    submitted: BTreeSet<JobId>,
    /// The last claim of each job that was given and not ended.
    present: BTreeMap<JobId, u64>,
    fences: BTreeSet<u64>,
    /// The claim with which each job succeeded.
    succeeded: BTreeMap<JobId, u64>,
    /// When jobs of each limit key started.
    starts: BTreeMap<LimitKey, Vec<Millis>>,
}

/// So many at once, and up to so many in 100 ms.
const LIMITS: [(&str, u32, u32); 3] = [("one", 1, 20), ("two", 2, 3), ("rate", 99, 2)];
const PER: Duration = Duration::from_millis(100);

impl Ledger {
    fn given(&mut self, claims: &[Claim]) {
        let last = self.fences.last().copied();
        for claim in claims {
            let it = &claim.ticket;
            assert!(self.submitted.contains(&it.id));
            assert!(!self.succeeded.contains_key(&it.id), "a job that is done was given");
            assert!(last.is_none_or(|last| last < it.fence), "fences only rise");
            self.fences.insert(it.fence);
            self.present.insert(it.id.clone(), it.fence);
            if let Some(key) = &claim.job.limit_key {
                let start = claim.deadline - u64::try_from(claim.job.timeout.as_millis()).unwrap();
                let starts = self.starts.entry(key.clone()).or_default();
                starts.push(start);
                let rate = LIMITS.iter().find(|it| it.0 == key.as_str()).unwrap().2;
                for (before, from) in starts.iter().rev().enumerate() {
                    let most = u64::from(rate) + (start - from) * u64::from(rate) / 100;
                    assert!((before as u64) < most, "{key} starts too fast: {starts:?}");
                }
            }
        }
    }

    fn heard(&mut self, claim: &Claim, success: bool) {
        let Ticket { id, fence } = &claim.ticket;
        // A success may be told again.
        if success && self.succeeded.get(id) == Some(fence) {
            return;
        }
        assert_eq!(self.present.remove(id), Some(*fence), "a stale claim was heard");
        if success {
            assert_eq!(self.succeeded.insert(id.clone(), *fence), None, "a job succeeded twice");
        }
    }
}

/// Sixty random acts over an empty broker, then work until all is done. `pass` lets so many milliseconds pass, or not; then
/// a claim waits for `wait`.
pub async fn run(seed: u64, broker: &impl Broker, pass: impl Fn(u64), wait: Duration) {
    for (key, concurrency, jobs) in LIMITS {
        let rate = NonZeroU32::new(jobs).map(|jobs| Rate { jobs, per: PER });
        let limit = Limit { concurrency: NonZeroU32::new(concurrency), rate };
        broker.limit(&key.parse().unwrap(), Some(limit)).await.unwrap();
    }
    let mut chance = fastrand::Rng::with_seed(seed);
    let workers: Vec<Worker> = [8, 24]
        .map(|gb| json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": gb } }))
        .into_iter()
        .enumerate()
        .map(|(n, has)| worker_with(&format!("w{n}"), has))
        .collect();
    let (mut ledger, mut held) = (Ledger::default(), Vec::<(usize, Claim)>::new());
    for turn in 0..60 {
        pass(chance.u64(0..400));
        match chance.u8(0..10) {
            0..=2 => {
                let jobs: Vec<_> = (0..chance.usize(1..4)).map(|_| some_job(&mut chance)).collect();
                ledger.submitted.extend(jobs.iter().map(|it| it.id.clone()));
                broker.submit(&jobs).await.unwrap();
            }
            3..=5 => {
                let at = chance.usize(..workers.len());
                let want = Want::now(chance.usize(1..4)).lease(Duration::from_millis(chance.u64(1..1_500)));
                let claims = broker.exchange(&workers[at], vec![], want).await.unwrap().claims;
                ledger.given(&claims);
                held.extend(claims.into_iter().map(|it| (at, it)));
            }
            // Some claim ends, perhaps long after its lease, and perhaps it is said twice: the network repeats.
            6..=7 if !held.is_empty() => {
                let at = chance.usize(..held.len());
                let (worker, claim) = if chance.bool() { held.swap_remove(at) } else { held[at].clone() };
                let outcome =
                    [Outcome::Success(json!(seed)), failure(true), failure(false), Outcome::HandBack];
                let outcome = outcome[chance.usize(..4)].clone();
                let success = matches!(outcome, Outcome::Success(_));
                let done = vec![(claim.ticket.clone(), outcome)];
                let told = broker.exchange(&workers[worker], done, Want::NOTHING).await.unwrap();
                if told.done[0].is_ok() {
                    ledger.heard(&claim, success);
                }
            }
            8 => {
                if let Some(id) = chance.choice(&ledger.submitted) {
                    broker.cancel(id).await.unwrap();
                }
            }
            _ => {
                broker.sweep().await.unwrap();
                broker.replay(&Replay::All).await.unwrap();
            }
        }
        if turn % 6 == 5 {
            audit(broker, &ledger).await;
        }
    }
    drain(broker, &workers[1], &mut ledger, pass, wait).await;
    audit(broker, &ledger).await;
}

/// One worker that can do everything does it: nothing is held for ever.
async fn drain(
    broker: &impl Broker,
    worker: &Worker,
    ledger: &mut Ledger,
    pass: impl Fn(u64),
    wait: Duration,
) {
    let (end, mut held) = (Instant::now() + LONG, Vec::<Claim>::new());
    loop {
        pass(50);
        let done = held.iter().map(|it| (it.ticket.clone(), Outcome::Success(json!(1)))).collect();
        let told = broker.exchange(worker, done, Want::now(3).wait(wait)).await.unwrap();
        for (claim, heard) in held.iter().zip(told.done) {
            if heard.is_ok() {
                ledger.heard(claim, true);
            }
        }
        ledger.given(&told.claims);
        held = told.claims;
        let left = broker.counts().await.unwrap();
        if held.is_empty() && left.waiting + left.held + left.delayed + left.running == 0 {
            return;
        }
        assert!(Instant::now() < end, "not all is done: {left:?}");
    }
}

fn some_job(chance: &mut fastrand::Rng) -> Job {
    let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": chance.u8(1..24) } }));
    let mut job = job();
    job.limit_key = LIMITS.get(chance.usize(0..6)).map(|(key, ..)| key.parse().unwrap());
    job.requirements(needs)
        .priority(chance.i16(-3..3))
        .delay(Duration::from_millis(chance.u64(0..2) * 300))
        .timeout(Duration::from_millis(chance.u64(200..2_000)))
        .max_attempts(chance.u32(1..3))
}

/// Each job is in exactly one state: what the jobs say of themselves is what the orders of the queue add up to.
async fn audit(broker: &impl Broker, ledger: &Ledger) {
    let (mut waiting, mut delayed, mut running, mut dead, mut bytes) = (0, 0, 0, 0, 0);
    let mut keys = BTreeMap::<LimitKey, u32>::new();
    for id in &ledger.submitted {
        let status = broker.status(id).await.unwrap().expect("a job is never lost");
        match &status.life.state {
            State::Waiting => waiting += 1,
            State::Delayed { .. } => delayed += 1,
            State::Running { .. } => {
                running += 1;
                if let Some(key) = status.job.limit_key.clone() {
                    *keys.entry(key).or_default() += 1;
                }
            }
            State::Dead(_) => dead += 1,
            State::Succeeded | State::Cancelled => {}
        }
        assert_eq!(status.life.state == State::Succeeded, ledger.succeeded.contains_key(id));
        if !status.life.state.is_terminal() {
            bytes += serde_json::to_string(&status.job).unwrap().len() as u64;
        }
    }
    let counts = broker.counts().await.unwrap();
    let found = (counts.waiting + counts.held, counts.delayed, counts.running, counts.dead, counts.bytes);
    assert_eq!(found, (waiting, delayed, running, dead, bytes));
    for (key, most, _) in LIMITS {
        assert!(keys.get(&key.parse().unwrap()).is_none_or(|found| *found <= most), "{key}: {keys:?}");
    }
}

async fn run_in_memory(seed: u64) {
    let hand = Hand::default();
    let broker = Memory::with_clock(settings("simulation"), hand.clone());
    run(seed, &broker, |ms| _ = hand.0.fetch_add(ms, Ordering::Relaxed), Duration::ZERO).await;
}

#[tokio::test]
async fn whatever_happens_every_job_is_in_exactly_one_state() {
    for seed in 0..SEEDS {
        let simulated = tokio::spawn(run_in_memory(seed));
        assert!(simulated.await.is_ok(), "seed {seed} fails; `run_in_memory({seed})` repeats it");
    }
}
