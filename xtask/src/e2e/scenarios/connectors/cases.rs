//! What is asked of each connector, and what has to come of it.

use broker::Death;
use serde_json::{Value, json};

use crate::e2e::peer;

/// A connector, which is named like a worker of the service mapping.
pub(super) struct Case {
    pub(super) connector: &'static str,
    /// Jobs that succeed: one of each kind that it takes, at least.
    pub(super) good: Vec<Good>,
    pub(super) bad: Bad,
}

/// A job that succeeds.
pub(super) struct Good {
    pub(super) kind: &'static str,
    pub(super) payload: Value,
    /// What stands where in its result, as JSON pointers have it.
    pub(super) has: Vec<(&'static str, Value)>,
    /// Where its result names files.
    pub(super) files: &'static [&'static str],
}

/// A job that fails.
pub(super) struct Bad {
    pub(super) kind: &'static str,
    pub(super) payload: Value,
    /// Of what it dies: at once, or of as many attempts as it has.
    pub(super) death: Death,
    /// Words of the service, or of the connector.
    pub(super) words: &'static str,
}

/// Where doubles are that the machine does not start.
pub(super) struct Places {
    /// A picture, at a service.
    pub(super) picture: String,
    /// A page with a form.
    pub(super) form: String,
}

/// One case a connector.
pub(super) fn all(places: &Places) -> Vec<Case> {
    vec![
        a1111(places),
        comfyui("comfyui"),
        comfyui("comfyui-remote"),
        previews(),
        ollama(),
        openai(places),
        playwright(places),
        replicate(),
        runpod(),
        simulation(),
    ]
}

fn good(
    kind: &'static str,
    payload: Value,
    has: &[(&'static str, Value)],
    files: &'static [&'static str],
) -> Good {
    Good { kind, payload, has: has.to_vec(), files }
}

/// It would fail everywhere and always.
fn permanent(kind: &'static str, payload: Value, words: &'static str) -> Bad {
    Bad { kind, payload, death: Death::Permanent, words }
}

/// It may succeed another time.
fn retryable(kind: &'static str, payload: Value, words: &'static str) -> Bad {
    Bad { kind, payload, death: Death::Attempts, words }
}

fn a1111(places: &Places) -> Case {
    let text = json!({ "prompt": "a cat", "steps": 2 });
    let picture = json!({ "prompt": "a cat", "steps": 2, "init_images": [places.picture] });
    Case {
        connector: "a1111",
        good: vec![
            good("a1111", text, &[("/sd_model_name", json!("sdxl"))], &["/images/0"]),
            good("a1111", picture, &[("/seed", json!(7))], &["/images/0"]),
        ],
        bad: permanent(
            "a1111",
            json!({ "prompt": "a cat", "sampler_name": "Nonesuch" }),
            "Sampler not found",
        ),
    }
}

fn comfyui(connector: &'static str) -> Case {
    let has = [("/files/0/node", json!("9")), ("/files/0/content_type", json!("image/png"))];
    Case {
        connector,
        good: vec![good("comfyui", peer::picture().payload(), &has, &["/files/0"])],
        bad: retryable("comfyui", peer::broken().payload(), "IndexError: index 3 is out of bounds"),
    }
}

fn previews() -> Case {
    let has = [("/preview/content_type", json!("image/png"))];
    let good = vec![good("comfyui", peer::previewed().payload(), &has, &["/preview", "/files/0"])];
    Case { connector: "comfyui-websocket", good, ..comfyui("comfyui-websocket") }
}

fn ollama() -> Case {
    let said = [("/response", json!("A cat ünd"))];
    let messages = json!({ "messages": [{ "role": "user", "content": "a cat" }] });
    let prompt = json!({ "model": "m", "prompt": "a cat" });
    Case {
        connector: "ollama",
        good: vec![
            good("ollama", prompt.clone(), &said, &[]),
            good("text_generation", prompt, &said, &[]),
            // These name no model: it is the machine's.
            good("chat_completion", messages, &[("/message/content", json!("One moment"))], &[]),
            good("embeddings", json!({ "input": "a cat" }), &[("/embeddings/0/1", json!(0.25))], &[]),
        ],
        bad: permanent(
            "ollama",
            json!({ "model": "missing", "prompt": "a cat" }),
            "model 'missing' not found",
        ),
    }
}

fn openai(places: &Places) -> Case {
    let prompt = json!({ "model": "plain", "prompt": "a cat" });
    let edit = json!({ "model": "plain", "prompt": "greyer", "images": [places.picture] });
    let said = [("/choices/0/message/content", json!("A cat"))];
    let response = [("/output/0/content/0/text", json!("A cat"))];
    let embedding = [("/data/0/embedding/1", json!(0.25))];
    Case {
        connector: "openai",
        good: vec![
            good("openai_text", prompt.clone(), &said, &[]),
            good("openai_responses", json!({ "model": "plain", "input": "a cat" }), &response, &[]),
            good("openai_image", prompt, &[], &["/images/0/image"]),
            good("openai_img2img", edit, &[("/usage/total_tokens", json!(1))], &["/images/0/image"]),
            good("openai_embeddings", json!({ "model": "plain", "input": "a cat" }), &embedding, &[]),
        ],
        bad: permanent(
            "openai_text",
            json!({ "model": "refuses", "prompt": "a cat" }),
            "OpenAI refuses: I cannot.",
        ),
    }
}

fn playwright(places: &Places) -> Case {
    let actions = json!([
        { "open": { "url": places.form } },
        { "fill": { "selector": "input", "text": "a cat" } },
        { "screenshot": { "name": "form.png" } },
        { "click": { "selector": "#send" } },
        { "extract": { "selector": "title" } }
    ]);
    let has = [("/results/0/title", json!("Form")), ("/results/4", json!("Done"))];
    let elsewhere = json!({ "actions": [{ "open": { "url": "http://169.254.169.254/latest" } }] });
    Case {
        connector: "playwright",
        good: vec![good("playwright", json!({ "actions": actions }), &has, &["/results/2"])],
        bad: permanent("playwright", elsewhere, "which is not a public address"),
    }
}

fn replicate() -> Case {
    let job = |input: Value| json!({ "version": "v1", "input": input });
    let (files, fails) =
        (json!({ "then": "succeeded", "output": "files" }), json!({ "then": "failed", "error": "it broke" }));
    let has = [("/metrics/predict_time", json!(1.5))];
    Case {
        connector: "replicate",
        good: vec![good("replicate", job(files), &has, &["/output/0", "/output/1"])],
        bad: retryable("replicate", job(fails), "the prediction failed: it broke"),
    }
}

fn runpod() -> Case {
    let job = |input: Value| json!({ "input": input });
    let (file, fails) =
        (json!({ "then": "COMPLETED", "output": "file" }), json!({ "then": "FAILED", "error": "it broke" }));
    Case {
        connector: "runpod",
        good: vec![good("runpod", job(file), &[("/execution_ms", json!(5))], &["/output/image_url"])],
        bad: retryable("runpod", job(fails), "the job failed: it broke"),
    }
}

fn simulation() -> Case {
    let has = [("/seed", json!(7)), ("/output/bytes", json!(1000))];
    let job = json!({ "duration_ms": 20, "seed": 7, "output_bytes": 1000 });
    Case {
        connector: "simulation",
        good: vec![good("simulation", job, &has, &["/output"])],
        bad: permanent(
            "simulation",
            json!({ "duration_ms": 20, "fail": "permanent" }),
            "a permanent failure, as asked",
        ),
    }
}
