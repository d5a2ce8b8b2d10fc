//! What became of each thing of the old files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use spec::notes::Code;
use spec::source::{Place, SourceText};

/// The most places of one item that are listed; the rest is counted.
const MOST_PLACES: usize = 3;

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the proposal as it was.
    Carried,
    /// It is in the proposal under another name or in another form.
    Renamed,
    /// It is not in the proposal, for a reason that needs nobody.
    Dropped,
    /// Somebody has to decide.
    Decide,
}

/// One thing of the old files. No field holds a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Item {
    /// What became of it.
    pub outcome: Outcome,
    /// What it is: a variable, an app, a field.
    pub what: String,
    /// What it is now; absent when it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why it is dropped or left to decide: `roster explain CODE` says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The reason, in a few words; empty for what is carried over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do; empty when nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
    /// Where it stands; the first few, when it stands in many places.
    pub places: Vec<Where>,
    /// In how many places it stands.
    pub count: usize,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Where {
    /// The file.
    pub file: String,
    /// From 1; absent for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// What makes two items one: outcome, code, what it is, what it is now, and why.
type Key = (Outcome, Option<&'static str>, String, Option<String>, String);

/// An item before its places are counted.
struct Draft {
    to: Option<String>,
    why: String,
    fix: String,
    places: Vec<Place>,
}

/// Gathers items: equal ones are one with several places.
#[derive(Default)]
pub(crate) struct Report {
    items: BTreeMap<Key, Draft>,
}

impl Report {
    pub(crate) fn carried(&mut self, what: impl Into<String>, place: &Place) {
        self.add(Outcome::Carried, what.into(), None, None, String::new(), String::new(), place);
    }

    pub(crate) fn renamed(
        &mut self,
        what: impl Into<String>,
        to: impl Into<String>,
        why: impl Into<String>,
        place: &Place,
    ) {
        self.add(Outcome::Renamed, what.into(), Some(to.into()), None, why.into(), String::new(), place);
    }

    pub(crate) fn dropped(
        &mut self,
        code: Code,
        what: impl Into<String>,
        why: impl Into<String>,
        place: &Place,
    ) {
        self.add(Outcome::Dropped, what.into(), None, Some(code.id), why.into(), String::new(), place);
    }

    pub(crate) fn decide(
        &mut self,
        code: Code,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
        place: &Place,
    ) {
        self.add(Outcome::Decide, what.into(), None, Some(code.id), why.into(), fix.into(), place);
    }

    /// Something that is in the proposal, and still has to be looked at.
    pub(crate) fn decide_about(
        &mut self,
        code: Code,
        what: impl Into<String>,
        to: impl Into<String>,
        (why, fix): (impl Into<String>, impl Into<String>),
        place: &Place,
    ) {
        self.add(Outcome::Decide, what.into(), Some(to.into()), Some(code.id), why.into(), fix.into(), place);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an item, which the methods above have names for"
    )]
    fn add(
        &mut self,
        outcome: Outcome,
        what: String,
        to: Option<String>,
        code: Option<&'static str>,
        why: String,
        fix: String,
        place: &Place,
    ) {
        let key = (outcome, code, what, to.clone(), why.clone());
        let draft = self.items.entry(key).or_insert_with(|| Draft { to, why, fix, places: Vec::new() });
        draft.places.push(place.clone());
    }

    /// The items, by outcome and code, then by name.
    pub(crate) fn finish(self) -> Vec<Item> {
        let mut lines = Lines::default();
        let item = |((outcome, code, what, _, _), draft): (Key, Draft)| {
            let Draft { to, why, fix, places } = draft;
            let mut found: Vec<Where> = places.iter().map(|it| lines.find(it)).collect();
            found.sort();
            found.dedup();
            let count = found.len();
            found.truncate(MOST_PLACES);
            Item { outcome, what, to, code, why, fix, places: found, count }
        };
        self.items.into_iter().map(item).collect()
    }
}

/// Where the lines of each source begin, so that many places are found in one pass.
#[derive(Default)]
struct Lines(Vec<(SourceText, Vec<usize>)>);

impl Lines {
    fn find(&mut self, place: &Place) -> Where {
        let file = place.source.name().to_owned();
        if place.span.is_empty() && place.span.start == 0 {
            return Where { file, line: None };
        }
        // A source is one text behind many places: the pointer says whether it is the same.
        let same = |it: &(SourceText, Vec<usize>)| std::ptr::eq(it.0.text(), place.source.text());
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            let ends = place.source.text().match_indices('\n').map(|(at, _)| at);
            self.0.push((place.source.clone(), ends.collect()));
            self.0.len() - 1
        });
        if self.0[at].1.is_empty() {
            // A program that was evaluated, or `pm2 jlist`: all of it is in one line.
            return Where { file, line: None };
        }
        Where { file, line: Some(self.0[at].1.partition_point(|end| *end < place.span.start) + 1) }
    }
}

/// The items as people read them: first what is to decide, then what is dropped, then the rest.
pub fn render(items: &[Item]) -> String {
    let mut text = String::new();
    let of = |outcome| items.iter().filter(move |it: &&Item| it.outcome == outcome);
    let heads = [
        (Outcome::Decide, "to decide"),
        (Outcome::Dropped, "dropped"),
        (Outcome::Renamed, "renamed"),
        (Outcome::Carried, "carried over"),
    ];
    for (outcome, head) in heads.into_iter().filter(|(outcome, _)| of(*outcome).next().is_some()) {
        let _ = writeln!(text, "{head}: {}", of(outcome).count());
        match outcome {
            Outcome::Decide => decisions(&mut text, of(outcome)),
            Outcome::Dropped => reasons(&mut text, of(outcome)),
            Outcome::Renamed | Outcome::Carried => {
                for it in of(outcome) {
                    let _ = writeln!(text, "  {}{}  ({})", it.what, to(it), places(it));
                    if !it.why.is_empty() {
                        let _ = writeln!(text, "      {}", it.why);
                    }
                }
            }
        }
    }
    text
}

/// What is left to decide, by reason and remedy: each with its place.
fn decisions<'a>(text: &mut String, items: impl Iterator<Item = &'a Item>) {
    let mut by_reason: BTreeMap<(&str, &str, &str), Vec<&Item>> = BTreeMap::new();
    for it in items {
        by_reason.entry((it.code.unwrap_or_default(), &it.why, &it.fix)).or_default().push(it);
    }
    for ((code, why, fix), items) in by_reason {
        let _ = writeln!(text, "  {code} {why}\n      {fix}");
        for it in items {
            let _ = writeln!(text, "    {}{}  ({})", it.what, to(it), places(it));
        }
    }
}

fn to(item: &Item) -> String {
    item.to.as_ref().map(|it| format!(" -> {it}")).unwrap_or_default()
}

/// What is dropped, by reason: dozens of things have the same one.
fn reasons<'a>(text: &mut String, items: impl Iterator<Item = &'a Item>) {
    let mut by_reason: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for it in items {
        by_reason.entry((it.code.unwrap_or_default(), &it.why)).or_default().push(&it.what);
    }
    for ((code, why), mut what) in by_reason {
        what.dedup();
        let _ = writeln!(text, "  {code} {}\n      {why}", what.join(", "));
    }
}

fn places(item: &Item) -> String {
    let one = |it: &Where| match it.line {
        Some(line) => format!("{}:{line}", it.file),
        None => it.file.clone(),
    };
    let mut text = item.places.iter().map(one).collect::<Vec<_>>().join(", ");
    let more = item.count - item.places.len();
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}
