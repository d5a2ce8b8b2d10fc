//! Where things are in a JSON text, which `serde_json` does not tell: the place of every value and of every key.
//!
//! A document is read by `serde_json`, and indexed here so that what is found wrong with it later can be pointed at.
//! The scan also refuses what `serde_json` lets pass in silence: a key that an object has twice.
//!
//! ```
//! use spec::{json, source::SourceText};
//!
//! let index = json::index(&SourceText::open("a.json", "{\n  \"ports\": [8188, 9090]\n}")).unwrap();
//! assert_eq!(index.value("/ports/1").unwrap().to_string(), "a.json:2:19");
//! ```

pub mod codes;
mod scanner;

use std::collections::BTreeMap;

use crate::notes::{Code, Fault, Located};
use crate::source::{Place, SourceText, Span};

/// How deep arrays and objects may be nested: as deep as `serde_json` reads.
pub const MAX_DEPTH: usize = 127;

/// The places of a document's values and keys, found by JSON pointer (RFC 6901): `/services/comfyui/ports/0`.
#[derive(Clone, Debug)]
pub struct JsonIndex {
    source: SourceText,
    root: Node,
}

/// A value: where it is, and what it holds.
#[derive(Clone, Debug)]
struct Node {
    span: Span,
    holds: Holds,
}

#[derive(Clone, Debug)]
enum Holds {
    /// Nothing with a pointer of its own.
    Scalar,
    /// A string whose text stands in the document as it is.
    PlainString,
    Items(Vec<Node>),
    Members(BTreeMap<String, Member>),
}

#[derive(Clone, Debug)]
struct Member {
    key: Span,
    value: Node,
}

/// One thing wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON from here on.
    #[error("{told}")]
    Syntax {
        /// What is wrong.
        told: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A key that the object has already.
    #[error("the key {found} is given again; the first is in line {}", first.line_column().0)]
    DuplicateKey {
        /// The key, ready to show.
        found: String,
        /// The first one.
        first: Place,
    },
    /// More than [`MAX_DEPTH`] arrays and objects within each other.
    #[error("arrays and objects are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl Fault for JsonFault {
    fn code(&self) -> Code {
        match self {
            Self::Syntax { .. } => codes::SYNTAX,
            Self::DuplicateKey { .. } => codes::DUPLICATE_KEY,
            Self::TooDeep => codes::TOO_DEEP,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Syntax { fix, .. } => fix,
            Self::DuplicateKey { .. } => "keep one of them",
            Self::TooDeep => "flatten the document",
        }
        .to_owned()
    }
}

/// Finds the place of everything in a JSON text. Every duplicate key is told, and the first fault of syntax.
pub fn index(source: &SourceText) -> Result<JsonIndex, Vec<Located<JsonFault>>> {
    let root = scanner::scan(source)?;
    Ok(JsonIndex { source: source.clone(), root })
}

impl JsonIndex {
    /// The place of a value; `""` is the whole document.
    pub fn value(&self, pointer: &str) -> Option<Place> {
        self.find(pointer).map(|(_, node)| self.source.at(node.span.clone()))
    }

    /// The place of a member's key, with its quotes. An array's item and the document itself have none.
    pub fn key(&self, pointer: &str) -> Option<Place> {
        self.find(pointer).and_then(|(key, _)| key).map(|it| self.source.at(it.clone()))
    }

    /// The place of what stands between a string's quotes, so that spans within the string can be pointed at. `None`
    /// for a string with escapes, whose text is not what stands there, and for what is not a string.
    pub fn string_place(&self, pointer: &str) -> Option<Place> {
        let (_, Node { span, holds: Holds::PlainString }) = self.find(pointer)? else { return None };
        Some(self.source.at(span.start + 1..span.end - 1))
    }

    fn find(&self, pointer: &str) -> Option<(Option<&Span>, &Node)> {
        let mut found = (None, &self.root);
        if pointer.is_empty() {
            return Some(found);
        }
        for token in pointer.strip_prefix('/')?.split('/') {
            found = match &found.1.holds {
                Holds::Members(members) => {
                    let member = members.get(&token.replace("~1", "/").replace("~0", "~"))?;
                    (Some(&member.key), &member.value)
                }
                Holds::Items(items) if token == "0" || !token.starts_with(['0', '+']) => {
                    (None, items.get(token.parse::<usize>().ok()?)?)
                }
                _ => return None,
            };
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests;
