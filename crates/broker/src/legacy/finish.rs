//! How a run of a job ends: what is written, and who is told.

use serde_json::{Map, Value, json};

use super::events::{self, Commands, Says};
use super::job::Hash;
use super::strip::stripped;
use super::{Change, Legacy, RUNNING, attest, time};
use crate::broker::{Outcome, Ticket};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::life::Rejection;

/// How long `jobs:completed` and `jobs:failed` live after the last job that was put there, in seconds.
const COMPLETED_TTL: &str = "86400";
const FAILED_TTL: &str = "604800";
/// What the API says of a job that was cancelled.
pub(super) const CANCELLED: &str = "Job cancelled by user";

impl Legacy {
    /// Ends a run. Whether the worker was heard.
    pub(super) async fn finish(
        &self,
        worker: &Worker,
        ticket: &Ticket,
        outcome: Outcome,
    ) -> Result<Result<(), Rejection>, Error> {
        let (id, name) = (ticket.id.as_str(), worker.id.as_str());
        let hash = self.hash(id).await?;
        let says = self.says(name);
        let success = matches!(outcome, Outcome::Success(_));
        let commands = match &outcome {
            Outcome::Success(result) => self.completed(id, &hash, result, says),
            Outcome::Failure { retryable, message } => self.failed(id, &hash, (message, *retryable), says),
            Outcome::HandBack => returned(id, &hash, says, None),
            Outcome::Stopped => cancelled(id, Some(name), says),
        };
        let change = Change {
            worker: Some(name),
            claim: Some(ticket.fence),
            idle: rests(says, &hash),
            ..Change::of(id, &RUNNING, commands)
        };
        // A success can be told again: it is known by its claim.
        let link = if success { self.link.clone() } else { self.link.once() };
        let heard = self.guard(&change, &link).await?;
        self.forget(&worker.id, ticket);
        let ended = if success { heard.status == "completed" } else { heard.status == "failed" };
        // Cancelled meanwhile: what a worker says of such a job is what was wanted, but not that it was done.
        Ok(if heard.done || (heard.mine && ended) { Ok(()) } else { Err(Rejection::Stale) })
    }

    /// The job was done.
    fn completed(&self, id: &str, hash: &Hash, result: &Value, says: Says<'_>) -> Commands {
        let (mut commands, now) = (Commands::default(), time::iso(says.now));
        let result = self.result(hash, result, says);
        let (key, record) = attest::completion(hash, id, &result, says);
        commands.add(["SET", &key, &record.to_string(), "EX", &self.attestation_ttl()]);
        commands.add(["HSET", &format!("job:{id}"), "status", "completed", "completed_at", &now]);
        commands.add(["HDEL", &format!("jobs:active:{}", says.worker), id]);
        let kept = json!({ "success": true, "data": stripped(&result), "completed_at": now });
        commands.add(["HSET", "jobs:completed", id, &kept.to_string()]);
        commands.add(["EXPIRE", "jobs:completed", COMPLETED_TTL]);
        let mut message = events::workflow(hash);
        let told = json!({
            "job_id": id,
            "worker_id": says.worker,
            "progress": 100,
            "status": "completed",
            "message": "Job completed successfully",
            "result": result,
            "timestamp": says.now,
        });
        message.extend(members(told));
        commands.publish("complete_job", &message.into());
        let service = hash.get("service_required").unwrap_or_default();
        commands.publish(
            &says.channel(),
            &says.event("job_completed", &json!({ "job_id": id, "service_type": service })),
        );
        commands.and(self.ends(id));
        commands
    }

    /// The job failed: back to the line, or for good. Only what is for good is told: a message of any other failure would show
    /// the job as failed although it is tried again.
    pub(super) fn failed(
        &self,
        id: &str,
        hash: &Hash,
        (message, retryable): (&str, bool),
        says: Says<'_>,
    ) -> Commands {
        let (mut commands, now) = (Commands::default(), time::iso(says.now));
        let runs = hash.retries().saturating_add(1);
        let again = retryable && runs < hash.attempts();
        for (key, record) in attest::failure(hash, id, (message, runs, again), says) {
            commands.add(["SET", &key, &record.to_string(), "EX", &self.attestation_ttl()]);
        }
        if again {
            commands.and(returned(id, hash, says, Some(runs)));
            return commands;
        }
        let (key, count) = (format!("job:{id}"), runs.to_string());
        commands.add([
            "HSET",
            &key,
            "status",
            "failed",
            "failed_at",
            &now,
            "retry_count",
            &count,
            "last_failed_worker",
            says.worker,
            "error",
            message,
        ]);
        commands.add(["HDEL", &format!("jobs:active:{}", says.worker), id]);
        let kept = json!({ "error": message, "failed_at": now, "retry_count": runs });
        commands.add(["HSET", "jobs:failed", id, &kept.to_string()]);
        commands.add(["EXPIRE", "jobs:failed", FAILED_TTL]);
        let mut told = events::workflow(hash);
        told.extend(members(json!({
            "job_id": id,
            "worker_id": says.worker,
            "status": "failed",
            "error": message,
            "failed_at": now,
            "retry_count": runs,
            "can_retry": false,
            "timestamp": says.now,
        })));
        commands.publish("job_failed", &told.into());
        commands.and(self.ends(id));
        commands
    }

    /// What is kept of its progress is not kept for ever.
    fn ends(&self, id: &str) -> Commands {
        let (mut commands, ttl) =
            (Commands::default(), self.settings.progress_ttl.as_secs().max(1).to_string());
        commands.add(["EXPIRE", &format!("job:{id}:progress"), &ttl]);
        commands.add(["EXPIRE", &format!("progress:{id}"), &ttl]);
        commands
    }

    fn attestation_ttl(&self) -> String {
        self.settings.attestation_ttl.as_secs().max(1).to_string()
    }

    /// A result as the consumers of that system look through it: what the connector made is its `data`; files that were stored
    /// are its `output_files`.
    fn result(&self, hash: &Hash, data: &Value, says: Says<'_>) -> Value {
        let mut files = Vec::new();
        stored(data, &mut files);
        let began = hash.get("started_at").and_then(time::read).unwrap_or(says.now);
        let mut result = json!({
            "success": true,
            "data": data,
            "processing_time_ms": says.now.saturating_sub(began),
            "service_metadata": {
                "service_version": self.settings.version,
                "service_type": hash.get("service_required"),
            },
        });
        if !files.is_empty() {
            result["output_files"] = files.into();
        }
        result
    }
}

/// The worker has nothing to do any more, and neither has its connector.
fn rests(says: Says<'_>, hash: &Hash) -> Commands {
    let mut commands = says.idle();
    if let Some(service) = hash.get("service_required") {
        commands.and(says.connector(service, (Some("active"), "idle")));
    }
    commands
}

/// The job goes back to its place in the line. `failures`: how often it has failed by now; `None`: this was none.
pub(super) fn returned(id: &str, hash: &Hash, says: Says<'_>, failures: Option<u32>) -> Commands {
    let (mut commands, key) = (Commands::default(), format!("job:{id}"));
    commands.add(["HSET", &key, "status", "pending", "worker_id", "", "assigned_at", ""]);
    if let Some(failures) = failures {
        let (now, count) = (time::iso(says.now), failures.to_string());
        commands.add([
            "HSET",
            &key,
            "retry_count",
            &count,
            "last_failed_worker",
            says.worker,
            "failed_at",
            &now,
        ]);
    }
    commands.add(["ZADD", "jobs:pending", &hash.score(says.now).to_string(), id]);
    commands.add(["HDEL", &format!("jobs:active:{}", says.worker), id]);
    commands
}

/// A job that was cancelled, as the API says it, by the worker that has it, or by anyone.
pub(super) fn cancelled(id: &str, worker: Option<&str>, says: Says<'_>) -> Commands {
    let (mut commands, now) = (Commands::default(), time::iso(says.now));
    let key = format!("job:{id}");
    commands.add(["HSET", &key, "status", "failed", "failed_at", &now, "error", CANCELLED]);
    if let Some(worker) = worker {
        commands.add(["HDEL", &format!("jobs:active:{worker}"), id]);
    }
    let kept = json!({ "error": CANCELLED, "failed_at": now, "cancelled": true });
    commands.add(["HSET", "jobs:failed", id, &kept.to_string()]);
    commands
}

fn members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

/// Every stored file in a result, wherever it stands: an object with a name, an address, a length and a type.
fn stored(value: &Value, files: &mut Vec<Value>) {
    match value {
        Value::Object(it) => {
            let text = |name: &str| it.get(name).and_then(Value::as_str);
            if let (Some(name), Some(url), Some(bytes), Some(kind)) =
                (text("name"), text("url"), it.get("bytes"), text("content_type"))
            {
                files.push(json!({
                    "filename": name,
                    "path": url,
                    "type": kind.split('/').next(),
                    "size_bytes": bytes,
                    "mime_type": kind,
                    "metadata": { "cdn_url": url },
                }));
            }
            it.values().for_each(|it| stored(it, files));
        }
        Value::Array(them) => them.iter().for_each(|it| stored(it, files)),
        _ => {}
    }
}
