//! Texts that hold several documents: behind each other, usually one a line, or as the items of one array.

use super::scanner::{Read, Scanner};
use super::{JsonFault, JsonIndex, Node};
use crate::notes::Located;
use crate::source::SourceText;

/// The documents of a text, one after the other; see [`documents`].
pub struct Documents<'a> {
    scanner: Scanner<'a>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Behind each other.
    Several,
    /// As the items of an array, before the first of them.
    Begin,
    /// As the items of an array, behind one of them.
    Items,
    /// Nothing more comes, or nothing that can be understood.
    End,
}

/// The documents of a text: those behind each other, or the items of the array that it is as a whole. One at a time, so that a
/// large text does not need a multiple of its size.
///
/// A document with a fault of syntax does not hide those behind it, if they begin on lines of their own: what follows is
/// read from the next line on that begins with `{`, or as the broken one did. Within an array nothing can be read behind such
/// a fault.
///
/// ```
/// use spec::{json, source::SourceText};
///
/// let source = SourceText::open("a.json", "{\"n\": 1}\n{\"n\": }\n{\"n\": 3}\n");
/// let told = json::documents(&source).map(|it| match it {
///     Ok(index) => index.value("/n").unwrap().to_string(),
///     Err(faults) => faults[0].fault.to_string(),
/// });
/// assert_eq!(told.collect::<Vec<_>>(), ["a.json:1:7", "a value is missing", "a.json:3:7"]);
/// ```
pub fn documents(source: &SourceText) -> Documents<'_> {
    let form = if is_one_array(source.text()) { Form::Begin } else { Form::Several };
    Documents { scanner: Scanner::new(source), form }
}

/// Whether a text is an array behind which nothing comes. An array that is never closed is one.
fn is_one_array(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let (mut depth, mut within, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = within,
            b'"' => within = !within,
            b'[' | b'{' if !within => depth += 1,
            b']' | b'}' if !within => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.starts_with('[') && text[at + 1..].trim().is_empty();
        }
    }
    text.starts_with('[')
}

impl Iterator for Documents<'_> {
    type Item = Result<JsonIndex, Vec<Located<JsonFault>>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scanner.space();
        let start = self.scanner.at;
        let root = match self.form {
            Form::End => return None,
            Form::Several if self.scanner.peek().is_none() => return None,
            Form::Several => self.one(),
            Form::Begin | Form::Items => self.item().transpose()?,
        };
        if root.is_err() {
            self.resume(start);
        }
        let source = self.scanner.source;
        Some(self.scanner.told(root).map(|root| JsonIndex { source: source.clone(), root }))
    }
}

impl Documents<'_> {
    /// The next of several.
    fn one(&mut self) -> Read<Node> {
        let scanner = &mut self.scanner;
        if scanner.peek() == Some(b',') {
            return scanner.refuse(
                "a comma stands between two documents",
                "remove it, or put all of them between `[` and `]`",
            );
        }
        let root = scanner.value(0)?;
        let word = |it: &u8| it.is_ascii_alphanumeric();
        if scanner.peek().as_ref().is_some_and(word) && word(&scanner.text.as_bytes()[scanner.at - 1]) {
            return scanner.refuse("a space is missing before this", "write each document on its own line");
        }
        Ok(root)
    }

    /// The next item of the array.
    fn item(&mut self) -> Read<Option<Node>> {
        let scanner = &mut self.scanner;
        if self.form == Form::Begin {
            scanner.take(b'[');
            scanner.space();
        }
        if scanner.take(b']') {
            self.form = Form::End;
            return Ok(None);
        }
        if self.form == Form::Items {
            scanner.next_item()?;
        }
        self.form = Form::Items;
        scanner.value(1).map(Some)
    }

    /// Goes on behind a document with a fault of syntax, which began at `start`.
    fn resume(&mut self, start: usize) {
        if self.form != Form::Several {
            self.form = Form::End;
            return;
        }
        let (text, first) = (self.scanner.text, self.scanner.text[start..].chars().next());
        let begins = |at: &usize| text[*at..].starts_with(|it| it == '{' || Some(it) == first);
        let next = text[start..].match_indices('\n').map(|(at, _)| start + at + 1).find(begins);
        self.scanner.at = next.unwrap_or(text.len());
    }
}

#[cfg(test)]
mod tests;
