//! `roster job`: submits jobs to a queue, follows them, and looks after the queue.

use std::process::ExitCode;

use planner::cli::EXIT_CODES;

mod act;
mod audit;
mod explain;
mod input;
mod limit;
mod list;
mod queue;
mod status;
mod submit;
mod text;
mod watch;

pub(crate) use queue::At;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Submit jobs: whole documents, or payloads for one service
    #[command(after_help = EXIT_CODES)]
    Submit(Box<submit::Args>),
    /// Show jobs: where each is, its counters, its result
    #[command(after_help = EXIT_CODES)]
    Status(status::Args),
    /// Follow jobs to their ends; exit with 0 if all succeeded
    #[command(after_help = EXIT_CODES)]
    Watch(watch::Args),
    /// List jobs, those that run first
    #[command(after_help = EXIT_CODES)]
    List(list::Args),
    /// Stop jobs: those that wait at once, those that run through their workers
    #[command(after_help = EXIT_CODES)]
    Cancel(act::Cancel),
    /// Put dead jobs back into their lines
    #[command(after_help = EXIT_CODES)]
    Replay(act::Replay),
    /// Say why a job is where it is, and who could run it
    #[command(after_help = EXIT_CODES)]
    Explain(explain::Args),
    /// Count the jobs of each state, and those that no live worker can run
    #[command(after_help = EXIT_CODES)]
    Counts(status::Counts),
    /// Let no job be claimed; jobs that run go on, and jobs can be submitted
    #[command(after_help = EXIT_CODES)]
    Pause(act::Pause),
    /// Let jobs be claimed again
    #[command(after_help = EXIT_CODES)]
    Resume(act::Pause),
    /// List the limits of keys, or set one: so many jobs at once, so many starts in a time
    #[command(after_help = EXIT_CODES)]
    Limit(limit::Args),
    /// Check that every job is in exactly one state; only reads, and exits with 2 if one is not
    #[command(after_help = EXIT_CODES)]
    Audit(audit::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Submit(args) => submit::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Watch(args) => watch::run(args),
        Verb::List(args) => list::run(args),
        Verb::Cancel(args) => act::cancel(args),
        Verb::Replay(args) => act::replay(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Counts(args) => status::counts(args),
        Verb::Pause(args) => act::pause(args, true),
        Verb::Resume(args) => act::pause(args, false),
        Verb::Limit(args) => limit::run(args),
        Verb::Audit(args) => audit::run(args),
    }
}
