//! YAML as Docker Compose reads it: one document, aliases written out, merge keys merged. All faults but those of syntax
//! come at once; a fault of syntax ends the reading.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, options};
use spec::notes::Located;
use spec::source::{Place, SourceText};

use crate::fault::{ImportFault, MAX_DEPTH, MAX_VALUES};
use crate::tree::{Member, Node, Value};

/// Reads a document.
pub(crate) fn read(source: &SourceText) -> Result<Node, Vec<Located<ImportFault>>> {
    let mut reader =
        Reader { source, open: Vec::new(), anchors: BTreeMap::new(), values: 0, root: None, faults: vec![] };
    let options = options! { emit_comments: false, emit_unresolved_aliases: true };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(source.text(), options) {
        match next {
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0).min(source.text().len());
                // The reader's words may quote the file, which may hold secrets.
                reader.fault(source.at(at..at), ImportFault::Syntax { told: error.kind().to_string() });
                break;
            }
            Ok((Event::DocumentStart(..), span)) => {
                documents += 1;
                if documents > 1 {
                    let place = reader.place(&span);
                    reader.fault(place, ImportFault::SecondDocument);
                    break;
                }
            }
            Ok((event, span)) => {
                if reader.event(event, &span).is_none() {
                    break;
                }
            }
        }
    }
    let Reader { root, mut faults, .. } = reader;
    faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
    match root {
        Some(root) if faults.is_empty() => Ok(root),
        None if faults.is_empty() => Ok(Node { value: Value::Null, place: source.whole() }),
        _ => Err(faults),
    }
}

struct Reader<'a> {
    source: &'a SourceText,
    /// What has begun and not ended, the innermost last.
    open: Vec<Open>,
    /// What is anchored, by the number of its anchor: `None` while it has not ended.
    anchors: BTreeMap<usize, Option<(Node, usize)>>,
    values: usize,
    root: Option<Node>,
    faults: Vec<Located<ImportFault>>,
}

struct Open {
    anchor: usize,
    place: Place,
    /// The most levels below it.
    depth: usize,
    holds: Holds,
}

enum Holds {
    Items(Vec<Node>),
    Members {
        members: Vec<Member>,
        /// The keys, each with the place where it begins.
        begins: BTreeMap<String, usize>,
        merged: Vec<Node>,
        key: Option<(String, Place)>,
    },
}

impl Reader<'_> {
    fn fault(&mut self, place: Place, fault: ImportFault) {
        self.faults.push(Located::at(place, fault));
    }

    fn place(&self, span: &Span) -> Place {
        let length = self.source.text().len();
        let range = span.byte_range().unwrap_or(0..0);
        self.source.at(range.start.min(length)..range.end.clamp(range.start, length.max(range.start)))
    }

    /// `None` when the rest is not to be read.
    fn event(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let place = self.place(span);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = scalar(&text, style);
                self.put(Node { value, place }, 0, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, place, Holds::Items(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let holds = Holds::Members {
                    members: Vec::new(),
                    begins: BTreeMap::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(anchor, place, holds)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::UnresolvedAlias(name) => {
                self.fault(place.clone(), ImportFault::NoAnchor { name: name.into_owned() });
                self.put(Node { value: Value::Null, place }, 0, 0)
            }
            _ => Some(()),
        }
    }

    /// Writes out what an alias stands for.
    fn alias(&mut self, anchor: usize, place: Place) -> Option<()> {
        let Some(Some((node, depth))) = self.anchors.get(&anchor) else {
            self.fault(place.clone(), ImportFault::Loop);
            return self.put(Node { value: Value::Null, place }, 0, 0);
        };
        // Counted before it is copied; `put` counts the value itself.
        self.values += count(node) - 1;
        if self.values >= MAX_VALUES {
            return self.endless(format!("{MAX_VALUES} values"));
        }
        let (node, depth) = (node.clone(), *depth);
        self.put(node, depth, 0)
    }

    fn begin(&mut self, anchor: usize, place: Place, holds: Holds) -> Option<()> {
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open { anchor, place, depth: 0, holds });
        if self.open.len() > MAX_DEPTH { self.endless(format!("{MAX_DEPTH} levels")) } else { Some(()) }
    }

    fn end(&mut self) -> Option<()> {
        let Open { anchor, place, depth, holds } = self.open.pop()?;
        let value = match holds {
            Holds::Items(items) => Value::List(items),
            Holds::Members { mut members, mut begins, merged, .. } => {
                for node in merged {
                    self.merge(&mut members, &mut begins, node);
                }
                Value::Map(members)
            }
        };
        self.put(Node { value, place }, depth + 1, anchor)
    }

    /// Adds what is not there yet.
    fn merge(&mut self, members: &mut Vec<Member>, begins: &mut BTreeMap<String, usize>, from: Node) {
        match from.value {
            Value::Map(more) => {
                for it in more {
                    if !begins.contains_key(&it.key) {
                        begins.insert(it.key.clone(), it.place.span.start);
                        members.push(it);
                    }
                }
            }
            Value::List(items) if items.iter().all(|it| matches!(it.value, Value::Map(_))) => {
                for it in items {
                    self.merge(members, begins, it);
                }
            }
            _ => self.fault(from.place, ImportFault::Merge),
        }
    }

    /// Puts a value where the document is.
    fn put(&mut self, node: Node, depth: usize, anchor: usize) -> Option<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return self.endless(format!("{MAX_VALUES} values"));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return self.endless(format!("{MAX_DEPTH} levels"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Some((node.clone(), depth)));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        open.depth = open.depth.max(depth);
        match &mut open.holds {
            Holds::Items(items) => items.push(node),
            Holds::Members { members, begins, merged, key } => match key.take() {
                None => {
                    let text = node.scalar();
                    *key = Some((text.clone().unwrap_or_default(), node.place.clone()));
                    if text.is_none() {
                        self.fault(node.place, ImportFault::Key);
                    }
                }
                Some((name, _)) if name == "<<" => merged.push(node),
                Some((name, place)) => match begins.get(&name) {
                    Some(&first) if !name.is_empty() => {
                        let first_line = self.source.at(first..first).line_column().0;
                        self.fault(place, ImportFault::Twice { key: name, first_line });
                    }
                    _ => {
                        begins.insert(name.clone(), place.span.start);
                        members.push(Member { key: name, place, value: node });
                    }
                },
            },
        }
        Some(())
    }

    fn endless(&mut self, what: String) -> Option<()> {
        let place = self.open.last().map_or_else(|| self.source.whole(), |it| it.place.clone());
        self.fault(place, ImportFault::Endless { what });
        None
    }
}

/// How many values there are in one.
fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(members) => 1 + members.iter().map(|it| count(&it.value)).sum::<usize>(),
        _ => 1,
    }
}

/// A scalar by the core schema of YAML 1.2. A number stays as it is written.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.parse::<f64>().is_ok()
            && text.starts_with(|it: char| it.is_ascii_digit() || "+-.".contains(it)) =>
        {
            Value::Number(text.to_owned())
        }
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
