//! Following jobs to their ends: `roster job watch`, and `submit --watch`.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use broker::document::{HappenedDocument, StatusDocument};
use broker::life::State;
use broker::{Broker as _, Error, Happened, JobId, News, Status, Summary};
use futures_util::stream::{self, StreamExt as _};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use planner::{Look, Told};
use serde_json::Value;
use spec::notes::{Code, Fault, Finding, Located};

use super::queue::{At, Queue};
use super::status::{Jobs, took};
use super::text::{clean, count, date, death};
use crate::codes;

/// Jobs that are followed at once: each has a connection of its own.
const AT_ONCE: usize = 32;

/// Which jobs.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    #[command(flatten)]
    at: At,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if !args.at.common.json {
        return args.at.ask(async |queue| follow(queue, &args.ids, Show::new()).await);
    }
    // One event a line, and the answer as the last line.
    let told = args.at.told(async |queue| follow(queue, &args.ids, Show::Json).await);
    let answer = told.answer(Look { json: true, plain: true, strict: false });
    let line = serde_json::from_str::<Value>(&answer.out).map(|it| it.to_string() + "\n");
    planner::print(&planner::Answer { out: line.unwrap_or_default(), ..answer }, args.at.common.color)
}

/// How events are shown.
pub(super) enum Show {
    /// As bars, on a terminal.
    Bars(MultiProgress),
    /// A line each, on standard output.
    Lines,
    /// A document each.
    Json,
    /// Not at all.
    Silent,
}

impl Show {
    pub(super) fn new() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars(MultiProgress::new()) } else { Self::Lines }
    }

    fn bar(&self, id: &JobId) -> Option<ProgressBar> {
        let Self::Bars(bars) = self else { return None };
        let bar = bars.add(ProgressBar::new(100));
        let style =
            ProgressStyle::with_template("{prefix}  {bar:20}  {percent:>3}%  {elapsed:>4}  {wide_msg}");
        bar.set_style(style.expect("the template is one"));
        bar.set_prefix(id.to_string());
        bar.set_message("no news yet");
        bar.enable_steady_tick(std::time::Duration::from_secs(1));
        Some(bar)
    }

    fn event(&self, queue: &Queue, id: &JobId, event: &Happened, bar: Option<&ProgressBar>) {
        let line = match self {
            Self::Bars(_) => {
                let Some(bar) = bar else { return };
                // The bar itself says how far.
                let message = if let News::Progress(progress) = &event.news {
                    bar.set_position(progress.percent.into());
                    clean(&progress.message, 200)
                } else {
                    words(&event.news)
                };
                bar.set_message(queue.redactor.text(&message));
                return;
            }
            Self::Silent => return,
            Self::Lines => format!("{}  {id}  {}", date(event.at), words(&event.news)),
            Self::Json => serde_json::to_string(&HappenedDocument::of(id, event)).unwrap_or_default(),
        };
        // A reader that went away is no fault of ours: the exit code still tells how it ended.
        let _ = writeln!(std::io::stdout().lock(), "{}", queue.redactor.text(&line));
    }
}

fn words(news: &News) -> String {
    match news {
        News::Progress(it) => format!("{:>3}%  {}", it.percent, clean(&it.message, 200)),
        News::Returned => "waits again".into(),
        News::Succeeded => "succeeded".into(),
        News::Cancelled => "cancelled".into(),
        News::Dead => "dead".into(),
    }
}

/// A job that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
enum Unsuccessful {
    #[error("job `{id}` was cancelled")]
    Cancelled { id: JobId },
    #[error("job `{id}` is dead: {why}")]
    Dead { id: JobId, why: String },
}

impl Fault for Unsuccessful {
    fn code(&self) -> Code {
        codes::UNSUCCESSFUL
    }
    fn fix(&self) -> String {
        match self {
            Self::Cancelled { .. } => "submit it anew if it is to be done after all".into(),
            Self::Dead { id, .. } => format!("mend the cause, then `roster job replay {id}`"),
        }
    }
}

/// How a job ended: its status, if it is still known, and its last event.
type End = (Option<Status>, Option<News>);

/// Follows jobs to their ends.
pub(super) async fn follow(queue: &Queue, ids: &[JobId], show: Show) -> Result<Told<Jobs>, Vec<Finding>> {
    let left = Cell::new(ids.len());
    let ends = stream::iter(ids.iter().cloned()).map(|id| {
        let (show, left) = (&show, &left);
        async move {
            let bar = show.bar(&id);
            let end = to_end(queue, &id, show, bar.as_ref()).await;
            left.set(left.get() - 1);
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            (id, end)
        }
    });
    let ends: Vec<(JobId, Result<End, Error>)> = ends.buffered(AT_ONCE).collect().await;
    let (mut jobs, mut out, mut findings, mut well) = (Vec::new(), String::new(), Vec::new(), 0);
    for (id, end) in ends {
        let (status, last) = match end {
            Ok(end) => end,
            Err(error) => {
                findings.extend(queue.findings(error));
                continue;
            }
        };
        let summary = status.as_ref().map(Summary::from);
        let took = summary.as_ref().map(|it| format!("  after {}", took(it))).unwrap_or_default();
        let stage = match (&summary, &last) {
            (Some(it), _) => it.life.state.stage().to_string(),
            (None, Some(news)) => words(news),
            (None, None) => continue,
        };
        if !matches!(show, Show::Lines) {
            let _ = writeln!(out, "{id}  {stage}{took}");
        }
        let failed = match (summary.map(|it| it.life.state), last) {
            (Some(State::Dead(reason)), _) => {
                let why = format!("{}: {}", death(reason.kind), clean(&reason.message, 500));
                Some(Unsuccessful::Dead { id, why })
            }
            (None, Some(News::Dead)) => Some(Unsuccessful::Dead { id, why: "it is forgotten".into() }),
            (Some(State::Cancelled), _) | (None, Some(News::Cancelled)) => {
                Some(Unsuccessful::Cancelled { id })
            }
            _ => None,
        };
        match failed {
            Some(fault) => findings.push(Finding::error(Located::nowhere(fault))),
            None => well += 1,
        }
        jobs.extend(status.as_ref().map(StatusDocument::from));
    }
    let talk = format!("{well} of {} succeeded.\n", count(ids.len(), "job"));
    Ok(Told { findings, ..queue.answer(Jobs { jobs }, out, talk) })
}

async fn to_end(queue: &Queue, id: &JobId, show: &Show, bar: Option<&ProgressBar>) -> Result<End, Error> {
    let mut last = None;
    let mut events = std::pin::pin!(queue.broker.watch(id.clone(), None));
    while let Some(event) = events.next().await {
        let event = event?;
        show.event(queue, id, &event, bar);
        last = Some(event.news);
    }
    Ok((queue.broker.status(id).await?, last))
}
