//! What has to hold of every generation, whoever looks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::project::{CANARY, Project, fields, items};
use crate::rosters::{Fate, Wish, wish};

#[test]
fn every_generation_keeps_its_promises() {
    let project = Project::shipped();
    project.add_profiles_for_all();
    let mapping = project.mapping();
    let profiles = vec!["open-local", "open-remote", "closed-local", "closed-remote"];
    let wishes = wish(&mapping).prop_filter("it is planned", {
        let mapping = mapping.clone();
        move |it| it.fate(&mapping) == Fate::Planned
    });
    let mut config = ProptestConfig::with_cases(500);
    config.failure_persistence = None;
    config.rng_seed = proptest::test_runner::RngSeed::Fixed(1);
    let seen = RefCell::new(BTreeSet::new());
    proptest!(config, |(wish in wishes, profile in prop::sample::select(profiles))| {
        let generation = Generation::build(&project, profile, &wish);
        generation.holds(profile, &mapping)?;
        seen.borrow_mut().insert(generation.plan["build_stage"].to_string());
    });
    assert_eq!(seen.borrow().len(), fields(&mapping["stages"]).count(), "every stage was planned: {seen:?}");
}

/// The files of a generation.
struct Generation {
    plan: Value,
    ecosystem: Value,
    compose: Value,
    /// Everything that is not a secret's file.
    public: String,
}

impl Generation {
    fn build(project: &Project, profile: &str, wish: &Wish) -> Self {
        project.write("inventory.json", &wish.inventory.to_string());
        let out = tempfile::tempdir().unwrap();
        let answer = project.run(&[
            "env-build",
            profile,
            "--spec",
            &wish.roster,
            "--inventory",
            "inventory.json",
            "--out",
            out.path().to_str().unwrap(),
        ]);
        assert_eq!(answer.exit.code(), 0, "{wish:?}: {}", answer.talk);
        let read = |name: &str| fs::read_to_string(out.path().join(".roster/current").join(name)).unwrap();
        let [plan, ecosystem, compose, env] =
            ["plan.json", "ecosystem.json", "docker-compose.yaml", ".env"].map(read);
        Self {
            plan: serde_json::from_str(&plan).unwrap(),
            ecosystem: serde_json::from_str(&ecosystem).unwrap(),
            compose: serde_saphyr::from_str(&compose).unwrap(),
            public: [plan, ecosystem, compose, env, answer.out, answer.talk].concat(),
        }
    }

    fn holds(&self, profile: &str, mapping: &Value) -> Result<(), TestCaseError> {
        let machine = &self.compose["services"]["machine"];
        let devices = &machine["deploy"]["resources"]["reservations"]["devices"];
        let on_gpu = items(&self.plan["services"])
            .any(|it| mapping["services"][it["service"].as_str().unwrap()]["binding"] == "gpu");
        let mock = self.plan["inventory"]["origin"] == "mock";
        prop_assert_eq!(devices.is_array(), on_gpu && !mock, "a device block iff a GPU is used");

        let published: Vec<&str> = items(&machine["ports"]).map(|it| it.as_str().unwrap()).collect();
        prop_assert!(published.iter().all(|it| it.starts_with("127.0.0.1:")), "{:?}", published);
        prop_assert_eq!(!published.is_empty(), profile.starts_with("open"));

        let mut names = BTreeSet::new();
        let mut ports = BTreeSet::from([self.plan["health_port"].as_u64()]);
        for it in items(&self.plan["services"]).chain(items(&self.plan["workers"])) {
            prop_assert!(names.insert(it["name"].to_string()), "{} is named twice", it["name"]);
            for (_, port) in fields(&it["ports"]) {
                prop_assert!(ports.insert(port.as_u64()), "{port} is claimed twice");
            }
        }
        self.workers()?;
        prop_assert!(!self.public.contains(CANARY), "a secret in {}", self.public);
        Ok(())
    }

    /// Each works on the instance that the plan gives it, by the instance's own port, and waits for it.
    fn workers(&self) -> Result<(), TestCaseError> {
        for worker in items(&self.plan["workers"]) {
            let app = items(&self.ecosystem["apps"]).find(|it| it["name"] == worker["name"]).unwrap();
            let instance = items(&self.plan["services"]).find(|it| it["name"] == worker["works_on"]);
            prop_assert_eq!(instance.is_some(), worker["works_on"].is_string());
            let Some(instance) = instance else {
                prop_assert_eq!(&app["env"]["SERVICE_URL"], &Value::Null);
                continue;
            };
            let ports: Vec<String> =
                fields(&instance["ports"]).map(|it| format!("http://127.0.0.1:{}", it.1)).collect();
            let url = app["env"]["SERVICE_URL"].as_str().unwrap();
            prop_assert!(ports.iter().any(|it| it == url), "{url} is not of {}", instance["name"]);
            let waits = json!([{ "name": instance["name"], "until": "healthy" }]);
            prop_assert_eq!(&app["roster"]["depends_on"], &waits);
        }
        Ok(())
    }
}
