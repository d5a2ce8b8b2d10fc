//! The status on a real Redis.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use broker::{Native, Settings};
use futures_util::StreamExt as _;
use health::{Board, Fleet, Publisher, RedisWire};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{LONG, machine};

/// A server of one test.
struct Redis {
    child: Child,
    folder: tempfile::TempDir,
}

impl Redis {
    /// `None`, and a word about it, where there is none.
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "s", "--save", "", "--dir"]).arg(folder.path());
        let Ok(child) = command.current_dir(folder.path()).stdout(Stdio::null()).spawn() else {
            let ci = std::env::var("CI").is_ok_and(|it| it == "true");
            assert!(!ci, "`redis-server` is needed in CI: type `cargo xtask setup`");
            println!("not run: `redis-server` is missing; `cargo xtask setup` installs it");
            return None;
        };
        let redis = Self { child, folder };
        let end = std::time::Instant::now() + LONG;
        while tokio::net::UnixStream::connect(redis.folder.path().join("s")).await.is_err() {
            assert!(std::time::Instant::now() < end, "redis-server listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Some(redis)
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("s").display())
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut it = redis::cmd(command[0]);
        it.arg(&command[1..]);
        it.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Of a machine that has its name to itself.
fn alone() -> Box<dyn Fn(u64) + Send + Sync> {
    Box::new(|it| panic!("another one was started at {it}"))
}

#[tokio::test]
async fn a_machine_is_seen_by_monitors_and_by_its_fleet_until_it_leaves() {
    let Some(redis) = Redis::start().await else { return };
    let queue: broker::QueueName = "jobs".parse().unwrap();
    let broker = Native::connect(&redis.url(), Settings::new(queue.clone())).await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut monitor = client.get_async_pubsub().await.unwrap();
    monitor.psubscribe("machine:status:*").await.unwrap();
    let mut heard = monitor.into_on_message();

    let board = Board::new(machine());
    let publisher = Publisher {
        board,
        wire: Arc::new(RedisWire::new(broker.connection(), queue.clone())),
        period: Duration::from_millis(400),
        health_url: "http://localhost:9090/health".into(),
        namesake: alone(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let told = async {
        let mut next = async || -> Value {
            let message = tokio::time::timeout(LONG, heard.next()).await.unwrap().unwrap();
            assert_eq!(message.get_channel_name(), "machine:status:gpu-box-1");
            serde_json::from_slice(message.get_payload_bytes()).unwrap()
        };
        assert_eq!(next().await["update_type"], "machine_ready");
        assert_eq!(next().await["update_type"], "periodic");

        let fleet = Fleet::look(&broker, &queue).await.unwrap();
        assert_eq!(fleet.machines.len(), 1);
        let member = &fleet.machines[0];
        assert!(!member.silent && member.status.as_ref().unwrap().machine.ready);
        let worker = "{jobs}:worker:m1-worker-comfyui-worker-0";
        let status: Vec<String> =
            redis.ask(&["HMGET", worker, "status", "current_job_id", "machine_id"]).await;
        assert_eq!(status, ["busy", "0199f2c1b7", "gpu-box-1"]);
        let lease: i64 = redis.ask(&["PTTL", worker]).await;
        assert!((1..=1200).contains(&lease), "{lease}");

        stop.send(()).unwrap();
        loop {
            if next().await["update_type"] == "shutdown" {
                break;
            }
        }
    };
    tokio::join!(publisher.run(async { drop(stopped.await) }), told);
    assert!(Fleet::look(&broker, &queue).await.unwrap().machines.is_empty(), "it has said farewell");
    let left: Vec<String> = redis.ask(&["KEYS", "*machine*"]).await;
    assert_eq!(left, Vec::<String>::new());
    let left: Vec<String> = redis.ask(&["KEYS", "*worker*"]).await;
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_that_is_killed_is_silent_once_its_lease_has_run_out() {
    let Some(redis) = Redis::start().await else { return };
    let queue: broker::QueueName = "jobs".parse().unwrap();
    let broker = Native::connect(&redis.url(), Settings::new(queue.clone())).await.unwrap();
    let wire = Arc::new(RedisWire::new(broker.connection(), queue.clone()));
    let period = Duration::from_millis(200);
    let publisher = Publisher {
        board: Board::new(machine()),
        wire,
        period,
        health_url: String::new(),
        namesake: alone(),
    };
    let running = tokio::spawn(async move { publisher.run(std::future::pending()).await });
    let silent = async |wanted: &[bool]| {
        let end = std::time::Instant::now() + LONG;
        loop {
            let fleet = Fleet::look(&broker, &queue).await.unwrap();
            let found: Vec<bool> = fleet.machines.iter().map(|it| it.silent).collect();
            if found == wanted {
                return;
            }
            assert!(std::time::Instant::now() < end, "{found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    silent(&[false]).await;
    running.abort();
    silent(&[true]).await;
}

#[tokio::test]
async fn two_machines_of_one_name_are_told_of_each_other_and_one_that_was_killed_is_not_taken_for_another() {
    let Some(redis) = Redis::start().await else { return };
    let queue: broker::QueueName = "jobs".parse().unwrap();
    let broker = Native::connect(&redis.url(), Settings::new(queue.clone())).await.unwrap();
    let wire = Arc::new(RedisWire::new(broker.connection(), queue.clone()));
    let speaks = |started: u64| {
        let mut facts = machine();
        facts.machine.started = started;
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let publisher = Publisher {
            board: Board::new(facts),
            wire: wire.clone(),
            period: Duration::from_millis(50),
            health_url: String::new(),
            namesake: Box::new(move |it| tell.send(it).unwrap()),
        };
        (tokio::spawn(async move { publisher.run(std::future::pending()).await }), told)
    };
    let record = async |started: u64| loop {
        let text: Option<String> = redis.ask(&["GET", "{jobs}:machine:gpu-box-1"]).await;
        if text.is_some_and(|it| it.contains(&format!("\"started\":{started}"))) {
            return;
        }
    };
    let (killed, mut nobody) = speaks(1_000);
    record(1_000).await;
    killed.abort();
    let (_first, mut of_first) = speaks(2_000);
    record(2_000).await;
    assert!(nobody.recv().await.is_none());
    let (_second, mut of_second) = speaks(3_000);
    let told = tokio::time::timeout(LONG, async { (of_first.recv().await, of_second.recv().await) });
    assert_eq!(told.await.unwrap(), (Some(3_000), Some(2_000)));
    assert!(of_first.try_recv().is_err(), "once is enough");
}
