//! Why a document is refused at the door, and the walk that finds every reason at once.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use spec::ids::NameError;
use spec::notes::{Code, Fault, did_you_mean};

use crate::codes;
use crate::value::Number;

/// One reason why a job, its requirements or a worker's capabilities are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {why}", if at.is_empty() { "the document" } else { at })]
pub struct Refusal {
    /// The member, as `requirements.hardware.gpu_memory_gb`; empty for the whole document.
    pub at: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with one member of a document. The values of a payload are never quoted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Why {
    /// The text is not JSON.
    #[error("is not JSON: {0}")]
    Syntax(String),
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
        found: Number,
        /// The smallest there may be.
        least: i64,
        /// The largest there may be.
        most: i64,
    },
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
            Why::Syntax(_) | Why::Kind { .. } | Why::Missing => codes::SHAPE,
            Why::Unknown { .. } => codes::UNKNOWN_FIELD,
            Why::Name(_) => codes::NAME,
            Why::Range { .. } | Why::Empty | Why::Limit { .. } => codes::LIMIT,
            Why::Wire(_) => codes::WIRE,
        }
    }

    fn fix(&self) -> String {
        match &self.why {
            Why::Syntax(_) => "Send a JSON object.".into(),
            Why::Kind { wanted, .. } => format!("Write {wanted}, or leave it out."),
            Why::Missing => "Add it.".into(),
            Why::Unknown { meant: Some(it) } => format!("Write `{it}`."),
            Why::Unknown { meant: None } => "Leave it out; a capability of your own goes into `has`.".into(),
            Why::Name(_) => "Use another name.".into(),
            Why::Range { least, most, .. } => format!("Use a number from {least} to {most}."),
            Why::Empty => "Leave it out, or say what is wanted.".into(),
            Why::Wire(_) => "Leave it out, or submit the job to a native queue.".into(),
            Why::Limit { limit, of, .. } => {
                format!("Keep to {limit} {of}; put large data elsewhere and send its address.")
            }
        }
    }
}

/// The reasons found so far.
#[derive(Default)]
pub(crate) struct Refusals(Vec<Refusal>);

impl Refusals {
    pub fn add(&mut self, at: impl Into<String>, why: Why) {
        self.0.push(Refusal { at: at.into(), why });
    }

    pub fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, if nothing was found.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Vec<Refusal>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
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

    /// The whole name of a member.
    pub fn at(&self, name: impl fmt::Display) -> String {
        if self.at.is_empty() { name.to_string() } else { format!("{}.{name}", self.at) }
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
        let (value, at) = (self.get(name)?, self.at(name));
        let found = number(value, &at, refusals)?;
        match value.as_i64() {
            Some(it) if (least..=most).contains(&it) => return Some(it),
            None if found.get().fract() != 0.0 => {
                refusals.add(at, Why::Kind { wanted: "a whole number", found: "a fraction" });
            }
            _ => refusals.add(at, Why::Range { found, least, most }),
        }
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

pub(crate) fn number(value: &Value, at: &str, refusals: &mut Refusals) -> Option<Number> {
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
    members.filter_map(|(index, it)| read(it, &format!("{at}[{index}]"), refusals)).collect()
}
