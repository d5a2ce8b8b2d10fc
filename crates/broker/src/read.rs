//! Documents of others: read strictly, and each reason for which one is refused with its place.
//!
//! Where `serde_json` lets something pass that would silently become something else, it is refused: a key that an object has
//! twice, and a number that 64 bits do not hold. That goes for payloads too. They are not interpreted, but they travel as
//! values, not as bytes: a member may come out in another order and `1.10` as `1.1`, but never as something else.

use serde_json::Value;
use spec::json::{self, JsonFault, JsonIndex};
use spec::notes::Located;
use spec::source::SourceText;

use crate::job::{Job, MAX_PAYLOAD};
use crate::refusal::{PAYLOAD, Refusal, Refusals, Why};
use crate::requirements::Requirements;

/// The largest document, in bytes. A payload cannot be larger than its document; room is left for the rest, and for spaces.
const MAX_DOCUMENT: usize = 2 * MAX_PAYLOAD;

impl Job {
    /// Reads a document, or says everything that is wrong with it and where. Where it says no id, the job gets a fresh one.
    pub fn read(text: &str) -> Result<Self, Vec<Located<Refusal>>> {
        if text.len() > MAX_DOCUMENT {
            return Err(vec![Located::nowhere(too_large("", text.len(), MAX_DOCUMENT))]);
        }
        let index = json::index(&SourceText::guarded("the document", text));
        Self::of(&index.map_err(|faults| faults.into_iter().map(Refusal::json).collect::<Vec<_>>())?)
    }

    /// The job of a document that is a text, or a part of one.
    pub fn of(document: &JsonIndex) -> Result<Self, Vec<Located<Refusal>>> {
        let (all, payload) = (length(document, ""), length(document, PAYLOAD));
        let read = if payload > MAX_DOCUMENT {
            Err(vec![too_large(PAYLOAD, payload, MAX_PAYLOAD)])
        } else if all > MAX_DOCUMENT {
            Err(vec![too_large("", all, MAX_DOCUMENT)])
        } else {
            let mut refusals = Refusals::default();
            let job = value(document, "", &mut refusals).and_then(|it| Self::lower(&it, &mut refusals));
            refusals.or(job).and_then(|it| it.weighed(all))
        };
        located(read, |it| it.within(document))
    }

    /// With the payload that a document is.
    pub fn payload_of(self, document: &JsonIndex) -> Result<Self, Vec<Located<Refusal>>> {
        let length = length(document, "");
        let read = if length > MAX_DOCUMENT {
            Err(vec![too_large(PAYLOAD, length, MAX_PAYLOAD)])
        } else {
            let mut refusals = Refusals::default();
            let payload = value(document, PAYLOAD, &mut refusals);
            refusals.or(payload).and_then(|it| self.payload(it).weighed(length))
        };
        located(read, |it| it.within_payload(document))
    }
}

impl Requirements {
    /// The requirements that a document is.
    pub fn of(document: &JsonIndex) -> Result<Self, Vec<Located<Refusal>>> {
        let mut refusals = Refusals::default();
        let read = value(document, "", &mut refusals);
        let read = read.and_then(|it| Self::within(&it, "", &mut refusals));
        located(refusals.or(read), |it| it.within(document))
    }
}

fn too_large(at: &str, found: usize, limit: usize) -> Refusal {
    Refusal { at: at.into(), why: Why::Limit { found, of: "bytes", limit } }
}

fn length(document: &JsonIndex, pointer: &str) -> usize {
    document.value(pointer).map_or(0, |it| it.span.len())
}

/// What a document says. Numbers that would become others are refused; too large ones leave nothing to read.
fn value(document: &JsonIndex, base: &str, refusals: &mut Refusals) -> Option<Value> {
    for at in document.unheld() {
        let held = "whole numbers have 64 bits, others are doubles";
        refusals.add(format!("{base}{at}"), Why::Rounded(held));
    }
    let read = serde_json::from_str(document.value("")?.text()).ok();
    if read.is_none() && refusals.none() {
        let fault = JsonFault::Syntax { told: "this is not JSON", fix: "write a JSON document" };
        refusals.add(base, Why::Json(fault));
    }
    read
}

/// The reasons with their places, in the order in which they stand there.
fn located<T>(
    read: Result<T, Vec<Refusal>>,
    place: impl Fn(Refusal) -> Located<Refusal>,
) -> Result<T, Vec<Located<Refusal>>> {
    read.map_err(|refusals| {
        let mut all: Vec<_> = refusals.into_iter().map(place).collect();
        all.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
        all
    })
}
