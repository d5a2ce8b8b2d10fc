//! The dialect of a fork: the prompt goes over the WebSocket, the server chooses its id, and its end brings the outputs,
//! whose files the workflow's own nodes have put elsewhere.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::events::part;
use super::history::exception;
use super::job::Work;
use super::socket::{Heard, Socket};
use crate::failure::{Failure, Symptom};

/// Between two signs of life that the fork expects of its clients.
const PING: Duration = Duration::from_secs(30);

/// Does the job on a WebSocket that was just opened.
pub(super) async fn done(work: &mut Work<'_>, mut socket: Socket) -> Result<Value, Failure> {
    let (mut client, mut ping_at) = (None, Instant::now() + PING);
    let mut percent = 0.0_f64;
    loop {
        if ping_at <= Instant::now() {
            ping_at += PING;
            socket.say(&json!({ "type": "ping" })).await?;
        }
        let silence = work.it.times.silence.min(ping_at.saturating_duration_since(Instant::now()));
        let message = match socket.hear(silence).await {
            Heard::Text(message) => message,
            Heard::Binary(_) | Heard::Silence => continue,
            Heard::Cut if work.taken => {
                // The history of the fork is ComfyUI's.
                let entry = work.ended().await?;
                work.over = true;
                entry.judge()?;
                return result(work, &Value::from(entry.outputs)).await;
            }
            Heard::Cut => {
                work.over = true;
                return Err(Failure::of(
                    Symptom::Cut,
                    "ComfyUI closed the WebSocket before it took the workflow",
                ));
            }
        };
        let data = &message["data"];
        if work.taken && data["prompt_id"].as_str().is_some_and(|it| it != work.id) {
            continue;
        }
        match message["type"].as_str().unwrap_or_default() {
            "client_id" | "status" if client.is_none() => {
                let named = data["client_id"].as_str().or(data["sid"].as_str());
                let name = client.insert(named.unwrap_or(&work.task.attempt_id).to_owned());
                let mut extra = work.wish.extra_data.clone();
                extra.insert("client_id".into(), name.clone().into());
                let data = json!({ "prompt": work.wish.workflow, "extra_data": extra });
                work.posts = 1;
                socket.say(&json!({ "type": "prompt", "data": data })).await?;
            }
            "prompt_queued" if !work.taken => {
                let id = data["prompt_id"].as_str();
                let id = id.ok_or_else(|| {
                    Failure::of(Symptom::Malformed, "ComfyUI took the workflow without an id")
                })?;
                id.clone_into(&mut work.id);
                work.taken = true;
                work.task.progress(0.0, "queued");
            }
            "progress" => {
                let steps = || Some(part(data["value"].as_f64()?, data["max"].as_f64()?));
                let now = data["progress"].as_f64().or_else(steps).unwrap_or(0.0);
                percent = percent.max(now * 100.0).min(99.0);
                work.task.progress(percent, "running");
            }
            "execution_error" => {
                work.over = true;
                return Err(exception(data));
            }
            "executing" if work.taken && data["node"].is_null() => {
                work.over = true;
                return result(work, &data["outputs"]).await;
            }
            _ => {}
        }
    }
}

async fn result(work: &Work<'_>, outputs: &Value) -> Result<Value, Failure> {
    let result = json!({ "prompt_id": work.id, "outputs": outputs });
    work.task.outputs.fit(result, "result.json").await
}
