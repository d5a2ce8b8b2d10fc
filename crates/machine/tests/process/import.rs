//! `roster import`: what it proposes is planned, what Roster wrote itself comes back, and bad files are told.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::daemon::{Daemon, stand_in};
use super::support::{Project, is_there, told, type_page};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A project, and the files of old machines in `old/`.
fn project() -> Project {
    let project = Project::shipped();
    for story in ["gpu-box", "ecosystem", "compose"] {
        let from = repository().join("crates/importer/tests/old").join(story);
        let to = project.path(&format!("old/{story}"));
        copy(&from, &to);
    }
    project
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The answer of a command line as a document, which says its exit code.
fn json(project: &Project, line: &str) -> Value {
    let (out, talk, exit) = told(&project.run(&format!("{line} --json")));
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|it| panic!("{line}: {it}\n{out}{talk}"));
    assert_eq!(document["exit"].as_i64(), exit.map(i64::from), "{line}");
    document
}

/// What a plan says of a machine: its roster, and for each process what it is, its card and its ports.
fn machine(project: &Project, line: &str) -> Value {
    let document = json(project, line);
    let plan = &document["result"];
    assert_eq!(document["exit"], 0, "{line}: {document:#}");
    let services = plan["services"].as_array().unwrap();
    let services = services.iter().map(|it| json!([it["name"], it["device"], it["ports"], it["workers"]]));
    let workers = plan["workers"].as_array().unwrap().iter().map(|it| json!([it["name"], it["works_on"]]));
    json!({
        "roster": plan["roster"],
        "services": services.collect::<Vec<_>>(),
        "workers": workers.collect::<Vec<_>>(),
        "health": plan["health_port"],
        "environment": plan["environment"],
    })
}

fn codes(document: &Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect()
}

#[test]
fn the_plan_of_an_imported_ecosystem_is_the_old_machine() {
    let project = project();
    let document = json(&project, "import ecosystem old/ecosystem/pm2-ecosystem.json --name box --out .");
    assert_eq!((&document["exit"], &document["result"]["open"]), (&0.into(), &0.into()), "{document:#}");
    let plan = machine(&project, "plan box --gpus 2");
    assert_eq!(plan["roster"], "comfyui:2,openai:4");
    let comfyui = |it: u16| json!([format!("comfyui-gpu{it}"), format!("gpu{it}"), { "http": 8188 + it }, [format!("comfyui-worker-{it}")]]);
    assert_eq!(plan["services"], json!([comfyui(0), comfyui(1)]));
    assert_eq!(plan["workers"].as_array().unwrap().len(), 6);
    assert_eq!(plan["environment"]["secret"], json!(["OPENAI_API_KEY", "REDIS_URL"]));
    let (_, talk, exit) = told(&project.run("env-build box --gpus 2"));
    assert_eq!(exit, Some(0), "{talk}");
    let secret = fs::read_to_string(project.path(".env.secret")).unwrap();
    assert!(secret.contains("OPENAI_API_KEY=sk-canary-openai\n"), "what was imported is what is built");
}

#[test]
fn ports_that_were_moved_stay_moved() {
    let project = project();
    let line = "import env old/gpu-box/.env.gpu-box old/gpu-box/.env.secret.gpu-box --out . --allow-gaps";
    assert_eq!(json(&project, line)["exit"], 0);
    let plan = machine(&project, "plan gpu-box --gpus 2");
    assert_eq!(
        (&plan["services"][0][2]["http"], &plan["services"][1][2]["http"]),
        (&9000.into(), &9001.into())
    );
    let line =
        "import compose old/compose/docker-compose.yml --service gpu-box --name it --out . --allow-gaps";
    assert_eq!(json(&project, line)["exit"], 0);
    // The key is the one value that the old file took from the shell.
    let mut run = project.roster("env-build it --gpus 2");
    let (_, talk, exit) = told(&run.env("OPENAI_API_KEY", "sk-canary").output().unwrap());
    assert_eq!(exit, Some(0), "{talk}");
    let compose = fs::read_to_string(project.path("docker-compose.yaml")).unwrap();
    for part in ["127.0.0.1:9000:9000", "  redis:\n", "  exporter:\n", "prom/node-exporter:v1.8.2"] {
        assert!(compose.contains(part), "{part} in\n{compose}");
    }
}

#[test]
fn what_roster_wrote_comes_back_without_a_gap() {
    for (profile, more) in [
        ("simulation", ""),
        ("mixed-workload", ""),
        ("dev-full", ""),
        ("full-local", ""),
        ("gpu-mixed", " --spec comfyui:4,openai:3"),
    ] {
        let project = project();
        let built = project.run(&format!("env-build {profile}{more}"));
        assert!(built.status.success(), "{}", told(&built).1);
        let was = machine(&project, &format!("plan {profile}{more}"));
        let gpus = was["services"].as_array().unwrap().iter().filter(|it| !it[1].is_null()).count();
        let gpus = if gpus > 0 { format!(" --gpus {gpus}") } else { String::new() };
        let secret = if project.path(".env.secret").exists() { " .env.secret" } else { "" };
        for (kind, files) in [
            ("ecosystem", "ecosystem.json".to_owned()),
            ("compose", "docker-compose.yaml".to_owned()),
            ("env", format!(".env{secret}")),
        ] {
            let document = json(&project, &format!("import {kind} {files} --name by-{kind} --out ."));
            assert_eq!(document["exit"], 0, "{profile} by {kind}: {document:#}");
            assert_eq!(document["result"]["open"], 0);
            assert_eq!(document["result"]["machines"][0]["roster"], was["roster"]);
            // An ecosystem has no secret, so it alone is planned with what is missing.
            let mut plan = project.roster(&format!("plan by-{kind} --json{gpus}"));
            let (out, _, _) = told(&plan.env("OPENAI_API_KEY", "sk-x").output().unwrap());
            let plan: Value = serde_json::from_str(&out).unwrap();
            let is = |part: &str, keys: &[&str]| {
                let all = plan["result"][part]
                    .as_array()
                    .unwrap_or_else(|| panic!("{profile} by {kind}: {plan:#}"));
                json!(
                    all.iter()
                        .map(|it| keys.iter().map(|key| it[*key].clone()).collect::<Vec<_>>())
                        .collect::<Vec<_>>()
                )
            };
            assert_eq!(
                is("services", &["name", "device", "ports", "workers"]),
                was["services"],
                "{profile} by {kind}"
            );
            assert_eq!(is("workers", &["name", "works_on"]), was["workers"], "{profile} by {kind}");
            if kind == "env" {
                assert_eq!(plan["result"]["environment"], was["environment"], "{profile}");
            }
        }
        assert!(
            fs::read_to_string(project.path("config/environments/profiles/by-compose.json"))
                .unwrap()
                .contains("\"redis\": \"local\"")
        );
    }
}

#[test]
fn secrets_are_in_one_file_for_their_owner_and_nowhere_else() {
    let project = project();
    let line = "import env old/gpu-box/.env.gpu-box old/gpu-box/.env.secret.gpu-box --allow-gaps --out new";
    for more in ["", " --json", " --json --force"] {
        let (out, talk, exit) = told(&project.run(&format!("{line}{more}")));
        assert_eq!(exit, Some(0), "{talk}");
        assert!(!out.contains("canary") && !talk.contains("canary"), "{out}{talk}");
    }
    let secrets = project.path("new/config/environments/secrets/gpu-box.env");
    assert_eq!(fs::metadata(&secrets).unwrap().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&secrets).unwrap().contains("canary-redis"));
    let profile = fs::read_to_string(project.path("new/config/environments/profiles/gpu-box.json")).unwrap();
    assert!(!profile.contains("canary"), "{profile}");
}

#[test]
fn nothing_is_written_over_what_somebody_else_wrote_or_by_halves() {
    let project = project();
    let line = "import ecosystem old/ecosystem/pm2-ecosystem.json --name simulation --out .";
    let before = fs::read(project.path("config/environments/profiles/simulation.json")).unwrap();
    let document = json(&project, line);
    assert_eq!((codes(&document), &document["exit"]), (vec!["IMP008"], &1.into()));
    assert_eq!(fs::read(project.path("config/environments/profiles/simulation.json")).unwrap(), before);
    assert!(!project.path("config/environments/secrets/simulation.env").exists());
    assert_eq!(json(&project, &format!("{line} --force"))["exit"], 0);
    assert_eq!(json(&project, line)["exit"], 0, "the same again is no other file");
    // A folder that cannot be one: the profile has its place, the secrets have none.
    project.write("half/config/environments/secrets", "a file");
    let document = json(&project, "import ecosystem old/ecosystem/pm2-ecosystem.json --out half");
    assert_eq!(document["exit"], 1);
    let left: Vec<_> = fs::read_dir(project.path("half/config/environments/profiles")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // What is left to decide stands in the way too, and nothing of the folder is made.
    let line = "import env old/gpu-box/.env.gpu-box --out gaps";
    assert_eq!(codes(&json(&project, line)), ["IMP100"]);
    assert!(!project.path("gaps").exists());
}

#[test]
fn bad_files_are_told_all_at_once_with_their_codes() {
    let project = project();
    let huge = fs::File::create(project.path("huge.env")).unwrap();
    huge.set_len(50 << 20).unwrap();
    fs::write(project.path("latin.env"), b"NAME=caf\xe9\n").unwrap();
    project.write("bad.env", "WORKERS=openai:0,comfyui\nno equals\nWORKERS=x\nKEY='open canary\n");
    project.write("loop.yml", "a: &a [*a]\nb: *nowhere\nc: 1\nc: 2\nservices: {}\n");
    let mut bomb = format!("l0: &l0 [{}]\n", ["x"; 9].join(","));
    for it in 1..9 {
        let _ = writeln!(bomb, "l{it}: &l{it} [{}]", vec![format!("*l{}", it - 1); 9].join(","));
    }
    project.write("bomb.yml", &bomb);
    project.write("tabs.yml", "services:\n\tmachine: {}\n");
    project.write("list.yml", "services: [machine]\n");
    project.write(
        "apps.json",
        r#"{"apps": [{"name": "a", "args": 7}, {"env": []}, 3, {"name": "b", "name": "c"}]}"#,
    );
    project.write("form.json", r#"{"apps": [{"name": "a", "args": 7, "instances": {}}, {"env": []}, 3]}"#);
    project.write("other.json", "{}");
    project.write("twins.json", r#"{"apps": [{"name": "worker-openai"}, {"name": "worker-openai"}]}"#);
    project.write("none.json", r#"{"apps": [{"name": "metrics-exporter"}]}"#);
    for (line, expected) in [
        ("env huge.env latin.env nowhere.env", &["IMP001", "CONF002", "CONF002"][..]),
        ("env bad.env", &["DOTENV004", "DOTENV008", "DOTENV006", "SPEC008", "SPEC006"]),
        ("compose loop.yml", &["IMP003", "IMP002", "IMP004"]),
        ("compose bomb.yml", &["IMP003"]),
        ("compose tabs.yml", &["IMP002"]),
        ("compose list.yml", &["IMP005"]),
        ("compose old/ecosystem/pm2-ecosystem.json", &["IMP005"]),
        ("ecosystem apps.json", &["JSON002"]),
        ("ecosystem form.json", &["IMP005"; 5]),
        ("ecosystem other.json", &["IMP005"]),
        ("ecosystem twins.json", &["IMP004"]),
        ("ecosystem none.json", &["IMP006"]),
    ] {
        let document = json(&project, &format!("import {line} --out new"));
        assert_eq!(codes(&document), expected, "{line}: {document:#}");
        assert_eq!(document["exit"], 1, "{line}");
        assert!(!document.to_string().contains("canary"), "{line}");
    }
    assert!(!project.path("new").exists());
    for line in ["import", "import env", "import ecosystem", "import nonsense x", "import env x --force"] {
        assert_eq!(project.run(line).status.code(), Some(64), "{line}");
    }
}

#[test]
fn an_ecosystem_that_is_a_program_is_evaluated_by_node() {
    let project = project();
    let program =
        "console.log('talks'); module.exports = { apps: [{ name: 'worker-openai', instances: 1 + 2 }] };\n";
    project.write("ecosystem.config.cjs", program);
    project.write("ecosystem.config.mjs", "export default { apps: { name: 'worker-openai' } };\n");
    project.write("broken.config.js", "throw new TypeError('no such thing');\n");
    let mut without = project.roster("import ecosystem ecosystem.config.cjs --json");
    let (out, _, _) = told(&without.env("PATH", project.root()).output().unwrap());
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(codes(&document), ["IMP007"]);
    assert!(document["findings"][0]["fix"].as_str().unwrap().contains("pm2 jlist"), "{document:#}");
    if !is_there("node") {
        return;
    }
    for (file, roster) in [("ecosystem.config.cjs", "openai:3"), ("ecosystem.config.mjs", "openai:1")] {
        let document = json(&project, &format!("import ecosystem {file}"));
        assert_eq!(document["result"]["machines"][0]["roster"], roster, "{document:#}");
    }
    let document = json(&project, "import ecosystem broken.config.js");
    assert_eq!(codes(&document), ["IMP007"]);
    assert!(document["findings"][0]["message"].as_str().unwrap().contains("no such thing"), "{document:#}");
}

#[test]
fn what_a_running_pm2_says_of_itself_is_read() {
    let project = project();
    let Some(daemon) = Daemon::find(project.path("home"), &project.path("bin")) else { return };
    let script = project.path("bin/idle");
    stand_in(&script);
    let app = |name: &str, args: &[&str], kind: &str| {
        let env = json!({
            "CONNECTORS": kind,
            "WORKERS": "comfyui:1,openai:2",
            "HUB_REDIS_URL": "redis://hub.example:6379",
            "OPENAI_API_KEY": "sk-canary-openai",
        });
        json!({ "name": name, "script": &script, "interpreter": "none", "args": args, "env": env })
    };
    let apps = [
        app("comfyui-gpu0", &["comfyui", "--cuda-device=0", "--port=9000"], ""),
        app(
            "redis-worker-comfyui-gpu0",
            &["redis-worker", "--cuda-device=0", "--service-port=9000"],
            "comfyui",
        ),
        app("redis-worker-openai-0", &["redis-worker"], "openai"),
        app("redis-worker-openai-1", &["redis-worker"], "openai"),
    ];
    project.write("pm2.json", &json!({ "apps": apps }).to_string());
    let list = daemon.start(&project.path("pm2.json"), 4);
    project.write("jlist.json", &Value::from(list).to_string());
    daemon.run(&["save"]);
    // PM2 puts variables of its own beside those of the apps.
    for (file, name) in [("jlist.json", "list"), ("home/dump.pm2", "dump")] {
        let document = json(&project, &format!("import ecosystem {file} --name {name} --out ."));
        assert_eq!((&document["exit"], &document["result"]["open"]), (&0.into(), &0.into()), "{document:#}");
        assert_eq!(document["result"]["machines"][0]["roster"], "comfyui:1,openai:2");
        let plan = machine(&project, &format!("plan {name} --gpus 1"));
        assert_eq!(plan["services"][0][2]["http"], 9000);
    }
}

#[test]
fn the_commands_of_the_page_of_migration_can_be_typed() {
    if !is_there("node") {
        return;
    }
    let project = Project::shipped();
    copy(&repository().join("docs/examples/old-machine"), &project.path("old-machine"));
    type_page(&project, "docs/migration.md", &[]);
}
