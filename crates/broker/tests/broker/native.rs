//! The contract over Redis, and what only Redis can show. Each test has a server of its own, without a port.

use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use broker::{Broker, Error, Heard, MAX_BATCH, Native, Outcome, Settings, Submission, Want, Workflow};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::contract;
use crate::contract::{
    LONG, SHORT, claim, claim_one, failure, finish, job, requirements, settings, submit, worker, worker_with,
};
use crate::simulation;

/// As in the simulation over memory, but in real time.
const SEEDS: u64 = 40;

/// A Redis in a temporary folder; it ends with its test.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// `None`, and a word about it, where there is no Redis; in CI that fails.
    pub async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(folder.path().join("socket")).arg("--dir").arg(folder.path());
        let child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) => {
                let ci = std::env::var("CI").is_ok_and(|it| it == "true");
                assert!(!ci, "`redis-server` is needed in CI: {error}");
                println!("not run: `redis-server` is not on the PATH ({error})");
                return None;
            }
        };
        let server = Self { child, folder };
        let end = Instant::now() + LONG;
        while tokio::net::UnixStream::connect(server.socket()).await.is_err() {
            assert!(Instant::now() < end, "`redis-server` does not start");
            tokio::task::yield_now().await;
        }
        Some(server)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub async fn broker(&self, settings: Settings) -> Native {
        Native::connect(&format!("redis+unix://{}", self.socket().display()), settings).await.unwrap()
    }

    /// Waits until so many workers wait.
    pub async fn waited_on(&self, workers: usize) {
        let end = Instant::now() + LONG;
        loop {
            let clients: String = self.ask(&["INFO", "clients"]).await;
            if clients.contains(&format!("blocked_clients:{workers}\r")) {
                return;
            }
            assert!(Instant::now() < end, "{workers} workers wait");
        }
    }

    /// An answer to any command.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket().display())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

async fn native(settings: Settings) -> Option<(Native, Server)> {
    let server = Server::start().await?;
    Some((server.broker(settings).await, server))
}

contract!(tokio::test, native);

/// A queue whose idle workers look again so late that only a wake-up can be in time.
fn patient(name: &str) -> Settings {
    Settings { sweep_every: LONG, ..settings(name) }
}

#[tokio::test]
async fn every_key_is_under_the_tag_of_its_queue_and_what_is_finished_ends() {
    let Some((broker, server)) = native(settings("tagged")).await else { return };
    let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": 8 } }));
    let jobs = [job(), job().requirements(needs), job().idempotency_key("k".parse().unwrap()), job()];
    broker.submit(&jobs).await.unwrap();
    broker.events(&jobs[0].id, None, std::time::Duration::ZERO).await.unwrap();
    let claims = claim(&broker, &worker("w"), Want::now(4)).await;
    for claim in &claims[..3] {
        assert!(finish(&broker, &worker("w"), claim, Outcome::Success(json!(1))).await);
    }
    assert!(finish(&broker, &worker("w"), &claims[3], failure(false)).await);

    let keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    let mut lasting = Vec::new();
    for key in &keys {
        assert!(key.starts_with("{tagged}:"), "{key}");
        if server.ask::<i64>(&["PTTL", key]).await == -1 {
            let kind = key.strip_prefix("{tagged}:").unwrap().split(':').next().unwrap();
            lasting.push(kind.to_owned());
        }
    }
    lasting.sort();
    lasting.dedup();
    // Numbers, signatures and classes; of jobs only the dead are listed, and the sweep forgets them in time.
    assert_eq!(lasting, ["c", "k", "m", "news", "q", "s", "so", "su", "x"]);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_again() {
    let Some((broker, server)) = native(settings("flushed")).await else { return };
    submit(&broker, job()).await;
    server.ask::<redis::Value>(&["SCRIPT", "FLUSH"]).await;
    claim_one(&broker, &worker("w")).await;
}

#[tokio::test]
async fn who_listens_hears_again_after_its_connection_was_cut() {
    let Some((broker, server)) = native(settings("cut")).await else { return };
    let mut cancels = pin!(broker.cancels());
    assert_eq!(cancels.next().await, Some(Ok(Heard::Listening)));
    assert_eq!(server.ask::<u32>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await, 1);
    assert_eq!(cancels.next().await, Some(Ok(Heard::Listening)));
    let id = submit(&broker, job()).await;
    claim_one(&broker, &worker("w")).await;
    broker.cancel(&id).await.unwrap();
    assert_eq!(cancels.next().await, Some(Ok(Heard::Cancel(id))));
}

#[tokio::test]
async fn a_fence_is_not_given_twice_even_if_redis_forgets_a_claim() {
    let Some((broker, server)) = native(settings("forgotten")).await else { return };
    submit(&broker, job()).await;
    // What a replica has that takes over before it hears of the claim.
    for key in server.ask::<Vec<String>>(&["KEYS", "*"]).await {
        server.ask::<u8>(&["COPY", &key, &key, "DB", "1"]).await;
    }
    let before = claim_one(&broker, &worker("before")).await;
    server.ask::<redis::Value>(&["SWAPDB", "0", "1"]).await;
    let after = claim_one(&broker, &worker("after")).await;
    assert_eq!(before.ticket.id, after.ticket.id);
    assert!(after.ticket.fence > before.ticket.fence);
    assert!(!finish(&broker, &worker("before"), &before, Outcome::Success(json!("stale"))).await);
    assert!(finish(&broker, &worker("after"), &after, Outcome::Success(json!("fresh"))).await);
}

#[tokio::test]
async fn two_programs_share_a_queue_and_two_queues_share_nothing() {
    let Some((here, server)) = native(patient("shared")).await else { return };
    let there = server.broker(patient("shared")).await;
    let other = server.broker(settings("other")).await;
    let (here_worker, there_worker) = (worker("here"), worker("there"));
    let waits = claim(&there, &there_worker, Want::now(1).wait(LONG));
    let began = Instant::now();
    let submits = async {
        server.waited_on(1).await;
        submit(&here, job()).await
    };
    let (claims, id) = tokio::join!(waits, submits);
    assert_eq!(claims[0].ticket.id, id);
    // The class has judged this signature, so now the line itself wakes.
    let waits = claim(&there, &there_worker, Want::now(1).wait(LONG));
    let submits = async {
        server.waited_on(1).await;
        submit(&here, job()).await
    };
    let (claims, id) = tokio::join!(waits, submits);
    assert_eq!(claims[0].ticket.id, id);
    assert!(began.elapsed() < LONG / 4);
    assert_eq!(claim(&here, &here_worker, Want::now(1)).await, []);
    assert_eq!(other.status(&id).await.unwrap(), None);
    assert_eq!(other.counts().await.unwrap(), broker::Counts::default());
}

#[tokio::test]
async fn one_batch_wakes_as_many_workers_as_it_has_jobs() {
    let Some((broker, server)) = native(patient("chain")).await else { return };
    let other = server.broker(patient("chain")).await;
    let jobs: Vec<_> = (0..3).map(|_| job()).collect();
    let (a, b, c) = (worker("a"), worker("b"), worker("c"));
    let want = Want::now(1).wait(LONG);
    let began = Instant::now();
    let submits = async {
        server.waited_on(3).await;
        other.submit(&jobs).await.unwrap()
    };
    let (a, b, c, _) =
        tokio::join!(claim(&broker, &a, want), claim(&broker, &b, want), claim(&broker, &c, want), submits,);
    assert_eq!([a, b, c].map(|it| it.len()), [1, 1, 1]);
    assert!(began.elapsed() < LONG / 4);
}

#[tokio::test]
async fn a_class_that_was_gone_takes_its_lines_up_again() {
    let mut brief = settings("brief");
    brief.class_ttl = std::time::Duration::from_millis(1);
    let Some((broker, server)) = native(brief).await else { return };
    submit(&broker, job()).await;
    claim_one(&broker, &worker("w")).await;
    let end = Instant::now() + LONG;
    while server.ask::<u64>(&["ZCARD", "{brief}:c"]).await > 0 {
        assert!(Instant::now() < end, "the class is forgotten");
        broker.sweep().await.unwrap();
    }
    let id = submit(&broker, job()).await;
    assert_eq!(claim_one(&broker, &worker("w")).await.ticket.id, id);
}

#[tokio::test]
async fn what_others_wrote_is_an_error_and_no_panic() {
    let Some((broker, server)) = native(settings("foreign")).await else { return };
    server.ask::<redis::Value>(&["SET", "{foreign}:b:mine", "?"]).await;
    let id = "mine".parse().unwrap();
    assert_eq!(broker.status(&id).await, Err(Error::Foreign { key: "{foreign}:b:mine".into() }));
    server.ask::<redis::Value>(&["SET", "{foreign}:m", "1"]).await;
    assert!(matches!(broker.submit(&[job()]).await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_dies_alone() {
    let Some((broker, server)) = native(settings("unread")).await else { return };
    let jobs = [job(), job(), job()];
    broker.submit(&jobs).await.unwrap();
    let key = format!("{{unread}}:b:{}", jobs[1].id);
    server.ask::<redis::Value>(&["SET", &key, "{\"requirements\":null}"]).await;
    let claims = claim(&broker, &worker("w"), Want::now(3)).await;
    let ids: Vec<_> = claims.iter().map(|it| &it.ticket.id).collect();
    assert_eq!(ids, [&jobs[0].id, &jobs[2].id]);
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.running, counts.dead), (2, 1));
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error() {
    let Some(server) = Server::start().await else { return };
    let url = format!("redis+unix://{}?timeout=100", server.socket().display());
    let broker = Native::connect(&url, settings("gone")).await.unwrap();
    submit(&broker, job()).await;
    drop(server);
    assert!(matches!(broker.submit(&[job()]).await, Err(Error::Unreachable(_))));
    assert!(broker.exchange(&worker("w"), vec![], Want::now(1)).await.is_err());
}

#[tokio::test]
async fn whoever_fills_a_queue_is_told_which_jobs_are_in_it() {
    let Some((broker, _server)) = native(settings("full")).await else { return };
    // Two calls of 44 jobs. The first has one that does not fit, and ends there.
    let jobs: Vec<_> = (0..88).map(|_| job()).collect();
    let mut all = jobs.clone();
    all[40] = all[40].clone().payload(json!("x".repeat(65_000)));
    all[70] = all[70].clone().id(jobs[3].id.clone());
    let Error::Full { submitted, .. } = broker.submit(&all).await.unwrap_err() else { panic!("it is full") };
    let expected = all.iter().enumerate().filter(|(at, _)| !(40..44).contains(at)).map(|(at, it)| match at {
        70 => Submission::Known(it.id.clone()),
        _ => Submission::Accepted(it.id.clone()),
    });
    assert_eq!(submitted, expected.collect::<Vec<_>>());
    for job in &jobs[40..44] {
        assert_eq!(broker.status(&job.id).await.unwrap(), None);
    }
    assert_eq!(broker.counts().await.unwrap().waiting, 88 - 4 - 1);
}

#[tokio::test]
async fn whatever_happens_every_job_is_in_exactly_one_state() {
    let Some(server) = Server::start().await else { return };
    let mut runs = Vec::new();
    for seed in 0..SEEDS {
        let broker = server.broker(settings(&format!("seed-{seed}"))).await;
        runs.push((seed, tokio::spawn(async move { simulation::run(seed, &broker, |_| {}, SHORT).await })));
    }
    for (seed, run) in runs {
        assert!(run.await.is_ok(), "seed {seed} fails");
    }
}

/// A queue that forgets a signature as soon as its line is empty.
fn forgetful(name: &str) -> Settings {
    Settings { signature_ttl: std::time::Duration::ZERO, byte_budget: 1 << 30, ..settings(name) }
}

#[tokio::test]
async fn signatures_that_nobody_uses_are_forgotten() {
    let Some((broker, server)) = native(forgetful("routed")).await else { return };
    let me = worker("w");
    for batch in 0..10 {
        let jobs = (0..1_000).map(|n| {
            let id = format!("workflow-{batch}-{n}").parse().unwrap();
            job().workflow(Workflow { id, step: None, steps: None, routed: true })
        });
        let jobs: Vec<_> = jobs.collect();
        broker.submit(&jobs).await.unwrap();
        let (mut left, mut done) = (jobs.len(), vec![]);
        while left > 0 {
            let told = broker
                .exchange(&me, std::mem::take(&mut done), Want::now(MAX_BATCH).wait(LONG))
                .await
                .unwrap();
            left -= told.claims.len();
            done = told.claims.into_iter().map(|it| (it.ticket, Outcome::Success(json!(1)))).collect();
        }
        broker.exchange(&me, done, Want::NOTHING).await.unwrap();
    }
    let end = Instant::now() + LONG;
    for key in ["{routed}:so", "{routed}:su", "{routed}:news"] {
        while server.ask::<u64>(&["ZCARD", key]).await > 8 {
            assert!(Instant::now() < end, "`{key}` shrinks");
            broker.sweep().await.unwrap();
        }
    }
    assert!(server.ask::<u64>(&["HLEN", "{routed}:s"]).await <= 8);
    assert!(server.ask::<Vec<String>>(&["KEYS", "{routed}:q:*"]).await.len() <= 8);
    let id = submit(&broker, job()).await;
    assert_eq!(claim_one(&broker, &me).await.ticket.id, id);
}

#[tokio::test]
async fn a_job_brings_its_forgotten_signature_back() {
    let Some((broker, server)) = native(forgetful("back")).await else { return };
    let id = submit(&broker, job()).await;
    let mut claimed = claim_one(&broker, &worker("w")).await;
    let other = worker_with("v", json!({ "services": ["comfyui"] }));
    for me in [worker("w"), other, worker("w")] {
        let end = Instant::now() + LONG;
        while server.ask::<u64>(&["ZCARD", "{back}:so"]).await > 0 {
            assert!(Instant::now() < end, "it is forgotten");
            broker.sweep().await.unwrap();
        }
        assert!(finish(&broker, &me, &claimed, Outcome::HandBack).await);
        assert_eq!(broker.counts().await.unwrap().waiting, 1);
        claimed = claim_one(&broker, &me).await;
        assert_eq!(claimed.ticket.id, id);
    }
}

#[tokio::test]
async fn no_class_is_too_many() {
    let Some((broker, server)) = native(patient("classes")).await else { return };
    let class = |n: u32| {
        worker_with("w", json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": n + 10 } }))
    };
    submit(&broker, job()).await;
    claim_one(&broker, &class(0)).await;
    for n in 0..600 {
        assert_eq!(claim(&broker, &class(n), Want::now(1)).await, []);
    }
    for n in 0..600 {
        let id = submit(&broker, job()).await;
        assert_eq!(claim_one(&broker, &class(n)).await.ticket.id, id);
    }
    // Many of them wait at once, for one batch.
    let other = server.broker(patient("classes")).await;
    let jobs: Vec<_> = (0..60).map(|_| job()).collect();
    let submits = async {
        server.waited_on(60).await;
        other.submit(&jobs).await.unwrap();
    };
    let mut waiting = tokio::task::JoinSet::new();
    let broker = std::sync::Arc::new(broker);
    for n in 0..60 {
        let (broker, me) = (broker.clone(), class(n));
        waiting.spawn(async move { claim(&*broker, &me, Want::now(1).wait(LONG)).await.len() });
    }
    let began = Instant::now();
    let (claimed, ()) = tokio::join!(waiting.join_all(), submits);
    assert_eq!(claimed.iter().sum::<usize>(), 60);
    assert!(began.elapsed() < LONG / 2);
}
