//! What people and documents ask for: who shall be up, who down, and what of that can be told now.

use std::collections::BTreeSet;

use ecosystem::Until;
use spec::ids::ProcessName;

use super::fleet::{Fleet, Gate, Order, States};
use super::state::{End, ProcessState};

type Names = BTreeSet<ProcessName>;

/// What was asked for and is not done yet. Of two wishes about a process the last one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// To be stopped; a name stays here until it is down. Who is to be started as well is restarted.
    stop: Names,
    /// To be started as soon as what they need is there.
    start: Names,
}

impl Asked {
    /// Whether it is to be started.
    pub fn starts(&self, name: &ProcessName) -> bool {
        self.start.contains(name)
    }

    /// Whether it is to be stopped, or is being stopped.
    pub fn stops(&self, name: &ProcessName) -> bool {
        self.stop.contains(name)
    }

    /// Those that are to be started.
    pub fn starting(&self) -> impl Iterator<Item = &ProcessName> {
        self.start.iter()
    }

    /// Strikes out who is down. Those `busy` were told something and have not obeyed yet.
    pub fn settle(&mut self, states: &States, busy: &dyn Fn(&ProcessName) -> bool) {
        self.stop.retain(|it| busy(it) || !states.get(it).is_none_or(ProcessState::has_exited));
    }

    /// Nobody wants anything of it any more.
    pub fn forget(&mut self, name: &ProcessName) {
        self.stop.remove(name);
        self.start.remove(name);
    }

    fn is_down(&self, name: &ProcessName, states: &States) -> bool {
        !self.starts(name) && states.get(name).is_none_or(ProcessState::has_exited)
    }
}

impl Fleet {
    /// Wants `names` up, and what they need and is down or has failed. Returns who is to be started by that.
    pub fn start(&self, asked: &mut Asked, names: &Names, states: &States) -> Names {
        let (mut todo, mut started): (Vec<_>, Names) = (names.iter().cloned().collect(), Names::new());
        while let Some(name) = todo.pop() {
            let Some(state) = states.get(&name) else { continue };
            let is_up =
                matches!(state, ProcessState::Running { .. } | ProcessState::Launching { abort: false });
            // Who is restarted comes up as it is.
            let restarts = asked.stops(&name) && asked.starts(&name);
            if (is_up && !asked.stops(&name)) || !started.insert(name.clone()) || restarts {
                continue;
            }
            asked.stop.remove(&name);
            let lacks = |state: &ProcessState, until| match state {
                ProcessState::Exited { end } => until != Until::Completed || *end != End::Completed,
                it => matches!(it, ProcessState::Failed { .. }) || !it.wants_to_run(),
            };
            let needs = self.needs(&name).iter().filter(|it| {
                asked.stops(&it.name) || states.get(&it.name).is_some_and(|state| lacks(state, it.until))
            });
            todo.extend(needs.map(|it| it.name.clone()));
            asked.start.insert(name);
        }
        started
    }

    /// Wants `names` down, and whoever needs them and is up. Returns who is to be stopped by that.
    pub fn stop(&self, asked: &mut Asked, names: &Names, states: &States) -> Names {
        let (mut todo, mut stopped): (Vec<_>, Names) = (names.iter().cloned().collect(), Names::new());
        while let Some(name) = todo.pop() {
            if !asked.is_down(&name, states) && stopped.insert(name.clone()) {
                todo.extend(self.needed_by(&name).cloned());
            }
        }
        for name in &stopped {
            asked.start.remove(name);
            asked.stop.insert(name.clone());
        }
        stopped
    }

    /// Wants `names` down and up again, and up what they need. Whoever needs them lives through it, as it lives through
    /// a crash.
    pub fn restart(&self, asked: &mut Asked, names: &Names, states: &States) -> Names {
        let started = self.start(asked, names, states);
        for name in names {
            let rests = |it: &ProcessState| match it {
                ProcessState::Waiting | ProcessState::BackingOff { .. } | ProcessState::Failed { .. } => true,
                it => !it.wants_to_run(),
            };
            if states.get(name).is_some_and(|it| !rests(it)) {
                asked.stop.insert(name.clone());
                asked.start.insert(name.clone());
            }
        }
        started.into_iter().chain(names.iter().cloned()).collect()
    }

    /// Wants `names`, which are in no document any more, down. Nobody needs them.
    pub fn retire(&self, asked: &mut Asked, names: &Names) {
        for name in names {
            asked.start.remove(name);
            asked.stop.insert(name.clone());
        }
    }

    /// Wants nothing but everything down.
    pub fn end(&self, asked: &mut Asked) {
        *asked = Asked { stop: self.names().cloned().collect(), start: Names::new() };
    }

    /// What can be told now: a stop to everything that nobody to be stopped needs any more, a start to everything whose
    /// needs are met, and to none of those that are `busy`. [`Asked::settle`] comes first.
    pub fn orders(
        &self,
        asked: &mut Asked,
        states: &States,
        busy: &dyn Fn(&ProcessName) -> bool,
    ) -> Vec<Order> {
        let free = |name: &ProcessName| !self.needed_by(name).any(|it| asked.stops(it));
        let wants = |name: &ProcessName| states.get(name).is_some_and(ProcessState::wants_to_run);
        let tell = |name: &&ProcessName| !busy(name) && wants(name) && free(name);
        let mut orders: Vec<Order> = asked.stop.iter().filter(tell).cloned().map(Order::Stop).collect();
        let ready = |name: &&ProcessName| {
            !busy(name)
                && !asked.stops(name)
                && !self.needs_one_of(name, &asked.stop)
                && self.gate(name, states, asked) == Gate::Open
        };
        let starts: Vec<ProcessName> = asked.start.iter().filter(ready).cloned().collect();
        for name in starts {
            asked.start.remove(&name);
            orders.push(Order::Start(name));
        }
        orders
    }

    /// Whether it needs any of them, however far.
    fn needs_one_of(&self, name: &ProcessName, names: &Names) -> bool {
        let met = |it: &ProcessName| names.contains(it) || self.needs_one_of(it, names);
        !names.is_empty() && self.needs(name).iter().any(|it| met(&it.name))
    }
}
