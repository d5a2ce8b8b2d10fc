//! `compose-profile`: the named machines beside the default one, declared in `config/compose-profiles.json`. The
//! compose file is made anew from what is declared; no other file of yours is touched.

use std::fmt::Write as _;
use std::fs;

use schemars::JsonSchema;
use serde::Serialize;
use spec::ids::{ProfileName, ServiceName};
use spec::notes::{Code, Exit, Fault, Finding, Located};

use crate::answer::Told;
use crate::cli::Hardware;
use crate::layout::{COMPOSE_PROFILES, LayoutError};
use crate::manifest::ComposeProfiles;
use crate::redact::Redactor;
use crate::request::{HardwareChoice, Request};
use crate::run::Run;
use crate::set;
use crate::verbs::env_build;

/// What the command line asks for.
pub(crate) enum Asked {
    List,
    Remove {
        name: ServiceName,
        force: bool,
    },
    Put {
        roster: String,
        name: Option<ServiceName>,
        profile: Option<ProfileName>,
        hardware: Hardware,
        force: bool,
    },
}

impl Asked {
    pub(crate) fn of(
        roster: Option<String>,
        name: Option<ServiceName>,
        profile: Option<ProfileName>,
        remove: Option<ServiceName>,
        list: bool,
        hardware: Hardware,
        force: bool,
    ) -> Self {
        match (remove, roster) {
            (Some(name), _) => Self::Remove { name, force },
            (None, Some(roster)) if !list => Self::Put { roster, name, profile, hardware, force },
            _ => Self::List,
        }
    }
}

/// What was declared, and what became of the files.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Declared {
    /// The named machines.
    pub machines: ComposeProfiles,
    /// The generation in force; absent for `--list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<env_build::Built>,
}

pub(crate) fn compose_profile(run: &Run<'_>, asked: &Asked) -> Told<Declared> {
    let failed = |findings| Told::failed(findings, Redactor::default());
    let mut profiles = match run.compose_profiles() {
        Ok(profiles) => profiles,
        Err(findings) => return failed(findings),
    };
    let force = match asked {
        Asked::List => return list(profiles),
        Asked::Remove { name, force } => {
            if profiles.machines.remove(name).is_none() {
                let existing = profiles.machines.keys().map(ToString::to_string).collect();
                let fault = NamedFault::Absent { name: name.clone(), existing };
                return failed(vec![Finding::error(Located::nowhere(fault))]);
            }
            *force
        }
        Asked::Put { roster, name, profile, hardware, force } => {
            match put(run, &profiles, roster, name.as_ref(), profile.as_ref(), hardware) {
                Ok((name, request)) => profiles.machines.insert(name, request),
                Err(findings) => return failed(findings),
            };
            *force
        }
    };
    profiles.schema.get_or_insert_with(|| "../docs/schemas/compose-profiles.schema.json".into());
    let (setup, default) = match (run.setup(), run.manifest()) {
        (Ok(setup), Ok(manifest)) => (setup, manifest.default),
        (setup, manifest) => {
            return failed([setup.err(), manifest.err()].into_iter().flatten().flatten().collect());
        }
    };
    // Planned and written first: what cannot be planned is not declared either.
    let set = set::build(run, &setup, default.as_ref(), &profiles);
    let told = env_build::write(run, set, force, false);
    let (mut findings, redactor) = (told.findings, told.redactor);
    let Some(built) = told.result else {
        return Told { talk: told.talk, ..Told::failed(findings, redactor) };
    };
    let path = run.layout.root().join(COMPOSE_PROFILES);
    if let Err(source) = replace(&path, &profiles.to_json()) {
        let error = LayoutError::Unwritable { path: COMPOSE_PROFILES.into(), source };
        findings.push(Finding::error(Located::nowhere(error)));
    }
    let mut talk = told.talk;
    if let Asked::Put { .. } = asked {
        for (name, planned) in &profiles.machines {
            let roster = planned.workers.as_deref().unwrap_or("");
            let _ = writeln!(talk, "  docker compose --profile {name} up   {roster}");
        }
    }
    let result = Some(Declared { machines: profiles, built: Some(built) });
    Told { result, out: String::new(), talk, exit: Exit::Ok, findings, redactor }
}

fn replace(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

fn list(profiles: ComposeProfiles) -> Told<Declared> {
    let mut out = String::new();
    for (name, it) in &profiles.machines {
        let profile = it.profile.as_ref().map_or("-", ProfileName::as_str);
        let _ = writeln!(out, "{name}\t{}\t{profile}", it.workers.as_deref().unwrap_or(""));
    }
    let talk = if out.is_empty() { "No named machine is declared.\n".to_owned() } else { String::new() };
    let result = Some(Declared { machines: profiles, built: None });
    Told { result, out, talk, exit: Exit::Ok, findings: vec![], redactor: Redactor::default() }
}

/// The declaration that the command line makes.
fn put(
    run: &Run<'_>,
    declared: &ComposeProfiles,
    roster: &str,
    name: Option<&ServiceName>,
    profile: Option<&ProfileName>,
    hardware: &Hardware,
) -> Result<(ServiceName, Request), Vec<Finding>> {
    let one = |fault| vec![Finding::error(Located::nowhere(fault))];
    let hardware = HardwareChoice::of(hardware, &run.world.directory)?;
    let name = match name {
        Some(name) => name.clone(),
        None => generated_name(roster).ok_or_else(|| one(NamedFault::Unnamed))?,
    };
    // A machine that is declared already keeps its environment.
    let earlier = declared.machines.get(&name).and_then(|it| it.profile.clone());
    let profile = match profile.cloned().or(earlier) {
        Some(profile) => Some(profile),
        None => run.manifest()?.default.and_then(|it| it.profile),
    };
    let profile = profile.ok_or_else(|| one(NamedFault::NoProfile))?;
    Ok((name, Request { profile: Some(profile), workers: Some(roster.to_owned()), hardware }))
}

/// `comfyui:2,openai:4` is `comfyui-2-openai-4`.
fn generated_name(roster: &str) -> Option<ServiceName> {
    let name: String = roster.chars().filter(|it| !it.is_whitespace()).collect();
    name.replace([':', ','], "-").parse().ok()
}

/// A named machine that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum NamedFault {
    #[error("no machine is named `{name}`")]
    Absent { name: ServiceName, existing: Vec<String> },
    #[error("no profile says the environment of the new machine")]
    NoProfile,
    #[error("the roster makes no name for its machine")]
    Unnamed,
}

impl Fault for NamedFault {
    fn code(&self) -> Code {
        NAMED
    }

    fn fix(&self) -> String {
        match self {
            Self::Absent { existing, .. } if existing.is_empty() => "none is declared".into(),
            Self::Absent { existing, .. } => format!("there are: {}", existing.join(", ")),
            Self::NoProfile => "say `--env PROFILE`, or build the default machine first".into(),
            Self::Unnamed => "say `--name NAME`: a-z, 0-9 and -".into(),
        }
    }
}

/// A named machine that cannot be.
pub(crate) const NAMED: Code = Code {
    id: "COMP101",
    title: "a named machine cannot be",
    exit: Exit::Error,
    explanation: "`compose-profile ROSTER` declares a machine beside the default one, in `config/compose-profiles.json`: \
its name is the compose profile, the service, the host and the machine id; its environment is that of a \
profile.\n\nBreaks it: `--remove` of a name that is not declared, or no `--env` while nothing was built yet.\n\nMend it: \
`compose-profile --list` shows what is declared.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_after_its_roster() {
        let named = |roster| generated_name(roster).map(|it| it.to_string());
        assert_eq!(named("comfyui:2, openai:auto").as_deref(), Some("comfyui-2-openai-auto"));
        assert_eq!(named("OpenAI:2"), None);
    }
}
