//! Streamed answers, gathered into what the API would have answered at once.

use reqwest::Response;
use serde_json::{Map, Value, json};

use crate::connector::Task;
use crate::failure::{Failure, Symptom};
use crate::http::Lines;

/// Server-sent events (WHATWG HTML, 9.2) of an answer: the data of each.
struct Events {
    lines: Lines,
    doing: &'static str,
}

impl Events {
    fn new(answer: Response, doing: &'static str) -> Self {
        Self { lines: Lines::new(answer), doing }
    }

    /// The next data; `None` at the end of the answer.
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        let mut data: Option<String> = None;
        loop {
            let line = self.lines.next(self.doing).await?;
            let Some(line) = line else {
                // An event that no empty line ends is not one.
                return Ok(None);
            };
            let line = String::from_utf8_lossy(&line);
            if line.is_empty() {
                if data.is_some() {
                    return Ok(data);
                }
            } else if let Some(text) = line.strip_prefix("data:") {
                let text = text.strip_prefix(' ').unwrap_or(text);
                data = Some(data.map_or_else(|| text.to_owned(), |it| format!("{it}\n{text}")));
            }
        }
    }

    /// The next document, or what went wrong in the words of the service.
    async fn document(&mut self) -> Result<Option<Value>, Failure> {
        let Some(data) = self.next().await? else { return Ok(None) };
        if data == "[DONE]" {
            return Ok(Some(Value::Null));
        }
        let document: Value = serde_json::from_str(&data).map_err(|it| {
            Failure::of(Symptom::Malformed, format!("{}: a part is no JSON: {it}", self.doing))
        })?;
        if document["error"].is_object() {
            return Err(said(&document["error"], self.doing));
        }
        Ok(Some(document))
    }

    fn cut(&self) -> Failure {
        Failure::of(Symptom::Cut, format!("{}: it ended before it was complete", self.doing))
    }
}

/// An error in the middle of a stream.
fn said(error: &Value, doing: &str) -> Failure {
    let word = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    let status = match word {
        "rate_limit_exceeded" | "insufficient_quota" => 429,
        "context_length_exceeded" | "content_policy_violation" | "unsupported_image_media_type" => 400,
        _ if ["invalid_", "image_", "empty_image"].iter().any(|it| word.starts_with(it)) => 400,
        _ => 500,
    };
    let message = error["message"].as_str().unwrap_or("an error without a message");
    Failure::of(Symptom::Status(status, Some(word)), format!("{doing}: {message}"))
}

fn tell(task: &Task, parts: f64, most: Option<f64>) {
    task.progress(most.map_or(0.0, |it| (parts * 100.0 / it).min(99.0)), format!("{parts} parts"));
}

/// A chat completion: the chunks' deltas as one message. It is complete with a finish reason and `[DONE]`.
pub(super) async fn chat(task: &Task, answer: Response, most: Option<f64>) -> Result<Value, Failure> {
    let mut events = Events::new(answer, "the answer of OpenAI's chat/completions");
    let (mut whole, mut message, mut parts) = (Map::new(), Map::new(), 0.0);
    let (mut reason, mut chances) = (Value::Null, Map::new());
    loop {
        let Some(chunk) = events.document().await? else { return Err(events.cut()) };
        if chunk.is_null() {
            break;
        }
        for name in ["id", "model", "created", "system_fingerprint", "service_tier"] {
            if let Some(value) = chunk.get(name).filter(|it| !it.is_null()) {
                whole.insert(name.into(), value.clone());
            }
        }
        if chunk["usage"].is_object() {
            whole.insert("usage".into(), chunk["usage"].clone());
        }
        let choice = &chunk["choices"][0];
        if let Some(delta) = choice["delta"].as_object() {
            merge(&mut message, delta);
            parts += 1.0;
            tell(task, parts, most);
        }
        if let Some(more) = choice["logprobs"].as_object() {
            merge(&mut chances, more);
        }
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
    }
    if reason.is_null() {
        return Err(events.cut());
    }
    if let Some(refusal) = message.get("refusal").and_then(Value::as_str).filter(|it| !it.is_empty()) {
        return Err(Failure::of(Symptom::Refused, format!("OpenAI refuses: {refusal}")));
    }
    if reason == "content_filter" {
        return Err(Failure::of(Symptom::Refused, "OpenAI's content filter ended the answer"));
    }
    message.entry("role").or_insert_with(|| "assistant".into());
    message.entry("content").or_insert(Value::Null);
    // A place in the stream, which the whole does not have.
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().map(|it| it.remove("index"));
    }
    let mut choice = json!({ "index": 0, "message": message, "finish_reason": reason });
    if !chances.is_empty() {
        choice["logprobs"] = chances.into();
    }
    whole.insert("object".into(), "chat.completion".into());
    whole.insert("choices".into(), json!([choice]));
    Ok(whole.into())
}

/// Adds a delta: texts are appended, members are merged, members of lists by their `index`.
fn merge(into: &mut Map<String, Value>, delta: &Map<String, Value>) {
    for (name, value) in delta {
        match (into.get_mut(name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more))
                if !matches!(&**name, "role" | "id" | "type") =>
            {
                text.push_str(more);
            }
            (Some(Value::Object(one)), Value::Object(more)) => merge(one, more),
            (Some(Value::Array(list)), Value::Array(more)) => merge_members(list, more),
            (None, Value::Array(more)) => {
                let mut list = Vec::new();
                merge_members(&mut list, more);
                into.insert(name.clone(), list.into());
            }
            _ => _ = into.insert(name.clone(), value.clone()),
        }
    }
}

fn merge_members(list: &mut Vec<Value>, members: &[Value]) {
    for member in members {
        let same = |it: &&mut Value| member.get("index").is_some() && it.get("index") == member.get("index");
        match (list.iter_mut().find(same), member) {
            (Some(Value::Object(one)), Value::Object(more)) => merge(one, more),
            _ => list.push(member.clone()),
        }
    }
}

/// A response: its last event holds it whole.
pub(super) async fn responses(task: &Task, answer: Response, most: Option<f64>) -> Result<Value, Failure> {
    let mut events = Events::new(answer, "the answer of OpenAI's responses");
    let mut parts = 0.0;
    loop {
        let Some(mut event) = events.document().await? else { return Err(events.cut()) };
        match event["type"].as_str().unwrap_or_default() {
            "response.completed" => return finished(event["response"].take(), events.doing),
            "response.incomplete" => {
                let why = event["response"]["incomplete_details"]["reason"]
                    .as_str()
                    .unwrap_or("unknown")
                    .to_owned();
                if why == "content_filter" {
                    return Err(Failure::of(Symptom::Refused, "OpenAI's content filter ended the answer"));
                }
                // The job's own limit of tokens: what there is, is what it asked for.
                return Ok(event["response"].take());
            }
            "response.failed" => return Err(said(&event["response"]["error"], events.doing)),
            "error" => return Err(said(&event, events.doing)),
            kind if kind.rsplit('.').next() == Some("delta") => {
                parts += 1.0;
                tell(task, parts, most);
            }
            _ => {}
        }
    }
}

/// A response that was completed, unless all that it says is that it refuses.
fn finished(response: Value, doing: &str) -> Result<Value, Failure> {
    if !response.is_object() {
        return Err(Failure::of(Symptom::Malformed, format!("{doing}: it is complete without a response")));
    }
    let contents = || {
        response["output"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["content"].as_array())
            .flatten()
    };
    let refusal = contents().find_map(|it| it["refusal"].as_str());
    match refusal.filter(|_| contents().all(|it| it["type"] == "refusal")) {
        Some(refusal) => Err(Failure::of(Symptom::Refused, format!("OpenAI refuses: {refusal}"))),
        None => Ok(response),
    }
}
