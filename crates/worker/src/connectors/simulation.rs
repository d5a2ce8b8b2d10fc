//! Pretends to work: for trying out, for tests, and as the smallest example of a connector.
//!
//! What a job asks for happens, whatever the attempt: the same payload makes the same result and the same failures.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::connector::{Connector, Task};
use crate::failure::{Failure, Symptom};
use crate::http;
use crate::payload::Payload;

/// The longest silence of the service.
const IDLE: Duration = Duration::from_secs(5);

/// The connector.
#[derive(Debug)]
pub struct Simulation {
    payload: Payload,
    /// Where it pretends to work, if anywhere: it is well as long as that is.
    service: Option<(Client, Url)>,
}

/// What a payload asks for.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    duration_ms: u64,
    steps: u32,
    fail: Option<Fail>,
    fail_attempts: Option<u32>,
    output_bytes: u64,
    seed: u64,
}

impl Default for Wish {
    fn default() -> Self {
        Self { duration_ms: 100, steps: 10, fail: None, fail_attempts: None, output_bytes: 0, seed: 0 }
    }
}

/// How a job goes wrong, half way.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fail {
    Permanent,
    Retryable,
    Service,
    Panic,
    /// Ends the whole worker process, as running out of memory would.
    Crash,
    /// Never ends, and does not stop when asked.
    Hang,
}

impl Simulation {
    /// A pretended service, which is well while `GET /health` at this address is answered with a success; without an
    /// address always.
    pub fn new(service: Option<Url>) -> Self {
        let payload = Payload::new(json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "A simulated job",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "duration_ms": { "type": "integer", "minimum": 0, "maximum": 86_400_000, "default": 100 },
                "steps": { "type": "integer", "minimum": 1, "maximum": 10_000, "default": 10 },
                "fail": { "enum": ["permanent", "retryable", "service", "panic", "crash", "hang"] },
                "fail_attempts": {
                    "type": "integer", "minimum": 1,
                    "description": "Fails in so many attempts and succeeds in the next; left out, in all"
                },
                "output_bytes": { "type": "integer", "minimum": 0, "maximum": 1_073_741_824 },
                "seed": { "type": "integer", "minimum": 0 }
            }
        }));
        let service = service.and_then(|url| Some((http::client(IDLE), url.join("health").ok()?)));
        Self { payload, service }
    }

    async fn work(task: &Task) -> Result<Value, Failure> {
        let wish: Wish = serde_json::from_value(task.job.payload.clone())
            .map_err(|it| Failure::of(Symptom::Invalid, it.to_string()))?;
        let fails = wish.fail.filter(|_| wish.fail_attempts.is_none_or(|it| task.attempt < it));
        let began = Instant::now();
        for step in 0..wish.steps {
            if step == wish.steps / 2 {
                fail(fails).await?;
            }
            let due =
                Duration::from_millis(wish.duration_ms).mul_f64(f64::from(step + 1) / f64::from(wish.steps));
            task.unless_stopped(sleep_until(began + due)).await?;
            task.progress(
                f64::from(step + 1) * 100.0 / f64::from(wish.steps),
                format!("step {} of {}", step + 1, wish.steps),
            );
        }
        let mut result = json!({ "seed": wish.seed, "number": fastrand::Rng::with_seed(wish.seed).u32(..) });
        if wish.output_bytes > 0 {
            result["output"] = json!(output(task, &wish).await?);
        }
        Ok(result)
    }
}

async fn fail(how: Option<Fail>) -> Result<(), Failure> {
    match how {
        None => Ok(()),
        Some(Fail::Permanent) => Err(Failure::permanent("a permanent failure, as asked")),
        Some(Fail::Retryable) => Err(Failure::retryable("a failure that may pass, as asked")),
        Some(Fail::Service) => Err(Failure::service("the service is not there, as asked")),
        Some(Fail::Panic) => panic!("a panic, as asked"),
        Some(Fail::Crash) => std::process::abort(),
        Some(Fail::Hang) => std::future::pending().await,
    }
}

/// Bytes that follow from the seed.
async fn output(task: &Task, wish: &Wish) -> Result<crate::outputs::Stored, Failure> {
    let (mut file, mut rng) = (task.outputs.file("output.bin"), fastrand::Rng::with_seed(wish.seed));
    let (mut left, mut part) = (wish.output_bytes, vec![0; 64 << 10]);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        rng.fill(&mut part[..length]);
        file.write(&part[..length]).await?;
        left -= length as u64;
    }
    file.finish().await
}

impl Connector for Simulation {
    fn payload(&self, _: &str) -> Option<&Payload> {
        Some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            let Some((client, url)) = &self.service else { return Ok(()) };
            let doing = "asking for its health";
            let answer = client.get(url.clone()).send().await.map_err(|it| http::failed(it, doing))?;
            http::accepted(answer, doing).await.map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        Self::work(task).boxed()
    }
}
