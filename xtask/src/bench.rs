//! `bench`: what we ship, as its users start it, measured from outside.

use std::process::ExitCode;

mod broker;
mod compile;
mod install;
#[cfg(test)]
pub(crate) use compile::MOST_CRATES;
mod machine;
mod measure;
mod plan;
mod rebuild;
#[cfg(feature = "e2e")]
mod report;
mod supervisor;
mod worker;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Plan the shipped profiles and large rosters: time and memory against their limits, beside Docker Compose
    Plan {
        /// How often each case is timed
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
        runs: u16,
    },
    /// Compile this crate from nothing, which is what a new user waits for
    Compile,
    /// Change one line of each crate, in a copy, and compile `roster`, which is what whoever works on it waits for
    Rebuild,
    /// Work a queue on a private Redis: rates, latencies and server times against their limits, beside a bare script
    Broker(broker::Args),
    /// Start, replace and end children, hold them and keep what they write: against the limits, beside a bare loop of fork
    /// and exec, PM2 and supervisord
    Supervisor(supervisor::Args),
    /// Let workers do jobs that are nothing, talk much, or make much: overhead, processor, memory, commands to Redis
    Worker(worker::Args),
    /// A machine as its users meet it: how fast it answers, beside the least that any server has to do
    Machine(machine::Args),
    /// Install a large model and many small nodes, beside `curl` and a loop of `git clone`
    Install(install::Args),
    /// A worker of `broker` that is going to be killed
    #[cfg(feature = "e2e")]
    #[command(hide = true)]
    BrokerVictim(broker::Victim),
}

pub(crate) fn run(verb: &Verb) -> Result<ExitCode, String> {
    let within_limits = match verb {
        Verb::Plan { runs } => plan::run(*runs)?,
        Verb::Compile => compile::run()?,
        Verb::Rebuild => rebuild::run()?,
        Verb::Install(args) => install::run(args)?,
        #[cfg(not(feature = "e2e"))]
        Verb::Broker(_) | Verb::Machine(_) | Verb::Supervisor(_) | Verb::Worker(_) => {
            return crate::light::again(crate::light::RELEASE);
        }
        #[cfg(feature = "e2e")]
        Verb::Broker(args) => broker::run(args)?,
        #[cfg(feature = "e2e")]
        Verb::Machine(args) => machine::run(args)?,
        #[cfg(feature = "e2e")]
        Verb::Supervisor(args) => supervisor::run(args)?,
        #[cfg(feature = "e2e")]
        Verb::Worker(args) => worker::run(args)?,
        #[cfg(feature = "e2e")]
        Verb::BrokerVictim(victim) => broker::hold(victim)?,
    };
    Ok(if within_limits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
