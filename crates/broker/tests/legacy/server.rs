//! A Redis with a queue of the TypeScript system, who listens to all its channels, and the API as far as a worker meets it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::legacy::{Settings, Trouble};
use broker::{Broker, Claim, Legacy, Outcome, Want, Worker};
use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

/// Longer than anything takes.
pub const LONG: Duration = Duration::from_secs(30);
/// The library of the other system, as we read its documentation.
pub const LIBRARY: &str = include_str!("find_matching_job.lua");

/// A Redis in a temporary folder; it ends with its test.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    connection: MultiplexedConnection,
}

/// The program, or a word about why it is missing; in CI that fails.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(!ci, "`{name}` is needed in CI; `cargo xtask setup` installs it");
        println!("not run: `{name}` is not on the PATH");
    }
    found
}

impl Server {
    pub async fn start() -> Option<Self> {
        let program = tool("redis-server")?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(folder.path().join("socket")).arg("--dir").arg(folder.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let client = redis::Client::open(format!("redis+unix://{}", socket(&folder))).unwrap();
        let end = Instant::now() + LONG;
        let connection = loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => break connection,
                Err(error) => assert!(Instant::now() < end, "`redis-server` does not start: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        Some(Self { child, folder, connection })
    }

    /// With the Redis Function.
    pub async fn with_function() -> Option<Self> {
        let server = Self::start().await?;
        server.ask::<()>(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]).await;
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", socket(&self.folder))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn legacy(&self) -> Legacy {
        self.legacy_with(settings()).await
    }

    pub async fn legacy_with(&self, settings: Settings) -> Legacy {
        Legacy::connect(&self.url(), settings).await.unwrap()
    }

    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).await.unwrap()
    }

    pub async fn try_ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut self.connection.clone()).await
    }

    pub async fn hash(&self, key: &str) -> BTreeMap<String, String> {
        self.ask(&["HGETALL", key]).await
    }

    /// A hash as a document of texts.
    pub async fn fields(&self, key: &str) -> Value {
        json!(self.hash(key).await)
    }

    /// A document that is kept as text.
    pub async fn document(&self, key: &str) -> Value {
        read(&self.ask::<String>(&["GET", key]).await)
    }

    pub async fn member(&self, key: &str, field: &str) -> Value {
        read(&self.ask::<Option<String>>(&["HGET", key, field]).await.unwrap_or_default())
    }

    pub async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", pattern]).await;
        keys.sort();
        keys
    }

    pub async fn ttl(&self, key: &str) -> i64 {
        self.ask(&["TTL", key]).await
    }

    /// Writes a job as the API does, with these fields in place of its defaults.
    pub async fn submit(&self, id: &str, fields: &Value) {
        let mut job = json!({
            "id": id, "service_required": "comfyui", "priority": "50", "payload": "{\"prompt\":\"a cat\"}",
            "requirements": "", "customer_id": "", "created_at": "2025-01-01T00:00:00.000Z", "status": "pending",
            "retry_count": "0", "max_retries": "3", "workflow_id": "", "workflow_priority": "",
            "workflow_datetime": "", "current_step": "", "total_steps": "", "job_trace_id": "temp-trace-id",
            "job_span_id": "temp-span-id", "workflow_trace_id": "temp-trace-id",
            "workflow_span_id": "temp-span-id", "ctx": "",
        });
        job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let number = |name: &str| job[name].as_str().unwrap().parse::<f64>().ok();
        let priority = number("workflow_priority").or(number("priority")).unwrap();
        let at = number("workflow_datetime").unwrap_or(1_735_689_600_000.0);
        let score = priority * 1e15 - (at / 1000.0).floor();
        let mut set = redis::cmd("HMSET");
        set.arg(format!("job:{id}"));
        for (name, value) in job.as_object().unwrap() {
            set.arg(name).arg(value.as_str().unwrap());
        }
        set.query_async::<()>(&mut self.connection.clone()).await.unwrap();
        self.ask::<()>(&["ZADD", "jobs:pending", &score.to_string(), id]).await;
    }

    /// Cancels a job as the API does, command by command.
    pub async fn api_cancels(&self, id: &str) {
        let job = self.hash(&format!("job:{id}")).await;
        let now = "2025-01-01T00:01:00.000Z";
        let key = format!("job:{id}");
        let error = "Job cancelled by user";
        self.ask::<()>(&["HMSET", &key, "status", "failed", "failed_at", now, "error", error]).await;
        if let Some(worker) = job.get("worker_id").filter(|it| !it.is_empty()) {
            self.ask::<()>(&["HDEL", &format!("jobs:active:{worker}"), id]).await;
            let message = json!({ "job_id": id, "worker_id": worker, "reason": error, "timestamp": 1 });
            self.ask::<()>(&["PUBLISH", "cancel_job", &message.to_string()]).await;
        }
        self.ask::<()>(&["ZREM", "jobs:pending", id]).await;
        let kept = json!({ "error": error, "failed_at": now, "cancelled": true });
        self.ask::<()>(&["HSET", "jobs:failed", id, &kept.to_string()]).await;
    }

    /// Listens to every channel from now on.
    pub async fn listen(&self) -> Ear {
        let client = redis::Client::open(self.url()).unwrap();
        let mut channels = client.get_async_pubsub().await.unwrap();
        channels.psubscribe("*").await.unwrap();
        let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let kept = heard.clone();
        let task = tokio::spawn(async move {
            let mut messages = channels.into_on_message();
            while let Some(message) = messages.next().await {
                let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                kept.lock().unwrap().push((message.get_channel_name().to_owned(), read(&text)));
            }
        });
        Ear { heard, task, connection: self.connection.clone() }
    }
}

fn socket(folder: &tempfile::TempDir) -> String {
    folder.path().join("socket").display().to_string()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Hears everything that is published.
pub struct Ear {
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    task: tokio::task::JoinHandle<()>,
    connection: MultiplexedConnection,
}

impl Ear {
    /// Everything that was published before this call and after the last.
    pub async fn heard(&self) -> Heard {
        let mark = "heard so far";
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("mark").arg(mark);
        publish.query_async::<()>(&mut self.connection.clone()).await.unwrap();
        let end = Instant::now() + LONG;
        loop {
            {
                let mut heard = self.heard.lock().unwrap();
                if heard.last().is_some_and(|(channel, _)| channel == "mark") {
                    heard.pop();
                    return Heard(std::mem::take(&mut heard));
                }
            }
            assert!(Instant::now() < end, "the mark is heard");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Messages, in their order.
pub struct Heard(pub Vec<(String, Value)>);

impl Heard {
    pub fn on(&self, channel: &str) -> Vec<Value> {
        self.0.iter().filter(|(on, _)| on == channel).map(|(_, it)| it.clone()).collect()
    }

    /// The only message of a channel; `null` if it is not the only one.
    pub fn one(&self, channel: &str) -> Value {
        match &self.on(channel)[..] {
            [one] => one.clone(),
            _ => Value::Null,
        }
    }

    /// The events of this kind for the machine.
    pub fn events(&self, worker: &str, kind: &str) -> Vec<Value> {
        let all = self.on(&format!("machine:m1:worker:{worker}"));
        all.into_iter().filter(|it| it["event_type"] == kind).collect()
    }
}

pub fn settings() -> Settings {
    Settings {
        version: "1.2.3".into(),
        poll_every: Duration::from_millis(10),
        ..Settings::new("m1".parse().unwrap())
    }
}

/// Settings that keep what they are told of troubles.
pub fn settings_with_troubles() -> (Settings, Arc<Mutex<Vec<Trouble>>>) {
    let told: Arc<Mutex<Vec<Trouble>>> = Arc::default();
    let kept = told.clone();
    let troubles = Arc::new(move |it: &Trouble| kept.lock().unwrap().push(it.clone()));
    (Settings { troubles, ..settings() }, told)
}

pub fn worker(id: &str) -> Worker {
    worker_with(
        id,
        &json!({
            "services": ["comfyui"],
            "hardware": { "gpu_memory_gb": 24, "ram_gb": 64 },
            "models": { "comfyui": ["sdxl"] },
        }),
    )
}

pub fn worker_with(id: &str, has: &Value) -> Worker {
    Worker::new(id.parse().unwrap(), serde_json::from_value(has.clone()).unwrap())
}

/// The job that a worker gets now, if it gets one.
pub async fn claim(broker: &Legacy, worker: &Worker) -> Option<Claim> {
    broker.exchange(worker, vec![], Want::now(1)).await.unwrap().claims.pop()
}

/// Whether the worker is heard.
pub async fn finish(broker: &Legacy, worker: &Worker, claim: &Claim, outcome: Outcome) -> bool {
    let done = vec![(claim.ticket.clone(), outcome)];
    broker.exchange(worker, done, Want::NOTHING).await.unwrap().done[0].is_ok()
}

pub fn failure(retryable: bool) -> Outcome {
    Outcome::Failure { retryable, message: "CUDA out of memory".into() }
}
