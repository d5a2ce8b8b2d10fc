//! From the call of `submit` to the moment at which an idle worker has the job.

use std::time::{Duration, Instant};

use broker::{Broker as _, Outcome, Want};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Scale,
    floor::Floor,
    load,
    report::{Limit, Row, Unit},
    server::{Server, Side},
};
use crate::bench::measure::quantile;

/// How long a worker may take to wait again.
const PATIENCE: Duration = Duration::from_mins(1);

/// Our worker and the floor's wait at once, and are given a job in turn, each only once both wait.
pub(super) async fn run(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let queue = load::connect(&server.url, "latency").await?;
    let theirs = load::connect(&server.url, "latency").await?;
    let worker = load::worker(0, false)?;
    let floor = Floor::new(server, 0, 1).await?;
    let floors = Floor::new(server, 0, 1).await?;
    let wake = server.connection().await?;
    let submission = Floor::submission();

    let (started, mut starts) = mpsc::unbounded_channel();
    let floor_started = started.clone();
    let mut workers = JoinSet::new();
    workers.spawn(async move {
        let mut done = vec![];
        loop {
            let want = Want::now(1).wait(PATIENCE);
            let answer = theirs.exchange(&worker, done, want).await.map_err(|error| error.to_string())?;
            if !answer.claims.is_empty() {
                started.send(Instant::now()).map_err(|_| "the bench is gone")?;
            }
            done = answer.claims.into_iter().map(|it| (it.ticket, Outcome::Success(Value::Null))).collect();
        }
    });
    workers.spawn(async move { floors.serve(wake, || _ = floor_started.send(Instant::now())).await });

    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for sample in 0..scale.singles {
        let job = load::job()?;
        both_wait(server).await?;
        let submitted = Instant::now();
        queue.submit(&[job]).await.map_err(|error| error.to_string())?;
        ours.push(start(&mut starts, &mut workers).await? - submitted);

        both_wait(server).await?;
        let submitted = Instant::now();
        floor.submit(&submission, sample).await?;
        least.push(start(&mut starts, &mut workers).await? - submitted);
    }
    server.settle(Side::Ours("waiting")).await?;
    ours.sort_unstable();
    least.sort_unstable();
    let row = |percent, most| {
        let ms = |sorted: &[Duration]| [quantile(sorted, percent).as_secs_f64() * 1000.0];
        let name = format!("idle, submission to start, p{percent}");
        Row::paired(name, Unit::Millis, &ms(&ours), "floor", &ms(&least)).limit(Limit::AtMost(most))
    };
    Ok(vec![row(50, 0.6), row(99, 2.0)])
}

/// Until Redis has both workers among those that it is going to wake.
async fn both_wait(server: &mut Server) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while server.info("clients", "blocked_clients").await? != "2" {
        if Instant::now() > end {
            return Err("the idle workers do not wait".into());
        }
    }
    Ok(())
}

/// The next start, if no worker ends before.
async fn start(
    starts: &mut mpsc::UnboundedReceiver<Instant>,
    workers: &mut JoinSet<Result<(), String>>,
) -> Result<Instant, String> {
    tokio::select! {
        start = starts.recv() => start.ok_or_else(|| "no worker is left".into()),
        Some(ended) = workers.join_next() => {
            ended.map_err(|error| error.to_string())??;
            Err("a worker has ended".into())
        }
    }
}
