//! Why a document is refused at the door, and the walk that finds every reason at once.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde_json::{Map, Value};
use spec::ids::NameError;
use spec::json::{JsonFault, JsonIndex, readable, token};
use spec::notes::{Code, Fault, Located, did_you_mean};
use spec::source::{Place, shown};

use crate::codes;
use crate::value::Number;

/// The pointer of a job's payload.
pub(crate) const PAYLOAD: &str = "/payload";

/// One reason why a job, its requirements or a worker's capabilities are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{why}", whose(at, why))]
pub struct Refusal {
    /// The member, as a JSON pointer (RFC 6901): `/requirements/hardware/gpu_memory_gb`; empty for the whole document.
    pub at: String,
    /// What is wrong with it.
    pub why: Why,
}

/// The beginning of a message. What is wrong with JSON says itself what it is about.
fn whose(at: &str, why: &Why) -> String {
    match why {
        Why::Json(_) => String::new(),
        _ if at.is_empty() => "the document: ".into(),
        _ => readable(at) + ": ",
    }
}

/// What is wrong with one member of a document. The values of a payload are never quoted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Why {
    /// The text is not JSON, or not as strict as it has to be.
    #[error("{0}")]
    Json(JsonFault),
    /// A value of another kind, `null` included.
    #[error("has to be {wanted}, not {found}")]
    Kind {
        /// What it has to be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// It has to be there.
    #[error("is missing")]
    Missing,
    /// No such member.
    #[error("is not a field here{}", meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
    Unknown {
        /// What it may mean.
        meant: Option<&'static str>,
    },
    /// Not a name of its kind.
    #[error("{0}")]
    Name(NameError),
    /// A number outside its range.
    #[error("{found} is not from {least} to {most}")]
    Range {
        /// The number.
        found: serde_json::Number,
        /// The smallest there may be.
        least: i64,
        /// The largest there may be.
        most: i64,
    },
    /// A number that would become another one.
    #[error("is a number that would be rounded: {0}")]
    Rounded(&'static str),
    /// An empty list, object or text that would ask for nothing.
    #[error("is empty; leave it out if nothing is asked for")]
    Empty,
    /// Too long, too many or too deep.
    #[error("has {found} {of}; {limit} is the limit")]
    Limit {
        /// How many there are.
        found: usize,
        /// Of what.
        of: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The wire of the TypeScript system has no words for it.
    #[error("cannot be said on the legacy wire: {0}")]
    Wire(&'static str),
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        match &self.why {
            Why::Json(fault) => fault.code(),
            Why::Kind { .. } | Why::Missing => codes::SHAPE,
            Why::Unknown { .. } => codes::UNKNOWN_FIELD,
            Why::Name(_) => codes::NAME,
            Why::Range { .. } | Why::Rounded(_) | Why::Empty | Why::Limit { .. } => codes::LIMIT,
            Why::Wire(_) => codes::WIRE,
        }
    }

    fn fix(&self) -> String {
        match &self.why {
            Why::Json(fault) => fault.fix(),
            Why::Kind { wanted, .. } => format!("Write {wanted}, or leave it out."),
            Why::Missing => "Add it.".into(),
            Why::Unknown { meant: Some(it) } => format!("Write `{it}`."),
            Why::Unknown { meant: None } => {
                "Leave it out; what a worker is given goes into `payload`, a capability of its own into `has`.".into()
            }
            Why::Name(_) => "Use another name.".into(),
            Why::Range { least, most, .. } => format!("Use a number from {least} to {most}."),
            Why::Rounded(_) => "Write a number that can be held, or, in a payload, a text.".into(),
            Why::Empty => "Leave it out, or say what is wanted.".into(),
            Why::Wire(_) => "Leave it out, or submit the job to a native queue.".into(),
            Why::Limit { limit, of, .. } => {
                format!("Keep to {limit} {of}; put large data elsewhere and send its address.")
            }
        }
    }
}

impl Refusal {
    /// What a fault of JSON says of a job document: the same, with the name of a key that is there twice, which is no value.
    pub fn json(Located { fault, place }: Located<JsonFault>) -> Located<Self> {
        let key = place.as_ref().and_then(|it| serde_json::from_str::<String>(it.text()).ok());
        let fault = match (fault, key) {
            (JsonFault::DuplicateKey { first, .. }, Some(key)) => {
                JsonFault::DuplicateKey { found: shown(&key), first }
            }
            (fault, _) => fault,
        };
        Located { fault: Self { at: String::new(), why: Why::Json(fault) }, place }
    }

    /// The refusal and where in a document it is. What is not there would be a part of something that is.
    pub fn within(self, document: &JsonIndex) -> Located<Self> {
        let place = self.place(document, &self.at);
        Located { fault: self, place }
    }

    /// The same in a document that is only the payload.
    pub(crate) fn within_payload(self, document: &JsonIndex) -> Located<Self> {
        let place = self.place(document, self.at.strip_prefix(PAYLOAD).unwrap_or_default());
        Located { fault: self, place }
    }

    fn place(&self, document: &JsonIndex, mut at: &str) -> Option<Place> {
        let unknown = matches!(self.why, Why::Unknown { .. });
        if let Some(key) = document.key(at).filter(|_| unknown) {
            return Some(key);
        }
        loop {
            match (document.value(at), at.rsplit_once('/')) {
                (None, Some((enclosing, _))) => at = enclosing,
                (place, _) => return place,
            }
        }
    }
}

/// The reasons found so far.
#[derive(Default)]
pub(crate) struct Refusals {
    all: Vec<Refusal>,
    /// Numbers that are not what was written: nothing else is said of them.
    rounded: BTreeSet<String>,
}

impl Refusals {
    pub fn add(&mut self, at: impl Into<String>, why: Why) {
        let at = at.into();
        if self.rounded.contains(&at) {
            return;
        }
        if matches!(why, Why::Rounded(_)) {
            self.rounded.insert(at.clone());
        }
        self.all.push(Refusal { at, why });
    }

    pub fn none(&self) -> bool {
        self.all.is_empty()
    }

    /// `value`, if nothing was found.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Vec<Refusal>> {
        match value {
            Some(value) if self.all.is_empty() => Ok(value),
            _ => Err(self.all),
        }
    }
}

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One object of a document. `null` is a value like any other here, hence of the wrong kind everywhere.
pub(crate) struct Object<'v> {
    at: String,
    members: &'v Map<String, Value>,
}

impl<'v> Object<'v> {
    /// `value` as an object whose members are among `fields`.
    pub fn open(
        value: &'v Value,
        at: &str,
        fields: &[&'static str],
        refusals: &mut Refusals,
    ) -> Option<Self> {
        let object = Self::any(value, at, refusals)?;
        for name in object.members.keys().filter(|name| !fields.contains(&name.as_str())) {
            let meant = did_you_mean(name, fields.iter().copied());
            let meant = meant.and_then(|it| fields.iter().find(|field| **field == it)).copied();
            refusals.add(object.at(name), Why::Unknown { meant });
        }
        Some(object)
    }

    /// `value` as an object with any members.
    pub fn any(value: &'v Value, at: &str, refusals: &mut Refusals) -> Option<Self> {
        let members = value.as_object();
        if members.is_none() {
            refusals.add(at, Why::Kind { wanted: "an object", found: kind(value) });
        }
        Some(Self { at: at.into(), members: members? })
    }

    /// The pointer of a member.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{}", self.at, token(name))
    }

    pub fn members(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.members.iter()
    }

    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name)
    }

    /// A member that is a name, if it is there.
    pub fn name<T: FromStr<Err = NameError>>(&self, name: &str, refusals: &mut Refusals) -> Option<T> {
        let text = text(self.get(name)?, &self.at(name), refusals)?;
        text.parse().map_err(|error| refusals.add(self.at(name), Why::Name(error))).ok()
    }

    /// A member that is a whole number from `least` to `most`, if it is there.
    pub fn whole(&self, name: &str, least: i64, most: i64, refusals: &mut Refusals) -> Option<i64> {
        let value = self.get(name)?;
        let why = match (value.as_i64(), value.as_number()) {
            (Some(it), _) if (least..=most).contains(&it) => return Some(it),
            (_, None) => Why::Kind { wanted: "a number", found: kind(value) },
            // What was written may have been a little more or less: `3.0000000000000000001`.
            (_, Some(found)) if found.is_f64() => {
                let whole = found.as_f64().is_some_and(|it| it.fract() == 0.0);
                let found = if whole { "one with a point or an exponent" } else { "a fraction" };
                Why::Kind { wanted: "a whole number", found }
            }
            (_, Some(found)) => Why::Range { found: found.clone(), least, most },
        };
        refusals.add(self.at(name), why);
        None
    }

    /// A member that is true or false, if it is there.
    pub fn flag(&self, name: &str, refusals: &mut Refusals) -> Option<bool> {
        let value = self.get(name)?;
        if !value.is_boolean() {
            refusals.add(self.at(name), Why::Kind { wanted: "true or false", found: kind(value) });
        }
        value.as_bool()
    }
}

/// A number as requirements have it. Larger whole numbers than a double holds would be equal to their neighbours.
pub(crate) fn number(value: &Value, at: &str, refusals: &mut Refusals) -> Option<Number> {
    let digits = value.as_i64().map(i64::unsigned_abs).or(value.as_u64()).unwrap_or_default();
    if digits != 0 && 64 - digits.leading_zeros() - digits.trailing_zeros() > f64::MANTISSA_DIGITS {
        refusals.add(at, Why::Rounded("requirements are compared as doubles, which are exact up to 2^53"));
        return None;
    }
    let number = value.as_f64().and_then(Number::new);
    if number.is_none() {
        refusals.add(at, Why::Kind { wanted: "a number", found: kind(value) });
    }
    number
}

pub(crate) fn text<'v>(value: &'v Value, at: &str, refusals: &mut Refusals) -> Option<&'v str> {
    if !value.is_string() {
        refusals.add(at, Why::Kind { wanted: "a text", found: kind(value) });
    }
    value.as_str()
}

/// A list of 1 to `limit` members, each read by `read`.
pub(crate) fn list<T>(
    value: &Value,
    at: &str,
    limit: usize,
    refusals: &mut Refusals,
    mut read: impl FnMut(&Value, &str, &mut Refusals) -> Option<T>,
) -> Vec<T> {
    let Some(members) = value.as_array() else {
        refusals.add(at, Why::Kind { wanted: "a list", found: kind(value) });
        return vec![];
    };
    if members.is_empty() {
        refusals.add(at, Why::Empty);
    }
    if members.len() > limit {
        refusals.add(at, Why::Limit { found: members.len(), of: "members", limit });
        return vec![];
    }
    let members = members.iter().enumerate();
    members.filter_map(|(index, it)| read(it, &format!("{at}/{index}"), refusals)).collect()
}
