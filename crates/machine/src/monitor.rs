//! `roster monitor`: the page of a fleet.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use broker::Any;
use clap::Args;
use health::{Fleet, Limits, Options, Server};
use planner::cli::EXIT_CODES;
use spec::env::Secret;
use spec::notes::{Finding, Located};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::job::At;
use crate::say;

/// Between two looks at Redis.
const PERIOD: Duration = Duration::from_secs(2);
/// What those have to show who ask from elsewhere.
const TOKEN: &str = "MACHINE_HEALTH_TOKEN";

/// Show every machine of a queue on one page, until it is told to stop
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Monitor {
    /// Where the page is served. Anywhere but on loopback, who asks has to show what `MACHINE_HEALTH_TOKEN` says
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9091")]
    listen: SocketAddr,
    /// Another name by which it may be called there, beside its addresses and `localhost`
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    #[command(flatten)]
    at: At,
}

pub(crate) fn run(monitor: Monitor) -> ExitCode {
    let Monitor { listen, hosts, at } = monitor;
    at.ask(async |queue| {
        let key = TOKEN.parse().expect("it is the name of a variable");
        let token = say::world().environment.get(&key).ok().flatten().map(Secret::new);
        let options = Options { listen, token, hosts, limits: Limits::default() };
        let found = |it| vec![Finding::error(Located::nowhere(it))];
        let io = |it: std::io::Error| {
            vec![Finding::error(Located::nowhere(broker::Error::Unreachable(it.to_string())))]
        };
        let Any::Native(broker) = &queue.broker else {
            let other = broker::Error::Wire("the monitor of the TypeScript system shows its own queue");
            return Err(vec![Finding::error(Located::nowhere(other))]);
        };
        let server = Server::bind(options).map_err(found)?;
        let (fleet, shown) = watch::channel(Fleet::unknown(&queue.name));
        let server = server.start(shown).map_err(io)?;
        anstream::eprintln!("the fleet of the queue {}: http://{}", queue.name, server.address());
        let mut term = signal(SignalKind::terminate()).map_err(io)?;
        let mut int = signal(SignalKind::interrupt()).map_err(io)?;
        tokio::select! {
            () = Fleet::watch(broker, &queue.name, PERIOD, &fleet) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(queue.answer((), String::new(), String::new()))
    })
}
