//! What a job requires of its worker: a document with one meaning and one canonical form.
//!
//! ```json
//! {
//!   "hardware": { "gpu_memory_gb": 16, "cpu_cores": 4, "ram_gb": 32 },
//!   "models": ["sdxl"],
//!   "components": ["controlnet"],
//!   "isolation": "strict",
//!   "has": { "gpu.vendor": "nvidia", "cuda": { ">=": 12.1 }, "loras": { "any": ["a", "b"] }, "tags": ["x", "y"] },
//!   "any": [ { "models": ["flux"] }, { "has": { "fast": true } } ],
//!   "not": [ { "has": { "region": "eu" } } ]
//! }
//! ```
//!
//! Everything said is required. `hardware` asks for at least so much; `models` (of the job's service) and `components`
//! for all of them; `has` for capabilities by name. A value there is equal to the worker's, or among the worker's; a
//! list, or `{"all": […]}`, asks for all of its values and `{"any": […]}` for one; `{">=": n}` for a number of at least
//! `n`. `all` takes requirements that all hold, `any` some of which one holds, `not` some of which none holds.
//! What a worker does not say, it does not have: only `not` is true of it.
//!
//! A member with another name, `null`, a text for a number, an empty list or object: all are refused where the job is
//! submitted. Beyond this module no document is wrong, and nothing parses it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::refusal::{Object, Refusal, Refusals, Why, kind, list, number, text};
use crate::value::{Number, Scalar};

/// The most members of a list, and the most capabilities of one `has`.
pub const MAX_MEMBERS: usize = 64;
/// The longest text, in bytes.
pub const MAX_TEXT: usize = 256;
/// How deep `all`, `any` and `not` may be in each other.
pub const MAX_DEPTH: usize = 4;
/// The longest canonical form, in bytes. A worker class reads it once.
pub const MAX_CANONICAL: usize = 16 * 1024;

/// A part of the hardware that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardware {
    /// Memory of one GPU, in GB.
    GpuMemoryGb,
    /// Cores.
    CpuCores,
    /// Main memory, in GB.
    RamGb,
}

/// The parts by their names.
pub(crate) const HARDWARE: [(&str, Hardware); 3] = [
    ("gpu_memory_gb", Hardware::GpuMemoryGb),
    ("cpu_cores", Hardware::CpuCores),
    ("ram_gb", Hardware::RamGb),
];

/// What is asked of one capability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Test {
    /// It is a number of at least this.
    #[serde(rename = ">=")]
    AtLeast(Number),
    /// All of these are among it.
    #[serde(rename = "all")]
    All(BTreeSet<Scalar>),
    /// One of these is among it.
    #[serde(rename = "any")]
    Any(BTreeSet<Scalar>),
    /// It is this, or this is among it.
    #[serde(untagged)]
    Is(Scalar),
}

impl Test {
    fn all(mut them: BTreeSet<Scalar>) -> Self {
        if them.len() == 1 { them.pop_first().map_or(Test::All(them), Test::Is) } else { Test::All(them) }
    }

    fn any(mut them: BTreeSet<Scalar>) -> Self {
        if them.len() == 1 { them.pop_first().map_or(Test::Any(them), Test::Is) } else { Test::Any(them) }
    }
}

/// What a job requires, in canonical form: two documents that differ in order, repetition or the spelling of numbers
/// are equal. It is read with [`Requirements::read`]; serialising gives a document that reads as itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Requirements {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hardware: BTreeMap<Hardware, Number>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) models: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) components: BTreeSet<String>,
    #[serde(rename = "isolation", serialize_with = "strict", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) isolated: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) has: BTreeMap<String, Test>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) all: BTreeSet<Requirements>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) any: BTreeSet<Requirements>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) not: BTreeSet<Requirements>,
}

const FIELDS: &[&str] = &["hardware", "models", "components", "isolation", "has", "all", "any", "not"];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn strict<S: serde::Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("strict")
}

impl Requirements {
    /// Requires nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether nothing is required.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a document, or says everything that is wrong with it.
    pub fn read(document: &Value) -> Result<Self, Vec<Refusal>> {
        let mut refusals = Refusals::default();
        let requirements = Self::within(document, "", &mut refusals);
        refusals.or(requirements)
    }

    /// Reads the requirements at `at` of a larger document.
    pub(crate) fn within(document: &Value, at: &str, refusals: &mut Refusals) -> Option<Self> {
        let requirements = Self::part(document, at, MAX_DEPTH, refusals)?;
        let length = requirements.to_string().len();
        if length > MAX_CANONICAL {
            refusals.add(at, Why::Limit { found: length, of: "bytes", limit: MAX_CANONICAL });
        }
        Some(requirements)
    }

    fn part(document: &Value, at: &str, depth: usize, refusals: &mut Refusals) -> Option<Self> {
        let object = Object::open(document, at, FIELDS, refusals)?;
        let mut read = Self::default();
        if let Some(hardware) = object.get("hardware") {
            read.hardware = hardware_of(hardware, &object.at("hardware"), refusals);
        }
        if let Some(isolation) = object.get("isolation") {
            let (wanted, found) = ("the text \"strict\"", kind(isolation));
            read.isolated = isolation == "strict";
            if !read.isolated {
                let found = if isolation.is_string() { "another text" } else { found };
                refusals.add(object.at("isolation"), Why::Kind { wanted, found });
            }
        }
        if let Some(has) = object.get("has") {
            read.has = tests_of(has, &object.at("has"), refusals);
        }
        for (name, set) in [("models", &mut read.models), ("components", &mut read.components)] {
            if let Some(value) = object.get(name) {
                set.extend(list(value, &object.at(name), MAX_MEMBERS, refusals, word));
            }
        }
        for (name, set) in [("all", &mut read.all), ("any", &mut read.any), ("not", &mut read.not)] {
            let Some(value) = object.get(name) else { continue };
            let at = object.at(name);
            if depth == 0 {
                refusals.add(at, Why::Limit { found: MAX_DEPTH + 1, of: "levels", limit: MAX_DEPTH });
                continue;
            }
            set.extend(list(value, &at, MAX_MEMBERS, refusals, |value, at, refusals| {
                if value.as_object().is_some_and(serde_json::Map::is_empty) {
                    refusals.add(at, Why::Empty);
                }
                Self::part(value, at, depth - 1, refusals)
            }));
        }
        Some(read)
    }
}

impl TryFrom<Value> for Requirements {
    type Error = Refusal;
    fn try_from(document: Value) -> Result<Self, Refusal> {
        Self::read(&document).map_err(|mut all| all.swap_remove(0))
    }
}

impl fmt::Display for Requirements {
    /// The canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// A text of a requirement or capability that is not too long and not empty.
fn word(value: &Value, at: &str, refusals: &mut Refusals) -> Option<String> {
    let text = text(value, at, refusals)?;
    if text.is_empty() {
        refusals.add(at, Why::Empty);
    }
    if text.len() > MAX_TEXT {
        refusals.add(at, Why::Limit { found: text.len(), of: "bytes", limit: MAX_TEXT });
    }
    Some(text.into())
}

fn scalar(value: &Value, at: &str, refusals: &mut Refusals) -> Option<Scalar> {
    match value {
        Value::Bool(it) => Some(Scalar::Bool(*it)),
        Value::Number(_) => number(value, at, refusals).map(Scalar::Number),
        Value::String(_) => word(value, at, refusals).map(Scalar::Text),
        _ => {
            refusals.add(at, Why::Kind { wanted: "a text, a number, true or false", found: kind(value) });
            None
        }
    }
}

/// `{"gpu_memory_gb": 16}`: at least one part, no negative amounts.
fn hardware_of(value: &Value, at: &str, refusals: &mut Refusals) -> BTreeMap<Hardware, Number> {
    let Some(object) = Object::open(value, at, &HARDWARE.map(|(name, _)| name), refusals) else {
        return BTreeMap::new();
    };
    if object.members().next().is_none() {
        refusals.add(at, Why::Empty);
    }
    let mut amount = |name| {
        let at = object.at(name);
        let value = object.get(name)?;
        let amount = number(value, &at, refusals)?;
        if let Some(found) = value.as_number().cloned().filter(|_| !(0.0..=1e6).contains(&amount.get())) {
            refusals.add(at, Why::Range { found, least: 0, most: 1_000_000 });
        }
        Some(amount)
    };
    HARDWARE.into_iter().filter_map(|(name, part)| Some((part, amount(name)?))).collect()
}

/// The members of a `has`, each read by `read`.
fn names_of<T>(
    value: &Value,
    at: &str,
    refusals: &mut Refusals,
    read: impl Fn(&Value, &str, &mut Refusals) -> Option<T>,
) -> BTreeMap<String, T> {
    let Some(object) = Object::any(value, at, refusals) else { return BTreeMap::new() };
    let found = object.members().count();
    if found == 0 {
        refusals.add(at, Why::Empty);
    }
    if found > MAX_MEMBERS {
        refusals.add(at, Why::Limit { found, of: "members", limit: MAX_MEMBERS });
        return BTreeMap::new();
    }
    let mut of = |name: &String, value| {
        let at = object.at(name);
        word(&Value::String(name.clone()), &at, refusals);
        Some((name.clone(), read(value, &at, refusals)?))
    };
    object.members().filter_map(|(name, value)| of(name, value)).collect()
}

fn tests_of(value: &Value, at: &str, refusals: &mut Refusals) -> BTreeMap<String, Test> {
    names_of(value, at, refusals, |value, at, refusals| {
        let scalars = |value: &Value, at: &str, refusals: &mut Refusals| -> BTreeSet<_> {
            list(value, at, MAX_MEMBERS, refusals, scalar).into_iter().collect()
        };
        if value.is_array() {
            return Some(Test::all(scalars(value, at, refusals)));
        }
        if !value.is_object() {
            return scalar(value, at, refusals).map(Test::Is);
        }
        let object = Object::open(value, at, &[">=", "all", "any"], refusals)?;
        let mut members = object.members();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            let (wanted, found) = ("one of `>=`, `all` and `any`", "none or several of them");
            refusals.add(at, Why::Kind { wanted, found });
            return None;
        };
        let at = object.at(name);
        match name.as_str() {
            ">=" => number(value, &at, refusals).map(Test::AtLeast),
            "all" => Some(Test::all(scalars(value, &at, refusals))),
            "any" => Some(Test::any(scalars(value, &at, refusals))),
            _ => None,
        }
    })
}
