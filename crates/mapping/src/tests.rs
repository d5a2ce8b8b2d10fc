use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};
use spec::model::{Catalog, Hosting};
use spec::notes::{Code, Finding};

use super::*;

mod fields;
mod findings;
mod resolving;

pub(crate) const SHIPPED: &str = include_str!("../../../config/service-mapping.json");

/// Loads a text under a short name.
fn load_text(text: &str) -> Result<Catalog, Vec<Finding>> {
    load(&SourceText::open("mapping.json", text))
}

fn shipped() -> Catalog {
    match load_text(SHIPPED) {
        Ok(catalog) => catalog,
        Err(findings) => panic!("{}", told(&findings)),
    }
}

/// A finding a line: place, code, message, fix.
fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for it in findings {
        let place = it.place.as_ref().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "{place} {} {}\n    = {}", it.code.id, it.message, it.fix).unwrap();
    }
    text
}

#[test]
fn the_shipped_mapping_has_no_finding() {
    let catalog = shipped();
    let told = |binding| {
        let of_binding = catalog.services.values().filter(|it| it.binding() == binding);
        of_binding.map(|it| it.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(spec::model::Binding::Gpu), "a1111 comfyui ollama");
    assert_eq!(told(spec::model::Binding::Cpu), "playwright simulation");
    assert_eq!(told(spec::model::Binding::Shared), "comfyui-remote openai replicate runpod");
    assert_eq!(catalog.workers.len(), 10);
}

#[test]
fn the_shipped_ports_are_the_documented_ones() {
    let mut ports = String::new();
    for service in shipped().services.values() {
        for rule in service.local().iter().flat_map(|it| &it.ports) {
            let variable = rule.variable.as_ref().map_or("-", |it| it.as_str());
            let (name, first) = (&service.name, rule.port_of(0).unwrap());
            writeln!(
                ports,
                "{name} {} {first}+{} {variable} {}",
                rule.name,
                rule.increment,
                rule.base_from.text()
            )
            .unwrap();
        }
    }
    assert_snapshot!(ports, @r"
    a1111 http 7860+1 A1111_BASE_PORT 7860
    comfyui http 8188+1 COMFYUI_BASE_PORT 8188
    ollama http 11434+1 OLLAMA_BASE_PORT 11434
    playwright devtools 9190+1 PLAYWRIGHT_BASE_PORT 9190
    simulation http 8299+1 SIMULATION_BASE_PORT 8299
    ");
}

#[test]
fn no_field_is_missing_in_the_documentation() {
    let page = include_str!("../../../docs/mapping.md");
    let schema = schema();
    let missing: Vec<String> = fields::properties(&schema)
        .into_iter()
        .filter(|(_, field)| !page.contains(&format!("`{field}`")))
        .map(|(owner, field)| format!("{owner}.{field}"))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_example_in_the_documentation_loads() {
    let page = include_str!("../../../docs/mapping.md");
    let example = page.split("```json\n").nth(1).and_then(|it| it.split("```").next()).unwrap();
    assert_eq!(load_text(example).map_err(|it| told(&it)).map(|it| it.workers.len()), Ok(1));
}

#[test]
fn every_code_is_listed_once_and_explained_in_a_few_lines() {
    let ids: std::collections::BTreeSet<&str> = codes::ALL.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), codes::ALL.len());
    for Code { id, explanation, .. } in codes::ALL {
        assert!((3..=12).contains(&explanation.lines().count()), "{id}");
        assert!(explanation.contains("Breaks it:") && explanation.contains("Mend it:"), "{id}");
        assert!(id.starts_with("MAP"), "{id}");
    }
}

/// Every JSON pointer of a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, it) in fields {
                pointers(it, &format!("{at}/{key}"), all);
            }
        }
        Value::Array(items) => {
            for (index, it) in items.iter().enumerate() {
                pointers(it, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("comfyui")),
        Just(json!("base")),
        Just(json!("gpu")),
        Just(json!("cpu")),
        Just(json!("shared")),
        Just(json!("process")),
        Just(json!("${PORT}${")),
        Just(json!("/../é\u{0}")),
        Just(json!(["comfyui", "comfyui"])),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(65535)),
        Just(json!(u64::MAX)),
        any::<bool>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_mutated_mapping_loads_or_says_where_and_why(
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd_value(), any::<bool>()), 1..5),
    ) {
        let mut document: Value = serde_json::from_str(SHIPPED).unwrap();
        for (place, value, remove) in changes {
            let mut all = Vec::new();
            pointers(&document, "", &mut all);
            let pointer = place.get(&all).clone();
            match pointer.rsplit_once('/') {
                Some((parent, key)) if remove => match document.pointer_mut(parent) {
                    Some(Value::Object(fields)) => _ = fields.remove(key),
                    Some(Value::Array(items)) => _ = items.remove(key.parse().unwrap()),
                    _ => unreachable!("{parent} holds {key}"),
                },
                _ => *document.pointer_mut(&pointer).unwrap() = value,
            }
        }
        let text = serde_json::to_string_pretty(&document).unwrap();
        match load_text(&text) {
            Ok(catalog) => resolves_all(&catalog),
            Err(findings) => {
                prop_assert!(!findings.is_empty());
                for it in findings {
                    prop_assert!(it.place.is_some() && !it.message.is_empty() && !it.fix.is_empty(), "{it:?}");
                }
            }
        }
    }
}

/// What the catalog promises: every reference resolves, and every build stage is the smallest with its service.
fn resolves_all(catalog: &Catalog) {
    for worker in catalog.workers.values() {
        assert!(catalog.services.contains_key(&worker.service) && !worker.accepts.is_empty());
    }
    for service in catalog.services.values() {
        if let Hosting::Local(local) = &service.hosting {
            assert!(catalog.stages[&local.build_stage].provides.contains(&service.name));
            assert!(!local.start.command.is_empty());
        }
    }
    for stage in catalog.stages.values().filter_map(|it| it.from.as_ref()) {
        assert!(catalog.stages.contains_key(stage));
    }
}
