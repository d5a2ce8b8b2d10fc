//! Sections 3.2, 5.1 and 6.4: claims, and progress.

use broker::{Broker, Progress};
use serde_json::{Value, json};

use crate::server::{Server, claim, worker};
use crate::sheet::Sheet;

pub async fn a_claim_by_our_script_writes_what_the_function_writes(sheet: &Sheet) -> Option<()> {
    claimed(sheet, &Server::start().await?).await
}

pub async fn a_claim_by_the_function_is_the_same(sheet: &Sheet) -> Option<()> {
    let server = Server::with_function().await?;
    claimed(sheet, &server).await?;
    let stats: String = server.ask(&["INFO", "commandstats"]).await;
    sheet.is("5", "the function was called", stats.contains("cmdstat_fcall"));
    Some(())
}

async fn claimed(sheet: &Sheet, server: &Server) -> Option<()> {
    let (broker, me) = (server.legacy().await, worker("w-0"));
    broker.join(&me).await.unwrap();
    let of_workflow = json!({
        "customer_id": "anna", "workflow_id": "wf-1", "current_step": "1", "total_steps": "2",
        "requirements": "{\"hardware\":{\"gpu_memory_gb\":16}}", "retry_count": "1",
    });
    server.submit("step-1", &of_workflow).await;
    let before = server.fields("job:step-1").await;
    let ear = server.listen().await;
    let claim = claim(&broker, &me).await.unwrap();
    let heard = ear.heard().await;

    let after = server.hash("job:step-1").await;
    sheet.eq("5.1", "the job leaves the line", &server.ask::<u64>(&["ZCARD", "jobs:pending"]).await, &0);
    sheet.eq("3.2", "its worker", &after["worker_id"], &"w-0".into());
    sheet.form("3.2", "`assigned_at`", &json!(after["assigned_at"]), &json!("<seconds.micros>"));
    sheet.eq("6.4", "`status`", &after["status"], &"in_progress".into());
    sheet.form("6.4", "`started_at`", &json!(after["started_at"]), &json!("<iso>"));
    let more: Vec<&str> = after.keys().map(String::as_str).filter(|it| before.get(*it).is_none()).collect();
    sheet.eq("3.2", "no other field", &more, &vec!["assigned_at", "started_at", "worker_id"]);
    let active = server.member("jobs:active:w-0", "step-1").await;
    sheet.form("5.1b", "`jobs:active` has the job as it was before", &active, &before);
    let worker_hash = server.hash("worker:w-0").await;
    sheet.eq("5.1c", "the worker is busy", &worker_hash["status"], &"busy".into());
    sheet.eq("5.1c", "with this job", &worker_hash["current_job_id"], &"step-1".into());
    let changed = json!(worker_hash["last_status_change"]);
    sheet.form("5.1c", "since", &changed, &json!("<seconds.micros>"));

    let told = json!({
        "job_id": "step-1", "worker_id": "w-0", "status": "claimed", "message": "<text>",
        "claimed_at": "<seconds.micros>", "timestamp": "<ms>", "service_required": "comfyui",
        "customer_id": "anna", "workflow_id": "wf-1", "total_steps": "2",
    });
    let job_claimed = heard.one("job_claimed");
    sheet.form("5.1d", "`job_claimed`", &job_claimed, &told);
    let whole = job_claimed["timestamp"].as_u64().is_some_and(|it| it % 1000 == 0);
    sheet.is("5.1d", "in whole seconds", whole);
    let progress = heard.on("update_job_progress");
    let none = json!({ "job_id": "step-1", "worker_id": "w-0", "progress": 0, "timestamp": "<ms>" });
    sheet.form("5.1e", "`update_job_progress`", &progress[0], &none);
    let entries: Vec<(String, Vec<String>)> = server.ask(&["XRANGE", "progress:step-1", "-", "+"]).await;
    sheet.eq("5.1f", "one entry in the stream", &entries.len(), &1);
    let names: Vec<&str> = entries[0].1.iter().step_by(2).map(String::as_str).collect();
    let expected = vec!["job_id", "worker_id", "status", "progress", "message", "assigned_at"];
    sheet.eq("2", "its fields", &names, &expected);
    let values: Vec<&str> = entries[0].1.iter().skip(1).step_by(2).take(4).map(String::as_str).collect();
    sheet.eq("2", "their values", &values, &vec!["step-1", "w-0", "assigned", "0"]);

    let status = json!({
        "worker_id": "w-0", "old_status": "idle", "new_status": "busy", "current_job_id": "step-1",
        "timestamp": "<ms>",
    });
    sheet.form("6.4", "`worker_status`", &heard.one("worker_status"), &status);
    let data = json!({
        "status": "busy", "is_connected": true, "current_job_id": "step-1", "last_activity": "<ms>",
        "version": "1.2.3",
    });
    let changed = heard.events("w-0", "worker_status_changed");
    sheet.form("6.6", "the machine hears it", &changed[0]["data"], &data);
    let started = json!({
        "worker_id": "w-0", "event_type": "job_started", "timestamp": "<ms>",
        "data": { "job_id": "step-1", "service_type": "comfyui" },
    });
    sheet.form("6.6", "`job_started`", &heard.events("w-0", "job_started")[0], &started);
    let connector = server.hash("connector_status:w-0:comfyui").await;
    sheet.eq("6.8", "its connector is active", &connector["status"], &"active".into());
    let connector = heard.one("connector_status:comfyui");
    let turn = (&connector["previous_status"], &connector["status"]);
    sheet.eq("6.8", "and was idle", &turn, &(&json!("idle"), &json!("active")));
    let statuses: Vec<&Value> = progress[1..].iter().map(|it| &it["status"]).collect();
    sheet.eq("8.5", "the monitor is told twice", &statuses, &vec![&json!("assigned"), &json!("processing")]);
    let seen = progress[1..].iter().all(|it| it["progress"].as_f64().is_some_and(|it| it > 0.0));
    sheet.is("8.5", "with a progress that the API does not drop", seen);

    sheet.eq("3.1", "the payload is JSON", &claim.job.payload, &json!({ "prompt": "a cat" }));
    sheet.eq("3.4", "how often it failed", &(claim.attempts, claim.job.max_attempts), &(1, 3));
    let workflow = claim.job.workflow.as_ref().map(|it| (it.id.as_str(), it.step, it.steps));
    sheet.eq("3.1", "its workflow", &workflow, &Some(("wf-1", Some(1), Some(2))));
    sheet.eq("12", "how long it may take", &(claim.deadline - claim.until), &(29 * 60_000));
    let written = after["assigned_at"].replace('.', "");
    sheet.eq("3.2", "its claim is its `assigned_at`", &claim.ticket.fence.to_string(), &written);
    Some(())
}

pub async fn progress_is_told_and_kept(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    server.submit("a", &json!({})).await;
    let claim = claim(&broker, &me).await.unwrap();
    let ear = server.listen().await;
    let half = Progress { percent: 50, message: "sampling / step 10".into() };
    sheet.is("6.4", "progress is heard", broker.progress(&claim.ticket, half).await.unwrap().is_ok());
    let kept = json!({
        "progress": "50", "status": "in_progress", "message": "sampling / step 10", "updated_at": "<iso>",
    });
    sheet.form("2", "`job:{id}:progress`", &server.fields("job:a:progress").await, &kept);
    let told = json!({
        "job_id": "a", "worker_id": "w-0", "progress": 50, "status": "in_progress",
        "message": "sampling / step 10", "timestamp": "<ms>",
    });
    sheet.form("6.4", "`update_job_progress`", &ear.heard().await.one("update_job_progress"), &told);
    server.api_cancels("a").await;
    ear.heard().await;
    let more = Progress { percent: 60, message: String::new() };
    let heard = broker.progress(&claim.ticket, more).await.unwrap();
    sheet.is("14", "who is cancelled is not heard", heard.is_err());
    sheet.eq("14", "and nothing of it is told", &ear.heard().await.0.len(), &0);
    Some(())
}

pub async fn the_best_job_is_claimed_first(sheet: &Sheet) -> Option<()> {
    for server in [Server::start().await?, Server::with_function().await?] {
        let (broker, me) = (server.legacy().await, worker("w-0"));
        server.submit("low", &json!({ "priority": "9" })).await;
        server.submit("high", &json!({ "priority": "60" })).await;
        server
            .submit(
                "early",
                &json!({ "created_at": "2024-12-31T00:00:00.000Z",
            "workflow_datetime": "1735603200000" }),
            )
            .await;
        server.submit("mean", &json!({})).await;
        server.submit("lifted", &json!({ "priority": "1", "workflow_priority": "70" })).await;
        let mut order = Vec::new();
        while let Some(claim) = claim(&broker, &me).await {
            order.push(claim.ticket.id.to_string());
        }
        sheet.eq(
            "4",
            "priority, then age",
            &order,
            &["lifted", "high", "early", "mean", "low"].map(String::from).to_vec(),
        );
    }
    Some(())
}
