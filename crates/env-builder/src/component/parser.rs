//! Component files into components, a line at a time.

use std::collections::BTreeMap;

use spec::ids::{ComponentName, EnvKey, SectionName};
use spec::notes::Located;
use spec::source::{SourceText, Span};
use spec::template::{Template, escape};

use super::{Component, ComponentFault, Variable};

const BLANK: [char; 2] = [' ', '\t'];

pub(super) fn read(
    name: ComponentName,
    source: &SourceText,
) -> Result<Component, Vec<Located<ComponentFault>>> {
    let mut parser = Parser {
        source,
        namespace: Namespace::Absent,
        section: Section::Before,
        seen: BTreeMap::new(),
        lines: Vec::new(),
        first_lines: BTreeMap::new(),
        faults: Vec::new(),
        advice: Vec::new(),
    };
    let mut start = if source.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while start < source.text().len() {
        let end = source.text()[start..].find('\n').map_or(source.text().len(), |it| start + it);
        parser.line(trimmed(source.text(), start..end));
        start = end + 1;
    }
    parser.finish(name)
}

struct Parser<'a> {
    source: &'a SourceText,
    namespace: Namespace,
    section: Section,
    /// Every section with the line of its header.
    seen: BTreeMap<SectionName, usize>,
    /// What the sections set, before the namespace is put on.
    lines: Vec<(SectionName, Line)>,
    /// The line of each key of the present section.
    first_lines: BTreeMap<EnvKey, usize>,
    faults: Vec<Located<ComponentFault>>,
    advice: Vec<Located<ComponentFault>>,
}

enum Namespace {
    Absent,
    /// There, and at fault.
    Bad,
    Is(EnvKey),
}

enum Section {
    /// Before the first header.
    Before,
    /// Under a header that was at fault: the lines are read for their faults only.
    Faulty,
    In(SectionName),
}

struct Line {
    key: EnvKey,
    key_span: Span,
    value: Value,
}

struct Value {
    template: Template,
    span: Span,
    as_written: bool,
}

impl Parser<'_> {
    fn fault(&mut self, span: Span, fault: ComponentFault) {
        self.faults.push(Located::at(self.source.at(span), fault));
    }

    fn line_number(&self, span: &Span) -> usize {
        self.source.at(span.clone()).line_column().0
    }

    fn line(&mut self, line: Span) {
        let text = &self.source.text()[line.clone()];
        if text.is_empty() || text.starts_with(['#', ';']) {
            return;
        }
        if text.starts_with('[') {
            self.section = self.header(line);
            self.first_lines.clear();
            return;
        }
        let Some(equals) = text.find('=') else {
            return self.fault(line, ComponentFault::NotALine);
        };
        let key_span = trimmed(self.source.text(), line.start..line.start + equals);
        let key = upper_case(&self.source.text()[key_span.clone()]);
        if key.is_none() {
            self.fault(
                if key_span.is_empty() { line.clone() } else { key_span.clone() },
                ComponentFault::BadKey,
            );
        }
        let value = self.value(trimmed(self.source.text(), line.start + equals + 1..line.end));
        let Some(key) = key else { return };
        if matches!(self.section, Section::Before) {
            self.before_sections(&key, key_span, value);
        } else {
            self.variable(key, key_span, value);
        }
    }

    fn header(&mut self, line: Span) -> Section {
        let text = &self.source.text()[line.clone()];
        let name = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let Some(name) = name.and_then(|it| it.trim_matches(BLANK).parse::<SectionName>().ok()) else {
            self.fault(line, ComponentFault::BadSection);
            return Section::Faulty;
        };
        if let Some(&first_line) = self.seen.get(&name) {
            self.fault(line, ComponentFault::RepeatedSection { name, first_line });
            return Section::Faulty;
        }
        self.seen.insert(name.clone(), self.line_number(&line));
        Section::In(name)
    }

    fn before_sections(&mut self, key: &EnvKey, key_span: Span, value: Option<Value>) {
        if key.as_str() != "NAMESPACE" {
            return self.fault(key_span, ComponentFault::OutsideSection);
        }
        if let Some(&first_line) = self.first_lines.get(key) {
            return self.fault(key_span, ComponentFault::RepeatedKey { key: key.clone(), first_line });
        }
        self.first_lines.insert(key.clone(), self.line_number(&key_span));
        let Some(value) = value else {
            self.namespace = Namespace::Bad;
            return;
        };
        let name = upper_case(&self.source.text()[value.span.clone()]);
        if name.is_none() {
            self.fault(if value.span.is_empty() { key_span } else { value.span }, ComponentFault::BadKey);
        }
        self.namespace = name.map_or(Namespace::Bad, Namespace::Is);
    }

    fn variable(&mut self, key: EnvKey, key_span: Span, value: Option<Value>) {
        if let Some(&first_line) = self.first_lines.get(&key) {
            return self.fault(key_span, ComponentFault::RepeatedKey { key, first_line });
        }
        self.first_lines.insert(key.clone(), self.line_number(&key_span));
        if let (Section::In(section), Some(value)) = (&self.section, value) {
            self.lines.push((section.clone(), Line { key, key_span, value }));
        }
    }

    /// Reads what follows the `=`, blanks at its ends gone. `None` when it is at fault, which has then been told.
    fn value(&mut self, span: Span) -> Option<Value> {
        let text = &self.source.text()[span.clone()];
        let Some(quote @ ('\'' | '"')) = text.chars().next() else {
            let comment = text.match_indices(['#', ';']).find(|(at, _)| text[..*at].ends_with(BLANK));
            if let Some((at, _)) = comment {
                let place = self.source.at(span.start + at..span.end);
                self.advice.push(Located::at(place, ComponentFault::LooksLikeComment));
            }
            return self.template(text, span, true);
        };
        let inner = span.start + 1;
        let Some(length) = closing(&text[1..], quote) else {
            self.fault(span, ComponentFault::OpenQuote);
            return None;
        };
        let after = trimmed(self.source.text(), inner + length + 1..span.end);
        if !after.is_empty() {
            self.fault(after, ComponentFault::AfterQuote);
            return None;
        }
        let quoted = &text[1..=length];
        let span = inner..inner + length;
        if quote == '\'' {
            return self.template(&escape(quoted), span, false);
        }
        let unescaped = self.unescape(quoted, inner)?;
        let as_written = unescaped == quoted;
        self.template(&unescaped, span, as_written)
    }

    fn template(&mut self, text: &str, span: Span, as_written: bool) -> Option<Value> {
        match Template::parse(text) {
            Ok(template) => Some(Value { template, span, as_written }),
            Err(faults) => {
                for (inner, fault) in faults {
                    let place = if as_written {
                        span.start + inner.start..span.start + inner.end
                    } else {
                        span.clone()
                    };
                    self.fault(place, fault.into());
                }
                None
            }
        }
    }

    /// The template's text of a double-quoted value; `None` when an escape is at fault. `start` is where it begins.
    fn unescape(&mut self, quoted: &str, start: usize) -> Option<String> {
        let mut text = String::new();
        let mut faults = Vec::new();
        let mut chars = quoted.char_indices();
        while let Some((at, it)) = chars.next() {
            if it != '\\' {
                text.push(it);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, it @ ('"' | '\\'))) => text.push(it),
                Some((_, '$')) if quoted[at + 2..].starts_with('{') => text.push_str("$$"),
                // `$` and then a reference: templates cannot say that, for `$${` is their escape.
                Some((_, '$')) if !quoted[at + 2..].starts_with("${") => text.push('$'),
                other => {
                    let end = other.map_or(quoted.len(), |(at, it)| at + it.len_utf8());
                    faults.push(start + at..start + end);
                }
            }
        }
        let sound = faults.is_empty();
        for span in faults {
            self.fault(span, ComponentFault::BadEscape);
        }
        sound.then_some(text)
    }

    fn finish(mut self, name: ComponentName) -> Result<Component, Vec<Located<ComponentFault>>> {
        if matches!(self.namespace, Namespace::Absent) {
            self.faults.insert(0, Located::at(self.source.whole(), ComponentFault::NoNamespace));
        }
        let mut sections: BTreeMap<_, Vec<_>> = self.seen.keys().map(|it| (it.clone(), Vec::new())).collect();
        if let Namespace::Is(namespace) = &self.namespace {
            for (section, Line { key, key_span, value }) in std::mem::take(&mut self.lines) {
                let place = self.source.at(key_span);
                let Ok(key) = format!("{namespace}_{key}").parse::<EnvKey>() else {
                    self.faults.push(Located::at(place, ComponentFault::LongKey));
                    continue;
                };
                let Value { template, span, as_written } = value;
                let value_place = self.source.at(span);
                let variable = Variable { key, value: template, place, value_place, as_written };
                sections.entry(section).or_default().push(variable);
            }
        }
        match self.namespace {
            Namespace::Is(namespace) if self.faults.is_empty() => {
                Ok(Component { name, namespace, sections, advice: self.advice })
            }
            _ => {
                self.faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
                Err(self.faults)
            }
        }
    }
}

/// The name in `text`. Lower case would make a name that nobody expects, and what is none may be a piece of a secret.
fn upper_case(text: &str) -> Option<EnvKey> {
    text.parse().ok().filter(|it: &EnvKey| !it.as_str().contains(|it: char| it.is_ascii_lowercase()))
}

/// Where the closing quote is; in double quotes, one after a backslash closes nothing.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, it)| {
        let closes = it == quote && !escaped;
        escaped = quote == '"' && it == '\\' && !escaped;
        closes.then_some(at)
    })
}

/// `span` without the blanks at its ends, and without the carriage return of a Windows line end.
fn trimmed(text: &str, span: Span) -> Span {
    let shown = &text[span.clone()];
    let shown = shown.strip_suffix('\r').unwrap_or(shown).trim_end_matches(BLANK);
    let end = span.start + shown.len();
    end - shown.trim_start_matches(BLANK).len()..end
}
