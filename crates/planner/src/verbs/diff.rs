//! `diff`: what `env-build` would change, or how two profiles differ. By what runs and what it is given, not by lines.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use spec::dotenv;
use spec::ids::ProfileName;
use spec::notes::Exit;
use spec::source::SourceText;

use crate::answer::Told;
use crate::cli::Flags;
use crate::document::{DevicePart, PlanDocument};
use crate::generations::Artefacts;
use crate::redact::Redactor;
use crate::request::Request;
use crate::run::Run;
use crate::set;

/// The differences, in the order in which they are shown.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference {
    /// Each change.
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// `add`, `change` or `remove`.
    pub action: Action,
    /// `machine`, `service`, `worker`, `variable`, `secret` or `file`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What changes about it, old and new; empty for a secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What happens to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It comes.
    Add,
    /// It stays and is different.
    Change,
    /// It goes.
    Remove,
}

pub(crate) fn diff(run: &Run<'_>, flags: &Flags, against: Option<&ProfileName>) -> Told<Difference> {
    let (setup, request, profiles) = match run.project(flags) {
        Ok(project) => project,
        Err(findings) => return Told::failed(findings, Redactor::default()),
    };
    let new = set::build(run, &setup, Some(&request), &profiles);
    let (mut findings, mut redactor) = (new.findings, new.redactor);
    let old = match against {
        None => match run.store.load_current() {
            Ok(artefacts) => Some(artefacts),
            Err(error) => {
                findings.push(spec::notes::Finding::error(spec::notes::Located::nowhere(error)));
                None
            }
        },
        Some(profile) => {
            let request =
                Request { profile: Some(profile.clone()), workers: None, hardware: request.hardware.clone() };
            let other = set::build(run, &setup, Some(&request), &profiles);
            findings.extend(other.findings);
            redactor.merge(other.redactor);
            other.artefacts
        }
    };
    let (Some(old), Some(new)) = (old, new.artefacts) else { return Told::failed(findings, redactor) };
    let changes = changes(&old, &new);
    let out: String = changes.iter().map(line).collect();
    let count = |action| changes.iter().filter(|it| it.action == action).count();
    let (add, change, remove) = (count(Action::Add), count(Action::Change), count(Action::Remove));
    let talk = if changes.is_empty() {
        "No change. Nothing was written.\n".to_owned()
    } else {
        format!("{add} to add, {change} to change, {remove} to remove. Nothing was written.\n")
    };
    let exit = if changes.is_empty() { Exit::Ok } else { Exit::Changes };
    Told { result: Some(Difference { changes }), out, talk, exit, findings, redactor }
}

fn line(it: &Change) -> String {
    let sign = match it.action {
        Action::Add => '+',
        Action::Change => '~',
        Action::Remove => '-',
    };
    let detail = if it.detail.is_empty() { String::new() } else { format!("  {}", it.detail) };
    format!("{sign} {:<8} {}{detail}\n", it.kind, it.name)
}

/// Everything that differs: things by name, then files whose difference no thing explains.
pub(crate) fn changes(old: &Artefacts, new: &Artefacts) -> Vec<Change> {
    let (before, after) = (things(old), things(new));
    let mut changes = Vec::new();
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (action, detail) = match (before.get(key), after.get(key)) {
            (None, Some(it)) => (Action::Add, it.clone()),
            (Some(_), None) => (Action::Remove, String::new()),
            (Some(one), Some(other)) if one != other => (Action::Change, format!("{one} => {other}")),
            _ => continue,
        };
        let (kind, name) = key;
        let detail = if *kind == Kind::Secret { String::new() } else { detail };
        changes.push(Change { action, kind: kind.word().to_owned(), name: name.clone(), detail });
    }
    let paths: BTreeSet<&str> = old.iter().chain(new.iter()).map(|(path, _)| path).collect();
    for path in paths {
        let action = match (old.get(path), new.get(path)) {
            (None, Some(_)) => Action::Add,
            (Some(_), None) => Action::Remove,
            (Some(one), Some(other)) if one != other => Action::Change,
            _ => continue,
        };
        changes.push(Change { action, kind: "file".into(), name: path.to_owned(), detail: String::new() });
    }
    changes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Machine,
    Service,
    Worker,
    Variable,
    Secret,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Service => "service",
            Self::Worker => "worker",
            Self::Variable => "variable",
            Self::Secret => "secret",
        }
    }
}

/// What a set says, by kind and name, each with what people would want to compare. A secret's value is compared by the
/// caller as text and never shown.
fn things(artefacts: &Artefacts) -> BTreeMap<(Kind, String), String> {
    let mut found = BTreeMap::new();
    for (path, artefact) in artefacts.iter() {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let of = |name: &str| match folder.strip_prefix("machines/") {
            Some(machine) => format!("{}: {name}", machine.split('/').next().unwrap_or_default()),
            None => name.to_owned(),
        };
        let text = String::from_utf8_lossy(&artefact.bytes);
        if folder == "secrets" || folder.ends_with("/secrets") {
            found.insert((Kind::Secret, of(name)), text.into_owned());
        } else if name == ".env" {
            let entries = dotenv::parse(&SourceText::guarded(path, text)).unwrap_or_default();
            found.extend(entries.into_iter().map(|it| ((Kind::Variable, of(it.key.as_str())), it.value)));
        } else if let Some(plan) =
            (name == "plan.json").then(|| serde_json::from_str::<PlanDocument>(&text).ok()).flatten()
        {
            found.insert((Kind::Machine, of(&plan.machine)), machine(&plan));
            for it in &plan.services {
                let ports: Vec<String> = it.ports.values().map(ToString::to_string).collect();
                let place = it.device.clone().unwrap_or_else(|| "cpu".into());
                found.insert((Kind::Service, of(&it.name)), format!("{place} port {}", ports.join(", ")));
            }
            for it in &plan.workers {
                let target = it.works_on.clone().unwrap_or_else(|| it.service.clone());
                found.insert((Kind::Worker, of(&it.name)), format!("-> {target}"));
            }
        }
    }
    found
}

fn machine(plan: &PlanDocument) -> String {
    // An index alone, `gpus 0`, would read like a number of cards.
    let shown =
        |it: &DevicePart| if it.identity.parse::<u16>().is_ok() { &it.name } else { &it.identity }.clone();
    let devices: Vec<String> = plan.inventory.devices.iter().map(shown).collect();
    let gpus = if devices.is_empty() { "none".to_owned() } else { devices.join(",") };
    format!("image {} gpus {gpus} health port {}", plan.build_stage, plan.health_port)
}
