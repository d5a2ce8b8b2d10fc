//! What the old generator would write, from any roster and any values: it has to come back.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::json;
use spec::template::Template;

use super::*;

/// Any roster of workers that were called the same there.
fn rosters() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
    let names =
        prop::sample::subsequence(vec!["comfyui", "a1111", "openai", "replicate", "simulation"], 1..=4);
    names.prop_shuffle().prop_flat_map(|names| {
        let counts = prop::collection::vec(1..9_u16, names.len());
        counts.prop_map(move |counts| names.iter().copied().zip(counts).collect())
    })
}

fn text(roster: &[(&str, u16)]) -> String {
    roster.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(",")
}

/// What the old generator wrote for a roster: names, arguments and ports by its rules.
fn generated(roster: &[(&str, u16)], gpus: u16, comfyui: u16) -> String {
    let mut apps = vec![json!({"name": "health-server", "script": "health-server.js"})];
    for (name, count) in roster {
        let base = match *name {
            "comfyui" => Some(comfyui),
            "a1111" => Some(7860),
            _ => None,
        };
        for it in 0..*count {
            let mut env = json!({"CONNECTORS": name, "WORKERS": text(roster), "WORKER_ID": format!("m-worker-{name}-{it}")});
            let Some(base) = base else {
                let args = ["redis-worker".to_owned(), format!("--index={it}")];
                apps.push(json!({"name": format!("redis-worker-{name}-{it}"), "args": args, "env": env}));
                continue;
            };
            let gpu = it % gpus;
            if it < gpus {
                let args =
                    [(*name).to_owned(), format!("--cuda-device={gpu}"), format!("--port={}", base + gpu)];
                apps.push(json!({"name": format!("{name}-gpu{gpu}"), "args": args, "env": {"WORKERS": text(roster)}}));
            }
            env["CUDA_VISIBLE_DEVICES"] = gpu.to_string().into();
            let args = [
                "redis-worker".to_owned(),
                format!("--cuda-device={gpu}"),
                format!("--service-port={}", base + gpu),
            ];
            // More than one worker on a card did not have names of their own there.
            apps.push(json!({"name": format!("redis-worker-{name}-{it}"), "args": args, "env": env}));
        }
    }
    json!({ "apps": apps }).to_string()
}

fn one(import: &Import) -> &crate::Machine {
    assert_eq!(import.machines.len(), 1);
    &import.machines[0]
}

/// What the profile and the secrets file say, as the planner reads them.
fn said(import: &Import) -> BTreeMap<String, String> {
    let files = &one(import).files;
    let profile: serde_json::Value = serde_json::from_str(files[0].text.expose()).unwrap();
    let mut found = BTreeMap::new();
    for (key, value) in profile["environment"].as_object().into_iter().flatten() {
        let template = Template::parse(value.as_str().unwrap()).unwrap();
        let value = template.expand(&mut |_| Ok::<_, Infallible>(None)).unwrap();
        found.insert(key.clone(), value);
    }
    for file in files.iter().filter(|it| it.private) {
        let source = SourceText::guarded("s", file.text.expose().as_str());
        found.extend(
            spec::dotenv::parse(&source).unwrap().into_iter().map(|it| (it.key.to_string(), it.value)),
        );
    }
    found
}

proptest! {
    #[test]
    fn a_generated_ecosystem_comes_back_as_its_roster(roster in rosters(), gpus in 1..5_u16, port in 8188..9188_u16) {
        let file = SourceText::guarded("a.json", generated(&roster, gpus, port));
        let import = ecosystem(&file, &Wishes::default(), &offer()).unwrap();
        prop_assert_eq!(&one(&import).roster, &text(&roster));
        prop_assert_eq!(import.open(), 0, "{}", render(&import.items));
        let bound = roster.iter().filter(|it| ["comfyui", "a1111"].contains(&it.0)).map(|it| it.1.min(gpus)).max();
        prop_assert_eq!(one(&import).gpus, bound);
        let comfyui = roster.iter().any(|it| it.0 == "comfyui") && port != 8188;
        prop_assert_eq!(said(&import).get("COMFYUI_BASE_PORT").cloned(), comfyui.then(|| port.to_string()));
    }

    /// Whatever a value holds: it is in the proposal byte for byte, or it is told.
    #[test]
    fn values_survive_byte_for_byte(public in "[ -~é\n\t]{1,40}", secret in "[ -~é\r\n\t]{1,40}") {
        let env = json!({"OPENAI_BASE_URL": public, "OPENAI_API_KEY": secret, "CONNECTORS": "openai"});
        let text = json!([{"name": "redis-worker-openai-0", "env": env}]).to_string();
        let import = ecosystem(&SourceText::guarded("a.json", text), &Wishes::default(), &offer()).unwrap();
        let said = said(&import);
        for (key, value) in [("OPENAI_BASE_URL", &public), ("OPENAI_API_KEY", &secret)] {
            let told = import.items.iter().any(|it| it.outcome == Outcome::Decide && it.what == format!("`{key}`"));
            prop_assert_eq!(said.get(key), (!told).then_some(value), "{}", key);
        }
        prop_assert!(said.contains_key("OPENAI_API_KEY") || secret.contains("${"), "a secret has always a form");
    }

    /// Of every variable something is said, and a value that is shown is no secret.
    #[test]
    fn every_variable_is_in_the_report(
        keys in prop::collection::btree_set("[A-Z][A-Z0-9_]{0,12}(_KEY|_TOKEN)?|MOCK_GPU|NUM_GPUS|HUB_REDIS_URL|LOG_LEVEL|REDIS_PORT", 0..20),
        value in "canary[a-z]{1,8}|",
    ) {
        let keys: BTreeSet<_> = keys.into_iter().filter(|it| it != "WORKERS" && !it.ends_with("_WORKERS")).collect();
        let mut file = "WORKERS=openai:1\n".to_owned();
        for key in keys.iter().filter(|it| !["WORKER_CONNECTORS", "WORKER_SPEC"].contains(&it.as_str())) {
            file.extend([key, "=", &value, "\n"]);
        }
        let import = env(&[SourceText::guarded(".env", file)], &Wishes::default(), &offer()).unwrap();
        for key in &keys {
            prop_assert!(import.items.iter().any(|it| it.what.starts_with(&format!("`{key}`"))), "{key}");
        }
        prop_assert!(!render(&import.items).contains("canary"));
    }
}
