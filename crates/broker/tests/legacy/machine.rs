//! Section 7.1: what a machine says of itself.

use broker::legacy::{Machine, MachineService, MachineWorker, Update};
use serde_json::{Value, json};

use crate::server::Server;
use crate::sheet::Sheet;

pub async fn a_machine_tells_of_its_start_its_life_and_its_stop(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear) = (server.legacy().await, server.listen().await);
    let service = MachineService { process: Some("comfyui-gpu0".into()), active: true, healthy: Some(true) };
    let busy = MachineWorker {
        process: "comfyui-worker-0".into(),
        gpu: Some(0),
        kind: "comfyui".into(),
        status: "busy".into(),
        job: Some("a".into()),
        last_activity: Some(1_735_689_600_000),
        connectors: vec!["comfyui".into()],
        services: [("comfyui".into(), service)].into(),
    };
    let idle = MachineWorker {
        process: "openai-worker-0".into(),
        kind: "openai".into(),
        status: "idle".into(),
        services: [("openai-text".into(), MachineService { active: true, ..MachineService::default() })]
            .into(),
        ..MachineWorker::default()
    };
    let workers = [("m1-worker-comfyui-0", busy), ("m1-worker-openai-0", idle)];
    let workers = workers.into_iter().map(|(id, it)| (id.parse().unwrap(), it)).collect();
    let machine = Machine { gpu_count: 1, up_since: 1_735_689_600_000, health_port: 9090, workers };
    for (update, kind, phase) in [
        (Update::Ready, "machine_ready", "ready"),
        (Update::Periodic, "periodic", "ready"),
        (Update::Changed, "event_driven", "ready"),
        (Update::Shutdown, "shutdown", "shutdown"),
    ] {
        broker.announce(&machine, update).await.unwrap();
        let told = ear.heard().await.one("machine:status:m1");
        sheet.form("7.1", kind, &told, &message(kind, phase));
    }
    sheet.eq("7.2", "the API writes the rest", &server.keys("*").await, &vec![]);
    Some(())
}

fn message(kind: &str, phase: &str) -> Value {
    let stopping = phase == "shutdown";
    let of = |status: &str| if stopping { "offline".to_owned() } else { status.to_owned() };
    let entry = |worker: &str, service: &str, process: &str, health: &str| {
        json!({
            "worker_id": worker, "service_type": service, "pm2_name": process, "status": "active",
            "health": health,
        })
    };
    let comfyui = entry("m1-worker-comfyui-0", "comfyui", "comfyui-gpu0", "healthy");
    let openai = entry("m1-worker-openai-0", "openai-text", "openai-worker-0", "unknown");
    let with = |entry: &Value| {
        let mut entry = entry.clone();
        entry["pm2_status"] = "online".into();
        entry
    };
    json!({
        "machine_id": "m1", "timestamp": "<ms>", "update_type": kind,
        "structure": {
            "gpu_count": 1, "capabilities": ["comfyui", "openai-text"],
            "workers": {
                "m1-worker-comfyui-0": {
                    "worker_id": "m1-worker-comfyui-0", "pm2_name": "comfyui-worker-0", "gpu_id": 0,
                    "worker_type": "comfyui", "resource_binding": "mock_gpu", "services": ["comfyui"],
                    "connectors": ["comfyui"],
                },
                "m1-worker-openai-0": {
                    "worker_id": "m1-worker-openai-0", "pm2_name": "openai-worker-0", "gpu_id": 0,
                    "worker_type": "openai", "resource_binding": "shared", "services": ["openai-text"],
                    "connectors": [],
                },
            },
            "services": {
                "m1-worker-comfyui-0.comfyui": comfyui,
                "m1-worker-openai-0.openai-text": openai,
            },
        },
        "status": {
            "machine": { "phase": phase, "uptime_ms": "<number>" },
            "workers": {
                "m1-worker-comfyui-0": {
                    "is_connected": !stopping, "status": of("busy"), "current_job_id": "a",
                    "last_activity": 1_735_689_600_000_u64, "version": "1.2.3",
                },
                "m1-worker-openai-0": {
                    "is_connected": !stopping, "status": of("idle"), "current_job_id": null,
                    "last_activity": null, "version": "1.2.3",
                },
            },
            "services": {
                "m1-worker-comfyui-0.comfyui": with(&comfyui),
                "m1-worker-openai-0.openai-text": with(&openai),
            },
        },
        "health_url": "http://localhost:9090/health",
    })
}
