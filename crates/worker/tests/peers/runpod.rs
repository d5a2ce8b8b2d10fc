//! `RunPod`'s serverless endpoints, by a double of their operations.

use reqwest::Url;
use serde_json::{Value, json};
use spec::env::Secret;
use worker::Kind::{self, Permanent, Retryable, Stopped};
use worker::connectors::runpod::RunPod;
use worker::{Connector as _, Stop};

use crate::runpod_double::Double;
use crate::support::{Attempt, egress, hasty, meaning, png, run, until};

fn connector(url: &Url) -> RunPod {
    RunPod::new(url.clone(), Secret::new("key".to_owned()), egress()).waiting(hasty())
}

#[tokio::test]
async fn every_end_of_a_job_means_what_it_should() {
    let (_double, url) = Double::start().await;
    let runpod = connector(&url);
    runpod.check().await.unwrap();
    let stranger = RunPod::new(url.clone(), Secret::new("no".to_owned()), egress());
    assert_eq!(stranger.check().await.unwrap_err().kind, Permanent);
    let table: [(&str, Value, Kind, bool, &str); 6] = [
        ("FAILED", json!("it broke"), Retryable, false, "the job failed: it broke"),
        ("FAILED", json!({ "type": "E" }), Retryable, false, r#"the job failed: {"type":"E"}"#),
        ("FAILED", json!("CUDA out of memory"), Retryable, false, "the job failed: CUDA out of memory"),
        ("TIMED_OUT", json!(null), Retryable, false, "the job took too long: it does not say why"),
        ("CANCELLED", json!(null), Retryable, false, "someone cancelled the prediction"),
        ("forgotten", json!(null), Retryable, true, "job not found"),
    ];
    for (then, error, kind, suspect, words) in table {
        let failure =
            run(&runpod, "runpod", json!({ "input": { "then": then, "error": error } })).await.unwrap_err();
        assert_eq!(meaning(&failure), (kind, suspect, None), "{then}: {failure}");
        assert!(failure.message.ends_with(words), "{then}: {failure}");
    }
}

#[tokio::test]
async fn outputs_come_whole_in_parts_or_as_files() {
    let (_double, url) = Double::start().await;
    let runpod = connector(&url);
    let attempt =
        Attempt::new("runpod", json!({ "input": { "then": "COMPLETED", "output": { "text": "a cat" } } }));
    let made = attempt.run(&runpod).await.unwrap();
    assert_eq!(made, json!({ "output": { "text": "a cat" }, "delay_ms": 3, "execution_ms": 5 }));
    assert_eq!(attempt.told(), (40, "running".into()));
    let parts = json!(["A", " c", "at", { "tokens": 3 }, "."]);
    let made =
        run(&runpod, "runpod", json!({ "input": { "then": "COMPLETED", "output": null, "parts": parts } }))
            .await;
    assert_eq!(made.unwrap()["output"], parts);
    let attempt = Attempt::new("runpod", json!({ "input": { "then": "COMPLETED", "output": "file" } }));
    let made = attempt.run(&runpod).await.unwrap();
    assert_eq!(attempt.bytes(&made["output"]["image_url"]).await, png());
}

#[tokio::test]
async fn a_stop_cancels_the_job() {
    let (double, url) = Double::start().await;
    let runpod = connector(&url);
    let attempt = Attempt::new("runpod", json!({ "input": { "then": "never" } }));
    let (result, ()) = tokio::join!(attempt.run(&runpod), async {
        until("it is there", async || double.looks() > 0).await;
        attempt.hands.stop.stop(Stop::Deadline);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    assert_eq!(double.status(), "CANCELLED");
}
