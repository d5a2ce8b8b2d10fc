//! Replicate: models behind one API, by polling.
//!
//! Protocol: replicate.com/docs/reference/http and the official client. The deadline of a job is told (`Cancel-After`), so that a
//! prediction whose worker is lost ends too. What it made is fetched at once: it is deleted after an hour.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use spec::env::Secret;

use super::remote::{Files, Phase, Remote, by_logs, failed};
use crate::connector::{Connector, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Symptom};
use crate::http::Waits;
use crate::payload::Payload;
use crate::vars::Vars;

mod webhook;

pub use webhook::{Unsigned, verify};

const BASE: &str = "https://api.replicate.com/v1";
/// Where outputs are, as replicate.com/docs/topics/predictions/output-files has it.
const FILES: Files = Files::Of("replicate.delivery");

/// The connector.
#[derive(Debug)]
pub struct Replicate {
    remote: Remote,
    payload: Payload,
}

impl Replicate {
    /// The API at `base`, with a token and the guard for addresses of outputs.
    pub fn new(base: Url, token: Secret<String>, egress: Egress) -> Self {
        let payload = Payload::new(json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "A prediction on Replicate: a version, or an official model by its name",
            "type": "object",
            "required": ["input"],
            "oneOf": [{ "required": ["version"] }, { "required": ["model"] }],
            "additionalProperties": false,
            "properties": {
                "version": { "type": "string", "minLength": 1 },
                "model": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$" },
                "input": { "type": "object" }
            }
        }));
        Self { remote: Remote::new("Replicate", base, token, egress, FILES), payload }
    }

    /// The same with other waits: 2 min of silence, and 500 ms before the first look.
    #[must_use]
    pub fn waiting(self, waits: Waits) -> Self {
        Self { remote: self.remote.waiting(waits), ..self }
    }

    pub(crate) fn build(vars: &mut Vars<'_>, egress: Egress) -> Self {
        let token = vars.required_secret("REPLICATE_API_TOKEN", "the token of the Replicate API");
        let base =
            vars.url("REPLICATE_BASE_URL").unwrap_or_else(|| Url::parse(BASE).expect("it is an address"));
        Self::new(base, token, egress)
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let (remote, job) = (&self.remote, &task.job.payload);
        let (path, body) = match job["model"].as_str() {
            Some(model) => (format!("models/{model}/predictions"), json!({ "input": job["input"] })),
            None => ("predictions".into(), json!({ "version": job["version"], "input": job["input"] })),
        };
        let request = remote.request(Method::POST, &path)?.json(&body);
        let request = request.header("Cancel-After", format!("{}s", task.time.as_secs().max(5)));
        let created = remote.create(task, request).await?;
        let id = created["id"]
            .as_str()
            .filter(|it| it.bytes().all(|it| it.is_ascii_alphanumeric()) && !it.is_empty());
        let id = id
            .ok_or_else(|| Failure::of(Symptom::Malformed, "Replicate: a prediction without an id"))?
            .to_owned();
        let look = || remote.request(Method::GET, &format!("predictions/{id}"));
        let cancel = || remote.request(Method::POST, &format!("predictions/{id}/cancel"));
        let output = remote.follow(task, look, cancel, phase).await?;
        task.unless_stopped(remote.stored(task, output)).await?
    }
}

/// How a prediction is. A state of a later version is over if it says when.
fn phase(found: &mut Value) -> Phase {
    let failed =
        |word: &str| failed(Symptom::Failed, &format!("Replicate: the prediction {word}"), &found["error"]);
    match found["status"].as_str().unwrap_or_default() {
        "succeeded" => {
            Phase::Succeeded(json!({ "output": found["output"].take(), "metrics": found["metrics"].take() }))
        }
        "failed" => failed("failed"),
        "aborted" => failed("was aborted before it began"),
        "canceled" => Phase::Ended,
        other if found["completed_at"].is_string() => failed(&format!("ended as `{other}`")),
        _ => Phase::Under(by_logs(found["logs"].as_str().unwrap_or_default())),
    }
}

impl Connector for Replicate {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "replicate").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async {
            self.remote
                .ask(self.remote.request(Method::GET, "account")?, "asking for the account")
                .await
                .map(drop)
        }
        .boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.work(task).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_prediction_is_known_and_a_new_one_is_over_if_it_says_so() {
        let table = [
            (json!({ "status": "starting" }), "Under(0.0)"),
            (json!({ "status": "processing", "logs": " 30%|███" }), "Under(30.0)"),
            (json!({ "status": "canceled" }), "Ended"),
            (json!({ "status": "thinking" }), "Under(0.0)"),
        ];
        for (mut found, expected) in table {
            assert_eq!(format!("{:?}", phase(&mut found)), expected);
        }
        for status in ["failed", "aborted", "evaporated"] {
            let mut found =
                json!({ "status": status, "error": "words", "completed_at": "2026-01-01T00:00:00Z" });
            let Phase::Failed(failure) = phase(&mut found) else { panic!("{status} is no failure") };
            assert!(failure.message.ends_with("words"), "{failure}");
        }
        let done =
            phase(&mut json!({ "status": "succeeded", "output": "x", "metrics": { "predict_time": 1 } }));
        assert_eq!(done, Phase::Succeeded(json!({ "output": "x", "metrics": { "predict_time": 1 } })));
    }
}
