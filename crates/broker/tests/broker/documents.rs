//! What a queue tells other programs: the documents as they are written, and that they read as themselves.

use broker::document::{
    CountsDocument, ExplanationDocument, HappenedDocument, SCHEMA_VERSION, StatusDocument, SummaryDocument,
};
use broker::{Broker, Clock, Filter, Limit, Memory, Millis, Outcome, Progress, Settings, Want};
use insta::assert_snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::contract::{claim, failure, finish, job, requirements, worker};

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        1_700_000_000_000
    }
}

/// The document, which reads as itself.
fn written<T: Serialize + DeserializeOwned + PartialEq + Debug>(document: &T) -> String {
    let text = serde_json::to_string(document).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *document);
    assert!(text.contains(&format!("\"schema_version\":{SCHEMA_VERSION},")));
    text
}

#[tokio::test]
async fn documents_have_the_form_that_they_promise() {
    let queue = Memory::with_clock(Settings::new("told".parse().unwrap()), Still);
    let me = worker("m1-worker-0");
    let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": 80 }, "models": ["flux"] }));
    let named = |name: &str| job().id(name.parse().unwrap());
    let key = || "gold".parse().unwrap();
    queue.limit(&key(), Some(Limit { concurrency: NonZeroU32::new(1), rate: None })).await.unwrap();
    let jobs = [
        named("a").payload(json!({ "prompt": "a cat" })).customer("anna".parse().unwrap()).priority(9),
        named("b").limit_key(key()).priority(8),
        named("c").priority(7),
    ];
    queue.submit(&jobs).await.unwrap();
    let claims = claim(&queue, &me, Want::now(3)).await;
    let half = Progress { percent: 50, message: "step 10 of 20".into() };
    queue.progress(&claims[0].ticket, half).await.unwrap().unwrap();
    assert!(finish(&queue, &me, &claims[0], Outcome::Success(json!({ "image": "cat.png" }))).await);
    assert!(finish(&queue, &me, &claims[2], failure(false)).await);
    let delayed = named("d").delay(Duration::from_mins(1));
    queue.submit(&[delayed, named("e").limit_key(key()).requirements(needs)]).await.unwrap();

    let id = |name: &str| name.parse().unwrap();
    let done = queue.status(&id("a")).await.unwrap().unwrap();
    assert_snapshot!(written(&StatusDocument::from(&done)), @r#"{"schema_version":1,"id":"a","service":"comfyui","customer":"anna","signature":"4847a440855f8608d565962e5a8090a8","state":"succeeded","attempts":0,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000,"finished_at_ms":1700000000000,"job":{"customer":"anna","id":"a","payload":{"prompt":"a cat"},"priority":9,"service_required":"comfyui","version":1},"result":{"image":"cat.png"}}"#);
    let listed = queue.list(&Filter::default(), None, 100).await.unwrap();
    let rows: Vec<_> = listed.jobs.iter().map(|it| written(&SummaryDocument::from(it))).collect();
    assert_snapshot!(rows.join("\n"), @r#"
    {"schema_version":1,"id":"b","service":"comfyui","limit_key":"gold","signature":"29a128eb74c37866e5a588983007e252","state":"running","worker":"m1-worker-0","lease_until_ms":1700000010000,"deadline_ms":1700003600000,"cancel_asked":false,"attempts":0,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000}
    {"schema_version":1,"id":"e","service":"comfyui","limit_key":"gold","signature":"a8496b3aed7fe386134a0c4b16d0aec9","state":"waiting","attempts":0,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000}
    {"schema_version":1,"id":"d","service":"comfyui","signature":"29a128eb74c37866e5a588983007e252","state":"delayed","due_at_ms":1700000060000,"attempts":0,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000}
    {"schema_version":1,"id":"c","service":"comfyui","signature":"29a128eb74c37866e5a588983007e252","state":"dead","death":"permanent","attempts":1,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000,"finished_at_ms":1700000000000,"error":"no such sampler"}
    "#);
    let events = queue.events(&id("a"), None, Duration::ZERO).await.unwrap();
    let events: Vec<_> = events.iter().map(|it| written(&HappenedDocument::of(&id("a"), it))).collect();
    assert_snapshot!(events.join("\n"), @r#"
    {"schema_version":1,"job":"a","id":"1","at_ms":1700000000000,"event":"progress","percent":50,"message":"step 10 of 20"}
    {"schema_version":1,"job":"a","id":"2","at_ms":1700000000000,"event":"succeeded"}
    "#);
    assert_snapshot!(written(&CountsDocument::from(queue.counts().await.unwrap())), @r#"{"schema_version":1,"waiting":0,"held":1,"delayed":1,"running":1,"dead":1,"bytes":288,"paused":false}"#);
    let why = queue.explain(&id("e")).await.unwrap().unwrap();
    assert_snapshot!(written(&ExplanationDocument::from(&why)), @r#"{"schema_version":1,"status":{"schema_version":1,"id":"e","service":"comfyui","limit_key":"gold","signature":"a8496b3aed7fe386134a0c4b16d0aec9","state":"waiting","attempts":0,"max_attempts":3,"crashes":0,"submitted_at_ms":1700000000000,"job":{"id":"e","limit_key":"gold","requirements":{"hardware":{"gpu_memory_gb":80},"models":["flux"]},"service_required":"comfyui","version":1}},"signature":{"service":"comfyui","requirements":{"hardware":{"gpu_memory_gb":80},"models":["flux"]}},"paused":false,"held":{"limit_key":"gold","running":1,"concurrency":1},"classes":[{"class":"dd4471a14450a0d42cd87ffb1ba51d48","has":{"services":["comfyui"],"hardware":{"gpu_memory_gb":24}},"unmet":["it does not satisfy {\"hardware\":{\"gpu_memory_gb\":80}}","it does not satisfy {\"models\":[\"flux\"]}"]}]}"#);
}
