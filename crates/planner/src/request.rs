//! What one machine is to be planned from, and its form in a generation's manifest and in `compose-profiles.json`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::ids::ProfileName;
use spec::source::{Exposure, SourceText};

use crate::cli::{Flags, Hardware};
use crate::inventory::{GpuFlag, HardwareDocument};
use crate::layout::Layout;
use spec::notes::{Finding, Located, errors};

/// What to plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The environment profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// The roster; replaces the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<String>,
    /// The hardware; left out: the profile's block, else a look at the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<HardwareChoice>,
}

/// Where the inventory comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HardwareChoice {
    /// A look at the machine.
    Detect,
    /// `2` or `2x48GiB`.
    Gpus(String),
    /// As an inventory file says it.
    Declared(HardwareDocument),
}

impl Request {
    /// What the command line asks for; an inventory file is read, relative to `directory`.
    pub fn of(flags: &Flags, directory: &Path) -> Result<Self, Vec<Finding>> {
        let hardware = HardwareChoice::of(&flags.hardware, directory)?;
        Ok(Self { profile: flags.profile.clone(), workers: flags.spec.clone(), hardware })
    }

    /// Whether the command line named nothing to plan.
    pub fn is_unsaid(&self) -> bool {
        self.profile.is_none() && self.workers.is_none()
    }
}

impl HardwareChoice {
    /// What the command line asks for; an inventory file is read, relative to `directory`.
    pub fn of(flags: &Hardware, directory: &Path) -> Result<Option<Self>, Vec<Finding>> {
        if let Some(path) = &flags.inventory {
            let read = Layout::argument(directory, path, Exposure::Open);
            let source = read.map_err(|error| vec![Finding::error(Located::nowhere(error))])?;
            let document = spec::document::read::<HardwareDocument>(&source).map_err(errors)?;
            return Ok(Some(Self::Declared(document.value)));
        }
        Ok(flags.gpus.map(|it| Self::Gpus(it.to_string())).or(flags.detect.then_some(Self::Detect)))
    }
}

/// The source that a roster on the command line is.
pub(crate) fn spec_source(roster: &str) -> SourceText {
    SourceText::open("--spec", roster)
}

/// Reads a `gpus` text of a document through the same door as the flag.
pub(crate) fn gpu_flag(text: &str) -> Option<GpuFlag> {
    text.parse().ok()
}
