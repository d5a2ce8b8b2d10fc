//! What a machine says of itself: the one message that makes it, its workers and their services visible.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use spec::ids::{MachineId, WorkerId};

use crate::life::Millis;

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The start-up is complete: once.
    MachineReady,
    /// Nothing has changed. A machine that is silent for 30 s counts as gone.
    Periodic,
    /// Something has.
    EventDriven,
    /// The machine leaves: the last one.
    Shutdown,
}

impl Update {
    fn word(self) -> &'static str {
        match self {
            Self::MachineReady => "machine_ready",
            Self::Periodic => "periodic",
            Self::EventDriven => "event_driven",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is on its way.
    Starting,
    /// It works.
    Ready,
    /// It ends.
    Shutdown,
}

/// How it is with a worker, and with the services that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It may have jobs.
    Up,
    /// It is on its way.
    Starting,
    /// It is ill.
    Failed,
    /// It is switched off, or not there.
    Down,
}

impl Condition {
    /// Of a service: its status, its health, and what PM2 would call it.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Up => ("active", "healthy", "online"),
            Self::Starting => ("inactive", "unknown", "launching"),
            Self::Failed => ("error", "unhealthy", "errored"),
            Self::Down => ("inactive", "unhealthy", "stopped"),
        }
    }
}

/// A machine, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub id: MachineId,
    /// The version of what it runs.
    pub version: String,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is up.
    pub since: Millis,
    /// How many GPUs it has.
    pub gpu_count: usize,
    /// Its workers. Each is told of with its services.
    pub workers: BTreeMap<WorkerId, MachineWorker>,
}

/// A worker of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineWorker {
    /// The name of its process.
    pub process: String,
    /// The GPU that it works on.
    pub gpu: Option<u32>,
    /// The connector that it has: its type.
    pub connector: String,
    /// What it takes.
    pub services: BTreeSet<String>,
    /// How it is.
    pub condition: Condition,
    /// The job that it has.
    pub job: Option<String>,
    /// When it last did something.
    pub last_activity: Option<Millis>,
}

impl MachineWorker {
    /// Whether it may have jobs now.
    pub fn is_connected(&self) -> bool {
        self.condition == Condition::Up
    }

    /// What it does, in the words of that system.
    pub fn status(&self) -> &'static str {
        match self.condition {
            Condition::Up if self.job.is_some() => "busy",
            Condition::Up => "idle",
            Condition::Starting => "initializing",
            Condition::Failed | Condition::Down => "offline",
        }
    }
}

/// The channel on which a machine tells of itself.
pub fn machine_channel(machine: &MachineId) -> String {
    format!("machine:status:{machine}")
}

impl Machine {
    /// The message, at this moment. Every worker is both in `structure` and in `status`: the API passes by what is in one of
    /// them only.
    pub fn message(&self, update: Update, at: Millis, health_url: &str) -> Value {
        let phase = match self.phase {
            _ if update == Update::Shutdown => "shutdown",
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Shutdown => "shutdown",
        };
        let capabilities: BTreeSet<&String> = self.workers.values().flat_map(|it| &it.services).collect();
        let (mut workers, mut are) = (Map::new(), Map::new());
        let (mut services, mut theirs) = (Map::new(), Map::new());
        for (id, it) in &self.workers {
            let structure = json!({
                "worker_id": id,
                "pm2_name": it.process,
                "gpu_id": it.gpu.unwrap_or_default(),
                "worker_type": it.connector,
                // The word there for a GPU, pretended or not.
                "resource_binding": if it.gpu.is_some() { "mock_gpu" } else { "shared" },
                "services": it.services,
                "connectors": [it.connector],
            });
            workers.insert(id.to_string(), structure);
            let is = json!({
                "is_connected": it.is_connected(),
                "status": it.status(),
                "current_job_id": it.job,
                "last_activity": it.last_activity,
                "version": self.version,
            });
            are.insert(id.to_string(), is);
            let (status, health, pm2_status) = it.condition.words();
            for service in &it.services {
                let key = format!("{id}.{service}");
                let mut is = json!({
                    "worker_id": id,
                    "service_type": service,
                    "pm2_name": it.process,
                    "status": status,
                    "health": health,
                });
                services.insert(key.clone(), is.clone());
                is["pm2_status"] = pm2_status.into();
                theirs.insert(key, is);
            }
        }
        json!({
            "machine_id": self.id,
            "timestamp": at,
            "update_type": update.word(),
            "structure": {
                "gpu_count": self.gpu_count,
                "capabilities": capabilities,
                "workers": workers,
                "services": services,
            },
            "status": {
                "machine": { "phase": phase, "uptime_ms": at.saturating_sub(self.since) },
                "workers": are,
                "services": theirs,
            },
            "health_url": health_url,
        })
    }
}
