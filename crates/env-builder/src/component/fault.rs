//! What can be wrong with a component file.

use spec::ids::{EnvKey, SectionName};
use spec::notes::{Code, Fault};
use spec::template::TemplateFault;

use crate::codes;

/// One thing wrong with a component file. A line that was not understood may be a piece of a secret, so none is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentFault {
    /// No `NAMESPACE=` before the first section.
    #[error("the component has no namespace")]
    NoNamespace,
    /// Another key than `NAMESPACE` before the first section.
    #[error("only `NAMESPACE` may stand before the first section")]
    OutsideSection,
    /// A line that is no comment, no section and has no `=`.
    #[error("this line is neither a comment, a `[section]` nor `KEY=value`")]
    NotALine,
    /// What stands before `=` cannot be a key.
    #[error("what stands before `=` is not a key")]
    BadKey,
    /// A published name that is too long for a variable.
    #[error("the namespace and this key together are too long for a variable's name")]
    LongKey,
    /// A line that begins with `[` and is no section.
    #[error("this is not a section")]
    BadSection,
    /// A section for the second time.
    #[error("the section `{name}` is given again; the first is in line {first_line}")]
    RepeatedSection {
        /// Its name.
        name: SectionName,
        /// The line of the first one, counted from 1.
        first_line: usize,
    },
    /// A key for the second time in one section.
    #[error("the key `{key}` is given again; the first is in line {first_line}")]
    RepeatedKey {
        /// The key as written.
        key: EnvKey,
        /// The line of the first one, counted from 1.
        first_line: usize,
    },
    /// A quote that is not closed on its line.
    #[error("the quote that opens here is not closed on this line")]
    OpenQuote,
    /// Text after a closing quote.
    #[error("there is text after the closing quote")]
    AfterQuote,
    /// A `\` in double quotes before something that is no escape.
    #[error("this is not an escape")]
    BadEscape,
    /// A reference that is none.
    #[error(transparent)]
    Template(#[from] TemplateFault),
    /// Advice: the end of a value without quotes looks like a comment.
    #[error("this looks like a comment, and is a part of the value")]
    LooksLikeComment,
}

impl Fault for ComponentFault {
    fn code(&self) -> Code {
        match self {
            Self::NoNamespace => codes::NO_NAMESPACE,
            Self::OutsideSection => codes::OUTSIDE_SECTION,
            Self::NotALine => codes::NOT_A_LINE,
            Self::BadKey | Self::LongKey => codes::BAD_KEY,
            Self::BadSection => codes::BAD_SECTION,
            Self::RepeatedSection { .. } | Self::RepeatedKey { .. } => codes::REPEATED,
            Self::OpenQuote | Self::AfterQuote | Self::BadEscape => codes::QUOTES,
            Self::Template(fault) => fault.code(),
            Self::LooksLikeComment => codes::LOOKS_LIKE_COMMENT,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoNamespace => "write `NAMESPACE=NAME` before the first section".into(),
            Self::OutsideSection => "move the line into the section that it belongs to".into(),
            Self::NotALine => "write `KEY=value`, or begin the line with `#`; a value has one line, `\\n` in double quotes is its line feed".into(),
            Self::BadKey => "use A-Z, 0-9 and _, no digit first".into(),
            Self::LongKey => format!("keep both within {} characters", spec::ids::MAX_NAME - 1),
            Self::BadSection => "write `[name]` alone on its line, of letters, digits, _ and -".into(),
            Self::RepeatedSection { .. } => "join the two sections".into(),
            Self::RepeatedKey { .. } => "keep one of them".into(),
            Self::OpenQuote => "close the quote, or put the value into quotes of the other kind".into(),
            Self::AfterQuote => "put the whole value into one pair of quotes; single ones leave everything as it is".into(),
            Self::BadEscape => "use `\\n`, `\\t`, `\\\"`, `\\\\` or `\\$`, or put the value into single quotes".into(),
            Self::Template(fault) => fault.fix(),
            Self::LooksLikeComment => "give the comment a line of its own, or put the value into quotes".into(),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::NoNamespace => "",
            Self::OutsideSection => "outside a section",
            Self::NotALine => "no `=`",
            Self::BadKey | Self::LongKey => "not a key",
            Self::BadSection => "not a section",
            Self::RepeatedSection { .. } | Self::RepeatedKey { .. } => "again",
            Self::OpenQuote => "opens here",
            Self::AfterQuote => "after the quote",
            Self::BadEscape => "no escape",
            Self::Template(fault) => return fault.label(),
            Self::LooksLikeComment => "a part of the value",
        }
        .to_owned()
    }
}
