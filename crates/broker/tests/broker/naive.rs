//! The oracle: matching straight from the documents, slow and plain, sharing no code with the crate.

use serde_json::Value;

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Whether a worker that has `has` may run `job`.
pub fn runs(has: &Value, job: &Value) -> bool {
    let customer = &job["customer"];
    let workflow = &job["workflow"];
    let routed = workflow["routed"] == true;
    list(&has["services"]).contains(&job["service_required"])
        && (has.get("allowed_customers").is_none() || list(&has["allowed_customers"]).contains(customer))
        && !list(&has["denied_customers"]).contains(customer)
        && (has.get("workflow").is_none() || routed && has["workflow"] == workflow["id"])
        && holds(has, &job["service_required"], &job["requirements"])
}

fn holds(has: &Value, service: &Value, wanted: &Value) -> bool {
    wanted.as_object().unwrap().iter().all(|(name, wanted)| match name.as_str() {
        "hardware" => wanted.as_object().unwrap().iter().all(|(part, least)| {
            let amount = has["hardware"][part].as_f64();
            amount.is_some_and(|it| it >= least.as_f64().unwrap())
        }),
        "models" => {
            let models = &has["models"][service.as_str().unwrap()];
            models == "any" || list(wanted).iter().all(|it| list(models).contains(it))
        }
        "components" => list(wanted).iter().all(|it| list(&has["components"]).contains(it)),
        "isolation" => has["isolated"] == true,
        "has" => wanted.as_object().unwrap().iter().all(|(name, test)| passes(has["has"].get(name), test)),
        "all" => list(wanted).iter().all(|it| holds(has, service, it)),
        "any" => list(wanted).iter().any(|it| holds(has, service, it)),
        "not" => list(wanted).iter().all(|it| !holds(has, service, it)),
        other => panic!("no such member: {other}"),
    })
}

fn passes(value: Option<&Value>, test: &Value) -> bool {
    let Some(value) = value else { return false };
    let one = |wanted: &Value| value == wanted || list(value).contains(wanted);
    match test {
        Value::Array(them) => them.iter().all(one),
        Value::Object(test) => match test.iter().next().unwrap() {
            (op, least) if op == ">=" => value.as_f64().is_some_and(|it| it >= least.as_f64().unwrap()),
            (op, them) if op == "all" => list(them).iter().all(one),
            (_, them) => list(them).iter().any(one),
        },
        scalar => one(scalar),
    }
}
