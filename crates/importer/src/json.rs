//! JSON with the place of everything: read by `serde_json`, pointed at by [`spec::json`].

use serde_json::Value as Json;
use spec::json::{JsonFault, JsonIndex};
use spec::notes::Located;
use spec::source::SourceText;

use crate::tree::{Member, Node, Value};

/// Reads a document; every repeated key is told, and the first fault of syntax.
pub(crate) fn read(source: &SourceText) -> Result<Node, Vec<Located<JsonFault>>> {
    let index = spec::json::index(source)?;
    // The index is as strict as `serde_json`: what it has taken can be read.
    let value: Json = serde_json::from_str(source.text()).unwrap_or_default();
    Ok(node(source, &index, "", value))
}

fn node(source: &SourceText, index: &JsonIndex, pointer: &str, value: Json) -> Node {
    let place = index.value(pointer).unwrap_or_else(|| source.whole());
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(it),
        Json::Number(it) => Value::Number(it.to_string()),
        Json::String(it) => Value::Text(it),
        Json::Array(items) => {
            let item = |(at, it)| node(source, index, &format!("{pointer}/{at}"), it);
            Value::List(items.into_iter().enumerate().map(item).collect())
        }
        Json::Object(members) => {
            let member = |(key, it): (String, Json)| {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                let place = index.key(&pointer).unwrap_or_else(|| source.whole());
                Member { key, place, value: node(source, index, &pointer, it) }
            };
            Value::Map(members.into_iter().map(member).collect())
        }
    };
    Node { value, place }
}
