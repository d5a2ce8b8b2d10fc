//! Roster's own commands. `cargo xtask <verb>` plans a machine exactly as `roster <verb>` does, and sets up, checks and
//! measures the repository. Nothing imports this crate, and it stays light: a new user compiles it before anything else.
//!
//! The laws of the house (who may import whom, what a pure crate may not touch, what a file looks like) are its tests:
//! see `tidy`.

#![deny(
    clippy::print_stdout,
    reason = "it panics when nobody reads any more, as behind `| head`: use `say!`"
)]

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Writes a line to standard output. What is on its way goes on when nobody reads any more: it may have more to end.
macro_rules! say {
    ($($words:tt)*) => { $crate::say(format_args!($($words)*)) };
}

mod bench;
mod ci;
mod codegen;
mod codes;
mod dist;
mod e2e;
mod image;
#[cfg(not(feature = "e2e"))]
mod light;
#[cfg(feature = "e2e")]
mod peers;
mod setup;
#[cfg(test)]
mod tidy;
mod workspace;

/// Roster's commands, in the repository
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, after_help = planner::cli::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Plan(planner::cli::Verb),
    /// Install or verify the outside programs that checks and tests use
    Setup(setup::Args),
    /// Run everything that must be green before a change lands
    Ci,
    /// Write the files that are generated from code
    Codegen(codegen::Args),
    /// Run whole machines with real jobs, and look at what comes of them
    E2e(e2e::Args),
    /// Show a machine at work: a stream of jobs, a killed worker, and what came of them
    Demo(e2e::Demo),
    /// Kill, stop and cut what machines are made of while they work, and audit what came of it
    Chaos(e2e::Chaos),
    /// Stand in for a service that a machine of `e2e` starts
    #[command(hide = true)]
    Peer(e2e::Peer),
    /// Build the images of a machine
    #[command(subcommand)]
    Image(image::Verb),
    /// Make what a release consists of
    Dist(dist::Args),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Verb),
}

fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => return planner::refuse(&error),
    };
    let done = match verb {
        Verb::Plan(verb) => {
            let colour = verb.common().color;
            let answer =
                planner::run(verb, &planner::World::real("cargo xtask", codes::RUNTIME), &Cli::command);
            return planner::print(&answer, colour);
        }
        Verb::Setup(args) => setup::run(&args),
        Verb::Ci => ci::run(),
        Verb::Codegen(args) => codegen::run(&args),
        Verb::E2e(args) => e2e::run(&args),
        Verb::Demo(args) => e2e::demo(&args),
        Verb::Chaos(args) => e2e::chaos(&args),
        Verb::Peer(args) => e2e::peer(&args),
        Verb::Dist(args) => dist::run(&args),
        Verb::Image(verb) => image::run(&verb),
        Verb::Bench(verb) => bench::run(&verb),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// See `say!`.
///
/// # Panics
/// If the line cannot be written for another reason than that nobody reads, such as a full disk.
fn say(line: std::fmt::Arguments<'_>) {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("standard output: {error}"),
        _ => {}
    }
}
