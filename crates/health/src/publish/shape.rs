//! A machine in the words of the TypeScript job queue, whose monitors read its status, and whose server keeps such records of
//! workers.

use broker::legacy::{Condition, Machine, MachineWorker, Phase, Update};
use serde_json::{Value, json};
use spec::ids::WorkerId;

use crate::board::Snapshot;
use crate::facts::{Stage, Worker};
use crate::state::{State, Verdict};

/// The message on `machine:status:<id>`.
pub fn message(now: &Snapshot, update: Update, health_url: &str) -> Value {
    said(now).message(update, now.facts.at, health_url)
}

/// What is news when it changes.
pub(super) fn said(now: &Snapshot) -> Machine {
    let facts = &now.facts;
    let phase = match facts.machine.stage {
        Stage::Running => Phase::Ready,
        Stage::Draining | Stage::Stopping => Phase::Shutdown,
        _ => Phase::Starting,
    };
    let workers = facts.workers.iter().zip(&now.verdicts.workers);
    Machine {
        id: facts.machine.id.clone(),
        version: facts.machine.version.clone(),
        phase,
        since: facts.machine.started,
        gpu_count: facts.gpus.len(),
        workers: workers.map(|(it, is)| (it.id.clone(), worker(it, is))).collect(),
    }
}

fn worker(it: &Worker, is: &Verdict) -> MachineWorker {
    MachineWorker {
        process: it.name.to_string(),
        gpu: it.gpu,
        connector: it.connector.clone(),
        services: it.accepts.iter().cloned().collect(),
        condition: match is.state {
            State::Healthy => Condition::Up,
            State::Starting => Condition::Starting,
            State::Unhealthy => Condition::Failed,
            State::Stopped | State::NotInstalled | State::NotConfigured => Condition::Down,
        },
        job: it.job.as_ref().map(|it| it.id.clone()),
        last_activity: it.job.as_ref().map(|it| it.since),
    }
}

/// What is kept of each worker.
pub(super) fn workers(now: &Snapshot) -> Vec<(WorkerId, Vec<(&'static str, String)>)> {
    let said = said(now);
    let fields = |id: &WorkerId, it: &MachineWorker| {
        vec![
            ("worker_id", id.to_string()),
            ("machine_id", said.id.to_string()),
            ("status", it.status().into()),
            ("is_connected", it.is_connected().to_string()),
            ("current_job_id", it.job.clone().unwrap_or_default()),
            ("last_activity", it.last_activity.map(|it| it.to_string()).unwrap_or_default()),
            ("capabilities", json!({ "gpu_id": it.gpu, "services": it.services }).to_string()),
        ]
    };
    said.workers.iter().map(|(id, it)| (id.clone(), fields(id, it))).collect()
}
