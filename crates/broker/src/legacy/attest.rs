//! Attestations: what is kept of each run of a job besides its state. They are written before the state changes, in the same
//! step here.

use serde_json::{Value, json};

use super::classify::class;
use super::job::Hash;
use super::strip::stripped;
use super::{events::Says, time};

/// A record and its key.
pub(super) type Record = (String, Value);

/// What stands before the attempt: `[job-id:{wf}:]step-id:{step}`.
fn step(hash: &Hash, id: &str) -> String {
    let step = id.strip_prefix("step-").unwrap_or(id);
    let workflow = hash.get("workflow_id").map(|it| format!("job-id:{it}:")).unwrap_or_default();
    format!("{workflow}step-id:{step}")
}

/// How often it was tried before, by the first of four counters that says something.
fn retries(hash: &Hash) -> i64 {
    let (ctx, payload) = (hash.json("ctx"), hash.json("payload"));
    let at = |value: &Option<Value>, path: &str| {
        let found = value.as_ref()?.pointer(path)?;
        found.as_i64().or_else(|| found.as_str()?.parse().ok()).filter(|it| *it != 0)
    };
    at(&ctx, "/workflow_context/retry_attempt")
        .or_else(|| at(&payload, "/ctx/retry_count"))
        .or_else(|| at(&payload, "/ctx/retryCount"))
        .unwrap_or_else(|| hash.retries().into())
}

/// That a job was done, with its result.
pub(super) fn completion(hash: &Hash, id: &str, result: &Value, says: Says<'_>) -> Record {
    let (retries, result) = (retries(hash), stripped(result));
    let record = json!({
        "job_id": id,
        "worker_id": says.worker,
        "status": "completed",
        "completed_at": time::iso(says.now),
        "result": result.to_string(),
        "raw_service_output": result.get("data").unwrap_or(&result).to_string(),
        "raw_service_request": null,
        "retry_count": retries,
        "workflow_id": hash.get("workflow_id"),
        "current_step": hash.get("current_step"),
        "total_steps": hash.get("total_steps"),
        "machine_id": says.settings.machine,
        "worker_version": says.settings.version,
        "attestation_created_at": says.now,
    });
    (format!("worker:completion:{}:attempt:{}", step(hash, id), retries.saturating_add(1)), record)
}

/// That a job failed, so many times by now; `again`: it is tried again. Each record that is kept of it.
pub(super) fn failure(
    hash: &Hash,
    id: &str,
    (message, retries, again): (&str, u32, bool),
    says: Says<'_>,
) -> Vec<Record> {
    let (class, workflow) = (class(message), hash.get("workflow_id"));
    let impact = workflow.map(|_| if again { "workflow_interrupted" } else { "workflow_terminated" });
    let record = json!({
        "attestation_type": if again { "failure_retry" } else { "failure_permanent" },
        "job_id": id,
        "worker_id": says.worker,
        "status": if again { "failed_retrying" } else { "failed_permanent" },
        "failed_at": time::iso(says.now),
        "error_message": message,
        "failure_type": class.kind,
        "failure_reason": class.reason,
        "failure_description": class.description,
        "raw_service_output": null,
        "raw_service_request": null,
        "retry_count": retries,
        "will_retry": again,
        "max_retries": hash.attempts(),
        "workflow_id": workflow,
        "current_step": hash.get("current_step"),
        "total_steps": hash.get("total_steps"),
        "workflow_impact": impact,
        "machine_id": says.settings.machine,
        "worker_version": says.settings.version,
        "attestation_created_at": says.now,
    });
    let (step, end) = (step(hash, id), if again { format!("attempt:{retries}") } else { "permanent".into() });
    let mut records = vec![(format!("worker:failure:{step}:{end}"), record.clone())];
    if !again {
        records.push((format!("worker:completion:{step}"), record.clone()));
    }
    if let Some(workflow) = workflow {
        let mut of_workflow = record;
        of_workflow["workflow_attestation_type"] = "job_failure".into();
        of_workflow["failed_job_id"] = id.into();
        of_workflow["workflow_status"] = if again { "retrying" } else { "failed" }.into();
        records.push((format!("workflow:failure:{workflow}:{end}"), of_workflow));
    }
    records
}
