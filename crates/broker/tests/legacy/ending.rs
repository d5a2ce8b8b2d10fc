//! Sections 3.4, 6.5 and 9.1: how runs end.

use broker::{Broker, Outcome, Progress};
use serde_json::json;

use crate::server::{Heard, Server, claim, failure, finish, worker};
use crate::sheet::Sheet;

const DAY: i64 = 86_400;

fn is_about(ttl: i64, expected: i64) -> bool {
    (expected - 60..=expected).contains(&ttl)
}

/// What is told when a worker has nothing to do any more.
pub fn went_idle(sheet: &Sheet, heard: &Heard) {
    let status = json!({
        "worker_id": "w-0", "old_status": "busy", "new_status": "idle", "current_job_id": "", "timestamp": "<ms>",
    });
    sheet.form("6.5", "`worker_status` says idle", &heard.one("worker_status"), &status);
    let data = json!({
        "status": "idle", "is_connected": true, "current_job_id": null, "last_activity": "<ms>",
        "version": "1.2.3",
    });
    let changed = heard.events("w-0", "worker_status_changed");
    sheet.form("6.6", "so does the event", &changed[0]["data"], &data);
}

pub async fn a_job_is_completed(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    server.submit("a", &json!({ "retry_count": "1" })).await;
    let claim = claim(&broker, &me).await.unwrap();
    broker.progress(&claim.ticket, Progress { percent: 9, message: "x".into() }).await.unwrap().unwrap();
    let ear = server.listen().await;
    let picture = "QUJD".repeat(50);
    let file = json!({
        "name": "cat.png", "url": "https://cdn/cat.png", "bytes": 9, "sha256": "0a", "content_type": "image/png",
    });
    let made = json!({ "images": [file], "raw": picture, "image_base64": "QUJD" });
    sheet.is("6.5", "it is heard", finish(&broker, &me, &claim, Outcome::Success(made.clone())).await);
    let heard = ear.heard().await;

    let job = server.hash("job:a").await;
    sheet.eq("3.3", "`status`", &job["status"], &"completed".into());
    sheet.form("3.2", "`completed_at`", &json!(job["completed_at"]), &json!("<iso>"));
    sheet.eq("3.2", "`worker_id` stays", &job["worker_id"], &"w-0".into());
    sheet.eq("2", "`jobs:active` is empty", &server.keys("jobs:active:*").await, &vec![]);
    let result = json!({
        "success": true, "data": made, "processing_time_ms": "<number>",
        "service_metadata": { "service_version": "1.2.3", "service_type": "comfyui" },
        "output_files": [{
            "filename": "cat.png", "path": "https://cdn/cat.png", "type": "image", "size_bytes": 9,
            "mime_type": "image/png", "metadata": { "cdn_url": "https://cdn/cat.png" },
        }],
    });
    let told = json!({
        "job_id": "a", "worker_id": "w-0", "progress": 100, "status": "completed",
        "message": "Job completed successfully", "result": result, "timestamp": "<ms>",
    });
    sheet.form("6.5", "`complete_job`", &heard.one("complete_job"), &told);
    let mut stripped = result.clone();
    stripped["data"]["raw"] = "[BASE64_DATA_REMOVED]".into();
    stripped["data"]["image_base64"] = "[BASE64_IMAGE_REMOVED]".into();
    let kept = json!({ "success": true, "data": stripped, "completed_at": "<iso>" });
    sheet.form("14", "`jobs:completed`, without base64", &server.member("jobs:completed", "a").await, &kept);
    sheet.is("2", "for a day", is_about(server.ttl("jobs:completed").await, DAY));
    let done = json!({ "job_id": "a", "service_type": "comfyui" });
    sheet.form("6.6", "`job_completed`", &heard.events("w-0", "job_completed")[0]["data"], &done);
    went_idle(sheet, &heard);
    let own = server.hash("worker:w-0").await;
    sheet.eq(
        "6.5",
        "the worker is idle",
        &(own["status"].as_str(), own["current_job_id"].as_str()),
        &("idle", ""),
    );
    sheet.form("6.5", "since", &json!(own["last_status_change"]), &json!("<iso>"));
    let order: Vec<&str> = heard.0.iter().map(|(channel, _)| channel.as_str()).collect();
    let place = |of: &str| order.iter().position(|it| *it == of);
    sheet.is("6.5", "the end is told before the rest", place("complete_job") < place("worker_status"));

    let key = "worker:completion:step-id:a:attempt:2";
    let record = json!({
        "job_id": "a", "worker_id": "w-0", "status": "completed", "completed_at": "<iso>", "result": "<json>",
        "raw_service_output": "<json>", "raw_service_request": null, "retry_count": 1, "workflow_id": null,
        "current_step": null, "total_steps": null, "machine_id": "m1", "worker_version": "1.2.3",
        "attestation_created_at": "<ms>",
    });
    let found = server.document(key).await;
    sheet.form("9.1", "the attestation", &found, &record);
    sheet.is("9.1", "without base64", !found.to_string().contains(&picture));
    sheet.is("14", "ends", is_about(server.ttl(key).await, 30 * DAY));
    sheet.is("14", "so does the stream", is_about(server.ttl("progress:a").await, 7 * DAY));
    sheet.is("14", "and the progress", is_about(server.ttl("job:a:progress").await, 7 * DAY));
    let status = broker.status(&"a".parse().unwrap()).await.unwrap().unwrap();
    sheet.eq("14", "the result can be asked for", &status.result.unwrap()["images"], &made["images"]);
    Some(())
}

pub async fn a_step_leaves_attestations_of_its_workflow(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me, ear) = (server.legacy().await, worker("w-0"), server.listen().await);
    let step = json!({
        "workflow_id": "wf", "current_step": "2", "total_steps": "2", "workflow_priority": "60",
        "workflow_datetime": "1735689600000", "max_retries": "1",
        "ctx": "{\"workflow_context\":{\"retry_attempt\":4}}",
    });
    server.submit("step-9", &step).await;
    let first = claim(&broker, &me).await.unwrap();
    finish(&broker, &me, &first, Outcome::Success(json!("text"))).await;
    let record = server.document("worker:completion:job-id:wf:step-id:9:attempt:5").await;
    let told = ["workflow_id", "current_step", "total_steps", "retry_count"].map(|it| record[it].clone());
    sheet.eq(
        "9.1",
        "the attempt is that of the workflow",
        &told,
        &[json!("wf"), json!("2"), json!("2"), json!(4)],
    );
    let ended = ear.heard().await.one("complete_job");
    let names = ["workflow_id", "current_step", "total_steps", "workflow_priority", "workflow_datetime"];
    let expected = [json!("wf"), json!(2), json!(2), json!(60), json!(1_735_689_600_000_u64)];
    sheet.eq(
        "6.5",
        "`complete_job` has its workflow, as numbers",
        &names.map(|it| ended[it].clone()),
        &expected,
    );

    server.submit("step-10", &step).await;
    let second = claim(&broker, &me).await.unwrap();
    finish(&broker, &me, &second, failure(true)).await;
    let keys = [
        "worker:failure:job-id:wf:step-id:10:permanent",
        "worker:completion:job-id:wf:step-id:10",
        "workflow:failure:wf:permanent",
    ];
    for key in keys {
        sheet.is("9.1", key, server.keys(key).await.len() == 1 && is_about(server.ttl(key).await, 30 * DAY));
    }
    let record = server.document(keys[2]).await;
    let told = ["workflow_attestation_type", "failed_job_id", "workflow_impact", "workflow_status"];
    let expected = [json!("job_failure"), json!("step-10"), json!("workflow_terminated"), json!("failed")];
    sheet.eq("9.1", "the record of the workflow", &told.map(|it| record[it].clone()), &expected);
    let ended = ear.heard().await.one("job_failed");
    let expected = [json!("wf"), json!(2), json!(2), json!(60), json!(1_735_689_600_000_u64)];
    sheet.eq("14", "`job_failed` has its workflow", &names.map(|it| ended[it].clone()), &expected);
    Some(())
}

pub async fn a_failure_is_retried_and_then_permanent(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me, ear) = (server.legacy().await, worker("w-0"), server.listen().await);
    let lifted =
        json!({ "max_retries": "2", "workflow_priority": "60", "workflow_datetime": "1735689600000" });
    server.submit("a", &lifted).await;
    let before: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    let first = claim(&broker, &me).await.unwrap();
    ear.heard().await;
    sheet.is("6.5", "it is heard", finish(&broker, &me, &first, failure(true)).await);
    let heard = ear.heard().await;
    let job = server.hash("job:a").await;
    let fields = ["status", "worker_id", "assigned_at", "retry_count", "last_failed_worker"];
    let expected = ["pending", "", "", "1", "w-0"];
    sheet.eq("3.2", "the fields of a retry", &fields.map(|it| job[it].as_str()), &expected);
    sheet.form("3.2", "`failed_at`", &json!(job["failed_at"]), &json!("<iso>"));
    let after: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    sheet.eq("14", "it keeps its workflow's place", &after.to_bits(), &before.to_bits());
    sheet.eq("14", "no failure is told", &heard.on("job_failed").len(), &0);
    sheet.eq("6.5", "`jobs:active` is empty", &server.keys("jobs:active:*").await, &vec![]);
    sheet.eq("6.5", "`jobs:failed` is empty", &server.keys("jobs:failed").await, &vec![]);
    went_idle(sheet, &heard);
    let key = "worker:failure:step-id:a:attempt:1";
    let record = json!({
        "attestation_type": "failure_retry", "job_id": "a", "worker_id": "w-0", "status": "failed_retrying",
        "failed_at": "<iso>", "error_message": "CUDA out of memory", "failure_type": "resource_limit",
        "failure_reason": "gpu_memory_full", "failure_description": "<text>", "raw_service_output": null,
        "raw_service_request": null, "retry_count": 1, "will_retry": true, "max_retries": 2,
        "workflow_id": null, "current_step": null, "total_steps": null, "workflow_impact": null,
        "machine_id": "m1", "worker_version": "1.2.3", "attestation_created_at": "<ms>",
    });
    sheet.form("9.1", "the attestation of a retry", &server.document(key).await, &record);

    let second = claim(&broker, &me).await.unwrap();
    sheet.eq("3.4", "the second run", &second.attempts, &1);
    ear.heard().await;
    sheet.is("6.5", "it is heard", finish(&broker, &me, &second, failure(true)).await);
    let heard = ear.heard().await;
    let job = server.hash("job:a").await;
    let fields = ["status", "retry_count", "last_failed_worker", "error"];
    let expected = ["failed", "2", "w-0", "CUDA out of memory"];
    sheet.eq("3.4", "two runs are all that it has", &fields.map(|it| job[it].as_str()), &expected);
    let told = json!({
        "job_id": "a", "worker_id": "w-0", "status": "failed", "error": "CUDA out of memory",
        "failed_at": "<iso>", "retry_count": 2, "can_retry": false, "timestamp": "<ms>",
        "workflow_priority": 60, "workflow_datetime": 1_735_689_600_000_u64,
    });
    sheet.form("6.5", "`job_failed`, once", &heard.one("job_failed"), &told);
    let kept = json!({ "error": "CUDA out of memory", "failed_at": "<iso>", "retry_count": 2 });
    sheet.form("6.5", "`jobs:failed`", &server.member("jobs:failed", "a").await, &kept);
    sheet.is("2", "for a week", is_about(server.ttl("jobs:failed").await, 7 * DAY));
    sheet.eq("3.3", "it is nowhere else", &server.keys("jobs:*").await, &vec!["jobs:failed".into()]);
    let record = server.document("worker:failure:step-id:a:permanent").await;
    let told = ["attestation_type", "status", "will_retry"].map(|it| record[it].clone());
    let expected = [json!("failure_permanent"), json!("failed_permanent"), json!(false)];
    sheet.eq("9.1", "the attestation of the end", &told, &expected);
    sheet.form(
        "9.1",
        "is also that of its completion",
        &server.document("worker:completion:step-id:a").await,
        &record,
    );

    server.submit("b", &json!({})).await;
    let last = claim(&broker, &me).await.unwrap();
    finish(&broker, &me, &last, failure(false)).await;
    sheet.eq(
        "3.4",
        "what is not retryable is not retried",
        &server.hash("job:b").await["status"],
        &"failed".into(),
    );
    Some(())
}
