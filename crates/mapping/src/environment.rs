//! Finds variables that are declared in contradictory ways.

use std::collections::BTreeMap;

use spec::ids::EnvKey;

use crate::document::MappingDocument;
use crate::fault::Flaw;
use crate::found::{Found, readable};

/// The variables with which a plan gives a process its GPU.
const SET_BY_THE_PLAN: [&str; 2] = ["CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"];

/// The three lists of an entry.
struct Lists<'a> {
    path: String,
    required: &'a [EnvKey],
    optional: &'a [EnvKey],
    secret: &'a [EnvKey],
}

impl<'a> Lists<'a> {
    /// Every declared variable and its JSON pointer.
    fn declared(&self) -> impl Iterator<Item = (&'a EnvKey, String)> {
        let path = &self.path;
        let list = move |name: &'static str, keys: &'a [EnvKey]| {
            keys.iter().enumerate().map(move |(index, key)| (key, format!("{path}/{name}/{index}")))
        };
        list("required_env", self.required).chain(list("optional_env", self.optional))
    }
}

pub(crate) fn check(document: &MappingDocument, found: &mut Found<'_>) {
    let workers = document.workers.iter().map(|(name, it)| Lists {
        path: format!("/workers/{name}"),
        required: &it.required_env,
        optional: &it.optional_env,
        secret: &it.secret_env,
    });
    let services = document.services.iter().map(|(name, it)| Lists {
        path: format!("/services/{name}"),
        required: &it.required_env,
        optional: &it.optional_env,
        secret: &it.secret_env,
    });
    let entries: Vec<Lists<'_>> = workers.chain(services).collect();
    let mut secrets: BTreeMap<&EnvKey, &str> = BTreeMap::new();
    for entry in &entries {
        entry.secret.iter().for_each(|key| _ = secrets.entry(key).or_insert(&entry.path));
    }
    for entry in &entries {
        for (index, key) in entry.secret.iter().enumerate() {
            if !entry.required.contains(key) && !entry.optional.contains(key) {
                let flaw = Flaw::SecretUndeclared { key: key.clone() };
                found.at_value(&format!("{}/secret_env/{index}", entry.path), flaw);
            }
        }
        for (index, key) in entry.optional.iter().enumerate().filter(|(_, key)| entry.required.contains(key))
        {
            let flaw = Flaw::RequiredAndOptional { key: key.clone() };
            found.at_value(&format!("{}/optional_env/{index}", entry.path), flaw);
        }
        for (key, path) in entry.declared() {
            if let Some(other) = secrets.get(key).filter(|_| !entry.secret.contains(key)) {
                found.at_value(&path, Flaw::SecretElsewhere { key: key.clone(), other: readable(other) });
            }
            if SET_BY_THE_PLAN.contains(&key.as_str()) {
                found.at_value(&path, Flaw::VariableTaken { key: key.clone(), setter: "the plan" });
            }
        }
    }
    for (name, service) in &document.services {
        for key in service.start.iter().flat_map(|it| it.env.keys()) {
            let setter = if SET_BY_THE_PLAN.contains(&key.as_str()) {
                "the plan"
            } else if service.required_env.contains(key) || service.optional_env.contains(key) {
                "whoever runs the service, by its `required_env` or `optional_env`"
            } else {
                continue;
            };
            let flaw = Flaw::VariableTaken { key: key.clone(), setter };
            found.at_key(&format!("/services/{name}/start/env/{key}"), flaw);
        }
    }
}
