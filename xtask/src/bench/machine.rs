//! `bench machine`: a machine as its users meet it.

#[cfg(feature = "e2e")]
mod boot;
#[cfg(feature = "e2e")]
mod health;

/// What of it, and how much
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer rounds: too short to be quoted
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
    /// From its exec on: the first answer, ready, and how soon a death is told
    Boot,
    /// Memory of all its processes, with 10 and with 100 workers
    Memory,
    /// Answers of the health server, beside a bare `ok`
    Health,
}

/// Prints the table on stdout, as Markdown or JSON. Fails when a limit is missed.
#[cfg(feature = "e2e")]
pub(super) fn run(args: &Args) -> Result<bool, String> {
    use clap::ValueEnum as _;

    use super::report;

    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let mut rows = Vec::new();
    for part in parts {
        eprintln!("bench: {part:?}");
        rows.extend(match part {
            Part::Boot => boot::boot(args.quick)?,
            Part::Memory => boot::memory(args.quick)?,
            Part::Health => health::run(args.quick)?,
        });
    }
    say!("{}", if args.json { report::json(&rows) } else { report::table(&rows) });
    Ok(rows.iter().all(|row| row.verdict() != Some(false)))
}
