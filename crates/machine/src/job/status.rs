//! `roster job status` and `counts`.

use std::fmt::Write as _;
use std::process::ExitCode;

use broker::document::{CountsDocument, StatusDocument};
use broker::life::State;
use broker::{Broker as _, JobId, Status, Summary};
use planner::Told;
use serde::Serialize;

use super::queue::{At, unknown};
use super::text::{clean, count, date, death, span, when};

/// The longest result that people are shown; `--json` has all of it.
const RESULT: usize = 2_000;

/// Which jobs.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    #[command(flatten)]
    at: At,
}

/// Where.
#[derive(clap::Args)]
pub(super) struct Counts {
    #[command(flatten)]
    at: At,
}

/// Jobs, for programs.
#[derive(Serialize)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<StatusDocument>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    args.at.ask(async |queue| {
        let (mut jobs, mut told, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for id in &args.ids {
            match queue.status(id).await? {
                Some(status) => {
                    jobs.push(StatusDocument::from(&status));
                    told.push(shown(&status));
                }
                None => findings.push(unknown(id)),
            }
        }
        Ok(Told { findings, ..queue.answer(Jobs { jobs }, told.join("\n"), String::new()) })
    })
}

/// A job as people read it.
fn shown(it: &Status) -> String {
    let (job, life, now) = (&it.job, &it.life, it.now);
    let mut out = format!("Job {}  {}  {}\n", job.id, job.service_required, life.state.stage());
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<11}  {text}");
    };
    let dated = |at| format!("{}, {}", date(at), when(at, now));
    line("submitted", dated(it.submitted));
    match &life.state {
        State::Delayed { due } => line("due", dated(*due)),
        State::Running { worker, until, deadline, cancel } => {
            line("worker", worker.to_string());
            let lost = if *until > now {
                ""
            } else {
                ": the worker is lost, and the next sweep of a live one returns the job"
            };
            line("lease until", format!("{}{lost}", dated(*until)));
            line("deadline", dated(*deadline));
            if *cancel {
                line("cancel", "its worker is asked to stop".into());
            }
        }
        State::Dead(reason) => {
            line("died of", format!("{}: {}", death(reason.kind), clean(&reason.message, RESULT)));
        }
        State::Waiting | State::Succeeded | State::Cancelled => {}
    }
    if let Some(at) = it.finished {
        line("ended", dated(at));
    }
    let lost = if life.crashes > 0 {
        format!("; {} lost", count(life.crashes as usize, "worker"))
    } else {
        String::new()
    };
    line("attempts", format!("{} of {} failed{lost}", life.attempts, job.max_attempts));
    if job.priority != 0 {
        line("priority", job.priority.to_string());
    }
    if let Some(customer) = &job.customer {
        line("customer", customer.to_string());
    }
    if let Some(key) = &job.limit_key {
        line("limit key", key.to_string());
    }
    if let Some(workflow) = &job.workflow {
        let step = workflow.step.map(|it| format!(", step {it}")).unwrap_or_default();
        let steps = workflow.steps.map(|it| format!(" of {it}")).unwrap_or_default();
        line("workflow", format!("{}{step}{steps}", workflow.id));
    }
    if !job.requirements.is_none() {
        line("requires", job.requirements.to_string());
    }
    if let Some(error) = it.error.as_ref().filter(|_| !matches!(life.state, State::Dead(_))) {
        line("last error", clean(error, RESULT));
    }
    if let Some(result) = &it.result {
        line("result", clean(&result.to_string(), RESULT));
    }
    out
}

/// Lines that nobody takes jobs from, for programs.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    counts: CountsDocument,
    unmatchable: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    signature: broker::Signature,
    waiting: u64,
}

pub(super) fn counts(args: &Counts) -> ExitCode {
    args.at.ask(async |queue| {
        let counts = queue.broker.counts().await.map_err(|it| queue.findings(it))?;
        let nobody = queue.broker.unmatchable().await.map_err(|it| queue.findings(it))?;
        let mut out = String::new();
        for (name, number) in [
            ("running", counts.running),
            ("waiting", counts.waiting),
            ("held", counts.held),
            ("delayed", counts.delayed),
            ("dead", counts.dead),
        ] {
            let _ = writeln!(out, "{name:<8}  {number}");
        }
        let _ = writeln!(out, "bytes     {}", counts.bytes);
        let mut talk = String::new();
        if counts.paused {
            talk += "The queue is paused: nothing is claimed until `roster job resume`.\n";
        }
        for (signature, waiting) in &nobody {
            let number = count(usize::try_from(*waiting).unwrap_or(usize::MAX), "job");
            let _ = writeln!(talk, "No live worker can run {number}: {}.", wanted(signature));
        }
        let unmatchable =
            nobody.into_iter().map(|(signature, waiting)| Line { signature, waiting }).collect();
        Ok(queue.answer(Counted { counts: counts.into(), unmatchable }, out, talk))
    })
}

/// What a worker has to be to take jobs of a signature.
pub(super) fn wanted(signature: &broker::Signature) -> String {
    let mut wanted = format!("for `{}`", signature.service);
    if !signature.requirements.is_none() {
        let _ = write!(wanted, ", requiring {}", signature.requirements);
    }
    if let Some(customer) = &signature.customer {
        let _ = write!(wanted, ", of customer `{customer}`");
    }
    if let Some(workflow) = &signature.workflow {
        let _ = write!(wanted, ", routed to workflow `{workflow}`");
    }
    wanted
}

/// How long a job took from its submission to its end.
pub(super) fn took(it: &Summary) -> String {
    let ms = it.finished.map_or(0, |at| at.saturating_sub(it.submitted));
    if ms < 10_000 { format!("{}.{}s", ms / 1_000, ms / 100 % 10) } else { span(ms) }
}
