//! ComfyUI: workflows of nodes, on this machine or elsewhere.
//!
//! Protocol: `server.py` and `execution.py` of Comfy-Org/ComfyUI. A prompt is handed over with `POST /prompt` under an id of
//! our choice, so that an answer that is lost loses nothing; a WebSocket, opened before, tells how it is going; what has
//! become of it stands in `/history`, and nowhere else for certain. Queue and history are the server's memory: a prompt
//! that is in neither is lost. A prompt is stopped by taking it out of the queue or interrupting it, until the queue says
//! that it is gone.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Url;
use serde_json::Value;
use spec::env::Secret;

use crate::connector::{Connector, Task};
use crate::egress::Egress;
use crate::failure::Failure;
use crate::payload::Payload;
use crate::vars::Vars;

mod events;
mod files;
mod fork;
mod history;
mod job;
mod payload;
mod progress;
mod server;
mod socket;

use server::Server;

/// The connector.
#[derive(Debug)]
pub struct ComfyUi {
    server: Server,
    egress: Egress,
    payload: Payload,
    previews: bool,
    local: bool,
    dialect: Dialect,
    times: Times,
    /// A job of ours was interrupted and runs on.
    stuck: AtomicBool,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As Comfy-Org has it.
    #[default]
    Stock,
    /// A fork that takes prompts over its WebSocket and puts its outputs elsewhere itself.
    Fork,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        match text {
            "stock" => Ok(Self::Stock),
            "fork" => Ok(Self::Fork),
            _ => Err(UnknownDialect),
        }
    }
}

/// A text that names no dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDialect;

impl Display for UnknownDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no such dialect")
    }
}

/// How long is waited for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// So long nothing may come over the WebSocket before the history and the queue are asked. 10 s.
    pub silence: Duration,
    /// So long a server that cannot be reached may take to come back before its jobs are given up. 15 s.
    pub gone: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { silence: Duration::from_secs(10), gone: Duration::from_secs(15) }
    }
}

impl ComfyUi {
    /// The server at `base` on this machine, and the guard for addresses of inputs. A user and a password in the address
    /// are sent as HTTP Basic has it.
    pub fn new(base: Url, egress: Egress) -> Self {
        Self::of(Server::new(base, None), true, egress)
    }

    /// A server elsewhere, which is not ours to end; a token is sent as HTTP Bearer has it.
    pub fn remote(base: Url, token: Option<Secret<String>>, egress: Egress) -> Self {
        Self::of(Server::new(base, token), false, egress)
    }

    fn of(server: Server, local: bool, egress: Egress) -> Self {
        Self {
            server,
            egress,
            payload: payload::form(),
            previews: false,
            local,
            dialect: Dialect::default(),
            times: Times::default(),
            stuck: AtomicBool::new(false),
        }
    }

    /// Whether jobs that say nothing of it keep their last preview.
    #[must_use]
    pub fn previews(self, previews: bool) -> Self {
        Self { previews, ..self }
    }

    /// A server that speaks so.
    #[must_use]
    pub fn dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// With other times.
    #[must_use]
    pub fn times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// The connector `kind`: `comfyui`, `comfyui-websocket`, which keeps previews, or `comfyui-remote`.
    pub(crate) fn build(kind: &str, url: Option<Url>, vars: &mut Vars<'_>, egress: Egress) -> Option<Self> {
        let dialect = vars.parsed("COMFYUI_DIALECT", "`stock` or `fork`").unwrap_or_default();
        let made = if kind == "comfyui-remote" {
            let (address, token) = remote(vars);
            Self::remote(address?, token, egress)
        } else {
            let Some(url) = url else {
                vars.required("SERVICE_URL", "the address of its ComfyUI");
                return None;
            };
            vars.hide(url.password());
            Self::new(url, egress).previews(kind == "comfyui-websocket")
        };
        Some(made.dialect(dialect))
    }
}

/// The address of a ComfyUI elsewhere, and its token.
fn remote(vars: &mut Vars<'_>) -> (Option<Url>, Option<Secret<String>>) {
    const TOKEN: &str = "COMFYUI_REMOTE_TOKEN";
    let text = vars.required("COMFYUI_REMOTE_URL", "the address of the ComfyUI to work on");
    let address = if text.is_empty() { None } else { vars.address("COMFYUI_REMOTE_URL", &text) };
    let token = vars.secret(TOKEN);
    if token.as_ref().is_some_and(|it| !it.expose().bytes().all(|it| it.is_ascii_graphic())) {
        vars.wrong(TOKEN, "a token", "it has a space or a letter that cannot be in a header".into());
    }
    if let Some(address) = &address {
        vars.hide(address.password());
        if token.is_some() && !address.username().is_empty() {
            vars.together("COMFYUI_REMOTE_URL", TOKEN, "the address names a user already");
        }
    }
    (address, token)
}

impl Connector for ComfyUi {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "comfyui").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.server.check().boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.stuck.store(false, Ordering::Relaxed);
        job::run(self, task).boxed()
    }

    /// Only while a job of ours is the one that runs although it was interrupted: a node does not look up from its work.
    fn owns_service(&self) -> bool {
        self.local && self.stuck.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
