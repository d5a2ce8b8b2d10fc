//! One pass over a JSON text (RFC 8259), as strict as `serde_json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Holds, JsonFault, MAX_DEPTH, Member, Node};
use crate::notes::Located;
use crate::source::{SourceText, Span};

pub(super) fn scan(source: &SourceText) -> Result<Node, Vec<Located<JsonFault>>> {
    let mut scanner = Scanner::new(source);
    let root = scanner.document();
    scanner.told(root)
}

/// Where in a text it is, and what of it was wrong so far.
pub(super) struct Scanner<'a> {
    pub source: &'a SourceText,
    pub text: &'a str,
    /// How far it has read; at a character's beginning.
    pub at: usize,
    duplicates: Vec<Located<JsonFault>>,
}

/// What was read, or the fault that ends the scan.
pub(super) type Read<T> = Result<T, Box<Located<JsonFault>>>;

impl<'a> Scanner<'a> {
    pub fn new(source: &'a SourceText) -> Self {
        Self { source, text: source.text(), at: 0, duplicates: Vec::new() }
    }

    /// A document that was read, or everything that is wrong with it.
    pub fn told(&mut self, root: Read<Node>) -> Result<Node, Vec<Located<JsonFault>>> {
        let mut faults = std::mem::take(&mut self.duplicates);
        match root {
            Ok(root) if faults.is_empty() => return Ok(root),
            Ok(_) => {}
            Err(fault) => faults.push(*fault),
        }
        faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
        Err(faults)
    }

    fn document(&mut self) -> Read<Node> {
        self.space();
        let root = self.value(0)?;
        self.space();
        match self.peek() {
            None => Ok(root),
            Some(_) => self
                .refuse("the document goes on after its end", "remove what follows, or what closed it early"),
        }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    pub fn take(&mut self, expected: u8) -> bool {
        let comes = self.peek() == Some(expected);
        self.at += usize::from(comes);
        comes
    }

    /// The fault that the next character is, or the end.
    pub fn refuse<T>(&self, told: &'static str, fix: &'static str) -> Read<T> {
        let length = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.refuse_at(self.at..self.at + length, JsonFault::Syntax { told, fix })
    }

    fn refuse_at<T>(&self, span: Span, fault: JsonFault) -> Read<T> {
        Err(Box::new(Located::at(self.source.at(span), fault)))
    }

    pub fn value(&mut self, depth: usize) -> Read<Node> {
        let start = self.at;
        let holds = match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                return self.refuse_at(start..start + 1, JsonFault::TooDeep);
            }
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => match self.string()? {
                Cow::Borrowed(_) => Holds::PlainString,
                Cow::Owned(_) => Holds::Scalar,
            },
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { span: start..self.at, holds })
    }

    fn word(&mut self) -> Read<Holds> {
        let rest = &self.text[self.at..];
        if let Some(word) = ["true", "false", "null"].into_iter().find(|it| rest.starts_with(it)) {
            self.at += word.len();
            return Ok(Holds::Scalar);
        }
        match self.peek() {
            None => {
                self.refuse("the document ends where a value should be", "write the rest of the document")
            }
            Some(b'\'') => self.refuse("this is not a value", "put texts in double quotes"),
            Some(b'/' | b'#') => self.refuse("JSON has no comments", "remove the comment"),
            Some(b'}' | b']') => self.refuse("a value is missing", "write the value"),
            Some(_) if rest.starts_with('\u{feff}') => {
                self.refuse("a byte order mark stands here", "save the file as UTF-8 without one")
            }
            Some(_) => self.refuse(
                "this is not a value",
                "write a text in double quotes, a number, `true`, `false` or `null`",
            ),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Holds> {
        self.at += 1;
        let mut members = BTreeMap::new();
        self.space();
        while !self.take(b'}') {
            if !members.is_empty() {
                self.separator(
                    "`,` or `}` is expected here",
                    "separate members with a `,`, and close the object with a `}`",
                )?;
            }
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') => return self.refuse("a comma stands before `}`", "remove the comma"),
                Some(b'/' | b'#') => return self.refuse("JSON has no comments", "remove the comment"),
                _ => return self.refuse("a key is expected here", "write a key in double quotes"),
            }
            let start = self.at;
            let name = self.string()?;
            let key = start..self.at;
            self.space();
            if !self.take(b':') {
                return self.refuse("`:` is expected here", "put a `:` between key and value");
            }
            self.space();
            let value = self.value(depth)?;
            match members.entry(name.into_owned()) {
                Entry::Vacant(slot) => {
                    slot.insert(Member { key, value });
                }
                Entry::Occupied(slot) => {
                    let found = self.source.quote(slot.key());
                    let first = self.source.at(slot.get().key.clone());
                    self.duplicates
                        .push(Located::at(self.source.at(key), JsonFault::DuplicateKey { found, first }));
                }
            }
            self.space();
        }
        Ok(Holds::Members(members))
    }

    fn array(&mut self, depth: usize) -> Read<Holds> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        while !self.take(b']') {
            if !items.is_empty() {
                self.next_item()?;
            }
            items.push(self.value(depth)?);
            self.space();
        }
        Ok(Holds::Items(items))
    }

    /// Goes from one item of an array to the next.
    pub fn next_item(&mut self) -> Read<()> {
        self.separator(
            "`,` or `]` is expected here",
            "separate items with a `,`, and close the array with a `]`",
        )?;
        if self.peek() == Some(b']') {
            return self.refuse("a comma stands before `]`", "remove the comma");
        }
        Ok(())
    }

    fn separator(&mut self, told: &'static str, fix: &'static str) -> Read<()> {
        if !self.take(b',') {
            return self.refuse(told, fix);
        }
        self.space();
        Ok(())
    }

    /// Reads a string; borrowed when it has no escapes.
    fn string(&mut self) -> Read<Cow<'a, str>> {
        let opening = self.at;
        self.at += 1;
        let mut plain_from = self.at;
        let mut text = String::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    let plain = &self.text[plain_from..self.at];
                    self.at += 1;
                    return Ok(if plain_from == opening + 1 { plain.into() } else { (text + plain).into() });
                }
                Some(b'\\') => {
                    text.push_str(&self.text[plain_from..self.at]);
                    text.push(self.escape()?);
                    plain_from = self.at;
                }
                Some(..b' ') => {
                    return self.refuse(
                        "a text cannot hold this character as it is",
                        "write it as an escape: `\\n`, `\\t`, `\\u0000`",
                    );
                }
                Some(_) => self.at += 1,
                None => {
                    let fault = JsonFault::Syntax {
                        told: "this text has no closing quote",
                        fix: "close it with a `\"`",
                    };
                    return self.refuse_at(opening..opening + 1, fault);
                }
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let start = self.at;
        self.at += 1;
        let escape = self.peek();
        self.at += 1;
        let character = match escape {
            Some(it @ (b'"' | b'\\' | b'/')) => Some(char::from(it)),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            Some(b'u') => self.hex().and_then(|first| match first {
                0xD800..0xDC00 if self.text[self.at..].starts_with("\\u") => {
                    self.at += 2;
                    char::decode_utf16([first, self.hex()?]).next()?.ok()
                }
                _ => char::from_u32(first.into()),
            }),
            _ => None,
        };
        let Some(character) = character else {
            let fix = "write `\\\\` for a backslash, or one of `\\\" \\/ \\b \\f \\n \\r \\t \\uXXXX`";
            let fault = JsonFault::Syntax { told: "this is not an escape", fix };
            return self.refuse_at(start..start + 1, fault);
        };
        Ok(character)
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Read<Holds> {
        let start = self.at;
        self.take(b'-');
        let whole = self.at;
        let mut well = self.digits();
        well &= self.text.as_bytes()[whole..self.at].first() != Some(&b'0') || self.at == whole + 1;
        if self.take(b'.') {
            well &= self.digits();
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            well &= self.digits();
        }
        if well {
            return Ok(Holds::Scalar);
        }
        let fix = "write it like `-1.5e3`: no zero before other digits, digits on both sides of the point";
        self.refuse_at(start..self.at, JsonFault::Syntax { told: "this is not a number", fix })
    }

    /// Whether there is at least one.
    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }
}
