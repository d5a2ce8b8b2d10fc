//! One ComfyUI server, call by call.
//!
//! Its answers say less than their status: an interrupt and a deletion are answered with 200 whether they met something
//! or not, and a prompt that is unknown has an empty history. So nothing is believed but the history and the queue.

use std::time::Duration;

use futures_util::Stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spec::env::Secret;

use super::history::{Entry, validation};
use crate::failure::{Failure, Symptom};
use crate::http;

/// For short questions.
const CALL: Duration = Duration::from_secs(30);
/// The longest silence of the server while it answers.
const IDLE: Duration = Duration::from_mins(1);

/// What a prompt that is not over is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// So many are before it.
    Queued(usize),
    /// It is being executed, and nothing else is.
    Running,
    /// It is neither in the queue nor in the history. A deleted one looks like this, and so does everything after a start.
    Absent,
}

/// The address of a server, and how it is spoken to.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    /// May hold a user and a password.
    base: Secret<Url>,
    token: Option<Secret<String>>,
}

/// `[number, id, prompt, extra data, outputs]`.
type Queued = (f64, String, Value, Value, Value);

#[derive(Deserialize)]
struct Queue {
    queue_running: Vec<Queued>,
    queue_pending: Vec<Queued>,
}

/// A prompt that the server has taken.
#[derive(Deserialize)]
struct Taken {
    #[serde(default)]
    node_errors: Map<String, Value>,
}

/// Where the server put an input.
#[derive(Deserialize)]
pub(super) struct Uploaded {
    name: String,
    #[serde(default)]
    subfolder: String,
}

impl Uploaded {
    /// As nodes name it.
    pub(super) fn path(self) -> String {
        if self.subfolder.is_empty() { self.name } else { format!("{}/{}", self.subfolder, self.name) }
    }
}

impl Server {
    pub(super) fn new(base: Url, token: Option<Secret<String>>) -> Self {
        Self { client: http::client(IDLE), base: Secret::new(http::folder(base)), token }
    }

    /// A request to this path, with these in its query.
    pub(super) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder, Failure> {
        let mut url = self.base.expose().clone();
        let no_folder = |()| Failure::permanent("the address of ComfyUI cannot have anything below it");
        url.path_segments_mut().map_err(no_folder)?.pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // A user and a password in the address become a header here; they are not sent in the address.
        let request = self.client.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }

    async fn call(
        &self,
        doing: &str,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let mut request = self.request(method, path, &[])?.timeout(CALL);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|it| http::failed(it, doing))?;
        http::accepted(answer, doing).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, doing: &str, path: &[&str]) -> Result<T, Failure> {
        http::json(self.call(doing, Method::GET, path, None).await?, doing).await
    }

    pub(super) async fn check(&self) -> Result<(), Failure> {
        self.get::<Value>("asking ComfyUI for its state", &["system_stats"]).await.map(drop)
    }

    /// Hands a prompt over. Nodes with errors are a failure even if the server runs the rest: what the job asked for will
    /// not be there. That rest is then in the queue.
    pub(super) async fn submit(&self, body: &Value) -> Result<(), Failure> {
        let doing = "handing the workflow to ComfyUI";
        let request = self.request(Method::POST, &["prompt"], &[])?.json(body);
        let answer = request.send().await.map_err(|it| http::failed(it, doing))?;
        if answer.status() == StatusCode::BAD_REQUEST {
            return Err(match http::json::<Value>(answer, doing).await {
                Ok(said) => Failure::of(Symptom::Invalid, validation(&said)),
                Err(_) => Failure::of(Symptom::Status(400, None), format!("{doing}: it was refused")),
            });
        }
        let answer = http::accepted(answer, doing).await?;
        let taken: Taken = http::json(answer, doing).await?;
        if taken.node_errors.is_empty() {
            return Ok(());
        }
        Err(Failure::of(Symptom::Invalid, validation(&json!({ "node_errors": taken.node_errors }))))
    }

    /// What the history says of a prompt, once it is over.
    pub(super) async fn history(&self, id: &str) -> Result<Option<Entry>, Failure> {
        let mut all: Map<String, Value> =
            self.get("asking ComfyUI for its history", &["history", id]).await?;
        let entry = all.remove(id).map(serde_json::from_value).transpose();
        entry.map_err(|it| {
            Failure::of(Symptom::Malformed, format!("the history of ComfyUI is not of its form: {it}"))
        })
    }

    /// Where a prompt is in the queue.
    pub(super) async fn place(&self, id: &str) -> Result<Place, Failure> {
        let queue: Queue = self.get("asking ComfyUI for its queue", &["queue"]).await?;
        if queue.queue_running.iter().any(|it| it.1 == id) {
            return Ok(Place::Running);
        }
        // A heap, not in the order of execution; what is to be first has a negative number.
        let Some(own) = queue.queue_pending.iter().find(|it| it.1 == id) else { return Ok(Place::Absent) };
        let before = queue.queue_pending.iter().filter(|it| it.0 < own.0).count();
        Ok(Place::Queued(before + queue.queue_running.len()))
    }

    /// Takes a prompt out of the queue if it has not begun.
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let body = json!({ "delete": [id] });
        self.call("taking the job out of the queue", Method::POST, &["queue"], Some(&body)).await.map(drop)
    }

    /// Interrupts a prompt if it is the one that runs. Without its id somebody else's would be hit.
    pub(super) async fn interrupt(&self, id: &str) -> Result<(), Failure> {
        let body = json!({ "prompt_id": id });
        self.call("interrupting the job", Method::POST, &["interrupt"], Some(&body)).await.map(drop)
    }

    /// A file that a prompt has made.
    pub(super) async fn view(&self, file: &super::history::Named) -> Result<Response, Failure> {
        let doing = format!("fetching the output `{}`", file.filename);
        let query = [
            ("filename", file.filename.as_str()),
            ("subfolder", file.subfolder.as_str()),
            ("type", file.folder.as_str()),
        ];
        let answer = self.request(Method::GET, &["view"], &query)?.send().await;
        let answer = answer.map_err(|it| http::failed(it, &doing))?;
        if answer.status() == StatusCode::NOT_FOUND {
            // Of a prompt that was not executed because the server knew its result, and somebody deleted the file.
            return Err(Failure::of(Symptom::Failed, format!("{doing}: it is not there any more")));
        }
        http::accepted(answer, &doing).await
    }

    /// Uploads an input, a part at a time. A file of the same name and other content stays, and ours gets another name.
    pub(super) async fn upload(
        &self,
        name: &str,
        parts: impl Stream<Item = Result<Vec<u8>, Failure>> + Send + 'static,
    ) -> Result<Uploaded, Failure> {
        let doing = format!("uploading the input `{name}`");
        let part = Part::stream(Body::wrap_stream(parts)).file_name(name.to_owned());
        let form = Form::new().part("image", part);
        let request = self.request(Method::POST, &["upload", "image"], &[])?.multipart(form);
        let answer =
            request.send().await.map_err(|it| fetching(&it).unwrap_or_else(|| http::failed(it, &doing)))?;
        http::json(http::accepted(answer, &doing).await?, &doing).await
    }
}

/// The failure to fetch what was to be sent, among the causes of an error.
fn fetching(error: &reqwest::Error) -> Option<Failure> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure.clone());
        }
        cause = error.source();
    }
    None
}
