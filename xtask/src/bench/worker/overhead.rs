//! The time that a job which is nothing takes through the whole loop, beside claims that do nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use broker::MAX_BATCH;
use futures_util::{FutureExt as _, future::BoxFuture};
use object_store::memory::InMemory;
use serde_json::{Value, json};
use tokio::{runtime::Builder, sync::Notify};
use worker::{Connector, Failure, Pace, Payload, Redactor, Runner, Service, Store, Task};

use super::Scale;
use crate::bench::{
    broker::{
        load::{self, Crew},
        server::{Server, Side},
    },
    report::{Limit, Row, Unit},
};

/// Jobs at once.
const SLOTS: usize = 50;

/// Does nothing, and says when it has done so often enough.
struct Noop {
    payload: Payload,
    left: AtomicUsize,
    done: Notify,
}

impl Connector for Noop {
    fn payload(&self, _: &str) -> Option<&Payload> {
        Some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn run<'a>(&'a self, _: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        async {
            if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.done.notify_one();
            }
            Ok(Value::Null)
        }
        .boxed()
    }
}

/// Microseconds a job: through the loop, by bare claims of 50 connections one job a call, by bare claims of one connection
/// [`MAX_BATCH`] jobs a call.
type Round = [f64; 3];

pub(super) async fn run(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut rounds: Vec<Round> = Vec::new();
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        let mut measured = [0.0; 3];
        for (how, (connections, batch)) in [(SLOTS, 1), (1, MAX_BATCH)].into_iter().enumerate() {
            fill(server, scale.jobs).await?;
            let mut crew = Crew::new(server, "work", connections, false, false).await?;
            measured[how + 1] = 1e6 / crew.work(scale.jobs, batch).await?;
            crew.rest().await?;
        }
        fill(server, scale.jobs).await?;
        measured[0] = through_the_loop(&server.url, scale.jobs).await?;
        server.settle(Side::Ours("claiming")).await?;
        // The first warms up.
        if round > 0 {
            rounds.push(measured);
        }
    }
    let each = |how: usize| rounds.iter().map(|it| it[how]).collect::<Vec<_>>();
    let row = |least: usize, what| {
        let name = format!("a job that is nothing, {SLOTS} slots");
        Row::paired(name, Unit::Micros, &each(0), what, &each(least)).limit(Limit::RatioAtMost(1.3))
    };
    Ok(vec![row(1, "claimed by 50, 1 a call"), row(2, "claimed by one, 20 a call")])
}

async fn fill(server: &mut Server, jobs: usize) -> Result<(), String> {
    server.flush().await?;
    load::fill(&load::connect(&server.url, "work").await?, jobs, |_| None).await
}

/// As a worker process does it: the loop has a thread, connectors have two.
async fn through_the_loop(url: &str, jobs: usize) -> Result<f64, String> {
    let payload = Payload::new(json!({ "type": "object" }));
    let noop = Arc::new(Noop { payload, left: AtomicUsize::new(jobs), done: Notify::new() });
    let (url, connector) = (url.to_owned(), noop.clone());
    let work = move || {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let own = Builder::new_current_thread().enable_all().build().map_err(|it| said(&it))?;
        let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let threads = threads.map_err(|it| said(&it))?;
        own.block_on(async {
            let runner = Runner {
                broker: Arc::new(load::connect(&url, "work").await?),
                worker: load::worker(0, false)?,
                services: vec![Service { connector, slots: SLOTS, restart: None }],
                store: Store::new(Arc::new(InMemory::new()), "{path}", 1),
                pace: Pace::default(),
                redactor: Redactor::default(),
                jobs: threads.handle().clone(),
                connector: "noop".into(),
                gpu: None,
                listener: None,
            };
            let began = Instant::now();
            let tally = runner.run(noop.done.notified()).await;
            let took = began.elapsed();
            threads.shutdown_background();
            if tally.succeeded != jobs as u64 {
                return Err(format!("of {jobs} jobs: {tally:?}"));
            }
            #[expect(clippy::cast_precision_loss, reason = "few")]
            Ok(took.as_secs_f64() * 1e6 / jobs as f64)
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}
