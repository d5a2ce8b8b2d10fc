//! Replicate's API, by a double that its official client drives as well.

use serde_json::json;
use spec::env::Secret;
use worker::Kind::{self, Permanent, Retryable, Stopped};
use worker::connectors::replicate::Replicate;
use worker::{Connector as _, Stop};

use crate::replicate_double::{Double, TOKEN};
use crate::support::{Attempt, Python, egress, hasty, meaning, png, run, until};

fn connector(double: &Double) -> Replicate {
    Replicate::new(double.base.clone(), Secret::new(TOKEN.to_owned()), egress()).waiting(hasty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_takes_the_double_for_replicate() {
    let Some(python) = Python::find() else { return };
    let double = Double::start().await;
    let script = r"
import sys, replicate
it = replicate.Client(api_token=sys.argv[2], base_url=sys.argv[1])
assert it.accounts.current().username == 'test'
done = it.predictions.create(version='v1', input={'then': 'succeeded', 'looks': 2, 'output': 'files'})
assert done.status == 'starting'
done.reload()
assert done.status == 'processing' and done.progress.percentage == 0.25, done
done.wait()
assert done.status == 'succeeded' and len(done.output) == 2, done
failed = it.models.predictions.create(model=('black', 'flux'), input={'then': 'failed', 'error': 'no'})
failed.wait()
assert failed.status == 'failed' and failed.error == 'no' and failed.model == 'black/flux'
left = it.predictions.create(version='v1', input={'then': 'never'})
left.cancel()
assert left.status == 'canceled'
try:
    it.predictions.get('nothing')
    raise SystemExit('it has what it cannot have')
except replicate.exceptions.ReplicateError as e:
    assert e.status == 404, e
";
    python.script(script, &[double.base.join("/").unwrap().as_str(), TOKEN]).await;
    assert_eq!(double.inside().predictions.len(), 3);
}

#[tokio::test]
async fn every_end_of_a_prediction_means_what_it_should() {
    let double = Double::start().await;
    let replicate = connector(&double);
    replicate.check().await.unwrap();
    let table: [(&str, &str, Kind, &str); 6] = [
        ("failed", "it broke", Retryable, "the prediction failed: it broke"),
        (
            "failed",
            "CUDA out of memory. Tried",
            Retryable,
            "the prediction failed: CUDA out of memory. Tried",
        ),
        ("aborted", "", Retryable, "was aborted before it began: "),
        ("canceled", "", Retryable, "someone cancelled the prediction"),
        ("evaporated", "of a later version", Retryable, "ended as `evaporated`: of a later version"),
        ("succeeded", "", Permanent, ""),
    ];
    for (then, error, kind, words) in table {
        let input = json!({ "then": then, "error": error, "looks": 2, "output": { "text": "a cat" } });
        let attempt = Attempt::new("replicate", json!({ "version": "v1", "input": input }));
        match attempt.run(&replicate).await {
            Ok(made) => {
                assert_eq!(then, "succeeded");
                assert_eq!(
                    made,
                    json!({ "output": { "text": "a cat" }, "metrics": { "predict_time": 1.5 } })
                );
            }
            Err(failure) => {
                assert_eq!(meaning(&failure), (kind, false, None), "{then}: {failure}");
                assert!(failure.message.ends_with(words), "{then}: {failure}");
            }
        }
        assert_eq!(attempt.told(), (25, "running".into()), "{then}");
    }
    let cancel_after = double.inside().predictions.values().next().unwrap().cancel_after.clone();
    assert_eq!(cancel_after, "60s");
}

#[tokio::test]
async fn files_are_fetched_before_they_expire_and_words_are_left_alone() {
    let double = Double::start().await;
    let input = json!({ "then": "succeeded", "output": "files" });
    let attempt = Attempt::new("replicate", json!({ "model": "black-forest-labs/flux", "input": input }));
    let made = attempt.run(&connector(&double)).await.unwrap();
    for at in 0..2 {
        let stored = &made["output"][at];
        assert_eq!(stored["content_type"], "image/png");
        assert!(stored["name"].as_str().unwrap().ends_with(&format!("-out-{at}.png")), "{stored}");
        assert_eq!(attempt.bytes(stored).await, png());
    }
    assert_eq!(double.count("POST /v1/models/black-forest-labs/flux/predictions"), 1);
    // What a language model says about addresses is not one of a file, or not of this service.
    let said = json!([
        "https://",
        "https://example.com/a.png",
        " is an address, and https://x y",
        "ftp://a/b",
        "data:",
        "data:;base64,is how"
    ]);
    let input = json!({ "then": "succeeded", "output": said });
    let made =
        run(&connector(&double), "replicate", json!({ "version": "v", "input": input })).await.unwrap();
    assert_eq!(made["output"], said);
    let picture = "data:image/png;base64,iVBORw0KGgo=";
    let input = json!({ "then": "succeeded", "output": { "picture": picture } });
    let made =
        run(&connector(&double), "replicate", json!({ "version": "v", "input": input })).await.unwrap();
    assert_eq!(made["output"]["picture"]["bytes"], 8);
}

#[tokio::test]
async fn a_refused_creation_is_tried_again_and_one_whose_answer_was_cut_is_not() {
    let double = Double::start().await;
    let job = json!({ "version": "v1", "input": { "then": "succeeded", "output": "done" } });
    double.inside().throttles = 3;
    run(&connector(&double), "replicate", job.clone()).await.unwrap();
    assert_eq!(double.count("POST /v1/predictions"), 4);
    double.inside().throttles = 4;
    let failure = run(&connector(&double), "replicate", job.clone()).await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, false, Some(0)), "{failure}");
    assert!(failure.message.ends_with("Request was throttled. Your rate limit resets in ~0s."), "{failure}");
    assert_eq!(double.inside().predictions.len(), 1);
    double.inside().cuts = true;
    let failure = run(&connector(&double), "replicate", job).await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, true, None), "{failure}");
    assert_eq!(double.inside().predictions.len(), 2);
}

#[tokio::test]
async fn a_stop_cancels_the_prediction_even_if_the_first_cancellation_fails() {
    let double = Double::start().await;
    let attempt = Attempt::new("replicate", json!({ "version": "v1", "input": { "then": "never" } }));
    let replicate = connector(&double);
    let (result, ()) = tokio::join!(attempt.run(&replicate), async {
        until("it runs", async || double.count("GET /v1/predictions/") > 1).await;
        double.inside().failures = 3;
        attempt.hands.stop.stop(Stop::Cancelled);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    assert_eq!(double.only().status(), "canceled");
}

#[tokio::test]
async fn a_stop_while_a_prediction_is_created_cancels_what_was_created() {
    let double = Double::start().await;
    double.answers.send_replace(false);
    let attempt = Attempt::new("replicate", json!({ "version": "v1", "input": { "then": "never" } }));
    let replicate = connector(&double);
    let (result, ()) = tokio::join!(attempt.run(&replicate), async {
        until("it is asked for", async || double.count("POST /v1/predictions") == 1).await;
        attempt.hands.stop.stop(Stop::Shutdown);
        tokio::task::yield_now().await;
        double.answers.send_replace(true);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    assert_eq!(double.only().status(), "canceled");
}

#[tokio::test]
async fn looks_may_fail_for_a_while_and_a_forgotten_prediction_is_tried_again() {
    let double = Double::start().await;
    let job = json!({ "version": "v1", "input": { "then": "succeeded", "output": "done" } });
    double.inside().failures = 9;
    run(&connector(&double), "replicate", job.clone()).await.unwrap();
    double.inside().failures = 11;
    let failure = run(&connector(&double), "replicate", job.clone()).await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, true, None), "{failure}");
    double.inside().failures = 0;
    double.inside().forgets = true;
    let failure = run(&connector(&double), "replicate", job).await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, true, None), "{failure}");
}

#[tokio::test]
async fn a_wrong_token_a_wrong_payload_and_a_path_in_a_name_are_permanent() {
    let double = Double::start().await;
    let stranger =
        Replicate::new(double.base.clone(), Secret::new("r8_another".to_owned()), egress()).waiting(hasty());
    let failure = run(&stranger, "replicate", json!({ "version": "v1", "input": {} })).await.unwrap_err();
    assert_eq!(meaning(&failure), (Permanent, false, None));
    assert!(failure.message.ends_with("You did not pass a valid authentication token"), "{failure}");
    assert_eq!(stranger.check().await.unwrap_err().kind, Permanent);
    for payload in [
        json!({ "input": {} }),
        json!({ "version": "v", "model": "a/b", "input": {} }),
        json!({ "model": "../..", "input": {} }),
        json!({ "model": "a", "input": {} }),
        json!({ "version": "v", "input": [] }),
        json!({ "version": "v", "input": {}, "webhook": "https://example.com" }),
    ] {
        let failure = run(&stranger, "replicate", payload.clone()).await.unwrap_err();
        assert_eq!(failure.kind, Permanent, "{payload}");
    }
    assert_eq!(double.count("POST"), 1);
}
