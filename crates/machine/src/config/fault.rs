//! What can be wrong with a configuration.

use std::path::PathBuf;

use spec::env::NotUnicode;
use spec::ids::EnvKey;
use spec::notes::{Code, Fault, Finding, Located};

use crate::codes;

/// What is wrong. No value of a secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigFault {
    /// Neither a generation nor a document.
    #[error("there is no generation in `{}`, and `ROSTER_ECOSYSTEM` names no document", root.display())]
    Nothing {
        /// Where one was looked for.
        root: PathBuf,
    },
    /// A machine that the generation does not have.
    #[error("the generation in `{}` has no machine `{name}`", root.display())]
    NoMachine {
        /// Where the generation is.
        root: PathBuf,
        /// The machine that was asked for.
        name: String,
    },
    /// A file that is there and cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Unreadable {
        /// Its path.
        path: String,
        /// What the system says.
        why: String,
    },
    /// The file of a secret.
    #[error("the value of `{key}` is in `{}`, which cannot be read: {why}", path.display())]
    SecretFile {
        /// Whose.
        key: EnvKey,
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Not of its form.
    #[error("`{key}` is not {expected}: {why}")]
    Value {
        /// Its name.
        key: EnvKey,
        /// What it takes, with its article.
        expected: &'static str,
        /// What is wrong with what it has.
        why: String,
        /// Where it stands.
        stands: String,
    },
    /// Not set.
    #[error("`{key}` is not set: {purpose}")]
    Missing {
        /// Its name.
        key: EnvKey,
        /// What it is for.
        purpose: &'static str,
    },
    /// What the plan has decided is decided.
    #[error("`{key}` is {asked:?} in the process environment, and the plan has decided {planned:?}")]
    Decided {
        /// Its name.
        key: EnvKey,
        /// What the environment says.
        asked: String,
        /// What the plan says.
        planned: String,
    },
    /// No text.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// The workspace.
    #[error("the workspace `{path}` cannot be made: {why}")]
    Workspace {
        /// Its path.
        path: String,
        /// What the system says.
        why: String,
    },
}

impl ConfigFault {
    /// A finding of no one place.
    pub(crate) fn nowhere(self) -> Finding {
        Finding::error(Located::nowhere(self))
    }
}

impl Fault for ConfigFault {
    fn code(&self) -> Code {
        match self {
            Self::Nothing { .. } | Self::NoMachine { .. } => codes::NOTHING,
            Self::Unreadable { .. } | Self::Workspace { .. } => codes::FILES,
            Self::Value { .. } | Self::NotUnicode(_) => codes::VALUE,
            Self::Missing { .. } | Self::SecretFile { .. } => codes::MISSING,
            Self::Decided { .. } => codes::DECIDED,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Nothing { .. } => {
                "make one first: `roster env-build --profile simulation`; or name a document with `--ecosystem FILE`"
                    .into()
            }
            Self::NoMachine { .. } => {
                "leave `--machine` out for the default one; `roster compose-profile --list` shows the others".into()
            }
            Self::Unreadable { .. } => "run as the user that it belongs to, or make it a readable UTF-8 file".into(),
            Self::SecretFile { key, .. } => format!("mount the secret, or mend the path in `{key}_FILE`"),
            Self::Value { key, expected, stands, .. } => format!("set `{key}` to {expected}, in {stands}"),
            Self::Missing { key, .. } => format!("set `{key}`, or `{key}_FILE` to a file that holds it"),
            Self::Decided { key, .. } => {
                format!("unset `{key}`, or make a new generation with it: `{key}=… roster env-build`")
            }
            Self::NotUnicode(it) => format!("set `{}` to a text", it.key),
            Self::Workspace { .. } => "make it writable for this user, or set `MACHINE_WORKSPACE`".into(),
        }
    }
}
