//! Replicate's own model server, behind a few lines that give it the paths of api.replicate.com: what predictions say, how
//! they end, and what webhooks tell are its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::Sha256;
use spec::env::Secret;
use worker::Kind::{Retryable, Stopped};
use worker::Stop;
use worker::connectors::replicate::{Replicate, verify};

use crate::support::{Attempt, Python, client, egress, free_port, hasty, meaning, run, serve, until};

/// A model that says its text in capitals once its time is over.
const PREDICT: &str = r#"
import time
from cog import BasePredictor, Input

class Predictor(BasePredictor):
    def predict(self, text: str = Input(default=""), seconds: float = Input(default=0.0)) -> str:
        print("Using seed: 7")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            print(" 50%|#####     | 5/10", flush=True)
            time.sleep(0.01)
        if text == "fail":
            raise ValueError("the text cannot be said")
        return text.upper()
"#;

#[derive(Clone)]
struct Adapter {
    cog: Url,
    own: Arc<Mutex<Url>>,
    told: Arc<Mutex<Told>>,
}

/// What cog's webhooks told.
#[derive(Default)]
struct Told {
    /// The latest, by prediction.
    latest: BTreeMap<String, Value>,
    /// All, in order.
    all: Vec<Value>,
}

impl Adapter {
    async fn start(cog: &Url) -> Self {
        let own = Arc::new(Mutex::new(cog.clone()));
        let it = Self { cog: cog.clone(), own, told: Arc::default() };
        let router = Router::new()
            .route("/v1/predictions", post(create))
            .route("/v1/predictions/{id}", get(look))
            .route("/v1/predictions/{id}/cancel", post(cancel))
            .route("/hook", post(hook));
        let own = serve(router.with_state(it.clone())).await;
        *it.own.lock().unwrap() = own;
        it
    }

    fn connector(&self) -> Replicate {
        let base = self.own.lock().unwrap().join("v1").unwrap();
        Replicate::new(base, Secret::new("token".to_owned()), egress()).waiting(hasty())
    }
}

/// Cog takes the id from its client and tells how a prediction is only to its webhook.
async fn create(State(it): State<Adapter>, Json(body): Json<Value>) -> Response {
    let id = format!("p{}", it.told.lock().unwrap().latest.len());
    it.told.lock().unwrap().latest.insert(id.clone(), json!({ "id": id, "status": "starting" }));
    let hook = it.own.lock().unwrap().join("hook").unwrap().to_string();
    let events = ["start", "output", "logs", "completed"];
    let body = json!({ "id": id, "input": body["input"], "webhook": hook, "webhook_events_filter": events });
    let request = client().post(it.cog.join("predictions").unwrap()).header("Prefer", "respond-async");
    let answer = request.json(&body).send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, Json(answer.json::<Value>().await.unwrap())).into_response()
}

async fn hook(State(it): State<Adapter>, Json(body): Json<Value>) {
    let mut told = it.told.lock().unwrap();
    let mut latest = body.clone();
    if ["succeeded", "failed", "canceled"].iter().any(|it| body["status"] == *it) {
        latest["completed_at"] = "2026-11-21T00:00:00Z".into();
    }
    // One that was sent before the last may come after it.
    let known = told.latest.entry(body["id"].as_str().unwrap().to_owned()).or_default();
    if known["completed_at"].is_null() {
        *known = latest;
    }
    told.all.push(body);
}

async fn look(State(it): State<Adapter>, Path(id): Path<String>) -> Response {
    match it.told.lock().unwrap().latest.get(&id) {
        Some(found) => Json(found.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn cancel(State(it): State<Adapter>, Path(id): Path<String>) -> Response {
    let url = it.cog.join(&format!("predictions/{id}/cancel")).unwrap();
    let answer = client().post(url).send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, answer.text().await.unwrap()).into_response()
}

fn job(text: &str, seconds: f64) -> Value {
    json!({ "version": "v1", "input": { "text": text, "seconds": seconds } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_model_server_succeeds_fails_is_busy_is_cancelled_and_tells_its_webhook() {
    let Some(python) = Python::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("predict.py"), PREDICT).unwrap();
    let port = free_port();
    let mut command = python.command("python");
    command.args(["-m", "cog.server.http", "--host", "127.0.0.1"]).current_dir(folder.path());
    command.env("COG_PREDICT_TYPE_STUB", "predict.py:Predictor").env("PORT", port.to_string());
    let cog = python.server(command, port, "health-check", r#""status":"READY""#).await;
    let adapter = Adapter::start(&cog.url).await;
    let replicate = adapter.connector();

    let made = run(&replicate, "replicate", job("a cat", 0.0)).await.unwrap();
    assert_eq!(made["output"], "A CAT");
    assert!(made["metrics"]["predict_time"].as_f64().unwrap() >= 0.0);

    let failure = run(&replicate, "replicate", job("fail", 0.0)).await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, false, None), "{failure}");
    assert!(failure.message.ends_with("ValueError: the text cannot be said"), "{failure}");

    // One at a time: the second is refused while the first runs, and the first ends when it is asked to.
    let first = Attempt::new("replicate", job("a long story", 600.0));
    let (result, ()) = tokio::join!(first.run(&replicate), async {
        until("the model runs", async || first.told().0 == 50).await;
        let busy = run(&replicate, "replicate", job("another", 0.0)).await.unwrap_err();
        assert_eq!(meaning(&busy), (Retryable, false, None), "{busy}");
        assert!(busy.message.contains("409") && busy.message.contains("At capacity"), "{busy}");
        first.hands.stop.stop(Stop::Cancelled);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    // Nothing of it runs any more: there is room at once.
    assert_eq!(run(&replicate, "replicate", job("next", 0.0)).await.unwrap()["output"], "NEXT");

    let told = adapter.told.lock().unwrap().all.clone();
    let ends: Vec<&str> =
        told.iter().filter_map(|it| it["status"].as_str()).filter(|it| *it != "processing").collect();
    assert_eq!(ends, ["succeeded", "failed", "canceled", "succeeded"], "{told:#?}");
    signed(&told[0]);
}

/// What Replicate puts around such a webhook is believed, and nothing else.
fn signed(webhook: &Value) {
    let (body, now) = (webhook.to_string(), "1700000000");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the secret of the test").unwrap();
    mac.update(format!("msg_1.{now}.{body}").as_bytes());
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let secret = Secret::new(format!("whsec_{}", BASE64_STANDARD.encode(b"the secret of the test")));
    let headers = ("msg_1", now, signature.as_str());
    assert_eq!(verify(&secret, headers, body.as_bytes(), 1_700_000_001), Ok(()));
    assert!(verify(&secret, headers, b"{}", 1_700_000_001).is_err());
}
