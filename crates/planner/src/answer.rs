//! What a verb answers: data for standard output, talk for standard error, an exit code.

use schemars::JsonSchema;
use serde::Serialize;
use spec::notes::{Exit, Finding, Severity};

use crate::redact::Redactor;
use crate::report::{self, FindingDocument};

/// The version of every `--json` document.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// A verb's answer. Nothing is printed before it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub talk: String,
    /// For the shell.
    pub exit: Exit,
}

/// The `--json` form of every answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reply<T> {
    /// The version of this form.
    pub schema_version: u32,
    /// The exit code.
    pub exit: u8,
    /// Errors and advice.
    pub findings: Vec<FindingDocument>,
    /// What the verb has to say; absent when errors stand in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
}

/// What a verb found out, in all its forms. The runtime verbs of `roster` answer in this form too.
pub struct Told<T> {
    /// For programs; `None` when errors stand in the way.
    pub result: Option<T>,
    /// For people, on standard output.
    pub out: String,
    /// For people, on standard error, after the findings.
    pub talk: String,
    /// When there is no error.
    pub exit: Exit,
    /// Errors and advice.
    pub findings: Vec<Finding>,
    /// Knows the secrets of the run.
    pub redactor: Redactor,
}

impl<T> Told<T> {
    /// Findings and nothing else.
    pub fn failed(findings: Vec<Finding>, redactor: Redactor) -> Self {
        Self { result: None, out: String::new(), talk: String::new(), exit: Exit::Ok, findings, redactor }
    }
}

/// How an answer is to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// As one JSON document.
    pub json: bool,
    /// Without colour.
    pub plain: bool,
    /// Advice is an error.
    pub strict: bool,
}

impl<T: Serialize> Told<T> {
    /// The answer. Every text passes the redactor, whoever made it.
    pub fn answer(mut self, look: Look) -> Answer {
        if look.strict {
            self.findings.iter_mut().for_each(|it| it.severity = Severity::Error);
        }
        let exit = exit_of(&self.findings).unwrap_or(self.exit);
        let clean = |text: &str| self.redactor.text(text);
        if look.json {
            let findings = self.findings.iter().map(|it| FindingDocument::of(it, &self.redactor)).collect();
            let reply =
                Reply { schema_version: SCHEMA_VERSION, exit: exit.code(), findings, result: self.result };
            let text = serde_json::to_string_pretty(&reply).unwrap_or_default() + "\n";
            return Answer { out: clean(&text), talk: String::new(), exit };
        }
        let findings = report::render(&self.findings, &self.redactor, look.plain);
        let gap = if findings.is_empty() || self.talk.is_empty() { "" } else { "\n" };
        Answer { out: clean(&self.out), talk: clean(&format!("{findings}{gap}{}", self.talk)), exit }
    }
}

/// The exit code of a run with these findings; `None` without an error. An input that is wrong weighs more than a roster
/// that does not fit, and that more than a value that is missing: the first must be mended first.
pub(crate) fn exit_of(findings: &[Finding]) -> Option<Exit> {
    findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.exit).min()
}
