//! Automatic1111 with its traps: one generation at a time behind a lock, progress and interrupts that are everybody's, and
//! an answer after an interrupt that looks like any other. A generation takes a step when the test lets it, and goes on
//! without whoever asked for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::serve::{png, serve_at};

/// What the server is started as.
#[derive(Clone, Copy, Default)]
pub struct Build {
    /// From before mid-2024.
    pub old: bool,
    /// `--api-auth`, `user:password` in base64.
    pub auth: Option<&'static str>,
    /// `--nowebui`.
    pub bare: bool,
    /// Generations wait for [`Double::step`].
    pub by_hand: bool,
}

#[derive(Clone)]
pub struct Double {
    pub url: Url,
    build: Build,
    inside: Arc<Mutex<Inside>>,
    /// Of the whole server, as in `modules/call_queue.py`.
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Steps that were let so far, and interrupts.
    moves: Arc<watch::Sender<(u32, u32)>>,
    /// Whether questions for everybody's progress wait.
    pub holds: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
pub struct Inside {
    /// Tasks that wait for the lock, in order.
    pub queued: Vec<String>,
    pub current: Option<String>,
    pub finished: Vec<String>,
    /// How each task that ended did: `whole` or `interrupted`.
    pub ends: BTreeMap<String, &'static str>,
    /// The flag, of whichever generation.
    pub interrupted: bool,
    /// Interrupts that were sent, with the task that ran.
    pub interrupts: Vec<Option<String>>,
    /// The bodies of generations.
    pub bodies: Vec<Value>,
    begun: u32,
    step: u32,
    steps: u32,
}

impl Double {
    pub async fn start(build: Build) -> Self {
        Self::at(0, build).await
    }

    /// At this port.
    pub async fn at(port: u16, build: Build) -> Self {
        let it = Self {
            url: "http://127.0.0.1/".parse().unwrap(),
            build,
            inside: Arc::default(),
            lock: Arc::default(),
            moves: Arc::new(watch::channel((0, 0)).0),
            holds: Arc::new(watch::channel(false).0),
        };
        let mut router = Router::new()
            .route("/sdapi/v1/txt2img", post(generate))
            .route("/sdapi/v1/img2img", post(generate))
            .route("/sdapi/v1/progress", get(progress))
            .route("/sdapi/v1/interrupt", post(interrupt))
            .route("/sdapi/v1/memory", get(memory))
            .route("/sdapi/v1/scripts", get(|| async { Json(json!({ "txt2img": [], "img2img": [] })) }))
            .layer(middleware::from_fn_with_state(it.clone(), door))
            .route("/file.png", get(|| async { png() }));
        if !build.bare {
            router = router.route("/internal/progress", post(progress_of_one));
        }
        let url = serve_at(port, router.with_state(it.clone())).await;
        Self { url, ..it }
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Lets the generation that runs take a step.
    pub fn step(&self) {
        self.moves.send_modify(|it| it.0 += 1);
    }

    /// What a person does at the web page.
    pub fn interrupt(&self) {
        let mut inside = self.inside();
        inside.interrupted = true;
        let current = inside.current.clone();
        inside.interrupts.push(current);
        drop(inside);
        self.moves.send_modify(|it| it.1 += 1);
    }
}

async fn door(State(it): State<Double>, request: Request, next: Next) -> Response {
    let wanted = it.build.auth.map(|it| format!("Basic {it}"));
    let given = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
    if wanted.is_some() && wanted != given {
        return problem(401, "HTTPException", "Incorrect username or password", "");
    }
    next.run(request).await
}

/// As `api_middleware` has every exception.
fn problem(status: u16, error: &str, detail: &str, errors: &str) -> Response {
    let body = json!({ "error": error, "detail": detail, "body": "", "errors": errors });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn generate(State(it): State<Double>, request: Request) -> Response {
    let img2img = request.uri().path().ends_with("img2img");
    let bytes = axum::body::to_bytes(request.into_body(), 64 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    if body.get("steps").is_some_and(|it| !it.is_u64()) {
        let fault = json!([{ "loc": ["body", "steps"], "msg": "value is not a valid integer", "type": "type_error.integer" }]);
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": fault }))).into_response();
    }
    if body["sampler_name"] == "Nonesuch" {
        let (status, told) =
            if it.build.old { (404, "404: Sampler not found") } else { (400, "400: Sampler not found") };
        return problem(status, "HTTPException", "Sampler not found", told);
    }
    if img2img && body["init_images"].as_array().is_none_or(Vec::is_empty) {
        return problem(404, "HTTPException", "Init image not found", "404: Init image not found");
    }
    // In a task of its own: the generation does not end with its connection.
    tokio::spawn(async move { run(&it, body).await }).await.unwrap()
}

async fn run(it: &Double, body: Value) -> Response {
    let task =
        body["force_task_id"].as_str().map_or_else(|| format!("task({})", fastrand::u64(..)), str::to_owned);
    {
        let mut inside = it.inside();
        inside.bodies.push(body.clone());
        inside.queued.push(task.clone());
    }
    let turn = it.lock.lock().await;
    let count = |name: &str| body[name].as_u64().unwrap_or(1);
    let (steps, mut seen) =
        (u32::try_from(body["steps"].as_u64().unwrap_or(50)).unwrap(), it.moves.subscribe());
    let first_step = seen.borrow_and_update().0;
    let stamp = {
        let mut inside = it.inside();
        inside.queued.retain(|it| *it != task);
        inside.interrupted = false;
        inside.begun += 1;
        (inside.current, inside.step, inside.steps) = (Some(task.clone()), 0, steps);
        stamp(inside.begun)
    };
    let mut made = 0;
    let mut end = "whole";
    while made < count("n_iter") * count("batch_size") {
        for step in 1..=steps {
            if it.build.by_hand {
                let done = |moves: &(u32, u32)| moves.0 >= first_step + step || it.inside().interrupted;
                let _ = seen.wait_for(done).await;
            }
            it.inside().step = step;
            if it.inside().interrupted {
                end = "interrupted";
                break;
            }
        }
        made += count("batch_size");
        if end == "interrupted" {
            break;
        }
    }
    {
        let mut inside = it.inside();
        inside.current = None;
        inside.finished.push(task.clone());
        inside.ends.insert(task, end);
    }
    drop(turn);
    if body["prompt"] == "a picture too large" {
        return problem(500, "OutOfMemoryError", "", "CUDA out of memory. Tried to allocate 40.00 GiB");
    }
    if body["prompt"] == "a broken model" {
        return problem(500, "RuntimeError", "", "mat1 and mat2 shapes cannot be multiplied");
    }
    let grid = u64::from(made > 1);
    let mut images: Vec<String> = (0..made).map(|_| BASE64_STANDARD.encode(png())).collect();
    if grid == 1 {
        images.insert(0, BASE64_STANDARD.encode(b"the grid"));
    }
    let info = json!({
        "prompt": body["prompt"], "seed": 7, "all_seeds": (7..7 + made).collect::<Vec<_>>(), "sampler_name": "Euler a", "job_timestamp": stamp,
        "sd_model_name": "sdxl", "sd_model_hash": "abc", "index_of_first_image": grid, "infotexts": ["a cat\nSteps: 4"], "steps": steps
    });
    Json(json!({ "images": images, "parameters": body, "info": info.to_string() })).into_response()
}

/// The time at which a generation began, in the form of the server.
fn stamp(begun: u32) -> String {
    format!("202611210000{begun:02}")
}

/// Everybody's.
async fn progress(State(it): State<Double>) -> Json<Value> {
    let _ = it.holds.subscribe().wait_for(|it| !it).await;
    let inside = it.inside();
    let part = if inside.current.is_some() { f64::from(inside.step) / f64::from(inside.steps) } else { 0.0 };
    Json(json!({
        "progress": part, "eta_relative": 0.0, "current_image": null, "textinfo": null,
        "state": {
            "skipped": false, "interrupted": inside.interrupted, "stopping_generation": false, "job": "scripts_txt2img",
            "job_count": if inside.current.is_some() { -1 } else { 0 }, "job_timestamp": stamp(inside.begun), "job_no": 0,
            "sampling_step": inside.step, "sampling_steps": inside.steps
        }
    }))
}

async fn progress_of_one(State(it): State<Double>, Json(body): Json<Value>) -> Json<Value> {
    let (inside, id) = (it.inside(), body["id_task"].as_str().unwrap());
    let active = inside.current.as_deref() == Some(id);
    let (queued, completed) =
        (inside.queued.iter().any(|it| it == id), inside.finished.iter().any(|it| it == id));
    let part = active.then(|| f64::from(inside.step) / f64::from(inside.steps));
    Json(json!({
        "active": active, "queued": queued, "completed": completed, "progress": part, "eta": null, "live_preview": null, "id_live_preview": -1,
        "textinfo": if active { "" } else { "Waiting..." }
    }))
}

async fn interrupt(State(it): State<Double>) -> Json<Value> {
    it.interrupt();
    Json(json!({}))
}

async fn memory() -> Json<Value> {
    Json(json!({ "ram": { "free": 1, "used": 1, "total": 2 }, "cuda": { "error": "unavailable" } }))
}
