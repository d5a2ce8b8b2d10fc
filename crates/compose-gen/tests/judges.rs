//! What outsiders say about our files: Compose itself, the schema, compose-lint, compose-harden, dclint.

#![allow(unreachable_pub)]

use compose_gen::{Machine, Project, lower};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

mod fixtures;
#[path = "judges/mod.rs"]
mod outsiders;

use outsiders::Judges;

#[test]
fn outsiders_accept_every_file_and_compose_reads_what_we_meant() {
    let Some(judges) = Judges::find() else { return };
    let mut projects: Vec<(String, Project)> =
        fixtures::told().into_iter().map(|(name, project)| (name.to_owned(), project)).collect();
    let mut runner = TestRunner::deterministic();
    for number in 0..50 {
        let project = fixtures::projects().new_tree(&mut runner).expect("a project is generated").current();
        projects.push((format!("generated {number}"), project));
    }
    let files: Vec<_> =
        projects.iter().map(|(name, it)| (name.clone(), lower(it).expect("nothing collides"))).collect();
    let expanded = judges.judge(&files).unwrap_or_else(|complaints| panic!("{}", complaints.join("\n")));
    for ((name, project), expanded) in projects.iter().zip(expanded) {
        let machines = project.profiles.iter().map(|(name, it)| (name.as_str(), true, it));
        for (machine, on_request, it) in
            machines.chain(project.machine.iter().map(|it| ("machine", false, it)))
        {
            assert_eq!(
                said(&expanded["services"][machine]),
                meant(machine, on_request, it),
                "{name}: {machine}"
            );
        }
        for (tool, it) in &project.additional {
            let expanded = &expanded["services"][tool.as_str()];
            assert_eq!(texts(&expanded["command"]), it.command, "{name}: {tool}");
            for (key, value) in &it.environment {
                assert_eq!(text(&expanded["environment"][key.as_str()]), *value, "{name}: {tool}: {key}");
            }
        }
    }
}

#[test]
fn another_profile_replaces_no_running_container() {
    let Some(judges) = Judges::find() else { return };
    let told: Vec<Project> = fixtures::told().into_iter().map(|(_, it)| it).collect();
    let (alone, together) = (&told[0], &told[3]);
    let folder = tempfile::tempdir().unwrap();
    let before = judges.hashes(&lower(alone).unwrap(), folder.path());
    let after = judges.hashes(&lower(together).unwrap(), folder.path());
    assert_eq!((before.len(), after.len()), (2, 4));
    assert!(before.iter().all(|it| after.contains(it)), "{before:#?}\n{after:#?}");
}

#[test]
fn every_judge_has_teeth() {
    let Some(judges) = Judges::find() else { return };
    let good = lower(&fixtures::told()[0].1).unwrap();
    for (judge, from, to) in [
        ("compose", "      redis:\n        condition", "      reddis:\n        condition"),
        ("schema", "hostname: machine", "host_name: machine"),
        ("compose-lint", "  read_only: true\n  security_opt", "  privileged: true\n  security_opt"),
        ("compose-harden", "\n  tmpfs:\n    - /tmp\n", "\n"),
        ("dclint", "name: roster\n\n", ""),
    ] {
        assert_eq!(good.matches(from).count(), 1, "{from:?}");
        let complaints = judges.judge(&[("spoilt".to_owned(), good.replace(from, to))]).unwrap_err();
        assert!(
            complaints.iter().any(|it| it.starts_with(&format!("{judge}: "))),
            "{judge}: {complaints:#?}"
        );
    }
}

/// What a machine's service should be once Compose has expanded it. Derived from the plan, not from our own document.
fn meant(name: &str, on_request: bool, it: &Machine) -> Value {
    let plan = &it.plan;
    // Browsers listen on their loopback, whatever they are told.
    let services = plan.services().iter().filter(|it| it.service.name.as_str() != "playwright");
    let mut ports: Vec<u16> = services.flat_map(|it| it.ports.values().copied()).collect();
    ports.retain(|_| plan.is_published());
    ports.extend(fixtures::answers_outside(it).then_some(plan.health_port()));
    ports.sort_unstable();
    let mut environment =
        json!({ "FROM_ENV_FILE": "it is read", "ROSTER_ECOSYSTEM": "/etc/roster/ecosystem.json" });
    if fixtures::answers_outside(it) {
        environment["MACHINE_HEALTH_LISTEN"] = "0.0.0.0".into();
    }
    for key in it.secrets.keys() {
        environment[format!("{key}_FILE")] = format!("/run/secrets/{key}").into();
    }
    let mut volumes = vec![json!(["/workspace", format!("{name}.workspace"), true])];
    if plan.services().iter().any(|it| it.service.name.as_str() == "comfyui") {
        volumes.extend([
            json!(["/workspace/models", "models", false]),
            json!(["/workspace/outputs", "outputs", true]),
        ]);
    }
    let devices: Vec<_> = plan.reserved_devices().iter().map(|it| it.identity.clone()).collect();
    json!({
        "target": plan.stage().name.as_str(),
        "device_ids": devices,
        "secrets": it.secrets.keys().map(|key| json!([format!("{name}.{key}"), key.as_str()])).collect::<Vec<_>>(),
        "ports": ports.iter().map(|it| json!(["127.0.0.1", it.to_string(), it])).collect::<Vec<_>>(),
        "environment": environment,
        "volumes": volumes,
        "networks": if it.uses_local_redis { vec!["egress", "internal"] } else { vec!["egress"] },
        "waits_for": if it.uses_local_redis { json!("service_healthy") } else { Value::Null },
        "profiles": on_request.then_some(name).into_iter().collect::<Vec<_>>(),
        "hostname": name,
        "cpus": plan.inventory().cpu_cores.get(),
        "hardening": [true, "10001:10001", ["ALL"], ["no-new-privileges:true"], ["/tmp"], "unless-stopped"],
    })
}

/// The same of a service as Compose printed it.
fn said(service: &Value) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let pick = |value: &Value, key: &str, of: fn(&Value) -> Value| {
        list(&value[key]).iter().map(of).collect::<Vec<_>>()
    };
    let resources = &service["deploy"]["resources"];
    let networks = service["networks"].as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
    json!({
        "target": service["build"]["target"],
        "device_ids": list(&resources["reservations"]["devices"][0]["device_ids"]),
        "secrets": pick(service, "secrets", |it| json!([it["source"], it["target"]])),
        "ports": pick(service, "ports", |it| json!([it["host_ip"], it["published"], it["target"]])),
        "environment": service["environment"],
        "volumes": pick(service, "volumes", |it| json!([it["target"], it["source"], it["read_only"] != true])),
        "networks": networks,
        "waits_for": service["depends_on"]["redis"]["condition"],
        "profiles": list(&service["profiles"]),
        "hostname": service["hostname"],
        "cpus": resources["limits"]["cpus"],
        "hardening": [
            service["read_only"], service["user"], service["cap_drop"], service["security_opt"], service["tmpfs"],
            service["restart"],
        ],
    })
}

/// A text as a container gets it: Compose prints each `$` twice.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace("$$", "$")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
