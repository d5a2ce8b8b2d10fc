//! Where a piece of input came from, so that every message can point at it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Half-open byte range within one [`SourceText`].
pub type Span = Range<usize>;

/// Whether a source's lines may be quoted in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Any line may be quoted.
    Open,
    /// The file may hold secrets: messages name line and column, and never quote a value.
    Guarded,
}

/// One input text and the name under which people know it: a path, a flag (`--spec`), an environment variable.
///
/// Cloning is cheap. `Debug` prints the name only, so that a panic cannot spill a secrets file.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    name: String,
    text: String,
    exposure: Exposure,
}

impl SourceText {
    /// A source whose lines may be quoted.
    pub fn open(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner { name: name.into(), text: text.into(), exposure: Exposure::Open }))
    }

    /// A source whose values must never be quoted.
    pub fn guarded(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner { name: name.into(), text: text.into(), exposure: Exposure::Guarded }))
    }

    /// The name people know it by.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether its lines may be quoted.
    pub fn exposure(&self) -> Exposure {
        self.0.exposure
    }

    /// The place of `span` in this source.
    pub fn at(&self, span: Span) -> Place {
        Place { source: self.clone(), span }
    }

    /// `text`, which was read from this source, as a message may show it: in backticks, control characters escaped,
    /// cut after 60 characters; `[redacted]` when the source is guarded.
    pub fn quote(&self, text: &str) -> String {
        if self.exposure() == Exposure::Guarded { "[redacted]".to_owned() } else { shown(text) }
    }

    /// The place that means the whole source.
    pub fn whole(&self) -> Place {
        self.at(0..0)
    }
}

/// A text that is no secret as a message may show it: in backticks, control characters escaped, cut after 60 characters.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::from("`");
    for it in text.chars().take(LONGEST) {
        if it.is_control() { shown.extend(it.escape_default()) } else { shown.push(it) }
    }
    shown.push_str(if text.chars().nth(LONGEST).is_some() { "…`" } else { "`" });
    shown
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({:?})", self.name())
    }
}

/// A span of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text that is meant.
    pub source: SourceText,
    /// The bytes that are meant; empty at 0 for the source as a whole.
    pub span: Span,
}

impl Place {
    /// Line and column, both from 1; the column counts characters.
    pub fn line_column(&self) -> (usize, usize) {
        let text = self.source.text();
        let mut start = self.span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The text it spans, empty when the source has no such span. It may be a secret: messages show it through
    /// [`SourceText::quote`] only.
    pub fn text(&self) -> &str {
        self.source.text().get(self.span.clone()).unwrap_or_default()
    }

    /// The same source, `inner` counted from the start of this place.
    #[must_use]
    pub fn inner(&self, inner: Span) -> Self {
        self.source.at(self.span.start + inner.start..self.span.start + inner.end)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let source = SourceText::open("profile.json", "{\n  \"é\": 1\n}");
        assert_eq!(source.at(0..1).to_string(), "profile.json:1:1");
        assert_eq!(source.at(9..10).to_string(), "profile.json:2:7");
        assert_eq!(source.at(900..901).line_column().0, 3);
    }

    #[test]
    fn a_quote_is_short_and_printable_and_never_of_a_guarded_source() {
        assert_eq!(SourceText::open("a", "").quote("x\u{1b}[1m"), "`x\\u{1b}[1m`");
        assert_eq!(SourceText::open("a", "").quote(&"é".repeat(61)), format!("`{}…`", "é".repeat(60)));
        assert_eq!(SourceText::guarded("a", "").quote("canary"), "[redacted]");
    }

    #[test]
    fn debug_never_prints_the_text() {
        let source = SourceText::guarded("secrets/local.env", "TOKEN=canary");
        assert!(!format!("{source:?} {:?}", source.whole()).contains("canary"));
    }
}
