//! Ollama, by a double that streams as it does.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use worker::Kind::{self, Permanent, Retryable, Service, Stopped};
use worker::connectors::ollama::Ollama;
use worker::{Connector as _, Stop};

use crate::ollama_double::Double;
use crate::support::{Attempt, free_port, meaning, run, until};

#[tokio::test]
async fn what_is_streamed_is_told_whole() {
    let (double, url) = Double::start().await;
    let ollama = Ollama::new(url, Some("m".into()));
    ollama.check().await.unwrap();
    let attempt =
        Attempt::new("text_generation", json!({ "prompt": "a cat", "options": { "num_predict": 8 } }));
    assert_snapshot!(attempt.run(&ollama).await.unwrap(), @r#"{"created_at":"2026-11-21T00:00:01Z","done":true,"done_reason":"stop","eval_count":4,"load_duration":1,"model":"m","prompt_eval_count":3,"response":"A cat ünd","total_duration":5}"#);
    assert_eq!(attempt.told(), (38, "3 tokens".into()));
    let said =
        run(&ollama, "chat_completion", json!({ "messages": [{ "role": "user", "content": "a cat" }] }))
            .await;
    assert_snapshot!(said.unwrap(), @r#"{"created_at":"2026-11-21T00:00:00Z","done":true,"message":{"content":"One moment","role":"assistant","thinking":"Hm.","tool_calls":[{"function":{"arguments":{"city":"Oslo"},"name":"weather"}}]},"model":"m"}"#);
    let made = run(&ollama, "embeddings", json!({ "input": ["a cat"] })).await.unwrap();
    assert_eq!(made["embeddings"][0], json!([0.5, 0.25]));
    let made = run(&ollama, "ollama", json!({ "input": "a cat" })).await.unwrap();
    assert_eq!(made["embeddings"][0], json!([0.5, 0.25]));
    until("nothing runs", async || double.running() == 0).await;
}

#[tokio::test]
async fn every_bad_end_means_what_it_should() {
    let (_double, url) = Double::start().await;
    let ollama = Ollama::new(url, None).waiting(Duration::from_secs(1));
    let table: [(&str, Kind, bool, &str); 9] = [
        ("missing", Permanent, false, "model 'missing' not found"),
        ("busy", Retryable, true, "maximum pending requests exceeded"),
        ("too-large", Retryable, false, "model requires more system memory"),
        ("breaks", Retryable, false, "unexpected EOF"),
        ("runs-out", Retryable, true, "out of memory"),
        ("undone", Retryable, true, "it ended before it was done"),
        ("killed", Retryable, true, "reading the answer of Ollama"),
        ("silent", Retryable, false, "timed out"),
        ("garbled", Retryable, false, "a line is no JSON"),
    ];
    for (model, kind, suspect, words) in table {
        let failure = run(&ollama, "ollama", json!({ "model": model, "prompt": "a cat" })).await.unwrap_err();
        assert_eq!(meaning(&failure), (kind, suspect, None), "{model}: {failure}");
        assert!(failure.message.contains(words), "{model}: {failure}");
    }
    let failure = run(&ollama, "ollama", json!({ "prompt": "a cat" })).await.unwrap_err();
    assert_eq!((failure.kind, failure.message.contains("names no model")), (Permanent, true), "{failure}");
    let gone = Ollama::new(format!("http://127.0.0.1:{}", free_port()).parse().unwrap(), None);
    assert_eq!(gone.check().await.unwrap_err().kind, Service);
    let failure = run(&gone, "ollama", json!({ "model": "m", "prompt": "a cat" })).await.unwrap_err();
    assert_eq!(meaning(&failure), (Service, true, None));
}

#[tokio::test]
async fn a_stop_closes_the_connection_and_the_server_sees_it() {
    let (double, url) = Double::start().await;
    let ollama = Ollama::new(url, Some("silent".into()));
    let attempt = Attempt::new("ollama", json!({ "prompt": "a long story" }));
    let (result, ()) = tokio::join!(attempt.run(&ollama), async {
        until("it speaks", async || attempt.told().1 == "2 tokens").await;
        assert_eq!(double.running(), 1);
        attempt.hands.stop.stop(Stop::Cancelled);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    until("the generation has ended", async || double.running() == 0).await;
}
