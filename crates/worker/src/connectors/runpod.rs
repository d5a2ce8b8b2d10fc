//! `RunPod`: jobs on a serverless endpoint, by polling.
//!
//! Protocol: docs.runpod.io/serverless/endpoints/operation-reference. The deadline of a job is told (`policy`), so that one
//! whose worker is lost ends too.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use spec::env::Secret;

use super::remote::{Files, Phase, Remote, failed};
use crate::connector::{Connector, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Symptom};
use crate::http::Waits;
use crate::payload::Payload;
use crate::vars::Vars;

const BASE: &str = "https://api.runpod.ai/v2";

/// Parts of one output.
const PARTS: usize = 10_000;

/// The connector.
#[derive(Debug)]
pub struct RunPod {
    remote: Remote,
    payload: Payload,
}

impl RunPod {
    /// The endpoint at `base`, with a key and the guard for addresses of outputs.
    pub fn new(base: Url, key: Secret<String>, egress: Egress) -> Self {
        let payload = Payload::new(json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "A job on a RunPod endpoint",
            "type": "object",
            "required": ["input"],
            "additionalProperties": false,
            "properties": { "input": { "type": "object" } }
        }));
        Self { remote: Remote::new("RunPod", base, key, egress, Files::All), payload }
    }

    /// The same with other waits: 2 min of silence, and 500 ms before the first look.
    #[must_use]
    pub fn waiting(self, waits: Waits) -> Self {
        Self { remote: self.remote.waiting(waits), ..self }
    }

    pub(crate) fn build(vars: &mut Vars<'_>, egress: Egress) -> Option<Self> {
        let key = vars.required_secret("RUNPOD_API_KEY", "the key of the RunPod API");
        let endpoint = vars.required("RUNPOD_ENDPOINT_ID", "the endpoint that runs the jobs");
        if !endpoint.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
            vars.wrong(
                "RUNPOD_ENDPOINT_ID",
                "the id of an endpoint",
                "it has a character that ids do not have".into(),
            );
        }
        let base = vars.url("RUNPOD_BASE_URL").unwrap_or_else(|| Url::parse(BASE).expect("it is an address"));
        let base = crate::http::folder(base).join(&format!("{endpoint}/")).ok()?;
        Some(Self::new(base, key, egress))
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let remote = &self.remote;
        let limit = u64::try_from(task.time.as_millis()).unwrap_or(u64::MAX).max(5_000);
        let body = json!({ "input": task.job.payload["input"], "policy": { "executionTimeout": limit, "ttl": limit.max(10_000) } });
        let created = remote.create(task, remote.request(Method::POST, "run")?.json(&body)).await?;
        let allowed = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        let id = created["id"].as_str().filter(|it| !it.is_empty() && it.bytes().all(allowed));
        let id = id.ok_or_else(|| Failure::of(Symptom::Malformed, "RunPod: a job without an id"))?.to_owned();
        let look = || remote.request(Method::GET, &format!("status/{id}"));
        let cancel = || remote.request(Method::POST, &format!("cancel/{id}"));
        let mut output = remote.follow(task, look, cancel, phase).await?;
        if output["output"].is_null() {
            output["output"] = task.unless_stopped(self.streamed(&id)).await??;
        }
        task.unless_stopped(remote.stored(task, output)).await?
    }

    /// What a handler that yields its output part by part has made, which is told only here: each part once, until
    /// there is none left.
    async fn streamed(&self, id: &str) -> Result<Value, Failure> {
        let mut parts = Vec::new();
        loop {
            let request = self.remote.request(Method::GET, &format!("stream/{id}"))?;
            let mut found = self.remote.ask(request, "asking for the parts of an output").await?;
            let more = found.get_mut("stream").and_then(Value::as_array_mut).map(std::mem::take);
            let more = more.filter(|it| !it.is_empty());
            let Some(more) = more else { break };
            parts.extend(more.into_iter().filter_map(|mut it| it.get_mut("output").map(Value::take)));
            if parts.len() > PARTS {
                return Err(Failure::of(Symptom::Malformed, format!("RunPod: more than {PARTS} parts")));
            }
        }
        Ok(if parts.is_empty() { Value::Null } else { parts.into() })
    }
}

/// How a job is.
fn phase(found: &mut Value) -> Phase {
    let failed = |symptom, word: &str| {
        let words = [&found["error"], &found["output"]].into_iter().find(|it| !it.is_null());
        failed(symptom, &format!("RunPod: the job {word}"), words.unwrap_or(&Value::Null))
    };
    match found["status"].as_str().unwrap_or_default() {
        "COMPLETED" => Phase::Succeeded(json!({
            "output": found["output"].take(), "delay_ms": found["delayTime"].take(), "execution_ms": found["executionTime"].take()
        })),
        "FAILED" => failed(Symptom::Failed, "failed"),
        "TIMED_OUT" => failed(Symptom::Timeout, "took too long"),
        "CANCELLED" => Phase::Ended,
        _ => Phase::Under(found["output"]["progress"].as_f64().unwrap_or(0.0)),
    }
}

impl Connector for RunPod {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "runpod").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            self.remote
                .ask(self.remote.request(Method::GET, "health")?, "asking for its health")
                .await
                .map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.work(task).boxed()
    }
}
