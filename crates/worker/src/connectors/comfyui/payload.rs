//! What a job for ComfyUI says.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Symptom};
use crate::payload::Payload;

/// A job.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    /// In the form of the API: nodes by their id.
    pub(super) workflow: Map<String, Value>,
    #[serde(default)]
    pub(super) inputs: Vec<Input>,
    pub(super) previews: Option<bool>,
    #[serde(default)]
    pub(super) extra_data: Map<String, Value>,
}

/// A file that has to be at the server before the workflow runs.
#[derive(Debug, Deserialize)]
pub(super) struct Input {
    /// As nodes of the workflow name it.
    pub(super) name: String,
    pub(super) url: String,
}

/// The form of a job's payload.
pub(super) fn form() -> Payload {
    Payload::new(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A ComfyUI workflow",
        "type": "object",
        "required": ["workflow"],
        "additionalProperties": false,
        "properties": {
            "workflow": {
                "type": "object", "minProperties": 1,
                "description": "In the form of the API, as `Export (API)` saves it: nodes by their id, each with `class_type` and `inputs`"
            },
            "inputs": {
                "type": "array", "maxItems": 100,
                "description": "Files that are put into the server's input folder before the workflow runs",
                "items": {
                    "type": "object", "required": ["name", "url"], "additionalProperties": false,
                    "properties": {
                        "name": {
                            "type": "string", "pattern": "^[^./\\\\\\x00-\\x1f][^/\\\\\\x00-\\x1f]{0,199}$",
                            "description": "The name that nodes of the workflow have it by, as `image` of `LoadImage`"
                        },
                        "url": { "type": "string", "minLength": 1, "description": "An https address, or a data URL" }
                    }
                }
            },
            "previews": { "type": "boolean", "description": "Whether the last preview is among the outputs" },
            "extra_data": { "type": "object", "description": "Passed on to ComfyUI" }
        }
    }))
}

impl Wish {
    /// Reads what is of the form; refuses what ComfyUI would refuse in words that help nobody.
    pub(super) fn read(payload: &Value) -> Result<Self, Failure> {
        let invalid = |it: String| Failure::of(Symptom::Invalid, it);
        let wish: Self = serde_json::from_value(payload.clone()).map_err(|it| invalid(it.to_string()))?;
        if wish.workflow.get("nodes").is_some_and(Value::is_array) {
            return Err(invalid(
                "`workflow` is in the form that ComfyUI's page saves, which only the page can run; in the page, choose \
                 `Export (API)` and send that"
                    .into(),
            ));
        }
        if let Some(input) = wish.inputs.iter().find(|it| wish.places(&it.name) == 0) {
            return Err(invalid(format!("the input `{}` is named by no node of the workflow", input.name)));
        }
        Ok(wish)
    }

    fn places(&self, name: &str) -> usize {
        self.workflow
            .values()
            .filter_map(|it| it["inputs"].as_object())
            .flatten()
            .filter(|it| it.1 == name)
            .count()
    }

    /// Lets the nodes that name an input name it as the server does.
    pub(super) fn rename(&mut self, name: &str, path: &str) {
        let inputs = self.workflow.values_mut().filter_map(|it| it.get_mut("inputs")?.as_object_mut());
        for (_, value) in inputs.flatten().filter(|it| it.1 == name) {
            *value = path.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn refusal(payload: &Value) -> String {
        form().check(payload).and_then(|()| Wish::read(payload).map(drop)).unwrap_err().message
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_way_out() {
        assert_snapshot!(
            refusal(&json!({ "workflow": { "nodes": [], "links": [], "version": 0.4 } })),
            @"`workflow` is in the form that ComfyUI's page saves, which only the page can run; in the page, choose `Export (API)` and send that"
        );
        let workflow = json!({ "1": { "class_type": "LoadImage", "inputs": { "image": "a.png" } } });
        assert_snapshot!(
            refusal(&json!({ "workflow": workflow, "inputs": [{ "name": "b.png", "url": "https://example.com/b" }] })),
            @"the input `b.png` is named by no node of the workflow"
        );
        for name in ["../a.png", "a/b.png", "..", ".a", "", "a\\b", "a\nb"] {
            let payload =
                json!({ "workflow": workflow, "inputs": [{ "name": name, "url": "https://example.com/b" }] });
            assert!(form().check(&payload).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_input_is_renamed_wherever_a_node_names_it() {
        let payload = json!({
            "workflow": {
                "1": { "class_type": "LoadImage", "inputs": { "image": "a.png" } },
                "2": { "class_type": "LoadImageMask", "inputs": { "image": "a.png", "channel": "red" } },
                "3": { "class_type": "Note" }
            },
            "inputs": [{ "name": "a.png", "url": "https://example.com/a" }]
        });
        let mut wish = Wish::read(&payload).unwrap();
        wish.rename("a.png", "a (1).png");
        assert_eq!(wish.workflow["1"]["inputs"]["image"], "a (1).png");
        assert_eq!(wish.workflow["2"]["inputs"], json!({ "image": "a (1).png", "channel": "red" }));
    }
}
