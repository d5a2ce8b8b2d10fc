//! `roster job list`.

use std::process::ExitCode;

use broker::document::SummaryDocument;
use broker::life::State;
use broker::{Broker as _, Cursor, CustomerId, Filter, MAX_PAGE, Stage, Summary};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use serde::Serialize;
use spec::ids::JobType;

use super::queue::At;
use super::text::{count, reason, span, table};

/// Which jobs, and how many.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only jobs in this state; left out, running, waiting, delayed and dead ones. To find succeeded and cancelled ones, which
    /// are in no order, all keys are looked through
    #[arg(long, value_name = "STATE", value_parser = stage())]
    state: Option<Stage>,
    /// Only jobs for this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<JobType>,
    /// Only jobs of this customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<CustomerId>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where the list before this one ended, which told this text
    #[arg(long, value_name = "PLACE")]
    after: Option<Cursor>,
    #[command(flatten)]
    at: At,
}

/// A state by its name.
fn stage() -> impl clap::builder::TypedValueParser<Value = Stage> {
    let words = PossibleValuesParser::new(Stage::ALL.map(Stage::word));
    words.map(|word| Stage::ALL.into_iter().find(|it| it.word() == word).expect("one of the possible values"))
}

/// A list, for programs.
#[derive(Serialize)]
struct Listed {
    jobs: Vec<SummaryDocument>,
    /// Where the rest begins, for `--after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    args.at.ask(async |queue| {
        let Args { state, service, customer, limit, after, .. } = args;
        let filter =
            Filter { stage: *state, service: service.clone(), customer: customer.clone(), signature: None };
        let (most, mut jobs, mut next) = (*limit as usize, Vec::new(), after.clone());
        loop {
            let page = queue.broker.list(&filter, next.as_ref(), (most - jobs.len()).min(MAX_PAGE));
            let page = page.await.map_err(|it| queue.findings(it))?;
            jobs.extend(page.jobs);
            next = page.next;
            if jobs.len() >= most || next.is_none() {
                break;
            }
        }
        let rows: Vec<_> = jobs.iter().map(row).collect();
        let head = ["ID", "SERVICE", "STATE", "AGE", "FAILED", "LOST", "WORKER", "REASON"];
        let out = if rows.is_empty() { String::new() } else { table(head, &rows) };
        let more = next.as_ref().map(|next| format!("; there may be more, behind `--after '{next}'`"));
        let talk = format!("{} of `{}`{}.\n", count(jobs.len(), "job"), queue.name, more.unwrap_or_default());
        let jobs = jobs.iter().map(SummaryDocument::from).collect();
        Ok(queue.answer(Listed { jobs, next: next.map(|it| it.to_string()) }, out, talk))
    })
}

fn row(it: &Summary) -> [String; 8] {
    let worker = match &it.life.state {
        State::Running { worker, .. } => worker.to_string(),
        _ => "-".into(),
    };
    [
        it.id.to_string(),
        it.signature.service.to_string(),
        it.life.state.stage().to_string(),
        span(it.now.saturating_sub(it.submitted)),
        format!("{}/{}", it.life.attempts, it.max_attempts),
        it.life.crashes.to_string(),
        worker,
        reason(it),
    ]
}
