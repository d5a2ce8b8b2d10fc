//! Jobs as they are submitted on the command line: read from a file or standard input, completed by flags, and judged by
//! the broker's own door. Everything that is wrong is told at once, and nothing of the input is quoted.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::{CustomerId, IdempotencyKey, Job, JobId, LimitKey, Requirements};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use spec::ids::JobType;
use spec::notes::{Code, Fault, Finding, Located, errors};
use spec::source::SourceText;

use crate::codes;

/// The field of a job document without which it is none.
const SERVICE: &str = "service_required";

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

/// What is wrong with an input as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InputFault {
    #[error("the input cannot be read: {0}")]
    Unreadable(String),
    #[error("the input is not UTF-8")]
    NotUnicode,
    #[error("the input is not JSON: {0}")]
    NotJson(String),
    #[error("the input holds no job")]
    Empty,
    #[error(
        "this is a job document, for it has `service_required`, but `--service` says that it is a payload"
    )]
    Document,
    #[error("`{flag}` names one job, but the input has {found}")]
    Several { flag: &'static str, found: usize },
}

impl Fault for InputFault {
    fn code(&self) -> Code {
        codes::INPUT
    }

    fn fix(&self) -> String {
        match self {
            Self::Unreadable(_) => "say a file that is there, or `-` for standard input".into(),
            Self::NotUnicode | Self::NotJson(_) => {
                "write one JSON document, an array of them, or one a line".into()
            }
            Self::Empty => "write a job document, or a payload with `--service`".into(),
            Self::Document => "leave `--service` out, or take `service_required` out of the payload".into(),
            Self::Several { flag, .. } => format!("leave `{flag}` out, and write it into the documents"),
        }
    }
}

fn finding(source: &SourceText, fault: InputFault) -> Vec<Finding> {
    vec![Finding::error(Located::at(source.whole(), fault))]
}

/// The input: a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<SourceText, Vec<Finding>> {
    let mut bytes = Vec::new();
    let (name, read) = if path.as_os_str() == "-" {
        ("standard input".into(), std::io::stdin().read_to_end(&mut bytes).map(drop))
    } else {
        (path.display().to_string(), std::fs::read(path).map(|it| bytes = it))
    };
    let wrong = |fault| finding(&SourceText::guarded(name.clone(), ""), fault);
    read.map_err(|error| wrong(InputFault::Unreadable(error.to_string())))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(InputFault::NotUnicode))?;
    Ok(SourceText::guarded(name, text))
}

/// The jobs of an input, or every reason why it is refused.
pub(super) fn jobs(source: &SourceText, flags: &Flags) -> Result<Vec<Job>, Vec<Finding>> {
    let (documents, said) = match (documents(source), flags.document()) {
        (Ok(documents), Ok(said)) => (documents, said),
        (documents, said) => {
            return Err([documents.err(), said.err()].into_iter().flatten().flatten().collect());
        }
    };
    // Once, not once for every document.
    let wrong = Flags::judged(&said);
    let said = if wrong.is_empty() { said } else { said.into_iter().filter(|it| it.0 == SERVICE).collect() };
    let named = [("--id", flags.id.is_some()), ("--key", flags.key.is_some())];
    if let Some((flag, _)) = named.iter().find(|(_, said)| *said && documents.len() > 1) {
        return Err(finding(source, InputFault::Several { flag, found: documents.len() }));
    }
    let (mut jobs, mut findings) = (Vec::new(), wrong);
    for raw in documents {
        // Where it stands in the text that it is a part of.
        let start = raw.as_ptr() as usize - source.text().as_ptr() as usize;
        let place = || source.at(start..start + raw.len());
        match document(raw, flags.service.is_some(), &said) {
            Err(fault) => findings.push(Finding::error(Located::at(place(), fault))),
            Ok(text) => match Job::read(&text) {
                Ok(job) => jobs.push(job),
                Err(refusals) => {
                    findings.extend(errors(refusals.into_iter().map(|it| Located::at(place(), it))));
                }
            },
        }
    }
    if findings.is_empty() { Ok(jobs) } else { Err(findings) }
}

/// The JSON texts of an input: one, the members of one array, or several behind each other.
fn documents(source: &SourceText) -> Result<Vec<&str>, Vec<Finding>> {
    let wrong = |error: serde_json::Error| {
        // Its words end with line and column.
        finding(source, InputFault::NotJson(error.to_string()))
    };
    let read = serde_json::Deserializer::from_str(source.text()).into_iter::<&RawValue>();
    let mut texts = read.map(|it| it.map(RawValue::get)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if let [one] = texts[..]
        && one.starts_with('[')
    {
        let members: Vec<&RawValue> = serde_json::from_str(one).map_err(wrong)?;
        texts = members.into_iter().map(RawValue::get).collect();
    }
    if texts.is_empty() { Err(finding(source, InputFault::Empty)) } else { Ok(texts) }
}

/// The job document of one text of the input. Text that is no object is left to the broker to refuse.
fn document(raw: &str, payload: bool, said: &Map<String, Value>) -> Result<String, InputFault> {
    let object = serde_json::from_str::<Map<String, Value>>(raw).ok();
    if !payload {
        return Ok(match object {
            Some(object) if !said.is_empty() => {
                Value::Object(object.into_iter().chain(said.clone()).collect()).to_string()
            }
            _ => raw.into(),
        });
    }
    if object.is_some_and(|it| it.contains_key(SERVICE)) {
        return Err(InputFault::Document);
    }
    let said = Value::Object(said.clone()).to_string();
    Ok(format!("{},\"payload\":{raw}}}", said.strip_suffix('}').unwrap_or_default()))
}

impl Flags {
    /// What is wrong with what they say, whatever the input is.
    fn judged(said: &Map<String, Value>) -> Vec<Finding> {
        let mut job = said.clone();
        job.entry(SERVICE).or_insert_with(|| json!("any"));
        let refused = Job::read(&Value::Object(job).to_string()).err().unwrap_or_default();
        let place = SourceText::guarded("the flags", "").whole();
        errors(refused.into_iter().map(|it| Located::at(place.clone(), it)))
    }

    /// What they say, as a part of a job document.
    fn document(&self) -> Result<Map<String, Value>, Vec<Finding>> {
        let ms = |it: Duration| json!(u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let text = |it: &str| json!(it);
        let requirements = self.requirements.as_deref().map(requirements).transpose()?;
        let said = [
            (SERVICE, self.service.as_ref().map(|it| text(it.as_str()))),
            ("priority", self.priority.map(|it| json!(it))),
            ("delay_ms", self.delay.map(ms)),
            ("timeout_ms", self.timeout.map(ms)),
            ("max_attempts", self.attempts.map(|it| json!(it))),
            ("result_ttl_ms", self.result_ttl.map(ms)),
            ("id", self.id.as_ref().map(|it| text(it.as_str()))),
            ("idempotency_key", self.key.as_ref().map(|it| text(it.as_str()))),
            ("customer", self.customer.as_ref().map(|it| text(it.as_str()))),
            ("limit_key", self.limit_key.as_ref().map(|it| text(it.as_str()))),
            ("requirements", requirements),
        ];
        Ok(said.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?))).collect())
    }
}

/// Requirements in a file of their own.
fn requirements(path: &Path) -> Result<Value, Vec<Finding>> {
    let source = read(path)?;
    let document: Value = serde_json::from_str(source.text())
        .map_err(|error| finding(&source, InputFault::NotJson(error.to_string())))?;
    let refused = |refusals: Vec<broker::Refusal>| {
        errors(refusals.into_iter().map(|it| Located::at(source.whole(), it)))
    };
    Requirements::read(&document).map_err(refused)?;
    Ok(document)
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
