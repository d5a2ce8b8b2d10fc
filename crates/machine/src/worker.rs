//! `roster worker`: one worker process, from its environment.

use std::process::ExitCode;
use std::sync::Arc;

use broker::{Native, Worker};
use planner::{Redactor, Told};
use spec::env::EnvSource;
use spec::notes::{Exit, Finding, Located};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use worker::{Runner, Service, Settings, Tally};

use crate::say::{self, Common};

/// `CONNECTOR`, `ACCEPTS`, `WORKER_ID`, `SERVICE_URL`, `REDIS_URL` and what the connector takes say what it does.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// Threads for connectors. They wait more than they work, and what takes long is a process of its own.
const JOB_THREADS: usize = 2;

pub(crate) fn run(args: &Args) -> ExitCode {
    let environment = say::world().environment;
    let told = match Settings::read(&*environment) {
        Err(findings) => Told::failed(findings, Redactor::default()),
        Ok(settings) => {
            log(&*environment);
            work(settings)
        }
    };
    args.common.say(told)
}

fn work(settings: Settings) -> Told<Tally> {
    let mut redactor = Redactor::default();
    redactor.learn(settings.redis.expose());
    let failed = |finding: Finding, redactor| Told::failed(vec![finding], redactor);
    // The loop has a thread of its own, on which nothing is slow.
    let own = Builder::new_current_thread().enable_all().build();
    let jobs =
        Builder::new_multi_thread().worker_threads(JOB_THREADS).thread_name("job").enable_all().build();
    let (Ok(own), Ok(jobs)) = (own, jobs) else {
        return failed(
            Finding::error(Located::nowhere(broker::Error::Unreachable("no threads".into()))),
            redactor,
        );
    };
    let worked = own.block_on(serve(settings, jobs.handle().clone()));
    // A connector that was cut off in the middle of a call that blocks is left behind.
    jobs.shutdown_background();
    match worked {
        Err(fault) => failed(Finding::error(Located::nowhere(fault)), redactor),
        Ok(tally) => {
            let Tally { claimed, succeeded, failed, handed_back, stopped, .. } = tally;
            let talk = format!(
                "{claimed} jobs: {succeeded} succeeded, {failed} failed, {stopped} stopped, {handed_back} handed back.\n"
            );
            Told { result: Some(tally), out: String::new(), talk, exit: Exit::Ok, findings: vec![], redactor }
        }
    }
}

async fn serve(settings: Settings, jobs: Handle) -> Result<Tally, broker::Error> {
    let Settings { redis, queue, ids, capabilities, connectors, service, store, pace, redactor } = settings;
    let Some(id) = ids.into_iter().next() else { return Ok(Tally::default()) };
    let broker = Native::connect(redis.expose(), broker::Settings::new(queue)).await?;
    let services =
        connectors.into_iter().map(|(connector, slots)| Service { connector, slots, restart: None });
    let runner = Runner {
        broker: Arc::new(broker),
        worker: Worker::new(id.clone(), capabilities),
        services: services.collect(),
        store,
        pace,
        redactor,
        jobs,
    };
    tracing::info!(worker = %id, service, "claims jobs");
    Ok(runner.run(asked_to_end()).await)
}

/// Ready at the first SIGTERM or SIGINT.
async fn asked_to_end() {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Lines on standard error; the supervisor adds the time.
fn log(environment: &dyn EnvSource) {
    let key = "LOG_LEVEL".parse().expect("`LOG_LEVEL` is the name of a variable");
    let level = environment.get(&key).ok().flatten().and_then(|it| it.parse().ok()).unwrap_or(Level::INFO);
    let lines = tracing_subscriber::fmt().with_max_level(level).with_target(false).without_time();
    lines.with_writer(std::io::stderr).with_ansi(false).init();
}
