//! What can be wrong with a condition.

use super::{MAX_DEPTH, codes};
use crate::ids::NameError;
use crate::notes::{Code, Fault};

/// One thing wrong with a condition. The texts named `found` are ready to show: quoted, or `[redacted]`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConditionFault {
    /// A character that begins nothing.
    #[error("{found} has no meaning in a condition")]
    Stray {
        /// That character.
        found: String,
        /// The operator that was likely meant.
        meant: Option<&'static str>,
    },
    /// A text without its closing quote.
    #[error("this text has no closing quote")]
    OpenString,
    /// Something else should stand here.
    #[error("{expected} is expected here")]
    Syntax {
        /// What should.
        expected: &'static str,
    },
    /// A text that is no component's or section's name.
    #[error("{found} is not the name of a {kind}: {cause}")]
    BadName {
        /// What stands there.
        found: String,
        /// `component` or `section`.
        kind: &'static str,
        /// Why it is none.
        cause: NameError,
    },
    /// More than [`MAX_DEPTH`] parentheses and `!` within each other.
    #[error("the condition is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A component that the profile does not have.
    #[error("the profile has no component {found}")]
    UnknownComponent {
        /// What stands there.
        found: String,
        /// The component that was likely meant.
        meant: Option<String>,
        /// The components that the profile has, separated by commas.
        known: String,
    },
}

impl Fault for ConditionFault {
    fn code(&self) -> Code {
        match self {
            Self::Stray { .. } => codes::STRAY,
            Self::OpenString => codes::OPEN_STRING,
            Self::Syntax { .. } => codes::SYNTAX,
            Self::BadName { .. } => codes::BAD_NAME,
            Self::TooDeep => codes::TOO_DEEP,
            Self::UnknownComponent { .. } => codes::UNKNOWN_COMPONENT,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Stray { meant: Some(meant), .. } => format!("write `{meant}`"),
            Self::Stray { meant: None, .. } | Self::Syntax { .. } => {
                "write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses".to_owned()
            }
            Self::OpenString => "close it with the quote that it began with".to_owned(),
            Self::BadName { kind: "component", .. } => {
                "write the component's name, a space, and `==`, `!=` or `includes`".to_owned()
            }
            Self::BadName { .. } => "write the section's name as the component's file has it".to_owned(),
            Self::TooDeep => "remove the parentheses that change nothing".to_owned(),
            Self::UnknownComponent { meant: Some(meant), .. } => format!("write `components.{meant}`"),
            Self::UnknownComponent { known, .. } if known.is_empty() => {
                "add the component to the profile".to_owned()
            }
            Self::UnknownComponent { known, .. } => {
                format!("name one of its components ({known}), or add this one to the profile")
            }
        }
    }
}
