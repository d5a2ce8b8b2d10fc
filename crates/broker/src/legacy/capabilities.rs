//! What a worker has, as this wire says it, and what jobs require: from our documents to theirs, and back.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use spec::json::token;

use crate::capabilities::{Capabilities, Models, Worker};
use crate::legacy::Settings;
use crate::refusal::{Refusal, Refusals, Why};
use crate::requirements::{Requirements, Test};
use crate::value::{Number, Scalar};

/// The argument of the Redis Function, which is also what a worker says of itself. Nothing in it is ever `null`: the
/// function would raise an error.
pub(super) fn document(worker: &Worker, settings: &Settings) -> Value {
    let has = worker.capabilities();
    let services = json!(has.services);
    let mut access = json!({
        "isolation": if has.isolated { "strict" } else { "loose" },
        "max_concurrent_customers": 1,
    });
    if let Some(allowed) = &has.allowed_customers {
        access["allowed_customers"] = json!(allowed);
    }
    if !has.denied_customers.is_empty() {
        access["denied_customers"] = json!(has.denied_customers);
    }
    // A list is all that the function understands: a worker that takes any model can name none.
    let models: BTreeMap<_, _> = has.models.iter().filter(|(_, it)| matches!(it, Models::These(_))).collect();
    let mut document = json!({
        "worker_id": worker.id,
        "machine_id": settings.machine,
        "services": services,
        "job_service_required_map": services,
        "hardware": has.hardware,
        "models": models,
        "customer_access": access,
        "performance": {
            "concurrent_jobs": 1,
            "quality_levels": [],
            "max_processing_time_minutes": settings.timeout.as_secs().div_ceil(60),
        },
        "metadata": {
            "version": settings.version,
            "platform": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
        },
    });
    if let Some(workflow) = &has.workflow {
        document["workflow_id"] = json!(workflow);
    }
    if !has.components.is_empty() {
        document["components"] = json!(has.components);
    }
    for (name, value) in &has.has {
        insert(&mut document, name, json!(value));
    }
    document
}

/// Puts a capability where its name, a path, leads. What stands there already is not replaced.
fn insert(document: &mut Value, path: &str, value: Value) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(members) = document.as_object_mut() else { return };
    match rest {
        None => _ = members.entry(first).or_insert(value),
        Some(rest) => insert(members.entry(first).or_insert_with(|| json!({})), rest, value),
    }
}

/// Names in requirements that mean something else than a capability.
const RESERVED: [&str; 8] = [
    "hardware",
    "customer_isolation",
    "models",
    "components",
    "service_type",
    "positive_requirements",
    "negative_requirements",
    "worker_id",
];

/// Requirements as a job of this wire has them: empty for none. Or what of them cannot be said.
pub(super) fn write(requirements: &Requirements) -> Result<String, Vec<Refusal>> {
    if requirements.is_none() {
        return Ok(String::new());
    }
    let (mut refusals, mut positive, mut negative) = (Refusals::default(), Map::new(), Map::new());
    for part in requirements.parts() {
        match part.not.first() {
            Some(unwanted) => match &unwanted.parts()[..] {
                [one] => say(one, &mut negative, true, "/requirements/not", &mut refusals),
                _ => refusals.add("/requirements/not", Why::Wire("each of its members asks for one thing")),
            },
            None => say(&part, &mut positive, false, "/requirements", &mut refusals),
        }
    }
    let mut document = Map::from_iter([("positive_requirements".into(), positive.into())]);
    if !negative.is_empty() {
        document.insert("negative_requirements".into(), negative.into());
    }
    refusals.or(Some(Value::Object(document).to_string()))
}

/// Says one part in `document`.
fn say(part: &Requirements, document: &mut Map<String, Value>, not: bool, at: &str, refusals: &mut Refusals) {
    let mut refuse = |name: &str, why| refusals.add(format!("{at}/{name}"), Why::Wire(why));
    for (amount, number) in &part.hardware {
        let hardware = document.entry("hardware").or_insert_with(|| json!({}));
        let name = json!(amount).as_str().unwrap_or_default().to_owned();
        let known = hardware.get(&name).and_then(Value::as_f64).and_then(Number::new);
        // Of several all have to hold; of several unwanted ones none may.
        let worse = known.is_some_and(|it| if not { it < *number } else { it > *number });
        if !worse {
            hardware[name] = json!(number);
        }
    }
    let mut push = |name: &str, it: &String| {
        if let Some(list) = document.entry(name).or_insert_with(|| json!([])).as_array_mut() {
            list.push(json!(it));
        }
    };
    if not {
        if !part.models.is_empty() {
            refuse("models", "a model cannot be unwanted");
        }
        if part.isolated {
            refuse("isolation", "isolation cannot be unwanted");
        }
    } else {
        part.models.iter().for_each(|it| push("models", it));
    }
    part.components.iter().for_each(|it| push("components", it));
    if not && document.get("components").and_then(Value::as_array).is_some_and(|it| it.len() > 1) {
        refuse("components", "one component can be unwanted, not several");
    }
    if part.isolated && !not {
        document.insert("customer_isolation".into(), "strict".into());
    }
    if !part.any.is_empty() {
        refuse("any", "all that is required is required");
    }
    if !part.not.is_empty() {
        refuse("not", "what is unwanted cannot be wanted again");
    }
    for (name, test) in &part.has {
        let value = match test {
            Test::Is(Scalar::Number(_)) => {
                refuse(
                    &format!("has/{}", token(name)),
                    "a number is a least amount there; write it with `>=`",
                );
                continue;
            }
            Test::Any(_) => {
                refuse(&format!("has/{}", token(name)), "a list there asks for all of its values");
                continue;
            }
            Test::Is(it) => json!(it),
            Test::AtLeast(it) => json!(it),
            Test::All(them) => json!(them),
        };
        if RESERVED.contains(&name.as_str()) {
            refuse(&format!("has/{}", token(name)), "the name means something else there");
        } else if document.get(name).is_some_and(|it| *it != value) {
            refuse(&format!("has/{}", token(name)), "one capability can be asked for in one way");
        } else {
            document.insert(name.clone(), value);
        }
    }
}

/// What requirements of this wire mean, where our words can say it.
pub(super) fn read(text: &str) -> Option<Requirements> {
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        // As there: what is no JSON requires nothing.
        Err(_) => return Some(Requirements::none()),
    };
    let document = document.as_object()?;
    let positive = match document.get("positive_requirements") {
        Some(it) => it.as_object()?,
        None => document,
    };
    let mut ours = ours(positive);
    if let Some(negative) = document.get("negative_requirements") {
        let mut not = Vec::new();
        for (name, value) in negative.as_object()? {
            match (name.as_str(), value.as_object()) {
                ("hardware", Some(parts)) => {
                    not.extend(parts.iter().map(|(name, it)| json!({ "hardware": { name: it } })));
                }
                _ => not.push(Value::Object(self::ours(&Map::from_iter([(name.clone(), value.clone())])))),
            }
        }
        if !not.is_empty() {
            ours.insert("not".into(), not.into());
        }
    }
    Requirements::read(&Value::Object(ours)).ok()
}

/// A positive set as a document of ours.
fn ours(positive: &Map<String, Value>) -> Map<String, Value> {
    let (mut ours, mut has) = (Map::new(), Map::new());
    for (name, value) in positive {
        match (name.as_str(), value) {
            ("service_type", _) => {}
            ("hardware" | "models" | "components", value) => {
                let mut wanted = value.clone();
                if let Some(parts) = wanted.as_object_mut().filter(|_| name == "hardware") {
                    parts.retain(|_, it| it != "all");
                }
                if wanted != json!([]) && wanted != json!({}) {
                    ours.insert(name.clone(), wanted);
                }
            }
            ("customer_isolation", value) => {
                if value == "strict" {
                    ours.insert("isolation".into(), value.clone());
                }
            }
            (_, Value::Number(_)) => _ = has.insert(name.clone(), json!({ ">=": value })),
            (_, _) => _ = has.insert(name.clone(), value.clone()),
        }
    }
    if !has.is_empty() {
        ours.insert("has".into(), has.into());
    }
    ours
}

/// What a worker of this wire says of itself, in our words: for people who ask why a job waits. `None` for what is no such
/// document: the API writes a shorter one over it.
pub(super) fn told(document: &str) -> Option<Capabilities> {
    let document: Value = serde_json::from_str(document).ok()?;
    let access = &document["customer_access"];
    let own = [
        "worker_id",
        "machine_id",
        "services",
        "job_service_required_map",
        "hardware",
        "models",
        "customer_access",
        "performance",
        "metadata",
        "workflow_id",
        "components",
        "location",
        "cost",
    ];
    let members = document.as_object()?.iter();
    let has: Map<_, _> = members
        .filter(|(name, it)| !own.contains(&name.as_str()) && !it.is_object() && !it.is_null())
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect();
    let amounts = document["hardware"].as_object().into_iter().flatten();
    let hardware: Map<_, _> =
        amounts.filter(|(_, it)| it.is_number()).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut ours = json!({
        "services": document.get("job_service_required_map")?,
        "hardware": hardware,
        "isolated": access["isolation"] == "strict",
        "has": has,
    });
    let optional = [
        ("models", document.get("models").filter(|it| it.is_object())),
        ("components", document.get("components")),
        ("workflow", document.get("workflow_id")),
        ("allowed_customers", access.get("allowed_customers")),
        ("denied_customers", access.get("denied_customers")),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            ours[name] = value.clone();
        }
    }
    serde_json::from_value(ours).ok()
}

#[cfg(test)]
mod tests;
