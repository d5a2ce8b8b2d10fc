//! The program `roster`: plans a machine from one roster and one profile, and runs it.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use planner::cli::EXIT_CODES;

mod ask;
mod codes;
mod config;
mod doctor;
mod fleet;
mod import;
mod install;
mod job;
mod log;
mod monitor;
mod run;
mod say;
mod simulate;
mod status;
mod worker;

/// Plan a GPU/AI worker machine from one roster and one profile, and run it
#[derive(Parser)]
#[command(name = "roster", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    #[command(flatten)]
    Plan(planner::cli::Verb),
    #[command(flatten)]
    Fleet(fleet::Verb),
    /// Install the services that run here: sources, Python environments, models
    #[command(subcommand)]
    Install(install::Verb),
    /// Make profiles of the env files, ecosystem or compose file of a PM2 machine, and say what could not be carried over
    #[command(subcommand)]
    Import(import::Verb),
    /// Submit jobs to a queue, follow them, and look after the queue
    #[command(after_help = EXIT_CODES)]
    Job(job::Args),
    Monitor(monitor::Monitor),
    Run(run::Run),
    Status(status::Verb),
    Config(config::Verb),
    Doctor(doctor::Verb),
    /// Claim jobs and run them, as the environment says: what `ecosystem.json` starts
    Worker(worker::Args),
    #[command(hide = true)]
    Simulate(simulate::Simulate),
}

fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => return planner::refuse(&error),
    };
    match verb {
        Verb::Plan(verb) => {
            let colour = verb.common().color;
            let answer = planner::run(verb, &say::world(), &Cli::command);
            planner::print(&answer, colour)
        }
        Verb::Fleet(verb) => fleet::run(verb),
        Verb::Install(verb) => install::run(&verb),
        Verb::Import(verb) => import::run(&verb),
        Verb::Job(args) => job::run(&args),
        Verb::Monitor(it) => monitor::run(it),
        Verb::Run(it) => run::run(&it),
        Verb::Status(it) => status::run(&it),
        Verb::Config(it) => config::run(&it),
        Verb::Doctor(it) => doctor::run(&it),
        Verb::Worker(args) => worker::run(&args),
        Verb::Simulate(service) => simulate::run(&service),
    }
}
