//! A ComfyUI that executes nothing: it keeps a queue and a history as the real one does, and plays tapes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::routes;
use super::tape::{Step, Tape, entry};
use super::wire::{self, Request};

/// How one `POST /prompt` is answered.
#[derive(Clone, Debug)]
pub enum Post {
    /// The prompt is taken, with these errors of nodes.
    Take(Value),
    /// The prompt is taken, and the connection ends instead of an answer.
    TakeAndCut,
    /// The connection ends before the prompt is taken.
    Cut,
    /// The prompt is not taken.
    Answer(u16, Value),
}

/// How the double behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// What is played for a prompt.
    pub tape: Option<Tape>,
    /// What is played instead for a prompt that is the workflow of one of these.
    pub tapes: Vec<Tape>,
    /// How the first prompts are answered; all others are taken.
    pub posts: VecDeque<Post>,
    /// The history of a prompt is empty so often after the prompt has left the queue.
    pub late: u32,
    /// What `Authorization` has to be.
    pub authorization: Option<String>,
    /// A node does not look up from its work: an interrupt changes nothing.
    pub deaf: bool,
    /// Other prompts in the queue before ours, by number and id.
    pub others: Vec<(i64, String)>,
    /// The connections of so many fetched files end in their middle.
    pub cut_files: u32,
    /// The file that was made is not there any more.
    pub no_files: bool,
    /// Files have so many bytes more.
    pub more_bytes: usize,
    /// Names that are taken in the input folder.
    pub taken: Vec<String>,
    /// Says nothing on any WebSocket, and answers no ping.
    pub mute: bool,
}

/// A prompt in the queue.
#[derive(Clone, Debug)]
pub struct Queued {
    pub number: i64,
    pub id: String,
    pub body: Value,
}

/// What goes to one client.
#[derive(Debug)]
pub enum Out {
    Message(Message),
    Reset,
}

/// What the process has in its memory.
#[derive(Debug, Default)]
pub struct State {
    pub manners: Manners,
    pub pending: Vec<Queued>,
    pub running: Option<Queued>,
    pub history: BTreeMap<String, Value>,
    pub interrupted: bool,
    /// The node that is being executed.
    pub node: Option<String>,
    /// By their client's id; the newest connection under an id is the one that is told.
    pub clients: BTreeMap<String, mpsc::UnboundedSender<Out>>,
    pub numbers: i64,
    /// Everything that came, in order.
    pub log: Vec<Request>,
    /// What clients said on their sockets.
    pub said: Vec<Value>,
    /// What a real server would not have been sent.
    pub faults: Vec<String>,
    pub uploads: Vec<Request>,
}

#[derive(Clone)]
pub struct Double {
    pub url: Url,
    state: Arc<Mutex<State>>,
    /// Whether the process is there; tests may end it.
    alive: watch::Sender<bool>,
    /// Goes up whenever a test lets a held tape go on.
    go: watch::Sender<u32>,
    /// Goes up whenever something may have changed.
    changed: watch::Sender<u64>,
}

impl Double {
    pub async fn start(manners: Manners) -> Self {
        Self::at(0, manners).await
    }

    /// At this port.
    pub async fn at(port: u16, manners: Manners) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let others = manners.others.iter();
        let pending =
            others.map(|(number, id)| Queued { number: *number, id: id.clone(), body: Value::Null });
        let state = State { pending: pending.collect(), manners, numbers: 100, ..State::default() };
        let it = Self {
            url: Url::parse(&format!("http://{address}")).unwrap(),
            state: Arc::new(Mutex::new(state)),
            alive: watch::Sender::new(true),
            go: watch::Sender::new(0),
            changed: watch::Sender::new(0),
        };
        tokio::spawn(it.clone().listen(address, listener));
        tokio::spawn(it.clone().work());
        it
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets a held tape go on.
    pub fn go(&self) {
        self.go.send_modify(|it| *it += 1);
    }

    /// Waits until `what` is so.
    pub async fn until(&self, what: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !what(&self.state()) {
                changed.changed().await.unwrap();
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(came.is_ok(), "it did not come to be: {:?}", self.lines());
    }

    /// Every request, as `POST /prompt`.
    pub fn lines(&self) -> Vec<String> {
        self.state().log.iter().map(Request::line).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|it| *it == line).count()
    }

    /// Panics if anything came that a real server is not sent by a well-behaved client.
    pub fn judge(&self) {
        let faults = self.state().faults.clone();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    pub fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// Ends the process: nothing of its memory stays.
    pub fn die(&self) {
        let mut state = self.state();
        for client in std::mem::take(&mut state.clients).into_values() {
            let _ = client.send(Out::Reset);
        }
        state.pending.clear();
        state.running = None;
        state.history.clear();
        drop(state);
        self.alive.send_replace(false);
        self.touch();
    }

    async fn listen(self, address: SocketAddr, listener: TcpListener) {
        let (mut alive, mut listener) = (self.alive.subscribe(), Some(listener));
        loop {
            if !*alive.borrow_and_update() {
                listener = None;
                alive.wait_for(|it| *it).await.unwrap();
            }
            let listening = match listener.take() {
                Some(it) => it,
                None => TcpListener::bind(address).await.unwrap(),
            };
            tokio::select! {
                accepted = listening.accept() => { tokio::spawn(self.clone().connection(accepted.unwrap().0)); }
                _ = alive.changed() => {}
            }
            listener = Some(listening);
        }
    }

    async fn connection(self, mut stream: TcpStream) {
        let Some(request) = Request::read(&mut stream).await else { return };
        self.state().log.push(request.clone());
        self.touch();
        if request.path == "/ws" {
            return self.websocket(stream, &request).await;
        }
        routes::answer(&self, stream, &request).await;
        self.touch();
    }

    async fn websocket(self, mut stream: TcpStream, request: &Request) {
        use tokio::io::AsyncWriteExt as _;
        use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
        let judged = routes::judge(&mut self.state(), request);
        if let Err(status) = judged {
            return wire::answer(&mut stream, status, "text/plain", b"").await;
        }
        let key = derive_accept_key(request.header("sec-websocket-key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {key}\r\n\r\n"
        );
        let (to, mut from) = mpsc::unbounded_channel();
        let client = request.query.get("clientId").cloned().unwrap_or_default();
        // Before it hears that it is connected: what it does then comes after that.
        self.greet(&client, &to);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let mute = self.state().manners.mute;
        let reset = loop {
            tokio::select! {
                out = from.recv() => match out {
                    Some(Out::Message(message)) if !mute => drop(socket.send(message).await),
                    Some(Out::Message(_)) => {}
                    Some(Out::Reset) => break true,
                    None => break false,
                },
                said = socket.next(), if !mute => match said {
                    Some(Ok(Message::Text(text))) => self.hear(&client, &to, text.as_str()),
                    Some(Ok(_)) => {}
                    _ => break false,
                },
            }
        };
        if reset {
            wire::reset(socket.into_inner());
        }
        let mut state = self.state();
        if state.clients.get(&client).is_some_and(|it| it.same_channel(&to)) {
            state.clients.remove(&client);
        }
    }

    /// What a new connection is told: how long the queue is, and what runs if that is its own.
    fn greet(&self, client: &str, to: &mpsc::UnboundedSender<Out>) {
        let mut state = self.state();
        let remaining = state.pending.len() + usize::from(state.running.is_some());
        let status = json!({ "type": "status", "data": {
            "status": { "exec_info": { "queue_remaining": remaining } }, "sid": client
        } });
        let _ = to.send(Out::Message(Message::text(status.to_string())));
        let runs = state.running.as_ref().is_some_and(|it| it.body["client_id"] == client);
        if let Some(node) = state.node.clone().filter(|_| runs) {
            let executing = json!({ "type": "executing", "data": { "node": node } });
            let _ = to.send(Out::Message(Message::text(executing.to_string())));
        }
        state.clients.insert(client.to_owned(), to.clone());
        drop(state);
        self.touch();
    }

    fn hear(&self, client: &str, to: &mpsc::UnboundedSender<Out>, text: &str) {
        let said: Value = serde_json::from_str(text).unwrap();
        let mut state = self.state();
        if said["type"] == "feature_flags" {
            let flags = json!({ "type": "feature_flags", "data": { "supports_preview_metadata": true } });
            let _ = to.send(Out::Message(Message::text(flags.to_string())));
        } else {
            state.faults.push(format!("{client} said {said}"));
        }
        state.said.push(said);
        drop(state);
        self.touch();
    }

    /// Executes prompts, one at a time, the lowest number first.
    async fn work(self) {
        loop {
            self.until_forever(|it| it.pending.iter().any(|it| it.body.is_object())).await;
            let prompt = {
                let mut state = self.state();
                state.pending.sort_by_key(|it| it.number);
                let at = state.pending.iter().position(|it| it.body.is_object());
                let Some(at) = at else { continue };
                // A queue with others before it stays as it is until the test takes them out.
                if at > 0 {
                    None
                } else {
                    let prompt = state.pending.remove(at);
                    state.running = Some(prompt.clone());
                    state.interrupted = false;
                    Some(prompt)
                }
            };
            match prompt {
                Some(prompt) => {
                    self.touch();
                    self.play(prompt).await;
                }
                None => self.change().await,
            }
        }
    }

    async fn change(&self) {
        self.changed.subscribe().changed().await.unwrap();
    }

    async fn until_forever(&self, what: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !what(&self.state()) {
            changed.changed().await.unwrap();
        }
    }

    async fn play(&self, prompt: Queued) {
        let tape = self.tape(&prompt);
        let mut said = Vec::new();
        for step in &tape.steps {
            if self.state().running.is_none() {
                return;
            }
            if self.is_interrupted() {
                break;
            }
            self.step(step, &prompt, &tape, &mut said).await;
        }
        if self.state().running.is_some() && self.is_interrupted() {
            let node = self.state().node.clone();
            for (kind, data) in [
                ("execution_interrupted", json!({ "prompt_id": "", "node_id": node, "executed": [] })),
                ("executing", json!({ "prompt_id": "", "node": null })),
            ] {
                let step = Step::Say(json!({ "type": kind, "data": data }));
                self.step(&step, &prompt, &tape, &mut said).await;
            }
        }
        // A tape without an end.
        self.record(&prompt, &tape, &said);
    }

    fn tape(&self, prompt: &Queued) -> Tape {
        let state = self.state();
        let manners = &state.manners;
        let own = manners.tapes.iter().find(|it| it.workflow == prompt.body["prompt"]);
        own.or(manners.tape.as_ref()).cloned().expect("a tape")
    }

    fn is_interrupted(&self) -> bool {
        let state = self.state();
        state.interrupted && !state.manners.deaf
    }

    async fn step(&self, step: &Step, prompt: &Queued, tape: &Tape, said: &mut Vec<Value>) {
        let client = prompt.body["client_id"].as_str().unwrap();
        let tell = |out: Out| {
            let state = self.state();
            state.clients.get(client).is_some_and(|it| it.send(out).is_ok())
        };
        match step {
            Step::Say(message) => {
                let mut message = message.clone();
                let foreign =
                    message["data"]["prompt_id"].as_str().is_some_and(|it| it.starts_with("foreign"));
                if message["data"]["prompt_id"].is_string() && !foreign {
                    message["data"]["prompt_id"] = prompt.id.clone().into();
                    if message["type"] == "executing" {
                        self.state().node = message["data"]["node"].as_str().map(str::to_owned);
                    }
                }
                tell(Out::Message(Message::text(message.to_string())));
                said.push(message.clone());
                if ["execution_success", "execution_error", "execution_interrupted"]
                    .iter()
                    .any(|it| message["type"] == *it)
                {
                    self.record(prompt, tape, said);
                }
            }
            Step::Raw(text) => _ = tell(Out::Message(Message::text(text.clone()))),
            Step::Frame(bytes) => {
                let about = [b"\"prompt_id\": \"", prompt.id.as_bytes()].concat();
                let bytes = replaced(bytes, &about);
                tell(Out::Message(Message::binary(bytes)));
            }
            Step::Hold => {
                let mut go = self.go.subscribe();
                let before = *go.borrow_and_update();
                tokio::select! {
                    _ = go.wait_for(|it| *it > before) => {}
                    () = self.until_forever(|it| it.running.is_none() || (it.interrupted && !it.manners.deaf)) => {}
                }
            }
            Step::Pause(time) => tokio::time::sleep(*time).await,
            Step::Reset => _ = tell(Out::Reset),
            Step::Close => _ = tell(Out::Message(Message::Close(None))),
            Step::Connected => {
                // A client that was cut off is one until it is noticed.
                let before = self.count("GET /ws");
                let there = |it: &State| it.log.iter().filter(|it| it.path == "/ws").count() > before;
                let here = before > 1 && self.state().clients.contains_key(client);
                if !here {
                    self.until_forever(|it| there(it) && it.clients.contains_key(client)).await;
                }
            }
            Step::Die(again) => {
                self.die();
                if *again {
                    self.alive.send_replace(true);
                }
            }
        }
    }

    /// The prompt leaves the queue for the history. It does not if the process has ended meanwhile.
    fn record(&self, prompt: &Queued, tape: &Tape, said: &[Value]) {
        let mut state = self.state();
        if state.running.take().is_some() {
            state.history.insert(prompt.id.clone(), entry(said, &tape.outputs));
            state.node = None;
        }
        drop(state);
        self.touch();
    }
}

/// Frames of the recordings name a prompt of the same length as every other.
fn replaced(bytes: &[u8], about: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let what = b"\"prompt_id\": \"";
    if let Some(at) = bytes.windows(what.len()).position(|it| it == what) {
        bytes[at..at + about.len()].copy_from_slice(about);
    }
    bytes
}
