//! The sheet on which every expectation is ticked off.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::Failed;
use serde_json::Value;

/// What was checked and what of it was not as expected. Each test has a page of its own.
#[derive(Default)]
pub struct Sheet {
    held: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    broken: Mutex<Vec<String>>,
}

impl Sheet {
    /// A page for one test; the sums are those of the whole sheet.
    pub fn page(&self) -> Self {
        Self { held: self.held.clone(), lost: self.lost.clone(), broken: Mutex::default() }
    }

    /// A statement of a section of the protocol.
    pub fn is(&self, section: &str, what: &str, holds: bool) {
        self.tick(section, what, if holds { Ok(()) } else { Err("it is not so".into()) });
    }

    /// A value.
    pub fn eq<T: PartialEq + fmt::Debug>(&self, section: &str, what: &str, found: &T, expected: &T) {
        let differ = || format!("{found:?} is not {expected:?}");
        self.tick(section, what, if found == expected { Ok(()) } else { Err(differ()) });
    }

    /// A document of this form: exactly these members; texts in angle brackets stand for a kind of value.
    pub fn form(&self, section: &str, what: &str, found: &Value, expected: &Value) {
        self.tick(section, what, fits(found, expected, "").map_err(|why| format!("{why} in {found}")));
    }

    fn tick(&self, section: &str, what: &str, checked: Result<(), String>) {
        match checked {
            Ok(()) => _ = self.held.fetch_add(1, Ordering::Relaxed),
            Err(why) => self.broken.lock().unwrap().push(format!("section {section}, {what}: {why}")),
        }
    }

    /// The end of one test: whether everything held.
    pub fn hold(&self, ran: Option<()>) -> Result<(), Failed> {
        if ran.is_none() {
            println!("not run: a tool is missing");
        }
        let broken = std::mem::take(&mut *self.broken.lock().unwrap());
        self.lost.fetch_add(broken.len(), Ordering::Relaxed);
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
    }

    /// How much of it held.
    pub fn count(&self) -> String {
        let (held, lost) = (self.held.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed));
        format!("{held} of {}", held + lost)
    }
}

/// Whether a value has a form; else where it has not.
fn fits(found: &Value, expected: &Value, at: &str) -> Result<(), String> {
    let wrong = || Err(format!("`{at}` is {found}, not {expected}"));
    match (found, expected) {
        (_, Value::String(kind)) if kind.starts_with('<') => {
            if is_kind(found, kind) {
                Ok(())
            } else {
                wrong()
            }
        }
        (Value::Object(found), Value::Object(expected)) => {
            let names = |it: &serde_json::Map<String, Value>| it.keys().cloned().collect::<BTreeSet<_>>();
            let (has, wants) = (names(found), names(expected));
            if has != wants {
                let (more, less): (Vec<_>, Vec<_>) =
                    (has.difference(&wants).collect(), wants.difference(&has).collect());
                return Err(format!("`{at}` has {more:?} too much and lacks {less:?}"));
            }
            expected.iter().try_for_each(|(name, it)| fits(&found[name], it, &format!("{at}.{name}")))
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            found.iter().zip(expected).try_for_each(|(found, it)| fits(found, it, &format!("{at}[]")))
        }
        _ if found == expected => Ok(()),
        _ => wrong(),
    }
}

fn is_kind(found: &Value, kind: &str) -> bool {
    let text = found.as_str().unwrap_or_default();
    let digits = |it: &str, few: usize, many: usize| {
        (few..=many).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit())
    };
    match kind {
        "<ms>" => found.as_u64().is_some_and(|it| digits(&it.to_string(), 13, 13)),
        "<number>" => found.is_number(),
        "<text>" => found.is_string() && !text.is_empty(),
        "<json>" => serde_json::from_str::<Value>(text).is_ok(),
        "<iso>" => is_iso(text),
        "<seconds.micros>" => text
            .split_once('.')
            .is_some_and(|(seconds, micros)| digits(seconds, 10, 10) && digits(micros, 1, 6)),
        _ => panic!("no such kind: {kind}"),
    }
}

/// `2025-01-01T00:00:00.000Z`
pub fn is_iso(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(it, of)| if of == b'd' { it.is_ascii_digit() } else { it == of })
}
