//! Why an import cannot be.

use spec::notes::{Code, Fault};

use crate::codes;

/// The most bytes of one file.
pub const MAX_BYTES: u64 = 4 << 20;
/// The most values of one document, aliases counted as often as they stand.
pub(crate) const MAX_VALUES: usize = 100_000;
/// The most levels of one document.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why an import cannot be. No text quotes a value: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    /// More than [`MAX_BYTES`].
    #[error("the file has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not YAML from here on.
    #[error("this is not YAML: {told}")]
    Syntax {
        /// What the reader says.
        told: String,
    },
    /// A second document.
    #[error("a second document begins here")]
    SecondDocument,
    /// A key that is a list or a mapping.
    #[error("this key is not a text")]
    Key,
    /// An alias without its anchor.
    #[error("no anchor `{name}` stands before this alias")]
    NoAnchor {
        /// Its name.
        name: String,
    },
    /// A merge of something that has no keys.
    #[error("`<<` merges something that is not a mapping")]
    Merge,
    /// An alias within its own anchor.
    #[error("this alias stands within what it stands for")]
    Loop,
    /// Beyond measure.
    #[error("with its aliases written out the document has more than {what}")]
    Endless {
        /// What there is too much of.
        what: String,
    },
    /// A key for the second time.
    #[error("the key `{key}` is given again; the first is in line {first_line}")]
    Twice {
        /// The key.
        key: String,
        /// The line of the first one, from 1.
        first_line: usize,
    },
    /// Another form than was said.
    #[error("{what} is not {expected}")]
    Form {
        /// Which part.
        what: String,
        /// What can be there.
        expected: &'static str,
    },
    /// No roster.
    #[error("no worker is found for the profile `{profile}`")]
    NoWorker {
        /// The profile that was to be.
        profile: String,
    },
    /// Node is missing, or it failed.
    #[error("{told}")]
    Node {
        /// What happened.
        told: String,
    },
    /// Another file is in the way.
    #[error("`{path}` is there already and says something else")]
    InTheWay {
        /// Its path.
        path: String,
    },
    /// One roster for several machines.
    #[error("one roster is said for {count} machines")]
    ManyMachines {
        /// How many.
        count: usize,
    },
    /// Something is left to decide.
    #[error("{count} thing{} of the old files {} left to decide", if *count == 1 { "" } else { "s" }, if *count == 1 { "is" } else { "are" })]
    Open {
        /// How many.
        count: usize,
    },
}

impl Fault for ImportFault {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge => codes::TOO_LARGE,
            Self::Syntax { .. } | Self::SecondDocument | Self::Key | Self::NoAnchor { .. } | Self::Merge => {
                codes::YAML
            }
            Self::Loop | Self::Endless { .. } => codes::ENDLESS,
            Self::Twice { .. } => codes::TWICE,
            Self::Form { .. } => codes::FORM,
            Self::NoWorker { .. } => codes::NO_WORKER,
            Self::Node { .. } => codes::NODE,
            Self::InTheWay { .. } => codes::IN_THE_WAY,
            Self::ManyMachines { .. } => codes::MANY_MACHINES,
            Self::Open { .. } => codes::OPEN,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::TooLarge => "name the file that the old machine is started from",
            Self::Syntax { .. } => "mend the line; `docker compose config -q` looks at the same",
            Self::SecondDocument => "keep one document in the file",
            Self::Key => "write the key as a text",
            Self::NoAnchor { .. } => "write the anchor before it, or the value in its place",
            Self::Merge => "merge a mapping, or a list of mappings",
            Self::Loop | Self::Endless { .. } => "write out what the alias is to stand for",
            Self::Twice { .. } => "keep one of them",
            Self::Form { expected, .. } => return format!("write {expected}"),
            Self::NoWorker { .. } => {
                "give the file that names the workers too, or say the roster: `--spec comfyui:2,openai:4`"
            }
            Self::Node { .. } => "on the old machine, type `pm2 jlist > apps.json` and import that file",
            Self::InTheWay { .. } => "say another `--name`, or `--force` to replace it",
            Self::ManyMachines { .. } => "say which one with `--service NAME`",
            Self::Open { .. } => {
                "see `to decide` for what to do with each; `--allow-gaps` goes on without them"
            }
        }
        .to_owned()
    }
}
