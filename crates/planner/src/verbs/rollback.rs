//! `rollback`: an earlier generation, put back in force bit for bit.

use schemars::JsonSchema;
use serde::Serialize;
use spec::notes::{Exit, Finding, Located};

use crate::answer::Told;
use crate::generations::{GenerationId, Written};
use crate::redact::Redactor;
use crate::run::Run;

/// What a rollback did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RolledBack {
    /// What was in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What is in force.
    pub to: String,
}

pub(crate) fn rollback(run: &Run<'_>, to: Option<&GenerationId>) -> Told<RolledBack> {
    let redactor = Redactor::default();
    match run.store.rollback(to) {
        Err(error) => Told::failed(vec![Finding::error(Located::nowhere(error))], redactor),
        Ok(Written::NoChange(id)) => {
            let talk = format!("Generation {id} is in force already: no change.\n");
            let result = Some(RolledBack { from: Some(id.to_string()), to: id.to_string() });
            Told { result, out: String::new(), talk, exit: Exit::Ok, findings: vec![], redactor }
        }
        Ok(Written::Switched { from, to }) => {
            let before = from.as_ref().map(|it| format!(", instead of {it}")).unwrap_or_default();
            let talk = format!("Generation {to} is in force again{before}.\n");
            let result = Some(RolledBack { from: from.map(|it| it.to_string()), to: to.to_string() });
            Told { result, out: String::new(), talk, exit: Exit::Ok, findings: vec![], redactor }
        }
    }
}
