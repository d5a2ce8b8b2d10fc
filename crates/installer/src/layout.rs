//! Where everything is. What an install makes is below `installs/<service>`; what must outlive every install is not.
//!
//! ```text
//! installs/<service>/
//!   <build>/source/         the checkout, with its custom nodes
//!   <build>/venv/           the Python environment
//!   <build>/.done/          a receipt a step
//!   current -> <build>      what is started: switched once its probe has passed
//!   previous -> <build>     what `update --back` goes back to
//!   .fetched/               sources on their way
//!   roster.lock.json        what was resolved; beside it what it was before, and what an update is about to make it
//!   status.json  .busy
//! models/.store/            sha256/ab/<sum>, parts/<sum>: what the names in `models` are links to
//! ```

use std::path::{Path, PathBuf};

use spec::ids::ServiceName;

use crate::manifest::{BuildId, Manifest, Model, Places, Unit};
use crate::names::Sha256;

/// The places of one service.
#[derive(Clone, Debug)]
pub struct Layout {
    home: PathBuf,
}

impl Layout {
    /// Those of `service` in this workspace.
    pub fn new(workspace: &Path, service: &ServiceName) -> Self {
        Self { home: workspace.join("installs").join(service.as_str()) }
    }

    /// What everything of the service is below.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What the install last said.
    pub fn status(&self) -> PathBuf {
        self.home.join("status.json")
    }

    /// What was resolved.
    pub fn lock(&self) -> PathBuf {
        self.home.join("roster.lock.json")
    }

    /// What was resolved before.
    pub(crate) fn previous_lock(&self) -> PathBuf {
        self.home.join("roster.lock.previous.json")
    }

    /// What an update is about to make of it.
    pub(crate) fn next_lock(&self) -> PathBuf {
        self.home.join("roster.lock.next.json")
    }

    /// Locked for as long as an install goes on.
    pub(crate) fn busy(&self) -> PathBuf {
        self.home.join(".busy")
    }

    /// The link to what is started.
    pub fn current(&self) -> PathBuf {
        self.home.join("current")
    }

    /// The link to what was started before.
    pub fn previous(&self) -> PathBuf {
        self.home.join("previous")
    }

    /// Sources on their way.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.home.join(".fetched")
    }

    /// One of them.
    pub(crate) fn fetched_unit(&self, unit: &Unit) -> PathBuf {
        self.fetched().join(flat(unit))
    }

    /// The places of a build.
    pub fn build(&self, id: &BuildId) -> Build {
        Build { folder: self.home.join(id.as_str()) }
    }
}

/// A part as the name of one folder.
pub(crate) fn flat(unit: &Unit) -> String {
    match unit {
        Unit::Core => "core".into(),
        Unit::Node(name) => format!("node-{name}"),
    }
}

/// The places of one build.
#[derive(Clone, Debug)]
pub struct Build {
    /// All of it.
    pub folder: PathBuf,
}

impl Build {
    /// The checkout.
    pub fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// The Python environment.
    pub fn venv(&self) -> PathBuf {
        self.folder.join("venv")
    }

    /// Where a part belongs.
    pub(crate) fn unit(&self, manifest: &Manifest, unit: &Unit) -> PathBuf {
        match (unit, &manifest.nodes_folder) {
            (Unit::Node(name), Some(folder)) => self.source().join(folder.as_str()).join(name.as_str()),
            (Unit::Node(name), None) => self.source().join(name.as_str()),
            (Unit::Core, _) => self.source(),
        }
    }

    /// Where receipts are.
    pub(crate) fn done(&self) -> PathBuf {
        self.folder.join(".done")
    }

    /// The receipt of a step.
    pub(crate) fn receipt(&self, name: &str) -> PathBuf {
        self.done().join(format!("{}.json", name.replace('/', "@")))
    }

    /// Runs `with` on the folders that commands may speak of.
    pub(crate) fn command(&self, words: &[String]) -> Vec<String> {
        let (source, python) = (self.source(), self.venv().join("bin/python"));
        Manifest::command(words, Places { install: &self.folder, source: &source, python: &python })
    }
}

/// The places of models.
pub(crate) struct Shelf<'a> {
    pub(crate) folder: &'a Path,
}

impl Shelf<'_> {
    fn store(&self) -> PathBuf {
        self.folder.join(".store")
    }

    /// Where the bytes with this sum are.
    pub(crate) fn whole(&self, sum: &Sha256) -> PathBuf {
        self.store().join("sha256").join(&sum.as_str()[..2]).join(sum.as_str())
    }

    /// Where they grow.
    pub(crate) fn part(&self, sum: &Sha256) -> PathBuf {
        self.store().join("parts").join(sum.as_str())
    }

    /// Where a file goes that is no longer what it was, and the note that it is so.
    pub(crate) fn damaged(&self, sum: &Sha256) -> PathBuf {
        self.store().join("damaged").join(sum.as_str())
    }

    /// Where the service looks for it.
    pub(crate) fn shown(&self, model: &Model) -> PathBuf {
        self.folder.join(model.folder.as_str()).join(model.name.as_str())
    }
}
