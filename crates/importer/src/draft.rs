//! One machine of the old files, as far as it is understood: what they say, each with its place.

use std::collections::BTreeMap;

use spec::grammar::Count;
use spec::ids::{EnvKey, ProfileName};
use spec::source::Place;

/// One machine.
pub(crate) struct Draft {
    /// What its file calls it.
    pub(crate) name: Option<ProfileName>,
    /// Where it is.
    pub(crate) place: Place,
    /// The workers that its file starts, in their order.
    pub(crate) workers: Vec<Worker>,
    /// Its variables, each with everything that is said of it.
    pub(crate) said: BTreeMap<EnvKey, Vec<Said>>,
    /// The base ports that follow from where its services listen, by the variable that sets them.
    pub(crate) ports: BTreeMap<EnvKey, (u16, Place)>,
    /// One more than the highest GPU that something is on.
    pub(crate) gpus: Option<u16>,
    /// The name of the Redis that is beside it, and where that stands.
    pub(crate) redis: Option<(String, Place)>,
    /// Its ports are published on the loopback.
    pub(crate) publish: bool,
    /// Containers beside it.
    pub(crate) additional: BTreeMap<String, serde_json::Value>,
}

/// Workers that a file starts.
pub(crate) struct Worker {
    /// Their type as the file has it.
    pub(crate) name: String,
    /// How many.
    pub(crate) count: Count,
    /// Where.
    pub(crate) place: Place,
}

/// One value of a variable. It has no `Debug`: it may be a secret.
#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) value: String,
    /// Where the value is, with its quotes or its name where they belong together.
    pub(crate) place: Place,
    /// It comes from a file of secrets.
    pub(crate) secret: bool,
    pub(crate) form: Form,
}

/// How a value is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it stands.
    Literal,
    /// As it stands, unless it holds `${`: then something was to be put there.
    Written,
    /// With references that Roster resolves.
    Template,
}

impl Draft {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            name: None,
            place,
            workers: Vec::new(),
            said: BTreeMap::new(),
            ports: BTreeMap::new(),
            gpus: None,
            redis: None,
            publish: false,
            additional: BTreeMap::new(),
        }
    }

    /// Adds what is said of a variable.
    pub(crate) fn say(&mut self, key: EnvKey, said: Said) {
        self.said.entry(key).or_default().push(said);
    }

    /// Notes that something is on a GPU.
    pub(crate) fn on_gpu(&mut self, index: u16) {
        let least = index.saturating_add(1);
        self.gpus = Some(self.gpus.map_or(least, |it| it.max(least)));
    }
}

/// The one value that is said, if it is one.
pub(crate) fn agreed(said: &[Said]) -> Option<&Said> {
    let first = said.first()?;
    said.iter().all(|it| it.value == first.value).then_some(first)
}
