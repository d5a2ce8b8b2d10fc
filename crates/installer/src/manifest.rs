//! What is wanted of an install, in domain types: every name in it has passed its door.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};
use spec::env::Secret;
use spec::ids::{EnvKey, ServiceName};
use spec::model::PythonNeeds;

use crate::lock::Lock;
use crate::names::{Branch, Commit, GitUrl, Inner, NodeName, Sha256};

/// Everything that is wanted.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Whose install it is.
    pub service: ServiceName,
    /// The machine's workspace, absolute.
    pub workspace: PathBuf,
    /// Where the program comes from.
    pub source: Source,
    /// What its Python environment holds.
    pub python: Option<PythonNeeds>,
    /// Programs that are run in the checkout.
    pub commands: Vec<Vec<String>>,
    /// The folder of the checkout that nodes go into.
    pub nodes_folder: Option<Inner>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The folder of models, absolute; none where the service has none.
    pub models_folder: Option<PathBuf>,
    /// The models.
    pub models: Vec<Model>,
    /// The file that tells ComfyUI of the models, and its text.
    pub paths_file: Option<(PathBuf, String)>,
    /// The folders that instances need.
    pub directories: Vec<PathBuf>,
    /// Tokens by host.
    pub tokens: BTreeMap<String, Secret<String>>,
    /// A program that exits with 0 when the install works.
    pub probe: Vec<String>,
}

/// Where the program comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A repository.
    Git {
        /// Its address.
        url: GitUrl,
        /// What of it.
        revision: Revision,
        /// With its submodules.
        recursive: bool,
    },
    /// A folder, copied.
    Directory(PathBuf),
    /// A gzipped tar.
    Tarball {
        /// Its address.
        url: Url,
        /// The sum of its bytes.
        sha256: Sha256,
        /// Parts that are taken off the front of its paths.
        strip: u8,
    },
    /// A program that the system brings, at this path; or that the commands have to make.
    Program {
        /// Its name.
        name: Inner,
        /// Where the system has it.
        at: Option<PathBuf>,
    },
}

/// What of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// What it calls its head.
    Head,
    /// A branch or tag.
    Branch(Branch),
    /// A commit.
    Commit(Commit),
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Branch(it) => it.fmt(f),
            Self::Commit(it) => it.fmt(f),
        }
    }
}

/// A custom node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name of its folder.
    pub name: NodeName,
    /// Its repository.
    pub url: GitUrl,
    /// What of it.
    pub revision: Revision,
    /// With its submodules.
    pub recursive: bool,
    /// Whether its requirements are installed.
    pub requirements: bool,
    /// A file in it that is run.
    pub script: Option<Inner>,
    /// Its variables.
    pub env: Vec<(EnvKey, String)>,
    /// What becomes of the install when it fails.
    pub on_failure: OnFailure,
}

/// What becomes of an install when a node fails. The other nodes are installed whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The install fails.
    #[default]
    Fail,
    /// The node is left out.
    Skip,
    /// The node stays as far as it got.
    Warn,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name of its file.
    pub name: NodeName,
    /// Its folder.
    pub folder: Inner,
    /// Where it can be had.
    pub urls: Vec<Url>,
    /// The sum of its bytes.
    pub sha256: Sha256,
    /// Its bytes.
    pub size: u64,
}

impl Model {
    /// Its place below the folder of models.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}

/// A part that has a source of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The program.
    Core,
    /// A custom node.
    Node(NodeName),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core => f.write_str("core"),
            Self::Node(name) => write!(f, "node/{name}"),
        }
    }
}

/// The three folders that commands may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// `${INSTALL}`.
    pub install: &'a Path,
    /// `${SOURCE}`.
    pub source: &'a Path,
    /// `${PYTHON}`.
    pub python: &'a Path,
}

/// A name for a built install: 16 digits of a hash of all that it is made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(String);

impl BuildId {
    /// The build whose folder has this name; `None` for a folder that is none of ours.
    pub fn read(name: &str) -> Option<Self> {
        let sound = name.len() == 16 && name.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        sound.then(|| Self(name.to_owned()))
    }

    /// The folder's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Manifest {
    /// All parts with a source: the program, then its nodes.
    pub fn units(&self) -> Vec<Unit> {
        let nodes = self.nodes.iter().map(|it| Unit::Node(it.name.clone()));
        [Unit::Core].into_iter().chain(nodes).collect()
    }

    /// A node by its name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|it| it.name == *name)
    }

    /// What is asked for of a part, in a line; `None` for a node that is not wanted.
    pub fn wanted(&self, unit: &Unit) -> Option<String> {
        let git = |url: &GitUrl, revision: &Revision, recursive: bool| {
            format!("{url} {revision}{}", if recursive { " recursive" } else { "" })
        };
        Some(match unit {
            Unit::Core => match &self.source {
                Source::Git { url, revision, recursive } => git(url, revision, *recursive),
                Source::Directory(path) => path.display().to_string(),
                Source::Tarball { url, sha256, strip } => format!("{url} {sha256} {strip}"),
                Source::Program { name, at } => match at {
                    Some(at) => at.display().to_string(),
                    None => format!("a `{name}` of its own"),
                },
            },
            Unit::Node(name) => {
                let node = self.node(name)?;
                git(&node.url, &node.revision, node.recursive)
            }
        })
    }

    /// Whether there is an environment and there are commands to make: not for a program that the system brings.
    pub fn is_built(&self) -> bool {
        !matches!(&self.source, Source::Program { at: Some(_), .. })
    }

    /// Whether a Python environment is made.
    pub fn has_environment(&self) -> bool {
        self.python.is_some() && self.is_built()
    }

    /// The build that this manifest and lock lead to. Equal inputs, equal names; what does not become part of the folder
    /// (variables, models, folders of instances) is no part of the name.
    pub fn build(&self, lock: &Lock) -> BuildId {
        let nodes: Vec<_> = (self.nodes.iter())
            .map(|it| {
                let unit = Unit::Node(it.name.clone());
                let found = lock.pin(self, &unit).map(|it| &it.found);
                (
                    it.name.as_str(),
                    self.wanted(&unit),
                    found,
                    it.requirements,
                    it.script.as_ref(),
                    it.on_failure,
                )
            })
            .collect();
        let core = lock.pin(self, &Unit::Core).map(|it| &it.found);
        let all = (
            (self.wanted(&Unit::Core), core, lock.revision),
            (&self.python, &self.commands, &self.probe),
            (&self.nodes_folder, nodes),
        );
        let text = serde_json::to_string(&all).unwrap_or_default();
        BuildId(hex(&Hasher::digest(text.as_bytes()))[..16].to_owned())
    }

    /// What the Python packages of a part follow from, in a few digits.
    pub fn requirement(&self, lock: &Lock, unit: &Unit) -> String {
        let python = self.python.as_ref().filter(|_| *unit == Unit::Core);
        let all = (self.wanted(unit), lock.pin(self, unit).map(|it| &it.found), python);
        hex(&Hasher::digest(serde_json::to_string(&all).unwrap_or_default()))[..16].to_owned()
    }

    /// A command as it is run.
    pub fn command(words: &[String], places: Places<'_>) -> Vec<String> {
        let put = |word: &String| {
            word.replace("${INSTALL}", &places.install.display().to_string())
                .replace("${SOURCE}", &places.source.display().to_string())
                .replace("${PYTHON}", &places.python.display().to_string())
        };
        words.iter().map(put).collect()
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, it| {
        let _ = write!(text, "{it:02x}");
        text
    })
}
