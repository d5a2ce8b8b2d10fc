//! Submitting a job exactly as the API would write it, but in one step.

use redis::Value as Answer;
use serde_json::{Value, json};

use super::job::{ATTEMPTS, Hash, PRIORITY};
use super::{Legacy, capabilities, time};
use crate::broker::Submission;
use crate::error::Error;
use crate::job::Job;
use crate::life::Millis;
use crate::refusal::{Refusal, Why};

/// What the API writes as long as its tracing is not built. Whoever reads them does not look into them.
const TRACE: &str = "temp-trace-id";
const SPAN: &str = "temp-span-id";

impl Legacy {
    pub(super) async fn submit_all(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        let mut written = Vec::new();
        for job in jobs {
            let refused = |refusals| Error::Refused { id: job.id.clone(), refusals };
            job.check().map_err(refused)?;
            written.push(fields(job, time::now()).map_err(refused)?);
        }
        let mut told = Vec::new();
        for (job, (hash, requirements)) in jobs.iter().zip(written) {
            let now = time::now();
            let score = hash.score(now).to_string();
            let flat: Vec<&String> = hash.0.iter().flat_map(|(name, value)| [name, value]).collect();
            let (before, after) = messages(job, &hash, &requirements, now);
            let args =
                [job.id.as_str(), &score, &json!(flat).to_string(), &before.to_string(), &after.to_string()];
            let new: Answer = self.run(&self.link, &self.submit, &args).await?;
            let id = job.id.clone();
            told.push(if new == Answer::Int(1) { Submission::Accepted(id) } else { Submission::Known(id) });
        }
        Ok(told)
    }
}

/// What of a job the wire of the TypeScript system has no words for. A submission asks it too, but only of the jobs of one call.
pub fn judge(job: &Job) -> Result<(), Vec<Refusal>> {
    fields(job, 0).map(drop)
}

/// The hash of a new job, and its requirements; or everything that this wire cannot say.
fn fields(job: &Job, now: Millis) -> Result<(Hash, Value), Vec<Refusal>> {
    let default = Job::new(job.service_required.clone());
    let mut refusals = Vec::new();
    let mut refuse = |at: &str, why| refusals.push(Refusal { at: at.into(), why: Why::Wire(why) });
    if !job.delay.is_zero() {
        refuse("/delay_ms", "a job is in the line at once");
    }
    if job.timeout != default.timeout {
        refuse("/timeout_ms", "every worker has its own");
    }
    if job.result_ttl != default.result_ttl {
        refuse("/result_ttl_ms", "a result is kept for a day");
    }
    if job.limit_key.is_some() {
        refuse("/limit_key", "there are no limits");
    }
    if job.idempotency_key.is_some() {
        refuse("/idempotency_key", "a job is known by its id alone");
    }
    let requirements = capabilities::write(&job.requirements).unwrap_or_else(|more| {
        refusals.extend(more);
        String::new()
    });
    if !refusals.is_empty() {
        return Err(refusals);
    }
    // 0 is absent there.
    let priority = if job.priority == 0 { PRIORITY } else { job.priority };
    let attempts = if job.max_attempts == 0 { ATTEMPTS } else { job.max_attempts };
    let workflow = job.workflow.as_ref();
    let number = |it: Option<u32>| it.map(|it| it.to_string()).unwrap_or_default();
    let document = serde_json::from_str(&requirements).unwrap_or(Value::Null);
    let fields = [
        ("id", job.id.to_string()),
        ("service_required", job.service_required.to_string()),
        ("priority", priority.to_string()),
        ("payload", job.payload.to_string()),
        ("requirements", requirements),
        ("customer_id", job.customer.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("created_at", time::iso(now)),
        ("status", "pending".into()),
        ("retry_count", "0".into()),
        ("max_retries", attempts.to_string()),
        ("workflow_id", workflow.map(|it| it.id.to_string()).unwrap_or_default()),
        ("workflow_priority", String::new()),
        ("workflow_datetime", String::new()),
        ("current_step", number(workflow.and_then(|it| it.step))),
        ("total_steps", number(workflow.and_then(|it| it.steps))),
        ("job_trace_id", TRACE.into()),
        ("job_span_id", SPAN.into()),
        ("workflow_trace_id", TRACE.into()),
        ("workflow_span_id", SPAN.into()),
        ("ctx", String::new()),
    ];
    Ok((Hash(fields.into_iter().map(|(name, value)| (name.into(), value)).collect()), document))
}

/// What is told before a job is there, and behind it: lists of a channel and a text.
fn messages(job: &Job, hash: &Hash, requirements: &Value, now: Millis) -> (Value, Value) {
    let optional = |message: &mut Value, names: &[&str]| {
        for name in names {
            let value = match *name {
                "customer_id" | "workflow_id" => hash.get(name).map(Value::from),
                _ => hash.whole(name).map(Value::from),
            };
            if let Some(value) = value {
                message[*name] = value;
            }
        }
    };
    let mut before = Vec::new();
    if let Some(workflow) = job.workflow.as_ref().filter(|it| it.step == Some(1) && it.steps.is_some()) {
        let mut message = json!({
            "workflow_id": workflow.id,
            "first_job_id": job.id,
            "total_steps": workflow.steps,
            "service_required": job.service_required,
            "workflow_type": job.service_required,
            "message": format!("Workflow {} submitted", workflow.id),
            "timestamp": now,
        });
        optional(&mut message, &["customer_id", "workflow_priority", "workflow_datetime"]);
        before.push(["workflow_submitted".into(), message.to_string()]);
    }
    let mut message = json!({
        "job_id": job.id,
        "service_required": job.service_required,
        "priority": hash.whole("priority"),
        "payload": job.payload,
        "created_at": hash.get("created_at"),
        "status": "pending",
        "timestamp": now,
    });
    if !requirements.is_null() {
        message["requirements"] = requirements.clone();
    }
    let names = [
        "customer_id",
        "workflow_id",
        "workflow_priority",
        "workflow_datetime",
        "current_step",
        "total_steps",
    ];
    optional(&mut message, &names);
    (json!(before), json!([["job_submitted", message.to_string()]]))
}
