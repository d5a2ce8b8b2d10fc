//! `roster config`: the settings, and what each of them is here and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use planner::cli::EXIT_CODES;
use planner::{Redactor, Told};
use serde::Serialize;
use spec::ids::EnvKey;
use spec::notes::Exit;

use super::settings::{Reader, is_secret};
use super::{Loaded, Which, table};
use crate::say::{Common, world};

/// List the settings of a machine that runs, or say what each of them is here and where that stands
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verb {
    /// What each is here, and every place that sets it
    #[arg(long)]
    resolved: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

/// One setting or variable.
#[derive(Debug, Serialize)]
struct Row {
    key: String,
    /// Absent when it is not set; `[redacted]` for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Where it stands.
    source: String,
    /// What stands there, where this place makes something else of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<String>,
    /// The places that set it in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    over: Vec<Over>,
    /// What the machine needs it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'static str>,
    /// The processes that are given it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    given_to: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
struct Over {
    source: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Known {
    key: &'static str,
    form: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    about: &'static str,
    secret: bool,
    decided_by_the_plan: bool,
}

pub(crate) fn run(verb: &Verb) -> ExitCode {
    if !verb.resolved {
        return verb.common.say(known());
    }
    let mut findings = Vec::new();
    let read = super::read(&verb.which, world(), None, &mut findings);
    let Some(loaded) = read else {
        return verb.common.say(Told::<()>::failed(findings, Redactor::default()));
    };
    let mut reader = Reader { layers: &loaded.layers, findings };
    // What is wrong is told beside what is right: that is when people ask.
    let _ = reader.read(&loaded.ecosystem);
    let findings = reader.findings;
    let rows = rows(&loaded);
    let (out, redactor) = (text(&rows), loaded.redactor);
    verb.common.say(Told { result: Some(rows), out, talk: String::new(), exit: Exit::Ok, findings, redactor })
}

fn known() -> Told<Vec<Known>> {
    let known = table::ALL.map(|it| Known {
        key: it.name,
        form: it.form,
        default: it.default,
        about: it.about,
        secret: it.secret,
        decided_by_the_plan: it.decided,
    });
    let out = known.iter().fold(String::new(), |mut out, it| {
        let default = it.default.map(|it| format!("; {it} by default")).unwrap_or_default();
        let decided = if it.decided_by_the_plan { "; decided by the plan" } else { "" };
        let _ = writeln!(out, "{:<27} {}: {}{default}{decided}", it.key, it.about, it.form);
        out
    });
    let (findings, redactor) = (vec![], Redactor::default());
    Told { result: Some(known.into()), out, talk: String::new(), exit: Exit::Ok, findings, redactor }
}

fn rows(loaded: &Loaded) -> Vec<Row> {
    let Loaded { ecosystem, layers, origin, .. } = loaded;
    let mut given: BTreeMap<EnvKey, (BTreeSet<String>, bool)> = BTreeMap::new();
    for app in ecosystem.setup.iter().chain(&ecosystem.apps) {
        let (public, secret) = (&app.roster.environment, &app.roster.secrets);
        for (key, secret) in public.iter().map(|it| (it, false)).chain(secret.iter().map(|it| (it, true))) {
            let entry = given.entry(key.clone()).or_default();
            entry.0.insert(app.name.to_string());
            entry.1 |= secret;
        }
    }
    for it in table::ALL {
        given.entry(it.key()).or_default();
    }
    let row = |(key, (given_to, secret)): (EnvKey, (BTreeSet<String>, bool))| {
        let setting = table::ALL.into_iter().find(|it| it.name == key.as_str());
        let about = setting.map(|it| it.about);
        let shown = |value: &str, from_secret| {
            if is_secret(&key, value, secret || from_secret) { "[redacted]".into() } else { value.to_owned() }
        };
        let decided = match key.as_str() {
            "MACHINE_ID" => Some(ecosystem.machine.to_string()),
            "MACHINE_HEALTH_PORT" => Some(ecosystem.health_port.to_string()),
            _ => None,
        };
        let plan = || format!("the plan ({})", origin.ecosystem().display());
        // A file that cannot be read is among the findings.
        let mut chain = layers.chain(&key).unwrap_or_default().into_iter();
        let (value, source, written) = match (decided, chain.next()) {
            (Some(value), _) => {
                chain = vec![].into_iter();
                (Some(value), plan(), None)
            }
            (None, Some(it)) => {
                let written = it.written.as_ref().map(|text| shown(text.expose(), it.secret));
                (Some(shown(it.value.expose(), it.secret)), it.source, written)
            }
            (None, None) => match setting.and_then(|it| it.default) {
                Some(it) => (Some(it.to_owned()), "its default".into(), None),
                None => (None, "not set".into(), None),
            },
        };
        let over = chain.map(|it| Over { value: shown(it.value.expose(), it.secret), source: it.source });
        Row { over: over.collect(), key: key.to_string(), value, source, written, about, given_to }
    };
    given.into_iter().map(row).collect()
}

fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|it| it.key.len()).max().unwrap_or_default();
    rows.iter().fold(String::new(), |mut out, it| {
        let value = it.value.as_deref().unwrap_or("-");
        let written = it.written.as_ref().map(|it| format!(", where it is {it}")).unwrap_or_default();
        let _ = writeln!(out, "{:<width$}  {value}  ({}{written})", it.key, it.source);
        for over in &it.over {
            let _ = writeln!(out, "{:<width$}    over {}  ({})", "", over.value, over.source);
        }
        out
    })
}
