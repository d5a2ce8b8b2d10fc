//! The variables of a service, as Compose layers them: build arguments, which the old images had baked in, then env files
//! in their order, then `environment`, then secrets.

use std::collections::BTreeMap;

use spec::ids::EnvKey;
use spec::source::Place;

use super::Reader;
use super::interpolate::{self, Text};
use crate::codes;
use crate::draft::{Form, Said};
use crate::names::{self, Fate};
use crate::tree::{Member, Node, Value};

/// What a service says of each variable, the strongest layer only.
pub(super) struct Layers {
    pub(super) said: BTreeMap<EnvKey, Said>,
}

/// Reads a service's variables.
pub(super) fn layers(reader: &mut Reader<'_>, service: &Member, beside: &[(EnvKey, String)]) -> Layers {
    let mut said = BTreeMap::new();
    let node = &service.value;
    if let Some(args) = node.get("build").and_then(|it| it.get("args")) {
        pairs(reader, args, beside, &mut said);
    }
    for (path, place, required) in node.get("env_file").map(env_files).unwrap_or_default() {
        match reader.files.read(&path) {
            Some(file) => said.extend(crate::env::entries(&file, reader.findings)),
            None if !required => {}
            None => {
                let (why, fix) = ("it is not beside the compose file", "put it there, and import again");
                reader.report.decide(codes::UNTOLD, format!("env file `{path}`"), why, fix, &place);
            }
        }
    }
    if let Some(environment) = node.get("environment") {
        pairs(reader, environment, beside, &mut said);
    }
    for it in node.get("secrets").map(Node::items).unwrap_or_default() {
        secret(reader, it, &mut said);
    }
    Layers { said }
}

/// `env_file` as a text, a list of texts, or a list of `{path, required}`.
fn env_files(node: &Node) -> Vec<(String, Place, bool)> {
    let one = |it: &Node| match &it.value {
        Value::Map(_) => {
            let required = it.get("required").is_none_or(|it| !matches!(it.value, Value::Bool(false)));
            Some((it.get("path")?.scalar()?, it.place.clone(), required))
        }
        _ => Some((it.scalar()?, it.place.clone(), true)),
    };
    match &node.value {
        Value::List(items) => items.iter().filter_map(one).collect(),
        _ => one(node).into_iter().collect(),
    }
}

/// `environment` or `args`: a mapping, or a list of `NAME=value`.
fn pairs(
    reader: &mut Reader<'_>,
    node: &Node,
    beside: &[(EnvKey, String)],
    said: &mut BTreeMap<EnvKey, Said>,
) {
    let mut found: Vec<(String, Option<String>, Place)> = Vec::new();
    for it in node.members() {
        found.push((it.key.clone(), it.value.scalar(), it.value.place.clone()));
    }
    for it in node.items() {
        if let Some(text) = it.scalar() {
            let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
            let (key, value) = pair.unwrap_or((text, None));
            found.push((key, value, it.place.clone()));
        }
    }
    for (name, value, place) in found {
        let Ok(key) = name.parse::<EnvKey>() else {
            let (why, fix) = ("it is no name of a variable", "rename it, if something reads it");
            reader.report.decide(codes::NOBODY, "a variable", why, fix, &place);
            continue;
        };
        let Some(value) = value else {
            let to = "the process environment, or the secrets file";
            reader.report.renamed(format!("`{key}`"), to, "", &place);
            continue;
        };
        // What decides the plan is no template.
        let fate = names::find(key.as_str()).map(|it| it.fate);
        let now = matches!(fate, Some(Fate::Roster | Fate::Mock | Fate::Gpus));
        let (value, form) = match interpolate::read(&value, beside, now) {
            Text::Literal(text) => (text, Form::Literal),
            Text::Template(text) => (text, Form::Template),
            Text::Unknown => {
                let why = "it holds a reference that Roster has no form for";
                reader.report.decide(
                    codes::UNRESOLVED,
                    format!("`{key}`"),
                    why,
                    "write the value out",
                    &place,
                );
                continue;
            }
        };
        said.insert(key, Said { value, place, secret: false, form });
    }
}

/// A secret that travels as a file: `NAME`, or `{source, target}`.
fn secret(reader: &mut Reader<'_>, node: &Node, said: &mut BTreeMap<EnvKey, Said>) {
    let part = |name: &str| node.get(name).and_then(Node::scalar);
    let Some(source) = node.scalar().or_else(|| part("source")) else { return };
    let target = part("target").unwrap_or_else(|| source.clone());
    let target = target.rsplit('/').next().unwrap_or_default();
    let Ok(key) = target.parse::<EnvKey>() else {
        let (why, fix) = ("its name is none of a variable", "name it as the variable that it is for");
        reader.report.decide(codes::SETTING, format!("secret `{source}`"), why, fix, &node.place);
        return;
    };
    let declared = reader.root.get("secrets").and_then(|it| it.get(&source));
    let file = declared.and_then(|it| it.get("file")).and_then(Node::scalar);
    if let Some(text) = file.as_deref().and_then(|it| reader.files.read(it)) {
        let value = text.text().to_owned();
        said.insert(key, Said { value, place: node.place.clone(), secret: true, form: Form::Literal });
    } else {
        let (why, fix) = ("its file is not there", "put the value into the secrets file of the profile");
        reader.report.decide(codes::UNTOLD, format!("secret `{key}`"), why, fix, &node.place);
    }
}
