//! Reads a roster and gathers every fault of it in one pass.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::num::NonZeroU16;

use super::{Count, Entry, MAX_COUNT, RosterFault};
use crate::ids::{MAX_NAME, WorkerName};
use crate::model::Binding;
use crate::notes::Located;
use crate::source::{Exposure, Place, Span};

/// The entries without a fault, no name twice, and all faults in the order of the text.
pub(super) fn read(place: &Place) -> (Vec<Entry>, Vec<Located<RosterFault>>) {
    let mut parser = Parser { text: place.text(), place, faults: Vec::new() };
    let drafts = parser.drafts();
    let entries = parser.without_duplicates(drafts);
    let mut faults = parser.faults;
    faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
    (entries, faults)
}

/// The comma, and what people write for it.
const COMMAS: [char; 5] = [',', ';', '，', '；', '、'];
/// The colon, and what people write for it.
const COLONS: [char; 3] = [':', '=', '：'];

struct Parser<'a> {
    text: &'a str,
    place: &'a Place,
    faults: Vec<Located<RosterFault>>,
}

/// What could be understood of an entry. A name counts as a duplicate even where the rest of its entry is at fault.
struct Draft {
    place: Place,
    name: Option<WorkerName>,
    count: Option<Count>,
    /// The entry, if nothing in it is at fault.
    entry: Option<Entry>,
}

impl<'a> Parser<'a> {
    /// `span` is relative to the text, as all spans within the parser.
    fn fault(&mut self, span: Span, fault: RosterFault) {
        self.faults.push(Located::at(self.place.inner(span), fault));
    }

    fn quote(&self, text: &str) -> String {
        self.place.source.quote(text)
    }

    fn drafts(&mut self) -> Vec<Draft> {
        if self.text.trim_ascii().is_empty() {
            self.fault(0..self.text.len(), RosterFault::EmptyRoster);
            return Vec::new();
        }
        let pieces = split(self.text, 0..self.text.len(), &COMMAS);
        self.check_separators(&pieces, ",");
        let mut drafts = Vec::new();
        for piece in pieces {
            let entries = self.entries(piece.clone());
            if entries.is_empty() {
                // With the comma before it, or after it for the first, so that there is something to point at.
                let before = self.text[..piece.start].chars().next_back().map_or(0, char::len_utf8);
                let after = self.text[piece.end..].chars().next().map_or(0, char::len_utf8);
                let span = if before > 0 { piece.start - before..piece.end } else { 0..piece.end + after };
                self.fault(span, RosterFault::EmptyEntry);
            }
            for entry in entries {
                drafts.push(self.entry(entry));
            }
        }
        drafts
    }

    /// The entries between two commas: one, unless there is none or white space stands for commas. White space at a
    /// colon is within an entry, and another fault.
    fn entries(&mut self, piece: Span) -> Vec<Span> {
        let mut entries: Vec<Span> = Vec::new();
        for word in words(self.text, piece) {
            match entries.last_mut() {
                Some(last)
                    if self.text[last.clone()].ends_with(COLONS)
                        || self.text[word.clone()].starts_with(COLONS) =>
                {
                    last.end = word.end;
                }
                _ => entries.push(word),
            }
        }
        self.check_separators(&entries, ",");
        entries
    }

    /// What stands between the parts has to be `meant`.
    fn check_separators(&mut self, parts: &[Span], meant: &'static str) {
        for pair in parts.windows(2) {
            let span = pair[0].end..pair[1].start;
            let found = self.text[span.clone()].trim_ascii();
            if found != meant {
                let found = if found.is_empty() { "white space".to_owned() } else { self.quote(found) };
                self.fault(span, RosterFault::WrongSeparator { found, meant });
            }
        }
    }

    fn entry(&mut self, span: Span) -> Draft {
        let before = self.faults.len();
        let parts: Vec<Span> =
            split(self.text, span.clone(), &COLONS).into_iter().map(|part| trim(self.text, part)).collect();
        self.check_separators(&parts, ":");
        let rewrite = self.rewrite(&parts);
        for pair in parts.windows(2) {
            let gap = pair[0].end..pair[1].start;
            if gap.len() > 1 && self.text[gap.clone()].trim_ascii() == ":" {
                self.fault(gap, RosterFault::SpaceAtColon { rewrite: rewrite.clone() });
            }
        }
        let name = self.name(&span, parts[0].clone());
        let count = match parts.get(1) {
            Some(part) if !part.is_empty() => self.count(part.clone()),
            _ => {
                let name = self.shown(&parts[0], "name").to_owned();
                self.fault(span.clone(), RosterFault::MissingCount { name });
                None
            }
        };
        let third = parts.get(2).filter(|it| !it.is_empty()).cloned();
        let legacy_binding = third.clone().and_then(|part| self.binding(part, &rewrite));
        if parts.len() > 3 || parts.len() == 3 && third.is_none() {
            let from = parts[if third.is_some() { 2 } else { 1 }].end;
            self.fault(from..span.end, RosterFault::TooManyParts { parts: parts.len(), rewrite });
        }

        let place = self.place.inner(span);
        let entry = match (&name, count) {
            (Some(name), Some(count)) if self.faults.len() == before => Some(Entry {
                name: name.clone(),
                count,
                legacy_binding,
                place: place.clone(),
                name_place: self.place.inner(parts[0].clone()),
                count_place: self.place.inner(parts[1].clone()),
            }),
            _ => None,
        };
        Draft { place, name, count, entry }
    }

    fn name(&mut self, entry: &Span, part: Span) -> Option<WorkerName> {
        if part.is_empty() {
            self.fault(entry.clone(), RosterFault::EmptyName);
            return None;
        }
        let text = &self.text[part.clone()];
        match text.parse() {
            Ok(name) => Some(name),
            Err(cause) => {
                let meant = text.to_lowercase().replace('_', "-");
                let meant = meant.parse::<WorkerName>().ok().map(|it| self.quote(it.as_str()));
                self.fault(part, RosterFault::BadName { found: self.quote(text), cause, meant });
                None
            }
        }
    }

    fn count(&mut self, part: Span) -> Option<Count> {
        let text = &self.text[part.clone()];
        if text == "auto" {
            return Some(Count::Auto);
        }
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        let found = self.quote(text);
        let fault = if !number {
            RosterFault::NotACount { found }
        } else if negative || digits.bytes().all(|it| it == b'0') {
            RosterFault::BelowOne { found }
        } else {
            match digits.parse().ok().filter(|it: &NonZeroU16| it.get() <= MAX_COUNT) {
                Some(count) => return Some(Count::Exactly(count)),
                None => RosterFault::AboveMax { found },
            }
        };
        self.fault(part, fault);
        None
    }

    fn binding(&mut self, part: Span, rewrite: &str) -> Option<(Binding, Place)> {
        let rewrite = rewrite.to_owned();
        let fault = match &self.text[part.clone()] {
            "gpu" => return Some((Binding::Gpu, self.place.inner(part))),
            "cpu" => return Some((Binding::Cpu, self.place.inner(part))),
            "shared" => return Some((Binding::Shared, self.place.inner(part))),
            "mock_gpu" => RosterFault::MockGpu { rewrite },
            found => RosterFault::UnknownBinding { found: self.quote(found), rewrite },
        };
        self.fault(part, fault);
        None
    }

    /// The entry's first two parts; a placeholder for what is not there or not fit to be shown.
    fn rewrite(&self, parts: &[Span]) -> String {
        let count = parts.get(1).map_or("count", |part| self.shown(part, "count"));
        format!("{}:{count}", self.shown(&parts[0], "name"))
    }

    fn shown(&self, part: &Span, otherwise: &'a str) -> &'a str {
        let text = &self.text[part.clone()];
        let plain = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
        if plain && self.place.source.exposure() == Exposure::Open { text } else { otherwise }
    }

    fn without_duplicates(&mut self, drafts: Vec<Draft>) -> Vec<Entry> {
        /// All entries of one name; their sum, while it is one.
        struct Same {
            first: Place,
            again: Vec<Place>,
            sum: Option<u16>,
            kept: bool,
        }
        let mut names: BTreeMap<WorkerName, Same> = BTreeMap::new();
        let mut entries = Vec::new();
        for Draft { place, name, count, entry } in drafts {
            let Some(name) = name else { continue };
            let number = match count {
                Some(Count::Exactly(count)) => Some(count.get()),
                Some(Count::Auto) | None => None,
            };
            let same = match names.entry(name) {
                Slot::Vacant(slot) => {
                    slot.insert(Same { first: place, again: Vec::new(), sum: number, kept: false })
                }
                Slot::Occupied(slot) => {
                    let same = slot.into_mut();
                    same.sum = same.sum.zip(number).and_then(|(sum, it)| sum.checked_add(it));
                    same.again.push(place);
                    same
                }
            };
            if let Some(entry) = entry
                && !std::mem::replace(&mut same.kept, true)
            {
                entries.push(entry);
            }
        }
        for (name, Same { first, again, sum, .. }) in names {
            let sum = sum.filter(|it| *it <= MAX_COUNT && self.place.source.exposure() == Exposure::Open);
            for place in again {
                let fault = RosterFault::Duplicate {
                    found: self.quote(name.as_str()),
                    first: first.clone(),
                    merged: sum.map(|sum| format!("{name}:{sum}")),
                };
                self.faults.push(Located::at(place, fault));
            }
        }
        entries
    }
}

/// The parts of `text[span]` between separators, as spans of `text`; at least one.
fn split(text: &str, span: Span, separators: &[char]) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut start = span.start;
    for (at, separator) in text[span.clone()].match_indices(separators) {
        let end = span.start + at;
        parts.push(start..end);
        start = end + separator.len();
    }
    parts.push(start..span.end);
    parts
}

/// `span` without white space at its ends; where there is nothing else, its empty beginning.
fn trim(text: &str, span: Span) -> Span {
    let part = text[span.clone()].trim_ascii_start();
    if part.is_empty() {
        return span.start..span.start;
    }
    let start = span.end - part.len();
    start..start + part.trim_ascii_end().len()
}

/// The parts of `text[span]` between white space, none of them empty.
fn words(text: &str, span: Span) -> impl Iterator<Item = Span> {
    let mut rest = span;
    std::iter::from_fn(move || {
        let start = rest.end - text[rest.clone()].trim_ascii_start().len();
        let part = &text[start..rest.end];
        let length = part.bytes().position(|it| it.is_ascii_whitespace()).unwrap_or(part.len());
        rest.start = start + length;
        (length > 0).then_some(start..start + length)
    })
}
