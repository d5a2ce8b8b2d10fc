//! Every field of the mapping changes the catalog: a field that changes nothing would be a setting that silently does
//! nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

const BEFORE: &str = r#"{
  "version": 1,
  "stages": {
    "base": {},
    "art": { "from": "base", "provides": ["art"] },
    "tool": { "from": "art", "provides": ["tool", "two"] }
  },
  "workers": {
    "art": { "description": "d", "service": "art", "connector": "comfyui", "accepts": ["art"] },
    "tool": { "description": "d", "service": "tool", "connector": "playwright", "accepts": ["tool"] },
    "two": { "description": "d", "service": "two", "connector": "a1111", "accepts": ["two"] },
    "far": {
      "description": "d", "service": "far", "connector": "openai", "accepts": ["far"],
      "required_env": ["A"], "optional_env": ["B"]
    }
  },
  "services": {
    "art": {
      "description": "d", "binding": "gpu", "build_stage": "art", "vram_mib": 1000,
      "ports": [{ "name": "http", "base": 8000, "increment": 2 }],
      "start": { "command": ["art", "${PORT}"], "working_directory": "/art" },
      "volumes": [{ "name": "models", "path": "/models" }],
      "install": {
        "source": { "git": { "url": "https://h/a" } }, "probe": ["true"],
        "python": {}, "nodes": { "file": "/n", "folder": "n" }, "models": { "file": "/m", "folder": "/models" }
      },
      "required_env": ["C"], "optional_env": ["D"],
      "probes": {
        "install": { "file": { "path": "/art/main" } },
        "run": { "tcp": { "port": "http" } },
        "health": { "http": { "port": "http", "path": "/ok" } }
      }
    },
    "two": {
      "description": "d", "binding": "gpu", "build_stage": "tool", "vram_mib": 1000,
      "start": { "command": ["two"], "working_directory": "/two" },
      "probes": { "install": "process", "run": "process", "health": "process" }
    },
    "tool": {
      "description": "d", "binding": "cpu", "build_stage": "tool",
      "start": { "command": ["tool"], "working_directory": "/tool" },
      "probes": { "install": { "exec": { "command": ["tool"] } }, "run": "process", "health": "process" }
    },
    "far": {
      "description": "d", "binding": "shared", "required_env": ["A", "B"],
      "probes": {
        "install": { "variables": { "set": ["A"] } },
        "run": { "url": { "variable": "A", "path": "/a" } },
        "health": { "url": { "variable": "A", "path": "/b" } }
      }
    }
  }
}"#;

/// Each field and a change of it, as a JSON merge patch. Where a change needs others to stay valid, they come with it.
#[allow(clippy::too_many_lines, reason = "a table")]
fn changes() -> Vec<(&'static str, Value)> {
    let worker = |change: Value| json!({ "workers": { "far": change } });
    let art = |change: Value| json!({ "services": { "art": change } });
    let start = |change: Value| art(json!({ "start": change }));
    let probes = |change: Value| art(json!({ "probes": change }));
    let far_probes = |change: Value| json!({ "services": { "far": { "probes": change } } });
    let port = |name: &str, base: u16, increment: u16, variable: Option<&str>| {
        let port = json!({ "name": name, "base": base, "increment": increment, "variable": variable });
        let run = json!({ "tcp": { "port": name } });
        let health = json!({ "http": { "port": name, "path": "/ok" } });
        art(json!({ "ports": [port], "probes": { "run": run, "health": health } }))
    };
    let volume = |name: &str, path: &str, read_only: bool| {
        art(json!({ "volumes": [{ "name": name, "path": path, "read_only": read_only }] }))
    };
    let install = |change: Value| art(json!({ "install": change }));
    let source = |change: Value| install(json!({ "source": change }));
    let tarball = |url: &str, sha256: &str, strip: u8| json!({ "git": null, "tarball": { "url": url, "sha256": sha256, "strip": strip } });
    vec![
        ("Install.source", source(json!({ "git": { "url": "https://h/b" } }))),
        ("Install.python", install(json!({ "python": null }))),
        ("Install.commands", install(json!({ "commands": [["${PYTHON}", "x.py"]] }))),
        ("Install.nodes", install(json!({ "nodes": null }))),
        ("Install.models", install(json!({ "models": null }))),
        ("Install.directories", install(json!({ "directories": ["${WORKSPACE}/${NAME}"] }))),
        (
            "Install.tokens",
            merged(art(json!({ "secret_env": ["D"] })), &install(json!({ "tokens": { "h": "D" } }))),
        ),
        ("Install.probe", install(json!({ "probe": ["false"] }))),
        ("InstallSource.git", source(json!({ "git": { "url": "https://h/c" } }))),
        ("InstallSource.git.url", source(json!({ "git": { "url": "https://h/d" } }))),
        ("InstallSource.git.branch", source(json!({ "git": { "branch": "b" } }))),
        ("InstallSource.git.commit", source(json!({ "git": { "commit": "c" } }))),
        ("InstallSource.git.recursive", source(json!({ "git": { "recursive": true } }))),
        ("InstallSource.directory", source(json!({ "git": null, "directory": { "path": "/a" } }))),
        ("InstallSource.directory.path", source(json!({ "git": null, "directory": { "path": "/b" } }))),
        ("InstallSource.tarball", source(tarball("https://h/t", "a", 0))),
        ("InstallSource.tarball.url", source(tarball("https://h/u", "a", 0))),
        ("InstallSource.tarball.sha256", source(tarball("https://h/t", "b", 0))),
        ("InstallSource.tarball.strip", source(tarball("https://h/t", "a", 1))),
        ("InstallSource.program", source(json!({ "git": null, "program": { "name": "a" } }))),
        ("InstallSource.program.name", source(json!({ "git": null, "program": { "name": "b" } }))),
        ("PythonNeeds.requirements", install(json!({ "python": { "requirements": ["r.txt"] } }))),
        ("PythonNeeds.packages", install(json!({ "python": { "packages": ["p"] } }))),
        ("NodeNeeds.file", install(json!({ "nodes": { "file": "/o" } }))),
        ("NodeNeeds.folder", install(json!({ "nodes": { "folder": "o" } }))),
        ("ModelNeeds.file", install(json!({ "models": { "file": "/o" } }))),
        ("ModelNeeds.folder", install(json!({ "models": { "folder": "/o" } }))),
        ("ModelNeeds.kinds", install(json!({ "models": { "kinds": ["vae"] } }))),
        ("ModelNeeds.paths_file", install(json!({ "models": { "paths_file": "/o" } }))),
        (
            ".stages",
            json!({ "stages": { "all": { "from": "tool", "provides": ["more"] } },
            "workers": { "more": { "description": "d", "service": "more", "connector": "ollama", "accepts": ["m"] } },
            "services": { "more": { "description": "d", "binding": "gpu", "build_stage": "all", "vram_mib": 1,
                "start": { "command": ["m"], "working_directory": "/" },
                "probes": { "install": "process", "run": "process", "health": "process" } } } }),
        ),
        (
            ".workers",
            json!({ "workers": { "again": {
            "description": "d", "service": "far", "connector": "openai", "accepts": ["far"] } } }),
        ),
        (".services", art(json!({ "description": "another" }))),
        ("StageEntry.from", json!({ "stages": { "tool": { "from": "base" } } })),
        (
            "StageEntry.provides",
            json!({ "stages": { "art": { "provides": ["art", "two"] }, "tool": { "provides": ["tool"] } },
            "services": { "two": { "build_stage": "art" } } }),
        ),
        ("WorkerEntry.description", worker(json!({ "description": "another" }))),
        (
            "WorkerEntry.service",
            json!({ "workers": { "again": {
            "description": "d", "service": "art", "connector": "openai", "accepts": ["far"] } } }),
        ),
        ("WorkerEntry.connector", worker(json!({ "connector": "replicate" }))),
        ("WorkerEntry.accepts", worker(json!({ "accepts": ["far", "further"] }))),
        ("WorkerEntry.isolation", worker(json!({ "isolation": "shared-process" }))),
        ("WorkerEntry.required_env", worker(json!({ "required_env": ["A", "C"] }))),
        ("WorkerEntry.optional_env", worker(json!({ "optional_env": ["B", "C"] }))),
        (
            "WorkerEntry.secret_env",
            json!({
            "workers": { "far": { "secret_env": ["B"] } }, "services": { "far": { "secret_env": ["B"] } } }),
        ),
        ("WorkerEntry.memory_mib", worker(json!({ "memory_mib": 7 }))),
        ("WorkerEntry.stop_grace_s", worker(json!({ "stop_grace_s": 7 }))),
        ("ServiceEntry.description", art(json!({ "description": "another" }))),
        ("ServiceEntry.binding", json!({ "services": { "two": { "binding": "cpu", "vram_mib": null } } })),
        (
            "ServiceEntry.build_stage",
            json!({ "stages": { "solo": { "provides": ["two"] } },
            "services": { "two": { "build_stage": "solo" } } }),
        ),
        ("ServiceEntry.install", art(json!({ "install": null }))),
        ("ServiceEntry.instances_per_gpu", art(json!({ "instances_per_gpu": 2 }))),
        (
            "ServiceEntry.instances_per_machine",
            json!({ "services": { "tool": { "instances_per_machine": 2 } } }),
        ),
        ("ServiceEntry.vram_mib", art(json!({ "vram_mib": 7 }))),
        ("ServiceEntry.exclusive", art(json!({ "exclusive": true }))),
        ("ServiceEntry.memory_mib", art(json!({ "memory_mib": 7 }))),
        ("ServiceEntry.ports", port("http", 8004, 1, None)),
        ("ServiceEntry.start", start(json!({ "working_directory": "/" }))),
        ("ServiceEntry.volumes", art(json!({ "volumes": [] }))),
        ("ServiceEntry.required_env", art(json!({ "required_env": ["C", "E"] }))),
        ("ServiceEntry.optional_env", art(json!({ "optional_env": [] }))),
        ("ServiceEntry.secret_env", art(json!({ "secret_env": ["C"] }))),
        ("ServiceEntry.probes", probes(json!({ "install": "process" }))),
        ("PortEntry.name", port("web", 8000, 2, None)),
        ("PortEntry.base", port("http", 8001, 2, None)),
        ("PortEntry.increment", port("http", 8000, 3, None)),
        ("PortEntry.variable", port("http", 8000, 2, Some("ART_PORT"))),
        ("StartEntry.command", start(json!({ "command": ["art", "--port", "${PORT}"] }))),
        ("StartEntry.mock_arguments", start(json!({ "mock_arguments": ["--cpu"] }))),
        ("StartEntry.working_directory", start(json!({ "working_directory": "${WORKSPACE}" }))),
        ("StartEntry.env", start(json!({ "env": { "X": "1" } }))),
        ("StartEntry.ready_within_s", start(json!({ "ready_within_s": 7 }))),
        ("StartEntry.stop_grace_s", start(json!({ "stop_grace_s": 7 }))),
        ("VolumeEntry.name", volume("weights", "/models", false)),
        ("VolumeEntry.path", volume("models", "/weights", false)),
        ("VolumeEntry.read_only", volume("models", "/models", true)),
        ("ProbesEntry.install", probes(json!({ "install": "process" }))),
        ("ProbesEntry.run", probes(json!({ "run": "process" }))),
        ("ProbesEntry.health", probes(json!({ "health": "process" }))),
        ("ProbeEntry.file", probes(json!({ "run": { "tcp": null, "file": { "path": "/a" } } }))),
        ("ProbeEntry.file.path", probes(json!({ "install": { "file": { "path": "/b" } } }))),
        ("ProbeEntry.exec", probes(json!({ "run": { "tcp": null, "exec": { "command": ["a"] } } }))),
        (
            "ProbeEntry.exec.command",
            json!({ "services": { "tool": { "probes": {
            "install": { "exec": { "command": ["tool", "-v"] } } } } } }),
        ),
        ("ProbeEntry.tcp", probes(json!({ "health": { "http": null, "tcp": { "port": "http" } } }))),
        ("ProbeEntry.tcp.port", port("web", 8000, 2, None)),
        (
            "ProbeEntry.http",
            probes(json!({ "run": { "tcp": null, "http": { "port": "http", "path": "/" } } })),
        ),
        ("ProbeEntry.http.port", port("web", 8000, 2, None)),
        ("ProbeEntry.http.path", probes(json!({ "health": { "http": { "path": "/b" } } }))),
        (
            "ProbeEntry.variables",
            far_probes(json!({ "run": { "url": null, "variables": { "set": ["A"] } } })),
        ),
        ("ProbeEntry.variables.set", far_probes(json!({ "install": { "variables": { "set": ["B"] } } }))),
        (
            "ProbeEntry.url",
            far_probes(json!({ "install": { "variables": null, "url": { "variable": "A", "path": "" } } })),
        ),
        ("ProbeEntry.url.variable", far_probes(json!({ "run": { "url": { "variable": "B" } } }))),
        ("ProbeEntry.url.path", far_probes(json!({ "run": { "url": { "path": "/c" } } }))),
    ]
}

/// Every field of a JSON Schema, with its owner: the definition, then the fields on the way.
pub(super) fn properties(schema: &Value) -> BTreeSet<(String, String)> {
    fn walk(owner: &str, node: &Value, all: &mut BTreeSet<(String, String)>) {
        for (field, inner) in node["properties"].as_object().into_iter().flatten() {
            all.insert((owner.to_owned(), field.clone()));
            walk(&format!("{owner}.{field}"), inner, all);
        }
        node["oneOf"].as_array().into_iter().flatten().for_each(|it| walk(owner, it, all));
    }
    let mut all = BTreeSet::new();
    walk("", schema, &mut all);
    schema["definitions"].as_object().unwrap().iter().for_each(|(owner, it)| walk(owner, it, &mut all));
    all
}

/// Both patches.
fn merged(mut one: Value, other: &Value) -> Value {
    merge(&mut one, other);
    one
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
    let fields = target.as_object_mut().unwrap();
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The catalog without the places, which every change of the text moves.
fn catalog_of(document: &Value, field: &str) -> Catalog {
    let nowhere = SourceText::open("", "").whole();
    let mut catalog = match load_text(&serde_json::to_string_pretty(document).unwrap()) {
        Ok(catalog) => catalog,
        Err(findings) => panic!("{field}:\n{}", told(&findings)),
    };
    for service in catalog.services.values_mut() {
        if let Hosting::Local(local) = &mut Arc::make_mut(service).hosting {
            local.ports.iter_mut().for_each(|it| it.base_from = nowhere.clone());
        }
    }
    catalog
}

#[test]
fn every_field_changes_the_catalog() {
    let document: Value = serde_json::from_str(BEFORE).unwrap();
    let before = catalog_of(&document, "none");
    let mut tried = BTreeSet::from(["$schema", "version"].map(|field| format!(".{field}")));
    for (field, change) in changes() {
        let mut changed = document.clone();
        merge(&mut changed, &change);
        assert_ne!(catalog_of(&changed, field), before, "{field} changes nothing");
        tried.insert(field.to_owned());
    }
    let fields = properties(&schema()).into_iter().map(|(owner, field)| format!("{owner}.{field}")).collect();
    assert_eq!(tried, fields, "the table above tries every field of the schema and no other");
}

#[test]
fn another_version_is_refused() {
    let findings = load_text(&BEFORE.replace("\"version\": 1", "\"version\": 2")).unwrap_err();
    assert_snapshot!(told(&findings), @r"
    mapping.json:2:14 DOC003 `version` must be 1
        = write 1
    ");
}
