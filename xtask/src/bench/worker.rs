//! `bench worker`: the loop beside bare claims, and real `roster worker` processes with a ComfyUI that is none.

#[cfg(feature = "e2e")]
mod fleet;
#[cfg(feature = "e2e")]
mod idle;
#[cfg(feature = "e2e")]
mod overhead;
#[cfg(feature = "e2e")]
mod streaming;
#[cfg(feature = "e2e")]
mod talking;

/// What of it, and how much
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer jobs, shorter: half a minute, and too short to be quoted
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
    /// Jobs that are nothing through the whole loop, beside bare claims
    Overhead,
    /// ComfyUI jobs that tell their progress a hundred times a second
    Talking,
    /// Workers without jobs
    Idle,
    /// An output of 500 MB
    Streaming,
}

/// How much of everything.
#[cfg(feature = "e2e")]
struct Scale {
    rounds: usize,
    /// Jobs of one round.
    jobs: usize,
    /// How long workers are watched.
    watch: std::time::Duration,
    /// Bytes of the large output.
    output: usize,
}

#[cfg(feature = "e2e")]
const FULL: Scale =
    Scale { rounds: 5, jobs: 20_000, watch: std::time::Duration::from_secs(20), output: 500_000_000 };
#[cfg(feature = "e2e")]
const QUICK: Scale =
    Scale { rounds: 3, jobs: 5_000, watch: std::time::Duration::from_secs(6), output: 500_000_000 };

/// Prints the table on stdout, as Markdown or JSON. Fails when a limit is missed.
#[cfg(feature = "e2e")]
pub(super) fn run(args: &Args) -> Result<bool, String> {
    use clap::ValueEnum as _;

    use super::report;
    use crate::workspace::{cargo, run as start};

    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    if parts.iter().any(|it| *it != Part::Overhead) {
        start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
    }
    let scale = if args.quick { &QUICK } else { &FULL };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let rows = runtime.block_on(measure(parts, scale))?;
    say!("{}", if args.json { report::json(&rows) } else { report::table(&rows) });
    Ok(rows.iter().all(|row| row.verdict() != Some(false)))
}

#[cfg(feature = "e2e")]
async fn measure(parts: &[Part], scale: &Scale) -> Result<Vec<super::report::Row>, String> {
    let mut server = super::broker::server::Server::start(false).await?;
    let mut rows = Vec::new();
    for part in parts {
        eprintln!("bench: {part:?}");
        server.flush().await?;
        rows.extend(match part {
            Part::Overhead => overhead::run(&mut server, scale).await?,
            Part::Talking => talking::run(&mut server, scale).await?,
            Part::Idle => idle::run(&mut server, scale).await?,
            Part::Streaming => streaming::run(&mut server, scale).await?,
        });
    }
    Ok(rows)
}
