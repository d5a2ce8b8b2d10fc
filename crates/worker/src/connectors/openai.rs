//! OpenAI, or a server that speaks like it: chat, responses, images, edits and embeddings.
//!
//! Protocol: openai/openai-openapi. Answers are streamed where the API can, so that a job can be stopped by leaving it and
//! silence is noticed; a stream that ends without saying how it ended is a failure, although its HTTP answer ends cleanly.
//! Failures that may pass are tried again here as OpenAI's own clients do it: twice, after the pause that the service
//! asks for.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Map, Value};
use spec::env::Secret;
use tokio::time::{Instant, sleep};

use crate::connector::{Connector, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Kind};
use crate::http::{self, Waits};
use crate::payload::Payload;
use crate::vars::Vars;

mod images;
mod limits;
mod payloads;
mod stream;

use payloads::Payloads;

const BASE: &str = "https://api.openai.com/v1";
/// An image takes minutes, and nothing is said meanwhile. The pause is that of OpenAI's own clients.
const WAITS: Waits = Waits { idle: Duration::from_mins(10), pause: Duration::from_millis(500) };
/// Further tries of one call.
const TRIES: u32 = 2;
/// The longest pause that is waited for here. A longer one goes to the queue, and so do other jobs' claims.
const LONGEST: Duration = Duration::from_mins(1);

/// The connector.
#[derive(Debug)]
pub struct OpenAi {
    client: Client,
    base: Url,
    key: Secret<String>,
    pause: Duration,
    text_model: Option<String>,
    image_model: Option<String>,
    egress: Egress,
    payloads: Payloads,
}

impl OpenAi {
    /// The server at `base`, with a key and the guard for addresses of pictures.
    pub fn new(base: Url, key: Secret<String>, egress: Egress) -> Self {
        Self {
            client: http::client(WAITS.idle),
            base: http::folder(base),
            key,
            pause: WAITS.pause,
            text_model: None,
            image_model: None,
            egress,
            payloads: Payloads::new(),
        }
    }

    /// The same with other waits: 10 min of silence, and 500 ms between two tries of a call.
    #[must_use]
    pub fn waiting(self, waits: Waits) -> Self {
        Self { client: http::client(waits.idle), pause: waits.pause, ..self }
    }

    pub(crate) fn build(vars: &mut Vars<'_>, egress: Egress) -> Self {
        let key = vars.required_secret("OPENAI_API_KEY", "the key of the OpenAI API");
        let base = vars.url("OPENAI_BASE_URL").unwrap_or_else(|| Url::parse(BASE).expect("it is an address"));
        let (text_model, image_model) = (vars.text("OPENAI_TEXT_MODEL"), vars.text("OPENAI_IMAGE_MODEL"));
        Self { text_model, image_model, ..Self::new(base, key, egress) }
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let mut body = task.job.payload.as_object().cloned().unwrap_or_default();
        match task.job.service_required.as_str() {
            "openai_text" => {
                payloads::messages(&mut body);
                default_model(&mut body, self.text_model.as_ref());
                body.insert("stream".into(), true.into());
                body.insert("stream_options".into(), serde_json::json!({ "include_usage": true }));
                let answer = self.post(task, "chat/completions", &body).await?;
                let said = stream::chat(task, answer, most(&body)).await?;
                task.outputs.fit(said, "answer.json").await
            }
            "openai_responses" => {
                default_model(&mut body, self.text_model.as_ref());
                body.insert("stream".into(), true.into());
                let answer = self.post(task, "responses", &body).await?;
                let said = stream::responses(task, answer, most(&body)).await?;
                let said = images::stored_within(task, said).await?;
                task.outputs.fit(said, "answer.json").await
            }
            "openai_embeddings" => {
                let answer = self.post(task, "embeddings", &body).await?;
                let found: Value = http::json(answer, "reading embeddings").await?;
                task.outputs.fit(found, "embeddings.json").await
            }
            "openai_img2img" => {
                default_model(&mut body, self.image_model.as_ref());
                let answer = images::edit(self, task, body).await?;
                images::stored(self, task, answer).await
            }
            _ => {
                default_model(&mut body, self.image_model.as_ref());
                let answer = self.post(task, "images/generations", &body).await?;
                images::stored(self, task, answer).await
            }
        }
    }

    async fn post(&self, task: &Task, path: &str, body: &Map<String, Value>) -> Result<Response, Failure> {
        let url = self.base.join(path).map_err(|it| Failure::permanent(it.to_string()))?;
        self.send(task, path, || Ok(self.client.post(url.clone()).json(body))).await
    }

    /// Sends what `request` makes, again if that may help.
    async fn send(
        &self,
        task: &Task,
        path: &str,
        request: impl Fn() -> Result<RequestBuilder, Failure>,
    ) -> Result<Response, Failure> {
        let (doing, ends_at) = (format!("OpenAI's {path}"), Instant::now() + task.time);
        let mut tried = 0;
        loop {
            let sent = request()?.bearer_auth(self.key.expose()).send().await;
            let (failure, wish) = match sent {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => {
                    let wish = answer.headers().get("x-should-retry").map(|it| it == "true");
                    let reset = limits::reset(answer.headers()).filter(|_| answer.status() == 429);
                    let failure = http::refused(answer, &doing).await;
                    let pause = failure.retry_after.or(reset);
                    (failure.after(pause), wish)
                }
                Err(error) => (http::failed(error, &doing), None),
            };
            let pause = failure.retry_after.unwrap_or_else(|| {
                self.pause.saturating_mul(1 << tried).mul_f64(1.0 - fastrand::f64() / 4.0)
            });
            let hopeful = wish.unwrap_or(failure.kind != Kind::Permanent);
            if !hopeful || tried == TRIES || pause > LONGEST || Instant::now() + pause > ends_at {
                return Err(failure);
            }
            sleep(pause).await;
            tried += 1;
        }
    }
}

fn default_model(body: &mut Map<String, Value>, model: Option<&String>) {
    if let Some(model) = model.filter(|_| !body.contains_key("model")) {
        body.insert("model".into(), model.clone().into());
    }
}

/// How many tokens the job wants at most, if it says so.
fn most(body: &Map<String, Value>) -> Option<f64> {
    let names = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    names.into_iter().find_map(|it| body.get(it)?.as_f64()).filter(|it| *it > 0.0)
}

impl Connector for OpenAi {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        self.payloads.of(service_required)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            let doing = "asking OpenAI for its models";
            let url = self.base.join("models").map_err(|it| Failure::permanent(it.to_string()))?;
            let answer = self.client.get(url).bearer_auth(self.key.expose()).send().await;
            let answer = answer.map_err(|it| http::failed(it, doing))?;
            // A server that speaks only a part of the protocol is there all the same.
            if answer.status() == 404 {
                return Ok(());
            }
            http::accepted(answer, doing).await.map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        // Left in the middle, the connection closes, and the service ends what it does.
        async { task.unless_stopped(self.work(task)).await? }.boxed()
    }
}
