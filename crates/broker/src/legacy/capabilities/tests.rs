use serde_json::json;

use super::*;

fn read_ours(document: &Value) -> Requirements {
    Requirements::read(document).unwrap()
}

#[test]
fn what_can_be_said_reads_as_it_is_written() {
    for ours in [
        json!({}),
        json!({ "hardware": { "gpu_memory_gb": 16, "ram_gb": 8 }, "models": ["a", "b"], "isolation": "strict" }),
        json!({ "components": ["c"], "has": { "region": "eu", "fast": true, "tags": ["x", "y"], "cuda": { ">=": 12.1 } } }),
        json!({ "not": [{ "has": { "slow": true } }, { "hardware": { "gpu_memory_gb": 80 } }] }),
    ] {
        let requirements = read_ours(&ours);
        assert_eq!(read(&write(&requirements).unwrap()), Some(requirements));
    }
    // Where several amounts of one thing are asked for, the largest counts; of unwanted ones the smallest.
    let nested = read_ours(&json!({
        "hardware": { "ram_gb": 8 }, "all": [{ "hardware": { "ram_gb": 16 } }],
        "not": [{ "hardware": { "ram_gb": 90 } }, { "hardware": { "ram_gb": 64 } }],
    }));
    let text = write(&nested).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({ "positive_requirements": { "hardware": { "ram_gb": 16 } },
            "negative_requirements": { "hardware": { "ram_gb": 64 } } })
    );
}

#[test]
fn what_cannot_be_said_is_refused_with_every_reason() {
    let requirements = read_ours(&json!({
        "any": [{ "models": ["a"] }, { "models": ["b"] }],
        "has": { "n": 3, "either": { "any": ["x", "y"] }, "worker_id": "w" },
        "not": [{ "models": ["a"] }, { "has": { "a": true, "b": true } }],
    }));
    let mut told: Vec<String> = write(&requirements).unwrap_err().into_iter().map(|it| it.at).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "/requirements/any",
            "/requirements/has/either",
            "/requirements/has/n",
            "/requirements/has/worker_id",
            "/requirements/not",
            "/requirements/not/models",
        ]
    );
}

#[test]
fn what_our_words_cannot_say_is_not_half_said() {
    for text in ["null", "5", r#"{"hardware":{"gpu_memory_gb":"16"}}"#, r#"{"x":null}"#, r#"{"x":{"y":1}}"#] {
        assert_eq!(read(text), None, "{text}");
    }
    assert_eq!(
        read(r#"{"hardware":{"gpu_memory_gb":"all"},"models":[],"service_type":"x"}"#),
        Some(Requirements::none())
    );
}

#[test]
fn a_worker_of_ours_is_known_again() {
    let has: Capabilities = serde_json::from_value(json!({
        "services": ["comfyui"], "hardware": { "gpu_memory_gb": 24 }, "models": { "comfyui": ["sdxl"] },
        "components": ["c"], "isolated": true, "allowed_customers": ["anna"], "denied_customers": ["bob"],
        "workflow": "wf", "has": { "region": "eu", "tags": ["x"] },
    }))
    .unwrap();
    let worker = Worker::new("w".parse().unwrap(), has.clone());
    let document = document(&worker, &Settings::new("m".parse().unwrap()));
    assert_eq!(told(&document.to_string()), Some(has));
    assert_eq!(told(r#"{"gpu_id":0,"services":["comfyui"]}"#), None);
}
