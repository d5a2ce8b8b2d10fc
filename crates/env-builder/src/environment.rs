//! The environment of a machine: the end of the pipeline, and what the env files are written from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use spec::dotenv;
use spec::env::Secret;
use spec::ids::EnvKey;
use spec::notes::Finding;

use crate::pool::Pool;

/// Public and secret variables; no name is in both. Every public value can be written to an env file.
#[derive(Clone, Debug)]
pub struct Environment {
    public: BTreeMap<EnvKey, String>,
    secret: BTreeMap<EnvKey, Secret<String>>,
    provenance: BTreeMap<EnvKey, Provenance>,
    redact: BTreeSet<Secret<String>>,
    advice: Vec<Finding>,
}

/// Why a variable is in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The plan decides it.
    Plan,
    /// Somebody takes it from the pool.
    Pool {
        /// Its name there, for [`Pool::chain`].
        key: EnvKey,
        /// Everyone who takes it.
        claimants: Vec<String>,
    },
}

impl Environment {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self {
            public: BTreeMap::new(),
            secret: BTreeMap::new(),
            provenance: BTreeMap::new(),
            redact: pool.secret_values().cloned().collect(),
            advice: Vec::new(),
        }
    }

    pub(crate) fn add_public(&mut self, key: &EnvKey, value: String, provenance: Provenance) {
        self.public.insert(key.clone(), value);
        self.provenance.insert(key.clone(), provenance);
    }

    pub(crate) fn add_secret(&mut self, key: &EnvKey, value: Secret<String>, provenance: Provenance) {
        self.redact.insert(value.clone());
        self.secret.insert(key.clone(), value);
        self.provenance.insert(key.clone(), provenance);
    }

    pub(crate) fn advise(&mut self, advice: Vec<Finding>) {
        self.advice = advice;
    }

    /// The public variables, by name.
    pub fn public(&self) -> &BTreeMap<EnvKey, String> {
        &self.public
    }

    /// The secrets, by name: what a file each in `/run/secrets` is written from.
    pub fn secrets(&self) -> impl Iterator<Item = (&EnvKey, &Secret<String>)> {
        self.secret.iter()
    }

    /// Why a variable is there; `None` when it is not.
    pub fn provenance(&self, key: &EnvKey) -> Option<&Provenance> {
        self.provenance.get(key)
    }

    /// Every secret value that went into it, those within other values included: what an output must never hold. The
    /// empty text is not among them.
    pub fn secret_values(&self) -> impl Iterator<Item = &Secret<String>> {
        self.redact.iter().filter(|it| !it.expose().is_empty())
    }

    /// What people should know; none of it stands in the way.
    pub fn advice(&self) -> &[Finding] {
        &self.advice
    }

    /// The text of `.env`, below `header` as a comment.
    pub fn public_file(&self, header: &str) -> String {
        let entries = self.public.iter().map(|(key, value)| (key, value.as_str()));
        comment(header) + &dotenv::write(entries).expect("values that cannot be written were refused")
    }

    /// The text of `.env.secret`, below `header` as a comment; `None` without a secret. A secret that no env file can
    /// hold is named in a comment: it is in its own file only.
    pub fn secret_file(&self, header: &str) -> Option<Secret<String>> {
        if self.secret.is_empty() {
            return None;
        }
        let mut file = comment(header);
        for (key, value) in &self.secret {
            let _ = match dotenv::encode(value.expose()) {
                Ok(value) => writeln!(file, "{key}={value}"),
                Err(cause) => writeln!(file, "# {key} is in a file of its own only: {cause}"),
            };
        }
        Some(Secret::new(file))
    }
}

fn comment(header: &str) -> String {
    header.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}
