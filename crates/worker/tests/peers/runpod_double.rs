//! The operations of a serverless endpoint of `RunPod`. What becomes of a job is in its input:
//! `{"then": "FAILED", "error": …}` fails at the third look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Url;
use serde_json::{Value, json};

use super::serve::{png, serve};

/// The endpoint `endpoint`, whose key is `key`.
#[derive(Clone, Default)]
pub struct Double {
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
}

struct Job {
    body: Value,
    status: String,
    looks: u32,
    streamed: usize,
}

impl Double {
    pub async fn start() -> (Self, Url) {
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

    /// How often it was asked how a job is.
    pub fn looks(&self) -> u32 {
        self.jobs.lock().unwrap().values().map(|it| it.looks).sum()
    }

    /// The status of the only job.
    pub fn status(&self) -> String {
        let jobs = self.jobs.lock().unwrap();
        assert_eq!(jobs.len(), 1);
        jobs.values().next().unwrap().status.clone()
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
