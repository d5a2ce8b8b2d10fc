//! The pool: every variable that the selected sections publish or somebody asks for, each with the one value that wins.
//!
//! Precedence, highest first: process environment, secrets file, the profile's `environment`, component section (a later
//! one over an earlier one), default of a service interface. References go through the same chain. A value is **secret** if its
//! key is declared secret, if it comes from the secrets file, if it is made with a reference to anything secret, or if it
//! holds a URL with a password; the taint follows the value, not the file that it was written in.

mod fault;
mod gather;
mod resolver;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use fault::ResolveFault;
pub use resolver::has_password;
use spec::dotenv::Entry;
use spec::env::{EnvSource, Secret};
use spec::ids::{ComponentName, EnvKey, SectionName, ServiceName};
use spec::notes::{Finding, errors};
use spec::source::{Place, SourceText};

use crate::component::Component;
use crate::interface::Interface;

/// A component and the sections that are taken of it, later ones winning; with the places that name them.
pub type Chosen = (ComponentName, Vec<(SectionName, Place)>, Place);

/// What a profile selects. It has no `Debug`: an override may be a secret.
pub struct Selection {
    /// The components, each once.
    pub components: Vec<Chosen>,
    /// The profile's own variables, each a template, with the place of its value.
    pub overrides: Vec<(EnvKey, String, Place)>,
}

/// Where values come from.
pub struct Sources<'a> {
    /// Every component file that was understood.
    pub components: &'a [Component],
    /// The component files that are there and were not understood, whose faults are told already.
    pub unreadable: &'a BTreeSet<ComponentName>,
    /// The entries of the secrets file.
    pub secrets: &'a [Entry],
    /// The name under which people know the secrets file, be it there or not.
    pub secrets_file: &'a str,
    /// The process environment. Only variables that something asks for by name are read.
    pub process: &'a dyn EnvSource,
    /// What the services of the profile take.
    pub interfaces: &'a [Interface],
    /// Every variable that the service mapping declares secret. Those of the interfaces are added.
    pub declared_secret: &'a BTreeSet<EnvKey>,
    /// Every variable that anyone may ask the pool for: the roster, base ports, what the plan derives, and every
    /// variable of the service mapping. Those of the components and interfaces are added.
    pub wanted: &'a BTreeSet<EnvKey>,
}

/// What went wrong, and what was understood nevertheless, so that later steps can report their faults in the same run.
pub struct Unresolved {
    /// All errors.
    pub findings: Vec<Finding>,
    /// The variables without a fault.
    pub understood: Pool,
}

impl fmt::Debug for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.fmt(f)
    }
}

/// Resolves every variable that is published or wanted; all errors at once.
pub fn resolve(selection: &Selection, sources: &Sources<'_>) -> Result<Pool, Box<Unresolved>> {
    let (candidates, mut faults) = gather::candidates(selection, sources);
    let (known, advice) = resolver::run(sources, &candidates, &mut faults);
    let pool = Pool {
        known,
        advice: advice.into_iter().map(Finding::advice).collect(),
        secrets_file: sources.secrets_file.to_owned(),
    };
    if faults.is_empty() {
        Ok(pool)
    } else {
        Err(Box::new(Unresolved { findings: errors(faults), understood: pool }))
    }
}

/// The resolved variables.
#[derive(Debug)]
pub struct Pool {
    known: BTreeMap<EnvKey, Known>,
    advice: Vec<Finding>,
    secrets_file: String,
}

#[derive(Debug)]
struct Known {
    outcome: Outcome,
    layers: Vec<Layer>,
}

#[derive(Debug)]
enum Outcome {
    Value(Resolved),
    Absent,
    /// Its fault has been told.
    Failed,
}

impl Pool {
    /// The value of a variable; `None` when nothing sets it, or when its fault has been told.
    pub fn get(&self, key: &EnvKey) -> Option<&Resolved> {
        match &self.known.get(key)?.outcome {
            Outcome::Value(resolved) => Some(resolved),
            Outcome::Absent | Outcome::Failed => None,
        }
    }

    /// Everything that sets a variable, the winner first.
    pub fn chain(&self, key: &EnvKey) -> &[Layer] {
        self.known.get(key).map_or(&[], |it| &it.layers)
    }

    /// What people should know; none of it stands in the way.
    pub fn advice(&self) -> &[Finding] {
        &self.advice
    }

    /// Every secret value, for whoever takes secrets out of an output.
    pub fn secret_values(&self) -> impl Iterator<Item = &Secret<String>> {
        self.known.values().filter_map(|it| match &it.outcome {
            Outcome::Value(resolved) if resolved.secret => Some(&resolved.value),
            _ => None,
        })
    }

    /// Whether the variable was looked for, and whether that went wrong.
    pub(crate) fn has_failed(&self, key: &EnvKey) -> bool {
        debug_assert!(self.known.contains_key(key), "`{key}` is asked for and is not in `Sources::wanted`");
        self.known.get(key).is_some_and(|it| matches!(it.outcome, Outcome::Failed))
    }

    pub(crate) fn secrets_file(&self) -> &str {
        &self.secrets_file
    }
}

/// A variable's value and where it comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    value: Secret<String>,
    secret: bool,
    rank: Rank,
    place: Option<Place>,
}

impl Resolved {
    /// The value, when it is no secret.
    pub fn public(&self) -> Option<&str> {
        (!self.secret).then(|| self.value.expose().as_str())
    }

    /// The value, secret or not.
    pub fn value(&self) -> &Secret<String> {
        &self.value
    }

    /// Whether it is a secret.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The kind of source that won.
    pub fn rank(&self) -> &Rank {
        &self.rank
    }

    /// Where its value is written; `None` for a process variable. The source is guarded.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The value of `key` as a place that a parser can read and messages can point into.
    ///
    /// When a file holds the value as it is, the place has that file's name, line and column, in a copy of which all
    /// but this line's key and value is blank; else it is in a source of its own, named after the key. The source
    /// may be quoted unless the value is secret.
    pub fn reading(&self, key: &EnvKey) -> Place {
        let source = |name: String, text: String| {
            if self.secret { SourceText::guarded(name, text) } else { SourceText::open(name, text) }
        };
        let value = self.value.expose();
        let written = self.place.as_ref().and_then(|place| {
            let inner =
                place.text().find(value.as_str()).filter(|_| place.text().trim_matches('"') == value)?;
            Some((place, place.span.start + inner..place.span.start + inner + value.len()))
        });
        let Some((place, span)) = written.filter(|_| !value.is_empty()) else {
            let text = value.clone();
            return source(format!("{key} ({})", self.rank), text).at(0..value.len());
        };
        let text = place.source.text();
        let line = text[..span.start].rfind('\n').map_or(0, |it| it + 1);
        // A line with a comma may hold other values before this one.
        let is_key =
            text[line..span.start].chars().all(|it| it.is_ascii_alphanumeric() || "_ \t\"=:".contains(it));
        let shown = if is_key { line } else { span.start };
        let mask = |(at, it)| if it == b'\n' || at >= shown { char::from(it) } else { ' ' };
        let mut masked: String = text.bytes().take(span.start).enumerate().map(mask).collect();
        masked.push_str(value);
        source(place.source.name().to_owned(), masked).at(span)
    }
}

/// A kind of source. The order is the precedence: the first wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The environment of the process that builds.
    Process,
    /// The secrets file.
    Secrets,
    /// The profile's `environment`.
    Profile,
    /// A section of a component file.
    Component {
        /// The component.
        name: ComponentName,
        /// The section.
        section: SectionName,
    },
    /// The default that a service interface gives.
    Default {
        /// The interface.
        interface: ServiceName,
    },
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("process environment"),
            Self::Secrets => f.write_str("secrets file"),
            Self::Profile => f.write_str("profile"),
            Self::Component { name, section } => write!(f, "component `{name}`, section [{section}]"),
            Self::Default { interface } => write!(f, "default of service interface `{interface}`"),
        }
    }
}

/// One source that sets a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The kind of source.
    pub rank: Rank,
    /// Where; `None` for the process environment.
    pub place: Option<Place>,
    /// The value if it wins, else the text as it is written; `[redacted]` if any of it may be secret.
    pub value: String,
    /// Whether this is the value of the variable.
    pub wins: bool,
}

#[cfg(test)]
mod tests;
