//! Which roster it is, of all the places that can say one.

use env_builder::pool::Pool;
use spec::grammar::{self, Entry};
use spec::notes::{Code, Exit, Fault, Finding, Located, errors};
use spec::source::Place;

use super::derived::{ROSTER, ROSTER_ALIAS, SettingFault, key, located};
use crate::profile::Profile;
use crate::request::{Request, spec_source};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RosterChoice {
    #[error("no roster is said")]
    Unsaid,
    #[error("the profile says one roster in `workers`, and `WORKER_CONNECTORS` another")]
    Two,
}

impl Fault for RosterChoice {
    fn code(&self) -> Code {
        match self {
            Self::Unsaid => UNSAID,
            Self::Two => TWO,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Unsaid => {
                "add `\"worker\": \"<section>\"` to the profile's `components`, or `\"workers\": \"comfyui:2\"`, or say `--spec`"
            }
            Self::Two => "keep one of them",
        }
        .to_owned()
    }
}

/// `--spec` wins; else the pool's `WORKER_CONNECTORS` (or `WORKERS`), else the profile's `workers`. Two that differ are
/// an error, never a choice. The entries that were understood; `None` when there is no text to read.
pub(super) fn read(
    request: &Request,
    profile: Option<&Profile>,
    pool: &Pool,
    findings: &mut Vec<Finding>,
) -> Option<Vec<Entry>> {
    let place = match &request.workers {
        Some(text) => {
            let source = spec_source(text);
            source.at(0..text.len())
        }
        None => chosen(profile, pool, findings)?,
    };
    let entries = match grammar::parse_at(&place) {
        Ok(roster) => roster.entries().to_vec(),
        Err(faults) => {
            findings.extend(errors(faults.faults));
            faults.understood
        }
    };
    Some(entries)
}

fn chosen(profile: Option<&Profile>, pool: &Pool, findings: &mut Vec<Finding>) -> Option<Place> {
    let (canonical, alias) = (key(ROSTER), key(ROSTER_ALIAS));
    let said = pool.get(&canonical).map(|it| (it, &canonical));
    let older = pool.get(&alias).map(|it| (it, &alias));
    if let (Some((one, _)), Some((other, alias))) = (said, older)
        && one.value() != other.value()
    {
        let fault = SettingFault::Alias { alias: alias.clone(), canonical: canonical.clone() };
        findings.push(Finding::error(located(other, alias, fault)));
        return None;
    }
    let in_profile = profile.filter(|it| it.document().workers.is_some());
    match (said.or(older), in_profile) {
        (Some((value, key)), None) => Some(value.reading(key)),
        (Some((value, key)), Some(profile)) => {
            if profile.document().workers.as_ref() == Some(value.value().expose()) {
                return Some(value.reading(key));
            }
            findings.push(Finding::error(Located::at(profile.place("/workers"), RosterChoice::Two)));
            None
        }
        (None, Some(profile)) => profile.text_place("/workers").or_else(|| {
            let text = profile.document().workers.clone().unwrap_or_default();
            let source =
                spec::source::SourceText::open(format!("{} `workers`", profile.source.name()), text.as_str());
            Some(source.at(0..text.len()))
        }),
        (None, None) => {
            // A fault of the variable itself has been told: then it is not unsaid.
            if pool.chain(&canonical).is_empty() {
                let place = profile.map(|it| it.place("/components"));
                findings.push(Finding::error(Located { fault: RosterChoice::Unsaid, place }));
            }
            None
        }
    }
}

/// No roster.
pub(super) const UNSAID: Code = Code {
    id: "ROST001",
    title: "no roster is said",
    exit: Exit::Error,
    explanation: "A plan starts from a roster: `comfyui:2,openai:4`. It comes from `--spec`, from the variable \
`WORKER_CONNECTORS` (usually published by the component `worker`), or from the profile's `workers`. No default is ever \
taken.\n\nBreaks it: a profile without `components.worker` and without `workers`.\n\nMend it: add one of them.",
};

/// Two rosters.
pub(super) const TWO: Code = Code {
    id: "ROST002",
    title: "two rosters are said",
    exit: Exit::Error,
    explanation: "When the profile's `workers` and `WORKER_CONNECTORS` differ, nobody can know which one is \
meant.\n\nBreaks it: `\"workers\": \"comfyui:1\"` beside `\"worker\": \"mixed-workload\"`.\n\nMend it: keep one; \
`--spec` replaces either for one run.",
};
