//! `roster job submit` where nothing or not all can be submitted.

use std::process::Command;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Queue;
use crate::support::is_there;

#[test]
fn poison_is_refused_with_every_reason_and_nothing_is_submitted() {
    let Some(queue) = Queue::start() else { return };
    let poison = r#"{"service_required": "comfyui", "requirements": null}
{"service_required": "comfyui", "requirements": {"hardware": {"gpu_memory_gb": "16"}}}
{"service_required": "comfyui", "requirments": {}, "id": "a:b"}
{"service_required": "comfyui"}
"#;
    let (out, talk, exit) = queue.run_with("submit -", poison);
    assert_eq!((out.as_str(), exit), ("", Some(1)));
    assert_snapshot!(talk, @r"
    error[BROKER001]: requirements: has to be an object, not null
    --> standard input:1:49
     = help: Write an object, or leave it out.

    error[BROKER001]: requirements.hardware.gpu_memory_gb: has to be a number, not a text
    --> standard input:2:80
     = help: Write a number, or leave it out.

    error[BROKER002]: requirments: is not a field here; did you mean `requirements`?
    --> standard input:3:33
     = help: Write `requirements`.

    error[BROKER003]: id: ':' cannot be in a name; use letters, digits and _-.
    --> standard input:3:58
     = help: Use another name.
    ");
    let large = format!("\"{}\"", "x".repeat(10 << 20));
    let (_, talk, exit) = queue.run_with("submit - --service comfyui", &large);
    assert_eq!(exit, Some(1));
    assert_snapshot!(talk, @r"
    error[BROKER004]: payload: has 10485762 bytes; 262144 is the limit
    --> standard input:1:1
     = help: Keep to 262144 bytes; put large data elsewhere and send its address.
    ");
    assert_eq!(queue.run("submit nowhere.json").2, Some(1));
    assert_eq!(queue.json("counts")["result"]["waiting"], 0);
}

#[test]
fn of_many_jobs_none_is_submitted_to_a_legacy_queue_if_it_cannot_take_one() {
    let Some(queue) = Queue::start() else { return };
    let good = "{\"service_required\": \"comfyui\"}\n".repeat(1_500);
    let (out, talk, exit) = queue.run_with(
        "submit - --broker legacy",
        &(good + r#"{"service_required": "comfyui", "delay_ms": 1000}"#),
    );
    assert_eq!((out.as_str(), exit), ("", Some(1)));
    assert_snapshot!(talk, @r"
    error[BROKER030]: delay_ms: cannot be said on the legacy wire: a job is in the line at once
    --> standard input:1501:45
     = help: Leave it out, or submit the job to a native queue.
    ");
    assert_eq!(queue.json("counts --broker legacy")["result"]["waiting"], 0);
}

#[test]
fn what_is_in_the_queue_all_the_same_is_told_and_what_may_be() {
    let Some(queue) = Queue::start() else { return };
    if !is_there("redis-cli") {
        return;
    }
    let redis = |line: &str| {
        let mut asked = Command::new("redis-cli");
        asked.arg("-s").arg(queue.folder.path().join("socket")).args(line.split_whitespace());
        assert!(asked.output().unwrap().status.success());
    };
    queue.ok("submit - --service comfyui --id first", "{}");
    redis("HSET {jobs}:m bytes 268435456");
    let two =
        r#"{"service_required": "comfyui", "id": "first"} {"service_required": "comfyui", "id": "second"}"#;
    let (out, talk, exit) = queue.run_with("submit -", two);
    assert_eq!((out.as_str(), exit), ("first\n", Some(1)));
    assert_snapshot!(talk, @r"
    error[BROKER005]: the queue is full: its unfinished jobs have 268435456 bytes and 268435456 is the budget
     |
     = help: Submit later, start more workers, or submit with a larger byte budget, if Redis has the memory.

    1 of 2 jobs are in `jobs`; 1 was there before, by id or key.
    ");

    assert_eq!(queue.run_with("submit - --byte-budget 257MiB", two).2, Some(0));
    redis("HSET {jobs}:m bytes 268435456");

    // It reads, and answers no script in time.
    redis("CLIENT PAUSE 600000 WRITE");
    let address = format!("--redis {}?timeout=50", queue.url());
    let (out, talk, exit) = queue.run_with(&format!("submit - {address}"), two);
    assert_eq!((out.as_str(), exit), ("", Some(1)));
    assert_snapshot!(talk.split_once("\n\n").unwrap().1, @r"
    0 of 2 jobs are in `jobs`.
    Whether these are too is not known; `roster job status ID` will tell:
      first
      second
    ");
    let out = queue.run_with(&format!("submit - --json {address}"), two).0;
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["result"], json!({ "submitted": [], "in_doubt": ["first", "second"] }));
}
