//! api.replicate.com, as its reference and its official client have it. What becomes of a prediction is in its input:
//! `{"then": "aborted", "looks": 2}` is aborted at the third look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::serve::{png, serve};

pub const TOKEN: &str = "r8_token-of-the-test";

/// The service.
#[derive(Clone)]
pub struct Double {
    pub base: Url,
    inside: Arc<Mutex<Inside>>,
    /// Creations are answered while this is true.
    pub answers: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
pub struct Inside {
    /// Every request, as method and path.
    pub seen: Vec<String>,
    pub predictions: BTreeMap<String, Prediction>,
    /// Refused creations that are still to come, and the `Retry-After` of each.
    pub throttles: u32,
    /// Whether the answer to a creation breaks off.
    pub cuts: bool,
    /// Looks and cancellations that still fail.
    pub failures: u32,
    /// Files, each fetched or not. A file that was fetched once is gone.
    pub files: BTreeMap<String, bool>,
    /// Whether it forgets every prediction at once.
    pub forgets: bool,
}

#[derive(Clone)]
pub struct Prediction {
    document: Value,
    looks: u64,
    pub cancel_after: String,
}

impl Prediction {
    pub fn status(&self) -> &str {
        self.document["status"].as_str().unwrap()
    }
}

impl Double {
    pub async fn start() -> Self {
        let it = Self {
            base: "http://127.0.0.1/".parse().unwrap(),
            inside: Arc::default(),
            answers: Arc::new(watch::channel(true).0),
        };
        let router = Router::new()
            .route(
                "/v1/account",
                get(|| async { Json(json!({ "type": "organization", "username": "test", "name": "Test" })) }),
            )
            .route("/v1/predictions", post(create))
            .route("/v1/models/{owner}/{name}/predictions", post(create))
            .route("/v1/predictions/{id}", get(look))
            .route("/v1/predictions/{id}/cancel", post(cancel))
            .layer(middleware::from_fn_with_state(it.clone(), door))
            .route("/files/{name}", get(file));
        let base = serve(router.with_state(it.clone())).await;
        Self { base: base.join("v1").unwrap(), ..it }
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// How often it was asked for something.
    pub fn count(&self, request: &str) -> usize {
        self.inside().seen.iter().filter(|it| it.starts_with(request)).count()
    }

    /// The only prediction.
    pub fn only(&self) -> Prediction {
        let inside = self.inside();
        assert_eq!(inside.predictions.len(), 1);
        inside.predictions.values().next().unwrap().clone()
    }
}

/// Notes each request, and turns away who has no token.
async fn door(State(it): State<Double>, request: Request, next: Next) -> Response {
    it.inside().seen.push(format!("{} {}", request.method(), request.uri().path()));
    if request.headers().get("authorization").is_none_or(|it| *it != format!("Bearer {TOKEN}")) {
        return problem(StatusCode::UNAUTHORIZED, "You did not pass a valid authentication token");
    }
    next.run(request).await
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "title": status.to_string(), "detail": detail, "status": status.as_u16() });
    (status, Json(body)).into_response()
}

async fn create(
    State(it): State<Double>,
    Path(model): Path<BTreeMap<String, String>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let known: &[&str] = if model.is_empty() { &["version", "input"] } else { &["input"] };
    let members = body.as_object().unwrap();
    if !members["input"].is_object() || members.keys().any(|key| !known.contains(&key.as_str())) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "- input: is required, or a member is unknown");
    }
    {
        let mut inside = it.inside();
        if inside.throttles > 0 {
            inside.throttles -= 1;
            let refused = problem(
                StatusCode::TOO_MANY_REQUESTS,
                "Request was throttled. Your rate limit resets in ~0s.",
            );
            return ([("retry-after", "0")], refused).into_response();
        }
    }
    let _ = it.answers.subscribe().wait_for(|it| *it).await;
    let mut inside = it.inside();
    let id = format!("p{:025}", inside.predictions.len());
    let address = format!("http://{}/v1/predictions/{id}", headers["host"].to_str().unwrap());
    let model = model.get("owner").map_or_else(String::new, |owner| format!("{owner}/{}", model["name"]));
    let document = json!({
        "id": id, "model": model, "version": body["version"].as_str().unwrap_or("hidden"),
        "input": body["input"], "output": null, "logs": "", "error": null, "status": "starting", "metrics": {}, "data_removed": false,
        "created_at": "2026-11-21T00:00:00.000Z", "started_at": null, "completed_at": null,
        "urls": { "get": address, "cancel": format!("{address}/cancel"), "web": "https://replicate.com/p/x" }
    });
    let cancel_after = headers.get("cancel-after").map_or("", |it| it.to_str().unwrap()).to_owned();
    inside.predictions.insert(id, Prediction { document: document.clone(), looks: 0, cancel_after });
    if inside.cuts {
        let text = document.to_string();
        let half = text[..text.len() / 2].to_owned();
        let parts = [Ok(half), Err(std::io::Error::other("the connection breaks"))];
        return (StatusCode::CREATED, Body::from_stream(futures_util::stream::iter(parts))).into_response();
    }
    (StatusCode::CREATED, Json(document)).into_response()
}

async fn look(State(it): State<Double>, Path(id): Path<String>, request: Request) -> Response {
    let host = request.headers()["host"].to_str().unwrap().to_owned();
    let mut inside = it.inside();
    if inside.failures > 0 {
        inside.failures -= 1;
        return problem(StatusCode::BAD_GATEWAY, "a bad gateway");
    }
    if inside.forgets {
        return problem(StatusCode::NOT_FOUND, "The requested resource could not be found.");
    }
    let Some(prediction) = inside.predictions.get_mut(&id) else {
        return problem(StatusCode::NOT_FOUND, "The requested resource could not be found.");
    };
    prediction.looks += 1;
    let (looks, document) = (prediction.looks, &mut prediction.document);
    let (then, after) = (document["input"]["then"].clone(), document["input"]["looks"].as_u64().unwrap_or(1));
    let over = document["completed_at"].is_string();
    if !over && looks > after && then != "never" {
        document["status"] = then.clone();
        document["completed_at"] = "2026-11-21T00:00:09.000Z".into();
        if then == "succeeded" {
            document["logs"] = "100%|██████████| 4/4".into();
            document["metrics"] = json!({ "predict_time": 1.5 });
            document["output"] = document["input"]["output"].clone();
            if document["output"] == "files" {
                let name = |at: u32| format!("{id}-out-{at}.png");
                document["output"] = json!([
                    format!("http://{host}/files/{}", name(0)),
                    format!("http://{host}/files/{}", name(1))
                ]);
                inside.files.extend([(name(0), false), (name(1), false)]);
                return Json(inside.predictions[&id].document.clone()).into_response();
            }
        } else {
            document["error"] = document["input"]["error"].clone();
        }
    } else if !over {
        document["status"] = "processing".into();
        document["started_at"] = "2026-11-21T00:00:01.000Z".into();
        document["logs"] = format!("Using seed: 7\n 25%|██▌       | {looks}/4").into();
    }
    Json(document.clone()).into_response()
}

async fn cancel(State(it): State<Double>, Path(id): Path<String>) -> Response {
    let mut inside = it.inside();
    if inside.failures > 0 {
        inside.failures -= 1;
        return problem(StatusCode::BAD_GATEWAY, "a bad gateway");
    }
    let Some(prediction) = inside.predictions.get_mut(&id) else {
        return problem(StatusCode::NOT_FOUND, "The requested resource could not be found.");
    };
    if prediction.document["completed_at"].is_null() {
        prediction.document["status"] = "canceled".into();
        prediction.document["completed_at"] = "2026-11-21T00:00:05.000Z".into();
    }
    Json(prediction.document.clone()).into_response()
}

/// On another host, without a token.
async fn file(State(it): State<Double>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    if headers.contains_key("authorization") {
        return problem(StatusCode::BAD_REQUEST, "a token was sent to the place of the files");
    }
    let fetched = it.inside().files.insert(name, true);
    match fetched {
        Some(false) => png().into_response(),
        _ => problem(StatusCode::NOT_FOUND, "it has expired"),
    }
}
