//! `bench broker`: the job queue on a Redis of its own, beside the least that any queue on Redis has to do.
//!
//! That least, the *floor*, is a script of ZPOPMIN, HSET and ZADD, called with EVALSHA by as many connections of the same
//! client on the same runtime, in the same round. A figure is the median over the rounds, a ratio the median of the ratios
//! within each round: what disturbs the machine for a while disturbs both.

#[cfg(feature = "e2e")]
mod backlog;
#[cfg(feature = "e2e")]
mod floor;
#[cfg(feature = "e2e")]
mod latency;
#[cfg(feature = "e2e")]
pub(super) mod load;
#[cfg(feature = "e2e")]
mod recovery;
#[cfg(feature = "e2e")]
pub(super) mod server;
#[cfg(feature = "e2e")]
mod throughput;

#[cfg(feature = "e2e")]
use super::report;
#[cfg(feature = "e2e")]
pub(super) use recovery::{Victim, hold};

/// What of it, and how much
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Smaller backlogs and fewer rounds: under a minute, and too short to be quoted
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
    /// Submitting and working no-op jobs, without an append-only file
    Work,
    /// The same with `appendfsync everysec`
    Everysec,
    /// From the submission to the start, with an idle worker
    Latency,
    /// Claims while more and more jobs wait
    Backlog,
    /// Claims behind jobs that the worker cannot run
    Front,
    /// Claims from 1,000 lines
    Signatures,
    /// Bytes of Redis for a waiting job
    Memory,
    /// From the death of a worker to the next start of its job
    Recovery,
}

/// How much of everything.
#[cfg(feature = "e2e")]
struct Scale {
    rounds: usize,
    /// Jobs of one round of throughput, with 1 connection and with 50.
    jobs: [usize; 2],
    /// Waiting jobs, smallest first.
    backlogs: &'static [usize],
    /// Jobs in front that cannot be run, 0 first.
    fronts: &'static [usize],
    /// Jobs over many signatures.
    over_signatures: usize,
    /// Claims of one round where the server's time is measured.
    claims: usize,
    /// Single submissions whose latency is measured.
    singles: usize,
}

#[cfg(feature = "e2e")]
const FULL: Scale = Scale {
    rounds: 5,
    jobs: [10_000, 20_000],
    backlogs: &[1_000, 100_000, 1_000_000],
    fronts: &[0, 1_000, 10_000, 100_000],
    over_signatures: 1_000_000,
    claims: 3_000,
    singles: 1_000,
};
#[cfg(feature = "e2e")]
const QUICK: Scale = Scale {
    rounds: 3,
    jobs: [2_000, 10_000],
    backlogs: &[1_000, 20_000],
    fronts: &[0, 20_000],
    over_signatures: 50_000,
    claims: 2_000,
    singles: 200,
};

/// Prints the table on stdout, as Markdown or JSON. Fails when a limit is missed.
#[cfg(feature = "e2e")]
pub(super) fn run(args: &Args) -> Result<bool, String> {
    use clap::ValueEnum as _;

    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let scale = if args.quick { &QUICK } else { &FULL };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let rows = runtime.block_on(measure(parts, scale))?;
    say!("{}", if args.json { report::json(&rows) } else { report::table(&rows) });
    Ok(rows.iter().all(|row| row.verdict() != Some(false)))
}

#[cfg(feature = "e2e")]
async fn measure(parts: &[Part], scale: &Scale) -> Result<Vec<report::Row>, String> {
    let mut server = server::Server::start(false).await?;
    let mut rows = Vec::new();
    for part in parts {
        eprintln!("bench: {part:?}");
        server.flush().await?;
        rows.extend(match part {
            Part::Work => throughput::run(&mut server, scale, "").await?,
            Part::Everysec => {
                let mut logging = server::Server::start(true).await?;
                let mut rows = throughput::run(&mut logging, scale, ", AOF").await?;
                rows.extend(logging.slowest(", AOF"));
                rows
            }
            Part::Latency => latency::run(&mut server, scale).await?,
            Part::Backlog => backlog::waiting(&mut server, scale).await?,
            Part::Front => backlog::in_front(&mut server, scale).await?,
            Part::Signatures => Box::pin(backlog::signatures(&mut server, scale)).await?,
            Part::Memory => backlog::memory(&mut server).await?,
            Part::Recovery => recovery::run(&mut server).await?,
        });
    }
    rows.extend(server.slowest(""));
    Ok(rows)
}
