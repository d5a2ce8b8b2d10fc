//! What all connectors that speak HTTP share: one client, and what its errors mean.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Failure, Symptom};

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Of an error's body, what is read.
const ERROR_BODY: usize = 64 << 10;
/// Of an error's text, what is told.
const WORDS: usize = 2_000;
/// The longest answer that is held in memory.
const ANSWER: usize = 64 << 20;

/// How long a connector waits for its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The longest silence before an answer, and between two parts of one.
    pub idle: Duration,
    /// The first pause between two looks at a job, or before a call is tried again; it grows.
    pub pause: Duration,
}

/// TLS with the roots of the system; the same for every client of this crate.
pub(crate) fn tls() -> rustls::ClientConfig {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("ring knows the versions of TLS");
    builder.with_platform_verifier().expect("the roots of the system can be looked up").with_no_client_auth()
}

/// A client for the service that a worker is for, whose address its operator has set. It goes where it is told, follows no
/// redirect and asks no proxy. An answer may take as long as the job; silence between two parts of it may last `idle`.
pub fn client(idle: Duration) -> Client {
    let builder = base().read_timeout(idle).redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client with these settings can be made")
}

/// The beginnings of a client for addresses that are somebody else's, which takes no longer than `time`.
pub(crate) fn guarded(time: Duration) -> ClientBuilder {
    base().timeout(time)
}

fn base() -> ClientBuilder {
    let builder = Client::builder().tls_backend_preconfigured(tls()).connect_timeout(CONNECT);
    builder.no_proxy().user_agent(concat!("roster/", env!("CARGO_PKG_VERSION")))
}

/// The address with a slash at its end, so that what is joined to it comes below it.
pub(crate) fn folder(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

/// What an error of the client means. Its address is left out: it may hold a key. What the client calls a fault of
/// decoding is a body that broke off: documents are read by [`json`].
pub(crate) fn failed(error: reqwest::Error, doing: &str) -> Failure {
    let symptom = if error.is_connect() {
        Symptom::NoConnection
    } else if error.is_timeout() {
        Symptom::Timeout
    } else if error.is_builder() {
        Symptom::Invalid
    } else {
        Symptom::Cut
    };
    Failure::of(symptom, format!("{doing}: {}", chain(&error.without_url())))
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// The answer if it is a success; else a failure in the service's words.
pub(crate) async fn accepted(response: Response, doing: &str) -> Result<Response, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    Err(refused(response, doing).await)
}

/// What an answer that is no success means. Its words are looked for where services put them:
/// `{"error": {"message", "code"}}`, `{"error": "…"}`, `{"detail": …}`, `{"message": "…"}`, or else the text itself. An
/// `error` may be but a name, with what happened in `errors` or `detail`.
pub(crate) async fn refused(mut response: Response, doing: &str) -> Failure {
    let (status, pause) = (response.status(), retry_after(response.headers(), SystemTime::now()));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY - body.len())]);
        if body.len() == ERROR_BODY {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let document: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let (words, word) = words(&document);
    let words = words.unwrap_or_else(|| text.trim().to_owned());
    let words: String = words.chars().take(WORDS).collect();
    let symptom = Symptom::Status(status.as_u16(), word.as_deref());
    Failure::of(symptom, format!("{doing}: {status}: {words}")).after(pause)
}

/// The service's own message, and its own word for the error.
fn words(document: &Value) -> (Option<String>, Option<String>) {
    let said = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let error = &document["error"];
    let word = [&error["code"], &error["type"], &document["code"]]
        .into_iter()
        .find_map(|it| it.as_str().map(str::to_owned));
    if let Some(name) = error.as_str() {
        let more = [&document["errors"], &document["detail"]].into_iter().filter_map(Value::as_str);
        let words: Vec<&str> = [name].into_iter().chain(more.filter(|it| !it.is_empty()).take(1)).collect();
        return (Some(words.join(": ")), word);
    }
    let message = [&error["message"], error, &document["detail"], &document["message"], &document["errors"]];
    (message.into_iter().find_map(said), word)
}

/// Whether a service's words are about memory that it has not. They come with any status, and with none.
pub(crate) fn out_of_memory(words: &str) -> bool {
    ["OutOfMemoryError", "out of memory"].iter().any(|it| words.contains(it))
}

/// The bytes of a `data:` address (RFC 2397), or what is wrong with it; `None` if it is another address.
pub(crate) fn data_url(address: &str) -> Option<Result<Vec<u8>, &'static str>> {
    use base64::Engine as _;
    let data = address.strip_prefix("data:")?;
    let Some((_, text)) = data.split_once(";base64,") else {
        return Some(Err("is a data URL without `;base64,`"));
    };
    Some(base64::prelude::BASE64_STANDARD.decode(text).map_err(|_| "is no base64"))
}

/// How long a service asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let seconds =
        |text: &str| text.trim().parse::<f64>().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    if let Some(ms) = text("retry-after-ms").and_then(seconds) {
        return Some(ms / 1000);
    }
    let text = text(RETRY_AFTER.as_str())?;
    seconds(text).or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(now).ok())
}

/// The answer as a document, if it is not too long to be held in memory.
pub(crate) async fn json<T: DeserializeOwned>(mut response: Response, doing: &str) -> Result<T, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|it| failed(it, doing))? {
        if body.len() + chunk.len() > ANSWER {
            return Err(Failure::of(
                Symptom::Malformed,
                format!("{doing}: an answer of more than {ANSWER} bytes"),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    let malformed = |it: serde_json::Error| {
        Failure::of(Symptom::Malformed, format!("{doing}: the answer is not of its form: {it}"))
    };
    serde_json::from_slice(&body).map_err(malformed)
}

/// The longest line of an answer.
const LINE: usize = 16 << 20;

/// An answer, line by line.
pub(crate) struct Lines {
    answer: Response,
    buffer: Vec<u8>,
    /// Up to here there is no end of a line.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(answer: Response) -> Self {
        Self { answer, buffer: Vec::new(), searched: 0, ended: false }
    }

    /// The next line, without its end; `None` after the last. A last line without an end is one too. May be left and
    /// called again: nothing is lost.
    pub(crate) async fn next(&mut self, doing: &str) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|it| *it == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                line.pop();
                line.pop_if(|it| *it == b'\r');
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.ended {
                self.searched = 0;
                return Ok(Some(std::mem::take(&mut self.buffer)).filter(|it| !it.is_empty()));
            }
            if self.searched > LINE {
                return Err(Failure::of(
                    Symptom::Malformed,
                    format!("{doing}: a line of more than {LINE} bytes"),
                ));
            }
            match self.answer.chunk().await.map_err(|it| failed(it, doing))? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_words_of_a_service_are_found_where_services_put_them() {
        let table = [
            (json!({ "error": { "message": "no", "type": "t", "code": "c" } }), Some("no"), Some("c")),
            (json!({ "error": { "message": "no", "type": "t", "code": null } }), Some("no"), Some("t")),
            (json!({ "error": "OutOfMemoryError", "detail": "" }), Some("OutOfMemoryError"), None),
            (json!({ "error": "E", "detail": "", "errors": "it broke" }), Some("E: it broke"), None),
            (json!({ "error": "E", "detail": "not found", "errors": "" }), Some("E: not found"), None),
            (json!({ "detail": [{ "loc": ["body"] }] }), Some(r#"[{"loc":["body"]}]"#), None),
            (json!({ "message": "no" }), Some("no"), None),
            (json!("no"), None, None),
        ];
        for (document, message, word) in table {
            let found = words(&document);
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (message, word), "{document}");
        }
    }

    #[test]
    fn a_wish_to_be_left_alone_is_read_in_all_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let table = [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
        ];
        for (name, value, ms) in table {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), ms.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
