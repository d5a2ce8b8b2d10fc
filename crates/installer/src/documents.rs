//! The two documents that people write: custom nodes and models. Everything that is wrong with them is told at once,
//! with its place.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use spec::document;
use spec::ids::EnvKey;
use spec::json::JsonIndex;
use spec::notes::{Finding, Located, errors};
use spec::source::SourceText;
use spec::template::Template;

use crate::fault::InstallFault;
use crate::manifest::{Model, Node, OnFailure, Revision};
use crate::names::{self, Refused};

/// `{"custom_nodes": […]}`: the form that ComfyUI machines have been described in before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NodesDocument {
    /// For editors: where the schema is. Not read.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "editors read it")]
    schema: Option<String>,
    /// The nodes, in the order in which their requirements are installed.
    custom_nodes: Vec<NodeEntry>,
}

/// A custom node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    /// The name of its folder.
    name: String,
    /// Its repository: `https`, `ssh` or `file`. A `git clone ` before it is left out.
    url: String,
    /// A branch or tag; without it the one that the repository calls its head.
    branch: Option<String>,
    /// A commit, whole; it wins over the branch.
    commit: Option<String>,
    /// With its submodules.
    #[serde(default)]
    recursive: bool,
    /// Whether its `requirements.txt`, where it has one, is installed. It is unless this says no.
    requirements: Option<bool>,
    /// Its `.env`: values may refer to the variables that the service declares.
    #[serde(default)]
    env: BTreeMap<EnvKey, String>,
    /// A file in it that is run once it is there: by the environment's Python if it ends in `.py`, else by bash.
    custom_script: Option<String>,
    /// What becomes of the install when the node fails.
    #[serde(default)]
    on_failure: OnFailure,
}

/// `{"models": […]}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelsDocument {
    /// For editors: where the schema is. Not read.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "editors read it")]
    schema: Option<String>,
    /// The models.
    models: Vec<ModelEntry>,
}

/// A model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    /// The name of its file.
    name: String,
    /// The folder that it goes into, below the folder of models: `checkpoints`.
    folder: String,
    /// Where it can be had; the next one is asked when one fails.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    urls: Vec<String>,
    /// The SHA-256 of its bytes.
    sha256: String,
    /// Its bytes.
    #[schemars(range(min = 1))]
    size: u64,
}

/// The JSON Schema of the document of nodes.
pub fn nodes_schema() -> serde_json::Value {
    document::schema::<NodesDocument>("Custom nodes")
}

/// The JSON Schema of the document of models.
pub fn models_schema() -> serde_json::Value {
    document::schema::<ModelsDocument>("Models")
}

/// Collects what is wrong.
struct Found<'a> {
    index: &'a JsonIndex,
    faults: Vec<Located<InstallFault>>,
}

impl Found<'_> {
    fn at(&mut self, pointer: &str, fault: InstallFault) {
        self.faults.push(Located { fault, place: self.index.value(pointer) });
    }

    fn read<T>(
        &mut self,
        pointer: &str,
        text: &str,
        fault: fn(String, Refused) -> InstallFault,
        read: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let field =
            pointer.rsplit('/').find(|it| !it.bytes().all(|it| it.is_ascii_digit())).unwrap_or(pointer);
        read(text).map_err(|why| self.at(pointer, fault(field.to_owned(), why))).ok()
    }
}

fn name(what: String, why: Refused) -> InstallFault {
    InstallFault::Name { what, why }
}
fn address(what: String, why: Refused) -> InstallFault {
    InstallFault::Address { what, why }
}
fn hash(what: String, why: Refused) -> InstallFault {
    InstallFault::Hash { what, why }
}

/// Reads the nodes. `value` gives the value of a variable that they may refer to.
pub(crate) fn nodes(
    source: &SourceText,
    value: &dyn Fn(&EnvKey) -> Result<Option<String>, InstallFault>,
) -> Result<Vec<Node>, Vec<Finding>> {
    let read = document::read::<NodesDocument>(source).map_err(errors)?;
    let mut found = Found { index: &read.index, faults: Vec::new() };
    let (mut all, mut names) = (Vec::new(), BTreeSet::new());
    for (at, entry) in read.value.custom_nodes.into_iter().enumerate() {
        let path = format!("/custom_nodes/{at}");
        let field = |it: &str| format!("{path}/{it}");
        if !names.insert(entry.name.to_ascii_lowercase()) {
            found.at(&field("name"), InstallFault::Twice { what: "nodes", name: entry.name.clone() });
        }
        let url = entry.url.strip_prefix("git clone ").unwrap_or(&entry.url).trim_matches(' ');
        let node_name = found.read(&field("name"), &entry.name, name, str::parse);
        let url = found.read(&field("url"), url, address, str::parse);
        let some = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        let branch = some(&entry.branch).map(|it| found.read(&field("branch"), &it, name, str::parse));
        let commit = some(&entry.commit).map(|it| found.read(&field("commit"), &it, hash, str::parse));
        let script = some(&entry.custom_script)
            .map(|it| found.read(&field("custom_script"), it.trim_start_matches("./"), name, str::parse));
        let env: Vec<_> = (entry.env.iter())
            .filter_map(|(key, text)| {
                let value = expanded(text, value);
                let pointer = format!("{path}/env/{key}");
                value
                    .map_err(|faults| faults.into_iter().for_each(|it| found.at(&pointer, it)))
                    .ok()
                    .map(|it| (key.clone(), it))
            })
            .collect();
        if let Err(refused) = spec::dotenv::write(env.iter().map(|(key, value)| (key, value.as_str()))) {
            for (key, why) in refused {
                let fault = InstallFault::Unwritable { key: key.clone(), why: why.to_string() };
                found.at(&format!("{path}/env/{key}"), fault);
            }
        }
        let revision = match (commit, branch) {
            (Some(commit), _) => commit.map(Revision::Commit),
            (None, Some(branch)) => branch.map(Revision::Branch),
            (None, None) => Some(Revision::Head),
        };
        let (Some(name), Some(url), Some(revision)) = (node_name, url, revision) else { continue };
        all.push(Node {
            name,
            url,
            revision,
            recursive: entry.recursive,
            requirements: entry.requirements.unwrap_or(true),
            script: script.flatten(),
            env,
            on_failure: entry.on_failure,
        });
    }
    if found.faults.is_empty() { Ok(all) } else { Err(errors(found.faults)) }
}

/// Reads the models.
pub(crate) fn models(source: &SourceText) -> Result<Vec<Model>, Vec<Finding>> {
    let read = document::read::<ModelsDocument>(source).map_err(errors)?;
    let mut found = Found { index: &read.index, faults: Vec::new() };
    let (mut all, mut paths) = (Vec::new(), BTreeSet::new());
    for (at, entry) in read.value.models.into_iter().enumerate() {
        let field = |it: &str| format!("/models/{at}/{it}");
        let path = format!("{}/{}", entry.folder, entry.name);
        if !paths.insert(path.to_ascii_lowercase()) {
            found.at(&field("name"), InstallFault::Twice { what: "models", name: path });
        }
        let file = found.read(&field("name"), &entry.name, name, str::parse);
        let folder = found.read(&field("folder"), &entry.folder, name, str::parse);
        let sha256 = found.read(&field("sha256"), &entry.sha256.to_ascii_lowercase(), hash, str::parse);
        let urls: Vec<_> = (entry.urls.iter().enumerate())
            .filter_map(|(at, it)| {
                found.read(&format!("{}/{at}", field("urls")), it, address, names::file_url)
            })
            .collect();
        let (Some(name), Some(folder), Some(sha256)) = (file, folder, sha256) else { continue };
        all.push(Model { name, folder, urls, sha256, size: entry.size });
    }
    if found.faults.is_empty() { Ok(all) } else { Err(errors(found.faults)) }
}

/// A text with the values of the variables in it.
pub(crate) fn expanded(
    text: &str,
    value: &dyn Fn(&EnvKey) -> Result<Option<String>, InstallFault>,
) -> Result<String, Vec<InstallFault>> {
    let template = Template::parse(text)
        .map_err(|faults| faults.into_iter().map(|(_, it)| InstallFault::Template(it)).collect::<Vec<_>>())?;
    template.expand(&mut |key| value(key)).map_err(|errors| {
        errors
            .into_iter()
            .map(|it| match it {
                spec::template::ExpandError::Lookup(fault) => fault,
                spec::template::ExpandError::Missing { name, .. }
                | spec::template::ExpandError::Asked { name, .. } => InstallFault::Missing { key: name },
            })
            .collect()
    })
}
