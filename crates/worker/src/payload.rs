//! What a connector accepts: a JSON Schema, and everything that is wrong with a payload at once.

use jsonschema::Validator;
use serde_json::Value;

use crate::failure::Failure;

/// The form of a job's payload.
#[derive(Debug)]
pub struct Payload {
    schema: Value,
    validator: Validator,
}

/// The most faults of one payload that are told.
const MOST: usize = 10;

impl Payload {
    /// The form that a schema describes. Panics if it is no JSON Schema: schemas are written in this crate.
    pub fn new(schema: Value) -> Self {
        let validator = jsonschema::validator_for(&schema).expect("a connector's schema is a JSON Schema");
        Self { schema, validator }
    }

    /// The schema, for those who write payloads.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// A permanent failure that tells everything that is wrong with `payload`, by where it is and what is expected.
    /// Values are not told: a payload may hold a secret.
    pub fn check(&self, payload: &Value) -> Result<(), Failure> {
        let mut told: Vec<String> = Vec::new();
        for fault in self.validator.iter_errors(payload) {
            let place = fault.instance_path().to_string();
            let place = if place.is_empty() { "the payload".to_owned() } else { format!("`{place}`") };
            told.push(format!("{place}: {}", fault.masked_with("the value")));
        }
        if told.is_empty() {
            return Ok(());
        }
        let more = told.len().saturating_sub(MOST);
        told.truncate(MOST);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        Err(Failure::permanent(format!(
            "the payload is not of the form that the connector takes: {}",
            told.join("; ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_faults_of_a_payload_are_told_and_no_value_of_it() {
        let payload = Payload::new(json!({
            "type": "object",
            "required": ["prompt"],
            "properties": { "prompt": { "type": "string" }, "steps": { "type": "integer", "minimum": 1 } },
            "additionalProperties": false,
        }));
        assert!(payload.check(&json!({ "prompt": "a cat", "steps": 2 })).is_ok());
        let failure = payload.check(&json!({ "steps": 0, "canary": "canary-value" })).unwrap_err();
        assert_snapshot!(failure.message, @r#"the payload is not of the form that the connector takes: `/steps`: the value is less than the minimum of 1; the payload: Additional properties are not allowed ('canary' was unexpected); the payload: "prompt" is a required property"#);
        assert!(!failure.message.contains("canary-value"));
    }
}
