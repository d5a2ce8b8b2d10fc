//! Results without the pictures in them: what is kept in Redis holds none.

use serde_json::Value;

/// So many characters of base64 in a row are data.
const RUN: usize = 100;
const IMAGE: &str = "[BASE64_IMAGE_REMOVED]";
const DATA: &str = "[BASE64_DATA_REMOVED]";

/// `value` without base64: values named `image_base64`, and every run of 100 characters or more in any text. A text that
/// is JSON itself is cleaned inside.
pub(super) fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let clean = |(name, it): (&String, &Value)| {
                let image = name == "image_base64" && it.is_string();
                (name.clone(), if image { IMAGE.into() } else { stripped(it) })
            };
            Value::Object(members.iter().map(clean).collect())
        }
        Value::Array(them) => them.iter().map(stripped).collect(),
        Value::String(text) => Value::String(clean(text)),
        other => other.clone(),
    }
}

fn clean(text: &str) -> String {
    if text.len() < RUN {
        return text.to_owned();
    }
    if text.starts_with(['{', '['])
        && let Ok(inside) = serde_json::from_str::<Value>(text)
    {
        return stripped(&inside).to_string();
    }
    let of_base64 = |it: char| it.is_ascii_alphanumeric() || it == '+' || it == '/';
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(first) = rest.find(of_base64) {
        let (before, run) = rest.split_at(first);
        let length = run.find(|it| !of_base64(it)).unwrap_or(run.len());
        let (run, after) = run.split_at(length);
        kept += before;
        if length < RUN {
            kept += run;
            rest = after;
        } else {
            kept += DATA;
            // Its padding.
            let padding = after.len() - after.trim_start_matches('=').len();
            rest = &after[padding.min(2)..];
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pictures_are_taken_out_and_nothing_else() {
        let long = "QUJD".repeat(40);
        let short = "QUJD".repeat(24);
        let result = json!({
            "image_base64": "QUJD",
            "url": "https://cdn.example.org/a/b/c.png",
            "data": [format!("data:image/png;base64,{long}=="), short],
            "raw": json!({ "b64": long, "id": 7 }).to_string(),
            "count": 3,
        });
        assert_eq!(
            stripped(&result),
            json!({
                "image_base64": IMAGE,
                "url": "https://cdn.example.org/a/b/c.png",
                "data": [format!("data:image/png;base64,{DATA}"), short],
                "raw": json!({ "b64": DATA, "id": 7 }).to_string(),
                "count": 3,
            })
        );
    }
}
