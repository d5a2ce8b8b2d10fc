//! `roster job cancel`, `replay`, `pause` and `resume`.

use std::fmt::Write as _;
use std::process::ExitCode;

use broker::life::State;
use broker::{Broker as _, Cancel as Cancelled, Death, JobId, Replay as Which};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use planner::Told;
use serde::Serialize;
use spec::notes::{Code, Fault, Finding, Located};

use super::queue::{At, Queue, unknown};
use super::text::count;
use crate::codes;

/// Which jobs.
#[derive(clap::Args)]
pub(super) struct Cancel {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
    #[command(flatten)]
    at: At,
}

/// Which dead jobs.
#[derive(clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["ids", "kind", "all"])]
pub(super) struct Replay {
    /// Their ids
    #[arg(value_name = "ID")]
    ids: Vec<JobId>,
    /// All that died of this: `permanent` (failed for good), `attempts` (failed as often as they may) or `crashes` (their
    /// workers were lost)
    #[arg(long, value_name = "KIND", value_parser = kind())]
    kind: Option<Death>,
    /// All
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    at: At,
}

/// Where.
#[derive(clap::Args)]
pub(super) struct Pause {
    #[command(flatten)]
    at: At,
}

const KINDS: [(&str, Death); 3] =
    [("permanent", Death::Permanent), ("attempts", Death::Attempts), ("crashes", Death::Crashes)];

fn kind() -> impl clap::builder::TypedValueParser<Value = Death> {
    let words = PossibleValuesParser::new(KINDS.map(|(word, _)| word));
    words.map(|word| KINDS.into_iter().find(|it| it.0 == word).expect("one of the possible values").1)
}

/// What became of one job, for programs.
#[derive(Serialize)]
struct Done {
    id: JobId,
    outcome: &'static str,
}

#[derive(Serialize)]
struct All {
    jobs: Vec<Done>,
}

pub(super) fn cancel(args: &Cancel) -> ExitCode {
    args.at.ask(async |queue| {
        let (mut jobs, mut out, mut findings) = (Vec::new(), String::new(), Vec::new());
        for id in &args.ids {
            let (outcome, told) = match queue.broker.cancel(id).await.map_err(|it| queue.findings(it))? {
                Cancelled::Cancelled => ("cancelled", "cancelled"),
                Cancelled::Asked => ("asked", "its worker is asked to stop"),
                Cancelled::Finished => ("finished", "had ended before"),
                Cancelled::Unknown => {
                    findings.push(unknown(id));
                    continue;
                }
            };
            let _ = writeln!(out, "{id}  {told}");
            jobs.push(Done { id: id.clone(), outcome });
        }
        Ok(Told { findings, ..queue.answer(All { jobs }, out, String::new()) })
    })
}

/// A job that lives, or is over.
#[derive(Clone, Debug, thiserror::Error)]
#[error("job `{id}` is {}, not dead", state.stage())]
struct NotDead {
    id: JobId,
    state: State,
}

impl Fault for NotDead {
    fn code(&self) -> Code {
        codes::NOT_DEAD
    }
    fn fix(&self) -> String {
        if self.state.is_terminal() {
            "submit it anew if it is to be done again".into()
        } else {
            format!("wait for it: `roster job watch {}`", self.id)
        }
    }
}

pub(super) fn replay(args: &Replay) -> ExitCode {
    args.at.ask(async |queue| {
        let (mut ids, mut findings) = (Vec::new(), Vec::new());
        let again = async |which| queue.broker.replay(&which).await.map_err(|it| queue.findings(it));
        if args.ids.is_empty() {
            let which = || args.kind.map_or(Which::All, Which::Kind);
            // Those that die again meanwhile are not put back a second time.
            let mut left = queue.broker.counts().await.map_err(|it| queue.findings(it))?.dead;
            while left > 0 {
                let some = again(which()).await?;
                if some.is_empty() {
                    break;
                }
                left = left.saturating_sub(some.len() as u64);
                ids.extend(some);
            }
        }
        for id in &args.ids {
            let some = again(Which::Job(id.clone())).await?;
            if some.is_empty() {
                findings.push(not_replayed(queue, id).await?);
            }
            ids.extend(some);
        }
        let out = ids.iter().fold(String::new(), |out, id| out + id.as_str() + "\n");
        let verb = if ids.len() == 1 { "waits" } else { "wait" };
        let talk = format!("{} {verb} again.\n", count(ids.len(), "job"));
        let jobs = ids.into_iter().map(|id| Done { id, outcome: "waiting" }).collect();
        Ok(Told { findings, ..queue.answer(All { jobs }, out, talk) })
    })
}

/// Why a job was not put back.
async fn not_replayed(queue: &Queue, id: &JobId) -> Result<Finding, Vec<Finding>> {
    Ok(match queue.status(id).await? {
        Some(it) => Finding::error(Located::nowhere(NotDead { id: id.clone(), state: it.life.state })),
        None => unknown(id),
    })
}

/// Whether jobs are claimed, for programs.
#[derive(Serialize)]
struct Paused {
    paused: bool,
}

pub(super) fn pause(args: &Pause, paused: bool) -> ExitCode {
    args.at.ask(async |queue| {
        queue.broker.pause(paused).await.map_err(|it| queue.findings(it))?;
        let talk = if paused {
            format!("`{}` is paused: no job is claimed until `roster job resume`.\n", queue.name)
        } else {
            format!("Jobs of `{}` are claimed.\n", queue.name)
        };
        Ok(queue.answer(Paused { paused }, String::new(), talk))
    })
}
