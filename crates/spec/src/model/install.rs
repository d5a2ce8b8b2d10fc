//! How a service is installed: as the mapping says it, and as the installer is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{EnvKey, ServiceName};

/// What is done before the first start of a service. In its texts `${WORKSPACE}` stands for the machine's workspace and
/// the service's public variables for their values; in commands and in the probe also `${SOURCE}`, the folder of the
/// checkout, `${INSTALL}`, the one around it, and `${PYTHON}`, the environment's interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Where the program comes from.
    pub source: InstallSource,
    /// What its Python environment holds. Without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonNeeds>,
    /// Programs run in the checkout, in this order, once its environment is there: a program and its arguments each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Vec<String>>,
    /// The extensions that go into the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeNeeds>,
    /// The models that go beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelNeeds>,
    /// Folders that each instance needs, `${NAME}` being its name: absolute, or from `${WORKSPACE}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<String>,
    /// The variable with the token of each host that asks for one. It is sent to that host alone, and over TLS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, EnvKey>,
    /// A program that exits with 0 in the checkout when the install works, and its arguments.
    #[cfg_attr(feature = "documents", schemars(length(min = 1)))]
    pub probe: Vec<String>,
}

/// Where a program comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InstallSource {
    /// A Git repository.
    Git {
        /// Its address: `https`, `ssh` or `file`.
        url: String,
        /// A branch or tag; without it the one that the repository calls its head. Empty is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        /// A commit, whole: 40 or 64 hexadecimal digits. It wins over the branch. Empty is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// With its submodules.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recursive: bool,
    },
    /// A folder of this machine, copied.
    Directory {
        /// Absolute, or from `${WORKSPACE}`.
        path: String,
    },
    /// A gzipped tar.
    Tarball {
        /// Its address: `https`, or `http` on this machine.
        url: String,
        /// The SHA-256 of its bytes.
        sha256: String,
        /// Parts that are taken off the front of its paths.
        #[serde(default, skip_serializing_if = "is_zero")]
        strip: u8,
    },
    /// A program that the system brings: `bin/<name>` of the checkout leads to it. Where the system has none, the Python
    /// packages and commands have to make `bin/<name>`; where it has, they are left out.
    Program {
        /// Its name, as it is looked up in `PATH`.
        name: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it may skip so")]
fn is_zero(it: &u8) -> bool {
    *it == 0
}

/// What a Python environment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PythonNeeds {
    /// Files of requirements, from the checkout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Further requirements, as a line of such a file has them: `requests>=2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
}

/// Extensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeNeeds {
    /// The document that lists them; `{"custom_nodes": […]}`. Where there is none, there are none.
    pub file: String,
    /// The folder that they go into, from the checkout.
    pub folder: String,
}

/// Models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "documents", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelNeeds {
    /// The document that lists them; `{"models": […]}`. Where there is none, there are none.
    pub file: String,
    /// The folder that they go into: absolute, or from `${WORKSPACE}`. It is on one file system.
    pub folder: String,
    /// The folders in it that the service looks into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The file that tells ComfyUI of them (`--extra-model-paths-config`): absolute, or from `${WORKSPACE}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths_file: Option<String>,
}

/// What the installer of a machine is told about one service: everything that it does follows from this and from the
/// variables that the service declares. The ecosystem hands it over in the variable [`InstallOrder::VARIABLE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallOrder {
    /// Whose install it is.
    pub service: ServiceName,
    /// The machine's workspace, absolute.
    pub workspace: String,
    /// What the mapping says, with the `directories` of every instance filled in.
    pub install: Install,
    /// The variables that its texts, and the variables of its nodes, may refer to.
    pub variables: Vec<EnvKey>,
}

impl InstallOrder {
    /// The variable that holds an order as JSON.
    pub const VARIABLE: &'static str = "ROSTER_INSTALL";
}
