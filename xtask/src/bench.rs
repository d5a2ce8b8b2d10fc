//! `bench`: whole processes of the release build, as a user starts them, measured from outside.

use std::process::ExitCode;

mod compile;
#[cfg(test)]
pub(crate) use compile::MOST_CRATES;
mod measure;
mod plan;

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
}

pub(crate) fn run(verb: &Verb) -> Result<ExitCode, String> {
    let within_limits = match verb {
        Verb::Plan { runs } => plan::run(*runs)?,
        Verb::Compile => compile::run()?,
    };
    Ok(if within_limits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
