//! `env-build`: one generation, written whole and put in force by one rename.

use schemars::JsonSchema;
use serde::Serialize;
use spec::notes::{Exit, Finding, Located};

use crate::answer::Told;
use crate::cli::Flags;
use crate::generations::{Artefacts, Written};
use crate::redact::Redactor;
use crate::run::Run;
use crate::set::{self, Set};

/// What a build did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Built {
    /// The generation in force now, or that would be with `--check`.
    pub generation: String,
    /// The one before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether anything changed, or would with `--check`.
    pub changed: bool,
    /// The plan's id; absent when only named machines were built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The files of the generation.
    pub files: Vec<String>,
}

pub(crate) fn env_build(run: &Run<'_>, flags: &Flags, force: bool, check: bool) -> Told<Built> {
    let (setup, request, profiles) = match run.project(flags) {
        Ok(project) => project,
        Err(findings) => return Told::failed(findings, Redactor::default()),
    };
    let set = set::build(run, &setup, Some(&request), &profiles);
    write(run, set, force, check)
}

/// Writes a set, or says with `check` whether it would change anything.
pub(crate) fn write(run: &Run<'_>, set: Set, force: bool, check: bool) -> Told<Built> {
    let Set { default, artefacts, mut findings, redactor, .. } = set;
    findings.extend(in_the_way(run));
    let strict_stop = run.look.strict && !findings.is_empty();
    let Some(artefacts) = artefacts.filter(|_| !strict_stop) else {
        let talk = "Nothing was written.\n".to_owned();
        return Told { talk, ..Told::failed(findings, redactor) };
    };
    let plan = default.map(|it| it.document.id);
    let files: Vec<String> = artefacts.iter().map(|(path, _)| path.to_owned()).collect();
    let told = |generation: String, from: Option<String>, changed, talk, exit, findings| Told {
        result: Some(Built { generation, from, changed, plan, files }),
        out: String::new(),
        talk,
        exit,
        findings,
        redactor: redactor.clone(),
    };
    let store_error = |error| Finding::error(Located::nowhere(error));
    if check {
        let id = artefacts.id();
        return match run.store.shows(&id, &artefacts) {
            Err(error) => Told::failed(vec![store_error(error)], redactor),
            Ok(true) => {
                let talk = "No change: the generation in force is what would be written.\n".to_owned();
                told(id.to_string(), None, false, talk, Exit::Ok, findings)
            }
            Ok(false) => {
                let from = run.store.current().map(|it| it.to_string());
                let talk =
                    "The generation in force is not what would be written. Nothing was written.\n".to_owned();
                told(id.to_string(), from, true, talk, Exit::Changes, findings)
            }
        };
    }
    match run.store.write(&artefacts, force) {
        Err(errors) => {
            findings.extend(errors.into_iter().map(store_error));
            Told { talk: "Nothing was written.\n".to_owned(), ..Told::failed(findings, redactor) }
        }
        Ok(Written::NoChange(id)) => {
            let talk = format!("No change: generation {id} is in force already.\n");
            told(id.to_string(), Some(id.to_string()), false, talk, Exit::Ok, findings)
        }
        Ok(Written::Switched { from, to }) => {
            let talk = summary(run, &artefacts, from.as_ref().map(ToString::to_string), to.as_str());
            told(to.to_string(), from.map(|it| it.to_string()), true, talk, Exit::Ok, findings)
        }
    }
}

fn summary(run: &Run<'_>, artefacts: &Artefacts, from: Option<String>, to: &str) -> String {
    let shown = |path: &str| match path {
        ".env" => Some("the public variables"),
        ".env.secret" => Some("the secrets, readable by you only"),
        "docker-compose.yaml" => Some("the containers"),
        "ecosystem.json" => Some("the processes"),
        _ => None,
    };
    let lines = artefacts.iter().filter_map(|(path, _)| Some(format!("  {path:<20} {}\n", shown(path)?)));
    let before = from.map(|it| format!(" instead of {it} (`{} rollback` restores it)", run.world.program));
    let folder = run.store.root().display();
    format!(
        "Generation {to} is in force{}, in {folder}:\n{}",
        before.unwrap_or_default(),
        lines.collect::<String>()
    )
}

/// Compose files that Docker Compose would read instead of ours.
fn in_the_way(run: &Run<'_>) -> Vec<Finding> {
    let wins = ["compose.yaml", "compose.yml", "docker-compose.yml"];
    let there = wins.into_iter().filter(|it| run.store.root().join(it).exists());
    there.map(|name| Finding::advice(Located::nowhere(OtherCompose { name }))).collect()
}

/// A compose file of somebody else's that wins over ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is there too, and Docker Compose may read it instead of `docker-compose.yaml`")]
struct OtherCompose {
    name: &'static str,
}

impl spec::notes::Fault for OtherCompose {
    fn code(&self) -> spec::notes::Code {
        OTHER_COMPOSE
    }
    fn fix(&self) -> String {
        "move it away, or say `docker compose -f docker-compose.yaml`; additions belong into `docker-compose.override.yaml`"
            .into()
    }
}

/// Another compose file.
pub(crate) const OTHER_COMPOSE: spec::notes::Code = spec::notes::Code {
    id: "COMP100",
    title: "another compose file is in the way",
    exit: Exit::Error,
    explanation: "Docker Compose looks for `compose.yaml`, `compose.yml`, `docker-compose.yaml` and \
`docker-compose.yml`, in an order of its own, and only warns when it finds several: `compose.yaml` wins over the \
generated `docker-compose.yaml`.\n\nMend it: move the other file away, or name ours with `-f`.",
};
