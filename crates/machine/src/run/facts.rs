//! From what the supervisor and the probes say to the facts that the health server judges and shows.

use std::collections::BTreeMap;

use health::{Facts, Install, Millis, Phase, Probe, Process, Stage, Trouble};
use spec::ids::ProcessName;
use supervisor::{
    End, Exit, FleetStatus, Gate, Level, ProcessState, Purpose, Status, Trouble as Supervised, Usage,
};

use super::recovery::Census;
use super::scene::{ByProcess, Scene};

/// What is known beside the scene.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// When the supervisor began, in milliseconds since 1970.
    pub(crate) began: Millis,
    /// What the last measurement said.
    pub(crate) usage: BTreeMap<ProcessName, Usage>,
    /// What was wrong when a process last ended, until it is well.
    pub(crate) troubles: ByProcess<Trouble>,
    /// How the installs are, in the order of the scene's services.
    pub(crate) installs: Vec<Install>,
    /// What the probes of services elsewhere say, by the names that they are shown by.
    pub(crate) probes: ByProcess<Probe>,
}

impl Observed {
    /// Remembers what was wrong, and forgets it when all is well.
    pub(crate) fn remember(&mut self, fleet: &FleetStatus) {
        for (name, status) in fleet {
            if let Some(it) = status.process.state.trouble() {
                self.troubles.insert(name.clone(), trouble(it));
            } else if matches!(
                status.process.state,
                ProcessState::Running { level: Level::Healthy { .. }, .. } | ProcessState::Exited { .. }
            ) {
                self.troubles.remove(name);
            }
        }
    }

    /// Puts everything that is known of processes, installs and probes into `facts`.
    pub(crate) fn put(&self, scene: &Scene, fleet: &FleetStatus, facts: &mut Facts) {
        facts.services.clone_from(&scene.services);
        facts.workers.clone_from(&scene.workers);
        for (place, service) in facts.services.iter_mut().enumerate() {
            if let Some(install) = self.installs.get(place) {
                service.install = install.clone();
            }
            if let Some(probe) = self.probes.get(&service.name) {
                service.probe = probe.clone();
            }
            if let (Some(process), Some(status)) = (&mut service.process, fleet.get(&service.name)) {
                *process = self.process(&service.name, status);
            }
        }
        for (worker, name) in facts.workers.iter_mut().zip(&scene.processes) {
            if let Some(status) = fleet.get(name) {
                worker.process = self.process(name, status);
            }
        }
    }

    /// What is being installed just now and how far that is, in percent; of several installs the one with the most to do.
    pub(crate) fn installing(&self) -> Option<(String, u8)> {
        let underway = self.installs.iter().filter_map(|it| match it {
            Install::Underway { step, percent } => Some((step.clone(), percent.unwrap_or(0))),
            Install::Present | Install::Unknown | Install::Missing { .. } | Install::Failed { .. } => None,
        });
        underway.min_by_key(|(_, percent)| *percent)
    }

    fn process(&self, name: &ProcessName, status: &Status) -> Process {
        let state = &status.process.state;
        Process {
            phase: self.phase(state),
            since: self.moment(status.since),
            pid: state.pid().map(|it| it.0.get()),
            restarts: status.process.starts.saturating_sub(1),
            trouble: self.troubles.get(name).cloned(),
            usage: self.usage.get(name).filter(|_| state.pid().is_some()).map(used),
        }
    }

    fn moment(&self, time: supervisor::Time) -> Millis {
        self.began + u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    /// What a process does, as the health server calls it.
    pub(crate) fn phase(&self, state: &ProcessState) -> Phase {
        match state {
            ProcessState::Waiting => Phase::Waiting,
            ProcessState::Launching { .. } => Phase::Launching,
            ProcessState::Running { level, .. } => match level {
                Level::Started { .. } => Phase::Started,
                Level::Ready { .. } => Phase::Ready,
                Level::Healthy { .. } => Phase::Healthy,
                Level::Unhealthy { .. } => Phase::Unhealthy,
            },
            ProcessState::Stopping { purpose, .. }
            | ProcessState::Killing { purpose, .. }
            | ProcessState::Sweeping { purpose } => match purpose {
                Purpose::Stop => Phase::Stopping,
                Purpose::Restart | Purpose::Replace { .. } => Phase::Restarting,
            },
            ProcessState::BackingOff { until, .. } => Phase::BackingOff { until: self.moment(*until) },
            ProcessState::Failed { retry_at, .. } => Phase::Failed { retry_at: Some(self.moment(*retry_at)) },
            ProcessState::Exited { end: End::Completed } => Phase::Completed,
            ProcessState::Exited { end: End::Stopped } => Phase::Stopped,
            ProcessState::Exited { end: End::Gone(_) } => Phase::Gone,
        }
    }
}

fn trouble(it: &Supervised) -> Trouble {
    match it {
        Supervised::Ended(Exit::Code(code)) => Trouble::Exited { code: *code },
        Supervised::Ended(Exit::Signal(signal)) => Trouble::Killed { signal: *signal, out_of_memory: false },
        Supervised::Ended(Exit::Unknown) => Trouble::Vanished,
        Supervised::NotLaunched(why) => Trouble::NotStarted { why: why.to_string() },
        Supervised::NotHealthyWithin(within) => Trouble::TooSlow { within: *within },
        Supervised::Unhealthy(looks) | Supervised::NotLive(looks) => Trouble::Unresponsive { looks: *looks },
        Supervised::Memory { bytes, limit } => Trouble::Memory { bytes: *bytes, limit: *limit },
    }
}

fn used(usage: &Usage) -> health::Usage {
    let tree = &usage.tree;
    health::Usage {
        cpu_seconds: tree.cpu_seconds_total,
        cpu_percent: tree.cpu_percent,
        memory_bytes: tree.memory_bytes,
        uptime: std::time::Duration::from_secs_f64(usage.uptime_seconds.max(0.0)),
        open_files: tree.open_fds,
    }
}

/// How far the start is, by what the processes do; `None` while they are not known yet.
pub(crate) fn stage(scene: &Scene, fleet: &FleetStatus, observed: &Observed) -> Option<Stage> {
    let mut furthest = Stage::Running;
    for service in &scene.services {
        let is_setup = service.kind.is_none();
        let well = match &service.process {
            // A one-shot is well as soon as it runs; the others wait until it has completed.
            Some(_) if is_setup => matches!(
                fleet.get(&service.name)?.process.state,
                ProcessState::Exited { end: End::Completed | End::Stopped }
            ),
            Some(_) => is_well(&fleet.get(&service.name)?.process.state),
            // A service elsewhere, or one that nobody wants.
            None => !matches!(
                observed.probes.get(&service.name).unwrap_or(&service.probe),
                Probe::Pending | Probe::Failing { .. }
            ),
        };
        if !well {
            furthest = furthest.min(if is_setup { Stage::SharedSetup } else { Stage::Services });
        }
    }
    for name in &scene.processes {
        if !is_well(&fleet.get(name)?.process.state) {
            furthest = furthest.min(Stage::Workers);
        }
    }
    Some(furthest)
}

/// How far the start is when a stage begins: those that wait for other programs are the long ones.
pub(crate) fn percent(stage: Stage) -> Option<u8> {
    match stage {
        Stage::Configuration => Some(0),
        Stage::CleanUp => Some(5),
        Stage::Inventory => Some(10),
        Stage::Allocation => Some(15),
        Stage::Ecosystem => Some(20),
        Stage::Registration => Some(25),
        Stage::SharedSetup => Some(30),
        Stage::Services => Some(60),
        Stage::Workers => Some(90),
        Stage::Running => Some(100),
        Stage::Draining | Stage::Stopping => None,
    }
}

fn is_well(state: &ProcessState) -> bool {
    matches!(
        state,
        ProcessState::Running { level: Level::Healthy { .. }, .. }
            | ProcessState::Exited { end: End::Completed | End::Stopped }
    )
}

/// Whether it does not run, and will not soon.
fn is_lost(status: &Status) -> bool {
    matches!(status.process.state, ProcessState::Failed { .. } | ProcessState::Exited { end: End::Gone(_) })
        || matches!(status.gate, Gate::Blocked(_)) && status.process.state == ProcessState::Waiting
}

/// Counts what the processes do.
pub(crate) fn census(scene: &Scene, fleet: &FleetStatus) -> Census {
    let mut census = Census::default();
    for service in scene.services.iter().filter(|it| it.process.is_some()) {
        let well = fleet.get(&service.name).is_some_and(|it| is_well(&it.process.state));
        census.down += usize::from(!well);
    }
    for (name, worker) in scene.processes.iter().zip(&scene.workers) {
        let Some(status) = fleet.get(name) else { continue };
        if matches!(status.process.state, ProcessState::Exited { end: End::Stopped }) {
            continue;
        }
        // A worker outlives its service, and can do nothing without it.
        let mut needs = worker.needs.iter().filter_map(|it| fleet.get(it));
        if is_lost(status) || needs.clone().any(is_lost) {
            census.lost += 1;
        } else if is_well(&status.process.state) && needs.all(|it| is_well(&it.process.state)) {
            census.working += 1;
        } else {
            census.coming += 1;
        }
    }
    census
}

/// Whether every worker has ended: what is left to do of a drain is to stop the services.
pub(crate) fn has_drained(scene: &Scene, fleet: &FleetStatus) -> bool {
    scene.processes.iter().all(|it| fleet.get(it).is_none_or(|it| it.process.state.pid().is_none()))
}

/// Why it is not well, in the words of the first process of which that can be said.
pub(crate) fn cause(scene: &Scene, fleet: &FleetStatus, observed: &Observed) -> Option<String> {
    let names = scene.services.iter().map(|it| &it.name).chain(&scene.processes);
    let mut down = names.filter_map(|it| Some((it, fleet.get(it)?)));
    let (name, status) = down.find(|(_, it)| !is_well(&it.process.state))?;
    let trouble = observed.troubles.get(name).map(|it| format!(" ({it})")).unwrap_or_default();
    Some(format!("{name} is {}{trouble}", status.process.state.word()))
}
