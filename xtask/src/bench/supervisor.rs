//! `bench supervisor`: `roster up` from outside, beside a bare loop of fork and exec, and beside PM2 and supervisord where
//! they are installed.
//!
//! The floor runs immediately before each system, with as many of the same children: a ratio is the median of the ratios
//! within each pair, so that what disturbs the machine for a while disturbs both.

#[cfg(feature = "e2e")]
mod children;
#[cfg(feature = "e2e")]
mod hold;
#[cfg(feature = "e2e")]
mod logs;
#[cfg(feature = "e2e")]
mod place;
#[cfg(feature = "e2e")]
mod system;

/// What of it, and how much
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer rounds: under a minute, and too short to be quoted
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_name = "PART", num_args = 1..)]
    only: Vec<Part>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// From the command to the last of 200 children, and from the ask to the end of the last
    Start,
    /// From the death of a child to its replacement
    Restart,
    /// Memory with 50 and 200 children, and processor time while nothing happens
    Hold,
    /// 200 MB of lines into files that are rotated
    Logs,
}

/// How often.
#[cfg(feature = "e2e")]
struct Scale {
    /// Pairs of the floor and our supervisor.
    rounds: usize,
    /// Pairs of the floor and another one.
    beside: usize,
    /// Children that are killed.
    kills: usize,
    /// Seconds of doing nothing.
    idle: u64,
}

#[cfg(feature = "e2e")]
const FULL: Scale = Scale { rounds: 15, beside: 3, kills: 30, idle: 10 };
#[cfg(feature = "e2e")]
const QUICK: Scale = Scale { rounds: 5, beside: 1, kills: 10, idle: 5 };

/// Prints the table on stdout, as Markdown or JSON. Fails when a limit is missed.
#[cfg(feature = "e2e")]
pub(super) fn run(args: &Args) -> Result<bool, String> {
    use clap::ValueEnum as _;

    use super::report;

    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let scale = if args.quick { &QUICK } else { &FULL };
    let place = place::Place::new()?;
    let mut rows = Vec::new();
    for part in parts {
        eprintln!("bench: {part:?}");
        rows.extend(match part {
            Part::Start => children::start_and_stop(&place, scale)?,
            Part::Restart => children::replace(&place, scale)?,
            Part::Hold => hold::run(&place, scale)?,
            Part::Logs => logs::run(&place, scale)?,
        });
    }
    say!("{}", if args.json { report::json(&rows) } else { report::table(&rows) });
    Ok(rows.iter().all(|row| row.verdict() != Some(false)))
}
