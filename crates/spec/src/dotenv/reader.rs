//! Env files into values.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::fault::DotenvFault;
use crate::ids::EnvKey;
use crate::notes::Located;
use crate::source::{Place, SourceText};

/// One `KEY=value`. `Debug` leaves the value out: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The variable.
    pub key: EnvKey,
    /// Its value, unquoted.
    pub value: String,
    /// The key.
    pub place: Place,
    /// The value as written, without its quotes.
    pub value_place: Place,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} at {})", self.key, self.place)
    }
}

/// Reads an env file: what [`write`](super::write) writes, and what people write by hand.
///
/// - Blank lines and lines that begin with `#` mean nothing; `export` before a key is allowed, and so are spaces around
///   the key and the value.
/// - Without quotes, the value is the rest of the line as it stands: `#`, `;`, `=`, `$` and `\` are a part of it.
/// - In single quotes everything is literal, line feeds too.
/// - In double quotes `\n`, `\r`, `\t`, `\\`, `\"` and `\$` are escapes, and everything else is literal: no variable is
///   expanded.
/// - A comment may follow a closing quote and a space.
pub fn parse(source: &SourceText) -> Result<Vec<Entry>, Vec<Located<DotenvFault>>> {
    let (entries, faults) = read(source);
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

/// As [`parse`], and in spite of faults: what was understood, and what was not. A variable whose value is at fault is
/// there with the text as it stands, so that nobody misses it as well.
pub fn read(source: &SourceText) -> (Vec<Entry>, Vec<Located<DotenvFault>>) {
    let text = source.text();
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let mut first_places: BTreeMap<EnvKey, Place> = BTreeMap::new();
    let mut position = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while position < text.len() {
        let line = trimmed(text, position..line_end(text, position));
        position = line_end(text, line.end) + 1;
        if line.is_empty() || text[line.clone()].starts_with('#') {
            continue;
        }
        let Some(equals) = text[line.clone()].find('=').map(|it| line.start + it) else {
            faults.push(Located::at(source.at(line), DotenvFault::NoEquals));
            continue;
        };
        let key_span = without_export(text, trimmed(text, line.start..equals));
        let place = source.at(key_span.clone());
        let key = match text[key_span].parse::<EnvKey>() {
            Ok(key) => match first_places.get(&key) {
                Some(first) => Err(DotenvFault::DuplicateKey { key, first_line: first.line_column().0 }),
                None => Ok(key),
            },
            Err(_) => Err(DotenvFault::BadKey),
        };
        let key = key.map_err(|fault| faults.push(Located::at(place.clone(), fault))).ok();
        first_places.extend(key.iter().map(|key| (key.clone(), place.clone())));
        // The value is read even when the key is bad: its quotes say where the next entry begins.
        let (value, next) = read_value(text, trimmed(text, equals + 1..line.end));
        position = next;
        let (value, span) = value.unwrap_or_else(|(fault, span)| {
            faults.push(Located::at(source.at(span), fault));
            let written = trimmed(text, equals + 1..next - 1);
            (text[written.clone()].to_owned(), written)
        });
        if let Some(key) = key {
            entries.push(Entry { key, value, place, value_place: source.at(span) });
        }
    }
    (entries, faults)
}

type Spanned<T> = (T, Range<usize>);

/// Reads the value that begins `rest`, the trimmed rest of its line. Also says where the next entry may begin.
fn read_value(text: &str, rest: Range<usize>) -> (Result<Spanned<String>, Spanned<DotenvFault>>, usize) {
    let inner = rest.start + 1;
    let closed = match text[rest.clone()].chars().next() {
        Some('\'') => text[inner..].find('\'').map(|length| (length, text[inner..inner + length].to_owned())),
        Some('"') => unescape(&text[inner..]),
        _ => return (Ok((text[rest.clone()].to_owned(), rest.clone())), line_end(text, rest.end) + 1),
    };
    let Some((length, value)) = closed else {
        // Most likely the quote was meant to close on its own line, so the lines below are entries again.
        return (Err((DotenvFault::Unterminated, rest.start..inner)), line_end(text, rest.end) + 1);
    };
    let end = inner + length;
    let line_end = line_end(text, end);
    let after = trimmed(text, end + 1..line_end);
    let is_comment = text[after.clone()].starts_with('#') && after.start > end + 1;
    let value = if after.is_empty() || is_comment {
        Ok((value, inner..end))
    } else {
        Err((DotenvFault::AfterQuote, after))
    };
    (value, line_end + 1)
}

/// The text up to the closing double quote, its escapes undone, and where that quote is; `None` when there is none.
fn unescape(text: &str) -> Option<(usize, String)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, it)) = chars.next() {
        match it {
            '"' => return Some((at, value)),
            '\\' => {
                let escaped = chars.peek().and_then(|&(_, next)| match next {
                    'n' => Some('\n'),
                    'r' => Some('\r'),
                    't' => Some('\t'),
                    '\\' | '"' | '$' => Some(next),
                    _ => None,
                });
                if escaped.is_some() {
                    chars.next();
                }
                value.push(escaped.unwrap_or('\\'));
            }
            _ => value.push(it),
        }
    }
    None
}

/// Where the line that holds `from` ends: at its line feed, or at the end of the text.
fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |it| from + it)
}

/// `span` without the spaces, tabs and carriage returns at its ends.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let blank = [' ', '\t', '\r'];
    let shown = text[span.clone()].trim_end_matches(blank);
    let end = span.start + shown.len();
    end - shown.trim_start_matches(blank).len()..end
}

/// `key` without the `export` that a shell script would have before it.
fn without_export(text: &str, key: Range<usize>) -> Range<usize> {
    match text[key.clone()].strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => trimmed(text, key.end - rest.len()..key.end),
        _ => key,
    }
}
