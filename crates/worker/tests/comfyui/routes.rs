//! The double's answers, and what it thinks of the questions.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::double::{Double, Post, Queued, State};
use super::tape::PNG;
use super::wire::{self, Request};

/// What every request has to be like.
pub fn judge(state: &mut State, request: &Request) -> Result<(), u16> {
    if request.headers.contains_key("origin") {
        state.faults.push("an Origin: a real server would answer 403".into());
    }
    let wanted = state.manners.authorization.as_deref().unwrap_or_default();
    if request.header("authorization") != wanted {
        return Err(401);
    }
    Ok(())
}

pub async fn answer(double: &Double, mut stream: TcpStream, request: &Request) {
    let judged = judge(&mut double.state(), request);
    if let Err(status) = judged {
        return wire::answer(&mut stream, status, "text/plain", b"who are you").await;
    }
    if request.line() == "POST /prompt" {
        return prompt(double, stream, request).await;
    }
    if request.line() == "GET /view" {
        return view(double, stream, request).await;
    }
    let answer = decided(&mut double.state(), request);
    let (status, body) = match answer {
        Ok(Value::Null) => (200, String::new()),
        Ok(body) => (200, body.to_string()),
        Err(why) => {
            double.state().faults.push(format!("{}: {why}", request.line()));
            (400, String::new())
        }
    };
    wire::answer(&mut stream, status, "application/json; charset=utf-8", body.as_bytes()).await;
}

fn decided(state: &mut State, request: &Request) -> Result<Value, String> {
    let body = request.json();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/system_stats") => Ok(json!({ "devices": [{ "name": "cpu", "index": null }] })),
        ("GET", "/queue") => {
            let row = |it: &Queued| json!([it.number, it.id, it.body["prompt"], {}, ["9"]]);
            // A heap is in no order.
            let pending: Vec<Value> = state.pending.iter().rev().map(row).collect();
            let running: Vec<Value> = state.running.iter().map(row).collect();
            Ok(json!({ "queue_running": running, "queue_pending": pending }))
        }
        ("POST", "/queue") => {
            let ids = body["delete"].as_array().filter(|_| body.as_object().is_some_and(|it| it.len() == 1));
            let ids = ids.ok_or(format!("{body} deletes nothing"))?;
            state.pending.retain(|it| !ids.contains(&json!(it.id)));
            Ok(Value::Null)
        }
        ("POST", "/interrupt") => {
            let id = body["prompt_id"].as_str().ok_or("an interrupt without a prompt hits whatever runs")?;
            if state.running.as_ref().is_some_and(|it| it.id == id) {
                state.interrupted = true;
            }
            Ok(Value::Null)
        }
        ("POST", "/upload/image") => {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            let name = text.split("filename=\"").nth(1).and_then(|it| it.split('"').next());
            let name = name.filter(|_| text.contains("name=\"image\"")).ok_or("no field `image`")?;
            state.uploads.push(request.clone());
            let taken = state.manners.taken.iter().any(|it| it == name);
            let name = if taken { name.replace('.', " (1).") } else { name.to_owned() };
            Ok(json!({ "name": name, "subfolder": "", "type": "input" }))
        }
        ("GET", path) => match path.strip_prefix("/history/") {
            Some(id) => Ok(history(state, id)),
            None => Err("there is no such thing".into()),
        },
        _ => Err("there is no such thing".into()),
    }
}

fn history(state: &mut State, id: &str) -> Value {
    let Some(entry) = state.history.get(id) else { return json!({}) };
    if state.manners.late > 0 {
        state.manners.late -= 1;
        return json!({});
    }
    json!({ id: entry })
}

async fn prompt(double: &Double, mut stream: TcpStream, request: &Request) {
    let body = request.json();
    let (post, number) = {
        let mut state = double.state();
        let faults = faults(&state, request, &body);
        state.faults.extend(faults);
        state.numbers += 1;
        (state.manners.posts.pop_front().unwrap_or(Post::Take(json!({}))), state.numbers)
    };
    let id = body["prompt_id"].as_str().unwrap_or_default().to_owned();
    let taken = matches!(post, Post::Take(_) | Post::TakeAndCut);
    if taken {
        double.state().pending.push(Queued { number, id: id.clone(), body });
    }
    match post {
        Post::Take(errors) => {
            let said = json!({ "prompt_id": id, "number": number, "node_errors": errors }).to_string();
            wire::answer(&mut stream, 200, "application/json", said.as_bytes()).await;
        }
        Post::TakeAndCut | Post::Cut => wire::reset(stream),
        Post::Answer(status, said) => {
            wire::answer(&mut stream, status, "application/json", said.to_string().as_bytes()).await;
        }
    }
    double.touch();
}

fn faults(state: &State, request: &Request, body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |so: bool, what: &str| {
        if !so {
            faults.push(format!("POST /prompt: {what}: {body}"));
        }
    };
    expect(request.header("content-type") == "application/json", "the type of the body");
    let keys: Vec<&String> = body.as_object().map(|it| it.keys().collect()).unwrap_or_default();
    expect(keys == ["client_id", "extra_data", "prompt", "prompt_id"], "the members of the body");
    let nodes = body["prompt"].as_object().map(|it| it.values().all(|it| it["class_type"].is_string()));
    expect(nodes == Some(true), "nodes");
    let id = body["prompt_id"].as_str().unwrap_or_default();
    let form: Vec<usize> = id.split('-').map(str::len).collect();
    expect(form == [8, 4, 4, 4, 12], "the prompt's id is a UUID");
    let client = body["client_id"].as_str().unwrap_or_default();
    expect(state.clients.contains_key(client), "a WebSocket of this client, opened before");
    let first = state.said.first().is_none_or(|it| it["type"] == "feature_flags");
    expect(first, "the first thing that is said is what the client understands");
    faults
}

async fn view(double: &Double, mut stream: TcpStream, request: &Request) {
    let of = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let named = json!({ "filename": of("filename"), "subfolder": of("subfolder"), "type": of("type") });
    let (known, cut, gone) = {
        let mut state = double.state();
        let known = state
            .history
            .values()
            .any(|it| it["outputs"].to_string().contains(&named["filename"].to_string()));
        let (cut, gone) = (state.manners.cut_files > 0, state.manners.no_files);
        state.manners.cut_files = state.manners.cut_files.saturating_sub(1);
        (known, cut, gone)
    };
    if !known {
        double.state().faults.push(format!("{named} was never made"));
    }
    if gone {
        return wire::answer(&mut stream, 404, "text/plain", b"").await;
    }
    let content = [PNG, named.to_string().as_bytes()].concat();
    let more = double.state().manners.more_bytes;
    if more > 0 {
        return wire::stream(&mut stream, &content, more).await;
    }
    if cut {
        use tokio::io::AsyncWriteExt as _;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf of it").await.unwrap();
        stream.shutdown().await.unwrap();
        return;
    }
    wire::answer(&mut stream, 200, "image/png", &content).await;
}
