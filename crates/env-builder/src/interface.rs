//! Service interfaces, `config/environments/services/<name>.json`: which variables a service takes, and from where.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use spec::document::{self, DocumentFault};
use spec::ids::{EnvKey, ServiceName};
use spec::json::JsonIndex;
use spec::notes::{Code, Fault, Finding, Located, errors};
use spec::source::{Place, SourceText};

use crate::codes;

/// A service interface as people write it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InterfaceDocument {
    /// The schema of this document, for editors.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    /// One line for people.
    description: String,
    /// Variables that must be set and not empty: the name in the service, then the name in the pool.
    #[serde(default)]
    required: BTreeMap<EnvKey, EnvKey>,
    /// Secrets that must be set and not empty.
    #[serde(default)]
    secret: BTreeMap<EnvKey, EnvKey>,
    /// Variables that are passed on when they are set.
    #[serde(default)]
    optional: BTreeMap<EnvKey, EnvKey>,
    /// Secrets that are passed on when they are set.
    #[serde(default)]
    optional_secret: BTreeMap<EnvKey, EnvKey>,
    /// What a variable of the service is when nothing sets it; `optional` names its variable of the pool, else that is
    /// its own name. Taken literally.
    #[serde(default)]
    defaults: BTreeMap<EnvKey, String>,
}

/// What a service takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// The file's name without `.json`.
    pub name: ServiceName,
    /// One line for people.
    pub description: String,
    /// Its variables, each once, by name.
    pub takes: Vec<Take>,
}

/// One variable that a service takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Take {
    /// Its name in the service.
    pub app: EnvKey,
    /// Its name in the pool.
    pub pool: EnvKey,
    /// Absent or empty is an error.
    pub required: bool,
    /// It travels as a secret, whatever source it comes from.
    pub secret: bool,
    /// What it is when nothing sets it. Neither a required variable nor a secret has one.
    pub default: Option<DefaultValue>,
    /// What is pointed at.
    pub place: Place,
}

/// A default and where it is written. `Debug` leaves the text out: the service mapping may call the variable a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DefaultValue {
    /// The value, taken literally.
    pub text: String,
    /// Where.
    pub place: Place,
}

impl fmt::Debug for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DefaultValue({})", self.place)
    }
}

/// An interface that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceFault {
    /// A variable in two of the lists.
    #[error("`{app}` is in `{first}` and in `{second}`")]
    ListedTwice {
        /// Its name in the service.
        app: EnvKey,
        /// One list.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A default that could never be used, or would be a secret in an open file.
    #[error("`{app}` is in `{list}` and has a default")]
    Default {
        /// Its name in the service.
        app: EnvKey,
        /// The list.
        list: &'static str,
    },
}

impl Fault for InterfaceFault {
    fn code(&self) -> Code {
        codes::INTERFACE
    }

    fn fix(&self) -> String {
        match self {
            Self::ListedTwice { .. } => "keep it in one of them".into(),
            Self::Default { .. } => "remove the default, or move the variable to `optional`".into(),
        }
    }
}

/// The JSON Schema of service interfaces.
pub fn schema() -> serde_json::Value {
    document::schema::<InterfaceDocument>("Roster service interface")
}

/// Reads a service interface; all that is wrong with it at once.
pub fn read(name: ServiceName, source: &SourceText) -> Result<Interface, Vec<Finding>> {
    let document = document::read::<InterfaceDocument>(source).map_err(errors::<DocumentFault>)?;
    lower(name, document.value, &document.index).map_err(errors)
}

fn lower(
    name: ServiceName,
    mut document: InterfaceDocument,
    index: &JsonIndex,
) -> Result<Interface, Vec<Located<InterfaceFault>>> {
    let mut faults = Vec::new();
    let at = |list: &str, app: &EnvKey| index.value(&format!("/{list}/{app}"));
    let mut takes: BTreeMap<EnvKey, (Take, &'static str)> = BTreeMap::new();
    let lists = [
        ("required", document.required, true, false),
        ("secret", document.secret, true, true),
        ("optional", document.optional, false, false),
        ("optional_secret", document.optional_secret, false, true),
    ];
    for (list, variables, required, secret) in lists {
        for (app, pool) in variables {
            let Some(place) = at(list, &app) else { continue };
            if let Some((_, first)) = takes.get(&app) {
                faults.push(Located::at(place, InterfaceFault::ListedTwice { app, first, second: list }));
                continue;
            }
            let default = match document.defaults.remove(&app).zip(at("defaults", &app)) {
                Some((_, place)) if required || secret => {
                    faults.push(Located::at(place, InterfaceFault::Default { app: app.clone(), list }));
                    None
                }
                default => default.map(|(text, place)| DefaultValue { text, place }),
            };
            takes.insert(app.clone(), (Take { app, pool, required, secret, default, place }, list));
        }
    }
    for (app, text) in document.defaults {
        let Some(place) = at("defaults", &app) else { continue };
        let default = Some(DefaultValue { text, place: place.clone() });
        let take =
            Take { app: app.clone(), pool: app.clone(), required: false, secret: false, default, place };
        takes.insert(app, (take, "defaults"));
    }
    if !faults.is_empty() {
        faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
        return Err(faults);
    }
    let takes = takes.into_values().map(|(take, _)| take).collect();
    Ok(Interface { name, description: document.description, takes })
}

#[cfg(test)]
mod tests;
