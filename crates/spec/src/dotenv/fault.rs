//! What an env file cannot hold, and what can be wrong with one. No message quotes a value.

use super::codes;
use crate::ids::EnvKey;
use crate::notes::{Code, Fault};

const AS_SECRET: &str = "declare the value as a secret: secrets travel as files, byte for byte";

/// Why a value cannot be written to an env file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// No environment variable can hold one: values are C strings.
    #[error("the value holds a NUL character, which no environment variable can")]
    Nul,
    /// Node's `dotenv` turns it into a line feed, and `sh` knows no escape for it.
    #[error("the value holds a carriage return, which does not survive in an env file")]
    CarriageReturn,
    /// Each way of quoting the value means something else to some reader.
    #[error("the value {clash}: no quoting of that means the same to Docker Compose, sh and Node")]
    NoCommonQuoting {
        /// What in the value stands against it.
        clash: Clash,
    },
}

/// What in a value leaves no way of quoting it that all readers understand alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// `'` needs double quotes, which `"` would close.
    #[error("holds both an apostrophe and a double quote")]
    DoubleQuote,
    /// `'` needs double quotes, in which `` ` `` runs a command.
    #[error("holds both an apostrophe and a backquote")]
    Backquote,
    /// `'` needs double quotes, in which `$` begins an expansion.
    #[error("holds both an apostrophe and a `$` that begins an expansion")]
    Dollar,
    /// `'` needs double quotes, in which this `\` begins an escape.
    #[error("holds both an apostrophe and a backslash that begins an escape")]
    Backslash,
    /// Compose takes `\'` for an escaped quote.
    #[error("ends in an odd number of backslashes")]
    FinalBackslash,
}

impl Fault for Unencodable {
    fn code(&self) -> Code {
        match self {
            Self::Nul => codes::NUL,
            Self::CarriageReturn => codes::CARRIAGE_RETURN,
            Self::NoCommonQuoting { .. } => codes::NO_COMMON_QUOTING,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Nul => format!("remove it, or {AS_SECRET}"),
            Self::CarriageReturn => format!("save the file it comes from with LF line ends, or {AS_SECRET}"),
            Self::NoCommonQuoting { clash: Clash::FinalBackslash } => {
                format!("end the value in something else, or {AS_SECRET}")
            }
            Self::NoCommonQuoting { .. } => {
                format!(
                    "if the value itself is JSON, write its apostrophes as `\\u0027`; if not, {AS_SECRET}"
                )
            }
        }
    }
}

/// One thing wrong with an env file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DotenvFault {
    /// A line without `=` that is no comment.
    #[error("this line is neither `KEY=value` nor a comment")]
    NoEquals,
    /// What stands before `=` is no [`EnvKey`]. It is not quoted: it may be a piece of a value that lost its quotes.
    #[error("what stands before `=` is not the name of a variable")]
    BadKey,
    /// A quote without its other half.
    #[error("the quote that opens here is never closed")]
    Unterminated,
    /// Text after the closing quote that is no comment.
    #[error("there is text after the closing quote")]
    AfterQuote,
    /// A key for the second time.
    #[error("`{key}` was already set in line {first_line}")]
    DuplicateKey {
        /// The key.
        key: EnvKey,
        /// The line that set it first, counted from 1.
        first_line: usize,
    },
}

impl Fault for DotenvFault {
    fn code(&self) -> Code {
        match self {
            Self::NoEquals => codes::NO_EQUALS,
            Self::BadKey => codes::BAD_KEY,
            Self::Unterminated => codes::UNTERMINATED,
            Self::AfterQuote => codes::AFTER_QUOTE,
            Self::DuplicateKey { .. } => codes::DUPLICATE_KEY,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoEquals => {
                "write `KEY=value`, begin the line with `#`, or put a value of several lines in single quotes"
                    .into()
            }
            Self::BadKey => "use letters, digits and _, no digit first, and 63 characters at most".into(),
            Self::Unterminated => {
                "close the quote, or put the whole value in quotes of the other kind".into()
            }
            Self::AfterQuote => {
                "put the whole value in one pair of quotes, or a space before the `#` of a comment".into()
            }
            Self::DuplicateKey { key, .. } => format!("keep one `{key}` and remove the other"),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::NoEquals => "no `=`",
            Self::BadKey => "not a name",
            Self::Unterminated => "opens here",
            Self::AfterQuote => "after the quote",
            Self::DuplicateKey { .. } => "set again",
        }
        .into()
    }
}
