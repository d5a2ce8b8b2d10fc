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
use serde::Deserialize;
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
/// For everything but a generation.
const SHORT: Duration = Duration::from_secs(5);
/// Pictures that an image may be made from.
const PICTURES: u32 = 16;
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
    look: Duration,
    payload: Payload,
}

/// What the server says about one generation (`/internal/progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Looked {
    active: bool,
    queued: bool,
    part: Option<f64>,
}

/// What it answers. `info` is a document of its own.
#[derive(Debug, Deserialize)]
struct Answer {
    images: Vec<String>,
    #[serde(default)]
    info: String,
}

/// A request that is answered when its generation is over.
type Generation<'a> = BoxFuture<'a, reqwest::Result<Response>>;

impl A1111 {
    /// The server at `base`.
    pub fn new(base: Url, auth: Option<(String, Secret<String>)>, egress: Egress) -> Self {
        let (client, base) = (http::client(IDLE), http::folder(base));
        Self { client, base, auth, egress, look: LOOK, payload: payload() }
    }

    /// The same with another pause between two looks at the progress than 500 ms.
    #[must_use]
    pub fn looking(self, look: Duration) -> Self {
        Self { look, ..self }
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

    fn get(&self, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path).map_err(|it| Failure::permanent(it.to_string()))?;
        Ok(self.authorised(self.client.get(url)).timeout(SHORT))
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.auth {
            Some((user, password)) => request.basic_auth(user, Some(password.expose())),
            None => request,
        }
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let mut body = task.job.payload.as_object().cloned().unwrap_or_default();
        let whole = expected(&body);
        for name in ["init_images", "mask", "alwayson_scripts", "script_args"] {
            if let Some(value) = body.get_mut(name) {
                task.unless_stopped(self.pictures(value)).await??;
            }
        }
        let path = if body.contains_key("init_images") { "sdapi/v1/img2img" } else { "sdapi/v1/txt2img" };
        body.insert("force_task_id".into(), task.attempt_id.clone().into());
        body.insert("send_images".into(), true.into());
        let doing = format!("Automatic1111's {path}");
        let mut generation = self.post(path, &Value::Object(body))?.send().boxed();
        let answer = tokio::select! {
            answer = &mut generation => answer,
            _ = self.follow(task) => {
                let ended = self.end(task, Some(generation)).await;
                return Err(ended.map_or_else(Failure::suspect, |()| Failure::stopped()));
            }
        };
        let answer = match answer.map_err(|it| http::failed(it, &doing)) {
            Ok(answer) => answer,
            Err(failure) if failure.kind == Kind::Service => return Err(failure),
            // The server goes on without us, and the next try would wait for it.
            Err(failure) => {
                let _ = self.end(task, None).await;
                return Err(failure);
            }
        };
        // The generation is over: whether its answer is read changes nothing at the server.
        task.unless_stopped(async {
            let answer: Answer = http::json(judged(answer, &doing).await?, &doing).await?;
            let info: Map<String, Value> = serde_json::from_str(&answer.info).unwrap_or_default();
            self.judge(&answer, &info, whole).await?;
            stored(task, &answer, &info).await
        })
        .await?
    }

    /// Tells the progress, and is ready when the job has to stop.
    async fn follow(&self, task: &Task) -> Stop {
        let mut furthest: f64 = 0.0;
        loop {
            if let Err(why) = task.unless_stopped(sleep(self.look)).await {
                return why;
            }
            // A look that fails says nothing; how the generation ends does.
            let Ok(Ok(looked)) = task.unless_stopped(self.look(task)).await else { continue };
            if let Some(part) = looked.part.filter(|_| looked.active) {
                furthest = furthest.max(part);
                task.progress(furthest * 100.0, "generating");
            } else if looked.queued {
                task.progress(furthest * 100.0, "waiting for its turn at Automatic1111");
            }
        }
    }

    async fn look(&self, task: &Task) -> Result<Looked, Failure> {
        let doing = "asking Automatic1111 for the progress";
        let body = json!({ "id_task": task.attempt_id, "live_preview": false });
        let answer = self.post("internal/progress", &body)?.timeout(SHORT).send().await;
        let answer = answer.map_err(|it| http::failed(it, doing))?;
        let found: Value = http::json(judged(answer, doing).await?, doing).await?;
        let is = |name: &str| found[name] == true;
        Ok(Looked { active: is("active"), queued: is("queued"), part: found["progress"].as_f64() })
    }

    /// Ends the generation: ready when it runs no more, with a failure if the server is gone altogether. It runs until its
    /// answer is there or, where nobody can hear that any more, the server knows of it no more. An interrupt that is sent
    /// while another generation runs would end that one and spare ours.
    async fn end(&self, task: &Task, mut open: Option<Generation<'_>>) -> Result<(), Failure> {
        let mut interrupted = false;
        loop {
            match self.look(task).await {
                Ok(looked) if looked.active => {
                    if !interrupted {
                        interrupted = self.interrupt().await.is_ok();
                    }
                }
                Ok(looked) if !looked.queued && open.is_none() => return Ok(()),
                Err(failure) if failure.kind == Kind::Service => return Err(failure),
                // It waits for its turn, or is not known yet: its turn will come.
                Ok(_) | Err(_) => {}
            }
            let Some(generation) = &mut open else {
                sleep(self.look).await;
                continue;
            };
            match tokio::time::timeout(self.look, generation).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => open = None,
                Err(_) => {}
            }
        }
    }

    async fn interrupt(&self) -> Result<(), Failure> {
        let doing = "interrupting Automatic1111";
        let answer = self.post("sdapi/v1/interrupt", &json!({}))?.timeout(SHORT).send().await;
        judged(answer.map_err(|it| http::failed(it, doing))?, doing).await.map(drop)
    }

    /// Whether an answer is of a generation that ran to its end. One that was interrupted answers alike, with fewer images
    /// or unfinished ones. That it was is a flag of the whole server, which stands until the next begins: whose flag it is
    /// tells the time at which the generation began.
    async fn judge(
        &self,
        answer: &Answer,
        info: &Map<String, Value>,
        whole: Option<u64>,
    ) -> Result<(), Failure> {
        let doing = "asking Automatic1111 how the generation ended";
        let found = self.get("sdapi/v1/progress?skip_current_image=true")?.send().await;
        let found = judged(found.map_err(|it| http::failed(it, doing))?, doing).await?;
        let found: Value = http::json(found, doing).await?;
        let state = &found["state"];
        let flag = state["interrupted"] == true || state["stopping_generation"] == true;
        let another = info.get("job_timestamp").is_some_and(|it| *it != state["job_timestamp"]);
        let made = (answer.images.len() as u64).saturating_sub(first(info) as u64);
        if (flag && !another) || whole.is_some_and(|it| made < it) {
            return Err(Failure::retryable(
                "someone interrupted the generation at Automatic1111; what it had is not whole",
            ));
        }
        Ok(())
    }

    /// Addresses of pictures become base64, wherever they are: the server would fetch them itself, with its own reach.
    async fn pictures(&self, value: &mut Value) -> Result<(), Failure> {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(list) => open.extend(list),
                Value::Object(members) => open.extend(members.values_mut()),
                Value::String(text) if text.starts_with("http://") || text.starts_with("https://") => {
                    let (mut answer, mut bytes) = (self.egress.get(text).await?, Vec::new());
                    while let Some(chunk) = answer.chunk().await? {
                        bytes.extend_from_slice(&chunk);
                        if bytes.len() > PICTURE {
                            return Err(Failure::of(
                                Symptom::Invalid,
                                "a picture of the job has more than 50 MB",
                            ));
                        }
                    }
                    *text = BASE64_STANDARD.encode(&bytes);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many images a whole generation makes, unless a script decides it.
fn expected(body: &Map<String, Value>) -> Option<u64> {
    let count = |name| body.get(name).and_then(Value::as_u64).unwrap_or(1);
    let scripted = ["script_name", "alwayson_scripts"].iter().any(|it| body.contains_key(*it));
    (!scripted).then(|| count("batch_size") * count("n_iter"))
}

/// Where the images begin: there may be a grid of them before.
fn first(info: &Map<String, Value>) -> usize {
    let first = info.get("index_of_first_image").and_then(Value::as_u64);
    first.and_then(|it| usize::try_from(it).ok()).unwrap_or(0)
}

/// The images, and what is known of how they were made.
async fn stored(task: &Task, answer: &Answer, info: &Map<String, Value>) -> Result<Value, Failure> {
    let malformed = |what: &str| Failure::of(Symptom::Malformed, format!("Automatic1111's answer {what}"));
    let mut stored = Vec::new();
    for (at, image) in answer.images.iter().skip(first(info)).enumerate() {
        let text = image.rsplit(',').next().unwrap_or(image);
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| malformed("has an image that is no base64"))?;
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

/// The answer if it is a success; else what it means. A sampler that is not there is 404 in old versions and 400 in new
/// ones; a card without memory is a 500 like any other, told by its words.
async fn judged(answer: Response, doing: &str) -> Result<Response, Failure> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let failure = http::refused(answer, doing).await;
    let memory = http::out_of_memory(&failure.message);
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
                "type": "array", "minItems": 1, "maxItems": PICTURES,
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
            let answer = self.get("sdapi/v1/memory")?.send().await.map_err(|it| http::failed(it, doing))?;
            judged(answer, doing).await?;
            // Without this nobody can say whose turn it is, and a job could not be stopped.
            let doing = "asking Automatic1111 for the progress of a generation, which it tells unless started with --nowebui";
            let answer = self.post("internal/progress", &json!({ "id_task": "" }))?.timeout(SHORT).send().await;
            judged(answer.map_err(|it| http::failed(it, doing))?, doing).await.map(drop)
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
