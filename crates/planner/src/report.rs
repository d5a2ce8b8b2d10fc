//! Findings as people and programs read them: rustc's form on a terminal, one JSON document under `--json`.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use spec::notes::{Code, Finding, Severity};
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
    let shown = finding.place.as_ref().and_then(|it| Shown::of(it, finding.code));
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
    fn of(place: &Place, code: Code) -> Option<Self> {
        let text = place.source.text();
        if place.source.exposure() == Exposure::Guarded
            || place.span.is_empty()
            || place.span.start >= text.len()
        {
            return None;
        }
        let begin = text[..place.span.start].rfind('\n').map_or(0, |it| it + 1);
        let end = text[begin..].find('\n').map_or(text.len(), |it| begin + it);
        let line = &text[begin..end];
        let line = if spec::json::codes::ALL.contains(&code) || spec::document::ALL.contains(&code) {
            without_texts(line)
        } else {
            without_values(line)
        };
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
    let from = keys(line).find(|key| is_variable(&line[key.clone()])).map_or(line.len(), |key| key.end + 1);
    line[..from].to_owned() + &without_texts(&line[from..])
}

/// A line of a document that is no JSON, or not of its form: what stands in it may be anything, so all that is left of it
/// are signs and what can only be keys.
fn without_texts(line: &str) -> String {
    let mut shown = String::new();
    let mut at = 0;
    for key in keys(line) {
        shown += &masked(&line[at..key.start]);
        shown += &line[key.clone()];
        at = key.end;
    }
    shown + &masked(&line[at..])
}

/// What stands in quotes before a colon and begins a member of an object, without the quotes.
fn keys(line: &str) -> impl Iterator<Item = Range<usize>> {
    let quotes: Vec<usize> = line.match_indices('"').map(|(at, _)| at).collect();
    let pairs: Vec<_> = quotes.windows(2).map(|pair| pair[0] + 1..pair[1]).collect();
    pairs.into_iter().filter(|it| {
        let before = line[..it.start - 1].trim_end();
        (before.is_empty() || before.ends_with(['{', ',']))
            && line[it.end + 1..].trim_start().starts_with(':')
    })
}

fn is_variable(key: &str) -> bool {
    let capital = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
    !key.is_empty() && key.chars().all(capital)
}

/// Stars for everything but white space and the signs of JSON, in as many bytes.
fn masked(text: &str) -> String {
    let shown = |it: char| it.is_whitespace() || "{}[]:,\"".contains(it);
    text.chars().map(|it| if shown(it) { it.to_string() } else { "*".repeat(it.len_utf8()) }).collect()
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
        for (line, shown) in [
            (r#"    "OPENAI_API_KEY": "sk-canary", "B": 1"#, r#"    "OPENAI_API_KEY": "*********", "B": *"#),
            (r#"{ "environment": { "KEY": ["canary"] } }"#, r#"{ "environment": { "KEY": ["******"] } }"#),
            (r#"  "redis": "local""#, r#"  "redis": "local""#),
            (r#"  "workers": "comfyui:2,openai:4""#, r#"  "workers": "comfyui:2,openai:4""#),
        ] {
            assert_eq!(without_values(line), shown);
        }
    }

    #[test]
    fn a_line_of_a_document_that_was_not_understood_shows_its_keys_only() {
        for (line, shown) in [
            (r#"  "environment": { "KEY": canary, "#, r#"  "environment": { "KEY": ******, "#),
            (r#"  "a": "canary" "b": "canary""#, r#"  "a": "******" "*": "******""#),
            (r#"  "a": canary", "b": 1"#, r#"  "a": ******", "b": *"#),
            (r#"  "canaryé, "a": 1"#, r#"  "********, "a": *"#),
        ] {
            assert_eq!(without_texts(line), shown);
        }
    }

    #[test]
    fn a_guarded_source_is_never_quoted() {
        let source = SourceText::guarded("secrets/local.env", "TOKEN canary");
        assert!(Shown::of(&source.at(0..12), spec::document::WRONG_VALUE).is_none());
    }

    #[test]
    fn a_place_over_many_lines_marks_its_first_one() {
        let source = SourceText::open("a.json", "{\n  \"a\": {\n  }\n}");
        let shown = Shown::of(&source.at(9..14), spec::document::WRONG_VALUE).unwrap();
        assert_eq!((shown.number, &shown.line[shown.start..shown.end]), (2, "{"));
    }
}
