//! `roster job audit`: whether every job is in exactly one state.

use std::process::ExitCode;

use broker::{Any, Error};
use indicatif::{ProgressBar, ProgressDrawTarget};
use planner::Told;
use serde::Serialize;
use spec::notes::{Finding, Located};

use super::queue::At;
use super::text::count;

/// Where.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    at: At,
}

/// What was looked at, for programs. What is wrong is among the findings.
#[derive(Serialize)]
struct Audited {
    jobs: u64,
    entries: u64,
    damaged: u64,
}

pub(super) fn run(args: &Args) -> ExitCode {
    args.at.ask(async |queue| {
        // Drawn on a terminal only.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let audit = match &queue.broker {
            Any::Native(broker) => broker.audit(|so_far| bar.set_message(looked(so_far))).await,
            Any::Legacy(_) => Err(Error::Wire("only a native queue can be audited")),
        };
        bar.finish_and_clear();
        let audit = audit.map_err(|it| queue.findings(it))?;
        let verdict = match audit.damaged {
            0 => ": every job is in exactly one state.\n".to_owned(),
            more if more > audit.damage.len() as u64 => {
                format!("; {more} faults, of which {} are told.\n", audit.damage.len())
            }
            1 => "; 1 fault.\n".to_owned(),
            more => format!("; {more} faults.\n"),
        };
        let talk = format!("{} looked at{verdict}", looked(&audit));
        let result = Audited { jobs: audit.jobs, entries: audit.entries, damaged: audit.damaged };
        let findings = audit.damage.into_iter().map(|it| Finding::error(Located::nowhere(it))).collect();
        Ok(Told { findings, ..queue.answer(result, String::new(), talk) })
    })
}

fn looked(audit: &broker::Audit) -> String {
    let number = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
    let entries = if audit.entries == 1 { "entry" } else { "entries" };
    format!("{} and {} {entries} of lines and sets", count(number(audit.jobs), "job"), audit.entries)
}
