//! Findings as people and programs read them: rustc's form on a terminal, one JSON document under `--json`.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use spec::notes::{Finding, Severity};
use spec::source::{Exposure, Place};

use crate::redact::Redactor;

/// Renders findings for a terminal or a log: errors first, then advice; without colour when `plain`.
pub fn render(findings: &[Finding], redactor: &Redactor, plain: bool) -> String {
    let renderer = if plain { Renderer::plain() } else { Renderer::styled() }.decor_style(DecorStyle::Ascii);
    let mut ordered: Vec<&Finding> = findings.iter().collect();
    ordered.sort_by_key(|it| it.severity);
    let told = ordered.into_iter().map(|it| render_one(&redactor.finding(it), &renderer) + "\n");
    told.collect::<Vec<_>>().join("\n")
}

fn render_one(finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Advice => Level::NOTE,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code.id);
    let mut group = Group::with_title(title);
    let shown = finding.place.as_ref().and_then(Shown::of);
    let origin = finding.place.as_ref().filter(|_| shown.is_none()).map(|place| {
        let (line, column) = place.line_column();
        let origin = Origin::path(place.source.name());
        if place.source.text().is_empty() { origin } else { origin.line(line).char_column(column) }
    });
    if let Some(shown) = &shown {
        let mark = AnnotationKind::Primary.span(shown.start..shown.end);
        let mark = if finding.label.is_empty() { mark } else { mark.label(finding.label.as_str()) };
        group = group.element(
            Snippet::source(shown.line.as_str())
                .line_start(shown.number)
                .path(shown.name.as_str())
                .annotation(mark),
        );
    }
    if let Some(origin) = origin {
        group = group.element(origin);
    }
    if !finding.fix.is_empty() {
        group = group.element(Level::HELP.message(finding.fix.as_str()));
    }
    renderer.render(&[group])
}

/// The one line that a message quotes.
struct Shown {
    name: String,
    line: String,
    number: usize,
    start: usize,
    end: usize,
}

impl Shown {
    /// The line of a place; `None` when its source is guarded, or the place is the source as a whole.
    fn of(place: &Place) -> Option<Self> {
        let text = place.source.text();
        if place.source.exposure() == Exposure::Guarded
            || place.span.is_empty()
            || place.span.start >= text.len()
        {
            return None;
        }
        let begin = text[..place.span.start].rfind('\n').map_or(0, |it| it + 1);
        let end = text[begin..].find('\n').map_or(text.len(), |it| begin + it);
        let line = without_values(&text[begin..end]);
        // Masking keeps the line's length, so the span still fits.
        let start = place.span.start - begin;
        let stop = place.span.end.min(end) - begin;
        Some(Self {
            name: place.source.name().to_owned(),
            line,
            number: place.line_column().0,
            start,
            end: stop.max(start + 1).min(end - begin),
        })
    }
}

/// A line of a document with the values of environment variables masked: `"OPENAI_API_KEY": "sk-…"` shows its key
/// only. Whatever stands right of a key in capitals may be a secret, in whichever document it was put by mistake.
fn without_values(line: &str) -> String {
    let Some(after) = key_in_capitals(line) else { return line.to_owned() };
    let (shown, value) = line.split_at(after);
    shown.to_owned()
        + &value
            .chars()
            .map(|it| if it.is_whitespace() { " " } else { "*" }.repeat(it.len_utf8()))
            .collect::<String>()
}

/// Where the value begins, if the line is `"KEY_IN_CAPITALS": …`.
fn key_in_capitals(line: &str) -> Option<usize> {
    let open = line.find('"')? + 1;
    let close = open + line[open..].find('"')?;
    let key = &line[open..close];
    let capital = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
    let colon = close + 1 + line[close + 1..].find(':')?;
    (!key.is_empty() && key.chars().all(capital) && line[close + 1..colon].trim().is_empty())
        .then_some(colon + 1)
}

/// A finding for programs.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct FindingDocument {
    /// The rule: `SPEC003`.
    pub code: String,
    /// `error` or `advice`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// The file, flag or variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What to do.
    pub fix: String,
}

impl FindingDocument {
    /// The finding, secrets redacted.
    pub fn of(finding: &Finding, redactor: &Redactor) -> Self {
        let finding = redactor.finding(finding);
        let position = finding.place.as_ref().map(Place::line_column);
        Self {
            code: finding.code.id.to_owned(),
            severity: match finding.severity {
                Severity::Error => "error".to_owned(),
                Severity::Advice => "advice".to_owned(),
            },
            message: finding.message,
            file: finding.place.as_ref().map(|it| it.source.name().to_owned()),
            line: position.map(|it| it.0),
            column: position.map(|it| it.1),
            fix: finding.fix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::source::SourceText;

    #[test]
    fn a_line_shows_the_name_of_a_variable_and_never_its_value() {
        let line = r#"    "OPENAI_API_KEY": "sk-canary", "B": 1"#;
        assert_eq!(without_values(line), r#"    "OPENAI_API_KEY": ************ **** *"#);
        assert_eq!(without_values(r#"  "redis": "local""#), r#"  "redis": "local""#);
    }

    #[test]
    fn a_guarded_source_is_never_quoted() {
        let source = SourceText::guarded("secrets/local.env", "TOKEN canary");
        assert!(Shown::of(&source.at(0..12)).is_none());
    }

    #[test]
    fn a_place_over_many_lines_marks_its_first_one() {
        let source = SourceText::open("a.json", "{\n  \"a\": {\n  }\n}");
        let shown = Shown::of(&source.at(9..14)).unwrap();
        assert_eq!((shown.number, &shown.line[shown.start..shown.end]), (2, "{"));
    }
}
