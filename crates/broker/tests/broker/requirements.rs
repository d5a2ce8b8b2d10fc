//! The requirements language: what it refuses, what it means, and that one meaning has one form.

use std::collections::BTreeSet;

use broker::{Capabilities, Job, Requirements, Signature};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::naive;

fn refusals(document: &Value) -> String {
    let told = Job::read(&document.to_string()).map(drop).unwrap_err();
    told.iter().map(|it| it.fault.to_string()).collect::<Vec<_>>().join("\n")
}

/// A job that requires this.
fn requiring(requirements: &Value) -> String {
    refusals(&json!({ "service_required": "comfyui", "requirements": requirements }))
}

#[test]
fn what_poisons_other_queues_is_refused_with_the_reason() {
    assert_snapshot!(requiring(&Value::Null), @"requirements: has to be an object, not null");
    assert_snapshot!(requiring(&json!({ "hardware": null })), @"requirements.hardware: has to be an object, not null");
    assert_snapshot!(requiring(&json!({ "hardware": { "gpu_memory_gb": "16", "vram": 8, "ram_gb": -1 } })), @r#"
    requirements.hardware.gpu_memory_gb: has to be a number, not a text
    requirements.hardware.ram_gb: -1 is not from 0 to 1000000
    requirements.hardware.vram: is not a field here
    "#);
    assert_snapshot!(requiring(&json!({ "timeout_minutes": 30, "component": "all", "negative_requirements": {} })), @r#"
    requirements.component: is not a field here; did you mean `components`?
    requirements.negative_requirements: is not a field here
    requirements.timeout_minutes: is not a field here
    "#);
    assert_snapshot!(requiring(&json!({ "models": "sdxl", "components": [], "has": { "x": null, "y": {}, "": 1 } })), @r#"
    requirements.components: is empty; leave it out if nothing is asked for
    requirements.has.: is empty; leave it out if nothing is asked for
    requirements.has.x: has to be a text, a number, true or false, not null
    requirements.has.y: has to be one of `>=`, `all` and `any`, not none or several of them
    requirements.models: has to be a list, not a text
    "#);
    assert_snapshot!(requiring(&json!({ "has": { "a": { ">=": "1" }, "b": { ">=": 1, "any": [2] }, "c": { ">": 1 } } })), @r#"
    requirements.has.a.>=: has to be a number, not a text
    requirements.has.b: has to be one of `>=`, `all` and `any`, not none or several of them
    requirements.has.c.>: is not a field here; did you mean `>=`?
    "#);
    assert_snapshot!(requiring(&json!({ "isolation": "none", "not": { "models": ["a"] }, "any": [{}] })), @r#"
    requirements.any[0]: is empty; leave it out if nothing is asked for
    requirements.isolation: has to be the text "strict", not another text
    requirements.not: has to be a list, not an object
    "#);
    let deep = json!({ "all": [{ "any": [{ "not": [{ "all": [{ "any": [{ "models": ["a"] }] }] }] }] }] });
    assert_snapshot!(requiring(&deep), @"requirements.all[0].any[0].not[0].all[0].any: has 5 levels; 4 is the limit");
}

#[test]
fn a_poisoned_job_is_refused_with_every_reason() {
    let document = json!({
        "id": "a:b", "priority": "high", "max_retries": 3, "timeout_ms": 0, "delay_ms": 1.5, "payload": null,
        "customer": "", "workflow": { "step": 0 }, "version": 2,
    });
    assert_snapshot!(refusals(&document), @r#"
    service_required: is missing
    customer: the name is empty
    delay_ms: has to be a whole number, not a fraction
    id: ':' cannot be in a name; use letters, digits and _-.
    max_retries: is not a field here
    priority: has to be a number, not a text
    timeout_ms: 0 is not from 1 to 31536000000
    version: 2 is not from 1 to 1
    workflow.id: is missing
    workflow.step: 0 is not from 1 to 1000000
    "#);
    assert_snapshot!(refusals(&json!([])), @"the document: has to be an object, not a list");
    assert_snapshot!(Job::read(&" ".repeat(10_000_000)).unwrap_err()[0].fault, @"the document: has 10000000 bytes; 524288 is the limit");
    let large = json!({ "service_required": "a", "payload": "x".repeat(300_000) });
    assert_snapshot!(refusals(&large), @"payload: has 300002 bytes; 262144 is the limit");
}

#[test]
fn a_job_survives_its_document() {
    let document = json!({
        "id": "j-1", "service_required": "comfyui", "priority": -3, "payload": { "a": [1, null, "\u{0}\u{1F408}"] },
        "requirements": { "has": { "x": { "any": [1, 2.5, "b"] } }, "not": [{ "isolation": "strict" }] },
        "customer": "c@d", "workflow": { "id": "w/1", "step": 2, "steps": 3, "routed": true }, "max_attempts": 9,
        "timeout_ms": 1, "delay_ms": 2, "result_ttl_ms": 3, "idempotency_key": "k", "version": 1,
    });
    let job = Job::read(&document.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&job).unwrap(), document);
}

#[test]
fn only_what_matters_for_matching_is_in_the_signature() {
    let read = |document: Value| Job::read(&document.to_string()).unwrap().signature();
    let one = read(json!({ "service_required": "a", "requirements": { "models": ["x", "y", "x"] } }));
    let same = read(json!({
        "service_required": "a", "requirements": { "models": ["y", "x"] }, "priority": 5, "payload": [1],
        "workflow": { "id": "w" },
    }));
    assert_eq!(one.id(), same.id());
    // The signature's text is part of the wire: a change of it would split the lines of a running queue.
    assert_snapshot!(serde_json::to_string(&one).unwrap(), @r#"{"service":"a","requirements":{"models":["x","y"]}}"#);
    assert_snapshot!(one.id(), @"61e0a93d6041f9715e241b9745671f68");
}

const WORDS: [&str; 3] = ["a", "b", "c"];

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&WORDS[..])
}
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        word().prop_map(Value::from),
        (0..4).prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ]
}
fn some<T: Strategy>(of: T) -> impl Strategy<Value = Vec<T::Value>> {
    prop::collection::vec(of, 1..3)
}
fn amounts() -> impl Strategy<Value = Value> {
    let part = prop::sample::select(&["gpu_memory_gb", "cpu_cores", "ram_gb"][..]);
    some((part, 0..4))
        .prop_map(|them| them.into_iter().map(|(k, v): (&str, i32)| (k.to_owned(), Value::from(v))).collect())
}
fn test() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar(),
        some(scalar()).prop_map(Value::from),
        (0..4).prop_map(|it| json!({ ">=": it })),
        some(scalar()).prop_map(|it| json!({ "all": it })),
        some(scalar()).prop_map(|it| json!({ "any": it })),
    ]
}
fn object(members: Vec<(&'static str, Value)>) -> Value {
    members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}
fn member() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        amounts().prop_map(|it| ("hardware", it)),
        some(word()).prop_map(|it| ("models", it.into())),
        some(word()).prop_map(|it| ("components", it.into())),
        Just(("isolation", "strict".into())),
        some((word(), test())).prop_map(|it| ("has", object(it))),
    ]
}
fn document() -> impl Strategy<Value = Value> {
    let leaf = some(member()).prop_map(object);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let nested = (prop::sample::select(&["all", "any", "not"][..]), some(inner));
        let nested = nested.prop_map(|(name, them)| (name, Value::from(them))).boxed();
        some(prop_oneof![member(), nested.clone(), nested]).prop_map(object)
    })
}
fn capability() -> impl Strategy<Value = Value> {
    prop_oneof![scalar(), prop::collection::vec(scalar(), 0..3).prop_map(Value::from)]
}

prop_compose! {
    fn capabilities()(
        services in some(word()), hardware in amounts(), components in prop::collection::vec(word(), 0..3),
        models in prop::option::of(prop_oneof![some(word()).prop_map(Value::from), Just("any".into())]),
        isolated in any::<bool>(), allowed in prop::option::of(some(word())), denied in prop::collection::vec(word(), 0..2),
        workflow in prop::option::weighted(0.3, word()), has in some((word(), capability())),
    ) -> Value {
        let mut it = json!({
            "services": services, "hardware": hardware, "components": components, "isolated": isolated,
            "denied_customers": denied, "has": object(has),
        });
        it["models"] = models.map_or(json!({}), |models| json!({ "a": models }));
        it.as_object_mut().unwrap().extend(allowed.map(|them| ("allowed_customers".into(), them.into())));
        it.as_object_mut().unwrap().extend(workflow.map(|workflow| ("workflow".into(), workflow.into())));
        it
    }
}

prop_compose! {
    fn job()(
        service in word(), requirements in prop_oneof![1 => Just(json!({})), 8 => document()],
        customer in prop::option::of(word()), workflow in prop::option::of((word(), any::<bool>())),
    ) -> Value {
        let mut it = json!({ "service_required": service, "requirements": requirements });
        let members = it.as_object_mut().unwrap();
        members.extend(customer.map(|customer| ("customer".into(), customer.into())));
        members.extend(workflow.map(|(id, routed)| ("workflow".into(), json!({ "id": id, "routed": routed }))));
        it
    }
}

/// The same document with every list and object the other way round, and each list's first member said twice.
fn turned(value: &Value) -> Value {
    match value {
        Value::Array(them) => them.iter().rev().chain(them.last()).map(turned).collect(),
        Value::Object(them) => {
            them.iter().rev().map(|(k, v)| (k.clone(), turned(v))).collect::<Map<_, _>>().into()
        }
        Value::Number(it) => json!(it.as_f64()),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn matching_is_what_the_documents_say(job in job(), has in capabilities()) {
        let signature = Job::read(&job.to_string()).unwrap().signature();
        let capabilities: Capabilities = serde_json::from_value(has.clone()).unwrap();
        let expected = naive::runs(&has, &job);
        prop_assert_eq!(capabilities.satisfy(&signature), expected);
        prop_assert_eq!(capabilities.unmet(&signature).is_empty(), expected);
    }

    #[test]
    fn one_meaning_has_one_form(document in document()) {
        let read = Requirements::read(&document).unwrap();
        prop_assert_eq!(&Requirements::read(&turned(&document)).unwrap(), &read);
        let canonical: Value = serde_json::from_str(&read.to_string()).unwrap();
        prop_assert_eq!(&Requirements::read(&canonical).unwrap(), &read);
        let signature = Signature { service: "a".parse().unwrap(), requirements: read, customer: None, workflow: None };
        let text = serde_json::to_string(&signature).unwrap();
        prop_assert_eq!(serde_json::from_str::<Signature>(&text).unwrap().id(), signature.id());
    }

    #[test]
    fn equal_capabilities_are_one_class(has in capabilities()) {
        let read = |it: &Value| serde_json::from_value::<Capabilities>(it.clone()).unwrap();
        let (one, other) = (read(&has), read(&turned(&has)));
        prop_assert_eq!(one.class(), other.class());
        prop_assert_eq!(read(&serde_json::to_value(&one).unwrap()), one);
    }

    #[test]
    fn nothing_makes_the_reader_stumble(text in "[\\[\\]{}\",:a-c0-2\\-.e]{0,40}") {
        _ = Job::read(&text);
        _ = serde_json::from_str::<Capabilities>(&text);
    }
}

#[test]
fn the_generated_pairs_match_about_as_often_as_not() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut pairs = || (job(), capabilities()).new_tree(&mut runner).unwrap().current();
    let seen: BTreeSet<bool> =
        (0..2_000).map(|_| pairs()).map(|(job, has)| naive::runs(&has, &job)).collect();
    assert_eq!(seen.len(), 2, "an oracle that always says the same proves nothing");
}
