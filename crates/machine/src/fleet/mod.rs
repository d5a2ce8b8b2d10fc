//! The verbs that run a machine's processes, and those that ask the supervisor which does.

mod ask;
mod document;
mod events;
mod keep;
mod logs;
pub(crate) mod place;
mod ps;
mod table;
mod up;

pub(crate) use events::line as event_line;
pub(crate) use keep::bytes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use planner::cli::EXIT_CODES;
use spec::ids::ProcessName;
use supervisor::control::protocol::{Document, Request, Signal, Which};

use crate::say::Common;

/// The verbs about processes.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the processes of an ecosystem in the foreground, or as PID 1 of a container
    #[command(after_help = EXIT_CODES)]
    Up(up::Up),
    /// Show what every process does
    #[command(after_help = EXIT_CODES)]
    Ps(ps::Ps),
    /// Show what processes have written
    #[command(after_help = EXIT_CODES)]
    Logs(logs::Logs),
    /// Start processes that are down, and what they need
    #[command(after_help = EXIT_CODES)]
    Start(Order),
    /// Stop processes, and those that need them
    #[command(after_help = EXIT_CODES)]
    Stop(Order),
    /// Stop processes and start them anew; those that need them are left alone
    #[command(after_help = EXIT_CODES)]
    Restart(Order),
    /// Send a signal to a process itself, not to its children
    #[command(after_help = EXIT_CODES)]
    Signal {
        /// The process
        name: ProcessName,
        /// HUP, INT, QUIT, KILL, USR1, USR2, TERM, CONT, STOP or WINCH
        #[arg(value_parser = signal)]
        signal: Signal,
        #[command(flatten)]
        asking: Asking,
    },
    /// Run the first COUNT processes of a group, and stop the others
    #[command(after_help = EXIT_CODES)]
    Scale {
        /// The name without its number: `simulation-worker`
        group: String,
        /// How many, up to as many as the ecosystem has
        count: u32,
        #[command(flatten)]
        patience: Patience,
        #[command(flatten)]
        asking: Asking,
    },
    /// Take a new ecosystem with the fewest restarts; an ecosystem with faults changes nothing
    #[command(after_help = EXIT_CODES)]
    Reload {
        /// The ecosystem; left out, the file that the supervisor was started with is read again
        #[arg(long, value_name = "FILE")]
        ecosystem: Option<PathBuf>,
        #[command(flatten)]
        patience: Patience,
        #[command(flatten)]
        asking: Asking,
    },
    /// Show what happened of late
    #[command(after_help = EXIT_CODES)]
    Events(events::Events),
}

/// Whom an order is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct Order {
    /// The processes
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<ProcessName>,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    asking: Asking,
}

impl Order {
    fn which(&self) -> Which {
        if self.all { Which::All } else { Which::Names(self.names.clone()) }
    }
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Patience {
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
}

/// What everybody who asks a supervisor says.
#[derive(Clone, Debug, Args)]
pub(crate) struct Asking {
    /// The supervisor's socket; left out, `ROSTER_SOCKET`, or the only one in the run directory
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

fn signal(text: &str) -> Result<Signal, String> {
    let wanted = text.to_uppercase();
    let wanted = wanted.strip_prefix("SIG").unwrap_or(&wanted);
    let names = Signal::ALL.map(Signal::name).join(", ");
    Signal::ALL.into_iter().find(|it| it.name() == wanted).ok_or_else(|| format!("it is one of {names}"))
}

/// Does what was typed.
pub(crate) fn run(verb: Verb) -> ExitCode {
    match verb {
        Verb::Up(it) => up::run(it),
        Verb::Ps(it) => ps::run(&it),
        Verb::Logs(it) => logs::run(it),
        Verb::Events(it) => events::run(&it),
        Verb::Start(it) => {
            let request = Request::Start { which: it.which(), wait: !it.patience.no_wait };
            ask::order(&it.asking, request)
        }
        Verb::Stop(it) => {
            let request = Request::Stop { which: it.which(), wait: !it.patience.no_wait };
            ask::order(&it.asking, request)
        }
        Verb::Restart(it) => {
            let request = Request::Restart { which: it.which(), wait: !it.patience.no_wait };
            ask::order(&it.asking, request)
        }
        Verb::Signal { name, signal, asking } => ask::order(&asking, Request::Signal { name, signal }),
        Verb::Scale { group, count, patience, asking } => {
            ask::order(&asking, Request::Scale { group, count, wait: !patience.no_wait })
        }
        Verb::Reload { ecosystem, patience, asking } => {
            let wait = !patience.no_wait;
            let document = match ecosystem.as_deref().map(document::text).transpose() {
                Ok(it) => it.map(|(name, text)| Document { name, text }),
                Err(finding) => return ask::failed(&asking.common, vec![*finding]),
            };
            // What is wrong with it is shown with its line here, where the file is.
            if let Some(it) = &document
                && let Err(findings) = document::read(&it.name, &it.text)
            {
                return ask::failed(&asking.common, findings);
            }
            ask::order(&asking, Request::Reload { document, wait })
        }
    }
}
