//! What goes to a server before a workflow runs, and what is fetched from it afterwards. Nothing is held whole.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::time::{Duration, sleep};
use tokio_tungstenite::tungstenite::Bytes;

use super::ComfyUi;
use super::history::{self, Made, Named};
use super::payload::Wish;
use super::progress::Overall;
use crate::connector::Task;
use crate::egress::Fetched;
use crate::failure::{Failure, Kind, Symptom};
use crate::http;
use crate::outputs::Stored;

/// So often a file is fetched whose connection is cut: to make it may have taken an hour.
const FETCHES: u32 = 3;
/// The pause between.
const PAUSE: Duration = Duration::from_millis(500);

/// Puts the inputs of a job into the server's folder, and lets the workflow name them as the server does.
pub(super) async fn upload(it: &ComfyUi, wish: &mut Wish) -> Result<(), Failure> {
    for input in std::mem::take(&mut wish.inputs) {
        let parts = if let Some(data) = input.url.strip_prefix("data:") {
            let bytes = decoded(&input.name, data)?;
            stream::once(std::future::ready(Ok(bytes))).boxed()
        } else {
            let fetched = it.egress.get(&input.url).await?;
            let next = async |mut fetched: Fetched| Ok(fetched.chunk().await?.map(|chunk| (chunk, fetched)));
            stream::try_unfold(fetched, next).boxed()
        };
        let uploaded = it.server.upload(&input.name, parts).await?;
        wish.rename(&input.name, &uploaded.path());
    }
    Ok(())
}

fn decoded(name: &str, data: &str) -> Result<Vec<u8>, Failure> {
    let invalid = |why| Failure::of(Symptom::Invalid, format!("the input `{name}` is {why}"));
    let (_, text) = data.split_once(";base64,").ok_or_else(|| invalid("a data URL without `;base64,`"))?;
    BASE64_STANDARD.decode(text).map_err(|_| invalid("no base64"))
}

/// Stores the files among the outputs of a prompt, each once. Returns what became of them, and all other outputs.
pub(super) async fn stored(
    it: &ComfyUi,
    task: &Task,
    outputs: Map<String, Value>,
) -> Result<(Vec<Value>, Map<String, Value>), Failure> {
    let (files, values) = history::files(outputs);
    let (mut seen, mut told) = (BTreeSet::new(), Vec::new());
    for Made { node, kind, file } in files {
        if seen.insert(file.clone()) {
            task.progress(99.0, format!("fetching `{}`", file.filename));
            let stored = fetched(it, task, &file, told.len()).await?;
            told.push(described(&node, &kind, &file.folder, &stored));
        }
    }
    Ok((told, values))
}

fn described(node: &str, kind: &str, folder: &str, stored: &Stored) -> Value {
    let mut told = json!(stored);
    for (key, value) in [("node", node), ("kind", kind), ("type", folder)] {
        told[key] = value.into();
    }
    told
}

/// One file. Files of other folders may have its name, so its number is part of its new one.
async fn fetched(it: &ComfyUi, task: &Task, file: &Named, number: usize) -> Result<Stored, Failure> {
    let name = format!("{number}-{}", file.filename);
    let mut tried = 1;
    loop {
        match copied(it, task, file, &name).await {
            Err(failure) if tried < FETCHES && failure.kind != Kind::Permanent => {
                tried += 1;
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

async fn copied(it: &ComfyUi, task: &Task, named: &Named, name: &str) -> Result<Stored, Failure> {
    let (mut answer, mut file) = (it.server.view(named).await?, task.outputs.file(name));
    while let Some(chunk) =
        answer.chunk().await.map_err(|it| http::failed(it, "fetching an output of ComfyUI"))?
    {
        file.write(&chunk).await?;
    }
    file.finish().await
}

/// Pictures that come over the WebSocket.
pub(super) struct Pictures {
    /// Nodes whose outputs they are; of all others they are previews.
    nodes: BTreeSet<String>,
    told: Vec<Value>,
    missed: bool,
    keep: bool,
    last: Option<Bytes>,
}

impl Pictures {
    /// Those of a workflow; `keep` says whether its last preview is kept.
    pub(super) fn new(workflow: &Map<String, Value>, keep: bool) -> Self {
        let nodes = workflow.iter().filter(|(_, node)| node["class_type"] == "SaveImageWebsocket");
        let nodes = nodes.map(|(id, _)| id.clone()).collect();
        Self { nodes, told: Vec::new(), missed: false, keep, last: None }
    }

    /// Takes one that came from this node.
    pub(super) async fn take(
        &mut self,
        task: &Task,
        node: Option<&str>,
        bytes: Bytes,
    ) -> Result<(), Failure> {
        match node.filter(|it| self.nodes.contains(*it)) {
            Some(node) => {
                let stored = task.outputs.put(&format!("websocket-{}", self.told.len()), &bytes).await?;
                self.told.push(described(node, "images", "websocket", &stored));
            }
            None if self.keep => self.last = Some(bytes),
            None => {}
        }
        Ok(())
    }

    /// The connection was cut: what such a node sent meanwhile, if anything, is lost.
    pub(super) fn cut(&mut self, overall: &Overall) {
        self.missed |= self.nodes.iter().any(|it| !overall.is_done(it));
    }

    /// What has become of them, and of the last preview.
    pub(super) async fn stored(&mut self, task: &Task) -> Result<(Vec<Value>, Option<Value>), Failure> {
        if self.missed {
            return Err(Failure::of(
                Symptom::Cut,
                "the connection was cut while images of a SaveImageWebsocket node may have come; SaveImage keeps them",
            ));
        }
        let preview = match self.last.take() {
            Some(bytes) => Some(json!(task.outputs.put("preview", &bytes).await?)),
            None => None,
        };
        Ok((std::mem::take(&mut self.told), preview))
    }
}
