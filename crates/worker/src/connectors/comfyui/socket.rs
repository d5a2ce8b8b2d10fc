//! The WebSocket on which a server tells a client how its prompts are going.
//!
//! It is opened by the same client as everything else, so that its TLS, its credentials and its errors are the same.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Method, StatusCode, Upgraded};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::server::Server;
use crate::failure::{Failure, Symptom};
use crate::http;

/// The longest message. A preview of some size is a PNG of many megabytes.
const MESSAGE: usize = 64 << 20;
/// For the connection to be made.
const OPEN: Duration = Duration::from_secs(10);

/// What came, or did not.
#[derive(Debug)]
pub(super) enum Heard {
    Text(Value),
    Binary(Bytes),
    /// Nothing for the time that was given; the server was asked for a sign of life.
    Silence,
    /// The connection is no more.
    Cut,
}

pub(super) struct Socket {
    stream: WebSocketStream<Upgraded>,
    /// A ping was sent, and nothing has come since.
    asked: bool,
}

impl Socket {
    /// Opens it under a name that the server then knows the client by.
    pub(super) async fn open(server: &Server, client_id: &str) -> Result<Self, Failure> {
        let doing = "opening the WebSocket of ComfyUI";
        let late = |_| Failure::of(Symptom::Timeout, format!("{doing}: no answer in {} s", OPEN.as_secs()));
        timeout(OPEN, Self::connect(server, client_id, doing)).await.map_err(late)?
    }

    async fn connect(server: &Server, client_id: &str, doing: &str) -> Result<Self, Failure> {
        let key = generate_key();
        let headers: [(HeaderName, &str); 4] = [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, &key),
        ];
        let request = server.request(Method::GET, &["ws"], &[("clientId", client_id)])?;
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.map_err(|it| http::failed(it, doing))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let answer = http::accepted(answer, doing).await?;
            return Err(Failure::of(Symptom::Malformed, format!("{doing}: {}", answer.status())));
        }
        // RFC 6455, 4.2.2: the proof that it was a WebSocket server that agreed.
        let proof = derive_accept_key(key.as_bytes());
        if answer.headers().get(SEC_WEBSOCKET_ACCEPT).is_none_or(|it| it != proof.as_str()) {
            return Err(Failure::of(
                Symptom::Malformed,
                format!("{doing}: the answer is of another protocol"),
            ));
        }
        let upgraded = answer.upgrade().await.map_err(|it| http::failed(it, doing))?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
        Ok(Self { stream, asked: false })
    }

    /// Sends a document.
    pub(super) async fn say(&mut self, document: &Value) -> Result<(), Failure> {
        let sent = self.stream.send(Message::text(document.to_string())).await;
        sent.map_err(|it| Failure::of(Symptom::Cut, format!("speaking with ComfyUI: {it}")))
    }

    /// What comes next; after `silence` of which the server answered no ping either, [`Heard::Cut`].
    pub(super) async fn hear(&mut self, silence: Duration) -> Heard {
        loop {
            let Ok(next) = timeout(silence, self.stream.next()).await else {
                let dead = self.asked || self.stream.send(Message::Ping(Bytes::new())).await.is_err();
                self.asked = true;
                return if dead { Heard::Cut } else { Heard::Silence };
            };
            self.asked = false;
            match next {
                // What is no document is of no meaning to us, as are messages of kinds that we do not know.
                Some(Ok(Message::Text(text))) => {
                    return Heard::Text(serde_json::from_str(text.as_str()).unwrap_or(Value::Null));
                }
                Some(Ok(Message::Binary(bytes))) => return Heard::Binary(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Heard::Cut,
            }
        }
    }
}
