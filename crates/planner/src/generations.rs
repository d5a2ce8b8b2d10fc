//! Complete sets of generated files, and the one link that says which set is in force.
//!
//! ```text
//! .env                 -> .roster/current/.env
//! docker-compose.yaml  -> .roster/current/docker-compose.yaml
//! .roster/current      -> generations/<content hash>
//! .roster/generations/<content hash>/{.env, .env.secret, docker-compose.yaml, ecosystem.json, plan.json, …}
//! .roster/history         the hashes that were in force, oldest first
//! ```
//!
//! A set is written beside the others, then one `rename` of `.roster/current` puts it in force: a crash at any instant
//! leaves the old set or the new one. Every step before that rename can be repeated; every step after it only tidies.

mod disk;
mod error;
mod store;
#[cfg(test)]
mod tests;

pub use error::ALL as CODES;
#[cfg(test)]
use error::StoreError;
pub use store::{Store, Written};

use std::collections::BTreeMap;
use std::fmt;

use crate::hash;

/// The files of one generation, by their path below it. Paths use `/`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Artefacts(BTreeMap<String, Artefact>);

/// One generated file.
#[derive(Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who may read it.
    pub access: Access,
}

/// Who may read a generated file. Nobody writes one: it is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// The owner: a file of secrets.
    Owner,
    /// Everybody who can enter its folder, which only the owner can. A container gets the file alone as a mount, and
    /// its unprivileged user must be able to read it, whatever its number.
    Mounted,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Public | Self::Mounted => 0o444,
            Self::Owner => 0o600,
        }
    }

    /// The access of the file at a path: the path alone says it.
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("secrets/") || path.contains("/secrets/") {
            Self::Mounted
        } else if path.ends_with(".env.secret") {
            Self::Owner
        } else {
            Self::Public
        }
    }
}

impl Artefacts {
    /// Adds a file.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let path = path.into();
        let access = Access::of_path(&path);
        self.0.insert(path, Artefact { bytes: bytes.into(), access });
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&Artefact> {
        self.0.get(path)
    }

    /// All files by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Artefact)> {
        self.0.iter().map(|(path, it)| (path.as_str(), it))
    }

    /// The generation that these files are: a hash of every path, access and byte.
    pub fn id(&self) -> GenerationId {
        let head = |path: &String, it: &Artefact| {
            format!("{path}\0{:o}\0{}\0", it.access.mode(), it.bytes.len()).into_bytes()
        };
        let parts: Vec<(Vec<u8>, &Artefact)> = self.0.iter().map(|(path, it)| (head(path, it), it)).collect();
        GenerationId(hash::short(parts.iter().flat_map(|(head, it)| [&head[..], &it.bytes])))
    }
}

/// Secrets never reach a panic's text.
impl fmt::Debug for Artefacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// The name of a generation: 16 hexadecimal digits of its content hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenerationId(String);

impl GenerationId {
    /// Reads the name of a generation's folder.
    pub fn parse(text: &str) -> Option<Self> {
        let hex =
            text.len() == 16 && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
        hex.then(|| Self(text.to_owned()))
    }

    /// Its folder's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
