//! The ecosystem of every shipped profile, run by our supervisor and by PM2: the same processes, with the same
//! environment, and all of them run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Machine, until};
use crate::daemon::{Daemon, stand_in};
use crate::support::{Project, told};

/// What profiles ask for and the repository cannot know.
const OUTSIDE: [(&str, &str); 11] = [
    ("COMFYUI_REMOTE_URL", "http://gpu-box:8188"),
    ("COMFYUI_REMOTE_TOKEN", "canary-comfyui"),
    ("OPENAI_API_KEY", "canary-openai"),
    ("REPLICATE_API_TOKEN", "canary-replicate"),
    ("RUNPOD_API_KEY", "canary-runpod"),
    ("HF_TOKEN", "canary-hf"),
    ("HUB_REDIS_URL", "redis://hub.example"),
    ("STAGING_REDIS_URL", "redis://staging.example"),
    ("PROD_REDIS_URL", "redis://prod.example"),
    ("STORAGE_ACCESS_KEY_ID", "canary-storage"),
    ("STORAGE_SECRET_ACCESS_KEY", "canary-secret"),
];

/// A process: its variables that the document names.
type Processes = BTreeMap<String, BTreeMap<String, String>>;

/// The document with programs that can run here: for each the stand-in, for what is installed first `true`. Nobody
/// answers probes then, and nobody listens on ports.
fn with_stand_ins(mut document: Value, program: &Path) -> Value {
    for (list, program) in [("apps", program), ("setup", Path::new("/bin/true"))] {
        for app in document[list].as_array_mut().unwrap() {
            fs::create_dir_all(app["cwd"].as_str().unwrap()).unwrap();
            app["script"] = json!(program);
            let role = app["roster"].as_object_mut().unwrap();
            role.retain(|key, _| !matches!(key.as_str(), "probes" | "ready_within_s" | "ports" | "gpu"));
        }
    }
    document
}

fn planned(document: &Value) -> Processes {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let app = |app: &Value| {
        let env = app["env"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value)));
        (text(&app["name"]), env.collect())
    };
    document["apps"].as_array().unwrap().iter().map(app).collect()
}

/// What a process that runs was given, of the variables in `keys`.
fn given(pid: u64, keys: &BTreeSet<&String>) -> BTreeMap<String, String> {
    let mut environment = Vec::new();
    // It is empty while a program takes the place of another.
    until("a program has an environment", || {
        environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        !environment.is_empty()
    });
    let pairs =
        environment.split(|it| *it == 0).filter_map(|it| std::str::from_utf8(it).ok()?.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pairs.filter(|(key, _)| keys.contains(key)).collect()
}

#[test]
fn every_profile_has_the_same_processes_under_pm2() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let Some(daemon) = Daemon::find(at("home"), &at("bin")) else { return };
    let program = at("bin").join("stand-in");
    stand_in(&program);
    let project = Project::shipped();
    let profiles = fs::read_dir(project.path("config/environments/profiles")).unwrap();
    let names = profiles.map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    for profile in names.collect::<BTreeSet<_>>() {
        let machine = Machine::new(&[]);
        let mut build = project.roster(&format!("env-build {profile} --gpus 2 --out"));
        build.arg(at("out").join(&profile)).envs(OUTSIDE).env("MACHINE_WORKSPACE", at("workspace"));
        let (_, talk, exit) = told(&build.output().unwrap());
        assert_eq!(exit, Some(0), "{profile}: {talk}");
        let document = fs::read_to_string(at("out").join(&profile).join("ecosystem.json")).unwrap();
        let document = with_stand_ins(serde_json::from_str(&document).unwrap(), &program);
        let (planned, path) = (planned(&document), machine.path("ecosystem.json"));
        fs::write(&path, document.to_string()).unwrap();
        let seen = |processes: &mut dyn Iterator<Item = (&Value, &Value)>| -> Processes {
            let all = processes.map(|(name, pid)| {
                let name = name.as_str().unwrap();
                let keys = planned.get(name).into_iter().flat_map(BTreeMap::keys).collect();
                (name.to_owned(), given(pid.as_u64().unwrap(), &keys))
            });
            all.collect()
        };

        let mut up = machine.up();
        up.wait_all(&planned.keys().map(String::as_str).collect::<Vec<_>>(), "healthy");
        let (out, _, _) = machine.ask("ps --json");
        let said: Value = serde_json::from_str(&out).unwrap();
        let live = said["result"]["processes"].as_array().unwrap().iter().filter(|it| it["pid"].is_u64());
        let ours = seen(&mut live.map(|it| (&it["name"], &it["pid"])));

        let list = daemon.start(&path, planned.len());
        let theirs = seen(&mut list.iter().map(|it| (&it["name"], &it["pid"])));
        daemon.run(&["delete", "all"]);
        assert_eq!(up.stop().0, Some(0), "{profile}");
        assert_eq!(ours, planned, "{profile}");
        assert_eq!(theirs, planned, "{profile}");
    }
}
