use serde_json::json;

use super::*;

/// A verdict in a few words, for a worker of `comfyui` with 24 GB.
fn told(requirements: &str) -> String {
    let has = json!({
        "worker_id": "w", "job_service_required_map": ["comfyui"], "hardware": { "gpu_memory_gb": 24 },
        "tags": ["x", "y"], "gpu": { "vendor": "nvidia" },
    });
    let wants = Wants { service: "comfyui".into(), requirements: requirements.into(), ..Wants::default() };
    match judge(&has, &wants) {
        Verdict::Takes => "takes".into(),
        Verdict::Leaves => "leaves".into(),
        Verdict::Poison(why) => why,
    }
}

// The function itself is the oracle of the same rules in `tests/legacy/differential.rs`.
#[test]
fn the_rules_have_their_quirks() {
    for (requirements, expected) in [
        ("", "takes"),
        ("{no json", "takes"),
        ("[]", "takes"),
        (r#"{"hardware":{"gpu_memory_gb":24}}"#, "takes"),
        (r#"{"hardware":{"gpu_memory_gb":25}}"#, "leaves"),
        (r#"{"hardware":{"gpu_memory_gb":"all"}}"#, "takes"),
        (r#"{"hardware":{"cpu_cores":"4"}}"#, "leaves"),
        (r#"{"hardware.gpu_memory_gb":20,"gpu.vendor":"nvidia"}"#, "takes"),
        (r#"{"tags":["y","x"]}"#, "takes"),
        (r#"{"tags":"z"}"#, "leaves"),
        (r#"{"gpu":{"vendor":"amd"}}"#, "leaves"),
        (r#"{"models":"sdxl"}"#, "takes"),
        (r#"{"models":["sdxl"]}"#, "leaves"),
        (r#"{"negative_requirements":{"tags":"x"}}"#, "leaves"),
        (r#"{"positive_requirements":{},"negative_requirements":{"tags":"x"}}"#, "leaves"),
        (r#"{"positive_requirements":{},"negative_requirements":{"tags":"z"}}"#, "takes"),
        (r#""text""#, "`requirements` is a text, not an object"),
        (r#"{"hardware":null}"#, "`requirements.hardware` is null, not an object"),
    ] {
        assert_eq!(told(requirements), expected, "{requirements}");
    }
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(told(&deep), "`requirements` has more than 127 levels");
}

#[test]
fn workflow_service_and_customer_are_judged_before_all_else() {
    let has = json!({
        "job_service_required_map": ["comfyui"], "workflow_id": "wf",
        "customer_access": { "isolation": "loose", "allowed_customers": ["anna"] },
    });
    let wants = |service: &str, workflow: &str, customer: &str, requirements: &str| Wants {
        service: service.into(),
        workflow: workflow.into(),
        customer: customer.into(),
        requirements: requirements.into(),
    };
    for (job, expected) in [
        (wants("comfyui", "wf", "", ""), Verdict::Takes),
        (wants("comfyui", "", "", "null"), Verdict::Leaves),
        (wants("openai", "wf", "", "null"), Verdict::Leaves),
        // Only a job that asks for isolation is compared with the lists, and no customer is a customer then.
        (wants("comfyui", "wf", "bob", ""), Verdict::Takes),
        (wants("comfyui", "wf", "", r#"{"customer_isolation":"loose"}"#), Verdict::Leaves),
        (wants("comfyui", "wf", "anna", r#"{"customer_isolation":"loose"}"#), Verdict::Takes),
        (wants("comfyui", "wf", "anna", r#"{"customer_isolation":"strict"}"#), Verdict::Leaves),
    ] {
        assert_eq!(judge(&has, &job), expected, "{job:?}");
    }
}
