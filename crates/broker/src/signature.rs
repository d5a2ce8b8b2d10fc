//! Signatures: what takes part in matching, and nothing else of a job. Jobs of one signature wait in one line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spec::ids::JobType;

use crate::ids::{CustomerId, WorkflowId};
use crate::requirements::Requirements;

/// The first 128 bits of a SHA-256, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u128);

/// The digest of a document's JSON.
pub(crate) fn digest(document: &impl Serialize) -> Digest {
    // Maps with keys that are texts and numbers that are finite: nothing of it can fail to be JSON.
    let text = serde_json::to_vec(document).unwrap_or_default();
    let hash = Sha256::digest(text);
    Digest(hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte)))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl FromStr for Digest {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}
impl TryFrom<String> for Digest {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// Everything of a job that decides which workers may run it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The service that it is for.
    pub service: JobType,
    /// What it requires.
    #[serde(default, skip_serializing_if = "Requirements::is_none")]
    pub requirements: Requirements,
    /// Whose it is, for workers that some customers may not use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// The workflow by which it is routed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
}

impl Signature {
    /// Its id.
    pub fn id(&self) -> SignatureId {
        SignatureId(digest(self))
    }
}

/// The hash of a signature's canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignatureId(pub(crate) Digest);

impl fmt::Display for SignatureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
