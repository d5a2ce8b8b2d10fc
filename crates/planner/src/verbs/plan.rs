//! `plan` and `ecosystem`: what would be, written nowhere.

use ecosystem::Ecosystem;
use spec::notes::Exit;

use crate::answer::Told;
use crate::cli::Flags;
use crate::document::PlanDocument;
use crate::pipeline::{self, Identity, Outcome};
use crate::redact::Redactor;
use crate::run::Run;
use crate::table;

/// The plan of a profile or roster. It is shown even when a value is missing: what runs where does not hang on it.
pub(crate) fn plan(run: &Run<'_>, flags: &Flags) -> Told<PlanDocument> {
    let outcome = match outcome(run, flags) {
        Ok(outcome) => outcome,
        Err(told) => return told,
    };
    let Outcome { planned, findings, redactor, .. } = outcome;
    let Some(planned) = planned else { return Told::failed(findings, redactor) };
    let out = table::render(&planned.document);
    let talk = "Nothing was written.\n".to_owned();
    Told { result: Some(planned.document), out, talk, exit: Exit::Ok, findings, redactor }
}

/// The processes of a profile or roster.
pub(crate) fn ecosystem(run: &Run<'_>, flags: &Flags) -> Told<Ecosystem> {
    let outcome = match outcome(run, flags) {
        Ok(outcome) => outcome,
        Err(told) => return told,
    };
    let Outcome { planned, findings, redactor, .. } = outcome;
    let Some(planned) = planned else { return Told::failed(findings, redactor) };
    let ecosystem = planned.ecosystem;
    let out = ecosystem.to_json();
    Told { result: Some(ecosystem), out, talk: String::new(), exit: Exit::Ok, findings, redactor }
}

fn outcome<T>(run: &Run<'_>, flags: &Flags) -> Result<Outcome, Told<T>> {
    let failed = |findings| Told::failed(findings, Redactor::default());
    let setup = run.setup().map_err(failed)?;
    let request = run.request(flags).map_err(failed)?;
    Ok(pipeline::plan(&setup, &request, &Identity::Default, false))
}
