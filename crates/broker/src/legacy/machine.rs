//! What a machine says of itself: the one message that makes it, its workers and their services visible.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spec::ids::WorkerId;

use super::{Legacy, time};
use crate::error::Error;
use crate::life::Millis;

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Once, after the start.
    Ready,
    /// Every 10 s: a machine that is silent for 30 s counts as gone.
    Periodic,
    /// On each change.
    Changed,
    /// Once, at the stop.
    Shutdown,
}

impl Update {
    /// `update_type`, and the phase that the machine is in then.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ready => ("machine_ready", "ready"),
            Self::Periodic => ("periodic", "ready"),
            Self::Changed => ("event_driven", "ready"),
            Self::Shutdown => ("shutdown", "shutdown"),
        }
    }
}

/// A machine, as others see it.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// How many GPUs it has.
    pub gpu_count: u32,
    /// Since when it is up.
    pub up_since: Millis,
    /// The port of its health server.
    pub health_port: u16,
    /// Its workers. Each is told of with its services.
    pub workers: BTreeMap<WorkerId, MachineWorker>,
}

/// A worker of a machine.
#[derive(Clone, Debug, Default)]
pub struct MachineWorker {
    /// The name of its process.
    pub process: String,
    /// The GPU that it works on.
    pub gpu: Option<u32>,
    /// Its type.
    pub kind: String,
    /// `idle`, `busy`, `offline`, `initializing` or `unknown`.
    pub status: String,
    /// The job that it has.
    pub job: Option<String>,
    /// When it last did something.
    pub last_activity: Option<Millis>,
    /// The connectors that it has loaded.
    pub connectors: Vec<String>,
    /// Its services, by name.
    pub services: BTreeMap<String, MachineService>,
}

/// A service of a worker.
#[derive(Clone, Debug, Default)]
pub struct MachineService {
    /// The name of its process, if it has one here.
    pub process: Option<String>,
    /// Whether it runs.
    pub active: bool,
    /// Whether it is well, once that is known.
    pub healthy: Option<bool>,
}

impl MachineService {
    fn words(&self) -> (&'static str, &'static str) {
        let health = match self.healthy {
            Some(true) => "healthy",
            Some(false) => "unhealthy",
            None => "unknown",
        };
        (if self.active { "active" } else { "inactive" }, health)
    }
}

impl Legacy {
    /// Tells the API of a machine, on `machine:status:{machine}`.
    pub async fn announce(&self, machine: &Machine, update: Update) -> Result<(), Error> {
        let id = &self.settings.machine;
        let message = machine.message(id.as_str(), update, &self.settings.version, time::now());
        self.ask(redis::cmd("PUBLISH").arg(format!("machine:status:{id}")).arg(message.to_string())).await
    }
}

impl Machine {
    /// The message. Every worker is both in `structure` and in `status`: the API passes by what is in one of them only.
    fn message(&self, id: &str, update: Update, version: &str, now: Millis) -> Value {
        let (update, phase) = update.words();
        let stopping = phase == "shutdown";
        let (mut structure, mut states) = (json!({}), json!({}));
        let (mut services, mut health) = (json!({}), json!({}));
        let mut all: Vec<&String> = self.workers.values().flat_map(|it| it.services.keys()).collect();
        all.sort();
        all.dedup();
        for (name, worker) in &self.workers {
            let wid = name.as_str();
            structure[wid] = json!({
                "worker_id": wid,
                "pm2_name": worker.process,
                "gpu_id": worker.gpu.unwrap_or(0),
                "worker_type": worker.kind,
                "resource_binding": if worker.gpu.is_some() { "mock_gpu" } else { "shared" },
                "services": worker.services.keys().collect::<Vec<_>>(),
                "connectors": worker.connectors,
            });
            states[wid] = json!({
                "is_connected": !stopping && worker.status != "offline",
                "status": if stopping { "offline" } else { &worker.status },
                "current_job_id": worker.job,
                "last_activity": worker.last_activity,
                "version": version,
            });
            for (service, it) in &worker.services {
                let (status, well) = it.words();
                let process = it.process.as_deref().unwrap_or(&worker.process);
                let entry = json!({
                    "worker_id": wid,
                    "service_type": service,
                    "pm2_name": process,
                    "status": status,
                    "health": well,
                });
                let key = format!("{wid}.{service}");
                health[&key] = entry.clone();
                health[&key]["pm2_status"] = if it.active { "online" } else { "unknown" }.into();
                services[&key] = entry;
            }
        }
        json!({
            "machine_id": id,
            "timestamp": now,
            "update_type": update,
            "structure": {
                "gpu_count": self.gpu_count,
                "capabilities": all,
                "workers": structure,
                "services": services,
            },
            "status": {
                "machine": { "phase": phase, "uptime_ms": now.saturating_sub(self.up_since) },
                "workers": states,
                "services": health,
            },
            "health_url": format!("http://localhost:{}/health", self.health_port),
        })
    }
}
