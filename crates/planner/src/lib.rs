//! Where the pure pipeline meets the world: `planner` reads `config/`, looks at the machine, plans, and writes complete
//! generations of files. It carries the planning verbs, which `roster` and `cargo xtask` share, and is light on purpose:
//! no async runtime, no network.
//!
//! ```
//! use clap::{CommandFactory, Parser};
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(subcommand)]
//!     verb: planner::cli::Verb,
//! }
//!
//! let verb = Cli::parse_from(["roster", "plan", "--profile", "simulation"]).verb;
//! let answer = planner::run(verb, &planner::World::real("roster", &[]), &Cli::command);
//! assert!(answer.out.contains("simulation-worker-0"));
//! assert_eq!(answer.exit.code(), 0);
//! ```

mod answer;
pub mod cli;
pub mod codes;
pub mod document;
pub mod generated;
mod generations;
mod hash;
pub mod inventory;
mod layout;
mod manifest;
mod pipeline;
mod profile;
mod redact;
mod report;
mod request;
mod run;
mod set;
mod table;
mod verbs;
mod world;

pub use answer::{Answer, Look, Reply, Told};
pub use layout::{Layout, LayoutError};
pub use redact::Redactor;
pub use report::FindingDocument;
pub use run::run;
pub use world::World;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use spec::notes::Exit;

/// Prints what `clap` has to say, and gives its exit code: help and version were asked for, the rest is a wrong command
/// line.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Where stdout and stderr are gone there is nobody left to tell.
    let _ = error.print();
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    ExitCode::from(if asked { Exit::Ok } else { Exit::Usage }.code())
}

/// Prints an answer, data on standard output and talk on standard error, and gives its exit code. `colour` says when to
/// keep colours: `Auto` looks at the terminal and `NO_COLOR`.
pub fn print(answer: &Answer, colour: cli::Color) -> ExitCode {
    let choice = match colour {
        cli::Color::Auto => anstream::ColorChoice::Auto,
        cli::Color::Always => anstream::ColorChoice::Always,
        cli::Color::Never => anstream::ColorChoice::Never,
    };
    // A reader that went away (`| head`) is no fault of ours, and nobody is left to tell.
    let mut talk = anstream::AutoStream::new(std::io::stderr(), choice);
    let _ = talk.write_all(answer.talk.as_bytes());
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(answer.out.as_bytes()).and_then(|()| out.flush());
    ExitCode::from(answer.exit.code())
}
