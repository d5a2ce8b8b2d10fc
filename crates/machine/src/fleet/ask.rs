//! Asking a supervisor, and saying what it answered.

use std::path::PathBuf;
use std::process::ExitCode;

use planner::{Redactor, Told};
use serde::Serialize;
use spec::notes::{Code, Exit, Finding, Located, Severity};
use spec::source::SourceText;
use supervisor::codes::NOT_UNDERSTOOD;
use supervisor::control::protocol::{Answer, Deed, Ended, Outcome, Refused, Report, Request};
use supervisor::control::{Answers, Client, ClientError};

use super::{Asking, place};
use crate::say::Common;

/// Nothing was done, for these reasons.
pub(super) fn failed(common: &Common, findings: Vec<Finding>) -> ExitCode {
    common.say(Told::<()>::failed(findings, Redactor::default()))
}

/// This was found out.
pub(super) fn told<T: Serialize>(common: &Common, result: T, out: String, exit: Exit) -> ExitCode {
    let (findings, redactor) = (Vec::new(), Redactor::default());
    common.say(Told { result: Some(result), out, talk: String::new(), exit, findings, redactor })
}

/// Asks the supervisor that `socket` names, or the only one.
pub(super) fn ask(socket: Option<PathBuf>, request: Request) -> Result<Answers, Vec<Finding>> {
    let path = place::to_ask(socket).map_err(|it| vec![*it])?;
    Client::connect(&path).and_then(|it| it.ask(request)).map_err(error)
}

/// The next answer; `None` after the last.
pub(super) fn next(answers: &mut Answers) -> Option<Result<Answer, Vec<Finding>>> {
    Some(match answers.next()? {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refused)) => Err(refused.iter().map(finding).collect()),
        Err(it) => Err(error(it)),
    })
}

/// The answers ended before the one that was waited for.
pub(super) fn cut() -> Vec<Finding> {
    error(ClientError::Cut)
}

fn error(error: ClientError) -> Vec<Finding> {
    vec![Finding::error(Located::nowhere(error))]
}

/// A refusal came over the wire, and so by the name of its rule.
fn finding(refused: &Refused) -> Finding {
    let rule = |it: &Code| it.id == refused.code;
    let code = planner::codes::all(crate::say::CODES).into_iter().find(rule).unwrap_or(NOT_UNDERSTOOD);
    Finding {
        code,
        severity: Severity::Error,
        message: refused.message.clone(),
        place: refused.place.as_ref().map(|it| SourceText::open(it, "").at(0..0)),
        label: String::new(),
        fix: refused.fix.clone(),
    }
}

/// Gives an order and says what came of it.
pub(super) fn order(asking: &Asking, request: Request) -> ExitCode {
    let answer = ask(asking.socket.clone(), request).map(|mut it| next(&mut it));
    match answer {
        Err(findings) | Ok(Some(Err(findings))) => failed(&asking.common, findings),
        Ok(Some(Ok(Answer::Report(report)))) => {
            let exit = if report.is_well() { Exit::Ok } else { Exit::Unhealthy };
            let out = text(&report);
            told(&asking.common, report, out, exit)
        }
        Ok(_) => failed(&asking.common, error(ClientError::NotUnderstood { why: "it is no report".into() })),
    }
}

/// What came of an order, a line a process.
pub(super) fn text(report: &Report) -> String {
    let width = report.processes.iter().map(|it| it.process.as_str().len()).max().unwrap_or_default();
    let line = |it: &Outcome| format!("{:<width$}  {}\n", it.process.as_str(), words(it));
    let mut text: String = report.processes.iter().map(line).collect();
    match report.unchanged {
        Some(all) if text.is_empty() => text = format!("Nothing to change: all {all} are as they were.\n"),
        Some(1) => text += "1 other is as it was.\n",
        Some(others @ 2..) => text = format!("{text}{others} others are as they were.\n"),
        Some(0) | None => {}
    }
    text
}

fn words(it: &Outcome) -> String {
    let deed = match it.deed {
        Deed::Started => "started",
        Deed::Stopped => "stopped",
        Deed::Restarted => "restarted",
        Deed::Amended => "amended while it runs",
        Deed::Described => "has a new description, and stays stopped",
        Deed::Signalled => "has the signal",
        Deed::Nothing => "nothing to do",
    };
    let because = match (it.named, it.deed) {
        (false, Deed::Stopped) => ", because it needs what you named",
        (false, Deed::Started) => ", because what you named needs it",
        _ => "",
    };
    let why = it.why.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
    let state = format!("{}{why}", it.state);
    match it.end {
        Ended::Failed => format!("{deed}{because}, and did not come up: it is {state}"),
        Ended::Superseded => {
            format!("{deed}{because}, and then somebody asked for something else: it is {state}")
        }
        Ended::Unknown => format!("to be {deed}{because}: it is {state}"),
        Ended::Well if it.deed == Deed::Nothing => format!("{deed}: it is {state}"),
        Ended::Well if it.deed == Deed::Described => deed.to_owned(),
        Ended::Well if it.state == deed || it.state == "removed" => format!("{}{because}", it.state),
        Ended::Well => format!("{deed}{because}: it is {state}"),
    }
}
