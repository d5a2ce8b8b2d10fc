//! What was resolved, so that the next machine gets the same: commits, wheels, models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, Unit};
use crate::names::{NodeName, Sha256};

/// The version of the document.
pub const SCHEMA_VERSION: u32 = 1;

/// `roster.lock.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this document.
    pub schema_version: u32,
    /// Counts the updates: two installs of the same sources may differ in their wheels.
    pub revision: u32,
    /// The program itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<Pin>,
    /// Its custom nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeName, Pin>,
    /// The Python packages that each part brought: `core`, or the name of a node behind `node/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wheels: BTreeMap<String, Wheels>,
    /// The models, by their place below the folder of models.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Sha256>,
}

/// What a source was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What was asked for: `https://… main`. A pin counts for as long as that is what is asked for.
    pub wanted: String,
    /// The commit, or the SHA-256 of the tarball or of the folder's files.
    pub found: String,
}

/// The Python packages that a part brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheels {
    /// What they were resolved for ([`Manifest::requirement`]). They count for as long as that is what is asked for.
    pub of: String,
    /// The packages, by name.
    pub packages: Vec<Wheel>,
}

/// A Python package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of each file that it may come as; none where it came from a folder or a repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sha256: Vec<Sha256>,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            revision: 0,
            core: None,
            nodes: BTreeMap::new(),
            wheels: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// The pin of a part, if it is of what the manifest asks for.
    pub fn pin(&self, manifest: &Manifest, unit: &Unit) -> Option<&Pin> {
        let pin = match unit {
            Unit::Core => self.core.as_ref(),
            Unit::Node(name) => self.nodes.get(name),
        };
        pin.filter(|it| Some(&it.wanted) == manifest.wanted(unit).as_ref())
    }

    /// Notes what a part was resolved to.
    pub fn set(&mut self, unit: &Unit, pin: Pin) {
        match unit {
            Unit::Core => self.core = Some(pin),
            Unit::Node(name) => {
                self.nodes.insert(name.clone(), pin);
            }
        }
    }

    /// Forgets what the manifest no longer asks for, and notes its models.
    pub fn keep(&mut self, manifest: &Manifest) {
        let units = manifest.units();
        let wanted = |unit: &Unit| units.contains(unit);
        self.nodes.retain(|name, _| wanted(&Unit::Node(name.clone())));
        self.wheels.retain(|name, _| units.iter().any(|it| it.to_string() == *name));
        self.models = manifest.models.iter().map(|it| (it.path(), it.sha256.clone())).collect();
    }

    /// What changes from this lock to `next`, a line each; empty when nothing does.
    pub fn diff(&self, next: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let found = |it: &Pin| short(&it.found).to_owned();
        changed("core", self.core.as_ref().map(found), next.core.as_ref().map(found), &mut lines);
        let pins = |it: &Self| -> BTreeMap<String, String> {
            it.nodes.iter().map(|(name, pin)| (format!("node {name}"), found(pin))).collect()
        };
        maps(&pins(self), &pins(next), &mut lines);
        let wheels = |it: &Self| -> BTreeMap<String, String> {
            let all =
                it.wheels.iter().flat_map(|(unit, them)| them.packages.iter().map(move |it| (unit, it)));
            all.map(|(unit, it)| (format!("{} of {unit}", it.name), it.version.clone())).collect()
        };
        // Wheels that are not resolved yet will be, when the environment is made.
        if !next.wheels.is_empty() {
            maps(&wheels(self), &wheels(next), &mut lines);
        }
        let models = |it: &Self| -> BTreeMap<String, String> {
            it.models
                .iter()
                .map(|(path, sum)| (format!("model {path}"), short(sum.as_str()).to_owned()))
                .collect()
        };
        maps(&models(self), &models(next), &mut lines);
        lines
    }
}

fn maps(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>, lines: &mut Vec<String>) {
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        changed(name, old.get(name).cloned(), new.get(name).cloned(), lines);
    }
}

fn changed(name: &str, old: Option<String>, new: Option<String>, lines: &mut Vec<String>) {
    match (old, new) {
        (Some(old), Some(new)) if old != new => lines.push(format!("{name}: {old} -> {new}")),
        (Some(old), None) => lines.push(format!("{name}: {old} goes")),
        (None, Some(new)) => lines.push(format!("{name}: {new} comes")),
        _ => {}
    }
}

/// Enough of a hash for people.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
