//! Sections 6.1 to 6.3, 6.7 and 6.8: how a worker comes and goes.

use broker::{Broker, Outcome};
use serde_json::{Value, json};

use crate::server::{Server, claim, finish, worker, worker_with};
use crate::sheet::{Sheet, is_iso};

fn capabilities() -> Value {
    json!({
        "worker_id": "m1-worker-comfyui-0", "machine_id": "m1",
        "services": ["comfyui"], "job_service_required_map": ["comfyui"],
        "hardware": { "gpu_memory_gb": 24, "ram_gb": 64 }, "models": { "comfyui": ["sdxl"] },
        "customer_access": { "isolation": "loose", "max_concurrent_customers": 1 },
        "performance": { "concurrent_jobs": 1, "quality_levels": [], "max_processing_time_minutes": 30 },
        "metadata": { "version": "1.2.3", "platform": "<text>", "arch": "<text>" },
    })
}

pub async fn a_worker_registers_and_its_heart_beats(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear) = (server.legacy().await, server.listen().await);
    let (me, id) = (worker("m1-worker-comfyui-0"), "m1-worker-comfyui-0");
    broker.join(&me).await.unwrap();
    let hash = json!({
        "worker_id": id, "machine_id": "m1", "capabilities": "<json>", "status": "idle", "connected_at": "<iso>",
        "last_heartbeat": "<iso>", "total_jobs_completed": "0", "total_jobs_failed": "0",
    });
    sheet.form("6.3", "the worker's hash", &server.fields(&format!("worker:{id}")).await, &hash);
    sheet.eq("2", "it lasts", &server.ttl(&format!("worker:{id}")).await, &-1);
    let document = server.member(&format!("worker:{id}"), "capabilities").await;
    sheet.form("6.2", "its capabilities", &document, &capabilities());
    let beat: String = server.ask(&["GET", &format!("worker:{id}:heartbeat")]).await;
    sheet.is("6.3", "the heartbeat is an ISO time", is_iso(&beat));
    let ttl = server.ttl(&format!("worker:{id}:heartbeat")).await;
    sheet.is("6.3", "and lasts 60 s", (50..=60).contains(&ttl));
    let active: Vec<String> = server.ask(&["SMEMBERS", "workers:active"]).await;
    sheet.eq("6.3", "`workers:active`", &active, &vec![id.to_owned()]);

    let heard = ear.heard().await;
    let connected = json!({
        "type": "worker_connected", "worker_id": id, "machine_id": "m1",
        "worker_data": {
            "id": id, "status": "idle",
            "capabilities": {
                "gpu_count": 1, "gpu_memory_gb": 24, "ram_gb": 64, "services": ["comfyui"], "models": ["sdxl"],
                "customer_access": "loose", "max_concurrent_jobs": 1,
            },
            "connected_at": "<iso>", "jobs_completed": 0, "jobs_failed": 0,
        },
        "timestamp": "<ms>",
    });
    sheet.form("6.3", "`worker:events`", &heard.one("worker:events"), &connected);
    let own = capabilities();
    let status = json!({
        "worker_id": id, "machine_id": "m1", "status": "idle",
        "capabilities": {
            "services": own["services"], "hardware": own["hardware"], "performance": own["performance"],
            "customer_access": own["customer_access"], "models": own["models"],
        },
        "timestamp": "<iso>", "last_heartbeat": "<ms>", "connected_at": "<iso>",
    });
    sheet.form("6.3", "`worker_status:{wid}`", &heard.one(&format!("worker_status:{id}")), &status);
    let changed = json!({
        "worker_id": id, "event_type": "worker_status_changed",
        "data": {
            "status": "idle", "is_connected": true, "current_job_id": null, "last_activity": "<ms>",
            "version": "1.2.3", "capabilities": ["comfyui"],
        },
        "timestamp": "<ms>",
    });
    let events = heard.events(id, "worker_status_changed");
    sheet.form("6.6", "the event for the machine", &events.first().cloned().unwrap_or_default(), &changed);

    let message = json!({
        "connector_id": "<text>", "service_type": "comfyui", "worker_id": id, "status": "idle",
        "service_info": { "service_type": "comfyui", "version": "1.2.3" }, "timestamp": "<iso>",
        "last_health_check": "<ms>", "status_changed": true,
    });
    sheet.form("6.8", "`connector_status:{type}`", &heard.one("connector_status:comfyui"), &message);
    let kept = json!({ "status": "idle", "last_update": "<iso>", "service_info": "<json>" });
    sheet.form(
        "2",
        "`connector_status`",
        &server.fields(&format!("connector_status:{id}:comfyui")).await,
        &kept,
    );
    let index = server.fields("service_index:comfyui").await;
    let (field, entry) = index.as_object().unwrap().iter().next().unwrap();
    sheet.is("2", "the field of `service_index`", field.starts_with(&format!("{id}:")));
    let entry: Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
    let expected =
        json!({ "worker_id": id, "connector_id": "<text>", "status": "idle", "last_update": "<iso>" });
    sheet.form("2", "its entry", &entry, &expected);
    let changed = heard.events(id, "connector_status_changed");
    let data = json!({ "service_type": "comfyui", "status": "idle", "health": "healthy" });
    sheet.form("6.6", "`connector_status_changed`", &changed[0]["data"], &data);

    broker.join(&me).await.unwrap();
    sheet.eq("6.3", "it registers once", &ear.heard().await.0.len(), &0);
    for id in ["completion", "failure"] {
        sheet.is("2", "a name that another key has is refused", broker.join(&worker(id)).await.is_err());
    }
    Some(())
}

pub async fn a_worker_that_leaves_leaves_nothing(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear, me) = (server.legacy().await, server.listen().await, worker("w-0"));
    server.submit("a", &json!({ "retry_count": "1" })).await;
    let before: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    claim(&broker, &me).await.unwrap();
    ear.heard().await;
    broker.leave(&me).await.unwrap();
    let heard = ear.heard().await;
    let hash = server.hash("job:a").await;
    sheet.eq("14", "its job goes back", &hash["status"], &"pending".into());
    sheet.eq("14", "without spending an attempt", &hash["retry_count"], &"1".into());
    let after: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    sheet.eq("14", "to its place", &after.to_bits(), &before.to_bits());
    sheet.eq("14", "and no failure is told", &heard.on("job_failed").len(), &0);
    let shutdown = json!({
        "event_type": "shutdown", "machine_id": "m1", "worker_id": "w-0", "reason": "<text>", "timestamp": "<ms>",
    });
    sheet.form("6.7", "`machine:startup:events`", &heard.one("machine:startup:events"), &shutdown);
    let gone = json!({
        "type": "worker_disconnected", "worker_id": "w-0", "machine_id": "m1", "timestamp": "<ms>",
    });
    sheet.form("6.7", "`worker:events`", &heard.one("worker:events"), &gone);
    sheet.eq("6.7", "`worker_status:{wid}`", &heard.one("worker_status:w-0")["status"], &json!("offline"));
    let last = heard.events("w-0", "worker_status_changed");
    let data = &last.last().unwrap()["data"];
    sheet.eq("6.7", "its machine hears that it is offline", &data["status"], &json!("offline"));
    sheet.eq("6.6", "and not connected", &data["is_connected"], &json!(false));
    sheet.eq("6.7", "`worker:*` is gone", &server.keys("worker:*").await, &vec![]);
    sheet.eq("6.7", "`workers:active` is empty", &server.keys("workers:active").await, &vec![]);
    sheet.eq("2", "`jobs:active` is empty", &server.keys("jobs:active:*").await, &vec![]);
    Some(())
}

pub async fn a_worker_that_comes_back_returns_what_it_had(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let me = worker_with("w-0", &json!({ "services": ["comfyui"] }));
    let other = worker("w-1");
    server.submit("a", &json!({})).await;
    server.submit("b", &json!({})).await;
    let (before, elsewhere) = (server.legacy().await, server.legacy().await);
    let first = claim(&before, &me).await.unwrap();
    let second = claim(&elsewhere, &other).await.unwrap();
    // SIGKILL leaves everything as it is.
    drop(before);
    let after = server.legacy().await;
    let again = claim(&after, &me).await.unwrap();
    sheet.eq("13.1", "what an earlier life had goes back at once", &again.ticket.id, &first.ticket.id);
    sheet.is("13.2", "under another claim", again.ticket.fence > first.ticket.fence);
    sheet.eq("13.1", "at no cost", &again.attempts, &0);
    sheet.is(
        "13.1",
        "what others have stays theirs",
        finish(&elsewhere, &other, &second, Outcome::HandBack).await,
    );
    let late = vec![(first.ticket.clone(), Outcome::Success(json!(1)))];
    let told = after.exchange(&me, late, broker::Want::NOTHING).await.unwrap();
    sheet.is("13.2", "the claim of the earlier life is over", told.done[0].is_err());
    Some(())
}
