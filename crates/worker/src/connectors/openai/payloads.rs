//! What the kinds of jobs take: the bodies of OpenAI's own API, and for chat also a plain prompt.

use serde_json::{Map, Value, json};

use crate::payload::Payload;

/// One for each kind of job.
#[derive(Debug)]
pub(super) struct Payloads {
    text: Payload,
    responses: Payload,
    image: Payload,
    edit: Payload,
    embeddings: Payload,
}

impl Payloads {
    pub(super) fn new() -> Self {
        let text = json!({ "type": "string", "minLength": 1 });
        let picture =
            json!({ "type": "string", "minLength": 1, "description": "an https address, or a data URL" });
        let schema = |title: &str, required: Value, properties: Value| {
            let mut schema = json!({
                "$schema": "http://json-schema.org/draft-07/schema#", "title": title, "type": "object",
                "properties": properties
            });
            schema["properties"]["model"] = json!({ "type": "string", "minLength": 1 });
            for (key, value) in required.as_object().into_iter().flatten() {
                schema[key] = value.clone();
            }
            Payload::new(schema)
        };
        // Whoever asks gets the whole answer: streaming is between us and the service.
        let (streamed, whole) = (json!({ "type": "boolean" }), json!({ "const": false }));
        let count = json!({ "type": "integer", "minimum": 1, "maximum": 10 });
        Self {
            text: schema(
                "Chat: the body of /chat/completions, or `prompt` and `system_prompt`",
                json!({ "oneOf": [{ "required": ["messages"] }, { "required": ["prompt"] }] }),
                json!({
                    "stream": streamed, "messages": { "type": "array", "minItems": 1, "items": { "type": "object", "required": ["role"] } },
                    "prompt": text, "system_prompt": text, "n": { "const": 1 }
                }),
            ),
            responses: schema(
                "Responses: the body of /responses",
                json!({ "required": ["input"] }),
                json!({ "input": { "type": ["string", "array"] }, "background": { "const": false }, "stream": streamed }),
            ),
            image: schema(
                "An image: the body of /images/generations",
                json!({ "required": ["prompt"] }),
                json!({ "prompt": text, "n": count, "stream": whole }),
            ),
            edit: schema(
                "An image from images: the fields of /images/edits, with the pictures by address",
                json!({ "required": ["prompt", "images"] }),
                json!({
                    "prompt": text, "n": count, "mask": picture, "stream": whole,
                    "images": { "type": "array", "minItems": 1, "maxItems": 16, "items": picture }
                }),
            ),
            embeddings: schema(
                "Embeddings: the body of /embeddings",
                json!({ "required": ["input", "model"] }),
                json!({ "input": { "type": ["string", "array"] } }),
            ),
        }
    }

    pub(super) fn of(&self, service_required: &str) -> Option<&Payload> {
        Some(match service_required {
            "openai_text" => &self.text,
            "openai_responses" => &self.responses,
            "openai_image" => &self.image,
            "openai_img2img" => &self.edit,
            "openai_embeddings" => &self.embeddings,
            _ => return None,
        })
    }
}

/// Makes messages of a plain prompt.
pub(super) fn messages(body: &mut Map<String, Value>) {
    let (prompt, system) = (body.remove("prompt"), body.remove("system_prompt"));
    if let Some(prompt) = prompt {
        let system = system.map(|it| json!({ "role": "system", "content": it }));
        let messages: Vec<Value> =
            system.into_iter().chain([json!({ "role": "user", "content": prompt })]).collect();
        body.insert("messages".into(), messages.into());
    }
}
