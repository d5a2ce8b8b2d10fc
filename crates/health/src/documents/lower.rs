//! Facts and verdicts as documents.

use super::{
    Blocker, Counts, Disk, Gpu, Health, Interface, Item, ItemHealth, Job, Machine, Ready, Redis, Role,
    SCHEMA_VERSION, Services, Status, Tally, Usage, Version,
};
use crate::board::Snapshot;
use crate::facts::{self, Install, Phase, Planned, RedisLink};
use crate::state::{self, State, Verdict, story};

impl Tally {
    fn count(&mut self, state: State) {
        *match state {
            State::Healthy => &mut self.healthy,
            State::Starting => &mut self.starting,
            State::Stopped => &mut self.stopped,
            State::NotInstalled => &mut self.not_installed,
            State::Unhealthy => &mut self.unhealthy,
            State::NotConfigured => &mut self.not_configured,
        } += 1;
    }
}

impl Snapshot {
    /// The machine in a few words.
    pub fn health(&self) -> Health {
        let (machine, verdict) = (&self.facts.machine, &self.verdicts.machine);
        let mut counts = Tally::default();
        for it in self.verdicts.services.iter().chain(&self.verdicts.workers) {
            counts.count(it.state);
        }
        Health {
            schema_version: SCHEMA_VERSION,
            healthy: verdict.state == State::Healthy,
            state: verdict.state,
            since: verdict.since,
            stage: machine.stage,
            percent: machine.percent,
            recovery: machine.recovery,
            counts,
        }
    }

    /// Whether jobs can be done.
    pub fn ready(&self) -> Ready {
        let verdict = &self.verdicts.machine;
        Ready {
            schema_version: SCHEMA_VERSION,
            ready: verdict.ready(),
            stage: self.facts.machine.stage,
            blockers: verdict.blockers.iter().map(Blocker::of).collect(),
        }
    }

    /// What runs.
    pub fn what_runs(&self) -> Version {
        let machine = &self.facts.machine;
        Version {
            schema_version: SCHEMA_VERSION,
            version: machine.version.clone(),
            machine: machine.id.to_string(),
            profile: machine.profile.as_ref().map(ToString::to_string),
            generation: machine.generation.clone(),
        }
    }

    /// Every service and worker.
    pub fn services(&self) -> Services {
        let (services, workers) = self.items();
        Services { schema_version: SCHEMA_VERSION, services, workers }
    }

    /// Everything.
    pub fn status(&self) -> Status {
        let (services, workers) = self.items();
        let facts = &self.facts;
        Status {
            schema_version: SCHEMA_VERSION,
            at: facts.at,
            machine: Machine::of(&facts.machine, &self.verdicts.machine),
            services,
            workers,
            gpus: facts.gpus.iter().map(Gpu::of).collect(),
            redis: Redis::of(&facts.redis),
            disks: facts.disks.iter().map(Disk::of).collect(),
            interfaces: facts.interfaces.iter().map(Interface::of).collect(),
        }
    }

    /// One service or worker.
    pub fn item(&self, name: &str) -> Option<Item> {
        let service = self.facts.services.iter().zip(&self.verdicts.services);
        let service =
            service.filter(|(it, _)| it.name.as_str() == name).map(|(it, is)| Item::service(it, is));
        let worker = self.facts.workers.iter().zip(&self.verdicts.workers);
        let worker = worker.filter(|(it, _)| it.name.as_str() == name).map(|(it, is)| Item::worker(it, is));
        service.chain(worker).next()
    }

    fn items(&self) -> (Vec<Item>, Vec<Item>) {
        let services = self.facts.services.iter().zip(&self.verdicts.services);
        let workers = self.facts.workers.iter().zip(&self.verdicts.workers);
        (
            services.map(|(it, is)| Item::service(it, is)).collect(),
            workers.map(|(it, is)| Item::worker(it, is)).collect(),
        )
    }
}

impl Blocker {
    fn of(it: &state::Blocker) -> Self {
        Self { name: it.name.clone(), state: it.state, why: it.why.clone() }
    }
}

impl Machine {
    fn of(it: &facts::Machine, is: &state::MachineVerdict) -> Self {
        Self {
            id: it.id.to_string(),
            version: it.version.clone(),
            profile: it.profile.as_ref().map(ToString::to_string),
            generation: it.generation.clone(),
            started: it.started,
            state: is.state,
            since: is.since,
            stage: it.stage,
            percent: it.percent,
            doing: it.doing.clone(),
            recovery: it.recovery,
            recovery_cause: it.recovery_cause.clone(),
            ready: is.ready(),
            blockers: is.blockers.iter().map(Blocker::of).collect(),
        }
    }
}

impl Item {
    fn service(it: &facts::Service, is: &Verdict) -> Self {
        let process = it.process.as_ref();
        Self {
            name: it.name.to_string(),
            role: Role::Service,
            kind: it.kind.as_ref().map(ToString::to_string),
            configured: it.plan != Planned::Absent,
            enabled: it.plan == Planned::Enabled,
            installed: match it.install {
                Install::Present => Some(true),
                Install::Unknown => None,
                Install::Underway { .. } | Install::Missing { .. } | Install::Failed { .. } => Some(false),
            },
            port: it.port,
            gpus: it.gpus.clone(),
            needs: it.needs.iter().map(ToString::to_string).collect(),
            job: None,
            counts: None,
            ..Self::process(process, is)
        }
    }

    fn worker(it: &facts::Worker, is: &Verdict) -> Self {
        Self {
            name: it.name.to_string(),
            role: Role::Worker,
            kind: Some(it.connector.clone()),
            configured: true,
            enabled: true,
            installed: Some(true),
            gpus: it.gpu.into_iter().collect(),
            needs: it.needs.iter().map(ToString::to_string).collect(),
            job: it.job.as_ref().map(Job::of),
            counts: Some(Counts::of(it.counts)),
            ..Self::process(Some(&it.process), is)
        }
    }

    /// What a process and a verdict say of it; the rest is empty.
    fn process(process: Option<&facts::Process>, is: &Verdict) -> Self {
        Self {
            name: String::new(),
            role: Role::Service,
            kind: None,
            state: is.state,
            since: is.since,
            cause: is.cause.clone(),
            next: is.next.clone(),
            configured: false,
            enabled: false,
            installed: None,
            process: process.map(|it| it.phase.word().into()),
            pid: process.and_then(|it| it.pid),
            restarts: process.map_or(0, |it| it.restarts),
            last_error: process.and_then(|it| it.trouble.as_ref()).map(ToString::to_string),
            port: None,
            gpus: vec![],
            needs: vec![],
            usage: process.and_then(|it| it.usage).map(Usage::of),
            job: None,
            counts: None,
        }
    }

    /// In a few words.
    pub(crate) fn health(self) -> ItemHealth {
        let verdict = Verdict { state: self.state, since: self.since, cause: self.cause, next: self.next };
        ItemHealth {
            schema_version: SCHEMA_VERSION,
            why: story(&self.name, &verdict),
            name: self.name,
            healthy: verdict.state == State::Healthy,
            state: verdict.state,
            since: verdict.since,
            cause: verdict.cause,
            next: verdict.next,
        }
    }
}

impl Phase {
    /// What it does, in one word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launching => "launching",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::BackingOff { .. } => "backing off",
            Self::Failed { .. } => "failed",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }
}

impl Usage {
    fn of(it: facts::Usage) -> Self {
        Self {
            cpu_percent: it.cpu_percent.map(tenths),
            memory_bytes: it.memory_bytes,
            uptime_seconds: it.uptime.as_secs(),
        }
    }
}

/// A measured number has no more digits than mean something.
fn tenths(it: f64) -> f64 {
    (it * 10.0).round() / 10.0
}

impl Job {
    fn of(it: &facts::Job) -> Self {
        Self { id: it.id.clone(), since: it.since, percent: it.percent, message: it.message.clone() }
    }
}

impl Counts {
    fn of(it: facts::Counts) -> Self {
        let facts::Counts { claimed, succeeded, failed, handed_back } = it;
        Self { claimed, succeeded, failed, handed_back }
    }
}

impl Gpu {
    fn of(it: &facts::Gpu) -> Self {
        let reading = it.reading.as_ref();
        Self {
            index: it.index,
            uuid: it.uuid.clone(),
            name: it.name.clone(),
            memory_total_bytes: it.memory_total,
            memory_used_bytes: reading.map(|it| it.memory_used),
            utilisation_percent: reading.map(|it| it.utilisation),
            temperature_celsius: reading.map(|it| it.temperature),
            power_watts: reading.and_then(|it| it.power).map(tenths),
            xid_errors: reading.map(|it| it.xid_errors),
            fault: it.fault.clone(),
        }
    }
}

impl Redis {
    fn of(it: &RedisLink) -> Self {
        let (connected, latency, why) = match it {
            RedisLink::Unneeded | RedisLink::Pending => (None, None, None),
            RedisLink::Connected { latency } => (Some(true), Some(latency.as_secs_f64()), None),
            RedisLink::Lost { why, .. } => (Some(false), None, Some(why.clone())),
        };
        Self { connected, latency_seconds: latency, why }
    }
}

impl Disk {
    fn of(it: &facts::Disk) -> Self {
        Self { path: it.path.clone(), total_bytes: it.total, free_bytes: it.free }
    }
}

impl Interface {
    fn of(it: &facts::Interface) -> Self {
        Self { name: it.name.clone(), received_bytes: it.received, sent_bytes: it.sent }
    }
}
