//! A machine among those of the TypeScript system.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use super::hold;
use crate::{
    e2e::{
        Seen,
        world::{World, until},
    },
    workspace,
};

/// For everything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// That system's function, written anew from its description.
const FUNCTION: &str = "crates/broker/tests/legacy/find_matching_job.lua";

pub(super) async fn legacy_producer(world: Arc<World>) -> Seen {
    const JOBS: usize = 20;
    let (mut project, _) = world.project("legacy-producer").await?;
    let command = project.command("");
    let url =
        command.get_envs().find(|(name, _)| *name == "REDIS_URL").and_then(|(_, value)| value?.to_str());
    let client = redis::Client::open(url.unwrap_or_default()).map_err(|error| error.to_string())?;
    project.set("BROKER", "legacy");
    project.set("WORKER_POLL_INTERVAL_MS", "50");
    let mut ear = client.get_async_pubsub().await.map_err(|error| error.to_string())?;
    for channel in ["complete_job", "job_failed", "machine:status:*"] {
        ear.psubscribe(channel).await.map_err(|error| error.to_string())?;
    }
    let mut ear = ear.into_on_message();
    let link = client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
    let producer = Producer { link };
    let function = workspace::read(&workspace::root().join(FUNCTION))?;
    producer.ask::<String>(&["FUNCTION", "LOAD", "REPLACE", &function]).await?;

    // The first in the line stops that system's own workers.
    producer.submit("poison", 90, &json!({}), "null").await?;
    for n in 0..JOBS {
        producer.submit(&format!("job-{n}"), 50, &json!({ "duration_ms": 50, "seed": n }), "{}").await?;
    }
    producer.submit("fails", 50, &json!({ "duration_ms": 20, "fail": "permanent" }), "").await?;
    let machine = project.boot("simulation --spec simulation:2").await?;

    let (mut completed, mut failed, mut updates) = (BTreeMap::new(), Vec::new(), Vec::new());
    until("the API hears of every end", PATIENCE, async || {
        let message = tokio::time::timeout(PATIENCE, ear.next()).await.ok().flatten();
        let message = message.ok_or("no message in time")?;
        let told: Value =
            serde_json::from_slice(message.get_payload_bytes()).map_err(|error| error.to_string())?;
        let id = told["job_id"].as_str().unwrap_or_default().to_owned();
        match message.get_channel_name() {
            "complete_job" => *completed.entry(id).or_insert(0) += u32::from(told["timestamp"].is_u64()),
            "job_failed" => failed.push((id, told["can_retry"].clone())),
            _ => updates.push(told["update_type"].as_str().unwrap_or_default().to_owned()),
        }
        Ok((completed.len() == JOBS && !failed.is_empty()).then_some(()))
    })
    .await?;
    hold(completed.values().all(|it| *it == 1), || format!("completed: {completed:?}"))?;
    hold(failed == [("fails".to_owned(), json!(false))], || format!("failed: {failed:?}"))?;
    hold(updates.iter().any(|it| it == "machine_ready"), || format!("the machine said {updates:?}"))?;
    for n in 0..JOBS {
        let id = format!("job-{n}");
        let status: String = producer.ask(&["HGET", &format!("job:{id}"), "status"]).await?;
        let kept: String = producer.ask(&["HGET", "jobs:completed", &id]).await?;
        let kept: Value = serde_json::from_str(&kept).map_err(|error| error.to_string())?;
        hold(status == "completed" && kept["data"]["data"]["seed"] == n, || {
            format!("{id}: {status}, {kept}")
        })?;
    }

    let doctor = project.command("doctor --legacy").output().map_err(|error| error.to_string())?;
    let talk = String::from_utf8_lossy(&doctor.stderr);
    hold(doctor.status.code() == Some(2) && talk.contains("`poison`"), || format!("the doctor: {talk}"))?;
    project.type_in("job cancel poison --broker legacy")?;
    project.type_in("doctor --legacy")?;

    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    let mut left: Vec<String> = Vec::new();
    for pattern in ["{*", "worker:simulation-*", "jobs:active:*", "jobs:pending", "workers:active"] {
        left.extend(producer.ask::<Vec<String>>(&["KEYS", pattern]).await?);
    }
    hold(left.is_empty(), || format!("left over: {left:?}"))?;
    Ok(format!("{JOBS} jobs done and one failed, each told once, behind a poison job that the doctor names"))
}

/// What writes jobs as that system's API does.
struct Producer {
    link: MultiplexedConnection,
}

impl Producer {
    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Result<T, String> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.link.clone()).await.map_err(|error| format!("{}: {error}", words[0]))
    }

    /// The hash, every field of it, the empty ones too; its place in the line; and the word of it.
    async fn submit(
        &self,
        id: &str,
        priority: u64,
        payload: &Value,
        requirements: &str,
    ) -> Result<(), String> {
        let (key, payload, first) = (format!("job:{id}"), payload.to_string(), priority.to_string());
        let mut hash = vec!["HMSET", &key, "id", id, "service_required", "simulation", "priority", &first];
        hash.extend(["payload", &payload, "requirements", requirements, "customer_id", ""]);
        hash.extend(["created_at", "2025-01-01T00:00:00.000Z", "status", "pending"]);
        hash.extend(["retry_count", "0", "max_retries", "3", "workflow_id", "", "workflow_priority", ""]);
        hash.extend(["workflow_datetime", "", "current_step", "", "total_steps", ""]);
        hash.extend(["job_trace_id", "temp-trace-id", "job_span_id", "temp-span-id"]);
        hash.extend(["workflow_trace_id", "", "workflow_span_id", "", "ctx", ""]);
        self.ask::<()>(&hash).await?;
        // That moment, in seconds.
        let score = priority * 1_000_000_000_000_000 - 1_735_689_600;
        self.ask::<()>(&["ZADD", "jobs:pending", &score.to_string(), id]).await?;
        let told = json!({ "job_id": id, "service_required": "simulation", "status": "pending" });
        self.ask::<()>(&["PUBLISH", "job_submitted", &told.to_string()]).await
    }
}
