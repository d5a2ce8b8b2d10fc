//! The messages of a server, as far as they mean something for one prompt.

use serde_json::Value;
use tokio_tungstenite::tungstenite::Bytes;

/// What a message means for the prompt that is followed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// These nodes are not executed: the server knows what they make.
    Cached(Vec<String>),
    /// So much of each node that was begun is done, from 0 to 1.
    Nodes(Vec<(String, f64)>),
    /// This node is being executed now.
    Executing(String),
    /// The node is at `value` of `max`.
    Step { node: String, value: f64, max: f64 },
    /// This node has made its output.
    Executed(String),
    /// The prompt is over, well or not, or is about to be.
    Over,
    /// An image of this node, if it is said of which.
    Image { node: Option<String>, bytes: Bytes },
    /// Nothing for us: of another prompt, or of a kind that we do not know.
    Other,
}

/// A JSON message, `{"type", "data"}`. Most of them name their prompt; one that does not was sent to our connection alone.
pub(super) fn text(message: &Value, prompt: &str) -> Event {
    let data = &message["data"];
    if data["prompt_id"].as_str().is_some_and(|it| it != prompt) {
        return Event::Other;
    }
    let node = || data["node"].as_str().map(str::to_owned);
    let event = match message["type"].as_str().unwrap_or_default() {
        "execution_cached" => {
            let nodes = data["nodes"].as_array().into_iter().flatten();
            Some(Event::Cached(nodes.filter_map(|it| it.as_str().map(str::to_owned)).collect()))
        }
        "progress_state" => {
            let nodes = data["nodes"].as_object().into_iter().flatten();
            Some(Event::Nodes(nodes.map(|(id, it)| (id.clone(), state(it))).collect()))
        }
        "executing" => match node() {
            Some(node) => Some(Event::Executing(node)),
            None => Some(Event::Over),
        },
        "progress" => match (node(), data["value"].as_f64(), data["max"].as_f64()) {
            (Some(node), Some(value), Some(max)) => Some(Event::Step { node, value, max }),
            _ => None,
        },
        "executed" => node().map(Event::Executed),
        "execution_success" | "execution_error" | "execution_interrupted" => Some(Event::Over),
        _ => None,
    };
    event.unwrap_or(Event::Other)
}

/// How much of a node is done.
fn state(node: &Value) -> f64 {
    match node["state"].as_str() {
        Some("finished") => 1.0,
        Some("running") => part(node["value"].as_f64().unwrap_or(0.0), node["max"].as_f64().unwrap_or(0.0)),
        _ => 0.0,
    }
}

/// `value` of `max`, where `max` may be 0.
pub(super) fn part(value: f64, max: f64) -> f64 {
    if max > 0.0 { (value / max).clamp(0.0, 1.0) } else { 0.0 }
}

/// A binary message: the number of its kind (big endian), then what that kind has. 1: the number of a picture's type and
/// the picture. 4: the length of a document about it, that document, and the picture. 3 is a text for people.
pub(super) fn binary(message: &Bytes, prompt: &str) -> Event {
    let Some((kind, rest)) = number(message) else { return Event::Other };
    let Some((second, rest)) = number(&rest) else { return Event::Other };
    match kind {
        1 => Event::Image { node: None, bytes: rest },
        4 => {
            let length = usize::try_from(second).unwrap_or(usize::MAX);
            if length > rest.len() {
                return Event::Other;
            }
            let about: Value = serde_json::from_slice(&rest[..length]).unwrap_or(Value::Null);
            if about["prompt_id"].as_str().is_some_and(|it| it != prompt) {
                return Event::Other;
            }
            Event::Image { node: about["node_id"].as_str().map(str::to_owned), bytes: rest.slice(length..) }
        }
        _ => Event::Other,
    }
}

fn number(bytes: &Bytes) -> Option<(u32, Bytes)> {
    let first = bytes.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*first), bytes.slice(4..)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_other_prompts_and_of_unknown_kinds_mean_nothing() {
        let ours = |kind: &str, data: Value| text(&json!({ "type": kind, "data": data }), "p");
        let nothing = [
            ours("executing", json!({ "node": "1", "prompt_id": "q" })),
            ours("progress_state", json!({ "nodes": { "1": { "state": "finished" } }, "prompt_id": "q" })),
            ours("execution_success", json!({ "prompt_id": "q" })),
            ours("status", json!({ "status": { "exec_info": { "queue_remaining": 0 } } })),
            ours("crystools.monitor", json!({ "gpu": 7 })),
            ours("progress", json!({ "node": "1", "value": "many", "max": 3 })),
            text(&json!([1]), "p"),
            text(&Value::Null, "p"),
        ];
        assert!(nothing.iter().all(|it| *it == Event::Other), "{nothing:?}");
        // After a reconnection the server says what runs, and not of which prompt.
        assert_eq!(ours("executing", json!({ "node": "2" })), Event::Executing("2".into()));
        assert_eq!(ours("executing", json!({ "node": null, "prompt_id": "p" })), Event::Over);
    }

    #[test]
    fn a_binary_message_is_read_by_its_kind_and_a_broken_one_means_nothing() {
        let of = |parts: &[&[u8]]| binary(&Bytes::from(parts.concat()), "p");
        let about = |prompt: &str| json!({ "node_id": "8", "prompt_id": prompt }).to_string();
        let length = |it: &str| u32::try_from(it.len()).unwrap().to_be_bytes();
        let (ours, other) = (about("p"), about("q"));
        let image =
            |node: Option<&str>| Event::Image { node: node.map(str::to_owned), bytes: "image".into() };
        assert_eq!(of(&[&[0, 0, 0, 1], &[0, 0, 0, 2], b"image"]), image(None));
        assert_eq!(of(&[&[0, 0, 0, 4], &length(&ours), ours.as_bytes(), b"image"]), image(Some("8")));
        assert_eq!(of(&[&[0, 0, 0, 4], &length(&other), other.as_bytes(), b"image"]), Event::Other);
        assert_eq!(of(&[&[0, 0, 0, 3], &[0, 0, 0, 1], b"8", b"words"]), Event::Other);
        for broken in [
            &[][..],
            &[0, 0, 0],
            &[0, 0, 0, 1],
            &[0, 0, 0, 4, 255, 255, 255, 255, 0],
            &[0, 0, 0, 99, 0, 0, 0, 0],
        ] {
            assert_eq!(of(&[broken]), Event::Other, "{broken:?}");
        }
    }
}
