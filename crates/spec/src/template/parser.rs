//! Reads a template in one pass, whatever the text: time is linear, and recursion ends at the depth budget.

use super::{MAX_DEPTH, Otherwise, Segment, Template, TemplateFault};
use crate::ids::EnvKey;
use crate::source::Span;

pub(super) fn parse(text: &str) -> Result<Template, Vec<(Span, TemplateFault)>> {
    let mut parser = Parser { text, at: 0, faults: Vec::new() };
    let template = parser.template(0);
    if parser.faults.is_empty() {
        return Ok(template);
    }
    parser.faults.sort_by_key(|(span, _)| span.start);
    Err(parser.faults)
}

struct Parser<'a> {
    text: &'a str,
    /// How far it has read; always at a character's beginning.
    at: usize,
    faults: Vec<(Span, TemplateFault)>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Reads `expected` if it comes next.
    fn take(&mut self, expected: &str) -> bool {
        let comes = self.rest().starts_with(expected);
        if comes {
            self.at += expected.len();
        }
        comes
    }

    /// Reads up to the end, or when within a default, `depth` deep, up to the brace that closes it.
    fn template(&mut self, depth: usize) -> Template {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut open = 0_usize;
        while let Some(next) = self.rest().chars().next() {
            if next == '}' && depth > 0 && open == 0 {
                break;
            }
            if self.take("$${") {
                literal.push_str("${");
                open += 1;
            } else if self.rest().starts_with("${") {
                let Some(reference) = self.reference(depth) else { continue };
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal)));
                }
                segments.push(reference);
            } else {
                match next {
                    '{' => open += 1,
                    '}' => open = open.saturating_sub(1),
                    _ => {}
                }
                literal.push(next);
                self.at += next.len_utf8();
            }
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Template { segments }
    }

    /// Reads from a `${` to its `}`. `None` when it is at fault, which has then been told.
    fn reference(&mut self, depth: usize) -> Option<Segment> {
        let start = self.at;
        self.at += "${".len();
        let name_start = self.at;
        self.at += self.rest().bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count();
        let name = self.text[name_start..self.at].parse::<EnvKey>();
        let operator = self.at;

        let (otherwise, fault) = if self.rest().starts_with('}') {
            (Otherwise::Required, None)
        } else if self.take(":-") {
            if depth == MAX_DEPTH {
                self.skip_to_close();
                (Otherwise::Required, Some(TemplateFault::TooDeep))
            } else {
                (Otherwise::Default(self.template(depth + 1)), None)
            }
        } else if self.take(":?") {
            let message = self.skip_to_close().to_owned();
            (Otherwise::Message(message), None)
        } else {
            let strange = !self.rest().starts_with(OPERATORS);
            self.skip_to_close();
            let fault = if strange { TemplateFault::BadName } else { TemplateFault::UnknownOperator };
            (Otherwise::Required, Some(fault))
        };

        let end = self.at;
        let fault = if !self.take("}") {
            Some((start..end, TemplateFault::Unterminated))
        } else if name.is_err() {
            Some((start..self.at, TemplateFault::BadName))
        } else {
            fault.map(|it| {
                let from = if it == TemplateFault::UnknownOperator { operator } else { start };
                (from..self.at, it)
            })
        };
        self.faults.extend(fault.clone());
        match (name, fault) {
            (Ok(name), None) => Some(Segment::Reference { name, otherwise, span: start..self.at }),
            _ => None,
        }
    }

    /// Reads up to the brace that closes the present reference, or to the end.
    fn skip_to_close(&mut self) -> &'a str {
        let mut open = 0_usize;
        let rest = self.rest();
        let length = rest.bytes().position(|it| {
            match it {
                b'{' => open += 1,
                b'}' if open == 0 => return true,
                b'}' => open -= 1,
                _ => {}
            }
            false
        });
        let skipped = &rest[..length.unwrap_or(rest.len())];
        self.at += skipped.len();
        skipped
    }
}

/// What may follow a name in the shells that people know.
const OPERATORS: [char; 13] = [':', '-', '?', '+', '=', '%', '#', '/', '^', ',', '@', '[', '!'];
