//! An import as programs read it: `roster import … --json`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Import, Item, Machine};

/// An import. It has no value of a secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImportDocument {
    /// A proposal for each machine.
    pub machines: Vec<MachinePart>,
    /// What became of each thing of the old files.
    pub items: Vec<Item>,
    /// How many of them are left to decide.
    pub open: usize,
    /// The folder that the proposals were written below; absent when they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// The proposal for one machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MachinePart {
    /// The profile's name.
    pub profile: String,
    /// Its roster.
    pub roster: String,
    /// How many GPUs the old machine had, when its files say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u16>,
    /// Variables that are still to be said.
    pub missing: Vec<String>,
    /// The files.
    pub files: Vec<FilePart>,
}

/// A file of a proposal.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FilePart {
    /// Its path below the project.
    pub path: String,
    /// Its text; that of a secrets file without the values.
    pub text: String,
    /// Nobody but its owner may read it.
    pub private: bool,
}

impl ImportDocument {
    /// The document of an import.
    pub fn of(import: &Import, written: Option<String>) -> Self {
        let file = |it: &crate::File| FilePart {
            path: it.path.clone(),
            text: it.shown.clone(),
            private: it.private,
        };
        let machine = |it: &Machine| MachinePart {
            profile: it.profile.to_string(),
            roster: it.roster.clone(),
            gpus: it.gpus,
            missing: it.missing.iter().map(ToString::to_string).collect(),
            files: it.files.iter().map(file).collect(),
        };
        Self {
            machines: import.machines.iter().map(machine).collect(),
            items: import.items.clone(),
            open: import.open(),
            written,
        }
    }
}
