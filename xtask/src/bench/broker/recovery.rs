//! From SIGKILL of the process that has a job to the next start of it.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use broker::{Broker as _, Outcome, Want};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    load,
    report::{Limit, Row, Unit},
    server::{Server, Side},
};
use crate::workspace::command;

/// Deaths at once, each in a queue of its own.
const DEATHS: usize = 5;

/// Idle workers of each queue.
const IDLE: usize = 2;

/// What a worker prints once it has the job.
const CLAIMED: &str = "claimed";

/// No recovery takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The lease of a worker that says none, and a short one; beside each, what its recovery may take.
const LEASES: [(Duration, f64); 2] = [(Duration::from_secs(10), 11.0), (Duration::from_secs(1), 2.0)];

/// Whose job, and for how long
#[derive(clap::Args)]
pub(crate) struct Victim {
    url: String,
    queue: String,
    lease_ms: u64,
}

/// Claims a job, says so, and has it until the end.
pub(crate) fn hold(victim: &Victim) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let queue = load::connect(&victim.url, &victim.queue).await?;
        let want = Want::now(1).lease(Duration::from_millis(victim.lease_ms));
        let answer = queue.exchange(&load::worker(0, false)?, vec![], want).await;
        if answer.map_err(|error| error.to_string())?.claims.is_empty() {
            return Err("there is no job".into());
        }
        say!("{CLAIMED}");
        tokio::time::sleep(PATIENCE).await;
        Ok(true)
    })
}

pub(super) async fn run(server: &mut Server) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (lease, most) in LEASES {
        let mut deaths = Vec::new();
        for index in 0..DEATHS {
            deaths
                .push(Death::prepare(server, &format!("lease-{}-{index}", lease.as_millis()), lease).await?);
        }
        let waiting = (DEATHS * IDLE).to_string();
        while server.info("clients", "blocked_clients").await? != waiting {
            tokio::task::yield_now().await;
        }
        for death in &mut deaths {
            death.victim.0.kill().map_err(|error| error.to_string())?;
            death.killed = Instant::now();
        }
        let (mut times, mut starts) = (Vec::new(), Vec::new());
        for death in deaths {
            let (time, count) = death.recover().await?;
            times.push(time.as_secs_f64());
            starts.push(count);
        }
        server.settle(Side::Ours("recovering")).await?;
        let seconds = lease.as_secs_f64();
        let worst = times.into_iter().fold(0.0, f64::max);
        let name = format!("recovery after SIGKILL, lease {seconds} s, worst of {DEATHS}");
        rows.push(Row::paired(name, Unit::Seconds, &[worst], "lease", &[seconds]).limit(Limit::AtMost(most)));
        let most = starts.iter().copied().fold(0.0, f64::max);
        let name = format!("runs after SIGKILL, lease {seconds} s, most of {DEATHS}");
        rows.push(Row::new(name, most, Unit::Runs).limit(Limit::AtMost(1.0)));
    }
    Ok(rows)
}

/// A process that has a job, and those who wait for it.
struct Death {
    victim: Process,
    killed: Instant,
    queue: Arc<broker::Native>,
    job: broker::JobId,
    starts: mpsc::UnboundedReceiver<Instant>,
    idle: JoinSet<Result<(), String>>,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Death {
    async fn prepare(server: &Server, name: &str, lease: Duration) -> Result<Self, String> {
        let queue = Arc::new(load::connect(&server.url, name).await?);
        let job = load::job()?;
        queue.submit(std::slice::from_ref(&job)).await.map_err(|error| error.to_string())?;
        let xtask = env::current_exe().map_err(|error| error.to_string())?;
        let mut victim = command(xtask);
        victim.args(["bench", "broker-victim", &server.url, name, &lease.as_millis().to_string()]);
        let mut victim = Process(victim.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?);
        let said = victim.0.stdout.take().and_then(|it| BufReader::new(it).lines().next());
        if said.is_none_or(|line| line.is_ok_and(|line| line != CLAIMED)) {
            return Err("the worker that was to be killed did not claim".into());
        }
        let (started, starts) = mpsc::unbounded_channel();
        let mut idle = JoinSet::new();
        for index in 1..=IDLE {
            let worker = load::worker(index, false)?;
            let (queue, started) = (Arc::new(load::connect(&server.url, name).await?), started.clone());
            idle.spawn(async move {
                let mut done = vec![];
                loop {
                    let want = Want::now(1).wait(PATIENCE);
                    let answer =
                        queue.exchange(&worker, done, want).await.map_err(|error| error.to_string())?;
                    for _ in &answer.claims {
                        _ = started.send(Instant::now());
                    }
                    done = answer
                        .claims
                        .into_iter()
                        .map(|it| (it.ticket, Outcome::Success(Value::Null)))
                        .collect();
                }
            });
        }
        Ok(Self { victim, killed: Instant::now(), queue, job: job.id, starts, idle })
    }

    /// From the death to the next start, and how many starts there were until the job had ended.
    async fn recover(mut self) -> Result<(Duration, f64), String> {
        let start = tokio::time::timeout(PATIENCE, self.starts.recv()).await.map_err(|_| "no recovery")?;
        let took = start.ok_or("no worker is left")? - self.killed;
        loop {
            let status = self.queue.status(&self.job).await.map_err(|error| error.to_string())?;
            if status.ok_or("the job is gone")?.finished.is_some() {
                break;
            }
        }
        // It has ended: none can start it again.
        self.idle.shutdown().await;
        let mut starts = 1.0;
        while self.starts.try_recv().is_ok() {
            starts += 1.0;
        }
        Ok((took, starts))
    }
}
