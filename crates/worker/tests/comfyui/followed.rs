//! Prompts that are followed to their end.

use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use worker::Kind;

use crate::double::{Double, Manners, Out};
use crate::rig::{comfyui, impatient, rig};
use crate::tape::{Step, Tape, made};

async fn double(tape: &Tape) -> Double {
    Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await
}

/// Plays a tape, and returns the result.
async fn done(tape: &Tape) -> Value {
    let double = double(tape).await;
    let result = rig(tape.payload()).run(&comfyui(&double)).await;
    double.judge();
    result.unwrap()
}

fn say(kind: &str, data: &Value) -> Step {
    Step::Say(json!({ "type": kind, "data": data }))
}

#[tokio::test]
async fn a_prompt_is_followed_and_its_files_are_fetched() {
    let tape = Tape::of("fast", 0);
    let double = double(&tape).await;
    let rig = rig(tape.payload());
    let (result, told) = rig.watched(&comfyui(&double)).await;
    let result = result.unwrap();
    double.judge();
    assert_eq!(
        double.lines(),
        [
            "GET /ws",
            "POST /prompt",
            &format!("GET /history/{}", result["prompt_id"].as_str().unwrap()),
            "GET /view"
        ]
    );
    assert_eq!(result["files"][0]["name"], "0-fast_00011_.png");
    assert_eq!(result["files"][0]["node"], "9");
    assert_eq!(result["files"][0]["content_type"], "image/png");
    let content = String::from_utf8_lossy(&rig.file(&result["files"][0]).await).into_owned();
    assert!(
        content.contains(r#"{"filename":"fast_00011_.png","subfolder":"bench","type":"output"}"#),
        "{content}"
    );
    assert!(told.is_sorted_by_key(|it| it.0), "{told:?}");
    assert_eq!(told.last().unwrap(), &(99, "fetching `fast_00011_.png`".to_owned()));
}

#[tokio::test]
async fn a_prompt_that_was_cached_altogether_brings_the_file_of_last_time_and_says_so() {
    let result = done(&Tape::of("fast", 1)).await;
    assert_eq!(result["cached"], json!(["1", "2", "3", "9"]));
    assert_eq!(result["files"][0]["name"], "0-fast_00011_.png");
}

#[tokio::test]
async fn a_node_that_fails_is_told_in_its_words_without_the_newline_at_their_end() {
    let tape = Tape::of("fail", 0);
    let double = double(&tape).await;
    let failure = rig(tape.payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_snapshot!(failure.message, @"ComfyUI: node 2 (ImageToMask): IndexError: index 3 is out of bounds for dimension 3 with size 3");
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false));
    double.judge();
}

#[tokio::test]
async fn a_node_without_enough_memory_puts_the_service_in_doubt() {
    let error = json!({
        "prompt_id": "", "node_id": "1", "node_type": "KSampler", "exception_type": "torch.OutOfMemoryError",
        "exception_message": "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    });
    let tape = made([say("execution_error", &error)]);
    let double = double(&tape).await;
    let failure = rig(tape.payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true));
}

#[tokio::test]
async fn an_interrupt_by_somebody_else_is_no_failure_of_the_workflow() {
    let tape = Tape::of("interrupt", 0);
    let double = double(&tape).await;
    let failure = rig(tape.payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!(failure.message, "it was interrupted at ComfyUI by somebody else");
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false));
}

#[tokio::test]
async fn four_hundred_messages_in_a_moment_are_heard_and_progress_never_falls() {
    let tape = Tape::of("sleep", 0);
    assert!(tape.steps.len() > 400);
    let double = double(&tape).await;
    let (result, told) = rig(tape.payload()).watched(&comfyui(&double)).await;
    result.unwrap();
    assert!(told.is_sorted_by_key(|it| it.0), "{told:?}");
    assert!(told.iter().any(|it| it.1.contains("(TestSleep): 1 of 2")), "{told:?}");
}

#[tokio::test]
async fn a_value_may_be_a_fraction_and_begin_above_zero() {
    let step =
        |value: f64| say("progress", &json!({ "prompt_id": "", "node": "1", "value": value, "max": 2.0 }));
    let tape = made([step(0.061), Step::Hold, step(1.5), Step::Hold]);
    let double = double(&tape).await;
    let rig = rig(tape.payload());
    let watch = async {
        let mut progress = rig.hands.progress.clone();
        for percent in [2, 38] {
            progress.wait_for(|it| it.as_ref().is_some_and(|it| it.percent == percent)).await.unwrap();
            double.go();
        }
    };
    rig.with(&comfyui(&double), watch).await.unwrap();
}

#[tokio::test]
async fn images_of_a_websocket_node_are_outputs() {
    for (name, images) in [("slow", 20), ("slowmeta", 4)] {
        let tape = Tape::of(name, 0);
        let double = double(&tape).await;
        let rig = rig(tape.payload());
        let result = rig.run(&comfyui(&double)).await.unwrap();
        let sent: Vec<_> =
            result["files"].as_array().unwrap().iter().filter(|it| it["type"] == "websocket").collect();
        assert_eq!(sent.len(), images, "{name}");
        assert!(sent.iter().all(|it| it["node"] == "8" && it["content_type"] == "image/png"));
        assert!(rig.file(sent[0]).await.len() > 160_000);
        assert_eq!(result.get("preview"), None);
    }
}

#[tokio::test]
async fn the_last_preview_is_kept_if_the_job_or_the_connector_asks_for_it() {
    for name in ["slow", "slowmeta"] {
        let mut tape = Tape::of(name, 0);
        tape.workflow["8"]["class_type"] = "PreviewSampler".into();
        let double = double(&tape).await;
        for (of_connector, of_job, kept) in
            [(false, None, false), (true, None, true), (true, Some(false), false), (false, Some(true), true)]
        {
            let mut payload = tape.payload();
            if let Some(previews) = of_job {
                payload["previews"] = previews.into();
            }
            let rig = rig(payload);
            let result = rig.run(&comfyui(&double).previews(of_connector)).await.unwrap();
            assert_eq!(result.get("preview").is_some(), kept, "{name} {of_connector} {of_job:?}");
            if kept {
                assert_eq!(result["preview"]["content_type"], "image/png");
            }
        }
    }
}

#[tokio::test]
async fn binary_messages_of_all_kinds_and_broken_ones_do_no_harm() {
    let frame = |kind: u32, rest: &[u8]| Step::Frame([&kind.to_be_bytes(), rest].concat());
    let tape = made([
        frame(3, b"\0\0\0\x011some words"),
        frame(2, b"\0\0\0\x01x"),
        frame(99, b""),
        frame(4, b"\xff\xff\xff\xff{"),
        Step::Frame(vec![]),
        Step::Frame(vec![0]),
        frame(1, &[&[0, 0, 0, 1], vec![9; 40 << 20].as_slice()].concat()),
    ]);
    assert_eq!(done(&tape).await["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn messages_of_unknown_kinds_and_of_other_prompts_are_ignored() {
    let other = |kind: &str, mut data: Value| {
        data["prompt_id"] = "foreign-prompt".into();
        say(kind, &data)
    };
    let tape = made([
        say("crystools.monitor", &json!({ "gpu": 12 })),
        say("notification", &json!({ "prompt_id": "", "value": "hello" })),
        Step::Raw("no document".into()),
        Step::Raw("[]".into()),
        // A prompt without a client has its `progress_state` told to all.
        other(
            "progress_state",
            json!({ "nodes": { "9": { "value": 1.0, "max": 1.0, "state": "finished" } } }),
        ),
        other("executing", json!({ "node": null })),
        Step::Hold,
    ]);
    let double = double(&tape).await;
    let rig = rig(tape.payload());
    let early = async {
        // Time for an end that is not ours to be taken for it: a look at the silence comes first.
        double.until(|it| it.log.iter().any(|it| it.path == "/queue")).await;
        assert!(rig.hands.progress.borrow().as_ref().is_none_or(|it| it.percent == 0));
        double.go();
    };
    rig.with(&impatient(&double), early).await.unwrap();
}

#[tokio::test]
async fn progress_of_a_prompt_without_a_client_reaches_everybody_and_changes_nothing() {
    let mut tape = Tape::of("fast", 0);
    let foreign = crate::tape::lines("clientid");
    let foreign = foreign.iter().filter(|it| {
        it["msg"]["data"]["prompt_id"] == "5cfce5c1-8207-4814-b706-e6116cccd4f4" && it["sock"] == "A"
    });
    let foreign: Vec<Step> = foreign
        .map(|it| {
            let mut message = it["msg"].clone();
            message["data"]["prompt_id"] = "foreign-prompt".into();
            Step::Say(message)
        })
        .collect();
    assert_eq!(foreign.len(), 8);
    tape = tape.before("execution_start", &foreign).before("executing", &[Step::Hold]);
    let double = double(&tape).await;
    let rig = rig(tape.payload());
    let watch = async {
        double.until(|it| it.log.iter().any(|it| it.path == "/queue")).await;
        assert_eq!(rig.hands.progress.borrow().clone().unwrap().percent, 0);
        double.go();
    };
    rig.with(&impatient(&double), watch).await.unwrap();
}

#[tokio::test]
async fn the_history_counts_and_not_what_was_said_of_outputs() {
    let whole = done(&Tape::of("fast", 0)).await;
    let tape = Tape::of("fast", 0);
    let twice =
        tape.steps.iter().find(|it| matches!(it, Step::Say(it) if it["type"] == "executed")).unwrap().clone();
    for tape in [
        tape.clone().without("executed"),
        tape.clone().without("execution_success"),
        tape.clone().before("executed", &[twice.clone(), twice]),
        tape.clone().without("progress_state"),
        tape.without("executing"),
    ] {
        let mut result = done(&tape).await;
        result["prompt_id"] = whole["prompt_id"].clone();
        assert_eq!(result, whole);
    }
}

#[tokio::test]
async fn a_history_that_is_written_late_is_waited_for() {
    let tape = Tape::of("fast", 0);
    let double = Double::start(Manners { tape: Some(tape.clone()), late: 3, ..Manners::default() }).await;
    let result = rig(tape.payload()).run(&comfyui(&double)).await.unwrap();
    assert_eq!(result["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn success_that_is_told_before_the_history_is_written_is_not_taken_for_a_loss() {
    // The real order: the entry is written between `execution_success` and the last message.
    let tape = made([say("execution_success", &json!({ "prompt_id": "other" })), Step::Hold]);
    let mut tape = tape;
    // Said of our prompt without the double's noting that it is over.
    tape.steps[3] = Step::Raw(r#"{"type":"execution_success","data":{}}"#.into());
    let double = double(&tape).await;
    let later = async {
        double.until(|it| it.log.iter().filter(|it| it.path == "/queue").count() > 3).await;
        double.go();
    };
    let rig = rig(tape.payload());
    rig.with(&comfyui(&double), later).await.unwrap();
}

#[tokio::test]
async fn another_connection_under_our_name_takes_the_messages_and_not_the_result() {
    let tape = made([Step::Hold]);
    let double = double(&tape).await;
    let usurped = async {
        double.until(|it| it.running.is_some()).await;
        let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
        double.state().clients.insert("job-1-1".into(), to);
        double.go();
        // The other hears all of it; when it closes, neither hears anything.
        while let Some(Out::Message(Message::Text(text))) = from.recv().await {
            if text.as_str().contains("execution_success") {
                break;
            }
        }
        double.state().clients.clear();
    };
    let rig = rig(tape.payload());
    let result = rig.with(&impatient(&double), usurped).await.unwrap();
    assert_eq!(result["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_place_in_the_queue_is_told_by_numbers_and_not_by_order() {
    let others = vec![(-7, "first".to_owned()), (3, "second".to_owned()), (500, "behind".to_owned())];
    let tape = made([]);
    let manners = Manners { tape: Some(tape.clone()), others, ..Manners::default() };
    let double = Double::start(manners).await;
    let rig = rig(tape.payload());
    let watch = async {
        let mut progress = rig.hands.progress.clone();
        progress.wait_for(|it| it.as_ref().is_some_and(|it| it.message == "queued behind 2")).await.unwrap();
        double.state().pending.retain(|it| it.body.is_object());
        double.touch();
    };
    rig.with(&impatient(&double), watch).await.unwrap();
}
