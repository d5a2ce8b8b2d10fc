//! A real ComfyUI, at `ROSTER_TEST_COMFYUI_URL`. Only nodes that every ComfyUI has are used, and no model.

use reqwest::Url;
use serde_json::{Value, json};
use worker::connectors::comfyui::ComfyUi;
use worker::{Connector as _, Kind};

use crate::rig::{Rig, egress, rig};
use crate::tape::PNG;

/// The connector for the real server, if there is one.
fn real() -> Option<ComfyUi> {
    let Ok(url) = std::env::var("ROSTER_TEST_COMFYUI_URL") else {
        eprintln!("skipped: ROSTER_TEST_COMFYUI_URL names no ComfyUI");
        return None;
    };
    Some(ComfyUi::new(Url::parse(&url).unwrap(), egress()))
}

/// A picture of a new colour each time, blurred so often.
fn workflow(blurs: usize) -> Value {
    let nanoseconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let mut workflow = json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 1024, "height": 1024, "batch_size": 1, "color": nanoseconds % 0x00ff_ffff } },
        "2": { "class_type": "RepeatImageBatch", "inputs": { "image": ["1", 0], "amount": if blurs > 0 { 4 } else { 1 } } }
    });
    for at in 0..blurs {
        let before = if at == 0 { "2".to_owned() } else { format!("b{}", at - 1) };
        workflow[format!("b{at}")] = json!({
            "class_type": "ImageBlur", "inputs": { "image": [before, 0], "blur_radius": 15, "sigma": 5.0 }
        });
    }
    let last = if blurs == 0 { "2".to_owned() } else { format!("b{}", blurs - 1) };
    workflow["9"] =
        json!({ "class_type": "SaveImage", "inputs": { "images": [last, 0], "filename_prefix": "roster" } });
    workflow
}

/// A rig under a name that the server has not seen before.
fn fresh(payload: Value) -> Rig {
    let mut rig = rig(payload);
    rig.task.attempt_id = format!("live-{}-{:?}", std::process::id(), std::time::Instant::now());
    rig
}

#[tokio::test]
async fn a_real_server_does_a_job_and_then_does_it_from_its_cache() {
    let Some(it) = real() else { return };
    it.check().await.unwrap();
    let payload = json!({ "workflow": workflow(1) });
    for cached in [false, true] {
        let rig = fresh(payload.clone());
        let (result, told) = rig.watched(&it).await;
        let result = result.unwrap();
        assert!(rig.file(&result["files"][0]).await.starts_with(PNG));
        assert!(told.is_sorted_by_key(|it| it.0), "{told:?}");
        assert_eq!(!result["cached"].as_array().unwrap().is_empty(), cached);
    }
}

#[tokio::test]
async fn a_real_server_refuses_and_fails_in_its_own_words() {
    let Some(it) = real() else { return };
    let mut refused = workflow(0);
    refused["1"]["inputs"]["width"] = json!(-5);
    let failure = fresh(json!({ "workflow": refused })).run(&it).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Permanent, "{failure}");
    assert!(failure.message.contains("node 1 (EmptyImage)"), "{failure}");

    let mut failing = workflow(0);
    failing["3"] =
        json!({ "class_type": "ImageToMask", "inputs": { "image": ["2", 0], "channel": "alpha" } });
    failing["4"] = json!({ "class_type": "MaskToImage", "inputs": { "mask": ["3", 0] } });
    failing["9"]["inputs"]["images"] = json!(["4", 0]);
    let failure = fresh(json!({ "workflow": failing })).run(&it).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Retryable, "{failure}");
    assert!(failure.message.contains("node 3 (ImageToMask)"), "{failure}");
}

#[tokio::test]
async fn a_real_server_stops_a_job_and_takes_the_next() {
    let Some(it) = real() else { return };
    let rig = fresh(json!({ "workflow": workflow(60) }));
    let begun = async {
        let mut progress = rig.hands.progress.clone();
        progress.wait_for(|it| it.as_ref().is_some_and(|it| it.message.contains("ImageBlur"))).await.unwrap();
    };
    let failure = rig.stopped(&it, begun).await;
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    fresh(json!({ "workflow": workflow(0) })).run(&it).await.unwrap();
}

#[tokio::test]
async fn a_real_server_is_given_an_input() {
    let Some(it) = real() else { return };
    // One pixel.
    let pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let workflow = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "roster-pixel.png" } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "roster" } }
    });
    let payload = json!({ "workflow": workflow, "inputs": [{ "name": "roster-pixel.png", "url": pixel }] });
    let result = fresh(payload).run(&it).await.unwrap();
    assert_eq!(result["files"][0]["content_type"], "image/png");
}
