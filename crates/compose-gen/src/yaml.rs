//! A document of the few YAML forms that Compose files need, and its text.
//!
//! Every reader has to read the same values: Compose (Go, YAML 1.2 with remnants of 1.1), the linters (`PyYAML`, ruamel,
//! npm's `yaml`) and `serde-saphyr`. They disagree about plain scalars (`no`, `1e3`, `012`, `10:30`), so only texts
//! that all of them take for texts are written plain; measured in `docs/adr/0003-our-own-compose-emitter.md`.

use std::fmt::Write;

/// A value of the document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A text. Compose replaces `$NAME` in every value, so each `$` is written twice.
    Text(String),
    /// A number.
    Whole(u64),
    /// `true` or `false`.
    Bool(bool),
    /// A block sequence.
    List(Vec<Node>),
    /// A block mapping, in this order.
    Map(Vec<(String, Node)>),
    /// `&name` before a value.
    Anchor(&'static str, Box<Node>),
    /// `*name`. Under the key [`MERGE`] it merges the mapping of that anchor.
    Alias(&'static str),
}

/// The key that merges a mapping into this one. The keys written beside it win.
pub(crate) const MERGE: &str = "<<";

impl Node {
    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    pub(crate) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A mapping.
    pub(crate) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Node)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, node)| (key.into(), node)).collect())
    }

    /// A list or mapping of nothing.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Text(_) | Self::Whole(_) | Self::Bool(_) | Self::Anchor(..) | Self::Alias(_) => false,
        }
    }
}

/// The text of a document: `header` as a comment, then the entries of the outermost mapping, an empty line between
/// them. The error is the keys that lead to each text with a NUL, which YAML cannot hold.
pub(crate) fn emit(header: &str, document: &[(String, Node)]) -> Result<String, Vec<Vec<String>>> {
    let mut out = String::new();
    for line in header.lines() {
        out.push('#');
        if !line.is_empty() {
            out.push(' ');
        }
        for it in line.chars() {
            if is_printable(it) { out.push(it) } else { out.extend(it.escape_unicode()) }
        }
        out.push('\n');
    }
    out.push_str("---\n");
    let mut emitter = Emitter { out, path: Vec::new(), nul: Vec::new() };
    for (index, entry) in document.iter().enumerate() {
        if index > 0 {
            emitter.out.push('\n');
        }
        emitter.entry(entry, 0);
    }
    if emitter.nul.is_empty() { Ok(emitter.out) } else { Err(emitter.nul) }
}

struct Emitter {
    out: String,
    path: Vec<String>,
    nul: Vec<Vec<String>>,
}

impl Emitter {
    /// `key: value` and the line's end. The indentation of its first line is there already.
    fn entry(&mut self, (key, node): &(String, Node), indent: usize) {
        self.path.push(key.clone());
        // A quoted `<<` is a text to some readers, so the merge key is the one key that is always plain.
        match node {
            Node::Alias(_) if key == MERGE => self.out.push_str(key),
            _ => self.scalar(key),
        }
        self.out.push(':');
        self.value(node, indent);
        self.path.pop();
    }

    /// A value after its `:`.
    fn value(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Anchor(name, node) => {
                self.out.push_str(" &");
                self.out.push_str(name);
                self.value(node, indent);
            }
            Node::List(_) | Node::Map(_) if !node.is_empty() => {
                self.out.push('\n');
                self.pad(indent + 2);
                self.block(node, indent + 2);
            }
            _ => {
                self.out.push(' ');
                self.block(node, indent);
            }
        }
    }

    /// A value whose first line is indented already.
    fn block(&mut self, node: &Node, indent: usize) {
        match node {
            Node::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.pad(indent);
                    }
                    self.out.push_str("- ");
                    self.path.push(index.to_string());
                    self.block(item, indent + 2);
                    self.path.pop();
                }
                return;
            }
            Node::Map(entries) if !entries.is_empty() => {
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        self.pad(indent);
                    }
                    self.entry(entry, indent);
                }
                return;
            }
            Node::List(_) => self.out.push_str("[]"),
            Node::Map(_) => self.out.push_str("{}"),
            Node::Text(text) => self.scalar(&text.replace('$', "$$")),
            Node::Whole(number) => self.out.push_str(&number.to_string()),
            Node::Bool(truth) => self.out.push_str(if *truth { "true" } else { "false" }),
            Node::Alias(name) => {
                self.out.push('*');
                self.out.push_str(name);
            }
            Node::Anchor(name, node) => {
                self.out.push('&');
                self.out.push_str(name);
                return self.value(node, indent);
            }
        }
        self.out.push('\n');
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// A text in the plainest style that every reader takes for this text.
    fn scalar(&mut self, text: &str) {
        if text.contains('\0') {
            self.nul.push(self.path.clone());
        }
        if is_plain(text) {
            self.out.push_str(text);
        } else if text.chars().all(is_printable) {
            self.out.push('\'');
            self.out.push_str(&text.replace('\'', "''"));
            self.out.push('\'');
        } else {
            self.out.push('"');
            for it in text.chars() {
                escape(it, &mut self.out);
            }
            self.out.push('"');
        }
    }
}

/// Whether no reader takes the text for anything but itself: a path or a word with two letters or more, so that it is
/// no number in any base, and none of the words of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let begins = text.starts_with("./") || text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '/');
    begins
        && text.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '/' | '-'))
        && text.chars().filter(char::is_ascii_alphabetic).nth(1).is_some()
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether a character stands for itself on a line of YAML: no control, no line separator, no byte order mark.
fn is_printable(it: char) -> bool {
    !it.is_control() && !matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A character within double quotes.
fn escape(it: char, out: &mut String) {
    let code = u32::from(it);
    match it {
        '"' | '\\' => out.extend(['\\', it]),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        _ if is_printable(it) => out.push(it),
        _ => {
            let result =
                if code <= 0xff { write!(out, "\\x{code:02X}") } else { write!(out, "\\u{code:04X}") };
            debug_assert!(result.is_ok(), "writing to a String cannot fail");
        }
    }
}

#[cfg(test)]
mod tests;
