//! Ollama: text, chat and embeddings from language models on this machine.
//!
//! Protocol: `docs/api.md` of ollama/ollama. Answers to `generate` and `chat` are streamed, one JSON document a line, the
//! last with `"done": true`; an answer that ends without it is a failure. Ollama ends a generation when its client closes
//! the connection, so a job is stopped by leaving it.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, Response, Url};
use serde_json::{Map, Value, json};

use crate::connector::{Connector, Task};
use crate::failure::{Failure, Symptom};
use crate::http::{self, Lines};
use crate::payload::Payload;
use crate::vars::Vars;

/// The longest silence: a model of many gigabytes is loaded before the first word.
const IDLE: Duration = Duration::from_mins(10);

/// The connector.
#[derive(Debug)]
pub struct Ollama {
    client: Client,
    base: Url,
    model: Option<String>,
    any: Payload,
    generate: Payload,
    chat: Payload,
    embed: Payload,
}

/// A call of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Generate,
    Chat,
    Embed,
}

impl Call {
    /// A job for `ollama` itself is what its payload has the parts of.
    fn of(service_required: &str, payload: &Value) -> Self {
        match service_required {
            "text_generation" => Self::Generate,
            "chat_completion" => Self::Chat,
            "embeddings" => Self::Embed,
            _ if payload.get("messages").is_some() => Self::Chat,
            _ if payload.get("input").is_some() => Self::Embed,
            _ => Self::Generate,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Generate => "api/generate",
            Self::Chat => "api/chat",
            Self::Embed => "api/embed",
        }
    }
}

impl Ollama {
    /// The server at `base`; `model` is asked where a job names none.
    pub fn new(base: Url, model: Option<String>) -> Self {
        Self {
            client: http::client(IDLE),
            base: http::folder(base),
            model,
            any: payload(
                &json!({ "anyOf": [{ "required": ["messages"] }, { "required": ["input"] }, { "required": ["prompt"] }] }),
            ),
            generate: payload(&json!({ "required": ["prompt"] })),
            chat: payload(&json!({ "required": ["messages"] })),
            embed: payload(&json!({ "required": ["input"] })),
        }
    }

    /// The same with another longest silence than 10 min.
    #[must_use]
    pub fn waiting(self, idle: Duration) -> Self {
        Self { client: http::client(idle), ..self }
    }

    pub(crate) fn build(url: Option<Url>, vars: &mut Vars<'_>) -> Option<Self> {
        let model = vars.text("OLLAMA_DEFAULT_MODEL");
        let url = url.or_else(|| {
            vars.required("SERVICE_URL", "the address of its Ollama");
            None
        })?;
        Some(Self::new(url, model))
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let call = Call::of(task.job.service_required.as_str(), &task.job.payload);
        let mut body = task.job.payload.as_object().cloned().unwrap_or_default();
        if !body.contains_key("model") {
            let model = self.model.clone().ok_or_else(|| {
                Failure::of(Symptom::Invalid, "the job names no model, and this worker has none by default")
            })?;
            body.insert("model".into(), model.into());
        }
        body.insert("stream".into(), (call != Call::Embed).into());
        let doing = "asking Ollama";
        let url = self.base.join(call.path()).map_err(|it| Failure::permanent(it.to_string()))?;
        let answer = self.client.post(url).json(&body).send().await;
        let answer = http::accepted(answer.map_err(|it| http::failed(it, doing))?, doing).await?;
        let result = match call {
            Call::Embed => http::json(answer, doing).await?,
            Call::Generate | Call::Chat => gathered(task, answer, most(&body)).await?,
        };
        task.outputs.fit(result, "answer.json").await
    }
}

/// How many tokens the job wants at most, if it says so.
fn most(body: &Map<String, Value>) -> Option<f64> {
    body.get("options").and_then(|it| it["num_predict"].as_f64()).filter(|it| *it > 0.0)
}

/// The parts of a streamed answer as one: the last document, with all that was said in it.
async fn gathered(task: &Task, answer: Response, most: Option<f64>) -> Result<Value, Failure> {
    let doing = "reading the answer of Ollama";
    let mut lines = Lines::new(answer);
    let (mut said, mut thought, mut calls, mut parts) = (String::new(), String::new(), vec![], 0.0);
    loop {
        let Some(line) = lines.next(doing).await? else {
            return Err(Failure::of(Symptom::Cut, format!("{doing}: it ended before it was done")));
        };
        let mut part: Value = serde_json::from_slice(&line)
            .map_err(|it| Failure::of(Symptom::Malformed, format!("{doing}: a line is no JSON: {it}")))?;
        if let Some(error) = part["error"].as_str() {
            let symptom = if http::out_of_memory(error) { Symptom::OutOfMemory } else { Symptom::Failed };
            return Err(Failure::of(symptom, format!("Ollama: {error}")));
        }
        said += part["response"].as_str().or(part["message"]["content"].as_str()).unwrap_or_default();
        thought += part["thinking"].as_str().or(part["message"]["thinking"].as_str()).unwrap_or_default();
        calls.extend(part["message"]["tool_calls"].as_array().cloned().unwrap_or_default());
        parts += 1.0;
        if part["done"] != true {
            task.progress(most.map_or(0.0, |it| (parts * 100.0 / it).min(99.0)), format!("{parts} tokens"));
            continue;
        }
        let chat = part["message"].is_object();
        let whole = if chat { &mut part["message"] } else { &mut part };
        whole[if chat { "content" } else { "response" }] = said.into();
        if !calls.is_empty() {
            whole["tool_calls"] = calls.into();
        }
        if !thought.is_empty() {
            whole["thinking"] = thought.into();
        }
        // A list of numbers that nobody but a later call to the same model can use.
        part.as_object_mut().map(|it| it.remove("context"));
        return Ok(part);
    }
}

/// What a call takes, beside all that Ollama itself takes.
fn payload(more: &Value) -> Payload {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A job for Ollama: the body of its own API",
        "type": "object",
        "properties": {
            "model": { "type": "string", "minLength": 1 },
            "prompt": { "type": "string" },
            "messages": {
                "type": "array", "minItems": 1,
                "items": { "type": "object", "required": ["role"], "properties": { "role": { "type": "string" } } }
            },
            "input": { "type": ["string", "array"], "items": { "type": "string" } },
            "options": { "type": "object" }
        }
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        schema[key] = value.clone();
    }
    Payload::new(schema)
}

impl Connector for Ollama {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        match service_required {
            "ollama" => Some(&self.any),
            "text_generation" => Some(&self.generate),
            "chat_completion" => Some(&self.chat),
            "embeddings" => Some(&self.embed),
            _ => None,
        }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            let doing = "asking Ollama for its models";
            let url = self.base.join("api/tags").map_err(|it| Failure::permanent(it.to_string()))?;
            let answer = self.client.get(url).send().await.map_err(|it| http::failed(it, doing))?;
            http::accepted(answer, doing).await.map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        async { task.unless_stopped(self.work(task)).await? }.boxed()
    }

    fn owns_service(&self) -> bool {
        true
    }
}
