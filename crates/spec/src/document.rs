//! Documents that people write as JSON: read against the JSON Schema of their Rust type, so that every fault has its
//! JSON path and its place, and all of them come at once. Behind the feature `documents`.

use std::fmt::Write as _;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json::{self, JsonIndex};
use crate::notes::{Code, Exit, Fault, Located, did_you_mean};
use crate::source::SourceText;

/// A document and where each of its parts stands.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    /// Where it says it.
    pub index: JsonIndex,
}

/// What a document can have wrong. The texts never quote a value, only field names: a value may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It is no JSON.
    #[error("{message}")]
    Syntax {
        /// What is wrong with it.
        message: String,
        /// Which rule says so.
        code: Code,
        /// What to do.
        fix: String,
    },
    /// A field that its schema does not know.
    #[error("unknown field `{field}` in {path}")]
    UnknownField {
        /// The object's JSON path.
        path: String,
        /// The field.
        field: String,
        /// The fields that can be there.
        known: Vec<String>,
    },
    /// A field that must be there.
    #[error("field `{field}` is missing in {path}")]
    MissingField {
        /// The object's JSON path.
        path: String,
        /// The field.
        field: String,
    },
    /// A value of another type or outside its range.
    #[error("{path} must be {expected}")]
    Value {
        /// Its JSON path.
        path: String,
        /// What can be there.
        expected: String,
    },
}

impl Fault for DocumentFault {
    fn code(&self) -> Code {
        match self {
            Self::Syntax { code, .. } => *code,
            Self::UnknownField { .. } => UNKNOWN_FIELD,
            Self::MissingField { .. } => MISSING_FIELD,
            Self::Value { .. } => WRONG_VALUE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Syntax { fix, .. } => fix.clone(),
            Self::UnknownField { field, known, .. } => {
                match did_you_mean(field, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if known.is_empty() => "remove it".to_owned(),
                    None => format!("remove it, or use one of: {}", known.join(", ")),
                }
            }
            Self::MissingField { field, .. } => format!("add `{field}`"),
            Self::Value { expected, .. } => format!("write {expected}"),
        }
    }
}

/// A field that the schema does not know.
pub const UNKNOWN_FIELD: Code = Code {
    id: "DOC001",
    title: "unknown field in a document",
    exit: Exit::Error,
    explanation: "Documents are read strictly: a field that nobody reads would be a setting that silently does \
nothing.\n\nBreaks it: `\"requird_env\": [\"OPENAI_API_KEY\"]` in a worker of the service mapping.\n\nMend it: the \
message names the nearest field; every field is described in `docs/schemas/`, which editors use for completion when the \
document has a `$schema`.",
};

/// A field that must be there.
pub const MISSING_FIELD: Code = Code {
    id: "DOC002",
    title: "missing field in a document",
    exit: Exit::Error,
    explanation: "A field without a sensible default must be written: no default is ever guessed.\n\nBreaks it: a \
service without `probes`.\n\nMend it: add the field; `docs/schemas/` says what it means.",
};

/// A value of another type or outside its range.
pub const WRONG_VALUE: Code = Code {
    id: "DOC003",
    title: "wrong value in a document",
    exit: Exit::Error,
    explanation: "Every field has a type, and most have a range or a list of words.\n\nBreaks it: `\"vram_mib\": \"8 \
GiB\"` where a whole number of MiB is asked for.\n\nMend it: the message says what can stand there.",
};

/// Every code of this module.
pub const ALL: &[Code] = &[UNKNOWN_FIELD, MISSING_FIELD, WRONG_VALUE];

/// Reads a document: syntax and repeated keys, then the schema of `T`, then `T` itself.
pub fn read<T: DeserializeOwned + JsonSchema>(
    source: &SourceText,
) -> Result<Document<T>, Vec<Located<DocumentFault>>> {
    let (value, index) = check(source, &schema::<T>(""))?;
    // The schema is made from the same type, so only rules that a schema cannot express are left to fail here.
    let value = serde_json::from_value(value)
        .map_err(|error| at_root(source, format!("what its type can hold: {error}")))?;
    Ok(Document { value, index })
}

/// The same, for documents that are read often and written by programs: where the type accepts a document and `holds`
/// says that it is within the schema's further limits, the schema, which takes most of the time and memory, is not
/// asked. Whatever is refused is told by the schema.
pub fn read_quickly<T: DeserializeOwned + Serialize + JsonSchema>(
    source: &SourceText,
    holds: impl FnOnce(&T) -> bool,
) -> Result<Document<T>, Vec<Located<DocumentFault>>> {
    // Repeated keys are no fault to serde, and it takes a list for an object; what it read is then not what is written.
    if let Ok(index) = json::index(source)
        && let Ok(value) = serde_json::from_str(source.text())
        && holds(&value)
        && serde_json::to_value(&value).ok() == serde_json::from_str(source.text()).ok()
    {
        return Ok(Document { value, index });
    }
    read(source)
}

/// What does not depend on the document's type. It is apart from [`read`] because every crate that calls a generic function
/// gets its own copy of all that is generic in it: copies of the validator were 5 MB of the program, 3 MB of its memory.
fn check(source: &SourceText, schema: &Value) -> Result<(Value, JsonIndex), Vec<Located<DocumentFault>>> {
    let index = json::index(source).map_err(|faults| {
        let told = |it: Located<json::JsonFault>| {
            let fault = DocumentFault::Syntax {
                message: it.fault.to_string(),
                code: it.fault.code(),
                fix: it.fault.fix(),
            };
            Located { fault, place: it.place }
        };
        faults.into_iter().map(told).collect::<Vec<_>>()
    })?;
    let value: Value = serde_json::from_str(source.text()).map_err(|_| at_root(source, "JSON".into()))?;
    let validator = jsonschema::draft7::new(schema)
        .map_err(|error| at_root(source, format!("read by a valid schema; ours is not: {error}")))?;
    let mut faults = Vec::new();
    for error in validator.iter_errors(&value) {
        tell(&error, schema, &index, &mut faults);
    }
    if faults.is_empty() {
        return Ok((value, index));
    }
    faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
    faults.dedup();
    Err(faults)
}

fn at_root(source: &SourceText, expected: String) -> Vec<Located<DocumentFault>> {
    vec![Located::at(source.whole(), DocumentFault::Value { path: "the document".into(), expected })]
}

/// The JSON Schema of `T`: draft 7, which every editor knows, and whose own schema is read in a third of the time of
/// draft 2020-12's.
pub fn schema<T: JsonSchema>(title: &str) -> Value {
    let mut schema =
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    if !title.is_empty() {
        schema.insert("title".into(), title.into());
    }
    schema.into()
}

fn tell(
    error: &ValidationError<'_>,
    schema: &Value,
    index: &JsonIndex,
    faults: &mut Vec<Located<DocumentFault>>,
) {
    let pointer = error.instance_path().to_string();
    let path = readable(&pointer);
    let at = |fault| Located { fault, place: index.value(&pointer) };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let node = enclosing(schema, error.schema_path().as_str());
            for field in unexpected {
                let place = index.key(&format!("{pointer}/{}", json::token(field)));
                let fault = match pattern_of_keys(node) {
                    Some(pattern) => DocumentFault::Value {
                        path: format!("the name `{field}` in {path}"),
                        expected: format!("a name that matches {pattern}"),
                    },
                    None => DocumentFault::UnknownField {
                        path: path.clone(),
                        field: field.clone(),
                        known: fields(node),
                    },
                };
                faults.push(Located { fault, place });
            }
        }
        Kind::Required { property } => {
            let field = property.as_str().unwrap_or_default().to_owned();
            faults.push(at(DocumentFault::MissingField { path, field }));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            // The branch that the writer meant is the one whose faults lie deeper than the value as a whole.
            let meant = context.iter().find(|branch| {
                !branch.is_empty()
                    && branch.iter().all(|it| it.instance_path().as_str().len() > pointer.len())
            });
            if let Some(branch) = meant {
                for it in branch {
                    tell(it, schema, index, faults);
                }
            } else {
                let expected = alternatives(enclosing(schema, error.schema_path().as_str()), schema);
                faults.push(at(DocumentFault::Value { path, expected }));
            }
        }
        kind => faults.push(at(DocumentFault::Value { path, expected: expected(kind) })),
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => match kind {
            jsonschema::error::TypeKind::Single(it) => article(&it.to_string()),
            jsonschema::error::TypeKind::Multiple(them) => {
                // Leaving an optional field out is how people say null.
                let them = them.iter().map(|it| it.to_string()).filter(|it| it != "null");
                them.map(|it| article(&it)).collect::<Vec<_>>().join(" or ")
            }
        },
        Kind::Enum { options } => match options.as_array() {
            Some(words) => format!("one of: {}", words.iter().map(bare).collect::<Vec<_>>().join(", ")),
            None => "one of the listed words".into(),
        },
        Kind::Constant { expected_value } => bare(expected_value),
        Kind::Pattern { pattern } => format!("a text that matches {pattern}"),
        Kind::Minimum { limit } => format!("{limit} or more"),
        Kind::Maximum { limit } => format!("{limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Kind::MinLength { limit } => format!("a text of at least {limit} characters"),
        Kind::MaxLength { limit } => format!("a text of at most {limit} characters"),
        Kind::MinItems { limit } => format!("a list of at least {limit}"),
        Kind::MaxItems { limit } => format!("a list of at most {limit}"),
        Kind::MinProperties { limit } => format!("an object of at least {limit} fields"),
        Kind::UniqueItems => "a list without repetitions".into(),
        other => format!("valid under the schema's `{}`", other.keyword()),
    }
}

fn article(type_name: &str) -> String {
    match type_name {
        "integer" => "a whole number".into(),
        "object" => "an object".into(),
        "array" => "a list".into(),
        "string" => "a text".into(),
        "null" => "null".into(),
        "boolean" => "true or false".into(),
        other => format!("a {other}"),
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What the alternatives of a `oneOf` or `anyOf` look like: words as they are, objects by their only field.
fn alternatives(node: Option<&Value>, schema: &Value) -> String {
    let branches = node.and_then(|it| it.get("oneOf").or_else(|| it.get("anyOf"))).and_then(Value::as_array);
    let mut told: Vec<String> = Vec::new();
    for branch in branches.into_iter().flatten() {
        let branch = branch.get("$ref").and_then(|it| follow(schema, it)).unwrap_or(branch);
        if let Some(word) = branch.get("const") {
            told.push(bare(word));
        } else if let Some(words) = branch.get("enum").and_then(Value::as_array) {
            told.extend(words.iter().map(bare));
        } else if let Some(required) = branch.get("required").and_then(Value::as_array) {
            told.extend(required.iter().map(|it| format!("{{\"{}\": …}}", bare(it))));
        } else if let Some(kind) = branch.get("type").and_then(Value::as_str).filter(|it| *it != "null") {
            told.push(article(kind));
        }
    }
    told.dedup();
    let mut text = String::new();
    for (place, it) in told.iter().enumerate() {
        let joint = if place == 0 {
            ""
        } else if place + 1 == told.len() {
            " or "
        } else {
            ", "
        };
        let _ = write!(text, "{joint}{it}");
    }
    text
}

/// The value that a pointer means, as people write it.
fn readable(pointer: &str) -> String {
    if pointer.is_empty() { "the document".into() } else { format!("`{}`", json::readable(pointer)) }
}

/// The schema object that holds the keyword at the end of an evaluation path, `$ref`s followed.
fn enclosing<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let (parent, _) = path.rsplit_once('/')?;
    let mut node = root;
    for token in parent.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        node = match node {
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            _ => node.get(&token)?,
        };
        if token == "$ref" {
            node = follow(root, node)?;
        }
    }
    Some(node)
}

fn follow<'a>(root: &'a Value, reference: &Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

fn fields(node: Option<&Value>) -> Vec<String> {
    let properties = node.and_then(|it| it.get("properties")).and_then(Value::as_object);
    properties.into_iter().flat_map(|it| it.keys().cloned()).filter(|it| it != "$schema").collect()
}

fn pattern_of_keys(node: Option<&Value>) -> Option<&str> {
    let patterns = node?.get("patternProperties")?.as_object()?;
    patterns.keys().next().map(String::as_str)
}

#[cfg(test)]
mod tests;
