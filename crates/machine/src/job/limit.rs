//! `roster job limit`: what the jobs of a limit key may do.

use std::num::NonZeroU32;
use std::process::ExitCode;

use broker::{Broker as _, Limit, LimitKey, Millis, Rate};
use serde::Serialize;

use super::input::duration;
use super::queue::At;
use super::text::{count, span, table};

/// Which key, and its limit. Without a key all limits are told.
#[derive(clap::Args)]
#[group(id = "what", multiple = true, args = ["concurrency", "rate", "none"], requires = "key")]
pub(super) struct Args {
    /// The key of which the limit is set, in the place of the one before; left out, all limits are listed
    #[arg(value_name = "KEY", requires = "what")]
    key: Option<LimitKey>,
    /// At most so many of its jobs run at once
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,
    /// Its jobs start no faster than so many in a time: `10/1m`
    #[arg(long, value_name = "N/TIME", value_parser = rate)]
    rate: Option<Rate>,
    /// Its jobs have no limit any more
    #[arg(long, conflicts_with_all = ["concurrency", "rate"])]
    none: bool,
    #[command(flatten)]
    at: At,
}

/// Limits, for programs.
#[derive(Serialize)]
struct Limits {
    limits: Vec<One>,
}

#[derive(Serialize)]
struct One {
    key: LimitKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Starts>,
}

/// A rate, with its time in milliseconds.
#[derive(Serialize)]
struct Starts {
    jobs: NonZeroU32,
    per_ms: Millis,
}

pub(super) fn run(args: &Args) -> ExitCode {
    args.at.ask(async |queue| {
        let failed = |it| queue.findings(it);
        if let Some(key) = &args.key {
            let limit = Limit { concurrency: args.concurrency, rate: args.rate };
            queue.broker.limit(key, (!args.none).then_some(limit)).await.map_err(failed)?;
        }
        let mut limits = queue.broker.limits().await.map_err(failed)?;
        limits.retain(|(key, _)| args.key.as_ref().is_none_or(|it| it == key));
        let limits: Vec<_> = limits.into_iter().map(One::from).collect();
        let rows: Vec<_> = limits.iter().map(row).collect();
        let out = if rows.is_empty() { String::new() } else { table(["KEY", "AT ONCE", "STARTS"], &rows) };
        let talk = match &args.key {
            Some(key) if args.none => format!("`{key}` has no limit.\n"),
            Some(_) => String::new(),
            None => format!("{} of `{}`.\n", count(limits.len(), "limit"), queue.name),
        };
        Ok(queue.answer(Limits { limits }, out, talk))
    })
}

impl From<(LimitKey, Limit)> for One {
    fn from((key, limit): (LimitKey, Limit)) -> Self {
        let per_ms = |it: Rate| Millis::try_from(it.per.as_millis()).unwrap_or(Millis::MAX);
        let rate = limit.rate.map(|it| Starts { jobs: it.jobs, per_ms: per_ms(it) });
        Self { key, concurrency: limit.concurrency, rate }
    }
}

fn row(it: &One) -> [String; 3] {
    let time = |ms: Millis| if ms.is_multiple_of(1000) { span(ms) } else { format!("{ms}ms") };
    [
        it.key.to_string(),
        it.concurrency.map_or("-".into(), |most| most.to_string()),
        it.rate.as_ref().map_or("-".into(), |it| format!("{}/{}", it.jobs, time(it.per_ms))),
    ]
}

/// `10/1m`.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || "a rate is a number of jobs and a time, both above 0: `10/1m`".to_owned();
    let (jobs, per) = text.split_once('/').ok_or_else(wrong)?;
    let (jobs, per) = (jobs.parse().map_err(|_| wrong())?, duration(per)?);
    if per.is_zero() { Err(wrong()) } else { Ok(Rate { jobs, per }) }
}
