//! `roster worker`: real processes that share one real Redis and pretend to work.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::life::State;
use broker::{Broker as _, Death, Job, JobId, Native, Settings, Status};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::told;

mod spans;

/// For what should take a moment.
const PATIENCE: Duration = Duration::from_mins(1);

/// A child that does not outlive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench {
    folder: TempDir,
    url: String,
    broker: Native,
    _redis: Guarded,
}

impl Bench {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Command::new("redis-server");
        redis.args(["--port", &port.to_string(), "--save", "", "--dir"]).arg(folder.path());
        let redis = Guarded(
            redis.stdout(Stdio::null()).spawn().expect("redis-server; `cargo xtask setup` installs it"),
        );
        let (url, end) = (format!("redis://127.0.0.1:{port}"), Instant::now() + PATIENCE);
        let broker = loop {
            match Native::connect(&url, Settings::new("jobs".parse().unwrap())).await {
                Ok(broker) => break broker,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        Self { folder, url, broker, _redis: redis }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.env_clear().current_dir(self.folder.path()).arg("worker");
        command.env("REDIS_URL", &self.url).env("WORKER_ID", name).env("WORKER_LEASE_S", "1");
        command.env("CONNECTOR", "simulation").env("ACCEPTS", "simulation").env("WORKER_CONCURRENCY", "2");
        command
    }

    fn worker(&self, name: &str) -> Guarded {
        Guarded(self.command(name).stderr(Stdio::null()).spawn().unwrap())
    }

    async fn submit(&self, payload: Value) -> JobId {
        let job = Job::new("simulation".parse().unwrap()).payload(payload);
        self.broker.submit(&[job]).await.unwrap()[0].id().clone()
    }

    async fn until(&self, id: &JobId, is: impl Fn(&Status) -> bool) -> Status {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.broker.status(id).await.unwrap().unwrap();
            if is(&status) {
                return status;
            }
            assert!(Instant::now() < end, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn is_over(status: &Status) -> bool {
    status.life.state.is_terminal()
}

fn runs(status: &Status) -> bool {
    matches!(status.life.state, State::Running { .. })
}

fn terminate(child: &Guarded) {
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

#[tokio::test]
async fn several_workers_do_all_jobs_whatever_happens_to_one_of_them() {
    let bench = Bench::begin().await;
    let mut workers: Vec<_> = (0..3).map(|it| bench.worker(&format!("w-{it}"))).collect();
    let mut ids = Vec::new();
    for seed in 0..40 {
        ids.push(bench.submit(json!({ "duration_ms": 200, "seed": seed })).await);
    }
    bench.until(&ids[0], |it| !matches!(it.life.state, State::Waiting)).await;
    workers[0].0.kill().unwrap();
    for (seed, id) in ids.iter().enumerate() {
        let status = bench.until(id, is_over).await;
        assert_eq!(status.result.unwrap()["seed"], seed);
        assert_eq!(status.life.attempts, 0, "a lost worker is no failure");
    }
}

#[tokio::test]
async fn a_job_that_ends_its_worker_is_given_up_and_the_others_go_on() {
    let bench = Bench::begin().await;
    let calm = bench.submit(json!({ "duration_ms": 100 })).await;
    let deadly = bench.submit(json!({ "duration_ms": 20, "fail": "crash" })).await;
    // One job at a time: what shares a process with a deadly job dies with it.
    let begin = || {
        Guarded(bench.command("w-0").env("WORKER_CONCURRENCY", "1").stderr(Stdio::null()).spawn().unwrap())
    };
    let mut worker = begin();
    let status = loop {
        // As a supervisor would.
        if worker.0.try_wait().unwrap().is_some() {
            worker = begin();
        }
        let status = bench.broker.status(&deadly).await.unwrap().unwrap();
        if is_over(&status) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(matches!(&status.life.state, State::Dead(it) if it.kind == Death::Crashes), "{status:?}");
    assert!(bench.until(&calm, is_over).await.result.is_some());
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_a_failing_one_is_tried_again() {
    let bench = Bench::begin().await;
    let _worker = bench.worker("w-0");
    let long = bench.submit(json!({ "duration_ms": 60_000 })).await;
    bench.until(&long, runs).await;
    bench.broker.cancel(&long).await.unwrap();
    assert_eq!(bench.until(&long, is_over).await.life.state, State::Cancelled);
    let twice = bench.submit(json!({ "duration_ms": 20, "fail": "retryable", "fail_attempts": 1 })).await;
    let status = bench.until(&twice, is_over).await;
    assert_eq!((status.life.attempts, status.result.is_some()), (1, true));
    let large = bench.submit(json!({ "duration_ms": 20, "output_bytes": 3_000_000, "seed": 1 })).await;
    let result = bench.until(&large, is_over).await.result.unwrap();
    let path = result["output"]["url"].as_str().unwrap().strip_prefix("file://").unwrap().to_owned();
    assert_eq!(std::fs::metadata(path).unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_finishes_or_hands_back_and_ends_with_0() {
    let bench = Bench::begin().await;
    let mut command = bench.command("w-0");
    let child =
        command.env("WORKER_GRACE_S", "2").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut worker = Guarded(child);
    let (short, long) = (
        bench.submit(json!({ "duration_ms": 1_000 })).await,
        bench.submit(json!({ "duration_ms": 60_000 })).await,
    );
    bench.until(&short, runs).await;
    bench.until(&long, runs).await;
    terminate(&worker);
    let code = worker.0.wait().unwrap().code();
    assert_eq!(code, Some(0));
    assert!(bench.until(&short, is_over).await.result.is_some());
    let life = bench.broker.status(&long).await.unwrap().unwrap().life;
    assert_eq!((life.state, life.attempts, life.crashes), (State::Waiting, 0, 0));
}

#[tokio::test]
async fn a_worker_without_a_job_ends_at_once_and_a_cancelled_one_at_once_too() {
    let bench = Bench::begin().await;
    let mut command = bench.command("w-0");
    // A renewal would come after 20 s, the end of a claim after 30 s.
    let mut worker = Guarded(command.env("WORKER_LEASE_S", "60").stderr(Stdio::null()).spawn().unwrap());
    let long = bench.submit(json!({ "duration_ms": 60_000 })).await;
    bench.until(&long, runs).await;
    let began = Instant::now();
    bench.broker.cancel(&long).await.unwrap();
    assert_eq!(bench.until(&long, is_over).await.life.state, State::Cancelled);
    terminate(&worker);
    assert_eq!(worker.0.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_worker_reports_what_it_does_to_the_socket_that_it_is_told_of() {
    let bench = Bench::begin().await;
    let path = bench.folder.path().join("m1.reports");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut command = bench.command("w-0");
    let _worker = Guarded(command.env("WORKER_REPORT", &path).stderr(Stdio::null()).spawn().unwrap());
    let job = bench.submit(json!({ "duration_ms": 300 })).await;
    let mut bytes = vec![0; 64 << 10];
    let ended = loop {
        let heard = tokio::time::timeout(PATIENCE, socket.recv(&mut bytes)).await;
        let length = heard.expect("it reports").unwrap();
        let report: Value = serde_json::from_slice(&bytes[..length]).unwrap();
        assert_eq!((&report["worker"], &report["connector"]), (&json!("w-0"), &json!("simulation")));
        if let Some(ended) = report["ended"].as_array().and_then(|it| it.first()) {
            break ended.clone();
        }
    };
    assert_eq!(ended["end"], "succeeded");
    assert!(ended["ran_ms"].as_u64().unwrap() >= 300, "{ended}");
    assert!(bench.until(&job, is_over).await.result.is_some());
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_an_error_without_its_password() {
    let bench = Bench::begin().await;
    let mut command = bench.command("w-0");
    let output = command.env("REDIS_URL", "redis://:canary@127.0.0.1:1").output().unwrap();
    let (out, err, code) = told(&output);
    assert_eq!((out.as_str(), code), ("", Some(1)), "{err}");
    assert!(err.contains("error[BROKER") && !err.contains("canary"), "{err}");
}
