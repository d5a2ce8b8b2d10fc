//! What a generation was made from: read back when another verb must make it again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::ids::ServiceName;

use crate::request::Request;

/// The path of the manifest below a generation.
pub(crate) const PATH: &str = "manifest.json";

/// What a generation was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub schema_version: u32,
    /// The default machine; absent when only named machines were built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Request>,
}

/// `config/compose-profiles.json`: the named machines beside the default one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeProfiles {
    /// The schema of this document, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// By name; the name is the compose profile, the service and the host.
    pub machines: BTreeMap<ServiceName, Request>,
}

impl Manifest {
    /// The manifest as text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl ComposeProfiles {
    /// The document as text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
