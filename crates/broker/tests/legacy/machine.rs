//! Section 7.1: what a machine says of itself.

use broker::legacy::{Condition, Machine, MachineWorker, Phase, Update, machine_channel};
use serde_json::{Value, json};

use crate::server::Server;
use crate::sheet::Sheet;

pub async fn a_machine_tells_of_its_start_its_life_and_its_stop(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let ear = server.listen().await;
    let worker = |process: &str, connector: &str, services: &[&str], condition| MachineWorker {
        process: process.into(),
        gpu: None,
        connector: connector.into(),
        services: services.iter().map(|it| (*it).to_owned()).collect(),
        condition,
        job: None,
        last_activity: None,
    };
    let busy = MachineWorker {
        gpu: Some(1),
        job: Some("a".into()),
        last_activity: Some(1_735_689_600_000),
        ..worker("comfyui-worker-0", "comfyui", &["comfyui"], Condition::Up)
    };
    let idle = worker("openai-worker-0", "openai", &["openai-text", "openai-image"], Condition::Up);
    let workers = [("m1-worker-comfyui-0", busy), ("m1-worker-openai-0", idle)];
    let mut machine = Machine {
        id: "m1".parse().unwrap(),
        version: "1.2.3".into(),
        phase: Phase::Starting,
        since: 1_735_689_600_000,
        gpu_count: 2,
        workers: workers.into_iter().map(|(id, it)| (id.parse().unwrap(), it)).collect(),
    };
    let channel = machine_channel(&machine.id);
    for (phase, update, kind, told) in [
        (Phase::Starting, Update::EventDriven, "event_driven", "starting"),
        (Phase::Ready, Update::MachineReady, "machine_ready", "ready"),
        (Phase::Ready, Update::Periodic, "periodic", "ready"),
        (Phase::Ready, Update::EventDriven, "event_driven", "ready"),
        (Phase::Ready, Update::Shutdown, "shutdown", "shutdown"),
        (Phase::Shutdown, Update::Shutdown, "shutdown", "shutdown"),
    ] {
        machine.phase = phase;
        let said = machine.message(update, 1_735_689_601_000, "http://localhost:9090/health");
        server.ask::<()>(&["PUBLISH", &channel, &said.to_string()]).await;
        let heard = ear.heard().await.one("machine:status:m1");
        sheet.form("7.1", kind, &heard, &message(kind, told));
    }

    for (condition, is, connected, status, health, pm2) in [
        (Condition::Up, "idle", true, "active", "healthy", "online"),
        (Condition::Starting, "initializing", false, "inactive", "unknown", "launching"),
        (Condition::Failed, "offline", false, "error", "unhealthy", "errored"),
        (Condition::Down, "offline", false, "inactive", "unhealthy", "stopped"),
    ] {
        let only = worker("w", "comfyui", &["comfyui"], condition);
        machine.workers = [("w".parse().unwrap(), only)].into();
        let said = &machine.message(Update::EventDriven, 0, "")["status"];
        let worker =
            (said["workers"]["w"]["status"].as_str(), said["workers"]["w"]["is_connected"].as_bool());
        sheet.eq("7.1", "the state of a worker", &worker, &(Some(is), Some(connected)));
        let service = &said["services"]["w.comfyui"];
        let service = ["status", "health", "pm2_status"].map(|it| service[it].as_str().unwrap_or_default());
        sheet.eq("7.1", "the state of its service", &service, &[status, health, pm2]);
    }
    Some(())
}

fn message(kind: &str, phase: &str) -> Value {
    let entry = |worker: &str, service: &str, process: &str| {
        json!({
            "worker_id": worker, "service_type": service, "pm2_name": process, "status": "active",
            "health": "healthy",
        })
    };
    let comfyui = entry("m1-worker-comfyui-0", "comfyui", "comfyui-worker-0");
    let text = entry("m1-worker-openai-0", "openai-text", "openai-worker-0");
    let image = entry("m1-worker-openai-0", "openai-image", "openai-worker-0");
    let with = |entry: &Value| {
        let mut entry = entry.clone();
        entry["pm2_status"] = "online".into();
        entry
    };
    json!({
        "machine_id": "m1", "timestamp": "<ms>", "update_type": kind,
        "structure": {
            "gpu_count": 2, "capabilities": ["comfyui", "openai-image", "openai-text"],
            "workers": {
                "m1-worker-comfyui-0": {
                    "worker_id": "m1-worker-comfyui-0", "pm2_name": "comfyui-worker-0", "gpu_id": 1,
                    "worker_type": "comfyui", "resource_binding": "mock_gpu", "services": ["comfyui"],
                    "connectors": ["comfyui"],
                },
                "m1-worker-openai-0": {
                    "worker_id": "m1-worker-openai-0", "pm2_name": "openai-worker-0", "gpu_id": 0,
                    "worker_type": "openai", "resource_binding": "shared",
                    "services": ["openai-image", "openai-text"], "connectors": ["openai"],
                },
            },
            "services": {
                "m1-worker-comfyui-0.comfyui": comfyui,
                "m1-worker-openai-0.openai-text": text,
                "m1-worker-openai-0.openai-image": image,
            },
        },
        "status": {
            "machine": { "phase": phase, "uptime_ms": 1000 },
            "workers": {
                "m1-worker-comfyui-0": {
                    "is_connected": true, "status": "busy", "current_job_id": "a",
                    "last_activity": 1_735_689_600_000_u64, "version": "1.2.3",
                },
                "m1-worker-openai-0": {
                    "is_connected": true, "status": "idle", "current_job_id": null,
                    "last_activity": null, "version": "1.2.3",
                },
            },
            "services": {
                "m1-worker-comfyui-0.comfyui": with(&comfyui),
                "m1-worker-openai-0.openai-text": with(&text),
                "m1-worker-openai-0.openai-image": with(&image),
            },
        },
        "health_url": "http://localhost:9090/health",
    })
}
