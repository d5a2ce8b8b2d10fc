//! OpenAI's protocol by llmock: a server of strangers that breaks in every way on demand, and judges its client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use spec::env::Secret;
use worker::Kind::{self, Permanent, Retryable};
use worker::connectors::openai::OpenAi;
use worker::{Connector as _, Waits};

use crate::support::{Attempt, Python, Server, client, egress, free_port, hasty, meaning, run};

async fn llmock(python: &Python, args: &[&str]) -> Server {
    let port = free_port();
    let mut command = python.command("llmock");
    command.args(["serve", "--log-level", "warning", "-p", &port.to_string()]).args(args);
    python.server(command, port, "health", "").await
}

fn connector(server: &Server, key: &str, waits: Waits) -> OpenAi {
    OpenAi::new(server.url.join("v1").unwrap(), Secret::new(key.to_owned()), egress()).waiting(waits)
}

async fn get(server: &Server, path: &str) -> Value {
    client().get(server.url.join(path).unwrap()).send().await.unwrap().json().await.unwrap()
}

/// Has llmock do this to its next requests.
async fn script(server: &Server, behaviour: &Value) {
    let scenario = json!({ "behaviors": [behaviour] }).to_string();
    let queued = client().post(server.url.join("_llmock/scenario").unwrap()).body(scenario).send().await;
    assert_eq!(queued.unwrap().status(), 201, "{behaviour}");
}

/// A job of each kind that llmock serves, in turn.
fn job(number: usize) -> (&'static str, Value) {
    let prompt = format!("job number {number} has a few words to say");
    match number % 8 {
        0 => ("openai_embeddings", json!({ "model": "text-embedding-3-small", "input": prompt })),
        1 => ("openai_image", json!({ "prompt": prompt, "response_format": "b64_json" })),
        2 | 3 => ("openai_responses", json!({ "model": "gpt-4o", "input": prompt })),
        _ => ("openai_text", json!({ "model": "gpt-4o", "prompt": prompt, "system_prompt": "be brief" })),
    }
}

#[tokio::test]
async fn every_fault_of_openai_means_what_it_should() {
    let Some(python) = Python::find() else { return };
    let server = llmock(&python, &[]).await;
    let openai = connector(&server, "key", hasty());
    let impatient = connector(&server, "key", Waits { idle: Duration::from_millis(700), ..hasty() });
    let fail = |status: u16, wait: Option<f64>, code: Option<&str>| json!({ "type": "fail", "status": status, "retry_after": wait, "code": code, "message": "words of the service", "times": null });
    let stream = |kind: &str| json!({ "type": "stream_fault", "kind": kind, "after_chunks": 2, "stall_seconds": 20, "times": null });
    // What is done to every request; the kind, whether the service is in doubt, the pause that is asked for; calls.
    let table: Vec<(Value, Kind, bool, Option<u128>, usize)> = vec![
        (fail(400, None, None), Permanent, false, None, 1),
        (fail(401, None, None), Permanent, false, None, 1),
        (fail(402, None, None), Permanent, false, None, 1),
        (fail(403, None, None), Permanent, false, None, 1),
        (fail(404, None, None), Permanent, false, None, 1),
        (fail(413, None, None), Permanent, false, None, 1),
        (fail(422, None, None), Permanent, false, None, 1),
        (fail(429, Some(0.01), None), Retryable, false, Some(10), 3),
        (fail(429, Some(300.0), None), Retryable, false, Some(300_000), 1),
        (fail(429, Some(0.01), Some("insufficient_quota")), Permanent, false, Some(10), 1),
        (fail(408, None, None), Retryable, false, None, 3),
        (fail(409, None, None), Retryable, false, None, 3),
        (fail(500, None, None), Retryable, false, None, 3),
        (fail(502, None, None), Retryable, true, None, 3),
        (fail(503, Some(0.02), None), Retryable, true, Some(20), 3),
        (fail(504, Some(0.0), None), Retryable, true, Some(0), 3),
        (fail(529, Some(0.0), None), Retryable, false, Some(0), 3),
        (stream("truncate"), Retryable, true, None, 1),
        (stream("disconnect"), Retryable, true, None, 1),
        (stream("malformed"), Retryable, false, None, 1),
        (stream("stall"), Retryable, false, None, 1),
    ];
    for (fault, kind, suspect, pause, calls) in table {
        for service in ["openai_text", "openai_responses"] {
            let reset = client().post(server.url.join("_llmock/reset").unwrap()).send().await.unwrap();
            assert!(reset.status().is_success());
            script(&server, &fault).await;
            let openai = if fault["kind"] == "stall" { &impatient } else { &openai };
            let payload =
                json!({ "model": "gpt-4o", "prompt": "a few words to say", "input": "a few words to say" });
            let failure = run(openai, service, payload).await.unwrap_err();
            assert_eq!(meaning(&failure), (kind, suspect, pause), "{service}: {fault}: {failure}");
            assert_eq!(
                failure.message.contains("words of the service"),
                fault["type"] == "fail",
                "{service}: {failure}"
            );
            let seen = get(&server, "_llmock/requests").await;
            assert_eq!(seen["count"], calls, "{service}: {fault}: {seen:#}");
        }
    }
    // And once it is over, it works.
    client().post(server.url.join("_llmock/reset").unwrap()).send().await.unwrap();
    openai.check().await.unwrap();
    for number in 0..8 {
        let (kind, payload) = job(number);
        let attempt = Attempt::new(kind, payload);
        let made = attempt.run(&openai).await.unwrap();
        match kind {
            "openai_embeddings" => assert_eq!(made["data"][0]["embedding"].as_array().unwrap().len(), 1536),
            "openai_image" => assert!(attempt.bytes(&made["images"][0]["image"]).await.starts_with(b"<svg")),
            "openai_responses" => assert_eq!(made["output"][0]["content"][0]["type"], "output_text"),
            _ => {
                assert_eq!(made["choices"][0]["finish_reason"], "stop");
                assert!(
                    made["choices"][0]["message"]["content"].as_str().unwrap().contains("gpt-4o"),
                    "{made}"
                );
                assert!(made["usage"]["total_tokens"].as_u64().unwrap() > 0);
            }
        }
    }
}

/// Callers with a key each, and what each does.
const CALLERS: usize = 16;
const JOBS: usize = 66;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_through_every_fault_at_once_leave_no_complaint() {
    let Some(python) = Python::find() else { return };
    let faults = ["truncate=0.02", "disconnect=0.02", "malformed=0.02"];
    let mut args = vec!["--rpm", "64", "--tpm", "60000", "--error-rate", "503=0.02"];
    args.extend(faults.into_iter().flat_map(|it| ["--stream-fault", it]));
    let server = llmock(&python, &args).await;
    script(&server, &json!({ "type": "stream_fault", "kind": "stall", "stall_seconds": 20, "times": 4 }))
        .await;
    let began = Instant::now();
    let waits = Waits { idle: Duration::from_secs(2), pause: Duration::from_millis(50) };
    let attempts: Vec<usize> = join_all((0..CALLERS).map(async |caller| {
        let openai = connector(&server, &format!("key-{caller}"), waits);
        let mut attempts = 0;
        for number in 0..JOBS {
            let (kind, mut payload) = job(caller * JOBS + number);
            // One job empties the bucket of tokens, and the next finds it empty.
            match (kind, number) {
                ("openai_embeddings", 8..16) => payload["max_tokens"] = 57_500.into(),
                ("openai_image", 9..17) => payload["max_tokens"] = 3_300.into(),
                _ => {}
            }
            attempts += through(&openai, kind, &payload).await;
        }
        attempts
    }))
    .await;
    let took = began.elapsed();
    let seen = get(&server, "_llmock/requests").await;
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    for fault in seen["requests"].as_array().unwrap().iter().filter_map(|it| it["fault"].as_str()) {
        *faults.entry(fault.split('@').next().unwrap().to_owned()).or_default() += 1;
    }
    let (requests, jobs) = (seen["count"].as_u64().unwrap(), CALLERS * JOBS);
    println!(
        "llmock: {jobs} jobs, {} attempts, {requests} requests in {took:.1?}; {faults:?}",
        attempts.iter().sum::<usize>()
    );
    for fault in [
        "chaos:503",
        "ratelimit:tokens",
        "stream:disconnect",
        "stream:malformed",
        "stream:truncate",
        "stream:stall",
    ] {
        assert!(faults.contains_key(fault), "{fault} was not met: {faults:?}");
    }
    // llmock takes a job that comes back before it has given up a garbled stream itself for another one, and says of the
    // stream that nobody minded. Each such complaint has to be such a case.
    let verdict = get(&server, "_llmock/verdict").await;
    let findings = verdict["findings"].as_array().unwrap();
    let garbled = findings.iter().filter(|it| it["code"] == "malformed_chunk_ignored").count();
    assert!(jobs + garbled <= usize::try_from(verdict["calls"].as_u64().unwrap()).unwrap(), "{verdict:#}");
    let report = python.command("llmock").args(["report", "--url", server.url.as_str()]).output().unwrap();
    let said = String::from_utf8_lossy(&report.stdout);
    println!("{said}");
    assert_eq!(report.status.code(), Some(0), "{said}");
}

/// A job as the queue has it: again after a failure that may pass, after the pause that the service asks for or a growing
/// one. How many attempts it took.
async fn through(openai: &OpenAi, kind: &str, payload: &Value) -> usize {
    let mut pause = Duration::from_millis(300);
    for attempt in 1..=6 {
        let failure = match run(openai, kind, payload.clone()).await {
            Ok(made) => {
                assert!(made.is_object(), "{made}");
                return attempt;
            }
            Err(failure) => failure,
        };
        assert_eq!(failure.kind, Retryable, "{failure}");
        tokio::time::sleep(failure.retry_after.unwrap_or(pause)).await;
        pause *= 2;
    }
    panic!("six attempts were not enough");
}
