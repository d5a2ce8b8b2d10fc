//! Whether a worker may take a job: the rules of the Redis Function `findMatchingJob`, quirk for quirk, but for one: where
//! that stops with an error, and with it every worker of the service, this says why and goes on.
//!
//! It works on the documents as they are on the wire, for a reading of them that is stricter or kinder than the function's
//! would take jobs that no other worker takes, or leave jobs that all others take.

use serde_json::Value;

/// What the rules look at of a job. Empty is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub service: String,
    pub requirements: String,
    pub customer: String,
    pub workflow: String,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Takes,
    Leaves,
    /// The function raises an error instead of an answer. Why.
    Poison(String),
}

/// Judges a job for a worker with these capabilities (the document that is the function's argument).
pub(super) fn judge(has: &Value, wants: &Wants) -> Verdict {
    match takes(has, wants) {
        Ok(true) => Verdict::Takes,
        Ok(false) => Verdict::Leaves,
        Err(why) => Verdict::Poison(why),
    }
}

type Judged = Result<bool, String>;

/// The amounts that are compared, in the function's order.
const HARDWARE: [&str; 3] = ["gpu_memory_gb", "cpu_cores", "ram_gb"];
/// Members of the positive requirements that are no generic capabilities.
const RESERVED: [&str; 4] = ["hardware", "customer_isolation", "models", "service_type"];

fn takes(has: &Value, wants: &Wants) -> Judged {
    let restriction = has["workflow_id"].as_str().unwrap_or_default();
    if !restriction.is_empty() && restriction != wants.workflow {
        return Ok(false);
    }
    if !contains(&has["job_service_required_map"], &Value::from(&*wants.service)) {
        return Ok(false);
    }
    // Text that is no JSON requires nothing.
    let Ok(required) = serde_json::from_str::<Value>(&wants.requirements) else {
        let deep = wants.requirements.len() > 128 && levels(&wants.requirements) > 127;
        return if deep { Err("`requirements` has more than 127 levels".into()) } else { Ok(true) };
    };
    let positive = index(&required, "requirements", "positive_requirements")?;
    let (positive, at) = match truthy(positive) {
        Some(it) => (it, "requirements.positive_requirements"),
        None => (&required, "requirements"),
    };
    Ok(satisfies(has, wants, positive, at)? && !is_refused(has, &required)?)
}

fn satisfies(has: &Value, wants: &Wants, positive: &Value, at: &str) -> Judged {
    let below = |name: &str| format!("{at}.{name}");
    if let Some(hardware) = truthy(index(positive, at, "hardware")?) {
        for amount in HARDWARE {
            let Some(least) = truthy(index(hardware, &below("hardware"), amount)?) else { continue };
            if least == "all" {
                continue;
            }
            let Some(amount_of) = has["hardware"].get(amount).and_then(Value::as_f64) else {
                return Ok(false);
            };
            let Some(least) = least.as_f64() else {
                return Err(format!(
                    "`{}` is {}, which cannot be compared with a number",
                    below(&format!("hardware.{amount}")),
                    kind(least)
                ));
            };
            if amount_of < least {
                return Ok(false);
            }
        }
    }
    if let Some(isolation) = truthy(index(positive, at, "customer_isolation")?) {
        let access = &has["customer_access"];
        let customer = Value::from(&*wants.customer);
        let allowed = access.get("allowed_customers");
        let denied = access.get("denied_customers");
        if (isolation == "strict" && access["isolation"] != "strict")
            || allowed.is_some_and(|it| !contains(it, &customer))
            || denied.is_some_and(|it| contains(it, &customer))
        {
            return Ok(false);
        }
    }
    if let Some(Value::Array(models)) = truthy(index(positive, at, "models")?) {
        let own = &has["models"][&wants.service];
        if !models.iter().all(|it| contains(own, it)) {
            return Ok(false);
        }
    }
    match positive {
        // The keys of a list are numbers, and no capability is named by one.
        Value::Array(them) => Ok(them.is_empty()),
        Value::Object(them) => {
            let mut generic = them.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
            Ok(generic.all(|(name, wanted)| holds(find(has, name), wanted, true)))
        }
        other => Err(not_a_table(at, other)),
    }
}

fn is_refused(has: &Value, required: &Value) -> Judged {
    let at = "requirements.negative_requirements";
    let Some(negative) = truthy(index(required, "requirements", "negative_requirements")?) else {
        return Ok(false);
    };
    let them = match negative {
        Value::Array(_) => return Ok(false),
        Value::Object(them) => them,
        other => return Err(not_a_table(at, other)),
    };
    if let Some(hardware) = truthy(them.get("hardware")) {
        match hardware {
            Value::Object(parts) => {
                if parts.iter().any(|(name, it)| holds(has["hardware"].get(name), it, true)) {
                    return Ok(true);
                }
            }
            Value::Array(_) => {}
            other => return Err(not_a_table(&format!("{at}.hardware"), other)),
        }
    }
    let mut others = them.iter().filter(|(name, _)| *name != "hardware");
    Ok(others.any(|(name, wanted)| holds(find(has, name), wanted, true)))
}

/// The comparison of one capability. `nested`: members of an object are compared by the same rule, one level deep.
fn holds(has: Option<&Value>, wanted: &Value, nested: bool) -> bool {
    let Some(has) = has else { return false };
    match (wanted, has) {
        // An empty object cannot be told from an empty list.
        (Value::Object(members), Value::Array(_) | Value::Object(_)) if members.is_empty() => true,
        (Value::Array(all), Value::Array(_) | Value::Object(_)) => all.iter().all(|it| contains(has, it)),
        (Value::Object(members), Value::Object(_)) if nested => {
            members.iter().all(|(name, it)| holds(has.get(name), it, false))
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Object(_)) => false,
        (_, Value::Array(_)) => contains(has, wanted),
        (Value::Number(least), _) => {
            has.as_f64().zip(least.as_f64()).is_some_and(|(has, least)| has >= least)
        }
        _ => has == wanted,
    }
}

/// Whether a list has this value. Two lists or objects are never the same.
fn contains(list: &Value, wanted: &Value) -> bool {
    let same = |it: &Value| match (it, wanted) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => false,
        _ => it == wanted,
    };
    list.as_array().is_some_and(|them| them.iter().any(same))
}

/// A capability by its name, which may be a path with dots.
fn find<'v>(has: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.').filter(|it| !it.is_empty()).try_fold(has, |it, part| it.as_object()?.get(part))
}

/// A member, as Lua's `value.name` has it: of a text and of a list there is none, and of anything else that is no object it
/// is an error.
fn index<'v>(value: &'v Value, at: &str, name: &str) -> Result<Option<&'v Value>, String> {
    match value {
        Value::Object(members) => Ok(members.get(name)),
        Value::Array(_) | Value::String(_) => Ok(None),
        other => Err(not_a_table(at, other)),
    }
}

/// What Lua takes for true: all but nothing and `false`, so `null` too.
fn truthy(value: Option<&Value>) -> Option<&Value> {
    value.filter(|it| **it != Value::Bool(false))
}

fn not_a_table(at: &str, found: &Value) -> String {
    format!("`{at}` is {}, not an object", kind(found))
}

fn kind(value: &Value) -> &'static str {
    crate::refusal::kind(value)
}

/// How deep brackets are in each other, at most; in texts they are counted too, so it is never too few.
fn levels(text: &str) -> usize {
    let step = |(deep, most): (usize, usize), it: char| match it {
        '[' | '{' => (deep + 1, most.max(deep + 1)),
        ']' | '}' => (deep.saturating_sub(1), most),
        _ => (deep, most),
    };
    text.chars().fold((0, 0), step).1
}

#[cfg(test)]
mod tests;
