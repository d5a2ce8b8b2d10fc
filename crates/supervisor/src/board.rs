//! Everything that a running supervisor knows: its processes, what is wanted of them, and who waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ecosystem::Ecosystem;
use spec::env::{EnvSource, NotUnicode};
use spec::ids::{MachineId, ProcessName};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::control::fix;
use crate::control::protocol::{Seen, Transition};
use crate::core::{Asked, Event, Fleet, Gate, Order, Process, ProcessState, States, Time};
use crate::launcher::Launcher;
use crate::log::Logs;
use crate::metrics::Meter;
use crate::reload::{Spec, Specs};
use crate::supervisor::{FleetStatus, Status};
use crate::task::{Change, Mail, Task};
use crate::waiter::Waiter;

/// Transitions that are kept for those who ask later.
const REMEMBERED: usize = 1024;

/// Everything that a running supervisor knows.
pub(crate) struct Board<'a, L> {
    pub means: Means<L>,
    pub source: &'a dyn EnvSource,
    pub machine: MachineId,
    pub fleet: Fleet,
    pub asked: Asked,
    pub states: States,
    pub seats: BTreeMap<ProcessName, Seat>,
    /// What waits for a process to be down, to take its place.
    pub next: Specs,
    /// Those that are forgotten once they are down.
    pub retiring: BTreeSet<ProcessName>,
    pub waiters: Vec<Waiter>,
    /// The order of the document, for people.
    pub order: Vec<ProcessName>,
    pub happened: VecDeque<Transition>,
    pub news: broadcast::Sender<Transition>,
    pub ending: bool,
    pub forced: bool,
    began: Instant,
    changes: mpsc::UnboundedSender<Change>,
    status: &'a watch::Sender<FleetStatus>,
    tasks: JoinSet<()>,
    seed: u64,
}

/// What the tasks work with.
pub(crate) struct Means<L> {
    pub launcher: Arc<L>,
    pub logs: Arc<Logs>,
    pub meter: Arc<Meter>,
}

/// A process and the way to its task.
pub(crate) struct Seat {
    pub spec: Spec,
    mailbox: mpsc::UnboundedSender<Mail>,
    told: u64,
    obeyed: u64,
    /// How often somebody asked something of it.
    pub asks: u64,
}

impl<'a, L: Launcher> Board<'a, L> {
    pub(crate) fn new(
        means: Means<L>,
        seed: u64,
        ecosystem: &Ecosystem,
        source: &'a dyn EnvSource,
        changes: mpsc::UnboundedSender<Change>,
        status: &'a watch::Sender<FleetStatus>,
    ) -> Result<Self, NotUnicode> {
        let specs = Spec::all(ecosystem, source)?;
        let mut board = Self {
            means,
            source,
            machine: ecosystem.machine.clone(),
            fleet: Fleet::new(ecosystem),
            asked: Asked::default(),
            states: States::new(),
            seats: BTreeMap::new(),
            next: Specs::new(),
            retiring: BTreeSet::new(),
            waiters: Vec::new(),
            order: order(ecosystem),
            happened: VecDeque::new(),
            news: broadcast::Sender::new(REMEMBERED),
            ending: false,
            forced: false,
            began: Instant::now(),
            changes,
            status,
            tasks: JoinSet::new(),
            seed,
        };
        status.send_replace(FleetStatus::new());
        for spec in specs.into_values() {
            board.hire(spec);
        }
        let all = board.seats.keys().cloned().collect();
        board.fleet.start(&mut board.asked, &all, &board.states);
        board.look_at_gates();
        Ok(board)
    }

    /// Gives a process a task. It waits until it is told to start.
    pub(crate) fn hire(&mut self, spec: Spec) {
        let (mailbox, orders) = mpsc::unbounded_channel();
        let name = spec.app.name.clone();
        let task = Task {
            launcher: self.means.launcher.clone(),
            plan: spec.plan.clone(),
            policy: spec.policy.clone(),
            app: spec.app.clone(),
            logs: self.means.logs.clone(),
            meter: self.means.meter.clone(),
            began: self.began,
            changes: self.changes.clone(),
            mailbox: mailbox.clone(),
        };
        self.seed = self.seed.wrapping_add(1);
        self.tasks.spawn(task.run(orders, self.seed));
        self.states.insert(name.clone(), ProcessState::Waiting);
        let (process, since) = (Process::new(self.seed), self.now());
        let status = Status { process, gate: Gate::Open, left: 0, since };
        self.status.send_modify(|all| _ = all.insert(name.clone(), status));
        let asks = self.seats.get(&name).map_or(0, |it| it.asks);
        self.seats.insert(name, Seat { spec, mailbox, told: 0, obeyed: 0, asks });
    }

    pub(crate) fn now(&self) -> Time {
        self.began.elapsed()
    }

    /// Whether everything is down for good.
    pub(crate) fn is_over(&self) -> bool {
        let down = |name: &ProcessName| !self.is_busy(name) && self.states[name].has_exited();
        self.ending && self.seats.keys().all(down)
    }

    pub(crate) fn is_busy(&self, name: &ProcessName) -> bool {
        self.seats.get(name).is_some_and(|it| it.told != it.obeyed)
    }

    /// Tells the processes whatever can be told now, and those who wait what has come of it.
    pub(crate) fn advance(&mut self) {
        loop {
            let seats = &self.seats;
            let busy = |name: &ProcessName| seats.get(name).is_some_and(|it| it.told != it.obeyed);
            let orders = if self.forced {
                let wants = self.states.iter().filter(|(name, it)| !busy(name) && it.wants_to_run());
                wants.map(|(name, _)| Order::Stop(name.clone())).collect()
            } else {
                self.asked.settle(&self.states, &busy);
                self.succeed();
                let seats = &self.seats;
                let busy = |name: &ProcessName| seats.get(name).is_some_and(|it| it.told != it.obeyed);
                self.fleet.orders(&mut self.asked, &self.states, &busy)
            };
            if orders.is_empty() {
                break;
            }
            for order in orders {
                let (name, event) = match order {
                    Order::Start(name) => (name, Event::Start),
                    Order::Stop(name) => (name, Event::Stop),
                };
                self.tell(&name, event);
            }
        }
        self.look_at_gates();
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain_mut(|it| !it.is_done(self));
        self.waiters = waiters;
    }

    fn tell(&mut self, name: &ProcessName, event: Event) {
        if let Some(seat) = self.seats.get_mut(name) {
            seat.told += 1;
            // A task ends only after its seat is gone.
            let _ = seat.mailbox.send(Mail::Order(event));
        }
    }

    /// Treats a process in another way from now on.
    pub(crate) fn amend(&mut self, spec: Spec) {
        if let Some(next) = self.next.get_mut(&spec.app.name) {
            *next = spec;
        } else if let Some(seat) = self.seats.get_mut(&spec.app.name) {
            let mail = Mail::Amend(Box::new((spec.app.clone(), spec.policy.clone())));
            let _ = seat.mailbox.send(mail);
            seat.spec = spec;
        }
    }

    /// Those that are down make room for what is to come after them.
    fn succeed(&mut self) {
        let down = |name: &ProcessName| {
            !self.is_busy(name) && !self.asked.stops(name) && self.states[name].has_exited()
        };
        let leaving: Vec<ProcessName> =
            self.next.keys().chain(&self.retiring).filter(|it| down(it)).cloned().collect();
        for name in leaving {
            if self.retiring.remove(&name) {
                self.asked.forget(&name);
                self.fleet.forget(&name);
                self.states.remove(&name);
                self.status.send_modify(|all| _ = all.remove(&name));
                self.happens(Transition::of(&name, "removed"));
                // Without its seat its task writes the last output and ends.
                self.seats.remove(&name);
            } else if let Some(spec) = self.next.remove(&name) {
                self.hire(spec);
                if !self.asked.starts(&name) {
                    self.tell(&name, Event::Stop);
                }
            }
        }
    }

    /// Takes note of what has happened.
    pub(crate) fn put(&mut self, Change { name, process, obeyed, left }: Change) {
        let now = self.now();
        let Some(seat) = self.seats.get_mut(&name) else { return };
        seat.obeyed = obeyed;
        if self.forced
            && let Some(pid) = process.state.pid()
        {
            self.means.launcher.kill(pid);
        }
        let before = self.states.insert(name.clone(), process.state.clone());
        let differs = before
            .as_ref()
            .is_none_or(|it| (it.word(), it.pid()) != (process.state.word(), process.state.pid()));
        self.status.send_modify(|all| {
            if let Some(it) = all.get_mut(&name) {
                (it.process, it.left) = (process, left);
                if differs {
                    it.since = now;
                }
            }
        });
        if differs {
            self.look_at_gate(&name);
            let transition = self.transition(&name);
            self.happens(transition);
        }
    }

    /// Those that wait learn for what, and whether in vain.
    fn look_at_gates(&mut self) {
        let waiting: Vec<ProcessName> = self.asked.starting().cloned().collect();
        for name in waiting {
            if self.look_at_gate(&name) {
                let transition = self.transition(&name);
                self.happens(transition);
            }
        }
    }

    /// Whether it is blocked now and was not before, or the other way round.
    fn look_at_gate(&mut self, name: &ProcessName) -> bool {
        let gate = if self.asked.starts(name) {
            self.fleet.gate(name, &self.states, &self.asked)
        } else {
            Gate::Open
        };
        let blocked = |it: &Gate| matches!(it, Gate::Blocked(_));
        let (mut differs, now) = (false, self.now());
        self.status.send_if_modified(|all| {
            let Some(it) = all.get_mut(name).filter(|it| it.gate != gate) else { return false };
            if blocked(&it.gate) != blocked(&gate) {
                (differs, it.since) = (true, now);
            }
            it.gate = gate;
            true
        });
        differs
    }

    fn transition(&self, name: &ProcessName) -> Transition {
        let mut transition = Transition::of(name, "");
        if let Some(it) = self.seen(name) {
            (transition.state, transition.why, transition.fix, transition.pid) =
                (it.state, it.why, it.fix, it.pid);
        }
        transition
    }

    fn happens(&mut self, mut transition: Transition) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        transition.at_ms = millis(now);
        if self.happened.len() == REMEMBERED {
            self.happened.pop_front();
        }
        self.happened.push_back(transition.clone());
        // There may be nobody who listens.
        let _ = self.news.send(transition);
    }

    /// What one process does.
    pub(crate) fn seen(&self, name: &ProcessName) -> Option<Seen> {
        let (seat, all) = (self.seats.get(name)?, self.status.borrow());
        let (Status { process, gate, left, since }, app) = (all.get(name)?, &seat.spec.app);
        let (state, now) = (&process.state, self.now());
        let to_come = self.asked.starts(name) && state.has_exited();
        let (word, why) = match gate {
            Gate::Blocked(chain) => {
                let links = chain.iter().map(|it| format!("`{}` is {}", it.process, it.state));
                ("blocked", Some(links.collect::<Vec<_>>().join(", because ")))
            }
            Gate::Open | Gate::Closed if to_come => ("waiting", None),
            Gate::Open | Gate::Closed => (state.word(), state.trouble().map(ToString::to_string)),
        };
        let run = match state {
            ProcessState::Running { run, .. }
            | ProcessState::Stopping { run, .. }
            | ProcessState::Killing { run, .. } => Some(run),
            _ => None,
        };
        let again = match state {
            ProcessState::BackingOff { until: at, .. } | ProcessState::Failed { retry_at: at, .. } => {
                Some(*at)
            }
            _ => None,
        };
        Some(Seen {
            name: name.clone(),
            kind: app.roster.kind,
            service: app.roster.service.clone(),
            state: word.to_owned(),
            why,
            fix: fix(app, &seat.spec.plan, state, gate),
            pid: run.map(|it| it.pid.0.get()),
            state_ms: millis(now.saturating_sub(*since)),
            uptime_ms: run.map(|it| millis(now.saturating_sub(it.since))),
            again_in_ms: again.map(|it| millis(it.saturating_sub(now))),
            restarts: process.starts.saturating_sub(1),
            left: *left,
            usage: None,
            ports: app.roster.ports.values().copied().collect(),
        })
    }

    /// Everything is down: ends the tasks.
    pub(crate) async fn close(mut self) {
        // Without seats the tasks write the last output and end.
        self.seats.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It may have ended with the runtime.
        let _ = self.mailbox.send(Mail::End);
    }
}

impl Transition {
    fn of(name: &ProcessName, state: &str) -> Self {
        Self { at_ms: 0, process: name.clone(), state: state.to_owned(), why: None, fix: None, pid: None }
    }
}

/// The processes of a document as they stand in it: what runs once, then the others.
pub(crate) fn order(ecosystem: &Ecosystem) -> Vec<ProcessName> {
    ecosystem.setup.iter().chain(&ecosystem.apps).map(|it| it.name.clone()).collect()
}

pub(crate) fn millis(time: Time) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
