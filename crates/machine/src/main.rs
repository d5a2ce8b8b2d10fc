//! The program `roster`: plans a machine from one roster and one profile. The runtime verbs come with the crates that
//! run a machine.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, error::ErrorKind};
use planner::cli::{EXIT_CODES, Verb};
use spec::notes::Exit;

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
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Where stdout and stderr are gone there is nobody left to tell.
            let _ = error.print();
            return ExitCode::from(if asked { Exit::Ok } else { Exit::Usage }.code());
        }
    };
    let colour = verb.common().color;
    let answer = planner::run(verb, &planner::World::real("roster"), &Cli::command);
    planner::print(&answer, colour)
}
