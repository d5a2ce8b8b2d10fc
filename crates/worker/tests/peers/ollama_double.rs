//! Ollama, as it streams.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::serve::serve_at;

/// What is answered is named by the model. Generations that run are counted: one ends with its connection.
#[derive(Clone, Default)]
pub struct Double {
    running: Arc<watch::Sender<u32>>,
}

impl Double {
    pub async fn start() -> (Self, Url) {
        Self::at(0).await
    }

    /// At this port.
    pub async fn at(port: u16) -> (Self, Url) {
        let it = Self::default();
        let router = Router::new()
            .route("/api/tags", get(|| async { Json(json!({ "models": [] })) }))
            .route("/api/generate", post(generate))
            .route("/api/chat", post(chat))
            .route("/api/embed", post(embed));
        let url = serve_at(port, router.with_state(it.clone())).await;
        (it, url)
    }

    /// Generations that run.
    pub fn running(&self) -> u32 {
        *self.running.borrow()
    }
}

/// Runs as long as it lives.
struct Running(Double);

impl Running {
    fn new(double: &Double) -> Self {
        double.running.send_modify(|it| *it += 1);
        Self(double.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|it| *it -= 1);
    }
}

fn refused(model: &str) -> Option<Response> {
    let (status, words) = match model {
        "missing" => (404, "model 'missing' not found"),
        "busy" => (503, "server busy, please try again.  maximum pending requests exceeded"),
        "too-large" => (500, "model requires more system memory (40.0 GiB) than is available (8.0 GiB)"),
        _ => return None,
    };
    Some((StatusCode::from_u16(status).unwrap(), Json(json!({ "error": words }))).into_response())
}

/// Lines of an answer in the pieces in which the network brings them, and then its end, which may be none.
fn lines(double: &Double, parts: &[Value], end: End) -> Response {
    let text = parts.iter().fold(String::new(), |text, it| text + &it.to_string() + "\n");
    let running = Running::new(double);
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.into_bytes().chunks(7).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    let body = stream::iter(pieces).chain(match end {
        End::Ends => stream::empty().boxed(),
        End::Breaks => stream::once(async {
            // What came before is sent first.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("it is killed"))
        })
        .boxed(),
        End::Hangs => stream::pending().boxed(),
    });
    let body = body.map(move |it| {
        let _ = &running;
        it
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(body)).into_response()
}

#[derive(Clone, Copy)]
enum End {
    Ends,
    Breaks,
    Hangs,
}

async fn generate(State(it): State<Double>, Json(body): Json<Value>) -> Response {
    let model = body["model"].as_str().unwrap();
    if let Some(refused) = refused(model) {
        return refused;
    }
    assert!(body["stream"] == true && body["prompt"].is_string(), "{body}");
    let said = |text: &str| json!({ "model": model, "created_at": "2026-11-21T00:00:00Z", "response": text, "done": false });
    let done = json!({
        "model": model, "created_at": "2026-11-21T00:00:01Z", "response": "", "done": true, "done_reason": "stop", "context": [1, 2, 3],
        "total_duration": 5, "load_duration": 1, "prompt_eval_count": 3, "eval_count": 4
    });
    let error = |words: &str| json!({ "error": words });
    match model {
        "breaks" => lines(
            &it,
            &[said("A"), error("an error was encountered while running the model: unexpected EOF")],
            End::Ends,
        ),
        "runs-out" => lines(&it, &[said("A"), error("llama runner: CUDA error: out of memory")], End::Ends),
        "undone" => lines(&it, &[said("A"), said(" cat")], End::Ends),
        "killed" => lines(&it, &[said("A")], End::Breaks),
        "silent" => lines(&it, &[said("A"), said(" cat")], End::Hangs),
        "garbled" => ([("content-type", "application/x-ndjson")], "{\"response\": \"A\"\n").into_response(),
        _ => lines(&it, &[said("A"), said(" ca"), said("t ünd"), done], End::Ends),
    }
}

async fn chat(State(it): State<Double>, Json(body): Json<Value>) -> Response {
    let part = |message: Value| json!({ "model": "m", "created_at": "2026-11-21T00:00:00Z", "message": message, "done": false });
    let call = json!([{ "function": { "name": "weather", "arguments": { "city": "Oslo" } } }]);
    let mut done = part(json!({ "role": "assistant", "content": "" }));
    done["done"] = true.into();
    let parts = [
        part(json!({ "role": "assistant", "content": "", "thinking": "Hm" })),
        part(json!({ "role": "assistant", "content": "", "thinking": "." })),
        part(json!({ "role": "assistant", "content": "One" })),
        part(json!({ "role": "assistant", "content": " moment" })),
        part(json!({ "role": "assistant", "content": "", "tool_calls": call })),
        done,
    ];
    assert!(body["messages"].is_array());
    lines(&it, &parts, End::Ends)
}

async fn embed(Json(body): Json<Value>) -> Response {
    assert!(body["stream"] == false, "{body}");
    refused(body["model"].as_str().unwrap())
        .unwrap_or_else(|| Json(json!({ "model": "m", "embeddings": [[0.5, 0.25]] })).into_response())
}
