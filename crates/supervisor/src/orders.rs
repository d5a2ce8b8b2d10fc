//! What an order from outside does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ecosystem::Ecosystem;
use spec::ids::ProcessName;
use spec::notes::did_you_mean;
use tokio::sync::oneshot;

use crate::board::{Board, order};
use crate::control::protocol::{self, Deed, Report, Signal, Which};
use crate::control::{Ask, LogFiles, Order};
use crate::core::{End, ProcessState};
use crate::launcher::Launcher;
use crate::refusal::Refusal;
use crate::reload::{Spec, Specs, diff};
use crate::waiter::{Goal, Waiter};

type Names = BTreeSet<ProcessName>;
type Refused = Vec<Refusal>;

impl<L: Launcher> Board<'_, L> {
    /// Answers, or lets somebody wait for the answer. A reply that nobody waits for any more is dropped.
    pub(crate) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Order { order, wait, reply } => self.order(order, wait, reply),
            Ask::Fleet(reply) => _ = reply.send(self.document()),
            Ask::Events(reply) => {
                _ = reply.send((self.happened.iter().cloned().collect(), self.news.subscribe()));
            }
            Ask::Logs(which, reply) => _ = reply.send(self.logs(&which)),
        }
    }

    fn order(&mut self, order: Order, wait: bool, reply: oneshot::Sender<Result<Report, Refused>>) {
        let goals = match order {
            Order::Shutdown { force } => {
                self.ending = true;
                self.fleet.end(&mut self.asked);
                self.next.clear();
                if force && !self.forced {
                    self.forced = true;
                    self.states
                        .values()
                        .filter_map(ProcessState::pid)
                        .for_each(|it| self.means.launcher.kill(it));
                }
                Ok((Vec::new(), None))
            }
            _ if self.ending => Err(vec![Refusal::Stopping]),
            Order::Start(which) => self.names(&which).map(|it| (self.start(&it), None)),
            Order::Stop(which) => self.names(&which).map(|it| (self.stop(&it), None)),
            Order::Restart(which) => self.names(&which).map(|it| (self.restart(&it), None)),
            Order::Signal(name, signal) => self.signal(&name, signal).map(|it| (it, None)),
            Order::Scale { group, count } => self.scale(&group, count).map(|it| (it, None)),
            Order::Reload(ecosystem) => self.reload(&ecosystem),
        };
        match goals {
            Ok((goals, unchanged)) => self.waiters.push(Waiter::new(goals, unchanged, wait, reply)),
            // Whoever asked may have gone.
            Err(refused) => _ = reply.send(Err(refused)),
        }
    }

    fn start(&mut self, names: &Names) -> Vec<Goal> {
        let done = self.fleet.start(&mut self.asked, names, &self.states);
        // Who was to be stopped and described anew is not just left to run.
        let due = done.iter().filter(|it| self.next.contains_key(*it)).cloned().collect();
        self.fleet.restart(&mut self.asked, &due, &self.states);
        self.goals(names, &done, Deed::Started)
    }

    fn stop(&mut self, names: &Names) -> Vec<Goal> {
        let done = self.fleet.stop(&mut self.asked, names, &self.states);
        self.goals(names, &done, Deed::Stopped)
    }

    fn restart(&mut self, names: &Names) -> Vec<Goal> {
        let done = self.fleet.restart(&mut self.asked, names, &self.states);
        let mut goals = self.goals(names, &done, Deed::Restarted);
        for it in goals.iter_mut().filter(|it| !names.contains(&it.name)) {
            it.deed = Deed::Started;
        }
        goals
    }

    /// Those of `names` that are not among the `done` need nothing; those `done` that were not named were concerned.
    fn goals(&mut self, names: &Names, done: &Names, deed: Deed) -> Vec<Goal> {
        let all: Names = names.union(done).cloned().collect();
        let goal = |name: ProcessName| {
            let named = names.contains(&name);
            if done.contains(&name) {
                self.goal(name, deed, named)
            } else {
                self.goal(name, Deed::Nothing, named)
            }
        };
        all.into_iter().map(goal).collect()
    }

    fn goal(&mut self, name: ProcessName, deed: Deed, named: bool) -> Goal {
        let mut asks = 0;
        if let Some(seat) = self.seats.get_mut(&name) {
            seat.asks += u64::from(!matches!(deed, Deed::Nothing | Deed::Signalled | Deed::Amended));
            asks = seat.asks;
        }
        Goal { name, deed, named, asks }
    }

    fn signal(&mut self, name: &ProcessName, signal: Signal) -> Result<Vec<Goal>, Refused> {
        self.names(&Which::Names(vec![name.clone()]))?;
        let state = &self.states[name];
        if !state.pid().is_some_and(|it| self.means.launcher.signal(it, signal)) {
            let state = state.word().to_owned();
            return Err(vec![Refusal::NotRunning { name: name.clone(), state }]);
        }
        Ok(vec![self.goal(name.clone(), Deed::Signalled, true)])
    }

    fn scale(&mut self, group: &str, count: u32) -> Result<Vec<Goal>, Refused> {
        let mut members: Vec<(u64, ProcessName)> =
            self.present().filter_map(|it| Some((number(group, it)?, it.clone()))).collect();
        members.sort();
        let count_of = usize::try_from(count).unwrap_or(usize::MAX);
        if members.is_empty() || count_of > members.len() {
            let (group, has) = (group.to_owned(), members.len());
            return Err(vec![Refusal::TooMany { group, asked: count, has }]);
        }
        let mut names = members.into_iter().map(|(_, it)| it);
        let first: Names = names.by_ref().take(count_of).collect();
        let rest: Names = names.collect();
        let mut goals = self.stop(&rest);
        goals.extend(self.start(&first));
        Ok(goals)
    }

    fn reload(&mut self, ecosystem: &Ecosystem) -> Result<(Vec<Goal>, Option<usize>), Refused> {
        if ecosystem.machine != self.machine {
            let (other, own) = (ecosystem.machine.clone(), self.machine.clone());
            return Err(vec![Refusal::OtherMachine { other, own }]);
        }
        let mut new =
            Spec::all(ecosystem, self.source).map_err(|it| vec![Refusal::NotUnicode { key: it.key }])?;
        let old: Specs = self.present().map(|it| (it.clone(), self.described(it).clone())).collect();
        let mut changes = diff(&old, &new);
        self.fleet = std::mem::take(&mut self.fleet).followed_by(ecosystem);
        self.order = order(ecosystem);
        let mut goals = Vec::new();

        self.fleet.retire(&mut self.asked, &changes.removed);
        self.retiring.extend(changes.removed.iter().cloned());
        goals.extend(changes.removed.iter().map(|it| self.goal(it.clone(), Deed::Stopped, true)));
        for name in &changes.amended {
            if let Some(spec) = new.remove(name) {
                self.amend(spec);
            }
            goals.push(self.goal(name.clone(), Deed::Amended, true));
        }
        for name in &changes.added {
            let Some(spec) = new.remove(name) else { continue };
            if self.seats.contains_key(name) {
                // It was removed, and is not down yet.
                self.retiring.remove(name);
                self.next.insert(name.clone(), spec);
            } else {
                self.hire(spec);
            }
        }
        // Who was stopped by somebody stays down: a document is no reason to overrule a person.
        let (down, up): (Names, Names) = changes.changed.iter().cloned().partition(|it| {
            !self.asked.starts(it)
                && (self.asked.stops(it)
                    || matches!(self.states[it], ProcessState::Exited { end: End::Stopped }))
        });
        for name in &changes.changed {
            self.next.extend(new.remove_entry(name));
        }
        goals.extend(down.into_iter().map(|it| self.goal(it, Deed::Described, true)).collect::<Vec<_>>());
        goals.extend(self.restart(&up));
        changes.added.retain(|it| !goals.iter().any(|goal| goal.name == *it));
        self.fleet.start(&mut self.asked, &changes.added, &self.states);
        for name in changes.added {
            goals.push(self.goal(name, Deed::Started, true));
        }
        goals.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((goals, Some(changes.unchanged.len())))
    }

    /// The processes of the document in force.
    fn present(&self) -> impl Iterator<Item = &ProcessName> {
        self.seats.keys().filter(|it| !self.retiring.contains(*it))
    }

    /// What the document in force says about one of them.
    fn described(&self, name: &ProcessName) -> &Spec {
        self.next.get(name).unwrap_or(&self.seats[name].spec)
    }

    fn names(&self, which: &Which) -> Result<Names, Refused> {
        match which {
            Which::All => Ok(self.present().cloned().collect()),
            Which::Names(names) => {
                let unknown = names.iter().filter(|it| !self.present().any(|name| name == *it));
                let refusals = unknown.map(|it| {
                    let all = self.present().map(ProcessName::as_str);
                    let meant = did_you_mean(it.as_str(), all).map(str::to_owned);
                    Refusal::NoSuchProcess { name: it.to_string(), meant }
                });
                let refusals: Refused = refusals.collect();
                if refusals.is_empty() { Ok(names.iter().cloned().collect()) } else { Err(refusals) }
            }
        }
    }

    fn logs(&self, which: &Which) -> Result<Vec<LogFiles>, Refused> {
        let names = self.names(which)?;
        let of = |process: &ProcessName| {
            let app = &self.seats[process].spec.app;
            let mut files = vec![PathBuf::from(&app.out_file), PathBuf::from(&app.error_file)];
            files.dedup();
            LogFiles { process: process.clone(), files }
        };
        Ok(self.order.iter().filter(|it| names.contains(*it)).map(of).collect())
    }

    fn document(&self) -> protocol::Fleet {
        let leaving = self.seats.keys().filter(|it| !self.order.contains(it));
        protocol::Fleet {
            machine: self.machine.clone(),
            supervisor: std::process::id(),
            stopping: self.ending,
            processes: self.order.iter().chain(leaving).filter_map(|it| self.seen(it)).collect(),
        }
    }
}

/// The number of `name` in its group: 3 of `simulation-worker-3` in `simulation-worker`, 0 of `comfyui-gpu0` in
/// `comfyui-gpu`.
fn number(group: &str, name: &ProcessName) -> Option<u64> {
    let rest = name
        .as_str()
        .strip_prefix(group)
        .filter(|_| !group.ends_with(|it: char| it == '-' || it.is_ascii_digit()))?;
    rest.strip_prefix('-').unwrap_or(rest).parse().ok()
}
