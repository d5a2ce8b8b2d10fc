//! Variables, read at the door: what is missing or wrong is noted, and all of it is told at once.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use spec::env::{EnvSource, NotUnicode, Secret};
use spec::ids::EnvKey;
use spec::notes::{Code, Fault, Finding, Located};

use crate::codes;

/// What is wrong with a variable. No value is in it: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableFault {
    /// Not set, or empty.
    #[error("`{key}` is not set: {purpose}")]
    Missing {
        /// Its name.
        key: EnvKey,
        /// What it is for.
        purpose: String,
    },
    /// Not of its form.
    #[error("`{key}` is not {expected}: {why}")]
    Value {
        /// Its name.
        key: EnvKey,
        /// What it takes, with its article.
        expected: &'static str,
        /// What is wrong with what it has.
        why: String,
    },
    /// Two that contradict each other.
    #[error("`{one}` and `{other}` do not go together: {why}")]
    Together {
        /// One.
        one: EnvKey,
        /// And the other.
        other: EnvKey,
        /// Why.
        why: String,
    },
    /// Not UTF-8.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// The file that should hold it.
    #[error("`{key}` names a file that cannot be read: {why}")]
    File {
        /// `NAME_FILE`.
        key: EnvKey,
        /// Why not.
        why: String,
    },
}

impl Fault for VariableFault {
    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => codes::MISSING,
            Self::Value { .. } | Self::NotUnicode(_) => codes::VALUE,
            Self::Together { .. } => codes::TOGETHER,
            Self::File { .. } => codes::FILE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Missing { key, .. } => format!("set `{key}`, or `{key}_FILE` to a file that holds it"),
            Self::Value { key, expected, .. } => format!("set `{key}` to {expected}"),
            Self::NotUnicode(it) => format!("set `{}` to a text", it.key),
            Self::Together { one, other, .. } => format!("unset `{one}` or `{other}`"),
            Self::File { key, .. } => format!("mend the path in `{key}`, or set the variable itself"),
        }
    }
}

/// Reads variables and keeps what is wrong with them, and the secrets among them.
pub struct Vars<'a> {
    source: &'a dyn EnvSource,
    faults: Vec<VariableFault>,
    secrets: Vec<Secret<String>>,
}

impl<'a> Vars<'a> {
    /// Reads from `source`.
    pub fn new(source: &'a dyn EnvSource) -> Self {
        Self { source, faults: Vec::new(), secrets: Vec::new() }
    }

    /// Reads from `source` from now on.
    pub(crate) fn turn_to(&mut self, source: &'a dyn EnvSource) {
        self.source = source;
    }

    /// The value; set to nothing is not set. `NAME_FILE` may name a file with it.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.get(&key(name));
        let Some(value) = value.filter(|it| !it.is_empty()) else { return self.named(name) };
        Some(value)
    }

    /// The value of a variable that has to be there, for this purpose. Something in its place once the fault is noted.
    pub fn required(&mut self, name: &str, purpose: &str) -> String {
        let faults = self.faults.len();
        let value = self.text(name);
        if value.is_none() && self.faults.len() == faults {
            self.faults.push(VariableFault::Missing { key: key(name), purpose: purpose.into() });
        }
        value.unwrap_or_default()
    }

    /// A value that is in no output.
    pub fn secret(&mut self, name: &str) -> Option<Secret<String>> {
        let secret = Secret::new(self.text(name)?);
        self.secrets.push(secret.clone());
        Some(secret)
    }

    /// The same, of a variable that has to be there.
    pub fn required_secret(&mut self, name: &str, purpose: &str) -> Secret<String> {
        let secret = Secret::new(self.required(name, purpose));
        self.secrets.push(secret.clone());
        secret
    }

    /// Notes that a part of a value is in no output.
    pub fn hide(&mut self, part: Option<&str>) {
        self.secrets.extend(part.map(|it| Secret::new(it.to_owned())));
    }

    /// The value as `expected`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, expected: &'static str) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.wrong(name, expected, why.to_string());
                None
            }
        }
    }

    /// A number of seconds, above 0 and at most a day.
    pub fn seconds(&mut self, name: &str) -> Option<Duration> {
        let expected = "a number of seconds above 0 and at most 86400";
        let seconds: f64 = self.parsed(name, expected)?;
        if seconds > 0.0 && seconds <= 86_400.0 {
            return Some(Duration::from_secs_f64(seconds));
        }
        self.wrong(name, expected, "it is beyond its limits".into());
        None
    }

    /// The address of a service: `http` or `https`.
    pub fn url(&mut self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        self.address(name, &text)
    }

    /// A text of this variable as the address of a service.
    pub fn address(&mut self, name: &str, text: &str) -> Option<Url> {
        let expected = "an address as in `http://127.0.0.1:8188`";
        match Url::parse(text.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
            Ok(_) => {
                self.wrong(name, expected, "its scheme is not `http` or `https`, or it has no host".into());
            }
            Err(why) => self.wrong(name, expected, why.to_string()),
        }
        None
    }

    /// Notes that the value of a variable is wrong.
    pub fn wrong(&mut self, name: &str, expected: &'static str, why: String) {
        self.faults.push(VariableFault::Value { key: key(name), expected, why });
    }

    /// Notes that two variables contradict each other.
    pub fn together(&mut self, one: &str, other: &str, why: &str) {
        self.faults.push(VariableFault::Together { one: key(one), other: key(other), why: why.into() });
    }

    /// Whether anything is wrong so far.
    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Every secret that was read, or everything that is wrong.
    pub fn finish(self) -> Result<Vec<Secret<String>>, Vec<Finding>> {
        if self.faults.is_empty() {
            return Ok(self.secrets);
        }
        Err(self.faults.into_iter().map(|it| Finding::error(Located::nowhere(it))).collect())
    }

    fn get(&mut self, key: &EnvKey) -> Option<String> {
        self.source.get(key).unwrap_or_else(|fault| {
            self.faults.push(fault.into());
            None
        })
    }

    /// The text of the file that `NAME_FILE` names.
    fn named(&mut self, name: &str) -> Option<String> {
        let named = key(&format!("{name}_FILE"));
        let path = self.get(&named).filter(|it| !it.is_empty())?;
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)),
            Err(why) => {
                self.faults.push(VariableFault::File { key: named, why: why.to_string() });
                None
            }
        }
    }
}

fn key(name: &str) -> EnvKey {
    name.parse().expect("the names of this crate are names of variables")
}
