//! From what is wanted, what was resolved and what is there to what has to be done: a pure function. Done in order, or
//! cut short anywhere and planned again, its steps lead to a plan without steps.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lock::{Lock, Pin};
use crate::manifest::{BuildId, Manifest, Unit};
use crate::names::NodeName;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Get the source of a part.
    Fetch(Unit),
    /// Put it where it belongs in the build.
    Place(Unit),
    /// Make the Python environment.
    Environment,
    /// Install what a part requires.
    Requirements(Unit),
    /// Run a node's script.
    Script(NodeName),
    /// Run a command, by its number.
    Command(usize),
    /// Write a node's `.env`.
    Variables(NodeName),
    /// Make the folders that instances need.
    Directories,
    /// Tell ComfyUI where the models are.
    ModelPaths,
    /// Get a model, by its number.
    Download(usize),
    /// Show a model to the service, by its number.
    Show(usize),
    /// See whether the build works.
    Probe,
    /// Let it be what is started.
    Switch,
    /// Remove a build that is neither started nor gone back to.
    Remove(BuildId),
}

/// What a plan needs to know of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Sources that have been fetched, and wait to be placed.
    pub fetched: BTreeMap<Unit, Pin>,
    /// The builds: the receipts of each.
    pub builds: BTreeMap<BuildId, BTreeMap<String, Outcome>>,
    /// The build that is started.
    pub current: Option<BuildId>,
    /// The one before.
    pub previous: Option<BuildId>,
    /// For each node of the wanted build, whether its `.env` says what it should.
    pub variables: BTreeMap<NodeName, bool>,
    /// Whether the file of model paths says what it should.
    pub model_paths: bool,
    /// Whether every folder of an instance is there.
    pub directories: bool,
    /// For each model in the order of the manifest.
    pub models: Vec<ModelState>,
}

/// How far a model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelState {
    /// It is in the store, whole.
    pub stored: bool,
    /// The service sees it.
    pub shown: bool,
    /// Bytes of it that have come so far.
    pub begun: u64,
}

/// How a step ended, in its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Done,
    /// The node is left out, for this reason.
    LeftOut(String),
    /// The node stays though it failed, for this reason.
    Warned(String),
}

impl Step {
    /// The name of its receipt; `None` for a step whose result is looked at itself.
    pub fn receipt(&self) -> Option<String> {
        Some(match self {
            Self::Place(unit) => format!("place/{unit}"),
            Self::Environment => "environment".into(),
            Self::Requirements(unit) => format!("requirements/{unit}"),
            Self::Script(name) => format!("script/{name}"),
            Self::Command(number) => format!("command/{number}"),
            Self::Probe => "probe".into(),
            _ => return None,
        })
    }

    /// The node that it is about.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Fetch(Unit::Node(name))
            | Self::Place(Unit::Node(name))
            | Self::Requirements(Unit::Node(name))
            | Self::Script(name)
            | Self::Variables(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(unit) => write!(f, "fetch {unit}"),
            Self::Place(unit) => write!(f, "place {unit}"),
            Self::Environment => f.write_str("environment"),
            Self::Requirements(unit) => write!(f, "requirements of {unit}"),
            Self::Script(name) => write!(f, "script of node/{name}"),
            Self::Command(number) => write!(f, "command {}", number + 1),
            Self::Variables(name) => write!(f, "variables of node/{name}"),
            Self::Directories => f.write_str("directories"),
            Self::ModelPaths => f.write_str("model paths"),
            Self::Download(number) => write!(f, "download {}", number + 1),
            Self::Show(number) => write!(f, "show {}", number + 1),
            Self::Probe => f.write_str("probe"),
            Self::Switch => f.write_str("switch"),
            Self::Remove(build) => write!(f, "remove {build}"),
        }
    }
}

/// What has to be done, in order; nothing when all is there.
pub fn plan(manifest: &Manifest, lock: &Lock, observed: &Observed) -> Vec<Step> {
    let build = manifest.build(lock);
    let nothing = BTreeMap::new();
    let receipts = observed.builds.get(&build).unwrap_or(&nothing);
    let mut steps = Vec::new();
    let is_proven = receipts.contains_key("probe");
    if !is_proven {
        build_steps(manifest, lock, observed, receipts, &mut steps);
    }
    for node in manifest.nodes.iter().filter(|it| !it.env.is_empty() && !is_left_out(receipts, &it.name)) {
        let is_placed = receipts.contains_key(&format!("place/node/{}", node.name));
        if !is_placed || !observed.variables.get(&node.name).copied().unwrap_or_default() {
            steps.push(Step::Variables(node.name.clone()));
        }
    }
    if !observed.directories {
        steps.push(Step::Directories);
    }
    if manifest.paths_file.is_some() && !observed.model_paths {
        steps.push(Step::ModelPaths);
    }
    for number in 0..manifest.models.len() {
        let state = observed.models.get(number).copied().unwrap_or_default();
        if !state.stored {
            steps.push(Step::Download(number));
        }
        if !state.stored || !state.shown {
            steps.push(Step::Show(number));
        }
    }
    if !is_proven {
        steps.push(Step::Probe);
    }
    let switched = observed.current.as_ref() == Some(&build);
    if !switched {
        steps.push(Step::Switch);
    }
    // What was current before becomes what is gone back to.
    let kept = [Some(&build), if switched { observed.previous.as_ref() } else { observed.current.as_ref() }];
    let gone = observed.builds.keys().filter(|it| !kept.contains(&Some(it)));
    steps.extend(gone.map(|it| Step::Remove(it.clone())));
    steps
}

/// Whether a node has failed, and is not to be there.
pub(crate) fn is_left_out(receipts: &BTreeMap<String, Outcome>, name: &NodeName) -> bool {
    matches!(receipts.get(&format!("place/node/{name}")), Some(Outcome::LeftOut(_)))
}

fn build_steps(
    manifest: &Manifest,
    lock: &Lock,
    observed: &Observed,
    receipts: &BTreeMap<String, Outcome>,
    steps: &mut Vec<Step>,
) {
    let mut add = |step: Step| {
        if step.receipt().is_none_or(|it| !receipts.contains_key(&it)) {
            steps.push(step);
        }
    };
    let units = manifest.units();
    let open = |unit: &Unit| !receipts.contains_key(&format!("place/{unit}"));
    for unit in units.iter().filter(|it| open(it)) {
        let fetched = observed.fetched.get(unit);
        let fits = |pin: &Pin| {
            Some(&pin.wanted) == manifest.wanted(unit).as_ref()
                && lock.pin(manifest, unit).is_none_or(|it| it.found == pin.found)
        };
        if !fetched.is_some_and(fits) {
            add(Step::Fetch(unit.clone()));
        }
    }
    for unit in &units {
        add(Step::Place(unit.clone()));
    }
    if !manifest.is_built() {
        return;
    }
    if let Some(needs) = &manifest.python {
        add(Step::Environment);
        if !needs.requirements.is_empty() || !needs.packages.is_empty() {
            add(Step::Requirements(Unit::Core));
        }
    }
    for node in manifest.nodes.iter().filter(|it| !is_left_out(receipts, &it.name)) {
        if node.requirements && manifest.has_environment() {
            add(Step::Requirements(Unit::Node(node.name.clone())));
        }
        if node.script.is_some() {
            add(Step::Script(node.name.clone()));
        }
    }
    (0..manifest.commands.len()).for_each(|it| add(Step::Command(it)));
}

#[cfg(test)]
mod tests;
