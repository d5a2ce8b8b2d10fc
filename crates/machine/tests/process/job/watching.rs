//! `roster job submit`, `status` and `watch`: a job, followed to its end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use broker::{Broker as _, Outcome, Want};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{LONG, Queue, failure, redacted};
use crate::support::{is_there, told};

#[test]
fn a_job_is_submitted_followed_and_shown() {
    let Some(queue) = Queue::start() else { return };
    let (out, talk, exit) = queue.run_with(
        "submit - --service comfyui --priority 5 --customer anna --id cat-1",
        r#"{"prompt": "a cat"}"#,
    );
    assert_eq!((out.as_str(), exit), ("cat-1\n", Some(0)));
    assert_snapshot!(talk, @"1 job is in `jobs`.");
    // The same again is the same job.
    assert_snapshot!(queue.run_with("submit - --service comfyui --id cat-1", "{}").1, @"1 job is in `jobs`; 1 was there before, by id or key.");
    queue.finish(Outcome::Success(json!({ "image": "cat.png" })));
    let (out, talk, exit) = queue.run("watch cat-1");
    assert_eq!(exit, Some(0));
    assert_snapshot!(redacted(&out, &[]), @r"
    DATE TIME  cat-1  50%  step 10 of 20\u{1b}[2J
    DATE TIME  cat-1  succeeded
    ");
    assert_snapshot!(talk, @"1 of 1 job succeeded.");
    assert_snapshot!(redacted(&queue.ok("status cat-1", ""), &[]), @r#"
    Job cat-1  comfyui  succeeded
      submitted  DATE TIME, SPAN ago
      ended  DATE TIME, SPAN ago
      attempts  0 of 3 failed
      priority  5
      customer  anna
      result  {"image":"cat.png"}
    "#);
    assert_snapshot!(redacted(&queue.ok("explain cat-1", ""), &[]), @"Job cat-1 has succeeded SPAN ago, DATE TIME.");
    assert_snapshot!(redacted(&queue.ok("list --state succeeded", ""), &[]), @r"
    ID  SERVICE  STATE  AGE  FAILED  LOST  WORKER  REASON
    cat-1  comfyui  succeeded  SPAN  0/3  0  -  ended SPAN ago
    ");

    let lines = queue.ok("watch cat-1 --json", "");
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|it| it["event"].as_str().unwrap_or("answer")).collect();
    assert_eq!(events, ["progress", "succeeded", "answer"]);
    assert_eq!((&lines[0]["job"], &lines[0]["percent"]), (&json!("cat-1"), &json!(50)));
    assert_eq!(lines[2]["result"]["jobs"][0]["result"], json!({ "image": "cat.png" }));
    let mut status = queue.json("status cat-1")["result"]["jobs"][0].take();
    for time in ["submitted_at_ms", "finished_at_ms"] {
        assert!(status[time].take().is_u64());
    }
    assert_snapshot!(status, @r#"{"attempts":0,"crashes":0,"customer":"anna","finished_at_ms":null,"id":"cat-1","job":{"customer":"anna","id":"cat-1","payload":{"prompt":"a cat"},"priority":5,"service_required":"comfyui","version":1},"max_attempts":3,"result":{"image":"cat.png"},"schema_version":1,"service":"comfyui","signature":"4847a440855f8608d565962e5a8090a8","state":"succeeded","submitted_at_ms":null}"#);
}

#[test]
fn on_a_terminal_a_watch_draws_and_ends_with_how_it_ended() {
    let Some(queue) = Queue::start() else { return };
    if !is_there("script") {
        return;
    }
    queue.submit("--id cat-1");
    queue.finish(Outcome::Success(json!(1)));
    // `script` gives the program a terminal.
    let mut script = Command::new("script");
    let line = format!("{} job watch cat-1", env!("CARGO_BIN_EXE_roster"));
    script.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    script.env("TERM", "xterm").env("REDIS_URL", queue.url()).current_dir(queue.folder.path());
    let (out, _, exit) = told(&script.stdin(Stdio::null()).output().unwrap());
    assert_eq!(exit, Some(0));
    assert!(out.contains("cat-1  succeeded  after ") && out.contains("1 of 1 job succeeded."), "{out}");
    assert!(!out.contains("progress"), "events are lines only where there is no terminal: {out}");
}

#[test]
fn whoever_waits_is_told_how_every_job_ended() {
    let Some(queue) = Queue::start() else { return };
    let mut waits = queue.command("submit - --watch --json");
    let mut waits = waits.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let jobs: String = (0..3)
        .map(|n| json!({ "service_required": "comfyui", "id": format!("j{n}") }).to_string() + "\n")
        .collect();
    waits.stdin.take().unwrap().write_all(jobs.as_bytes()).unwrap();
    let want = Want::now(1).wait(LONG);
    queue.work(async |broker, worker, mut claim| {
        for outcome in [Outcome::Success(json!(1)), failure(false), Outcome::Stopped] {
            let ticket = match claim.take() {
                Some(claim) => claim.ticket,
                None => broker.exchange(worker, vec![], want).await.unwrap().claims.remove(0).ticket,
            };
            broker.exchange(worker, vec![(ticket, outcome)], Want::NOTHING).await.unwrap();
        }
    });
    let (out, _, exit) = told(&waits.wait_with_output().unwrap());
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(exit, Some(1));
    let states: Vec<_> = (0..3).map(|n| answer["result"]["jobs"][n]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "dead", "cancelled"]);
    let findings: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap()).collect();
    assert_snapshot!(findings.join("\n"), @r"
    job `j1` is dead: failed for good: no such sampler
    job `j2` was cancelled
    ");
    let (out, talk, exit) = queue.run("watch j0 j1 j2");
    assert_eq!(exit, Some(1));
    // Three jobs that are over are told as their answers come.
    let told = redacted(&out, &[]);
    let lines: BTreeSet<_> = told.lines().collect();
    assert_snapshot!(lines.into_iter().collect::<Vec<_>>().join("\n"), @r"
    DATE TIME  j0  succeeded
    DATE TIME  j1  dead
    DATE TIME  j2  cancelled
    ");
    assert_snapshot!(talk, @r"
    error[JOB003]: job `j1` is dead: failed for good: no such sampler
     |
     = help: mend the cause, then `roster job replay j1`

    error[JOB003]: job `j2` was cancelled
     |
     = help: submit it anew if it is to be done after all

    1 of 3 jobs succeeded.
    ");
}
