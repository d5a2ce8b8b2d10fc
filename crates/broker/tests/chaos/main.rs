//! Chaos: real workers in processes of their own, which are killed, stopped past their leases and cut off in the midst of
//! a call, before a Redis that is killed and started again. Afterwards a checker that shares no code with the broker reads
//! what Redis has written and what the workers say, and finds whether every job ended exactly once.
//!
//! ```text
//! cargo test -p roster-broker --test chaos                         4,000 jobs, 150 kills
//! ROSTER_CHAOS=full cargo test -p roster-broker --test chaos       20,000 jobs, 1,000 kills
//! ROSTER_CHAOS_SEED=17 cargo test -p roster-broker --test chaos    what seed 17 does
//! ```
//!
//! A seed decides the jobs and the faults. What meets what is also the machine's choice, so that a seed which failed once
//! may pass the next time; it goes into [`SEEDS`] all the same.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod checker;
mod history;
mod life;
mod plan;
mod planted;
mod proxy;
mod record;
mod run;
mod server;
mod worker;

use std::fmt::Write;

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::history::History;
use crate::plan::{Plan, Size};
use crate::run::Done;
use crate::server::Server;

/// Makes this program a worker; holds its orders.
const ORDERS: &str = "ROSTER_CHAOS_WORKER";

/// Seeds that once failed.
const SEEDS: &[u64] = &[];

fn main() {
    if let Ok(orders) = std::env::var(ORDERS) {
        return worker::main(&orders);
    }
    let mut arguments = Arguments::from_args();
    // A run has the machine to itself.
    arguments.test_threads = Some(1);
    let seed = std::env::var("ROSTER_CHAOS_SEED");
    let seed = seed.map_or_else(|_| fastrand::u64(..1 << 32), |it| it.parse().expect("a seed is a number"));
    let full = std::env::var("ROSTER_CHAOS").is_ok_and(|it| it == "full");
    let size = if full { Size::FULL } else { Size::SMALL };
    let mut trials = vec![
        Trial::test("whatever_is_killed_stopped_or_cut_every_job_ends_exactly_once", move || {
            holds(seed, size)
        }),
        Trial::test("the_checker_finds_every_fault_that_is_planted", planted::every_fault_is_found),
    ];
    let mended =
        |seed: &'static u64| Trial::test(format!("seed_{seed}_stays_mended"), || holds(*seed, Size::SMALL));
    trials.extend(SEEDS.iter().map(mended));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Carries out what a seed decides, and fails with every fault and the history of its jobs.
fn holds(seed: u64, size: Size) -> Result<(), Failed> {
    let Some((mut folder, done, history)) = played(seed, size) else { return Ok(()) };
    let (counts, faults) = checker::check(&history);
    println!("seed {seed}: {done:?}\nseed {seed}: {counts:?}");
    let mut told = format!("seed {seed} has {} faults; its files stay\n", faults.len());
    for (job, fault) in faults.iter().take(20) {
        _ = writeln!(told, "job `{job}`: {fault}");
    }
    for (job, _) in faults.iter().take(3) {
        _ = writeln!(told, "job `{job}`\n{}", history.of(job));
    }
    if !faults.is_empty() {
        return Err(told.into());
    }
    folder.disable_cleanup(false);
    let met = [done.stops, done.cuts, counts.stale, counts.unanswered, counts.cancels];
    if met.contains(&0) || done.kills < size.kills || done.restarts < size.restarts {
        return Err(format!("seed {seed} met less than it was to meet").into());
    }
    Ok(())
}

/// Carries out what a seed decides, in a folder that stays. `None` where there is no Redis.
fn played(seed: u64, size: Size) -> Option<(TempDir, Done, History)> {
    if !Server::is_there() {
        println!("not run: `redis-server` is not on the PATH");
        return None;
    }
    let mut folder = tempfile::Builder::new().prefix("roster-chaos-").tempdir().unwrap();
    folder.disable_cleanup(true);
    let plan = Plan::new(seed, size);
    let fsync = if plan.always { "always" } else { "everysec" };
    println!("seed {seed}: {size:?}, appendfsync {fsync}, in {}", folder.path().display());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (done, history) = runtime.block_on(run::run(&plan, folder.path()));
    Some((folder, done, history))
}
