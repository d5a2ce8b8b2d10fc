//! The loop over a broker in memory, with connectors that do as they are told, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Death, Job, Memory, Settings, Submission};
use futures_util::FutureExt as _;
use object_store::memory::InMemory;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

mod timely;
mod told;

use super::outcome::outcome;
use super::*;
use crate::connector::{Stop, Task};
use crate::connectors::simulation::Simulation;
use crate::failure::Kind;
use crate::payload::Payload;

/// What a connector does with its next job.
enum Act {
    Succeed,
    Fail(Failure),
    /// Works for so long, unless it is asked to stop, and takes `to_stop` to do so.
    Work {
        time: Duration,
        to_stop: Duration,
    },
    /// Tells its progress at once so often.
    Tell(u8),
}

/// A connector with a script, and with a service that is well while `well` says so.
struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    looks: Mutex<VecDeque<Result<(), Failure>>>,
    looked: AtomicUsize,
    running: AtomicUsize,
    payload: Payload,
}

impl Scripted {
    fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self {
            acts: Mutex::new(acts.into_iter().collect()),
            looks: Mutex::default(),
            looked: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            payload: Payload::new(json!({ "type": "object", "properties": { "n": { "type": "integer" } } })),
        })
    }

    async fn act(&self, task: &Task) -> Result<Value, Failure> {
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Succeed);
        match act {
            Act::Succeed => {}
            Act::Fail(failure) => return Err(failure),
            Act::Work { time, to_stop } => {
                if task.unless_stopped(sleep(time)).await.is_err() {
                    sleep(to_stop).await;
                    return Err(Failure::stopped());
                }
            }
            Act::Tell(times) => (0..=times).for_each(|it| task.progress(it.into(), "on its way")),
        }
        Ok(json!({ "done": true }))
    }
}

impl Connector for Scripted {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "it").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let found = self.looks.lock().unwrap().pop_front().unwrap_or(Ok(()));
        async { found }.boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            self.running.fetch_add(1, Ordering::Relaxed);
            let result = self.act(task).await;
            self.running.fetch_sub(1, Ordering::Relaxed);
            result
        }
        .boxed()
    }

    fn owns_service(&self) -> bool {
        true
    }
}

struct Bench {
    broker: Arc<Memory>,
    restarts: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    worker: Option<JoinHandle<Tally>>,
}

impl Bench {
    /// A worker with so many slots, and no jobs yet.
    fn with(connector: Arc<dyn Connector>, slots: usize) -> Self {
        Self::told(connector, slots, None)
    }

    /// The same, with somebody who is told what it does.
    fn told(connector: Arc<dyn Connector>, slots: usize, listener: Option<Listener>) -> Self {
        let restarts = Arc::new(Mutex::new(Vec::new()));
        let noted = restarts.clone();
        let restart: Restart = Arc::new(move |it| noted.lock().unwrap().push(it.into()));
        let runner = Runner { listener, ..runner(connector, slots, restart) };
        let (broker, (stop, stopped)) = (runner.broker.clone(), oneshot::channel());
        let worker = tokio::spawn(runner.run(async move { drop(stopped.await) }));
        Self { broker, restarts, stop: Some(stop), worker: Some(worker) }
    }

    async fn submit(&self, job: Job) -> broker::JobId {
        match self.broker.submit(&[job]).await.unwrap().remove(0) {
            Submission::Accepted(id) | Submission::Known(id) => id,
        }
    }

    async fn until(&self, id: &broker::JobId, is: impl Fn(&broker::Status) -> bool) -> broker::Status {
        loop {
            let status = self.broker.status(id).await.unwrap().unwrap();
            if is(&status) {
                return status;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(&mut self) -> Tally {
        drop(self.stop.take());
        self.worker.take().unwrap().await.unwrap()
    }
}

/// A worker with a queue of its own.
fn runner(connector: Arc<dyn Connector>, slots: usize, restart: Restart) -> Runner<Memory> {
    let capabilities = serde_json::from_value(json!({ "services": ["it", "other"] })).unwrap();
    Runner {
        broker: Arc::new(Memory::new(Settings::new("q".parse().unwrap()))),
        worker: Worker::new("m-worker-it-0".parse().unwrap(), capabilities),
        services: vec![Service { connector, slots, restart: Some(restart) }],
        store: Store::new(Arc::new(InMemory::new()), "{path}", 1 << 20),
        pace: Pace::default(),
        redactor: Redactor::new([spec::env::Secret::new("canary".to_owned())]),
        jobs: Handle::current(),
        connector: "it".into(),
        gpu: Some(1),
        listener: None,
    }
}

fn it() -> Job {
    Job::new("it".parse().unwrap())
}

fn is_over(status: &broker::Status) -> bool {
    status.life.state.is_terminal()
}

fn is_running(status: &broker::Status) -> bool {
    matches!(status.life.state, broker::life::State::Running { .. })
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn jobs_are_done_and_the_last_ones_before_the_end_too() {
    let mut bench = Bench::with(Scripted::new([]), 4);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(bench.submit(it()).await);
    }
    for id in &ids {
        assert_eq!(bench.until(id, is_over).await.result, Some(json!({ "done": true })));
    }
    let tally = bench.end().await;
    assert_eq!((tally.claimed, tally.succeeded), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn a_job_is_kept_far_beyond_one_lease() {
    let bench = Bench::with(Scripted::new([Act::Work { time: s(300), to_stop: s(0) }]), 1);
    let id = bench.submit(it()).await;
    let status = bench.until(&id, is_over).await;
    assert_eq!((status.life.crashes, status.life.attempts, status.result.is_some()), (0, 0, true));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_payload_and_a_wrong_service_never_reach_the_connector() {
    let connector = Scripted::new([Act::Fail(Failure::permanent("reached"))]);
    let bench = Bench::with(connector.clone(), 1);
    let wrong = bench.submit(it().payload(json!({ "n": "one" }))).await;
    let other = bench.submit(Job::new("other".parse().unwrap())).await;
    for id in [wrong, other] {
        let status = bench.until(&id, is_over).await;
        assert!(matches!(&status.life.state, broker::life::State::Dead(it) if it.kind == Death::Permanent));
        assert_ne!(status.error.as_deref(), Some("reached"));
    }
    assert_eq!(connector.acts.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_secret_of_the_worker_is_in_an_error() {
    let bench = Bench::with(Scripted::new([Act::Fail(Failure::permanent("wrong key: canary"))]), 1);
    let id = bench.submit(it()).await;
    assert_eq!(bench.until(&id, is_over).await.error.as_deref(), Some("wrong key: [redacted]"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_one_job() {
    let bench = Bench::with(Arc::new(Simulation::new(None)), 2);
    let calm = bench.submit(it().payload(json!({ "duration_ms": 500 }))).await;
    let panics = bench.submit(it().max_attempts(1).payload(json!({ "fail": "panic" }))).await;
    let status = bench.until(&panics, is_over).await;
    assert_eq!(status.error.as_deref(), Some("the connector panicked: a panic, as asked"));
    assert!(bench.until(&calm, is_over).await.result.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_stopped_and_its_slot_is_free_again() {
    let connector = Scripted::new([Act::Work { time: s(300), to_stop: s(1) }]);
    let bench = Bench::with(connector.clone(), 1);
    let id = bench.submit(it()).await;
    bench.until(&id, is_running).await;
    bench.broker.cancel(&id).await.unwrap();
    let status = bench.until(&id, is_over).await;
    assert_eq!(status.life.state, broker::life::State::Cancelled);
    assert_eq!(connector.running.load(Ordering::Relaxed), 0);
    let next = bench.submit(it()).await;
    assert!(bench.until(&next, is_over).await.result.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_job_beyond_its_timeout_is_stopped_in_time_to_say_why() {
    let bench = Bench::with(Scripted::new([Act::Work { time: s(300), to_stop: s(0) }]), 1);
    let id = bench.submit(it().timeout(s(60)).max_attempts(1)).await;
    let status = bench.until(&id, is_over).await;
    assert_eq!(status.error.as_deref(), Some("it took longer than its timeout"));
    assert_eq!(status.life.crashes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_does_not_stop_is_cut_off_and_its_service_is_started_again() {
    let connector = Scripted::new([Act::Work { time: s(999), to_stop: s(999) }]);
    let mut bench = Bench::with(connector.clone(), 1);
    let id = bench.submit(it()).await;
    bench.until(&id, is_running).await;
    bench.broker.cancel(&id).await.unwrap();
    let status = bench.until(&id, is_over).await;
    assert_eq!(status.life.state, broker::life::State::Cancelled);
    assert_eq!(*bench.restarts.lock().unwrap(), [format!("job {id} did not stop within 10 s")]);
    assert_eq!(bench.end().await.abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_jobs_get_their_grace_and_then_go_back_without_an_attempt() {
    let quick = Act::Work { time: s(20), to_stop: s(0) };
    let slow = Act::Work { time: s(300), to_stop: s(1) };
    let mut bench = Bench::with(Scripted::new([quick, slow]), 2);
    let (quick, slow) = (bench.submit(it()).await, bench.submit(it()).await);
    bench.until(&slow, is_running).await;
    let tally = bench.end().await;
    assert_eq!((tally.succeeded, tally.handed_back, tally.failed), (1, 1, 0));
    assert!(bench.broker.status(&quick).await.unwrap().unwrap().result.is_some());
    let life = bench.broker.status(&slow).await.unwrap().unwrap().life;
    assert_eq!((life.state, life.attempts, life.crashes), (broker::life::State::Waiting, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_the_service_is_ill_and_the_job_costs_no_attempt() {
    let connector = Scripted::new([Act::Fail(Failure::service("connection refused"))]);
    let ill = || Err(Failure::service("connection refused"));
    connector.looks.lock().unwrap().extend([Ok(()), ill(), ill(), ill()]);
    let mut bench = Bench::with(connector.clone(), 1);
    let id = bench.submit(it()).await;
    let status = bench.until(&id, is_over).await;
    assert_eq!((status.life.attempts, status.life.crashes), (0, 0));
    assert_eq!(connector.looked.load(Ordering::Relaxed), 5);
    let tally = bench.end().await;
    assert_eq!((tally.claimed, tally.handed_back, tally.succeeded), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_rest_gets_no_job_before() {
    let throttled = Failure::retryable("429").after(Some(s(120)));
    let bench = Bench::with(Scripted::new([Act::Fail(throttled)]), 1);
    let began = Instant::now();
    let id = bench.submit(it()).await;
    bench.until(&id, is_over).await;
    assert!(began.elapsed() >= s(120));
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_of_progress_the_last_is_told_and_the_end_does_not_wait_for_it() {
    let bench = Bench::with(Scripted::new([Act::Tell(100), Act::Tell(50)]), 1);
    let (one, two) = (it(), it());
    bench.broker.events(&one.id, None, Duration::ZERO).await.unwrap();
    let began = Instant::now();
    let one = bench.submit(one).await;
    bench.until(&one, is_over).await;
    let told = bench.broker.events(&one, None, Duration::ZERO).await.unwrap();
    let percents: Vec<u8> = told
        .iter()
        .filter_map(|it| match &it.news {
            broker::News::Progress(it) => Some(it.percent),
            _ => None,
        })
        .collect();
    assert_eq!(percents.last(), Some(&100), "{told:?}");
    assert!(percents.len() <= 2, "{percents:?}");
    let two = bench.submit(two).await;
    bench.until(&two, is_over).await;
    assert!(began.elapsed() < s(1));
}

#[test]
fn what_the_broker_is_told_of_every_end() {
    use Outcome::{Failure as Failed, HandBack, Stopped, Success};
    let (fine, failed) = (|| Ok(json!(1)), |kind| Err(Failure::new(kind, "words")));
    let fails = |retryable, message: &str| Some(Failed { retryable, message: message.into() });
    let table = [
        (None, fine(), Some(Success(json!(1)))),
        (Some(Stop::Cancelled), fine(), Some(Success(json!(1)))),
        (Some(Stop::Deadline), fine(), Some(Success(json!(1)))),
        (Some(Stop::Shutdown), fine(), Some(Success(json!(1)))),
        (Some(Stop::LeaseLost), fine(), None),
        (None, failed(Kind::Permanent), fails(false, "words")),
        (None, failed(Kind::Retryable), fails(true, "words")),
        (None, failed(Kind::Service), Some(HandBack)),
        (None, failed(Kind::Stopped), fails(true, "its connector stopped although nobody asked")),
        (Some(Stop::Cancelled), failed(Kind::Stopped), Some(Stopped)),
        (Some(Stop::Cancelled), failed(Kind::Permanent), Some(Stopped)),
        (Some(Stop::Shutdown), failed(Kind::Stopped), Some(HandBack)),
        (Some(Stop::Shutdown), failed(Kind::Retryable), Some(HandBack)),
        (Some(Stop::Deadline), failed(Kind::Stopped), fails(true, "it took longer than its timeout")),
        (
            Some(Stop::Deadline),
            failed(Kind::Retryable),
            fails(true, "it took longer than its timeout: words"),
        ),
        (Some(Stop::LeaseLost), failed(Kind::Permanent), None),
    ];
    for (why, result, expected) in table {
        let case = format!("{why:?} {result:?}");
        assert_eq!(outcome(why, result, &Redactor::default()), expected, "{case}");
    }
}
