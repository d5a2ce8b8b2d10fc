//! The template: text with references to environment variables, as component files and the mapping hold it.
//!
//! | written | means |
//! |---|---|
//! | `${NAME}` | the variable's value, which may be empty; an error when it is not set |
//! | `${NAME:-default}` | its value, or the default (itself a template) when it is not set or empty |
//! | `${NAME:?message}` | its value, or an error with the message when it is not set or empty |
//! | `$${` | `${` |
//!
//! Every other `$` stands for itself. Within a default or a message braces come in pairs, so that JSON may be a default.

pub mod codes;
mod parser;

use std::iter;

use crate::ids::EnvKey;
use crate::notes::{Code, Fault};
use crate::source::Span;

/// How deep defaults may be nested.
pub const MAX_DEPTH: usize = 16;

/// A text with references, in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text that stands for itself, `$${` already turned into `${`. Never empty, never two in a row.
    Literal(String),
    /// A variable's value.
    Reference {
        /// The variable.
        name: EnvKey,
        /// What happens when it has none.
        otherwise: Otherwise,
        /// From the `$` to the `}`, in the text that was parsed.
        span: Span,
    },
}

/// What a reference does without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Nothing else will do. An empty value is a value.
    Required,
    /// This instead, also for an empty value.
    Default(Template),
    /// An error with this message, also for an empty value.
    Message(String),
}

/// One thing wrong with a template. The text may be a secret's, so none of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// A `${` without its `}`.
    #[error("this `${{` has no closing `}}`")]
    Unterminated,
    /// Not the name of a variable.
    #[error("this reference does not name a variable")]
    BadName,
    /// `${A-b}` and other forms of the shell's.
    #[error("after the variable's name comes neither `}}` nor `:-` nor `:?`")]
    UnknownOperator,
    /// More than [`MAX_DEPTH`] defaults within each other.
    #[error("defaults are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl Fault for TemplateFault {
    fn code(&self) -> Code {
        match self {
            Self::Unterminated => codes::UNTERMINATED,
            Self::BadName => codes::BAD_NAME,
            Self::UnknownOperator => codes::UNKNOWN_OPERATOR,
            Self::TooDeep => codes::TOO_DEEP,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Unterminated => "close the brace; write `$${` where `${` itself is meant",
            Self::BadName => {
                "use letters, digits and _, not a digit first; write `$${` where `${` itself is meant"
            }
            Self::UnknownOperator => "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`",
            Self::TooDeep => "give one of the inner variables a value of its own and refer to it",
        }
        .to_owned()
    }
}

/// Why a template has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError<E> {
    /// A plain reference to a variable that is not set.
    #[error("`{name}` is not set")]
    Missing {
        /// The variable.
        name: EnvKey,
        /// The reference.
        span: Span,
    },
    /// A reference with a message, to a variable that is not set or empty.
    #[error("`{name}` is empty or not set{}{message}", if message.is_empty() { "" } else { ": " })]
    Asked {
        /// The variable.
        name: EnvKey,
        /// What the template's author says about it. Part of the text: not to be shown where that is a secret.
        message: String,
        /// The reference.
        span: Span,
    },
    /// The lookup itself failed.
    #[error("{0}")]
    Lookup(E),
}

impl<E: Fault> Fault for ExpandError<E> {
    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => codes::MISSING,
            Self::Asked { .. } => codes::ASKED,
            Self::Lookup(fault) => fault.code(),
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Missing { name, .. } => {
                format!("set `{name}`, or give it a default: `${{{name}:-default}}`")
            }
            Self::Asked { name, .. } => format!("set `{name}`"),
            Self::Lookup(fault) => fault.fix(),
        }
    }
}

impl Template {
    /// Reads a text; all faults at once, each with its span in the text.
    pub fn parse(text: &str) -> Result<Self, Vec<(Span, TemplateFault)>> {
        parser::parse(text)
    }

    /// The parts in the order written.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it refers to nothing.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|it| matches!(it, Segment::Literal(_)))
    }

    /// The name of every reference in the order written, those within defaults included.
    pub fn references(&self) -> impl Iterator<Item = &EnvKey> {
        self.segments.iter().flat_map(|segment| -> Box<dyn Iterator<Item = &EnvKey>> {
            match segment {
                Segment::Literal(_) => Box::new(iter::empty()),
                Segment::Reference { name, otherwise: Otherwise::Default(default), .. } => {
                    Box::new(iter::once(name).chain(default.references()))
                }
                Segment::Reference { name, .. } => Box::new(iter::once(name)),
            }
        })
    }

    /// The text with every reference replaced by what `lookup` knows of it; all errors at once. A value is put in as it
    /// is, references within it are not looked at. A default is expanded only where it is needed.
    pub fn expand<E>(
        &self,
        lookup: &mut dyn FnMut(&EnvKey) -> Result<Option<String>, E>,
    ) -> Result<String, Vec<ExpandError<E>>> {
        let (mut text, mut errors) = (String::new(), Vec::new());
        self.expand_into(lookup, &mut text, &mut errors);
        if errors.is_empty() { Ok(text) } else { Err(errors) }
    }

    fn expand_into<E>(
        &self,
        lookup: &mut dyn FnMut(&EnvKey) -> Result<Option<String>, E>,
        text: &mut String,
        errors: &mut Vec<ExpandError<E>>,
    ) {
        for segment in &self.segments {
            let (name, otherwise, span) = match segment {
                Segment::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Segment::Reference { name, otherwise, span } => (name, otherwise, span.clone()),
            };
            let value = match lookup(name) {
                Ok(value) => value,
                Err(error) => {
                    errors.push(ExpandError::Lookup(error));
                    continue;
                }
            };
            match (value.filter(|it| !it.is_empty() || *otherwise == Otherwise::Required), otherwise) {
                (Some(value), _) => text.push_str(&value),
                (None, Otherwise::Default(default)) => default.expand_into(lookup, text, errors),
                (None, Otherwise::Required) => {
                    errors.push(ExpandError::Missing { name: name.clone(), span });
                }
                (None, Otherwise::Message(message)) => {
                    errors.push(ExpandError::Asked { name: name.clone(), message: message.clone(), span });
                }
            }
        }
    }
}

/// The template that expands to `text`.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests;
