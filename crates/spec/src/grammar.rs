//! The roster: `comfyui:2,openai:auto`, the one line that says which workers a machine runs and how many.
//!
//! ```text
//! roster = entry *("," entry)
//! entry  = name ":" count [":" binding]
//! ```
//!
//! Spaces around commas and at both ends mean nothing; spaces at a colon are a fault. The third part is the old form:
//! it is understood, so that it can be compared with the mapping, and never written. `docs/grammar.md` has the whole
//! grammar and an answer to every kind of mistake. Nothing is ever assumed for text that was not understood.

pub mod codes;
mod fault;
mod parser;

use std::fmt;
use std::num::NonZeroU16;

pub use fault::RosterFault;

use crate::ids::WorkerName;
use crate::model::Binding;
use crate::notes::Located;
use crate::source::{Place, SourceText};

/// The greatest count that an entry may ask for. More is a slip of the finger, not a machine.
pub const MAX_COUNT: u16 = 10_000;

/// How many workers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// This many, at most [`MAX_COUNT`].
    Exactly(NonZeroU16),
    /// As many as fit. Only the allocator knows the machine, so only it answers this.
    Auto,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => count.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// One entry of a roster: `comfyui:2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The worker that is asked for. Whether the mapping has it is for the resolver to say.
    pub name: WorkerName,
    /// How many.
    pub count: Count,
    /// The third part of the old form and its place; whether it agrees with the mapping is for the resolver to say.
    pub legacy_binding: Option<(Binding, Place)>,
    /// The whole entry.
    pub place: Place,
    /// Its name.
    pub name_place: Place,
    /// Its count.
    pub count_place: Place,
}

/// The canonical form, which has two parts.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.count)
    }
}

/// At least one entry, in the order written, no name twice. Only [`parse`] and [`parse_at`] make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Roster {
    entries: Vec<Entry>,
}

impl Roster {
    /// The entries, in the order written.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The canonical form: `comfyui:2,openai:auto`.
impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            write!(f, "{}{entry}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a roster, in the order of the text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the roster has {} fault{}", faults.len(), if faults.len() == 1 { "" } else { "s" })]
pub struct ParseErrors {
    /// What is wrong, and where. Never empty.
    pub faults: Vec<Located<RosterFault>>,
    /// The entries without a fault, no name twice, so that a resolver can report unknown names in the same run.
    pub understood: Vec<Entry>,
}

/// Reads a source that is a roster and nothing else.
pub fn parse(source: &SourceText) -> Result<Roster, ParseErrors> {
    parse_at(&source.at(0..source.text().len()))
}

/// Reads the roster that `place` spans: a string within a profile, say. Every span points into the place's source.
pub fn parse_at(place: &Place) -> Result<Roster, ParseErrors> {
    let (entries, faults) = parser::read(place);
    if faults.is_empty() { Ok(Roster { entries }) } else { Err(ParseErrors { faults, understood: entries }) }
}

#[cfg(test)]
mod tests;
