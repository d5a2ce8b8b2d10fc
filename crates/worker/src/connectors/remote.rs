//! What services have in common that are asked for a prediction, and then asked again and again how it is.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;
use spec::env::Secret;
use tokio::time::sleep;

use crate::connector::{Stop, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Kind, Symptom};
use crate::http;

/// The longest silence.
const IDLE: Duration = Duration::from_mins(2);
/// The first pause between two looks; it grows.
const LOOK_FIRST: Duration = Duration::from_millis(500);
/// The longest.
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
    pub base: Url,
    token: Secret<String>,
    pub egress: Egress,
    /// For people.
    name: &'static str,
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
    pub fn new(name: &'static str, base: Url, token: Secret<String>, egress: Egress) -> Self {
        Self { client: http::client(IDLE), base: http::folder(base), token, egress, name }
    }

    /// A request to a path below the base. Paths in answers are not followed: they are somebody else's text.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path).map_err(|it| Failure::permanent(it.to_string()))?;
        Ok(self.client.request(method, url).bearer_auth(self.token.expose()))
    }

    /// Sends a request once, and reads its answer.
    pub async fn ask(&self, request: RequestBuilder, what: &str) -> Result<Value, Failure> {
        let doing = format!("{}: {what}", self.name);
        let answer = request.send().await.map_err(|it| http::failed(it, &doing))?;
        http::json(http::accepted(answer, &doing).await?, &doing).await
    }

    /// Creates a prediction. A creation has no key by which a second one would be known, so it is tried again only if
    /// the service has surely not begun: it refused, or was not reached.
    pub async fn create(&self, task: &Task, request: RequestBuilder) -> Result<Value, Failure> {
        let again =
            || request.try_clone().ok_or_else(|| Failure::permanent("a request that cannot be sent twice"));
        for tried in 1.. {
            let failure = match task.unless_stopped(self.ask(again()?, "creating a prediction")).await? {
                Ok(created) => return Ok(created),
                Err(failure) => failure,
            };
            let refused = failure.message.contains(": 429 ") || failure.kind == Kind::Service;
            let pause = failure.retry_after.unwrap_or(LOOK_FIRST * tried);
            if !refused || failure.kind == Kind::Permanent || tried == CREATES || pause > LONGEST {
                return Err(failure);
            }
            task.unless_stopped(sleep(pause)).await?;
        }
        Err(Failure::stopped())
    }

    /// Asks until the prediction is over. When the job has to stop, `cancel` is sent, and asked on until it has ended.
    pub async fn follow(
        &self,
        task: &Task,
        look: impl Fn() -> Result<RequestBuilder, Failure>,
        cancel: impl Fn() -> Result<RequestBuilder, Failure>,
        phase: impl Fn(&mut Value) -> Phase,
    ) -> Result<Value, Failure> {
        let (mut pause, mut missed, mut furthest) = (LOOK_FIRST, 0, 0_f64);
        let mut stopping: Option<Stop> = None;
        loop {
            if stopping.is_some() {
                sleep(LOOK_FIRST).await;
            } else if let Err(why) = task.unless_stopped(sleep(pause)).await {
                stopping = Some(why);
                // What could not be cancelled now may be over at the next look; if it is not, the loop gives up.
                let _ = self.ask(cancel()?, "cancelling").await;
            }
            let found = self.ask(look()?, "asking how a prediction is").await;
            let mut found = match found {
                Ok(found) => found,
                Err(failure) if failure.kind == Kind::Permanent => return Err(failure),
                Err(failure) => {
                    missed += 1;
                    if missed == LOOKS {
                        return Err(Failure { kind: Kind::Retryable, ..failure });
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
                Phase::Ended if stopping.is_some() => return Err(Failure::stopped()),
                Phase::Ended => {
                    return Err(Failure::of(
                        Symptom::Failed,
                        format!("{}: someone cancelled the prediction", self.name),
                    ));
                }
            }
        }
    }

    /// An output with every address in it fetched and stored: what is behind them is gone within the hour.
    pub async fn stored(&self, task: &Task, output: Value) -> Result<Value, Failure> {
        let (mut output, mut at) = (output, 0);
        let mut open = vec![&mut output];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(list) => open.extend(list.iter_mut().rev()),
                Value::Object(members) => open.extend(members.values_mut()),
                Value::String(text) if text.starts_with("https://") || text.starts_with("http://") => {
                    if at == OUTPUTS {
                        return Err(Failure::of(
                            Symptom::Malformed,
                            format!("a prediction with more than {OUTPUTS} outputs"),
                        ));
                    }
                    let name = Url::parse(text)
                        .ok()
                        .and_then(|it| Some(it.path_segments()?.next_back()?.to_owned()));
                    let (mut answer, mut file) = (
                        self.egress.get(text).await?,
                        task.outputs.file(&format!("{at}-{}", name.unwrap_or_default())),
                    );
                    while let Some(chunk) = answer.chunk().await? {
                        file.write(&chunk).await?;
                    }
                    *value = serde_json::json!(file.finish().await?);
                    at += 1;
                }
                _ => {}
            }
        }
        task.outputs.fit(output, "output.json").await
    }
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
