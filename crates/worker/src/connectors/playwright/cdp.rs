//! One connection to a browser by the Chrome `DevTools` Protocol: calls, and what is heard meanwhile.
//!
//! Nothing runs beside it: whoever calls also listens, so a connection that is dropped is closed, and with it the browser
//! disposes of the contexts that were made through it. Protocol: <https://chromedevtools.github.io/devtools-protocol/>.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::failure::{Failure, Symptom};

/// For calls that only the browser itself has to do.
pub(super) const PROMPT: Duration = Duration::from_secs(5);
/// Between two looks at what has to come to an end.
const LOOK: Duration = Duration::from_millis(20);
/// The longest message: a screenshot comes in one.
const MESSAGE: usize = 64 << 20;

/// A connection.
pub(super) struct Cdp {
    socket: WebSocketStream<TcpStream>,
    last: u64,
    /// What was heard about the page that this connection drives.
    pub(super) heard: Heard,
}

/// What events have told about a page.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The id of its main frame.
    pub(super) frame: String,
    /// The document that it shows, by the id of its loader.
    pub(super) shown: String,
    /// The document that was last completely there.
    loaded: String,
    /// It is about to go elsewhere.
    leaving: bool,
    /// Why it will do nothing any more.
    lost: Option<&'static str>,
}

impl Heard {
    /// Whether the document that is shown is there with everything in it.
    pub(super) fn is_loaded(&self) -> bool {
        !self.leaving && self.loaded == self.shown
    }

    fn event(&mut self, method: &str, it: &Value) {
        let ours = |frame: &Value| *frame == self.frame;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match method {
            "Page.frameRequestedNavigation" if ours(&it["frameId"]) && it["disposition"] == "currentTab" => {
                self.leaving = true;
            }
            "Page.frameNavigated" if ours(&it["frame"]["id"]) => {
                self.shown = text(&it["frame"]["loaderId"]);
                self.leaving = false;
            }
            // It stays where it is: a fragment, a download, or nothing to show.
            "Page.navigatedWithinDocument" | "Page.frameStoppedLoading" if ours(&it["frameId"]) => {
                self.leaving = false;
            }
            "Page.lifecycleEvent" if ours(&it["frameId"]) && it["name"] == "load" => {
                self.loaded = text(&it["loaderId"]);
            }
            "Inspector.targetCrashed" => self.lost = Some("the page crashed"),
            "Target.detachedFromTarget" => self.lost = Some("the page is closed"),
            _ => {}
        }
    }
}

impl Cdp {
    /// Connects to a browser at the address of its `WebSocket`.
    pub(super) async fn connect(url: &Url) -> Result<Self, Failure> {
        let doing = |it: &dyn std::error::Error| format!("connecting to the browser: {it}");
        let connecting = async {
            let at = url.socket_addrs(|| None).map_err(|it| Failure::permanent(doing(&it)))?;
            let stream = TcpStream::connect(&*at).await;
            let stream = stream.map_err(|it| Failure::of(Symptom::NoConnection, doing(&it)))?;
            let config =
                WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
            let shaken =
                tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(config)).await;
            shaken.map(|it| it.0).map_err(|it| Failure::of(Symptom::NoConnection, doing(&it)))
        };
        let socket = tokio::time::timeout(PROMPT, connecting).await.map_err(|_| {
            Failure::of(Symptom::NoConnection, "connecting to the browser: no answer in time")
        })??;
        Ok(Self { socket, last: 0, heard: Heard::default() })
    }

    /// The answer to a call, to the browser or to a session with one of its pages.
    pub(super) async fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
        until: Instant,
    ) -> Result<Value, Failure> {
        let id = self.send(session, method, parameters, until).await?;
        loop {
            let mut message = self.next(until).await?.ok_or_else(|| {
                Failure::of(Symptom::Timeout, format!("the browser did not answer `{method}` in time"))
            })?;
            if message["id"] == id {
                let words = message["error"]["message"].as_str();
                return match words {
                    Some(words) => {
                        Err(Failure::of(Symptom::Failed, format!("the browser's `{method}`: {words}")))
                    }
                    None => Ok(message["result"].take()),
                };
            }
            // The browser itself answers whatever becomes of a page.
            if let Some(lost) = self.heard.lost.filter(|_| session.is_some()) {
                return Err(Failure::of(Symptom::Failed, lost));
            }
        }
    }

    /// Listens until something was heard, or until then. Whether there is time left.
    pub(super) async fn listen(&mut self, until: Instant) -> Result<bool, Failure> {
        let heard = self.next(until).await?;
        match self.heard.lost {
            Some(lost) => Err(Failure::of(Symptom::Failed, lost)),
            None => Ok(heard.is_some()),
        }
    }

    /// The next message; `None` if there is none before then.
    async fn next(&mut self, until: Instant) -> Result<Option<Value>, Failure> {
        let cut = |why: String| Failure::of(Symptom::Cut, format!("the browser is gone: {why}"));
        loop {
            let message = match timeout_at(until, self.socket.next()).await {
                Err(_) => return Ok(None),
                Ok(None) => return Err(cut("it closed the connection".into())),
                Ok(Some(message)) => message.map_err(|it| cut(it.to_string()))?,
            };
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(text.as_str())
                .map_err(|it| Failure::of(Symptom::Malformed, format!("the browser's message: {it}")))?;
            if let Some(method) = message["method"].as_str() {
                if method == "Page.javascriptDialogOpening" {
                    // Nobody is there to read it, and the page waits. It may leave, but nothing else is agreed to.
                    let accept = message["params"]["type"] == "beforeunload";
                    let session = message["sessionId"].as_str();
                    let answer = json!({ "accept": accept });
                    self.send(session, "Page.handleJavaScriptDialog", answer, until).await?;
                }
                self.heard.event(method, &message["params"]);
            }
            return Ok(Some(message));
        }
    }

    async fn send(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
        until: Instant,
    ) -> Result<u64, Failure> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        match timeout_at(until, self.socket.send(Message::text(message.to_string()))).await {
            Ok(Ok(())) => Ok(self.last),
            Ok(Err(error)) => Err(Failure::of(Symptom::Cut, format!("the browser is gone: {error}"))),
            Err(_) => {
                Err(Failure::of(Symptom::Timeout, format!("the browser did not take `{method}` in time")))
            }
        }
    }

    /// A context of its own, with cookies, storage and connections of its own, whose every connection goes through
    /// `proxy`. It ends with this connection at the latest.
    pub(super) async fn context(&mut self, proxy: &str) -> Result<String, Failure> {
        let until = Instant::now() + PROMPT;
        let wish = json!({
            "disposeOnDetach": true,
            "proxyServer": proxy,
            // Without this, Chromium goes to loopback addresses without a proxy.
            "proxyBypassList": "<-loopback>",
        });
        let made = self.call(None, "Target.createBrowserContext", wish, until).await?;
        let context = made["browserContextId"].as_str().unwrap_or_default().to_owned();
        let nothing = json!({ "behavior": "deny", "browserContextId": context });
        self.call(None, "Browser.setDownloadBehavior", nothing, until).await?;
        Ok(context)
    }

    /// Disposes of a context, if it is still there, and waits until the browser has nothing of it any more.
    pub(super) async fn dispose(&mut self, context: &str) -> Result<(), Failure> {
        let until = Instant::now() + PROMPT;
        let wish = json!({ "browserContextId": context });
        // Whether it was there is not asked: whether it is gone is.
        match self.call(None, "Target.disposeBrowserContext", wish, until).await {
            Err(failure) if failure.suspect => return Err(failure),
            Ok(_) | Err(_) => {}
        }
        loop {
            let contexts = self.call(None, "Target.getBrowserContexts", json!({}), until).await?;
            let targets = self.call(None, "Target.getTargets", json!({}), until).await?;
            let list = |it: &Value| it.as_array().cloned().unwrap_or_default();
            let alive = list(&contexts["browserContextIds"]).iter().any(|it| it == context)
                || list(&targets["targetInfos"]).iter().any(|it| it["browserContextId"] == context);
            if !alive {
                return Ok(());
            }
            if Instant::now() + LOOK > until {
                return Err(Failure::of(
                    Symptom::Timeout,
                    "the browser does not dispose of the job's context",
                ));
            }
            self.next(Instant::now() + LOOK).await?;
        }
    }
}
