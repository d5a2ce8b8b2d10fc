//! Every field of the service mapping changes an output: one that changes nothing would be a setting that silently does
//! nothing.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test's helpers are tests too")]
#![allow(clippy::needless_pass_by_value, reason = "the rows of the tables read better without references")]

#[path = "outsiders/project.rs"]
#[allow(dead_code, reason = "the outsiders need more of it")]
mod project;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use project::{Project, fields, items};
use serde_json::{Value, json};

/// A field, a change of it, and every output that changes with it.
struct Row {
    /// `ServiceEntry.vram_mib`: the definition in the schema, and the field.
    field: &'static str,
    /// What the shipped mapping has to say beforehand, as a JSON merge patch (RFC 7396).
    before: Value,
    /// The change, with what else has to change for the mapping to stay valid.
    change: Value,
    roster: &'static str,
    /// The files of the generation; `plan`: whether there is one at all; `explain …`: that answer.
    changes: &'static [&'static str],
}

const PLAN: &str = "plan.json";
const ECOSYSTEM: &str = "ecosystem.json";
const COMPOSE: &str = "docker-compose.yaml";
const ENV: &str = ".env";
const SECRET: &str = ".env.secret";

/// What most rows are tried on.
const ROSTER: &str = "comfyui:2,openai:2,playwright:1";

fn row(field: &'static str, change: Value, changes: &'static [&'static str]) -> Row {
    Row { field, before: json!({}), change, roster: ROSTER, changes }
}

impl Row {
    fn on(self, roster: &'static str) -> Self {
        Self { roster, ..self }
    }

    fn after(self, before: Value) -> Self {
        Self { before, ..self }
    }
}

fn service(name: &str, change: Value) -> Value {
    json!({ "services": { name: change } })
}

fn worker(name: &str, change: Value) -> Value {
    json!({ "workers": { name: change } })
}

fn comfyui(change: Value) -> Value {
    service("comfyui", change)
}

fn stage_rows() -> Vec<Row> {
    let probes = json!({ "install": { "variables": { "set": ["OTHER"] } }, "run": { "variables": { "set": ["OTHER"] } },
        "health": { "variables": { "set": ["OTHER"] } } });
    let new = json!({ "description": "d", "service": "new", "connector": "openai", "accepts": ["new"] });
    let far = json!({ "description": "d", "binding": "shared", "required_env": ["OTHER"], "probes": probes });
    let both = json!({ "stages": { "both": { "from": "comfyui", "provides": ["a1111"] } } });
    let moved = json!({
        "stages": { "base": { "provides": [] }, "comfyui": { "provides": ["comfyui", "simulation"] } },
        "services": { "simulation": { "build_stage": "comfyui" } },
    });
    let alone = json!({
        "stages": { "base": { "provides": [] }, "alone": { "provides": ["simulation"] } },
        "services": { "simulation": { "build_stage": "alone" } },
    });
    vec![
        row(".stages", both, &["plan"]).on("comfyui:1,a1111:1"),
        row(".workers", json!({ "workers": { "new": new }, "services": { "new": far } }), &["plan"])
            .on("new:1"),
        row(".services", json!({ "workers": { "new": new }, "services": { "new": far } }), &["plan"])
            .on("new:1"),
        row("StageEntry.from", json!({ "stages": { "playwright": { "from": null } } }), &[COMPOSE, PLAN])
            .on("playwright:1,simulation:1"),
        row("StageEntry.provides", moved, &[COMPOSE, PLAN]).on("simulation:1"),
        row("ServiceEntry.build_stage", alone, &[COMPOSE, PLAN]).on("simulation:1"),
    ]
}

fn worker_rows() -> Vec<Row> {
    let openai = |change: Value| worker("openai", change);
    vec![
        row(
            "WorkerEntry.description",
            openai(json!({ "description": "other" })),
            &["explain openai-worker-0"],
        ),
        row(
            "WorkerEntry.service",
            worker("comfyui-websocket", json!({ "service": "comfyui-remote" })),
            &[ENV, SECRET, COMPOSE, ECOSYSTEM, PLAN],
        )
        .on("comfyui-websocket:1"),
        row("WorkerEntry.connector", openai(json!({ "connector": "replicate" })), &[ECOSYSTEM]),
        row("WorkerEntry.accepts", openai(json!({ "accepts": ["other"] })), &[ECOSYSTEM, PLAN]),
        // Fewer processes: a lower limit on their number.
        row("WorkerEntry.isolation", openai(json!({ "isolation": "shared-process" })), &[COMPOSE, ECOSYSTEM]),
        row(
            "WorkerEntry.required_env",
            openai(json!({ "required_env": ["OPENAI_API_KEY", "OTHER"] })),
            &[ENV, ECOSYSTEM, PLAN],
        ),
        row(
            "WorkerEntry.optional_env",
            openai(json!({ "optional_env": ["OTHER"] })),
            &[ENV, ECOSYSTEM, PLAN],
        ),
        row(
            "WorkerEntry.secret_env",
            openai(json!({ "secret_env": ["OPENAI_API_KEY", "OPENAI_TEXT_MODEL"] })),
            &[ENV, SECRET, COMPOSE, ECOSYSTEM, PLAN],
        ),
        row("WorkerEntry.memory_mib", openai(json!({ "memory_mib": 77 })), &[ECOSYSTEM]),
        row("WorkerEntry.stop_grace_s", openai(json!({ "stop_grace_s": 77 })), &[COMPOSE, ECOSYSTEM]),
    ]
}

fn service_rows() -> Vec<Row> {
    let other = json!({ "optional_env": ["COMFYUI_BRANCH", "COMFYUI_COMMIT", "COMFYUI_MODELS", "COMFYUI_NODES",
        "COMFYUI_REPO_URL", "HF_TOKEN", "OTHER"] });
    let extra = json!({
        "ports": [{ "name": "http", "base": 8188, "increment": 1 }, { "name": "extra", "base": 9500, "increment": 1 }],
        "start": { "command": ["comfyui", "${PORT}", "${PORT_EXTRA}"] },
    });
    let together = json!({ "stages": { "both": { "from": "comfyui", "provides": ["ollama"] } } });
    let on_gpu = json!({ "binding": "gpu", "instances_per_machine": null, "vram_mib": 1024 });
    vec![
        row(
            "ServiceEntry.description",
            comfyui(json!({ "description": "other" })),
            &["explain comfyui-gpu0"],
        ),
        row("ServiceEntry.binding", service("simulation", on_gpu), &[COMPOSE, ECOSYSTEM, PLAN])
            .on("simulation:2"),
        row("ServiceEntry.install", comfyui(json!({ "install": null })), &[ECOSYSTEM]),
        row(
            "ServiceEntry.instances_per_gpu",
            service("a1111", json!({ "instances_per_gpu": 2 })),
            &[COMPOSE, ECOSYSTEM, PLAN],
        )
        .on("a1111:4"),
        row(
            "ServiceEntry.instances_per_machine",
            service("playwright", json!({ "instances_per_machine": 2 })),
            &[COMPOSE, ECOSYSTEM, PLAN],
        )
        .on("playwright:2"),
        row("ServiceEntry.vram_mib", comfyui(json!({ "vram_mib": 77 })), &[PLAN, ECOSYSTEM]),
        row("ServiceEntry.exclusive", comfyui(json!({ "exclusive": true })), &[COMPOSE, ECOSYSTEM, PLAN])
            .after(together)
            .on("comfyui:2,ollama:2"),
        row("ServiceEntry.memory_mib", comfyui(json!({ "memory_mib": 77 })), &[ECOSYSTEM]),
        row("ServiceEntry.ports", comfyui(extra), &[ECOSYSTEM, PLAN]),
        row("ServiceEntry.start", comfyui(json!({ "start": { "working_directory": "/" } })), &[ECOSYSTEM]),
        row("ServiceEntry.volumes", service("ollama", json!({ "volumes": [] })), &[COMPOSE]).on("ollama:1"),
        row(
            "ServiceEntry.required_env",
            comfyui(json!({ "required_env": ["OTHER"] })),
            &[ENV, ECOSYSTEM, PLAN],
        ),
        row("ServiceEntry.optional_env", comfyui(other.clone()), &[ENV, ECOSYSTEM, PLAN]),
        row(
            "ServiceEntry.secret_env",
            comfyui(json!({ "secret_env": ["HF_TOKEN", "OTHER"] })),
            &[ENV, SECRET, COMPOSE, ECOSYSTEM, PLAN],
        )
        .after(comfyui(other)),
        row("ServiceEntry.probes", comfyui(json!({ "probes": { "install": "process" } })), &[ECOSYSTEM]),
    ]
}

fn install_rows() -> Vec<Row> {
    let install = |field, change: Value| row(field, comfyui(json!({ "install": change })), &[ECOSYSTEM]);
    let source = |field, change: Value| install(field, json!({ "source": change }));
    let git = |field, change: Value| source(field, json!({ "git": change }));
    let instead = |change: Value| json!({ "install": { "source": change } });
    let other = |field, name: &str, before: Value, after: Value| {
        let mut first = json!({ "git": null });
        first[name] = before;
        row(field, comfyui(instead(json!({ name: after }))), &[ECOSYSTEM]).after(comfyui(instead(first)))
    };
    let tarball = || json!({ "url": "https://h/a", "sha256": "a" });
    let models = |field, change: Value| install(field, json!({ "models": change }));
    vec![
        source("Install.source", json!({ "git": null, "directory": { "path": "/other" } })),
        install("Install.python", json!({ "python": null })),
        install("Install.commands", json!({ "commands": [["other"]] })),
        install("Install.nodes", json!({ "nodes": null })),
        install("Install.models", json!({ "models": null })),
        install("Install.directories", json!({ "directories": ["/other"] })),
        install("Install.tokens", json!({ "tokens": { "other": "HF_TOKEN" } })),
        install("Install.probe", json!({ "probe": ["other"] })),
        git("InstallSource.git", json!({ "url": "https://h/other" })),
        git("InstallSource.git.url", json!({ "url": "https://h/other" })),
        git("InstallSource.git.branch", json!({ "branch": "other" })),
        git("InstallSource.git.commit", json!({ "commit": "other" })),
        git("InstallSource.git.recursive", json!({ "recursive": true })),
        source("InstallSource.directory", json!({ "git": null, "directory": { "path": "/other" } })),
        other("InstallSource.directory.path", "directory", json!({ "path": "/a" }), json!({ "path": "/b" })),
        source("InstallSource.tarball", json!({ "git": null, "tarball": tarball() })),
        other("InstallSource.tarball.url", "tarball", tarball(), json!({ "url": "https://h/b" })),
        other("InstallSource.tarball.sha256", "tarball", tarball(), json!({ "sha256": "b" })),
        other("InstallSource.tarball.strip", "tarball", tarball(), json!({ "strip": 1 })),
        source("InstallSource.program", json!({ "git": null, "program": { "name": "other" } })),
        other("InstallSource.program.name", "program", json!({ "name": "a" }), json!({ "name": "b" })),
        install("PythonNeeds.requirements", json!({ "python": { "requirements": ["other.txt"] } })),
        install("PythonNeeds.packages", json!({ "python": { "packages": ["other"] } })),
        install("NodeNeeds.file", json!({ "nodes": { "file": "other.json" } })),
        install("NodeNeeds.folder", json!({ "nodes": { "folder": "other" } })),
        models("ModelNeeds.file", json!({ "file": "other.json" })),
        models("ModelNeeds.folder", json!({ "folder": "/other" })),
        models("ModelNeeds.kinds", json!({ "kinds": ["other"] })),
        models("ModelNeeds.paths_file", json!({ "paths_file": "/other" })),
    ]
}

fn port_and_volume_rows() -> Vec<Row> {
    let ollama = |change: Value| service("ollama", change);
    let port = |name: &str, base: u16, increment: u16, variable: Option<&str>| {
        let port = json!({ "name": name, "base": base, "increment": increment, "variable": variable });
        let run = json!({ "tcp": { "port": name } });
        let health = json!({ "http": { "port": name, "path": "/api/tags" } });
        ollama(json!({ "ports": [port], "probes": { "run": run, "health": health } }))
    };
    let volume = |name: &str, path: &str, read_only: bool| {
        ollama(json!({ "volumes": [{ "name": name, "path": path, "read_only": read_only }] }))
    };
    let ports = |field, change| row(field, change, &[ECOSYSTEM, PLAN]).after(port("http", 11434, 1, None));
    let volumes = |field, change| row(field, change, &[COMPOSE]).after(volume("kept", "/kept", false));
    let rows = [
        ports("PortEntry.name", port("web", 11434, 1, None)),
        ports("PortEntry.base", port("http", 11500, 1, None)),
        ports("PortEntry.increment", port("http", 11434, 2, None)),
        ports("PortEntry.variable", port("http", 11434, 1, Some("OTHER_PORT"))),
        volumes("VolumeEntry.name", volume("other", "/kept", false)),
        volumes("VolumeEntry.path", volume("kept", "/other", false)),
        volumes("VolumeEntry.read_only", volume("kept", "/kept", true)),
    ];
    rows.into_iter().map(|it| it.on("ollama:2")).collect()
}

fn start_rows() -> Vec<Row> {
    let start = |field, change: Value, changes| row(field, comfyui(json!({ "start": change })), changes);
    vec![
        start("StartEntry.command", json!({ "command": ["other", "${PORT}"] }), &[ECOSYSTEM]),
        start("StartEntry.mock_arguments", json!({ "mock_arguments": ["--other"] }), &[ECOSYSTEM])
            .on("mock comfyui:1"),
        start("StartEntry.working_directory", json!({ "working_directory": "/other" }), &[ECOSYSTEM]),
        start("StartEntry.env", json!({ "env": { "OTHER": "${NAME}" } }), &[ECOSYSTEM]),
        start("StartEntry.ready_within_s", json!({ "ready_within_s": 777 }), &[COMPOSE, ECOSYSTEM]),
        start("StartEntry.stop_grace_s", json!({ "stop_grace_s": 77 }), &[COMPOSE, ECOSYSTEM]),
    ]
}

fn probe_rows() -> Vec<Row> {
    let here = |field, change: Value| row(field, comfyui(json!({ "probes": change })), &[ECOSYSTEM]);
    let browser = |change: Value| service("playwright", json!({ "probes": change }));
    let far = |field, change: Value| row(field, service("openai", json!({ "probes": change })), &[ECOSYSTEM]);
    let ports = |port: &str| {
        comfyui(json!({
            "ports": [{ "name": "http", "base": 8188, "increment": 1 }, { "name": "extra", "base": 9500, "increment": 1 }],
            "start": { "command": ["comfyui", "${PORT}", "${PORT_EXTRA}"] },
            "probes": { "run": { "tcp": { "port": port } }, "health": { "http": { "port": port } } },
        }))
    };
    vec![
        here("ProbesEntry.install", json!({ "install": "process" })),
        here("ProbesEntry.run", json!({ "run": { "tcp": { "port": "http" } } })),
        here("ProbesEntry.health", json!({ "health": "process" })),
        here("ProbeEntry.file", json!({ "run": { "file": { "path": "/other" } } })),
        here("ProbeEntry.file.path", json!({ "install": { "file": { "path": "/other" } } })),
        here("ProbeEntry.exec", json!({ "run": { "exec": { "command": ["other"] } } })),
        row(
            "ProbeEntry.exec.command",
            browser(json!({ "install": { "exec": { "command": ["other"] } } })),
            &[ECOSYSTEM],
        ),
        here("ProbeEntry.tcp", json!({ "run": { "tcp": { "port": "http" } } })),
        row("ProbeEntry.tcp.port", ports("extra"), &[ECOSYSTEM]).after(ports("http")),
        here("ProbeEntry.http", json!({ "run": { "http": { "port": "http", "path": "/" } } })),
        row("ProbeEntry.http.port", ports("extra"), &[ECOSYSTEM]).after(ports("http")),
        here("ProbeEntry.http.path", json!({ "health": { "http": { "path": "/other" } } })),
        far(
            "ProbeEntry.variables",
            json!({ "run": { "url": null, "variables": { "set": ["OPENAI_BASE_URL"] } } }),
        ),
        far(
            "ProbeEntry.variables.set",
            json!({ "install": { "variables": { "set": ["OPENAI_BASE_URL"] } } }),
        ),
        far(
            "ProbeEntry.url",
            json!({ "install": { "variables": null, "url": { "variable": "OPENAI_BASE_URL", "path": "" } } }),
        ),
        far("ProbeEntry.url.variable", json!({ "run": { "url": { "variable": "OPENAI_API_KEY" } } })),
        far("ProbeEntry.url.path", json!({ "run": { "url": { "path": "/other" } } })),
    ]
}

/// Every field of a JSON Schema, with its owner: the definition, then the fields on the way.
fn properties(owner: &str, node: &Value, all: &mut BTreeSet<String>) {
    for (field, inner) in fields(&node["properties"]) {
        all.insert(format!("{owner}.{field}"));
        properties(&format!("{owner}.{field}"), inner, all);
    }
    items(&node["oneOf"]).for_each(|it| properties(owner, it, all));
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], change);
        }
    }
}

/// Every output of a roster: the files of its generation, or that there is none, and the answers asked for.
fn outputs(project: &Project, row: &Row) -> BTreeMap<String, String> {
    let (roster, hardware) = match row.roster.strip_prefix("mock ") {
        Some(roster) => (roster, ["--inventory", "mock.json"]),
        None => (row.roster, ["--gpus", "2x24GiB"]),
    };
    let out = tempfile::tempdir().unwrap();
    let mut args = vec!["env-build", "closed-local", "--spec", roster, "--out", out.path().to_str().unwrap()];
    args.extend(hardware);
    let answer = project.run(&args);
    if answer.exit.code() != 0 {
        assert!(row.changes == ["plan"], "{}: {}", row.field, answer.talk);
        return BTreeMap::from([("plan".to_owned(), "refused".to_owned())]);
    }
    let mut outputs = BTreeMap::from([("plan".to_owned(), "planned".to_owned())]);
    for name in [PLAN, ECOSYSTEM, COMPOSE, ENV, SECRET] {
        let text = fs::read_to_string(out.path().join(".roster/current").join(name)).unwrap_or_default();
        // The label changes with the ecosystem, whatever Compose itself is told.
        let lines: Vec<&str> = text.lines().filter(|it| !it.contains("roster.ecosystem:")).collect();
        outputs.insert(name.to_owned(), lines.join("\n"));
    }
    for asked in row.changes.iter().filter_map(|it| it.strip_prefix("explain ")) {
        let mut args = vec!["explain", asked, "--profile", "closed-local", "--spec", roster];
        args.extend(hardware);
        outputs.insert(format!("explain {asked}"), project.run(&args).out);
    }
    outputs
}

#[test]
fn every_field_of_the_mapping_changes_an_output() {
    let mut project = Project::shipped();
    project.add_profiles_for_all();
    project.write("mock.json", r#"{ "mock": true }"#);
    for (key, value) in [("OTHER", "other"), ("OTHER_PORT", "12000")] {
        project.environment.insert(key.parse().unwrap(), value.to_owned());
    }
    let shipped = project.mapping();
    let rows = [
        stage_rows(),
        worker_rows(),
        service_rows(),
        install_rows(),
        port_and_volume_rows(),
        start_rows(),
        probe_rows(),
    ];
    // Editors read the one; of the other there is only one value.
    let mut tried = BTreeSet::from([".$schema".to_owned(), ".version".to_owned()]);
    for row in rows.iter().flatten() {
        let mut mapping = shipped.clone();
        let mut outputs_with = |patch: &Value| {
            merge(&mut mapping, patch);
            let text = serde_json::to_string_pretty(&mapping).unwrap();
            project.write("config/service-mapping.json", &text);
            outputs(&project, row)
        };
        let before = outputs_with(&row.before);
        let after = outputs_with(&row.change);
        let names: BTreeSet<&String> = match row.changes {
            ["plan"] => before.keys().filter(|it| *it == "plan").collect(),
            _ => before.keys().collect(),
        };
        let changed: BTreeSet<&str> =
            names.into_iter().filter(|it| before.get(*it) != after.get(*it)).map(String::as_str).collect();
        let expected: BTreeSet<&str> = row.changes.iter().copied().collect();
        assert_eq!(changed, expected, "what changes with {}", row.field);
        tried.insert(row.field.to_owned());
    }
    let (schema, mut all) = (mapping::schema(), BTreeSet::new());
    properties("", &schema, &mut all);
    fields(&schema["definitions"]).for_each(|(owner, it)| properties(owner, it, &mut all));
    assert_eq!(tried, all, "the rows try every field of the schema and no other");
}

#[test]
fn explain_tells_every_description() {
    let project = Project::shipped();
    project.add_profiles_for_all();
    project.write("mock.json", r#"{ "mock": true }"#);
    let mapping = project.mapping();
    for (name, worker) in fields(&mapping["workers"]) {
        let service = worker["service"].as_str().unwrap();
        let roster = format!("{name}:1");
        let chosen = ["--profile", "closed-local", "--spec", &roster, "--inventory", "mock.json"];
        let told = |words: &[&str]| project.run(&[words, &chosen].concat()).out;
        let plan: Value = serde_json::from_str(&told(&["plan", "--json"])).unwrap();
        let worker_process = format!("{name}-worker-0");
        // A service elsewhere has no process of its own to ask about.
        let instance = plan["result"]["workers"][0]["works_on"].as_str().unwrap_or(&worker_process);
        for (process, entry) in [(worker_process.as_str(), worker), (instance, &mapping["services"][service])]
        {
            let (told, description) = (told(&["explain", process]), entry["description"].as_str().unwrap());
            assert!(told.contains(description), "`{description}` is not in:\n{told}");
        }
    }
}
