//! The program `roster`: plans a machine from one roster and one profile. The runtime verbs come with the crates that
//! run a machine.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use planner::cli::{EXIT_CODES, Verb};

#[expect(dead_code, reason = "the runtime verbs use it")]
mod say;

/// Plan a GPU/AI worker machine from one roster and one profile
#[derive(Parser)]
#[command(name = "roster", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => return planner::refuse(&error),
    };
    let colour = verb.common().color;
    let answer = planner::run(verb, &planner::World::real("roster"), &Cli::command);
    planner::print(&answer, colour)
}
