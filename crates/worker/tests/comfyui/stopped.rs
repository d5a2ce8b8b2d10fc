//! Jobs that are stopped, and the proof that nothing of them runs any more.

use serde_json::json;
use worker::connectors::comfyui::ComfyUi;
use worker::{Connector as _, Kind};

use crate::double::{Double, Manners, Post};
use crate::rig::{TIMES, comfyui, egress, rig};
use crate::tape::{Step, Tape, made};

#[tokio::test]
async fn a_job_that_runs_is_interrupted_by_its_name() {
    let tape = Tape::of("sleep", 0).after("progress", &[Step::Hold]);
    let double = Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await;
    let it = comfyui(&double);
    let rig = rig(tape.payload());
    let running = async {
        double.until(|it| it.running.is_some()).await;
        rig.hands.progress.clone().wait_for(Option::is_some).await.unwrap();
    };
    let failure = rig.stopped(&it, running).await;
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert!(!it.owns_service());
    let state = double.state();
    assert!(state.running.is_none() && state.pending.is_empty());
    let entry = state.history.values().next().unwrap().to_string();
    assert!(entry.contains("execution_interrupted"), "{entry}");
    drop(state);
    double.judge();
}

#[tokio::test]
async fn a_job_that_waits_is_taken_out_of_the_queue_and_nobody_is_interrupted() {
    let others = vec![(1, "another".to_owned())];
    let double = Double::start(Manners { tape: Some(made([])), others, ..Manners::default() }).await;
    let rig = rig(made([]).payload());
    let failure = rig.stopped(&comfyui(&double), double.until(|it| it.pending.len() == 2)).await;
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    let left: Vec<_> = double.state().pending.iter().map(|it| it.id.clone()).collect();
    assert_eq!(left, ["another"]);
    assert_eq!(double.count("POST /interrupt"), 0);
    double.judge();
}

#[tokio::test]
async fn a_job_whose_answer_is_still_out_is_looked_for_until_it_is_gone() {
    let tape = made([Step::Hold]);
    let posts = [Post::TakeAndCut].into();
    let double = Double::start(Manners { tape: Some(tape.clone()), posts, ..Manners::default() }).await;
    let rig = rig(tape.payload());
    let failure = rig.stopped(&comfyui(&double), double.until(|it| it.running.is_some())).await;
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert!(double.state().running.is_none());
    double.judge();
}

#[tokio::test]
async fn a_node_that_does_not_look_up_is_reason_to_end_the_service_if_it_is_ours() {
    let tape = made([Step::Hold]);
    for ours in [true, false] {
        let manners = Manners { tape: Some(tape.clone()), deaf: true, ..Manners::default() };
        let double = Double::start(manners).await;
        let it = if ours {
            comfyui(&double)
        } else {
            ComfyUi::remote(double.url.clone(), None, egress()).times(TIMES)
        };
        let rig = rig(tape.payload());
        assert!(!it.owns_service());
        let watch = async {
            double.until(|it| it.log.iter().filter(|it| it.path == "/interrupt").count() > 2).await;
            assert_eq!(it.owns_service(), ours);
        };
        let stopping = rig.stopped(&it, double.until(|it| it.running.is_some()));
        // The loop would cut it off here: it goes on asking as long as the job is not proved to have ended.
        tokio::select! {
            failure = stopping => panic!("{failure:?}"),
            () = watch => {}
        }
        double.judge();
    }
}

#[tokio::test]
async fn a_node_that_looks_up_late_has_been_waited_for() {
    let tape = made([Step::Hold]);
    let manners = Manners { tape: Some(tape.clone()), deaf: true, ..Manners::default() };
    let double = Double::start(manners).await;
    let it = comfyui(&double);
    let rig = rig(tape.payload());
    let late = async {
        double.until(|it| it.log.iter().filter(|it| it.path == "/interrupt").count() > 2).await;
        double.go();
    };
    let stopping = rig.stopped(&it, double.until(|it| it.running.is_some()));
    let (failure, ()) = tokio::join!(stopping, late);
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert!(!it.owns_service());
}

#[tokio::test]
async fn a_prompt_that_is_over_is_not_interrupted() {
    // The file is fetched and cut again and again, while somebody asks the job to stop.
    let tape = made([]);
    let manners = Manners { tape: Some(tape.clone()), cut_files: 2, ..Manners::default() };
    let double = Double::start(manners).await;
    let rig = rig(tape.payload());
    let failure =
        rig.stopped(&comfyui(&double), double.until(|it| it.log.iter().any(|it| it.path == "/view"))).await;
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert_eq!(double.count("POST /interrupt") + double.count("POST /queue"), 0);
}

#[tokio::test]
async fn nodes_with_errors_are_a_failure_even_if_the_rest_runs_and_the_rest_is_stopped() {
    let recorded = crate::tape::lines("invalid");
    let post =
        recorded.iter().find(|it| it["response"]["node_errors"]["20"].is_object() && it["status"] == 200);
    let post = post.unwrap();
    let tape = Tape::of("invalid", 0).after("execution_cached", &[Step::Hold]);
    assert_eq!(tape.workflow, post["request"]["prompt"]);
    let posts = [Post::Take(post["response"]["node_errors"].clone())].into();
    let double = Double::start(Manners { tape: Some(tape.clone()), posts, ..Manners::default() }).await;
    let failure = rig(tape.payload()).run(&comfyui(&double)).await.unwrap_err();
    insta::assert_snapshot!(failure.message, @"ComfyUI does not take the workflow: node 20 (MaskToImage): Return type mismatch between linked nodes: mask, received_type(IMAGE) mismatch input_type(MASK)");
    assert_eq!((failure.kind, failure.suspect), (Kind::Permanent, false));
    assert!(double.state().running.is_none() && double.state().pending.is_empty());
    double.judge();
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_whether_it_stopped_is_in_doubt() {
    let tape = made([Step::Hold]);
    let double = Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await;
    let rig = rig(tape.payload());
    let dies = async {
        double.until(|it| it.running.is_some()).await;
        double.state().manners.authorization = Some("somebody else".into());
    };
    let failure = rig.stopped(&comfyui(&double), dies).await;
    assert!(failure.suspect, "{failure:?}");
    assert_ne!(failure.kind, Kind::Service);
    assert_eq!(json!(double.state().running.is_some()), json!(true));
}
