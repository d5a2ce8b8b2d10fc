//! The dialect of the fork, whose server is a script here.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use worker::connectors::comfyui::{ComfyUi, Dialect};
use worker::{Failure, Kind};

use crate::rig::{TIMES, egress, rig};
use crate::tape::made;
use crate::wire::{self, Request};

type Socket = WebSocketStream<TcpStream>;

/// A server that greets, takes one prompt, and says this.
async fn server(says: Vec<Value>, history: Value) -> (Url, tokio::task::JoinHandle<Value>) {
    use tokio::io::AsyncWriteExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let serving = tokio::spawn(async move {
        let mut heard = Value::Null;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = Request::read(&mut stream).await.unwrap();
            if request.path != "/ws" {
                wire::answer(&mut stream, 200, "application/json", history.to_string().as_bytes()).await;
                return heard;
            }
            let key = derive_accept_key(request.header("sec-websocket-key").as_bytes());
            let head = format!(
                "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {key}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            heard = script(&mut socket, &says).await;
            if history.is_null() {
                return heard;
            }
        }
    });
    (url, serving)
}

async fn script(socket: &mut Socket, says: &[Value]) -> Value {
    let hello = json!({ "type": "client_id", "data": { "client_id": "c-7" } });
    socket.send(Message::text(hello.to_string())).await.unwrap();
    let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("no prompt") };
    for message in says {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    serde_json::from_str(text.as_str()).unwrap()
}

async fn run(says: Vec<Value>, history: Value) -> (Result<Value, Failure>, Value) {
    let (url, serving) = server(says, history).await;
    let it = ComfyUi::new(url, egress()).dialect(Dialect::Fork).times(TIMES);
    let result = rig(made([]).payload()).run(&it).await;
    (result, serving.await.unwrap())
}

fn queued() -> Value {
    json!({ "type": "prompt_queued", "data": { "prompt_id": "p-1" } })
}

#[tokio::test]
async fn the_prompt_goes_over_the_socket_and_its_end_brings_the_outputs() {
    let outputs = json!({ "9": { "images": [{ "filename": "a.png" }] } });
    let says = vec![
        queued(),
        json!({ "type": "progress", "data": { "prompt_id": "p-1", "progress": 0.5 } }),
        json!({ "type": "crystools.monitor", "data": {} }),
        json!({ "type": "executing", "data": { "prompt_id": "p-2", "node": null } }),
        json!({ "type": "executing", "data": { "prompt_id": "p-1", "node": null, "outputs": outputs } }),
    ];
    let (result, heard) = run(says, Value::Null).await;
    assert_eq!(result.unwrap(), json!({ "prompt_id": "p-1", "outputs": outputs }));
    let prompt = json!({ "prompt": made([]).workflow, "extra_data": { "client_id": "c-7" } });
    assert_eq!(heard, json!({ "type": "prompt", "data": prompt }));
}

#[tokio::test]
async fn an_error_is_told_in_its_words() {
    let error = json!({ "type": "execution_error", "data": { "prompt_id": "p-1", "exception_message": "no such model\n" } });
    let failure = run(vec![queued(), error], Value::Null).await.0.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (Kind::Retryable, "ComfyUI: no such model"));
}

#[tokio::test]
async fn the_history_knows_what_became_of_a_prompt_whose_socket_was_cut() {
    let outputs = json!({ "9": { "images": [{ "filename": "a.png" }] } });
    let history = json!({ "p-1": { "outputs": outputs, "status": { "status_str": "success" } } });
    let result = run(vec![queued()], history).await.0.unwrap();
    assert_eq!(result, json!({ "prompt_id": "p-1", "outputs": outputs }));
}

#[tokio::test]
async fn a_prompt_that_was_sent_and_never_confirmed_leaves_the_service_in_doubt() {
    let failure = run(vec![], Value::Null).await.0.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
}
