//! Connections, answers and whole servers that are lost.

use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use worker::{Connector as _, Kind, Stop};

use crate::double::{Double, Manners, Out, Post};
use crate::rig::{comfyui, egress, impatient, rig};
use crate::tape::{Step, Tape, made};

async fn double(tape: &Tape) -> Double {
    Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await
}

async fn answering(tape: &Tape, posts: impl IntoIterator<Item = Post>) -> Double {
    let posts: VecDeque<_> = posts.into_iter().collect();
    Double::start(Manners { tape: Some(tape.clone()), posts, ..Manners::default() }).await
}

#[tokio::test]
async fn a_lost_answer_to_a_prompt_that_was_taken_does_not_start_it_twice() {
    let tape = Tape::of("fast", 0);
    let double = answering(&tape, [Post::TakeAndCut]).await;
    let result = rig(tape.payload()).run(&comfyui(&double)).await.unwrap();
    assert_eq!(result["files"].as_array().unwrap().len(), 1);
    assert_eq!(double.count("POST /prompt"), 1);
    double.judge();
}

#[tokio::test]
async fn a_prompt_that_did_not_arrive_is_handed_over_again_under_the_same_name() {
    let tape = Tape::of("fast", 0);
    let double = answering(&tape, [Post::Cut, Post::Answer(502, json!({}))]).await;
    rig(tape.payload()).run(&comfyui(&double)).await.unwrap();
    let state = double.state();
    let names: Vec<_> =
        state.log.iter().filter(|it| it.path == "/prompt").map(|it| it.json()["prompt_id"].clone()).collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|it| *it == names[0]));
}

#[tokio::test]
async fn a_second_copy_that_arrived_after_all_is_taken_out_of_the_queue() {
    let tape = made([Step::Hold]);
    let double = answering(&tape, [Post::Cut]).await;
    let late = async {
        // The first, which was slow on its way, comes behind the second.
        double.until(|it| it.running.is_some()).await;
        let mut copy = double.state().running.clone().unwrap();
        copy.number += 1;
        // Not for the double to execute.
        copy.body = json!(null);
        double.state().pending.push(copy);
        double.go();
    };
    let rig = rig(tape.payload());
    rig.with(&comfyui(&double), late).await.unwrap();
    assert!(double.state().pending.is_empty());
    double.judge();
}

#[tokio::test]
async fn a_prompt_that_never_arrives_is_given_up() {
    let double = answering(&made([]), [Post::Cut, Post::Cut, Post::Cut]).await;
    let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
    assert_eq!(double.count("POST /prompt"), 3);
}

#[tokio::test]
async fn a_service_that_is_not_there_has_never_had_the_job() {
    let double = double(&made([])).await;
    double.die();
    let it = comfyui(&double);
    // The listener is closed a moment later.
    while it.check().await.is_ok() {
        tokio::task::yield_now().await;
    }
    let failure = rig(made([]).payload()).run(&it).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Service, true), "{failure}");
    assert_eq!(double.count("POST /prompt"), 0);
}

#[tokio::test]
async fn a_connection_that_is_reset_in_the_middle_is_opened_again_and_the_job_goes_on() {
    let tape = Tape::of("reconnect", 0);
    assert!(tape.steps.iter().any(|it| matches!(it, Step::Reset)));
    let double = double(&tape).await;
    let rig = rig(tape.payload());
    let (result, told) = rig.watched(&comfyui(&double)).await;
    assert_eq!(result.unwrap()["files"][0]["name"], "0-sleep_00010_.png");
    assert!(told.is_sorted_by_key(|it| it.0), "{told:?}");
    assert!(double.count("GET /ws") >= 2);
    // Each connection has said first what it understands.
    assert!(double.state().said.iter().all(|it| it["type"] == "feature_flags"));
    double.judge();
}

#[tokio::test]
async fn a_connection_that_is_closed_politely_is_opened_again_too() {
    let tape = made([Step::Close, Step::Connected, Step::Hold]);
    let double = double(&tape).await;
    let reopened = async {
        double.until(|it| it.log.iter().filter(|it| it.path == "/ws").count() == 2).await;
        double.go();
    };
    let rig = rig(tape.payload());
    rig.with(&comfyui(&double), reopened).await.unwrap();
}

#[tokio::test]
async fn a_prompt_that_ended_while_the_connection_was_away_is_found_in_the_history() {
    let tape = made([Step::Reset]);
    let double = double(&tape).await;
    let result = rig(tape.payload()).run(&comfyui(&double)).await.unwrap();
    assert_eq!(result["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn images_that_may_have_come_while_the_connection_was_away_are_missed() {
    let mut tape = made([Step::Reset]);
    tape.workflow["5"] = json!({ "class_type": "SaveImageWebsocket", "inputs": { "images": ["1", 0] } });
    let double = double(&tape).await;
    let failure = rig(tape.payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Retryable);
    assert!(failure.message.contains("SaveImage keeps them"), "{failure}");
}

#[tokio::test]
async fn a_server_that_dies_takes_the_job_with_it_and_is_in_doubt() {
    let double = double(&made([Step::Die(false)])).await;
    let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
    assert!(failure.message.starts_with("ComfyUI is gone, and the job with it"), "{failure}");
}

#[tokio::test]
async fn a_server_that_was_started_again_has_forgotten_the_job() {
    let double = double(&made([Step::Die(true)])).await;
    let failure = rig(made([]).payload()).run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
    assert!(failure.message.starts_with("ComfyUI does not know the job any more"), "{failure}");
    assert_eq!(double.count("POST /prompt"), 1);
}

#[tokio::test]
async fn a_queue_that_somebody_cleared_is_noticed_although_only_others_are_told_of() {
    let others = vec![(1, "another".to_owned())];
    let double = Double::start(Manners { tape: Some(made([])), others, ..Manners::default() }).await;
    let status = json!({ "type": "status", "data": { "status": { "exec_info": { "queue_remaining": 3 } } } });
    let busy = async {
        double.until(|it| it.pending.len() == 2).await;
        double.state().pending.clear();
        let mut often = tokio::time::interval(Duration::from_millis(20));
        loop {
            often.tick().await;
            let client = double.state().clients["job-1-1"].clone();
            let _ = client.send(Out::Message(Message::text(status.to_string())));
        }
    };
    let rig = rig(made([]).payload());
    let it = impatient(&double);
    let failure = tokio::select! {
        done = rig.run(&it) => done.unwrap_err(),
        () = busy => panic!("it never ends"),
    };
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
}

#[tokio::test]
async fn a_server_that_has_fallen_silent_is_asked_whether_it_is_there() {
    let tape = made([Step::Hold]);
    let manners = Manners { tape: Some(tape.clone()), mute: true, ..Manners::default() };
    let double = Double::start(manners).await;
    // It says nothing and answers no ping, so the connection counts as cut; another is opened, and the history asked.
    let rig = rig(tape.payload());
    let noticed = async {
        double.until(|it| it.log.iter().filter(|it| it.path == "/ws").count() > 1).await;
        double.go();
    };
    let result = rig.with(&impatient(&double), noticed).await.unwrap();
    assert_eq!(result["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_is_stopped_while_its_server_is_looked_for() {
    let double = double(&made([Step::Die(false)])).await;
    let it = comfyui(&double);
    let rig = rig(made([]).payload());
    let failure = rig.stopped(&it, async {
        double.until(|it| it.log.iter().any(|it| it.path == "/prompt") && it.clients.is_empty()).await;
    });
    let failure = failure.await;
    // That it runs no more cannot be proved; it may also have been given up before.
    assert!(failure.suspect, "{failure:?}");
    assert!(!it.owns_service());
}

#[tokio::test]
async fn a_job_that_was_stopped_before_it_began_is_not_handed_over() {
    let double = double(&made([])).await;
    let rig = rig(made([]).payload());
    rig.hands.stop.stop(Stop::LeaseLost);
    let failure = rig.run(&comfyui(&double)).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert_eq!(double.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_is_well_while_it_tells_its_state() {
    let double = double(&made([])).await;
    comfyui(&double).check().await.unwrap();
    assert_eq!(double.lines(), ["GET /system_stats"]);
    let locked = Manners { authorization: Some("Bearer other".into()), ..Manners::default() };
    let locked = Double::start(locked).await;
    let it = worker::connectors::comfyui::ComfyUi::remote(locked.url.clone(), None, egress());
    assert!(it.check().await.unwrap_err().message.contains("401"));
}
