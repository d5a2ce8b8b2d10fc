//! What services have in common that are asked for a prediction, and then asked again and again how it is.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;
use spec::env::Secret;
use tokio::time::sleep;

use crate::connector::Task;
use crate::egress::Egress;
use crate::failure::{Failure, Kind, Symptom};
use crate::http::{self, Waits};
use crate::outputs::Stored;

/// How long one waits, unless told otherwise.
const WAITS: Waits = Waits { idle: Duration::from_mins(2), pause: Duration::from_millis(500) };
/// The longest pause between two looks.
const LOOK_LONGEST: Duration = Duration::from_secs(5);
/// Looks that may fail in a row.
const LOOKS: u32 = 10;
/// Tries to create something that the service refuses for the moment.
const CREATES: u32 = 4;
/// The longest pause for which one waits here.
const LONGEST: Duration = Duration::from_mins(1);
/// Outputs of one prediction that are fetched.
const OUTPUTS: usize = 100;

/// A service of predictions.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    /// With a slash at its end.
    base: Url,
    token: Secret<String>,
    egress: Egress,
    /// For people.
    name: &'static str,
    files: Files,
    pause: Duration,
}

/// Which addresses in an output are files to be fetched. Only what is an address and nothing else is one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Files {
    /// Those of the API itself and of this host and all below it. Others may be what a language model said.
    Of(&'static str),
    /// Every one.
    All,
}

/// A call that failed, and the status if there was an answer.
struct Miss {
    status: Option<u16>,
    failure: Failure,
}

/// How a prediction is.
#[derive(Debug, PartialEq)]
pub(super) enum Phase {
    /// It is not over; how far it is, in percent.
    Under(f64),
    /// It is done, and this is what it made.
    Succeeded(Value),
    /// It is over.
    Failed(Failure),
    /// It was ended by someone.
    Ended,
}

impl Remote {
    pub fn new(name: &'static str, base: Url, token: Secret<String>, egress: Egress, files: Files) -> Self {
        let (client, base, pause) = (http::client(WAITS.idle), http::folder(base), WAITS.pause);
        Self { client, base, token, egress, name, files, pause }
    }

    pub fn waiting(self, waits: Waits) -> Self {
        Self { client: http::client(waits.idle), pause: waits.pause, ..self }
    }

    /// A request to a path below the base. Paths in answers are not followed: they are somebody else's text.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path).map_err(|it| Failure::permanent(it.to_string()))?;
        Ok(self.client.request(method, url).bearer_auth(self.token.expose()))
    }

    /// Sends a request once, and reads its answer.
    pub async fn ask(&self, request: RequestBuilder, what: &str) -> Result<Value, Failure> {
        self.call(request, what).await.map_err(|it| it.failure)
    }

    async fn call(&self, request: RequestBuilder, what: &str) -> Result<Value, Miss> {
        let doing = format!("{}: {what}", self.name);
        let answer = request.send().await;
        let answer = answer.map_err(|it| Miss { status: None, failure: http::failed(it, &doing) })?;
        let status = Some(answer.status().as_u16());
        let read = async { http::json(http::accepted(answer, &doing).await?, &doing).await };
        read.await.map_err(|failure| Miss { status, failure })
    }

    /// Creates a prediction. A creation has no key by which a second one would be known, so it is tried again only if
    /// the service has surely not begun: it refused, or was not reached. For the same reason it is not left when the job
    /// has to stop: what is created then has to be known, to be cancelled.
    pub async fn create(&self, task: &Task, request: RequestBuilder) -> Result<Value, Failure> {
        let again =
            || request.try_clone().ok_or_else(|| Failure::permanent("a request that cannot be sent twice"));
        let mut tried = 1;
        loop {
            let Miss { status, failure } = match self.call(again()?, "creating a prediction").await {
                Ok(created) => return Ok(created),
                Err(miss) => miss,
            };
            let refused = status == Some(429) || failure.kind == Kind::Service;
            let pause = failure.retry_after.unwrap_or(self.pause * tried);
            if !refused || failure.kind == Kind::Permanent || tried == CREATES || pause > LONGEST {
                return Err(failure);
            }
            task.unless_stopped(sleep(pause)).await?;
            tried += 1;
        }
    }

    /// Asks until the prediction is over. When the job has to stop, `cancel` is sent, and asked on until it has ended.
    pub async fn follow(
        &self,
        task: &Task,
        look: impl Fn() -> Result<RequestBuilder, Failure>,
        cancel: impl Fn() -> Result<RequestBuilder, Failure>,
        phase: impl Fn(&mut Value) -> Phase,
    ) -> Result<Value, Failure> {
        let (mut pause, mut missed, mut furthest) = (self.pause, 0, 0_f64);
        let (mut stopping, mut cancelled) = (false, false);
        loop {
            if stopping {
                sleep(self.pause).await;
            } else {
                stopping = task.unless_stopped(sleep(pause)).await.is_err();
            }
            if stopping && !cancelled {
                cancelled = self.ask(cancel()?, "cancelling").await.is_ok();
            }
            let mut found = match self.call(look()?, "asking how a prediction is").await {
                Ok(found) => found,
                Err(Miss { status: Some(404), failure }) => {
                    return Err(Failure::of(Symptom::Forgotten, failure.message));
                }
                Err(Miss { failure, .. }) if failure.kind == Kind::Permanent => return Err(failure),
                Err(Miss { failure, .. }) => {
                    missed += 1;
                    if missed == LOOKS {
                        // Nobody will ask for it any more.
                        let _ = self.ask(cancel()?, "cancelling").await;
                        return Err(Failure { kind: Kind::Retryable, ..failure }.suspect());
                    }
                    pause = failure.retry_after.unwrap_or(pause).min(LONGEST);
                    continue;
                }
            };
            missed = 0;
            match phase(&mut found) {
                Phase::Under(percent) => {
                    furthest = furthest.max(percent);
                    task.progress(furthest, "running");
                    pause = pause.mul_f64(1.2).min(LOOK_LONGEST);
                }
                Phase::Succeeded(output) => return Ok(output),
                Phase::Failed(failure) => return Err(failure),
                Phase::Ended if stopping => return Err(Failure::stopped()),
                Phase::Ended => {
                    return Err(Failure::of(
                        Symptom::Failed,
                        format!("{}: someone cancelled the prediction", self.name),
                    ));
                }
            }
        }
    }

    /// An output with every file in it fetched and stored: what is behind its address is gone within the hour.
    pub async fn stored(&self, task: &Task, output: Value) -> Result<Value, Failure> {
        let (mut output, mut at) = (output, 0);
        let mut open = vec![&mut output];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(list) => open.extend(list.iter_mut().rev()),
                Value::Object(members) => open.extend(members.values_mut()),
                Value::String(text) if self.is_file(text) => {
                    if at == OUTPUTS {
                        return Err(Failure::of(
                            Symptom::Malformed,
                            format!("a prediction with more than {OUTPUTS} outputs"),
                        ));
                    }
                    let stored = match http::data_url(text) {
                        Some(Ok(bytes)) => task.outputs.put(&at.to_string(), &bytes).await?,
                        // It only begins like one.
                        Some(Err(_)) => continue,
                        None => self.fetched(task, at, text).await?,
                    };
                    *value = serde_json::json!(stored);
                    at += 1;
                }
                _ => {}
            }
        }
        task.outputs.fit(output, "output.json").await
    }

    fn is_file(&self, text: &str) -> bool {
        if text.starts_with("data:") {
            return true;
        }
        let Ok(url) = Url::parse(text) else { return false };
        let Some(host) = url.host_str() else { return false };
        let whole = !text.contains(char::is_whitespace) && matches!(url.scheme(), "http" | "https");
        let ours = match self.files {
            Files::All => true,
            Files::Of(files) => {
                Some(host) == self.base.host_str()
                    || host.strip_suffix(files).is_some_and(|it| it.is_empty() || it.ends_with('.'))
            }
        };
        whole && ours
    }

    async fn fetched(&self, task: &Task, at: usize, address: &str) -> Result<Stored, Failure> {
        let name = Url::parse(address).ok().and_then(|it| Some(it.path_segments()?.next_back()?.to_owned()));
        let mut answer = self.egress.get(address).await?;
        let mut file = task.outputs.file(&format!("{at}-{}", name.unwrap_or_default()));
        while let Some(chunk) = answer.chunk().await? {
            file.write(&chunk).await?;
        }
        file.finish().await
    }
}

/// What a service says that a prediction failed of. The memory of somebody else's machine puts no service in doubt.
pub(super) fn failed(symptom: Symptom<'_>, doing: &str, words: &Value) -> Phase {
    let words = match words {
        Value::Null => "it does not say why".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let symptom = if http::out_of_memory(&words) { Symptom::OutOfMemory } else { symptom };
    Phase::Failed(Failure { suspect: false, ..Failure::of(symptom, format!("{doing}: {words}")) })
}

/// How far a prediction is by its logs: the last `NN%|` in them, which is how tqdm writes.
pub(super) fn by_logs(logs: &str) -> f64 {
    let before = logs.rmatch_indices("%|").find_map(|(at, _)| {
        let digits: String = logs[..at].chars().rev().take_while(char::is_ascii_digit).collect();
        digits.chars().rev().collect::<String>().parse::<f64>().ok()
    });
    before.unwrap_or(0.0).min(99.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_bar_of_the_logs() {
        for (logs, percent) in [
            ("", 0.0),
            ("Using seed: 7\n", 0.0),
            ("  5%|▌ | 1/20\n 50%|█████ | 10/20\r 55%|█████▌ | 11/20", 55.0),
            ("100%|██████████| 20/20", 99.0),
            ("%|", 0.0),
        ] {
            assert_eq!(by_logs(logs).to_bits(), f64::to_bits(percent), "{logs}");
        }
    }
}
