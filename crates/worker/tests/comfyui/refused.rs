//! Workflows that ComfyUI does not take.

use serde_json::json;
use worker::Kind;

use crate::double::{Double, Manners, Post};
use crate::rig::{comfyui, rig};
use crate::tape::{lines, made};

#[tokio::test]
async fn every_refusal_of_a_real_server_is_permanent_and_told_node_by_node() {
    let mut told = Vec::new();
    for line in lines("invalid").iter().filter(|it| it["status"] == 400) {
        let posts = [Post::Answer(400, line["response"].clone())].into();
        let double = Double::start(Manners { posts, ..Manners::default() }).await;
        let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
        assert_eq!((failure.kind, failure.suspect), (Kind::Permanent, false), "{failure}");
        assert_eq!(double.count("POST /prompt"), 1);
        double.judge();
        told.push(failure.message.strip_prefix("ComfyUI does not take the workflow: ").unwrap().to_owned());
    }
    insta::assert_snapshot!(told.join("\n"), @"
    node 3 (ImageScale): Value -5 smaller than min of 0: width; node 3 (ImageScale): Value not in list: upscale_method: 'no-such-method' not in ['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']; node 3 (ImageScale): Required input is missing: height
    Prompt has no outputs
    Cannot execute because node NoSuchNode does not exist: Node ID '#2'
    Cannot execute because a node is missing the class_type property: Node ID '#2'
    node 2 (ImageInvert): Exception when validating inner node: '77'
    node 2 (ImageInvert): Exception when validating inner node: tuple index out of range
    Prompt outputs failed validation (and it names no node, as when nodes link in a circle)
    node 1 (LoadImage): Custom validation failed for node: image - Invalid image file: nope.png
    node 1 (EmptyImage): Failed to convert an input value to a INT value: width, abc, invalid literal for int() with base 10: 'abc'
    Prompt has no outputs
    No prompt provided
    Prompt has no outputs
    ");
}

#[tokio::test]
async fn a_workflow_of_the_page_is_refused_before_anything_is_sent() {
    let double = Double::start(Manners::default()).await;
    let payload = json!({ "workflow": { "nodes": [{ "id": 1 }], "links": [] } });
    let failure = rig(payload).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Permanent);
    assert!(failure.message.contains("Export (API)"));
    assert_eq!(double.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_asks_for_another_key_is_a_permanent_failure_without_the_key() {
    let manners = Manners { authorization: Some("Bearer right".into()), ..Manners::default() };
    let double = Double::start(manners).await;
    let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
    insta::assert_snapshot!(failure.message, @"opening the WebSocket of ComfyUI: 401 Unauthorized: ");
    assert_eq!(failure.kind, Kind::Permanent);
    assert_eq!(double.count("POST /prompt"), 0);
}
