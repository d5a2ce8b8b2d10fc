//! What an instance occupies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one instance of a service occupies. It comes from the mapping, never from the roster string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// A device, or a declared part of its memory.
    Gpu,
    /// The machine's processor: a fixed number of instances a machine.
    Cpu,
    /// Nothing of this machine: the service is elsewhere, its workers only wait for it.
    Shared,
}

impl Binding {
    /// The word used in the mapping and in the old third part of an entry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Shared => "shared",
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
