//! What a new document changes: the fewest restarts that make the processes what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ecosystem::{App, Ecosystem};
use spec::env::{EnvSource, NotUnicode};
use spec::ids::ProcessName;

use crate::core::Policy;
use crate::launcher::Plan;
use crate::probe::listens;

/// One process of a document with everything that is needed to run it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What the document says.
    pub app: Arc<App>,
    /// Whether it is one that runs once, to its end.
    pub one_shot: bool,
    /// How it is treated.
    pub policy: Policy,
    /// What it is launched with, its secrets included.
    pub plan: Arc<Plan>,
}

/// Every process of a document, by name.
pub type Specs = BTreeMap<ProcessName, Spec>;

impl Spec {
    /// Every process of `ecosystem`; variables come from `source`.
    pub fn all(ecosystem: &Ecosystem, source: &dyn EnvSource) -> Result<Specs, NotUnicode> {
        let setup = ecosystem.setup.iter().map(|it| (it, true));
        let apps = ecosystem.apps.iter().map(|it| (it, false));
        let spec = |(app, one_shot): (&App, bool)| {
            let policy = if one_shot { Policy::of_setup(app) } else { Policy::of_app(app) };
            let plan = Arc::new(Plan::new(app, source)?);
            Ok((app.name.clone(), Self { app: Arc::new(app.clone()), one_shot, policy, plan }))
        };
        setup.chain(apps).map(spec).collect()
    }

    /// Whether a process that runs as `self` has to be started anew to be what `next` says. Only the fields named here
    /// can change under a process: whatever else the document has, now or later, is what it was launched with.
    fn outdated_by(&self, next: &Self) -> bool {
        let probes = &next.app.roster.probes;
        if *probes != self.app.roster.probes && probes.as_ref().is_some_and(listens) {
            // What it said when it started has not been listened to.
            return true;
        }
        let App { autorestart, kill_timeout, min_uptime, max_restarts, max_memory_restart, .. } = *next.app;
        let mut roster = self.app.roster.clone();
        roster.depends_on.clone_from(&next.app.roster.depends_on);
        roster.probes.clone_from(&next.app.roster.probes);
        roster.cause.clone_from(&next.app.roster.cause);
        (roster.ready_within_s, roster.stop_signal) =
            (next.app.roster.ready_within_s, next.app.roster.stop_signal);
        let app = App {
            autorestart,
            kill_timeout,
            min_uptime,
            max_restarts,
            max_memory_restart,
            exp_backoff_restart_delay: next.app.exp_backoff_restart_delay,
            roster,
            ..App::clone(&self.app)
        };
        app != *next.app || self.one_shot != next.one_shot || self.plan != next.plan
    }
}

/// What a new document changes. Every process of either is in one of the five.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New ones.
    pub added: BTreeSet<ProcessName>,
    /// Those that are in it no more.
    pub removed: BTreeSet<ProcessName>,
    /// Those that have to be started anew: their program, arguments, environment, secrets, folder, files or device.
    pub changed: BTreeSet<ProcessName>,
    /// Those that are only treated in another way: limits, probes, dependencies.
    pub amended: BTreeSet<ProcessName>,
    /// Those that are as they were.
    pub unchanged: BTreeSet<ProcessName>,
}

/// What has to change for the processes of `old` to be those of `new`.
pub fn diff(old: &Specs, new: &Specs) -> Changes {
    let mut changes = Changes::default();
    for (name, next) in new {
        let kind = match old.get(name) {
            None => &mut changes.added,
            Some(it) if it.outdated_by(next) => &mut changes.changed,
            Some(it) if it != next => &mut changes.amended,
            Some(_) => &mut changes.unchanged,
        };
        kind.insert(name.clone());
    }
    changes.removed = old.keys().filter(|it| !new.contains_key(*it)).cloned().collect();
    changes
}

#[cfg(test)]
mod tests;
