//! `roster run`: the machine. What a container starts, or a plain process; it boots, tells the truth about itself, and
//! ends when it is asked.
//!
//! One task knows how it is with the machine and decides ([`heart`]); one takes the start step by step and then runs the
//! supervisor ([`sequence`]); a few look at what is outside ([`redis`], [`elsewhere`]). The health server has a thread of
//! its own.

mod elsewhere;
mod facts;
pub(crate) mod hardware;
mod heart;
mod install;
mod orders;
mod recovery;
mod redis;
mod reports;
mod resources;
mod say;
mod scene;
mod sequence;
mod tell;

pub(crate) use heart::now;
pub(crate) use install::Installs;
pub(crate) use recovery::Policy;
pub(crate) use resources::free;
pub(crate) use scene::Scene;
pub(crate) use sequence::planned;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use health::{Board, Facts, Limits, Machine, Options, Recovery, RedisLink, Server, Stage};
use planner::Told;
use planner::cli::EXIT_CODES;
use spec::notes::{Exit, Fault, Finding, Located};
use supervisor::{FleetStatus, Refusal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, watch};

use crate::config::{self, Config, Which};
use crate::say::{Common, world};
use heart::{Asks, Body, Heart, Mail};
use recovery::Event;
use say::Say;
use sequence::Stairs;

/// Run the machine that was planned: its services, its workers and its health server, until it is told to stop
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Run {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(run: &Run) -> ExitCode {
    let config = match config::load(&run.which, world()) {
        Ok(it) => it,
        Err((findings, redactor)) => return run.common.say(Told::<()>::failed(findings, redactor)),
    };
    let (exit, findings) = match up(&config, run) {
        Ok(it) => it,
        Err(findings) => (Exit::Error, findings),
    };
    if findings.is_empty() {
        return ExitCode::from(exit.code());
    }
    let redactor = config.guard.redactor();
    run.common.say(Told {
        result: None::<()>,
        out: String::new(),
        talk: String::new(),
        exit,
        findings,
        redactor,
    })
}

fn up(config: &Config, run: &Run) -> Result<(Exit, Vec<Finding>), Vec<Finding>> {
    let settings = &config.settings;
    let facts = unknown(config);
    let board = Board::new(facts.clone());
    let options = Options {
        listen: SocketAddr::new(settings.listen, settings.port),
        token: settings.token.clone(),
        hosts: vec![settings.machine.to_string()],
        limits: Limits::default(),
    };
    let server = Server::bind(options).map_err(found)?;
    let _server = server.start(board.clone()).map_err(|it| system(&it))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|it| system(&it))?.block_on(live(config, run, facts, board))
}

async fn live(
    config: &Config,
    run: &Run,
    facts: Facts,
    board: Arc<Board>,
) -> Result<(Exit, Vec<Finding>), Vec<Finding>> {
    let (mail, inbox) = mpsc::unbounded_channel();
    let (fleet, fleet_seen) = watch::channel(FleetStatus::new());
    let (redis, redis_seen) = watch::channel(RedisLink::Pending);
    let (elsewhere, elsewhere_seen) = watch::channel(elsewhere::Seen::new());
    let (watched, all_watched) = watch::channel(elsewhere::watched(&config.ecosystem, &config.layers));
    let asks = Arc::new(Asks::default());
    let signals = signals(mail.clone()).map_err(|it| system(&it))?;
    let names = config.ecosystem.setup.iter().chain(&config.ecosystem.apps).map(|it| it.name.as_str().len());
    let heart = Heart::new(Body {
        config,
        known: config::known_services(&config.origin),
        board: board.clone(),
        facts,
        asks: asks.clone(),
        say: Say::new(run.common.clone(), names.max().unwrap_or_default()),
        mail: mail.clone(),
        inbox,
        fleet: fleet_seen,
        redis: redis_seen,
        elsewhere: elsewhere_seen,
        watched,
    });
    let stairs = Stairs { mail, fleet, redis, board, asks };
    let life = async { tokio::join!(heart.beat(), stairs.climb(config, run.which.clone())) };
    let looks = async {
        elsewhere::watch(all_watched, elsewhere).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        it = life => Ok(it),
        never = looks => match never {},
        never = signals => match never {},
    }
}

/// The first signal asks, the second one insists.
fn signals(mail: UnboundedSender<Mail>) -> std::io::Result<impl Future<Output = Infallible>> {
    let [mut term, mut int] = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    Ok(async move {
        loop {
            let heard = async {
                tokio::select! { it = term.recv() => it, it = int.recv() => it }
            };
            if heard.await.is_some() {
                // The heart ends last.
                let _ = mail.send(Mail::Event(Event::Signal));
            }
        }
    })
}

/// What is known before anything has been looked at.
fn unknown(config: &Config) -> Facts {
    let now = heart::now();
    Facts {
        at: now,
        machine: Machine {
            id: config.settings.machine.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: config.settings.profile.as_ref().and_then(|it| it.parse().ok()),
            generation: config.origin.id().map(str::to_owned),
            started: now,
            stage: Stage::Configuration,
            percent: Some(0),
            doing: None,
            recovery: Recovery::Healthy,
            recovery_cause: None,
        },
        services: vec![],
        workers: vec![],
        gpus: vec![],
        redis: RedisLink::Pending,
        disks: vec![],
        interfaces: vec![],
    }
}

fn found<F: Fault>(fault: F) -> Vec<Finding> {
    vec![Finding::error(Located::nowhere(fault))]
}

/// The system refuses something that it hardly ever does.
fn system(why: &std::io::Error) -> Vec<Finding> {
    found(Refusal::System { why: why.to_string() })
}
