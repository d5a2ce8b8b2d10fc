//! Jobs, and workers that do nothing with them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use broker::{Broker as _, Job, JobId, Native, Outcome, Requirements, Settings, Ticket, Want, Worker};
use serde_json::{Value, json};

use super::server::Server;

/// No lease runs out while something is measured.
const LEASE: Duration = Duration::from_hours(1);

/// Jobs of one bulk submission.
pub(in crate::bench) const BULK: usize = 1000;

/// A queue with the default settings, but that it takes a million jobs.
pub(in crate::bench) async fn connect(url: &str, queue: &str) -> Result<Native, String> {
    let settings = Settings { byte_budget: 1 << 30, ..Settings::new(named(queue)?) };
    Native::connect(url, settings).await.map_err(|error| error.to_string())
}

/// A name of the broker.
pub(in crate::bench) fn named<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// A job with the defaults and a small payload.
pub(in crate::bench) fn job() -> Result<Job, String> {
    Ok(Job::new(named("simulation")?)
        .payload(json!({ "prompt": "a cat in a hat", "steps": 20, "seed": 4711 })))
}

/// Jobs that differ in the model that they need: job `index` needs that of `model(index)`, or none.
pub(in crate::bench) fn jobs(
    count: usize,
    model: impl Fn(usize) -> Option<String>,
) -> Result<Vec<Job>, String> {
    let plain = job()?;
    let of = |index| {
        let job = plain.clone().id(JobId::fresh());
        let Some(model) = model(index) else { return Ok(job) };
        let requirements = Requirements::read(&json!({ "models": [model] }));
        Ok(job.requirements(requirements.map_err(|refusals| format!("{refusals:?}"))?))
    };
    (0..count).map(of).collect()
}

/// Submits so many jobs.
pub(in crate::bench) async fn fill(
    queue: &Native,
    count: usize,
    model: impl Fn(usize) -> Option<String>,
) -> Result<(), String> {
    for first in (0..count).step_by(BULK) {
        let jobs = jobs(BULK.min(count - first), |index| model(first + index))?;
        queue.submit(&jobs).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A worker that takes jobs without a model, or with any.
pub(in crate::bench) fn worker(index: usize, any_model: bool) -> Result<Worker, String> {
    let models = if any_model { json!({ "simulation": "any" }) } else { json!({}) };
    worker_with(index, &json!({ "services": ["simulation"], "models": models }))
}

/// A worker that takes jobs with any model, of a class of its own.
pub(in crate::bench) fn stranger(index: usize) -> Result<Worker, String> {
    let models = json!({ "simulation": "any" });
    worker_with(index, &json!({ "services": ["simulation"], "models": models, "has": { "index": index } }))
}

fn worker_with(index: usize, capabilities: &Value) -> Result<Worker, String> {
    let capabilities = serde_json::from_value(capabilities.clone());
    let capabilities = capabilities.map_err(|error| error.to_string())?;
    Ok(Worker::new(named(&format!("bench-worker-simulation-{index}"))?, capabilities))
}

/// Workers: of one process, with its connection, or each of a process of its own.
pub(in crate::bench) struct Crew(Vec<Hand>);

/// A worker with its connection.
pub(in crate::bench) struct Hand {
    queue: Arc<Native>,
    worker: Worker,
    /// What it has and finishes with its next call.
    has: Vec<(Ticket, Outcome)>,
}

impl Crew {
    pub(in crate::bench) async fn new(
        server: &Server,
        queue: &str,
        workers: usize,
        together: bool,
        any_model: bool,
    ) -> Result<Self, String> {
        let mut crew = Vec::new();
        let shared = Arc::new(connect(&server.url, queue).await?);
        for index in 0..workers {
            let queue = if together { shared.clone() } else { Arc::new(connect(&server.url, queue).await?) };
            crew.push(Hand { queue, worker: worker(index, any_model)?, has: vec![] });
        }
        Ok(Self(crew))
    }

    /// Claims so many jobs, up to `batch` in one call, and finishes in the same call what was claimed before. The last of
    /// each worker stay with it, so that every call both finishes and claims but for its very first. Jobs per second.
    pub(in crate::bench) async fn work(&mut self, jobs: usize, batch: usize) -> Result<f64, String> {
        let each = jobs / self.0.len();
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        let workers = self.0.drain(..).map(|mut hand| {
            let send = send.clone();
            async move {
                let mut claimed = 0;
                while claimed < each {
                    let most = batch.min(each - claimed);
                    let got = hand.exchange(most).await?;
                    if got == 0 {
                        return Err(format!("no job left after {claimed} of {each}"));
                    }
                    claimed += got;
                }
                send.send(hand).map_err(|_| "the crew is gone")?;
                Ok(claimed)
            }
        });
        let rate = together(workers.collect::<Vec<_>>()).await?;
        drop(send);
        while let Some(hand) = receive.recv().await {
            self.0.push(hand);
        }
        Ok(rate)
    }

    /// The first worker.
    pub(in crate::bench) fn first(&mut self) -> &mut Hand {
        &mut self.0[0]
    }

    /// Claims so many jobs with the first worker, one a call, and ends none of them. Jobs per second.
    pub(in crate::bench) async fn claim(&mut self, jobs: usize) -> Result<f64, String> {
        let Hand { queue, worker, has } = self.first();
        let started = Instant::now();
        for _ in 0..jobs {
            let answer = queue.exchange(worker, vec![], Want::now(1).lease(LEASE)).await;
            let claim = answer.map_err(|error| error.to_string())?.claims.pop().ok_or("no job is left")?;
            has.push((claim.ticket, Outcome::Success(Value::Null)));
        }
        Ok(rate(jobs, started))
    }

    /// Finishes what is left.
    pub(in crate::bench) async fn rest(&mut self) -> Result<(), String> {
        for hand in &mut self.0 {
            hand.exchange(0).await?;
        }
        Ok(())
    }
}

impl Hand {
    /// Finishes what it has and claims up to `most`. How many it got.
    pub(in crate::bench) async fn exchange(&mut self, most: usize) -> Result<usize, String> {
        let want = Want::now(most).lease(LEASE);
        let answer = self.queue.exchange(&self.worker, std::mem::take(&mut self.has), want).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.done.iter().any(Result::is_err) {
            return Err("a worker was not heard".into());
        }
        self.has.extend(answer.claims.into_iter().map(|it| (it.ticket, Outcome::Success(Value::Null))));
        Ok(self.has.len())
    }
}

/// Runs all at once, each as a task. The sum of what they did, per second.
pub(in crate::bench) async fn together<F>(workers: impl IntoIterator<Item = F>) -> Result<f64, String>
where
    F: Future<Output = Result<usize, String>> + Send + 'static,
{
    let started = Instant::now();
    let mut tasks: tokio::task::JoinSet<_> = workers.into_iter().collect();
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        done += task.map_err(|error| error.to_string())??;
    }
    Ok(rate(done, started))
}

/// So many since then, per second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(in crate::bench) fn rate(done: usize, started: Instant) -> f64 {
    done as f64 / started.elapsed().as_secs_f64()
}
