//! `roster job submit`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use broker::{Any, Broker as _, Error, Job, JobId, Submission};
use planner::{Redactor, Told};
use serde::Serialize;
use spec::notes::Finding;

use super::input::{self, Flags};
use super::queue::{At, Queue};
use super::status::Jobs;
use super::text::count;
use super::watch::{Show, follow};

/// Jobs of one call: so many at most are in doubt when a connection is lost.
const CALL: usize = 1_000;

/// What to submit.
#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON document, an array of them, or one a line; `-` is standard input. Without `--service` each is a job document:
    /// `{"service_required": "comfyui", "payload": {…}}`
    #[arg(value_name = "FILE", conflicts_with = "file", required_unless_present = "file")]
    input: Option<PathBuf>,
    /// The same as `FILE`
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Follow the jobs to their ends; exit with 0 if all succeeded
    #[arg(long, visible_alias = "wait")]
    watch: bool,
    /// Refuse jobs once the documents of all that have not ended, those of others too, are as large together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = crate::fleet::bytes)]
    byte_budget: u64,
    #[command(flatten)]
    at: At,
}

/// What was submitted, for programs.
#[derive(Serialize)]
struct Sent {
    submitted: Vec<One>,
    /// Jobs that may or may not be in the queue: it was not reached any more when they had been sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_doubt: Vec<JobId>,
    /// How they ended, if they were followed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    ends: Option<Jobs>,
}

#[derive(Serialize)]
struct One {
    id: JobId,
    /// It was there before, by its id or key, and was not doubled.
    known: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let path = args.input.as_ref().or(args.file.as_ref()).cloned().unwrap_or_default();
    // Judged before anything connects: what is wrong with it is wrong with every queue.
    let read = args.flags.beside(&path).and_then(|()| input::read(&path));
    let read = read.and_then(|source| Ok((input::jobs(&source, &args.flags)?, source)));
    let (jobs, source) = match read {
        Ok(read) => read,
        Err(findings) => {
            return args.at.common.say(Told::<Sent>::failed(findings, Redactor::default()));
        }
    };
    args.at.with_budget(args.byte_budget).ask(async |queue| {
        if matches!(queue.broker, Any::Legacy(_)) {
            let refused = input::unsayable(&source, &args.flags, &jobs);
            if !refused.is_empty() {
                return Err(refused);
            }
        }
        let told = submit(queue, &jobs).await?;
        if !args.watch || !told.findings.is_empty() {
            return Ok(told);
        }
        let ids: Vec<JobId> =
            told.result.iter().flat_map(|it| &it.submitted).map(|it| it.id.clone()).collect();
        let show = if args.at.common.json { Show::Silent } else { Show::new() };
        if !args.at.common.json {
            // Before the jobs end, which may take long.
            let _ = write!(std::io::stderr(), "{}", queue.redactor.text(&told.talk));
        }
        let ends = follow(queue, &ids, show).await?;
        let result = told.result.map(|it| Sent { ends: ends.result, ..it });
        Ok(Told { result, out: ends.out, talk: ends.talk, findings: ends.findings, ..told })
    })
}

async fn submit(queue: &Queue, jobs: &[Job]) -> Result<Told<Sent>, Vec<Finding>> {
    let (mut submitted, mut in_doubt, mut failed) = (Vec::new(), Vec::new(), None);
    for call in jobs.chunks(CALL) {
        let (told, error) = match queue.broker.submit(call).await {
            Ok(told) => (told, None),
            Err(Error::Full { used, budget, submitted }) => {
                (submitted, Some(Error::Full { used, budget, submitted: vec![] }))
            }
            Err(Error::NoMemory { submitted }) => (submitted, Some(Error::NoMemory { submitted: vec![] })),
            Err(error) => {
                if matches!(error, Error::Unreachable(_)) {
                    in_doubt = call.iter().map(|it| it.id.clone()).collect();
                }
                (vec![], Some(error))
            }
        };
        submitted.extend(
            told.iter().map(|it| One { id: it.id().clone(), known: matches!(it, Submission::Known(_)) }),
        );
        failed = error;
        if failed.is_some() {
            break;
        }
    }
    let out = submitted.iter().fold(String::new(), |out, it| out + it.id.as_str() + "\n");
    let (number, known) = (submitted.len(), submitted.iter().filter(|it| it.known).count());
    let all = count(jobs.len(), "job");
    let done = match (&failed, number) {
        (Some(_), _) => format!("{number} of {all} are in `{}`", queue.name),
        (None, 1) => format!("1 job is in `{}`", queue.name),
        (None, _) => format!("{all} are in `{}`", queue.name),
    };
    let before = match known {
        0 => String::new(),
        1 => "; 1 was there before, by id or key".into(),
        _ => format!("; {known} were there before, by id or key"),
    };
    let mut talk = format!("{done}{before}.\n");
    if !in_doubt.is_empty() {
        talk += "Whether these are too is not known; `roster job status ID` will tell:\n";
        talk.extend(in_doubt.iter().map(|id| format!("  {id}\n")));
    }
    let findings = failed.map(|it| queue.findings(it)).unwrap_or_default();
    Ok(Told { findings, ..queue.answer(Sent { submitted, in_doubt, ends: None }, out, talk) })
}
