//! Ollama, by a double that streams as it does.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt as _};
use insta::assert_snapshot;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::watch;
use worker::Kind::{self, Permanent, Retryable, Service, Stopped};
use worker::connectors::ollama::Ollama;
use worker::{Connector as _, Stop};

use crate::support::{Attempt, free_port, meaning, run, serve, until};

/// What is answered is named by the model. Generations that run are counted: one ends with its connection.
#[derive(Clone, Default)]
struct Double {
    running: Arc<watch::Sender<u32>>,
}

impl Double {
    async fn start() -> (Self, Url) {
        let it = Self::default();
        let router = Router::new()
            .route("/api/tags", get(|| async { Json(json!({ "models": [] })) }))
            .route("/api/generate", post(generate))
            .route("/api/chat", post(chat))
            .route("/api/embed", post(embed));
        let url = serve(router.with_state(it.clone())).await;
        (it, url)
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

#[tokio::test]
async fn what_is_streamed_is_told_whole() {
    let (double, url) = Double::start().await;
    let ollama = Ollama::new(url, Some("m".into()));
    ollama.check().await.unwrap();
    let attempt =
        Attempt::new("text_generation", json!({ "prompt": "a cat", "options": { "num_predict": 8 } }));
    assert_snapshot!(attempt.run(&ollama).await.unwrap(), @r#"{"created_at":"2026-11-21T00:00:01Z","done":true,"done_reason":"stop","eval_count":4,"load_duration":1,"model":"m","prompt_eval_count":3,"response":"A cat ünd","total_duration":5}"#);
    assert_eq!(attempt.told(), (38, "3 tokens".into()));
    let said =
        run(&ollama, "chat_completion", json!({ "messages": [{ "role": "user", "content": "a cat" }] }))
            .await;
    assert_snapshot!(said.unwrap(), @r#"{"created_at":"2026-11-21T00:00:00Z","done":true,"message":{"content":"One moment","role":"assistant","thinking":"Hm.","tool_calls":[{"function":{"arguments":{"city":"Oslo"},"name":"weather"}}]},"model":"m"}"#);
    let made = run(&ollama, "embeddings", json!({ "input": ["a cat"] })).await.unwrap();
    assert_eq!(made["embeddings"][0], json!([0.5, 0.25]));
    let made = run(&ollama, "ollama", json!({ "input": "a cat" })).await.unwrap();
    assert_eq!(made["embeddings"][0], json!([0.5, 0.25]));
    until("nothing runs", async || *double.running.borrow() == 0).await;
}

#[tokio::test]
async fn every_bad_end_means_what_it_should() {
    let (_double, url) = Double::start().await;
    let ollama = Ollama::new(url, None).waiting(Duration::from_secs(1));
    let table: [(&str, Kind, bool, &str); 9] = [
        ("missing", Permanent, false, "model 'missing' not found"),
        ("busy", Retryable, true, "maximum pending requests exceeded"),
        ("too-large", Retryable, false, "model requires more system memory"),
        ("breaks", Retryable, false, "unexpected EOF"),
        ("runs-out", Retryable, true, "out of memory"),
        ("undone", Retryable, true, "it ended before it was done"),
        ("killed", Retryable, true, "reading the answer of Ollama"),
        ("silent", Retryable, false, "timed out"),
        ("garbled", Retryable, false, "a line is no JSON"),
    ];
    for (model, kind, suspect, words) in table {
        let failure = run(&ollama, "ollama", json!({ "model": model, "prompt": "a cat" })).await.unwrap_err();
        assert_eq!(meaning(&failure), (kind, suspect, None), "{model}: {failure}");
        assert!(failure.message.contains(words), "{model}: {failure}");
    }
    let failure = run(&ollama, "ollama", json!({ "prompt": "a cat" })).await.unwrap_err();
    assert_eq!((failure.kind, failure.message.contains("names no model")), (Permanent, true), "{failure}");
    let gone = Ollama::new(format!("http://127.0.0.1:{}", free_port()).parse().unwrap(), None);
    assert_eq!(gone.check().await.unwrap_err().kind, Service);
    let failure = run(&gone, "ollama", json!({ "model": "m", "prompt": "a cat" })).await.unwrap_err();
    assert_eq!(meaning(&failure), (Service, true, None));
}

#[tokio::test]
async fn a_stop_closes_the_connection_and_the_server_sees_it() {
    let (double, url) = Double::start().await;
    let ollama = Ollama::new(url, Some("silent".into()));
    let attempt = Attempt::new("ollama", json!({ "prompt": "a long story" }));
    let (result, ()) = tokio::join!(attempt.run(&ollama), async {
        until("it speaks", async || attempt.told().1 == "2 tokens").await;
        assert_eq!(*double.running.borrow(), 1);
        attempt.hands.stop.stop(Stop::Cancelled);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    until("the generation has ended", async || *double.running.borrow() == 0).await;
}
