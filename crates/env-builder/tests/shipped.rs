//! What the repository ships in `config/environments` is sound.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use env_builder::component::{self, Component};
use env_builder::{interface, pool, take};
use spec::dotenv;
use spec::grammar;
use spec::ids::EnvKey;
use spec::source::SourceText;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

fn components() -> Vec<Component> {
    let files = fs::read_dir(root().join("environments/components")).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let parse = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = SourceText::open(name, fs::read_to_string(path).unwrap());
        component::parse(name.parse().unwrap(), &source).unwrap_or_else(|faults| panic!("{name}: {faults:?}"))
    };
    files.iter().map(parse).collect()
}

#[test]
fn every_component_is_understood_without_advice_and_publishes_its_own_variables() {
    let mut published = BTreeSet::new();
    for component in components() {
        assert_eq!(component.advice, [], "{}", component.name);
        let keys: BTreeSet<_> = component.sections.values().flatten().map(|it| it.key.clone()).collect();
        for key in keys {
            assert!(published.insert(key.clone()), "`{key}` is published by two components");
        }
    }
}

#[test]
fn every_shipped_roster_is_in_canonical_form() {
    let components = components();
    let worker = components.iter().find(|it| it.name.as_str() == "worker").unwrap();
    assert_eq!(worker.sections.len(), 9);
    for (section, variables) in &worker.sections {
        let [connectors] = &variables[..] else { panic!("[{section}] sets {} variables", variables.len()) };
        let text = connectors.value_place.text();
        let roster = grammar::parse(&SourceText::open(section.as_str(), text)).unwrap();
        assert_eq!((connectors.key.as_str(), roster.to_string().as_str()), ("WORKER_CONNECTORS", text));
    }
}

#[test]
fn the_example_of_a_secrets_file_names_every_secret_and_holds_none() {
    let text = fs::read_to_string(root().join("environments/secrets/example.env")).unwrap();
    assert_eq!(dotenv::parse(&SourceText::open("example.env", &text)).unwrap(), []);
    let hidden = text
        .lines()
        .filter_map(|it| it.strip_prefix('#'))
        .filter(|it| it.contains('=') && !it.starts_with(' '));
    let entries = hidden.collect::<Vec<_>>().join("\n");
    let entries = dotenv::parse(&SourceText::open("example.env", entries)).unwrap();
    let named: BTreeSet<_> = entries.iter().map(|it| it.key.as_str()).collect();

    let read = |path: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
    };
    let (mapping, machine) = (read("service-mapping.json"), read("environments/services/machine.json"));
    let entries = ["workers", "services"]
        .into_iter()
        .filter_map(|it| mapping[it].as_object())
        .flat_map(|it| it.values());
    let secrets = entries.filter_map(|it| it["secret_env"].as_array()).flatten().filter_map(|it| it.as_str());
    let taken = ["secret", "optional_secret"]
        .into_iter()
        .filter_map(|it| machine[it].as_object())
        .flat_map(|it| it.values());
    for secret in secrets.chain(taken.filter_map(|it| it.as_str())) {
        assert!(named.contains(secret), "`{secret}` is not in example.env");
    }
}

#[test]
fn every_profile_makes_an_environment_once_its_addresses_are_set() {
    let components = components();
    let text = fs::read_to_string(root().join("environments/services/machine.json")).unwrap();
    let machine =
        interface::read("machine".parse().unwrap(), &SourceText::open("machine.json", text)).unwrap();
    let addresses = [
        ("HUB_REDIS_URL", "redis://hub"),
        ("PROD_REDIS_URL", "redis://:p@hub"),
        ("COMFYUI_REMOTE_URL", "http://box"),
    ];
    let process: BTreeMap<EnvKey, String> =
        addresses.map(|(key, value)| (key.parse().unwrap(), value.to_owned())).into();
    for file in fs::read_dir(root().join("environments/profiles")).unwrap() {
        let path = file.unwrap().path();
        let source = SourceText::open(path.to_str().unwrap(), fs::read_to_string(&path).unwrap());
        let profile: serde_json::Value = serde_json::from_str(source.text()).unwrap();
        let chosen = |(name, sections): (&String, &serde_json::Value)| {
            let one = sections.as_str().into_iter();
            let many = sections.as_array().into_iter().flatten().filter_map(|it| it.as_str());
            let sections = one.chain(many).map(|it| (it.parse().unwrap(), source.whole()));
            (name.parse().unwrap(), sections.collect(), source.whole())
        };
        let selection = pool::Selection {
            components: profile["components"].as_object().unwrap().iter().map(chosen).collect(),
            overrides: vec![],
        };
        let sources = pool::Sources {
            components: &components,
            unreadable: &BTreeSet::new(),
            secrets: &[],
            secrets_file: "config/environments/secrets/local.env",
            process: &process,
            interfaces: std::slice::from_ref(&machine),
            declared_secret: &["OPENAI_API_KEY".parse().unwrap()].into(),
            wanted: &BTreeSet::new(),
        };
        let pool = pool::resolve(&selection, &sources).unwrap();
        let environment = take::take(&pool, sources.interfaces, &[], &BTreeMap::new()).unwrap();
        let in_secret_file = path.ends_with("prod-gpu.json");
        assert_eq!(environment.secrets().count(), usize::from(in_secret_file), "{}", path.display());
        assert_eq!(environment.public().contains_key("REDIS_URL"), !in_secret_file, "{}", path.display());
    }
}
