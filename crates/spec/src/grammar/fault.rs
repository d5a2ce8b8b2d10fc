//! What can be wrong with a roster.

use super::{MAX_COUNT, codes};
use crate::ids::NameError;
use crate::notes::{Code, Fault};
use crate::source::Place;

/// One thing wrong with a roster. The texts named `found` are ready to show: quoted, or `[redacted]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RosterFault {
    /// No entry at all.
    #[error("the roster is empty")]
    EmptyRoster,
    /// Nothing between two commas, before the first or after the last.
    #[error("an entry is empty")]
    EmptyEntry,
    /// `comfyui:2 openai:4`, `comfyui:2;openai:4`, `comfyui=2`.
    #[error("{found} stands where a `{meant}` belongs")]
    WrongSeparator {
        /// What stands there.
        found: String,
        /// `,` or `:`.
        meant: &'static str,
    },
    /// `:2`.
    #[error("the name is empty")]
    EmptyName,
    /// A name that no worker can have.
    #[error("{found} is not a worker's name: {cause}")]
    BadName {
        /// What stands there.
        found: String,
        /// Why it is none.
        cause: NameError,
        /// The same name in lower case with hyphens, when that is one.
        meant: Option<String>,
    },
    /// `openai`, or `openai:`.
    #[error("the count is missing")]
    MissingCount {
        /// The name, for the fix.
        name: String,
    },
    /// `openai:x`, `openai:2.9`.
    #[error("the count {found} is neither a whole number nor `auto`")]
    NotACount {
        /// What stands there.
        found: String,
    },
    /// `openai:0`, `openai:-3`.
    #[error("the count {found} is below 1")]
    BelowOne {
        /// What stands there.
        found: String,
    },
    /// A count above [`MAX_COUNT`].
    #[error("the count {found} is above {MAX_COUNT}")]
    AboveMax {
        /// What stands there.
        found: String,
    },
    /// A space before or after a colon.
    #[error("there is a space at the colon")]
    SpaceAtColon {
        /// The entry as it should be.
        rewrite: String,
    },
    /// A third part that was never a binding.
    #[error("the third part {found} is not a binding")]
    UnknownBinding {
        /// What stands there.
        found: String,
        /// The entry as it should be.
        rewrite: String,
    },
    /// `comfyui:2:mock_gpu`, a word of July 2025 for what an inventory says now.
    #[error("`mock_gpu` is a way to run a machine, not a binding")]
    MockGpu {
        /// The entry as it should be.
        rewrite: String,
    },
    /// More than three parts, or a third that is empty.
    #[error("the entry has {parts} parts; name and count are all it needs")]
    TooManyParts {
        /// How many there are.
        parts: usize,
        /// The entry as it should be.
        rewrite: String,
    },
    /// A name that an earlier entry has.
    #[error("{found} is given again; the first is at column {}", first.line_column().1)]
    Duplicate {
        /// The name.
        found: String,
        /// The first entry of that name.
        first: Place,
        /// One entry for all of that name, when their counts can be added.
        merged: Option<String>,
    },
}

impl Fault for RosterFault {
    fn code(&self) -> Code {
        match self {
            Self::EmptyRoster => codes::EMPTY_ROSTER,
            Self::EmptyEntry => codes::EMPTY_ENTRY,
            Self::WrongSeparator { .. } => codes::WRONG_SEPARATOR,
            Self::EmptyName => codes::EMPTY_NAME,
            Self::BadName { .. } => codes::BAD_NAME,
            Self::MissingCount { .. } => codes::MISSING_COUNT,
            Self::NotACount { .. } => codes::NOT_A_COUNT,
            Self::BelowOne { .. } => codes::BELOW_ONE,
            Self::AboveMax { .. } => codes::ABOVE_MAX,
            Self::SpaceAtColon { .. } => codes::SPACE_AT_COLON,
            Self::UnknownBinding { .. } => codes::UNKNOWN_BINDING,
            Self::MockGpu { .. } => codes::MOCK_GPU,
            Self::TooManyParts { .. } => codes::TOO_MANY_PARTS,
            Self::Duplicate { .. } => codes::DUPLICATE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::EmptyRoster => "name at least one worker and its count: `simulation:1`".to_owned(),
            Self::EmptyEntry => "remove the comma, or write the entry that is missing".to_owned(),
            Self::WrongSeparator { meant, .. } => format!("write a `{meant}` there"),
            Self::EmptyName => "write the worker's name before the colon".to_owned(),
            Self::BadName { meant: Some(meant), .. } => format!("write {meant}"),
            Self::BadName { .. } => "write the name as the service mapping has it".to_owned(),
            Self::MissingCount { name } => {
                format!("write `{name}:1`, or `{name}:auto` for as many as fit")
            }
            Self::NotACount { .. } => format!("write a whole number from 1 to {MAX_COUNT}, or `auto`"),
            Self::BelowOne { .. } => "write 1 or more, or leave the entry out".to_owned(),
            Self::AboveMax { .. } => format!("write at most {MAX_COUNT}, or `auto` for as many as fit"),
            Self::SpaceAtColon { rewrite } | Self::TooManyParts { rewrite, .. } => {
                format!("write `{rewrite}`")
            }
            Self::UnknownBinding { rewrite, .. } => {
                format!("write `{rewrite}`; the service mapping knows the binding")
            }
            Self::MockGpu { rewrite } => {
                format!("write `{rewrite}`, and let the machine's inventory be a mock")
            }
            Self::Duplicate { merged: Some(merged), .. } => format!("write one entry `{merged}`"),
            Self::Duplicate { merged: None, .. } => "keep one of them".to_owned(),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::EmptyRoster => "",
            Self::EmptyEntry => "no entry here",
            Self::WrongSeparator { .. } => "not a separator",
            Self::EmptyName => "no name here",
            Self::BadName { .. } => "not a name",
            Self::MissingCount { .. } => "no count here",
            Self::NotACount { .. } | Self::BelowOne { .. } | Self::AboveMax { .. } => "not a count",
            Self::SpaceAtColon { .. } => "no space here",
            Self::UnknownBinding { .. } | Self::MockGpu { .. } => "not a binding",
            Self::TooManyParts { .. } => "too much",
            Self::Duplicate { .. } => "again",
        }
        .to_owned()
    }
}
