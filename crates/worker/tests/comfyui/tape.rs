//! Recordings of a real ComfyUI, as something to be played again.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// What the double does next while it executes a prompt.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends a message to the client of the prompt, and `status` to all.
    Say(Value),
    /// The same as it is, whatever it is.
    Raw(String),
    /// A binary message.
    Frame(Vec<u8>),
    /// Waits until the test lets it go on, or the prompt is interrupted.
    Hold,
    /// Works for so long.
    Pause(Duration),
    /// Ends the connection of the client with a reset.
    Reset,
    /// Closes the connection of the client as the protocol has it.
    Close,
    /// The whole process ends, and with it queue and history; `true`: another is started.
    Die(bool),
    /// Waits until the client is connected.
    Connected,
}

/// One prompt of a recording.
#[derive(Clone, Debug)]
pub struct Tape {
    pub workflow: Value,
    pub steps: Vec<Step>,
    /// What the history has of it, whatever of that was said.
    pub outputs: Map<String, Value>,
}

/// The recordings, by name.
const RECORDINGS: [(&str, &str); 9] = [
    ("clientid", include_str!("recordings/clientid.jsonl")),
    ("fail", include_str!("recordings/fail.jsonl")),
    ("fast", include_str!("recordings/fast.jsonl")),
    ("interrupt", include_str!("recordings/interrupt.jsonl")),
    ("invalid", include_str!("recordings/invalid.jsonl")),
    ("reconnect", include_str!("recordings/reconnect.jsonl")),
    ("sleep", include_str!("recordings/sleep.jsonl")),
    ("slow", include_str!("recordings/slow.jsonl")),
    ("slowmeta", include_str!("recordings/slowmeta.jsonl")),
];

pub fn lines(name: &str) -> Vec<Value> {
    let (_, text) = RECORDINGS.iter().find(|it| it.0 == name).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

impl Tape {
    /// The prompt number `number` of a recording that was taken: all that its client heard from then on to its end.
    pub fn of(name: &str, number: usize) -> Self {
        let lines = lines(name);
        let posts = lines.iter().enumerate().filter(|(_, it)| it["path"] == "/prompt" && it["status"] == 200);
        let (at, post) = posts.filter(|(_, it)| it["request"].is_object()).nth(number).unwrap();
        let id = post["response"]["prompt_id"].clone();
        // Other sockets heard `status` too: once is enough.
        let sockets: Vec<_> = lines[at..]
            .iter()
            .filter(|it| it["msg"]["data"]["prompt_id"] == id)
            .map(|it| it["sock"].clone())
            .collect();
        let mut steps = Vec::new();
        for line in lines[at..].iter().filter(|it| sockets.contains(&it["sock"])) {
            let (message, kind) = (&line["msg"], line["kind"].as_str().unwrap());
            if kind == "ws-closed" && !steps.is_empty() {
                steps.extend([Step::Reset, Step::Connected]);
            }
            if kind == "ws-binary" {
                steps.push(Step::Frame(frame(line)));
            }
            // What a server says by itself to each new connection, the double says too.
            if kind != "ws" || message["data"]["sid"].is_string() || message["data"] == json!({ "node": "2" })
            {
                continue;
            }
            steps.push(Step::Say(message.clone()));
            if message["type"] == "executing" && message["data"]["node"].is_null() {
                break;
            }
        }
        Self::new(post["request"]["prompt"].clone(), steps)
    }

    fn new(workflow: Value, steps: Vec<Step>) -> Self {
        let said = steps.iter().filter(|it| is(it, "executed"));
        let outputs = said.filter_map(|it| match it {
            Step::Say(it) => Some((it["data"]["node"].as_str()?.to_owned(), it["data"]["output"].clone())),
            _ => None,
        });
        Self { workflow, outputs: outputs.collect(), steps }
    }

    /// With these steps before the first message of this type.
    pub fn before(mut self, kind: &str, steps: &[Step]) -> Self {
        let at = self.steps.iter().position(|it| is(it, kind)).unwrap();
        self.steps.splice(at..at, steps.iter().cloned());
        self
    }

    /// With these steps after the first message of this type.
    pub fn after(mut self, kind: &str, steps: &[Step]) -> Self {
        let at = self.steps.iter().position(|it| is(it, kind)).unwrap() + 1;
        self.steps.splice(at..at, steps.iter().cloned());
        self
    }

    /// Without the messages of this type.
    pub fn without(mut self, kind: &str) -> Self {
        self.steps.retain(|it| !is(it, kind));
        self
    }

    pub fn payload(&self) -> Value {
        json!({ "workflow": self.workflow })
    }
}

fn is(step: &Step, kind: &str) -> bool {
    matches!(step, Step::Say(it) if it["type"] == kind)
}

/// A picture, as recordings have them: their length and their beginning.
fn frame(line: &Value) -> Vec<u8> {
    let length = usize::try_from(line["len"].as_u64().unwrap()).unwrap();
    let head = line["head_hex"].as_str().unwrap();
    let mut bytes: Vec<u8> =
        (0..head.len()).step_by(2).map(|at| u8::from_str_radix(&head[at..at + 2], 16).unwrap()).collect();
    if bytes[3] == 4 {
        let about = line["note"].as_str().unwrap();
        let about = about.strip_prefix("meta=").unwrap().rsplit_once(" img=").unwrap().0;
        bytes.truncate(8);
        bytes.extend_from_slice(about.as_bytes());
        bytes.extend_from_slice(PNG);
    }
    bytes.resize(length, 7);
    bytes
}

/// How every PNG begins.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// A prompt of two nodes that says these things of the first.
pub fn made(steps: impl IntoIterator<Item = Step>) -> Tape {
    let workflow = json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 64 } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["1", 0] } }
    });
    let say = |kind: &str, data: Value| Step::Say(json!({ "type": kind, "data": data }));
    let images = json!([{ "filename": "a.png", "subfolder": "", "type": "output" }]);
    let mut all = vec![
        say("execution_start", json!({ "prompt_id": "" })),
        say("execution_cached", json!({ "prompt_id": "", "nodes": [] })),
        say("executing", json!({ "prompt_id": "", "node": "1" })),
    ];
    all.extend(steps);
    all.extend([
        say("executed", json!({ "prompt_id": "", "node": "9", "output": { "images": images } })),
        say("execution_success", json!({ "prompt_id": "" })),
        say("status", json!({ "status": { "exec_info": { "queue_remaining": 0 } } })),
        say("executing", json!({ "prompt_id": "", "node": null })),
    ]);
    Tape::new(workflow, all)
}

/// What the history says of a prompt that made these outputs and of which this was said.
pub fn entry(said: &[Value], outputs: &Map<String, Value>) -> Value {
    let messages =
        said.iter().filter(|it| it["type"].as_str().is_some_and(|it| it.starts_with("execution_")));
    let messages: Vec<Value> = messages.map(|it| json!([it["type"], it["data"]])).collect();
    let bad = said.iter().any(|it| it["type"] == "execution_error" || it["type"] == "execution_interrupted");
    let (word, outputs) = if bad { ("error", &Map::new()) } else { ("success", outputs) };
    json!({ "outputs": outputs, "status": { "status_str": word, "completed": !bad, "messages": messages } })
}
