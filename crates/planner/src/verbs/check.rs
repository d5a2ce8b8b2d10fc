//! `check`: everything that can be seen to be wrong without writing or starting anything.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use spec::ids::ProfileName;
use spec::notes::{Exit, Finding, Located, Severity, errors};

use crate::answer::Told;
use crate::cli::Flags;
use crate::manifest::ComposeProfiles;
use crate::redact::Redactor;
use crate::request::Request;
use crate::run::Run;
use crate::set;

/// What was checked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// The profiles.
    pub profiles: Vec<String>,
    /// The findings of each that are errors, by profile.
    pub errors: usize,
    /// And those that are advice.
    pub advice: usize,
}

/// Checks the mapping, every component and interface, the chosen profile or all of them, the named machines, and that
/// the generation in force was not edited.
pub(crate) fn check(run: &Run<'_>, flags: &Flags) -> Told<Checked> {
    let mut redactor = Redactor::default();
    let mut findings = documents(run);
    let (asked, setup) = match (Request::of(flags, &run.world.directory), run.setup()) {
        (Ok(asked), Ok(setup)) => (asked, setup),
        (asked, setup) => {
            findings.extend([asked.err(), setup.err()].into_iter().flatten().flatten());
            return Told::failed(findings, redactor);
        }
    };
    let profiles: Vec<Option<ProfileName>> = match (&asked.profile, &asked.workers) {
        (None, None) => run.layout.profiles().into_iter().map(Some).collect(),
        (profile, _) => vec![profile.clone()],
    };
    let named = run.compose_profiles().unwrap_or_else(|found| {
        findings.extend(found);
        ComposeProfiles::default()
    });
    for (index, profile) in profiles.iter().enumerate() {
        let request = Request { profile: profile.clone(), ..asked.clone() };
        // The named machines are the same beside each profile: they are planned once.
        let beside = if index == 0 { named.clone() } else { ComposeProfiles::default() };
        let set = set::build(run, &setup, Some(&request), &beside);
        redactor.merge(set.redactor);
        findings.extend(set.findings);
    }
    if let Err(error) = run.store.verify() {
        findings.push(Finding::error(Located::nowhere(error)));
    }
    dedup(&mut findings);
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let (wrong, advice) = (count(Severity::Error), count(Severity::Advice));
    let checked: Vec<String> = profiles.iter().flatten().map(ToString::to_string).collect();
    let what = if checked.is_empty() { "the roster".to_owned() } else { checked.join(", ") };
    let talk = format!("Checked {what}: {wrong} errors, {advice} advice. Nothing was written.\n");
    let result = Some(Checked { profiles: checked, errors: wrong, advice });
    Told { result, out: String::new(), talk, exit: Exit::Ok, findings, redactor }
}

/// Documents that no profile may name, and so nothing else reads.
fn documents(run: &Run<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in run.layout.components() {
        match component {
            Err(error) => findings.push(Finding::error(Located::nowhere(error))),
            Ok((name, source)) => {
                findings.extend(
                    env_builder::component::parse(name, &source).err().map(errors).unwrap_or_default(),
                );
            }
        }
    }
    for name in run.layout.interfaces() {
        match run.layout.interface(&name) {
            Err(error) => findings.push(Finding::error(Located::nowhere(error))),
            Ok(source) => {
                findings.extend(env_builder::interface::read(name, &source).err().unwrap_or_default());
            }
        }
    }
    findings
}

fn dedup(findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    findings.retain(|it| {
        let place = it.place.as_ref().map(ToString::to_string);
        seen.insert((it.code.id, it.message.clone(), place))
    });
}
