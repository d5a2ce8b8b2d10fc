//! What goes to the server and what comes from it.

use std::time::Duration;

use serde_json::{Value, json};
use spec::env::Secret;
use worker::connectors::comfyui::ComfyUi;
use worker::{Egress, Kind, Rules};

use crate::double::{Double, Manners};
use crate::rig::{TIMES, comfyui, egress, rig};
use crate::tape::{PNG, Step, Tape, made};

async fn double(manners: Manners) -> Double {
    Double::start(Manners { tape: Some(made([])), ..manners }).await
}

/// A workflow with an input, which is at this address.
fn payload(url: &str) -> Value {
    let mut workflow = made([]).workflow;
    workflow["1"] = json!({ "class_type": "LoadImage", "inputs": { "image": "cat.png" } });
    json!({ "workflow": workflow, "inputs": [{ "name": "cat.png", "url": url }] })
}

const DATA: &str = "data:image/png;base64,iVBORw0KGgo=";

#[tokio::test]
async fn an_input_is_uploaded_and_named_as_the_server_names_it() {
    for (taken, name) in [(vec![], "cat.png"), (vec!["cat.png".to_owned()], "cat (1).png")] {
        let double = double(Manners { taken, ..Manners::default() }).await;
        rig(payload(DATA)).run(&comfyui(&double)).await.unwrap();
        let lines = double.lines();
        assert_eq!(lines[..3], ["POST /upload/image", "GET /ws", "POST /prompt"]);
        assert_eq!(double.state().log[2].json()["prompt"]["1"]["inputs"]["image"], name);
        let body = double.state().uploads[0].body.clone();
        assert!(body.windows(8).any(|it| it == &PNG[..8]));
        double.judge();
    }
}

#[tokio::test]
async fn an_input_is_fetched_through_the_guard_and_passed_on() {
    // Another double is where the input is: it shows what it has made.
    let source = double(Manners::default()).await;
    rig(made([]).payload()).run(&comfyui(&source)).await.unwrap();
    let url = source.url.join("/view?filename=a.png&subfolder=&type=output").unwrap();
    let double = double(Manners::default()).await;
    rig(payload(url.as_str())).run(&comfyui(&double)).await.unwrap();
    let body = double.state().uploads[0].body.clone();
    assert!(
        String::from_utf8_lossy(&body).contains(r#"{"filename":"a.png","subfolder":"","type":"output"}"#)
    );

    let strict = ComfyUi::new(double.url.clone(), Egress::new(Rules::default()));
    let failure = rig(payload(url.as_str())).run(&strict).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Permanent);
    assert_eq!(double.count("POST /prompt"), 1);
}

#[tokio::test]
async fn an_input_that_breaks_off_is_not_the_fault_of_comfyui() {
    let source = double(Manners { cut_files: 1, ..Manners::default() }).await;
    let url = source.url.join("/view?filename=a.png").unwrap();
    let double = double(Manners::default()).await;
    let failure = rig(payload(url.as_str())).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false), "{failure}");
    assert!(failure.message.starts_with("fetching an address of the job"), "{failure}");
    let failure = rig(payload("data:,no")).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!(failure.message, "the input `cat.png` is a data URL without `;base64,`");
    assert_eq!(double.count("POST /prompt"), 0);
}

#[tokio::test]
async fn a_file_whose_connection_is_cut_is_fetched_again() {
    let double = double(Manners { cut_files: 2, ..Manners::default() }).await;
    let rig = rig(made([]).payload());
    let result = rig.run(&comfyui(&double)).await.unwrap();
    assert!(rig.file(&result["files"][0]).await.starts_with(PNG));
    assert_eq!(double.count("GET /view"), 3);
}

#[tokio::test]
async fn a_file_that_is_not_there_any_more_is_a_failure() {
    let double = double(Manners { no_files: true, ..Manners::default() }).await;
    let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false));
    assert_eq!(failure.message, "fetching the output `a.png`: it is not there any more");
}

#[tokio::test]
async fn files_of_the_same_name_do_not_replace_each_other_and_values_stay_in_the_result() {
    let mut tape = made([]);
    let named = |folder: &str| json!({ "filename": "a b.png", "subfolder": folder, "type": "output" });
    tape.outputs = json!({
        "9": { "images": [named("x"), named("y"), named("x")], "animated": [false] },
        "8": { "text": ["a cat"] }
    })
    .as_object()
    .unwrap()
    .clone();
    let double = Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await;
    let rig = rig(tape.payload());
    let result = rig.run(&comfyui(&double)).await.unwrap();
    let names: Vec<_> =
        result["files"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["0-a_b.png", "1-a_b.png"]);
    assert!(String::from_utf8_lossy(&rig.file(&result["files"][1]).await).contains(r#""subfolder":"y""#));
    assert_eq!(result["values"], json!({ "8": { "text": ["a cat"] }, "9": { "animated": [false] } }));
}

#[tokio::test]
async fn a_server_elsewhere_gets_its_key_with_every_request() {
    let tape = Tape::of("fast", 0);
    let locked = |authorization: &str| Manners {
        tape: Some(tape.clone()),
        authorization: Some(authorization.into()),
        ..Manners::default()
    };
    let bearer = Double::start(locked("Bearer canary-token")).await;
    let token = Some(Secret::new("canary-token".to_owned()));
    let it = ComfyUi::remote(bearer.url.clone(), token, egress()).times(TIMES);
    rig(tape.payload()).run(&it).await.unwrap();

    // RFC 7617: the base64 of `user:p@ss`.
    let basic = Double::start(locked("Basic dXNlcjpwQHNz")).await;
    let mut url = basic.url.clone();
    url.set_username("user").unwrap();
    url.set_password(Some("p@ss")).unwrap();
    rig(tape.payload()).run(&ComfyUi::remote(url, None, egress()).times(TIMES)).await.unwrap();
    for double in [bearer, basic] {
        double.judge();
        assert_eq!(double.count("GET /view"), 1);
    }
}

#[tokio::test]
async fn a_file_of_many_parts_that_took_its_time_is_stored_whole() {
    let tape = made([Step::Pause(Duration::from_millis(50))]);
    let manners = Manners { tape: Some(tape.clone()), more_bytes: 12 << 20, ..Manners::default() };
    let double = Double::start(manners).await;
    let rig = rig(tape.payload());
    let result = rig.run(&comfyui(&double)).await.unwrap();
    let content = rig.file(&result["files"][0]).await;
    assert_eq!(json!(content.len()), result["files"][0]["bytes"]);
    assert!(content.starts_with(PNG) && content.len() > 12 << 20);
    double.judge();
}
