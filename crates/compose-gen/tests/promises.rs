//! What holds for every project that breaks no rule.

use std::collections::BTreeMap;

use compose_gen::{Project, lower};
use proptest::prelude::*;
use serde_json::Value;
use spec::model::Binding;

mod fixtures;

use fixtures::{Wanted, answers_outside, card, projects, texts, volume};

fn read(project: &Project) -> Value {
    let text = lower(project).expect("nothing collides");
    serde_saphyr::from_str(&text).unwrap_or_else(|it| panic!("{it}\n{text}"))
}

fn machines(project: &Project) -> impl Iterator<Item = (&str, &compose_gen::Machine)> {
    let profiles = project.profiles.iter().map(|(name, it)| (name.as_str(), it));
    profiles.chain(project.machine.iter().map(|it| ("machine", it)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_machine_has_gpus_when_and_only_when_something_runs_on_one(project in projects()) {
        let read = read(&project);
        for (name, it) in machines(&project) {
            let devices = &read["services"][name]["deploy"]["resources"]["reservations"]["devices"];
            let bound = it.plan.services().iter().any(|it| it.service.binding() == Binding::Gpu);
            prop_assert_eq!(devices.is_array(), bound && !it.plan.is_mock());
            if devices.is_array() {
                prop_assert!(devices[0]["device_ids"].as_array().is_some_and(|it| !it.is_empty()));
                prop_assert_eq!(&devices[0]["count"], &Value::Null);
            }
        }
    }

    #[test]
    fn ports_are_on_the_loopback_and_only_where_the_plan_publishes(project in projects()) {
        let read = read(&project);
        for (name, service) in read["services"].as_object().unwrap() {
            let ports: Vec<&str> = service["ports"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            prop_assert!(ports.iter().all(|it| it.starts_with("127.0.0.1:")));
            let Some((_, machine)) = machines(&project).find(|(it, _)| it == name) else {
                prop_assert!(ports.is_empty());
                continue;
            };
            // Browsers listen on their loopback, whatever they are told.
            let services = machine.plan.services().iter().filter(|it| it.service.name.as_str() != "playwright");
            let services = services.map(|it| it.ports.len()).sum::<usize>();
            let expected = if machine.plan.is_published() { services } else { 0 };
            prop_assert_eq!(ports.len(), expected + usize::from(answers_outside(machine)));
        }
    }

    #[test]
    fn every_container_is_hardened_and_limited(project in projects()) {
        let read = read(&project);
        for service in read["services"].as_object().unwrap().values() {
            prop_assert_eq!(&service["read_only"], true);
            prop_assert_eq!(&service["cap_drop"], &serde_json::json!(["ALL"]));
            prop_assert_eq!(&service["security_opt"], &serde_json::json!(["no-new-privileges:true"]));
            prop_assert!(service["user"].as_str().is_some_and(|it| !it.starts_with('0')));
            let limits = &service["deploy"]["resources"]["limits"];
            prop_assert!(limits["cpus"].is_string() && limits["memory"] != "0M" && limits["pids"].as_u64() > Some(0));
            prop_assert_eq!(&service["logging"]["driver"], "json-file");
            for right in ["privileged", "cap_add", "devices", "network_mode", "pid", "ipc"] {
                prop_assert_eq!(&service[right], &Value::Null);
            }
        }
    }

    #[test]
    fn a_machine_gets_the_paths_of_secrets_and_nothing_else(project in projects()) {
        let read = read(&project);
        for (name, it) in machines(&project) {
            let environment: BTreeMap<String, String> =
                serde_json::from_value(read["services"][name]["environment"].clone()).unwrap();
            let mut expected: BTreeMap<String, String> =
                it.secrets.keys().map(|key| (format!("{key}_FILE"), format!("/run/secrets/{key}"))).collect();
            expected.insert("ROSTER_ECOSYSTEM".into(), "/etc/roster/ecosystem.json".into());
            if answers_outside(it) {
                expected.insert("MACHINE_HEALTH_LISTEN".into(), "0.0.0.0".into());
            }
            prop_assert_eq!(environment, expected);
        }
    }

    #[test]
    fn redis_is_there_for_those_who_use_it(project in projects()) {
        let read = read(&project);
        let redis = &read["services"]["redis"];
        let users: Vec<&str> = machines(&project).filter(|(_, it)| it.uses_local_redis).map(|(name, _)| name).collect();
        prop_assert_eq!(redis.is_object(), !users.is_empty());
        if redis.is_object() {
            let profiles = redis["profiles"].as_array().map(|it| it.iter().filter_map(Value::as_str).collect());
            prop_assert_eq!(profiles, (!users.contains(&"machine")).then_some(users));
            prop_assert_eq!(&redis["networks"], &serde_json::json!(["internal"]));
            prop_assert_eq!(&redis["ports"], &Value::Null);
        }
    }

    #[test]
    fn equal_projects_are_equal_bytes_in_whatever_order_they_were_told(project in projects()) {
        let mut again = Project { profiles: BTreeMap::new(), additional: BTreeMap::new(), ..project.clone() };
        again.profiles.extend(project.profiles.clone().into_iter().rev());
        again.additional.extend(project.additional.clone().into_iter().rev());
        prop_assert_eq!(lower(&project), lower(&again));
    }

    #[test]
    fn every_text_arrives_as_it_is(
        project in projects(), one in texts(), two in texts(), path in texts(), header in "[^\0]{0,20}",
    ) {
        let gpus = vec![card(0, Some(&one))];
        let path = format!("/{path}/x");
        let volumes = vec![volume("models", &path, true)];
        let wanted = Wanted { gpus, comfyui: vec![0], volumes, workspace: path.clone() + "y", ..Wanted::default() };
        let mut it = fixtures::machine(None, &wanted, &["KEY"], false);
        it.env_files = vec![one.clone(), two.clone()];
        it.ecosystem_file.clone_from(&two);
        it.ecosystem_digest.clone_from(&one);
        it.secrets.values_mut().for_each(|it| it.clone_from(&two));
        let read = read(&Project { machine: Some(it), header, ..project });
        let machine = &read["services"]["machine"];
        let target = |at: usize| &machine["volumes"][at]["target"];
        for (found, told) in [
            (&machine["env_file"][0], &one),
            (&machine["env_file"][1], &two),
            (&machine["labels"]["roster.ecosystem"], &one),
            (&machine["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"][0], &one),
            (target(0), &(path.clone() + "y")),
            (target(1), &path),
            (&read["secrets"]["machine.KEY"]["file"], &two),
            (&read["configs"]["machine.ecosystem"]["file"], &two),
        ] {
            // Compose replaces `$NAME`, so that each `$` is written twice.
            let told = told.replace('$', "$$");
            prop_assert_eq!(found.as_str(), Some(told.as_str()));
        }
    }
}
