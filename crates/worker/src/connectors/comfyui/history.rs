//! What ComfyUI says of a prompt that is over, or that it does not take.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::failure::{Failure, Symptom};

/// Words of an exception that mean that there was not enough memory, in small letters: of `torch` on all its
/// devices, and of ComfyUI itself.
const OUT_OF_MEMORY: [&str; 5] = [
    "out of memory",
    "outofmemory",
    "allocation on device",
    "can't allocate memory",
    "cannot allocate memory",
];
/// The longest text of one exception that is told, in characters.
const WORDS: usize = 2_000;

/// An entry of the history: a prompt that is over.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    /// By node.
    #[serde(default)]
    pub(super) outputs: Map<String, Value>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    status_str: String,
    #[serde(default)]
    messages: Vec<(String, Value)>,
}

/// A file among the outputs of a prompt.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Of this node.
    pub(super) node: String,
    /// As the node calls it: `images`.
    pub(super) kind: String,
    pub(super) file: Named,
}

/// A file that an output names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) filename: String,
    #[serde(default)]
    pub(super) subfolder: String,
    /// `output`, or `temp` for what is shown in passing.
    #[serde(rename = "type", default)]
    pub(super) folder: String,
}

impl Entry {
    /// A failure if it did not succeed. That it was interrupted stands only among its messages.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let Some(status) = &self.status else { return Ok(()) };
        for (kind, data) in &status.messages {
            match kind.as_str() {
                "execution_error" => return Err(exception(data)),
                "execution_interrupted" => {
                    return Err(Failure::of(
                        Symptom::Failed,
                        "it was interrupted at ComfyUI by somebody else",
                    ));
                }
                _ => {}
            }
        }
        if status.status_str == "error" {
            return Err(Failure::of(Symptom::Failed, "ComfyUI: it failed, and the history does not say why"));
        }
        Ok(())
    }

    /// The nodes that were not executed, because the server remembered what they make.
    pub(super) fn cached(&self) -> Vec<Value> {
        let messages = self.status.iter().flat_map(|it| &it.messages);
        let cached = messages.filter(|(kind, _)| kind == "execution_cached");
        cached.filter_map(|(_, data)| data["nodes"].as_array()).flatten().cloned().collect()
    }
}

/// An `execution_error`, as a failure in the service's words.
pub(super) fn exception(data: &Value) -> Failure {
    let text = |name: &str| data[name].as_str().unwrap_or_default().trim();
    let (kind, message) = (text("exception_type"), text("exception_message"));
    let words: String = message.chars().take(WORDS).collect();
    let seen = format!("{kind} {message}").to_lowercase();
    let symptom =
        if OUT_OF_MEMORY.iter().any(|it| seen.contains(it)) { Symptom::OutOfMemory } else { Symptom::Failed };
    let place = match (text("node_id"), text("node_type")) {
        ("", _) => String::new(),
        (node, class) => format!("node {node} ({class}): "),
    };
    let kind = if kind.is_empty() { String::new() } else { format!("{kind}: ") };
    Failure::of(symptom, format!("ComfyUI: {place}{kind}{words}"))
}

/// Everything that is wrong with a prompt, node by node: `{"error": {…}, "node_errors": {…}}`.
pub(super) fn validation(said: &Value) -> String {
    let mut told = Vec::new();
    for (node, errors) in said["node_errors"].as_object().into_iter().flatten() {
        let class = errors["class_type"].as_str().unwrap_or_default();
        for error in errors["errors"].as_array().into_iter().flatten() {
            told.push(format!("node {node} ({class}): {}", sentence(error)));
        }
    }
    // With errors of nodes, the error of the whole only says that there are some.
    if told.is_empty() {
        let circle = said["error"]["type"] == "prompt_outputs_failed_validation";
        let hint = if circle { " (and it names no node, as when nodes link in a circle)" } else { "" };
        told.push(sentence(&said["error"]) + hint);
    }
    format!("ComfyUI does not take the workflow: {}", told.join("; "))
}

fn sentence(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().unwrap_or_default().trim();
    let (message, details) = (text("message").trim_end_matches('.'), text("details"));
    if details.is_empty() || details == message {
        message.to_owned()
    } else {
        format!("{message}: {details}")
    }
}

/// The files among the outputs, and everything else.
pub(super) fn files(outputs: Map<String, Value>) -> (Vec<Made>, Map<String, Value>) {
    let (mut files, mut rest) = (Vec::new(), Map::new());
    for (node, output) in outputs {
        let Value::Object(output) = output else { continue };
        let mut others = Map::new();
        for (kind, values) in output {
            match serde_json::from_value::<Vec<Named>>(values.clone()) {
                Ok(named) => {
                    let made = |file| Made { node: node.clone(), kind: kind.clone(), file };
                    files.extend(named.into_iter().map(made));
                }
                Err(_) => _ = others.insert(kind, values),
            }
        }
        if !others.is_empty() {
            rest.insert(node, others.into());
        }
    }
    (files, rest)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::failure::Kind;

    fn entry(status: &Value) -> Entry {
        serde_json::from_value(json!({ "outputs": {}, "status": status })).unwrap()
    }

    #[test]
    fn only_the_messages_tell_an_interrupt_from_a_failure() {
        let interrupted = entry(&json!({
            "status_str": "error", "completed": false,
            "messages": [["execution_start", {}], ["execution_interrupted", { "node_id": "2" }]]
        }));
        let failed = entry(&json!({
            "status_str": "error", "completed": false,
            "messages": [["execution_error", {
                "node_id": "2", "node_type": "ImageToMask", "exception_type": "IndexError",
                "exception_message": "index 3 is out of bounds for dimension 3 with size 3\n"
            }]]
        }));
        let silent = entry(&json!({ "status_str": "error", "completed": false, "messages": [] }));
        let told = [interrupted, failed, silent].map(|it| it.judge().unwrap_err().message).join("\n");
        assert_snapshot!(told, @"
        it was interrupted at ComfyUI by somebody else
        ComfyUI: node 2 (ImageToMask): IndexError: index 3 is out of bounds for dimension 3 with size 3
        ComfyUI: it failed, and the history does not say why
        ");
    }

    #[test]
    fn a_lack_of_memory_is_known_in_all_its_words() {
        let table = [
            (
                "torch.OutOfMemoryError",
                "Allocation on device 0 would exceed allowed memory. (out of memory)",
                true,
            ),
            ("RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB", true),
            ("OOMError", "Allocation on device", true),
            (
                "RuntimeError",
                "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory",
                true,
            ),
            ("ValueError", "the memory of the past", false),
        ];
        for (kind, message, lack) in table {
            let failure = exception(&json!({ "exception_type": kind, "exception_message": message }));
            assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, lack), "{message}");
        }
    }

    #[test]
    fn files_are_told_from_everything_else_whatever_their_kind_is_called() {
        let outputs = json!({
            "9": { "images": [{ "filename": "a.png", "subfolder": "x", "type": "output" }], "animated": [false] },
            "12:3": { "gifs": [{ "filename": "b.mp4", "subfolder": "", "type": "temp", "fps": 8 }] },
            "4": { "text": ["words"] }
        });
        let (files, rest) = files(outputs.as_object().unwrap().clone());
        let told = |it: &Made| format!("{} {} {}/{}", it.node, it.kind, it.file.folder, it.file.filename);
        let mut files: Vec<_> = files.iter().map(told).collect();
        files.sort();
        assert_eq!(files, ["12:3 gifs temp/b.mp4", "9 images output/a.png"]);
        assert_eq!(Value::from(rest), json!({ "9": { "animated": [false] }, "4": { "text": ["words"] } }));
    }
}
