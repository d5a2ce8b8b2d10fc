//! Runs an ecosystem until it is asked to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ecosystem::{App, Ecosystem};
use spec::env::{EnvSource, NotUnicode};
use spec::ids::ProcessName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::core::{Event, Fleet, Gate, Order, Policy, Process, ProcessState};
use crate::launcher::{Launcher, Plan};
use crate::log::{Keep, Logs};
use crate::metrics::Meter;
use crate::task::{Change, MAILBOX, Task};

/// Every process of the ecosystem, by name.
pub type FleetStatus = BTreeMap<ProcessName, Status>;

/// One process, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub process: Process,
    /// While it waits: for what, or for what in vain.
    pub gate: Gate,
    /// Processes that it had started and that could not be ended when it died.
    pub left: usize,
}

/// Runs ecosystems.
#[derive(Debug)]
pub struct Supervisor<L> {
    launcher: Arc<L>,
    logs: Arc<Logs>,
    meter: Arc<Meter>,
    seed: u64,
}

impl<L: Launcher> Supervisor<L> {
    /// A supervisor that starts processes through `launcher` and keeps `keep` of their output. `seed` is the chance in
    /// the back-off: another one on each machine and run.
    pub fn new(launcher: L, keep: Keep, seed: u64) -> Self {
        let (logs, meter) = (Arc::new(Logs::new(keep)), Arc::default());
        Self { launcher: Arc::new(launcher), logs, meter, seed }
    }

    /// What the processes say.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// What the processes use.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Runs `ecosystem`, whose variables come from `source`, until `stop` is ready and every process has ended.
    /// `status` follows what they do. The document is one that `Ecosystem::read` accepts. Fails before anything is
    /// started, when a variable that a process is to be given is not Unicode.
    pub async fn run(
        &self,
        ecosystem: &Ecosystem,
        source: &dyn EnvSource,
        stop: impl Future<Output = ()>,
        status: &watch::Sender<FleetStatus>,
    ) -> Result<(), NotUnicode> {
        let (changes, mut news) = mpsc::unbounded_channel();
        let (mut tasks, mut mailboxes) = (JoinSet::new(), BTreeMap::new());
        let began = Instant::now();
        let setup = ecosystem.setup.iter().map(|it| (it, Policy::of_setup(it)));
        let apps = ecosystem.apps.iter().map(|it| (it, Policy::of_app(it)));
        let all: Vec<(&App, Policy)> = setup.chain(apps).collect();
        let plans: Vec<Plan> = all.iter().map(|(app, _)| Plan::new(app, source)).collect::<Result<_, _>>()?;
        for (((app, policy), plan), seed) in all.into_iter().zip(plans).zip(self.seed..) {
            let (mailbox, orders) = mpsc::channel(MAILBOX);
            mailboxes.insert(app.name.clone(), mailbox);
            let task = Task {
                launcher: self.launcher.clone(),
                plan,
                policy,
                app: app.clone(),
                logs: self.logs.clone(),
                meter: self.meter.clone(),
                began,
                changes: changes.clone(),
            };
            tasks.spawn(task.run(orders, seed));
        }

        let mut board = Board::new(Fleet::new(ecosystem), status);
        let mut told = BTreeSet::new();
        let (mut stop, mut up) = (std::pin::pin!(stop), true);
        while up || !board.states.values().all(ProcessState::has_exited) {
            let orders =
                if up { board.fleet.starts(&board.states) } else { board.fleet.stops(&board.states) };
            for order in orders {
                let (name, event) = match order {
                    Order::Start(name) => (name, Event::Start),
                    Order::Stop(name) => (name, Event::Stop),
                };
                if let Some(mailbox) = mailboxes.get(&name)
                    && told.insert(name)
                {
                    // A task ends only after its mailbox is gone.
                    let _ = mailbox.send(event).await;
                }
            }
            tokio::select! {
                Some(change) = news.recv() => board.put(change),
                () = &mut stop, if up => {
                    up = false;
                    told.clear();
                }
            }
        }
        self.launcher.finish().await;
        // Without mailboxes the tasks write the last output and end.
        drop(mailboxes);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// What is known of every process, and who is shown it.
struct Board<'a> {
    fleet: Fleet,
    states: BTreeMap<ProcessName, ProcessState>,
    status: &'a watch::Sender<FleetStatus>,
}

impl<'a> Board<'a> {
    fn new(fleet: Fleet, status: &'a watch::Sender<FleetStatus>) -> Self {
        let states: BTreeMap<_, _> = fleet.names().map(|it| (it.clone(), ProcessState::Waiting)).collect();
        let first = |name: &ProcessName| {
            let gate = fleet.gate(name, &states);
            (name.clone(), Status { process: Process::new(0), gate, left: 0 })
        };
        status.send_replace(fleet.names().map(first).collect());
        Self { fleet, states, status }
    }

    fn put(&mut self, Change { name, process, left }: Change) {
        self.states.insert(name.clone(), process.state.clone());
        self.status.send_modify(|all| {
            if let Some(it) = all.get_mut(&name) {
                (it.process, it.left) = (process, left);
            }
            for (name, it) in all.iter_mut() {
                let waits = it.process.state == ProcessState::Waiting;
                it.gate = if waits { self.fleet.gate(name, &self.states) } else { Gate::Open };
            }
        });
    }
}
