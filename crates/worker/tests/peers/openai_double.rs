//! The parts of OpenAI's protocol that llmock does not play: edits, refusals, tool calls, errors in the middle of a stream,
//! and headers about retries. What is answered is named by the model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use serde_json::{Value, json};

use super::serve::{png, serve};

#[derive(Clone)]
pub struct Double {
    pub base: Url,
    /// How often each model was asked.
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Double {
    pub async fn start() -> Self {
        let it = Self { base: "http://127.0.0.1/".parse().unwrap(), asked: Arc::default() };
        let router = Router::new()
            .route("/v1/models", get(|| async { Json(json!({ "object": "list", "data": [] })) }))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/responses", post(responses))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/images/edits", post(edit))
            .route("/v1/images/generations", post(generation))
            .route("/file/{name}", get(|| async { png() }));
        let base = serve(router.with_state(it.clone())).await;
        Self { base: base.join("v1").unwrap(), ..it }
    }

    pub fn asked(&self, model: &str) -> usize {
        self.asked.lock().unwrap().get(model).copied().unwrap_or(0)
    }

    /// Counts a request, from 1.
    fn note(&self, model: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let count = asked.entry(model.to_owned()).or_default();
        *count += 1;
        *count
    }
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "message": message, "type": "an_error", "param": null, "code": code } });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn events(parts: &[String]) -> Response {
    ([("content-type", "text/event-stream")], parts.concat()).into_response()
}

async fn chat(State(it): State<Double>, Json(body): Json<Value>) -> Response {
    let model = body["model"].as_str().unwrap().to_owned();
    let count = it.note(&model);
    let chunk = |choice: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "system_fingerprint": null,
            "choices": [choice], "usage": null, "obfuscation": "xxxx"
        });
        format!("data: {chunk}\n\n")
    };
    let delta =
        |delta: Value| chunk(json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }));
    let end =
        |reason: &str| chunk(json!({ "index": 0, "delta": {}, "logprobs": null, "finish_reason": reason }));
    let usage = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [],
        "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 }
    });
    let (usage, done) = (format!("data: {usage}\n\n"), "data: [DONE]\n\n".to_owned());
    let first = delta(json!({ "role": "assistant", "content": null }));
    let words = ["A", " c", "at"].map(|it| delta(json!({ "content": it }))).concat();
    match model.as_str() {
        "limits" if count == 1 => {
            let told = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "30ms")];
            (told, error(429, "rate_limit_exceeded", "slow down")).into_response()
        }
        "limits-for-long" => {
            let told = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
            (told, error(429, "rate_limit_exceeded", "slow down")).into_response()
        }
        "not-again" => ([("x-should-retry", "false")], error(500, "server_error", "no")).into_response(),
        "again" if count == 1 => {
            ([("x-should-retry", "true")], error(400, "odd", "once more")).into_response()
        }
        "tools" => {
            let call = |index: u32, rest: Value| {
                let mut call = json!({ "index": index });
                call.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
                delta(json!({ "tool_calls": [call] }))
            };
            let begin = |index, id: &str, name: &str| {
                call(
                    index,
                    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "" } }),
                )
            };
            let more = |index, text: &str| call(index, json!({ "function": { "arguments": text } }));
            events(&[
                first,
                begin(0, "call_1", "weather"),
                more(0, "{\"city\":"),
                more(0, "\"Oslo\"}"),
                begin(1, "call_2", "clock"),
                more(1, "{}"),
                end("tool_calls"),
                usage,
                done,
            ])
        }
        "chances" => {
            let chance = |token: &str| {
                let logprobs = json!({ "content": [{ "token": token, "logprob": -0.1, "bytes": null, "top_logprobs": [] }] });
                chunk(
                    json!({ "index": 0, "delta": { "content": token }, "logprobs": logprobs, "finish_reason": null }),
                )
            };
            events(&[first, chance("A"), chance("B"), end("stop"), usage, done])
        }
        "refuses" => events(&[
            first,
            delta(json!({ "refusal": "I can" })),
            delta(json!({ "refusal": "not." })),
            end("stop"),
            done,
        ]),
        "filter" => events(&[first, words, end("content_filter"), done]),
        "no-reason" => events(&[first, words, done]),
        "no-done" => events(&[first, words, end("stop")]),
        "used-up" => {
            let error = json!({ "error": { "message": "no money", "type": "insufficient_quota", "param": null, "code": "insufficient_quota" } });
            events(&[first, words, format!("data: {error}\n\n")])
        }
        "breaks" => {
            let error = json!({ "error": { "message": "it broke", "type": "server_error", "param": null, "code": null } });
            events(&[first, words, format!("data: {error}\n\n")])
        }
        // As proxies change it: other ends of lines, comments, more than one line of data.
        "odd-lines" => {
            let text = [first, ": ping\n\n".into(), words, end("length"), usage, done].concat();
            events(&[text.replace('\n', "\r\n")])
        }
        _ => events(&[first, words, end("stop"), usage, done]),
    }
}

async fn responses(State(it): State<Double>, Json(body): Json<Value>) -> Response {
    let model = body["model"].as_str().unwrap().to_owned();
    it.note(&model);
    let response = |more: Value| {
        let mut response = json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": model, "output": [], "error": null,
            "incomplete_details": null, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "metadata": {}, "instructions": null
        });
        response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        response
    };
    let event = |kind: &str, more: Value| {
        let mut event = json!({ "type": kind, "sequence_number": 0 });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let message = |content: Value| json!([{ "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content }]);
    let text = message(json!([{ "type": "output_text", "text": "A cat", "annotations": [] }]));
    let begin = event("response.created", json!({ "response": response(json!({})) }));
    let whole = |more: Value| event("response.completed", json!({ "response": response(more) }));
    let failed = |code: &str| {
        let error = json!({ "code": code, "message": "words of the service" });
        event(
            "response.failed",
            json!({ "response": response(json!({ "status": "failed", "error": error })) }),
        )
    };
    let cut_short = |why: &str| {
        let more = json!({ "status": "incomplete", "output": text, "incomplete_details": { "reason": why } });
        event("response.incomplete", json!({ "response": response(more) }))
    };
    let end = match model.as_str() {
        "failed" => failed("server_error"),
        "limited" => failed("rate_limit_exceeded"),
        "policy" => failed("image_content_policy_violation"),
        "error" => event(
            "error",
            json!({ "code": "server_error", "message": "words of the service", "param": null }),
        ),
        "few-tokens" => cut_short("max_output_tokens"),
        "filter" => cut_short("content_filter"),
        "refuses" => whole(
            json!({ "status": "completed", "output": message(json!([{ "type": "refusal", "refusal": "I cannot." }])) }),
        ),
        "picture" => whole(json!({ "status": "completed", "output": [
            { "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": BASE64_STANDARD.encode(png()) }
        ] })),
        "not-a-response" => event("response.completed", json!({ "response": "nothing" })),
        "cut" => String::new(),
        _ => whole(json!({ "status": "completed", "output": text })),
    };
    events(&[begin, end])
}

async fn embeddings(Json(body): Json<Value>) -> Response {
    let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.5, 0.25] }]);
    let usage = json!({ "prompt_tokens": 2, "total_tokens": 2 });
    Json(json!({ "object": "list", "data": data, "model": body["model"], "usage": usage })).into_response()
}

async fn edit(State(it): State<Double>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body);
    let field = |name: &str| {
        let begins = text.find(&format!("name=\"{name}\""))?;
        let value = text[begins..].split("\r\n\r\n").nth(1)?;
        Some(value.split("\r\n").next()?.to_owned())
    };
    let multipart = headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary=");
    let (Some(model), Some(_), true) = (field("model"), field("prompt"), multipart) else {
        return error(400, "missing_required_parameter", "a field is missing");
    };
    it.note(&model);
    let pictures = text.matches("name=\"image[]\"; filename=").count()
        + text.matches("name=\"image\"; filename=").count();
    if pictures == 0
        || !text.contains("\r\nContent-Type: image/png") && !text.contains("\r\ncontent-type: image/png")
    {
        return error(400, "invalid_image", "it is no picture");
    }
    let data = json!([{ "b64_json": BASE64_STANDARD.encode(png()) }]);
    let usage = json!({ "total_tokens": pictures, "input_tokens": pictures, "output_tokens": 0, "input_tokens_details": { "text_tokens": 0, "image_tokens": pictures } });
    Json(json!({ "created": 1, "data": data, "usage": usage, "size": "1024x1024" })).into_response()
}

async fn generation(State(it): State<Double>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let model = body["model"].as_str().unwrap().to_owned();
    it.note(&model);
    let host = headers["host"].to_str().unwrap();
    let picture =
        |at: u64| json!({ "url": format!("http://{host}/file/{at}.png"), "revised_prompt": "a grey cat" });
    match model.as_str() {
        "none" => Json(json!({ "created": 1, "data": [] })).into_response(),
        "list" => Json(json!([])).into_response(),
        "elsewhere" => Json(json!({ "created": 1, "data": [{ "url": "http://169.254.169.254/latest" }] }))
            .into_response(),
        "policy" => error(400, "content_policy_violation", "words of the service"),
        _ => {
            let data: Vec<Value> = (0..body["n"].as_u64().unwrap_or(1)).map(picture).collect();
            Json(json!({ "created": 1, "data": data })).into_response()
        }
    }
}
