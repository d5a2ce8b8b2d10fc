//! `RunPod`'s serverless endpoints, by a double of their operations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Url;
use serde_json::{Value, json};
use spec::env::Secret;
use worker::Kind::{self, Permanent, Retryable, Stopped};
use worker::connectors::runpod::RunPod;
use worker::{Connector as _, Stop};

use crate::support::{Attempt, egress, hasty, meaning, png, run, serve, until};

/// What becomes of a job is in its input: `{"then": "FAILED", "error": …}` fails at the third look.
#[derive(Clone, Default)]
struct Double {
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
}

#[derive(Clone)]
struct Job {
    body: Value,
    status: String,
    looks: u32,
    streamed: usize,
}

impl Double {
    async fn start() -> (Self, Url) {
        let it = Self::default();
        let router = Router::new()
            .route("/v2/endpoint/health", get(health))
            .route("/v2/endpoint/run", post(start))
            .route("/v2/endpoint/status/{id}", get(status))
            .route("/v2/endpoint/stream/{id}", get(stream))
            .route("/v2/endpoint/cancel/{id}", post(cancel))
            .route("/file.png", get(|| async { png() }));
        let url = serve(router.with_state(it.clone())).await;
        (it, url.join("v2/endpoint").unwrap())
    }

    fn only(&self) -> Job {
        self.jobs.lock().unwrap().values().next().unwrap().clone()
    }
}

async fn health(headers: HeaderMap) -> Response {
    match headers.get("authorization") {
        Some(key) if key == "Bearer key" => {
            Json(json!({ "jobs": { "inQueue": 0 }, "workers": { "idle": 1 } })).into_response()
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn start(State(it): State<Double>, Json(body): Json<Value>) -> Json<Value> {
    let limit = |name: &str| body["policy"][name].as_u64().unwrap();
    assert!(
        body["input"].is_object() && limit("executionTimeout") >= 5_000 && limit("ttl") >= 10_000,
        "{body}"
    );
    let mut jobs = it.jobs.lock().unwrap();
    let id = format!("{}-u1", jobs.len());
    jobs.insert(id.clone(), Job { body, status: "IN_QUEUE".into(), looks: 0, streamed: 0 });
    Json(json!({ "id": id, "status": "IN_QUEUE" }))
}

async fn status(State(it): State<Double>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let host = headers["host"].to_str().unwrap();
    let mut jobs = it.jobs.lock().unwrap();
    let job = jobs.get_mut(&id).unwrap();
    let input = &job.body["input"];
    if input["then"] == "forgotten" {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": "job not found" }))).into_response();
    }
    job.looks += 1;
    if job.status != "CANCELLED" && input["then"] != "never" {
        job.status = match job.looks {
            1 => "IN_QUEUE".into(),
            2 => "IN_PROGRESS".into(),
            _ => input["then"].as_str().unwrap().to_owned(),
        };
    }
    let mut found =
        json!({ "id": id, "status": job.status, "delayTime": 3, "executionTime": 5, "workerId": "w" });
    match job.status.as_str() {
        "IN_PROGRESS" => found["output"] = json!({ "progress": 40 }),
        "COMPLETED" if input["output"] == "file" => {
            found["output"] = json!({ "image_url": format!("http://{host}/file.png") });
        }
        "COMPLETED" => found["output"] = input["output"].clone(),
        "FAILED" => found["error"] = input["error"].clone(),
        _ => {}
    }
    Json(found).into_response()
}

/// Each part once.
async fn stream(State(it): State<Double>, Path(id): Path<String>) -> Json<Value> {
    let mut jobs = it.jobs.lock().unwrap();
    let job = jobs.get_mut(&id).unwrap();
    let parts = job.body["input"]["parts"].as_array().cloned().unwrap_or_default();
    let next: Vec<Value> =
        parts.iter().skip(job.streamed).take(2).map(|it| json!({ "output": it, "metrics": {} })).collect();
    job.streamed += next.len();
    Json(json!({ "status": job.status, "stream": next }))
}

async fn cancel(State(it): State<Double>, Path(id): Path<String>) -> Json<Value> {
    it.jobs.lock().unwrap().get_mut(&id).unwrap().status = "CANCELLED".into();
    Json(json!({ "id": id, "status": "CANCELLED" }))
}

fn connector(url: &Url) -> RunPod {
    RunPod::new(url.clone(), Secret::new("key".to_owned()), egress()).waiting(hasty())
}

#[tokio::test]
async fn every_end_of_a_job_means_what_it_should() {
    let (_double, url) = Double::start().await;
    let runpod = connector(&url);
    runpod.check().await.unwrap();
    let stranger = RunPod::new(url.clone(), Secret::new("no".to_owned()), egress());
    assert_eq!(stranger.check().await.unwrap_err().kind, Permanent);
    let table: [(&str, Value, Kind, bool, &str); 6] = [
        ("FAILED", json!("it broke"), Retryable, false, "the job failed: it broke"),
        ("FAILED", json!({ "type": "E" }), Retryable, false, r#"the job failed: {"type":"E"}"#),
        ("FAILED", json!("CUDA out of memory"), Retryable, false, "the job failed: CUDA out of memory"),
        ("TIMED_OUT", json!(null), Retryable, false, "the job took too long: it does not say why"),
        ("CANCELLED", json!(null), Retryable, false, "someone cancelled the prediction"),
        ("forgotten", json!(null), Retryable, true, "job not found"),
    ];
    for (then, error, kind, suspect, words) in table {
        let failure =
            run(&runpod, "runpod", json!({ "input": { "then": then, "error": error } })).await.unwrap_err();
        assert_eq!(meaning(&failure), (kind, suspect, None), "{then}: {failure}");
        assert!(failure.message.ends_with(words), "{then}: {failure}");
    }
}

#[tokio::test]
async fn outputs_come_whole_in_parts_or_as_files() {
    let (_double, url) = Double::start().await;
    let runpod = connector(&url);
    let attempt =
        Attempt::new("runpod", json!({ "input": { "then": "COMPLETED", "output": { "text": "a cat" } } }));
    let made = attempt.run(&runpod).await.unwrap();
    assert_eq!(made, json!({ "output": { "text": "a cat" }, "delay_ms": 3, "execution_ms": 5 }));
    assert_eq!(attempt.told(), (40, "running".into()));
    let parts = json!(["A", " c", "at", { "tokens": 3 }, "."]);
    let made =
        run(&runpod, "runpod", json!({ "input": { "then": "COMPLETED", "output": null, "parts": parts } }))
            .await;
    assert_eq!(made.unwrap()["output"], parts);
    let attempt = Attempt::new("runpod", json!({ "input": { "then": "COMPLETED", "output": "file" } }));
    let made = attempt.run(&runpod).await.unwrap();
    assert_eq!(attempt.bytes(&made["output"]["image_url"]).await, png());
}

#[tokio::test]
async fn a_stop_cancels_the_job() {
    let (double, url) = Double::start().await;
    let runpod = connector(&url);
    let attempt = Attempt::new("runpod", json!({ "input": { "then": "never" } }));
    let (result, ()) = tokio::join!(attempt.run(&runpod), async {
        until("it is there", async || double.jobs.lock().unwrap().values().any(|it| it.looks > 0)).await;
        attempt.hands.stop.stop(Stop::Deadline);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    assert_eq!(double.only().status, "CANCELLED");
}
