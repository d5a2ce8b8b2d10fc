//! Jobs as they are submitted on the command line: read from a file or standard input, completed by flags, and judged by
//! the broker's own door. Everything that is wrong is told at once, and nothing of the input is quoted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::{
    CustomerId, IdempotencyKey, Job, JobId, LimitKey, MAX_PRIORITY, Refusal, Requirements, Why, legacy,
};
use spec::ids::JobType;
use spec::json::{self, JsonIndex};
use spec::notes::{Code, Fault, Finding, Located, errors};
use spec::source::{Place, SourceText};

use crate::codes;

/// The most faults of one input that are told. Each costs a look for its line.
const MOST: usize = 100;

/// What the flags say of every job of the input. They win over its documents.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Flags {
    /// The input is payloads for this service, not job documents
    #[arg(long, value_name = "SERVICE")]
    service: Option<JobType>,
    /// Higher goes first; 0 by default, within ±1000. One point is worth a minute of waiting
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Not before so long: `90s`, `5m`, `2h`, `1d`, `250ms`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<Duration>,
    /// How long one attempt may take; `1h` by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// How often it may fail; 3 by default
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// How long its result is kept; `1d` by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    result_ttl: Option<Duration>,
    /// Its id; left out, a fresh one. A job whose id is known is not doubled
    #[arg(long, value_name = "ID")]
    id: Option<JobId>,
    /// Its idempotency key: a job whose key is known is not doubled
    #[arg(long, value_name = "KEY")]
    key: Option<IdempotencyKey>,
    /// Whose it is
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<CustomerId>,
    /// The key whose limit it is under
    #[arg(long, value_name = "KEY")]
    limit_key: Option<LimitKey>,
    /// A file with what its worker has to have: `{"hardware": {"gpu_memory_gb": 16}, "models": ["sdxl"]}`
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
}

/// What is wrong with an input beside what is wrong with its documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InputFault {
    #[error("the input cannot be read: {0}")]
    Unreadable(String),
    #[error("the input is not UTF-8 from here on")]
    NotUnicode,
    #[error("the input holds no job")]
    Empty,
    #[error(
        "this is a job document, for it has `service_required`, but `--service` says that it is a payload"
    )]
    Document,
    #[error("`{flag}` names one job, but the input has several")]
    Several { flag: &'static str },
    #[error("{what} is that of another job of the input, in line {line}, which is not the same job")]
    Taken { what: &'static str, line: usize },
    #[error("standard input cannot be the jobs and their requirements")]
    Twice,
    #[error("the input is read only this far, for more than {MOST} things are wrong with it")]
    Enough,
}

impl Fault for InputFault {
    fn code(&self) -> Code {
        codes::INPUT
    }

    fn fix(&self) -> String {
        match self {
            Self::Unreadable(_) => "say a file that is there, or `-` for standard input".into(),
            Self::NotUnicode => "save it as UTF-8".into(),
            Self::Empty => "write a job document, or a payload with `--service`".into(),
            Self::Document => "leave `--service` out, or take `service_required` out of the payload".into(),
            Self::Several { flag } => format!("leave `{flag}` out, and write it into the documents"),
            Self::Taken { .. } => "give each job its own, or leave one of them out".into(),
            Self::Twice => "name a file for one of them".into(),
            Self::Enough => "mend those first".into(),
        }
    }
}

fn finding(place: Place, fault: InputFault) -> Finding {
    Finding::error(Located::at(place, fault))
}

/// The input: a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<SourceText, Vec<Finding>> {
    let mut bytes = Vec::new();
    let (name, read) = if path.as_os_str() == "-" {
        ("standard input".into(), std::io::stdin().read_to_end(&mut bytes).map(drop))
    } else {
        (path.display().to_string(), std::fs::read(path).map(|it| bytes = it))
    };
    if let Err(error) = read {
        let fault = InputFault::Unreadable(error.to_string());
        return Err(vec![finding(SourceText::guarded(name, "").whole(), fault)]);
    }
    String::from_utf8(bytes).map(|text| SourceText::guarded(name.as_str(), text)).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let source = SourceText::guarded(name, String::from_utf8_lossy(&error.as_bytes()[..valid]));
        vec![finding(source.at(valid..valid), InputFault::NotUnicode)]
    })
}

/// The jobs of an input, or every reason why it is refused.
pub(super) fn jobs(source: &SourceText, flags: &Flags) -> Result<Vec<Job>, Vec<Finding>> {
    // Once, not once for every document.
    let (requirements, mut findings) = flags.judged();
    let (mut jobs, mut known, mut number) = (Vec::new(), Known::default(), 0);
    for document in json::documents(source) {
        number += 1;
        let read = document
            .map_err(|faults| errors(faults.into_iter().take(MOST + 1).map(Refusal::json)))
            .and_then(|index| Ok((flags.job(&index)?, index)));
        match read {
            Ok((job, index)) => {
                let job = flags.onto(job, requirements.as_ref());
                findings.extend(known.taken(&job, &index, &jobs));
                jobs.push(job);
            }
            Err(more) => findings.extend(more),
        }
        if enough(&mut findings) {
            break;
        }
    }
    if number == 0 {
        findings.push(finding(source.whole(), InputFault::Empty));
    }
    let named = [("--id", flags.id.is_some()), ("--key", flags.key.is_some())];
    if let Some((flag, _)) = named.into_iter().find(|(_, said)| *said && number > 1) {
        findings.push(finding(source.whole(), InputFault::Several { flag }));
    }
    if findings.is_empty() { Ok(jobs) } else { Err(findings) }
}

/// What of the jobs of an input a legacy queue has no words for. It judges a call at a time, and a large input is several.
pub(super) fn unsayable(source: &SourceText, flags: &Flags, jobs: &[Job]) -> Vec<Finding> {
    let documents = json::documents(source).filter_map(Result::ok);
    let refused = documents.zip(jobs).flat_map(|(document, job)| {
        let refusals = legacy::judge(job).err().unwrap_or_default().into_iter();
        let located = |it: Refusal| match flags.service {
            // It is a flag that says so, and not the payload.
            Some(_) => Located { fault: it, place: document.value("") },
            None => it.within(&document),
        };
        refusals.map(located).collect::<Vec<_>>()
    });
    let mut findings = errors(refused.take(MOST + 1));
    enough(&mut findings);
    findings
}

/// Whether so many findings are there that no more are looked for; then it is said.
fn enough(findings: &mut Vec<Finding>) -> bool {
    let many = findings.len() > MOST;
    findings.truncate(MOST);
    if let Some(place) = findings.last().and_then(|it| it.place.clone()).filter(|_| many) {
        findings.push(finding(place, InputFault::Enough));
    }
    many
}

/// The jobs of an input that say their id or key: by its pointer and itself, their number, and where it stands.
#[derive(Default)]
struct Known(HashMap<(&'static str, String), (usize, Place)>);

impl Known {
    /// What a job says of itself that another one of these jobs has said, which the queue would take for it.
    fn taken(&mut self, job: &Job, document: &JsonIndex, jobs: &[Job]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let key = job.idempotency_key.as_ref().map(IdempotencyKey::as_str);
        for (pointer, what, text) in
            [("/id", "the id", Some(job.id.as_str())), ("/idempotency_key", "the idempotency key", key)]
        {
            let (Some(place), Some(text)) = (document.value(pointer), text) else { continue };
            match self.0.entry((pointer, text.into())) {
                Entry::Vacant(slot) => drop(slot.insert((jobs.len(), place))),
                Entry::Occupied(slot) => {
                    let (number, first) = slot.get();
                    let known = &jobs[*number];
                    if *known != job.clone().id(known.id.clone()) {
                        let line = first.line_column().0;
                        findings.push(finding(place, InputFault::Taken { what, line }));
                    }
                }
            }
        }
        findings
    }
}

impl Flags {
    /// Whether they leave this input to the jobs: standard input can be read once.
    pub(super) fn beside(&self, input: &Path) -> Result<(), Vec<Finding>> {
        let stdin = Path::new("-");
        if input == stdin && self.requirements.as_deref() == Some(stdin) {
            return Err(vec![finding(SourceText::guarded("the flags", "").whole(), InputFault::Twice)]);
        }
        Ok(())
    }

    /// The requirements that they name, and what is wrong with what they say, whatever the input is.
    fn judged(&self) -> (Option<Requirements>, Vec<Finding>) {
        let mut findings = Vec::new();
        if let Ok(service) = "any".parse() {
            let mut refused = self.onto(Job::new(service), None).check().err().unwrap_or_default();
            if let Some(found) = self.priority.filter(|it| i16::try_from(*it).is_err()) {
                let most = i64::from(MAX_PRIORITY);
                let why = Why::Range { found: found.into(), least: -most, most };
                refused.push(Refusal { at: "/priority".into(), why });
            }
            let place = SourceText::guarded("the flags", "").whole();
            findings.extend(errors(refused.into_iter().map(|it| Located::at(place.clone(), it))));
        }
        let read = self.requirements.as_deref().map(requirements).transpose();
        (read.map_err(|more| findings.extend(more)).ok().flatten(), findings)
    }

    /// The job of one document of the input: what it says, or for a service with the payload that it is.
    fn job(&self, document: &JsonIndex) -> Result<Job, Vec<Finding>> {
        let Some(service) = &self.service else { return Job::of(document).map_err(errors) };
        match document.key("/service_required") {
            Some(place) => Err(vec![finding(place, InputFault::Document)]),
            None => Job::new(service.clone()).payload_of(document).map_err(errors),
        }
    }

    /// A job with what they say.
    fn onto(&self, job: Job, requirements: Option<&Requirements>) -> Job {
        Job {
            priority: self.priority.and_then(|it| it.try_into().ok()).unwrap_or(job.priority),
            delay: self.delay.unwrap_or(job.delay),
            timeout: self.timeout.unwrap_or(job.timeout),
            max_attempts: self.attempts.unwrap_or(job.max_attempts),
            result_ttl: self.result_ttl.unwrap_or(job.result_ttl),
            id: self.id.clone().unwrap_or(job.id),
            idempotency_key: self.key.clone().or(job.idempotency_key),
            customer: self.customer.clone().or(job.customer),
            limit_key: self.limit_key.clone().or(job.limit_key),
            requirements: requirements.cloned().unwrap_or(job.requirements),
            ..job
        }
    }
}

/// Requirements in a file of their own.
fn requirements(path: &Path) -> Result<Requirements, Vec<Finding>> {
    let source = read(path)?;
    let index =
        json::index(&source).map_err(|faults| errors(faults.into_iter().take(MOST).map(Refusal::json)))?;
    Requirements::of(&index).map_err(errors)
}

/// `90s`, `5m`, `2h`, `1d`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number with its unit: `250ms`, `90s`, `5m`, `2h`, `1d`".to_owned();
    let digits = text.find(|it: char| !it.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
