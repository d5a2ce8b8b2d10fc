//! The order among processes: who may be started, who may be stopped, and who waits in vain.

use std::collections::{BTreeMap, BTreeSet};

use ecosystem::{Dependency, Ecosystem, Until};
use spec::ids::ProcessName;

use super::state::{End, Level, ProcessState};

/// Who waits for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Whether `name` may be started.
    pub fn gate(&self, name: &ProcessName, states: &BTreeMap<ProcessName, ProcessState>) -> Gate {
        let mut gate = Gate::Open;
        for it in self.needs.get(name).into_iter().flatten() {
            let Some(state) = states.get(&it.name) else { continue };
            let link = || Link { process: it.name.clone(), state: state.to_string() };
            match state.met(it.until) {
                Met::Yes => {}
                Met::Never => return Gate::Blocked(vec![link()]),
                // What it waits for may itself wait in vain.
                Met::NotYet => match self.gate(&it.name, states) {
                    Gate::Blocked(causes) if *state == ProcessState::Waiting => {
                        return Gate::Blocked([vec![link()], causes].concat());
                    }
                    Gate::Open | Gate::Closed | Gate::Blocked(_) => gate = Gate::Closed,
                },
            }
        }
        gate
    }

    /// Everything that may be started now: a wave.
    pub fn starts(&self, states: &BTreeMap<ProcessName, ProcessState>) -> Vec<Order> {
        let waiting = states.iter().filter(|(_, it)| **it == ProcessState::Waiting);
        waiting
            .filter(|(name, _)| self.gate(name, states) == Gate::Open)
            .map(|(name, _)| Order::Start(name.clone()))
            .collect()
    }

    /// Everything that may be stopped now because nothing that needs it is left: a wave, the other way round. What is
    /// stopping already is not told again.
    pub fn stops(&self, states: &BTreeMap<ProcessName, ProcessState>) -> Vec<Order> {
        let gone = |name: &ProcessName| states.get(name).is_none_or(ProcessState::has_exited);
        let free = |name: &ProcessName| self.needed_by.get(name).into_iter().flatten().all(gone);
        let to_be_told = states.iter().filter(|(name, it)| it.wants_to_run() && free(name));
        to_be_told.map(|(name, _)| Order::Stop(name.clone())).collect()
    }
}
