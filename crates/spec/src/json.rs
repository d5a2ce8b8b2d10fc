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
mod documents;
mod scanner;

use std::collections::BTreeMap;

use crate::notes::{Code, Fault, Located};
use crate::source::{Place, SourceText, Span};

pub use documents::{Documents, documents};

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

    /// The pointers of numbers that a reader which keeps 64 bits of each would change: whole numbers that are neither an `i64`
    /// nor a `u64`, and others that are too large or too small for a double. Digits of a fraction that no double can hold are
    /// none: a fraction means the double nearest to it.
    pub fn unheld(&self) -> Vec<String> {
        unheld(self.source.text(), &self.root)
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

/// A key as a part of a JSON pointer.
pub fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A JSON pointer as people write it: `workers.openai.accepts[0]` for `/workers/openai/accepts/0`. Empty for the document.
pub fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit()) {
            path.extend(["[", &part, "]"]);
        } else {
            path.extend([if path.is_empty() { "" } else { "." }, &part]);
        }
    }
    path
}

/// See [`JsonIndex::unheld`]; the pointers begin at this node.
fn unheld(text: &str, node: &Node) -> Vec<String> {
    match &node.holds {
        Holds::Scalar if !held(&text[node.span.clone()]) => vec![String::new()],
        Holds::Scalar | Holds::PlainString => vec![],
        Holds::Items(items) => {
            let items = items.iter().enumerate();
            let below = |(index, it)| unheld(text, it).into_iter().map(move |rest| format!("/{index}{rest}"));
            items.flat_map(below).collect()
        }
        Holds::Members(members) => {
            let below = |(name, it): (&'_ String, &Member)| {
                let found = unheld(text, &it.value);
                found.iter().map(|rest| format!("/{}{rest}", token(name))).collect::<Vec<_>>()
            };
            members.iter().flat_map(below).collect()
        }
    }
}

/// Whether a scalar is no number, or one that 64 bits hold.
fn held(text: &str) -> bool {
    if !text.starts_with(|it: char| it == '-' || it.is_ascii_digit()) {
        return true;
    }
    let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    if exponent.is_empty() && !mantissa.contains('.') {
        return text.len() < 19 || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    }
    let zero = !mantissa.contains(|it: char| matches!(it, '1'..='9'));
    text.parse::<f64>().is_ok_and(|it| it.is_finite() && (it == 0.0) == zero)
}

#[cfg(test)]
mod tests;
