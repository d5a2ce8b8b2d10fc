//! The order among processes: who may be started, who may be stopped, and who waits in vain.

use std::collections::{BTreeMap, BTreeSet};

use ecosystem::{Dependency, Ecosystem, Until};
use spec::ids::ProcessName;

use super::asked::Asked;
use super::state::{End, Level, ProcessState};

/// What every process does.
pub type States = BTreeMap<ProcessName, ProcessState>;

/// Who waits for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    needs: BTreeMap<ProcessName, Vec<Dependency>>,
    /// The other way round: who needs it.
    needed_by: BTreeMap<ProcessName, BTreeSet<ProcessName>>,
}

/// Something to tell a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// What it needs is there.
    Start(ProcessName),
    /// Nothing that needs it is left.
    Stop(ProcessName),
}

/// Whether a process that has not been started may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// What it needs will come.
    Closed,
    /// What it needs has failed. The chain leads from its dependency to the first cause.
    Blocked(Vec<Link>),
}

/// One link in a chain of causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What somebody waits for.
    pub process: ProcessName,
    /// What it is, in words: `failed: ended with 1`.
    pub state: String,
}

/// Whether a state is what somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It is.
    Yes,
    /// It can become so by itself.
    NotYet,
    /// Not unless somebody does something, or a slow retry succeeds.
    Never,
}

impl ProcessState {
    /// Whether this is what a dependency with `until` waits for.
    pub fn met(&self, until: Until) -> Met {
        match (self, until) {
            (Self::Running { .. }, Until::Started)
            | (
                Self::Running {
                    level: Level::Ready { .. } | Level::Healthy { .. } | Level::Unhealthy { .. },
                    ..
                },
                Until::Ready,
            )
            | (Self::Running { level: Level::Healthy { .. }, .. }, Until::Healthy)
            | (Self::Exited { end: End::Completed }, Until::Completed) => Met::Yes,
            (Self::Failed { .. } | Self::Exited { .. }, _) => Met::Never,
            (
                Self::Waiting
                | Self::Launching { .. }
                | Self::Running { .. }
                | Self::Stopping { .. }
                | Self::Killing { .. }
                | Self::Sweeping { .. }
                | Self::BackingOff { .. },
                _,
            ) => Met::NotYet,
        }
    }
}

impl Fleet {
    /// The order that a document asks for. The document is one that `Ecosystem::read` accepts: in another, processes
    /// that wait for each other or for nobody would wait for ever.
    pub fn new(ecosystem: &Ecosystem) -> Self {
        let apps = ecosystem.setup.iter().chain(&ecosystem.apps);
        let needs: BTreeMap<_, _> = apps.map(|it| (it.name.clone(), it.roster.depends_on.clone())).collect();
        let mut needed_by: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (name, dependencies) in &needs {
            for it in dependencies {
                needed_by.entry(it.name.clone()).or_default().insert(name.clone());
            }
        }
        Self { needs, needed_by }
    }

    /// Every process, by name.
    pub fn names(&self) -> impl Iterator<Item = &ProcessName> {
        self.needs.keys()
    }

    /// What `name` waits for.
    pub(super) fn needs(&self, name: &ProcessName) -> &[Dependency] {
        self.needs.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who waits for `name`.
    pub(super) fn needed_by(&self, name: &ProcessName) -> impl Iterator<Item = &ProcessName> {
        self.needed_by.get(name).into_iter().flatten()
    }

    /// The order that a new document asks for. What was there and is in it no more goes down in the old order.
    #[must_use]
    pub fn followed_by(mut self, ecosystem: &Ecosystem) -> Self {
        let mut next = Self::new(ecosystem);
        self.needs.retain(|name, _| !next.needs.contains_key(name));
        for name in self.needs.keys() {
            let dependants = self.needed_by.remove(name).unwrap_or_default();
            next.needed_by.entry(name.clone()).or_default().extend(dependants);
        }
        for (name, dependencies) in self.needs {
            for it in &dependencies {
                next.needed_by.entry(it.name.clone()).or_default().insert(name.clone());
            }
            next.needs.insert(name, dependencies);
        }
        next
    }

    /// Nothing of `name` is left, and no document has it.
    pub fn forget(&mut self, name: &ProcessName) {
        for it in self.needs.remove(name).into_iter().flatten() {
            if let Some(dependants) = self.needed_by.get_mut(&it.name) {
                dependants.remove(name);
            }
        }
        self.needed_by.remove(name);
    }

    /// Whether `name` may be started. What is to be started too counts as not started yet.
    pub fn gate(&self, name: &ProcessName, states: &States, asked: &Asked) -> Gate {
        let mut gate = Gate::Open;
        for it in self.needs(name) {
            let Some(state) = states.get(&it.name) else { continue };
            let to_come = asked.starts(&it.name) && state.has_exited();
            let state = if to_come { &ProcessState::Waiting } else { state };
            let link = || Link { process: it.name.clone(), state: state.to_string() };
            match state.met(it.until) {
                Met::Yes => {}
                Met::Never => return Gate::Blocked(vec![link()]),
                // What it waits for may itself wait in vain.
                Met::NotYet => match self.gate(&it.name, states, asked) {
                    Gate::Blocked(causes) if *state == ProcessState::Waiting => {
                        return Gate::Blocked([vec![link()], causes].concat());
                    }
                    Gate::Open | Gate::Closed | Gate::Blocked(_) => gate = Gate::Closed,
                },
            }
        }
        gate
    }
}
