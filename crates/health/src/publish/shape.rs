//! The message on `machine:status:<id>`, in the shape that monitors of the job queue of emp-job-queue read, and the
//! records in the shape that its server keeps of a worker.

use serde_json::{Map, Value, json};
use spec::ids::WorkerId;

use crate::board::Snapshot;
use crate::facts::{Millis, Stage, Worker};
use crate::state::{State, Verdict};
use crate::words::words;

words! {
    /// Why a message is sent.
    Update {
        /// The start-up is complete: once.
        MachineReady = "machine_ready",
        /// Nothing has changed.
        Periodic = "periodic",
        /// Something has.
        EventDriven = "event_driven",
        /// The machine leaves: the last one.
        Shutdown = "shutdown",
    }
}

/// The message.
pub fn message(now: &Snapshot, update: Update, health_url: &str) -> Value {
    let mut said = said(now);
    let facts = &now.facts;
    let at = facts.at;
    said["machine_id"] = json!(facts.machine.id);
    said["timestamp"] = json!(at);
    said["update_type"] = json!(update);
    said["health_url"] = json!(health_url);
    said["status"]["machine"]["uptime_ms"] = json!(at.saturating_sub(facts.machine.started));
    if update == Update::Shutdown {
        said["status"]["machine"]["phase"] = json!("shutdown");
    }
    said
}

/// The part of it that is news when it changes.
pub(super) fn said(now: &Snapshot) -> Value {
    let facts = &now.facts;
    let mut capabilities: Vec<&str> =
        facts.workers.iter().flat_map(|it| &it.accepts).map(String::as_str).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    let (mut workers, mut are) = (Map::new(), Map::new());
    let (mut services, mut theirs) = (Map::new(), Map::new());
    for (it, is) in each(now) {
        let gpu = it.gpu.unwrap_or_default();
        let structure = json!({
            "worker_id": it.id,
            "pm2_name": it.name,
            "gpu_id": gpu,
            "worker_type": it.connector,
            "resource_binding": if it.gpu.is_some() { "gpu" } else { "shared" },
            "services": it.accepts,
            "connectors": [it.connector],
        });
        workers.insert(it.id.to_string(), structure);
        let status = json!({
            "is_connected": connected(is),
            "status": activity(it, is),
            "current_job_id": it.job.as_ref().map(|it| &it.id),
            "last_activity": last_activity(it),
            "version": facts.machine.version,
        });
        are.insert(it.id.to_string(), status);
        for service in &it.accepts {
            let key = format!("{}.{service}", it.id);
            let mut status = service_status(it, is, service);
            services.insert(key.clone(), status.clone());
            status["pm2_status"] = json!(pm2_status(is));
            theirs.insert(key, status);
        }
    }
    let phase = match facts.machine.stage {
        Stage::Running => "ready",
        Stage::Draining | Stage::Stopping => "shutdown",
        _ => "starting",
    };
    json!({
        "structure": {
            "gpu_count": facts.gpus.len(),
            "capabilities": capabilities,
            "workers": workers,
            "services": services,
        },
        "status": { "machine": { "phase": phase }, "workers": are, "services": theirs },
    })
}

/// What is kept of each worker.
pub(super) fn workers(now: &Snapshot) -> Vec<(WorkerId, Vec<(&'static str, String)>)> {
    let machine = &now.facts.machine.id;
    let fields = |it: &Worker, is: &Verdict| {
        vec![
            ("worker_id", it.id.to_string()),
            ("machine_id", machine.to_string()),
            ("status", activity(it, is).into()),
            ("is_connected", connected(is).to_string()),
            ("current_job_id", it.job.as_ref().map(|it| it.id.clone()).unwrap_or_default()),
            ("last_activity", last_activity(it).map(|it| it.to_string()).unwrap_or_default()),
            ("capabilities", json!({ "gpu_id": it.gpu, "services": it.accepts }).to_string()),
        ]
    };
    each(now).map(|(it, is)| (it.id.clone(), fields(it, is))).collect()
}

fn each(now: &Snapshot) -> impl Iterator<Item = (&Worker, &Verdict)> {
    now.facts.workers.iter().zip(&now.verdicts.workers)
}

/// Whether it may have jobs now.
fn connected(is: &Verdict) -> bool {
    is.state == State::Healthy
}

/// In the words of the job queue.
fn activity(it: &Worker, is: &Verdict) -> &'static str {
    match is.state {
        State::Healthy if it.job.is_some() => "busy",
        State::Healthy => "idle",
        State::Starting => "initializing",
        State::Stopped | State::NotInstalled | State::Unhealthy | State::NotConfigured => "offline",
    }
}

fn last_activity(it: &Worker) -> Option<Millis> {
    it.job.as_ref().map(|it| it.since)
}

fn service_status(it: &Worker, is: &Verdict, service: &str) -> Value {
    let (status, health) = match is.state {
        State::Healthy => ("active", "healthy"),
        State::Starting => ("inactive", "unknown"),
        State::Unhealthy => ("error", "unhealthy"),
        State::Stopped | State::NotInstalled | State::NotConfigured => ("inactive", "unhealthy"),
    };
    json!({
        "worker_id": it.id,
        "service_type": service,
        "pm2_name": it.name,
        "status": status,
        "health": health,
    })
}

/// What PM2 would call it.
fn pm2_status(is: &Verdict) -> &'static str {
    match is.state {
        State::Healthy => "online",
        State::Starting => "launching",
        State::Unhealthy => "errored",
        State::Stopped | State::NotInstalled | State::NotConfigured => "stopped",
    }
}
