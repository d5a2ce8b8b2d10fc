//! Automatic1111's Stable Diffusion web UI (and Forge, which has the same API): images from text and from images.
//!
//! Protocol: `modules/api/api.py` and `modules/progress.py` of AUTOMATIC1111/stable-diffusion-webui. `txt2img` blocks until it is done
//! and ends only by an interrupt: closing the connection does not end it. The interrupt is global and is forgotten when the
//! next generation begins, so it is sent only once ours is the one that runs. An interrupted generation answers with what it
//! has as if it were whole.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Map, Value, json};
use spec::env::Secret;
use tokio::time::sleep;

use crate::connector::{Connector, Stop, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Kind, Symptom};
use crate::http;
use crate::payload::Payload;
use crate::vars::Vars;

/// Nothing is said while a generation runs, however long it takes: the job's own timeout ends it.
const IDLE: Duration = Duration::from_hours(24);
/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(500);
/// Between two looks at a generation that has to stop.
const STOPPING: Duration = Duration::from_millis(100);
/// The largest picture that is sent.
const PICTURE: usize = 50 << 20;

/// The connector.
#[derive(Debug)]
pub struct A1111 {
    client: Client,
    base: Url,
    /// `user:password` of `--api-auth`.
    auth: Option<(String, Secret<String>)>,
    egress: Egress,
    payload: Payload,
}

/// What the server says about one generation (`/internal/progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Looked {
    active: bool,
    queued: bool,
    part: Option<f64>,
}

impl A1111 {
    /// The server at `base`.
    pub fn new(base: Url, auth: Option<(String, Secret<String>)>, egress: Egress) -> Self {
        Self { client: http::client(IDLE), base: http::folder(base), auth, egress, payload: payload() }
    }

    pub(crate) fn build(url: Option<Url>, vars: &mut Vars<'_>, egress: Egress) -> Option<Self> {
        let mut auth = None;
        if let Some(text) = vars.secret("A1111_API_AUTH") {
            auth =
                text.expose().split_once(':').map(|(user, it)| (user.to_owned(), Secret::new(it.to_owned())));
            if auth.is_none() {
                vars.wrong("A1111_API_AUTH", "`user:password`", "it has no `:`".into());
            }
        }
        let url = url.or_else(|| {
            vars.required("SERVICE_URL", "the address of its Automatic1111");
            None
        })?;
        Some(Self::new(url, auth, egress))
    }

    fn post(&self, path: &str, body: &Value) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path).map_err(|it| Failure::permanent(it.to_string()))?;
        Ok(self.authorised(self.client.post(url).json(body)))
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.auth {
            Some((user, password)) => request.basic_auth(user, Some(password.expose())),
            None => request,
        }
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let mut body = task.job.payload.as_object().cloned().unwrap_or_default();
        for name in ["init_images", "mask"] {
            if let Some(value) = body.get_mut(name) {
                task.unless_stopped(self.pictures(value)).await??;
            }
        }
        let path = if body.contains_key("init_images") { "sdapi/v1/img2img" } else { "sdapi/v1/txt2img" };
        body.insert("force_task_id".into(), task.attempt_id.clone().into());
        body.insert("send_images".into(), true.into());
        let doing = format!("Automatic1111's {path}");
        let mut generation = std::pin::pin!(self.post(path, &Value::Object(body))?.send());
        let answer = tokio::select! {
            answer = &mut generation => answer,
            _ = self.follow(task) => return Err(self.stop(task, generation).await),
        };
        let answer = judged(answer.map_err(|it| http::failed(it, &doing))?, &doing).await?;
        let answer: Value = http::json(answer, &doing).await?;
        if self.was_interrupted(task).await? {
            return Err(Failure::retryable(
                "someone interrupted the generation at Automatic1111; what it had is not whole",
            ));
        }
        self.stored(task, answer).await
    }

    /// Tells the progress, and is ready when the job has to stop.
    async fn follow(&self, task: &Task) -> Stop {
        let mut furthest: f64 = 0.0;
        loop {
            if let Err(why) = task.unless_stopped(sleep(LOOK)).await {
                return why;
            }
            // A look that fails says nothing; how the generation ends does.
            let Ok(Ok(looked)) = task.unless_stopped(self.look(task)).await else { continue };
            if let Some(part) = looked.part.filter(|_| looked.active) {
                furthest = furthest.max(part);
                task.progress(furthest * 100.0, "generating");
            } else if looked.queued {
                task.progress(furthest, "waiting for its turn at Automatic1111");
            }
        }
    }

    async fn look(&self, task: &Task) -> Result<Looked, Failure> {
        let doing = "asking Automatic1111 for the progress";
        let body = json!({ "id_task": task.attempt_id, "live_preview": false });
        let answer =
            self.post("internal/progress", &body)?.send().await.map_err(|it| http::failed(it, doing))?;
        let found: Value = http::json(judged(answer, doing).await?, doing).await?;
        let is = |name: &str| found[name] == true;
        Ok(Looked { active: is("active"), queued: is("queued"), part: found["progress"].as_f64() })
    }

    /// Ends the generation. It has stopped when its answer is there; an interrupt that is sent while another generation
    /// runs would end that one and spare ours.
    async fn stop(
        &self,
        task: &Task,
        mut generation: std::pin::Pin<&mut impl Future<Output = Result<Response, reqwest::Error>>>,
    ) -> Failure {
        loop {
            match self.look(task).await {
                Ok(looked) if looked.active => {
                    if let Ok(request) = self.post("sdapi/v1/interrupt", &json!({})) {
                        let _ = request.send().await;
                    }
                }
                // A server that is gone does nothing any more.
                Err(failure) if failure.kind == Kind::Service => return Failure::stopped().suspect(),
                // It waits for its turn, or is not known yet: its turn will come.
                Ok(_) | Err(_) => {}
            }
            // Until its answer is there it may run. If it never comes, the loop's patience ends this.
            if tokio::time::timeout(STOPPING, &mut generation).await.is_ok() {
                return Failure::stopped();
            }
        }
    }

    /// Whether the generation that was last was ended before its time; the flag stands until the next begins.
    async fn was_interrupted(&self, task: &Task) -> Result<bool, Failure> {
        let doing = "asking Automatic1111 how the generation ended";
        let url = self.base.join("sdapi/v1/progress?skip_current_image=true");
        let url = url.map_err(|it| Failure::permanent(it.to_string()))?;
        let answer = task.unless_stopped(self.authorised(self.client.get(url)).send()).await?;
        let answer = judged(answer.map_err(|it| http::failed(it, doing))?, doing).await?;
        let found: Value = task.unless_stopped(http::json(answer, doing)).await??;
        let state = &found["state"];
        Ok(state["interrupted"] == true || state["stopping_generation"] == true)
    }

    /// Addresses of pictures become base64, which is what the API takes.
    async fn pictures(&self, value: &mut Value) -> Result<(), Failure> {
        let list = match value {
            Value::Array(list) => list.iter_mut().collect(),
            one => vec![one],
        };
        for it in list {
            let Some(address) = it.as_str().filter(|it| it.starts_with("http:") || it.starts_with("https:"))
            else {
                continue;
            };
            let (mut answer, mut bytes) = (self.egress.get(address).await?, Vec::new());
            while let Some(chunk) = answer.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > PICTURE {
                    return Err(Failure::of(Symptom::Invalid, "a picture of the job has more than 50 MB"));
                }
            }
            *it = BASE64_STANDARD.encode(&bytes).into();
        }
        Ok(())
    }

    /// The pictures, without the grid that may stand before them, and what is known of how they were made.
    async fn stored(&self, task: &Task, mut answer: Value) -> Result<Value, Failure> {
        let malformed =
            |what: &str| Failure::of(Symptom::Malformed, format!("Automatic1111's answer {what}"));
        let images = answer["images"].take();
        let images = images.as_array().ok_or_else(|| malformed("has no images"))?;
        let info: Value =
            answer["info"].as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or(Value::Null);
        let first =
            info["index_of_first_image"].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        let mut stored = Vec::new();
        for (at, image) in images.iter().skip(first).enumerate() {
            let text = image.as_str().map(|it| it.rsplit(',').next().unwrap_or(it));
            let bytes = text
                .and_then(|it| BASE64_STANDARD.decode(it).ok())
                .ok_or_else(|| malformed("has an image that is no base64"))?;
            stored.push(task.outputs.put(&format!("image-{at}.png"), &bytes).await?);
        }
        if stored.is_empty() {
            return Err(malformed("has no image"));
        }
        let mut result = Map::from_iter([("images".to_owned(), json!(stored))]);
        for name in ["seed", "all_seeds", "sampler_name", "sd_model_name", "sd_model_hash", "infotexts"] {
            if let Some(value) = info.get(name) {
                result.insert(name.into(), value.clone());
            }
        }
        task.outputs.fit(result.into(), "result.json").await
    }
}

/// The answer if it is a success; else what it means. A sampler that is not there is 404 in old versions and 400 in new
/// ones; a card without memory is a 500 like any other, told by its words.
async fn judged(answer: Response, doing: &str) -> Result<Response, Failure> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let failure = http::refused(answer, doing).await;
    let memory = ["OutOfMemoryError", "out of memory"].iter().any(|it| failure.message.contains(it));
    Err(if memory { Failure::of(Symptom::OutOfMemory, failure.message) } else { failure })
}

fn payload() -> Payload {
    let side = json!({ "type": "integer", "minimum": 64, "maximum": 8192 });
    let count = json!({ "type": "integer", "minimum": 1, "maximum": 100 });
    let text = json!({ "type": "string" });
    Payload::new(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Images by Automatic1111: the body of /sdapi/v1/txt2img, or of img2img if it has `init_images`",
        "type": "object",
        "required": ["prompt"],
        "properties": {
            "prompt": text, "negative_prompt": text,
            "steps": { "type": "integer", "minimum": 1, "maximum": 1000 },
            "width": side, "height": side, "batch_size": count, "n_iter": count,
            "cfg_scale": { "type": "number" }, "seed": { "type": "integer" },
            "denoising_strength": { "type": "number", "minimum": 0, "maximum": 1 },
            "sampler_name": text, "scheduler": text,
            "init_images": {
                "type": "array", "minItems": 1,
                "items": { "type": "string", "minLength": 1, "description": "an https address, or base64" }
            },
            "mask": text,
            "override_settings": { "type": "object" },
            "save_images": { "const": false }, "send_images": { "const": true }, "force_task_id": false
        }
    }))
}

impl Connector for A1111 {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "a1111").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            let doing = "asking Automatic1111 for its memory";
            let url = self.base.join("sdapi/v1/memory").map_err(|it| Failure::permanent(it.to_string()))?;
            let answer =
                self.authorised(self.client.get(url)).send().await.map_err(|it| http::failed(it, doing))?;
            http::accepted(answer, doing).await.map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.work(task).boxed()
    }

    fn owns_service(&self) -> bool {
        true
    }
}
