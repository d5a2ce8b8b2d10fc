//! Whole runs that people can read: one folder a story. `command.txt` says what to plan, `machine.json` on what,
//! `secrets.env` with which secrets (none of them is one); the other files are what comes out of it.
//!
//! `UPDATE_GOLDENS=1 cargo test -p roster-planner` writes them anew; read the difference before you commit it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use super::support::Project;

/// What a story tells, and what `env-build` calls it. `talk.txt` is what `plan` says beside the plan.
const FILES: [(&str, &str); 4] = [
    ("env", ".env"),
    ("env.secret", ".env.secret"),
    ("docker-compose.yaml", "docker-compose.yaml"),
    ("ecosystem.json", "ecosystem.json"),
];

#[test]
fn every_story_comes_out_as_it_is_told() {
    let update = env::var_os("UPDATE_GOLDENS").is_some();
    let mut wrong = Vec::new();
    for name in names() {
        let (_, told) = tell(&name);
        for (file, text) in told {
            let path = folder(&name).join(file);
            match (&text, update) {
                (Some(text), true) => fs::write(&path, text).unwrap(),
                (None, true) => drop(fs::remove_file(&path)),
                (_, false) if fs::read_to_string(&path).ok() == text => {}
                (_, false) => {
                    let text = text.as_deref().unwrap_or("nothing");
                    wrong.push(format!("{} is not what comes out now:\n{text}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a story: the project afterwards, and its files by the names that the story gives them.
fn tell(name: &str) -> (Project, Vec<(&'static str, Option<String>)>) {
    let given = |file: &str| fs::read_to_string(folder(name).join(file)).ok();
    let mut project = Project::shipped();
    for line in given("process.env").iter().flat_map(|it| it.lines()) {
        let (key, value) = line.split_once('=').expect("KEY=value");
        project = project.with(key, value);
    }
    if let Some(secrets) = given("secrets.env") {
        project.write("config/environments/secrets/local.env", secrets);
    }
    let mut command = given("command.txt").expect("a story says what to plan");
    if let Some(machine) = given("machine.json") {
        project.write("machine.json", machine);
        command = format!("{command} --inventory {}", project.path("machine.json").display());
    }
    let plan = project.ok(&format!("plan {command} --color never"));
    project.ok(&format!("env-build {command}"));
    let written = FILES.map(|(told, file)| (told, fs::read_to_string(project.path(file)).ok()));
    let talk = Some(plan.talk).filter(|it| it != "Nothing was written.\n");
    let told = [("plan.txt", Some(plan.out)), ("talk.txt", talk)].into_iter().chain(written);
    (project, told.collect())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories").join(name)
}

fn names() -> Vec<String> {
    let stories = fs::read_dir(folder("")).expect("there are stories");
    let mut names: Vec<_> =
        stories.map(|it| it.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// The services and the workers of a story, each with the GPU that it is on.
fn processes(name: &str) -> (Vec<String>, Vec<String>) {
    let (project, told) = tell(name);
    let ecosystem = told.iter().find(|it| it.0 == "ecosystem.json").and_then(|it| it.1.as_deref());
    let ecosystem: Value = serde_json::from_str(ecosystem.expect("an ecosystem")).unwrap();
    let plan: Value = serde_json::from_str(&project.read(".roster/current/plan.json")).unwrap();
    let device = |name: &str| {
        let service = plan["services"].as_array().unwrap().iter().find(|it| it["name"] == name);
        service.and_then(|it| it["device"].as_str()).map(|it| format!(" ({it})")).unwrap_or_default()
    };
    let of_kind = |kind: &str| {
        let apps = ecosystem["apps"].as_array().unwrap().iter().filter(|it| it["roster"]["kind"] == kind);
        apps.map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let workers = of_kind("worker").into_iter().map(|name| {
        let parts = plan["workers"].as_array().unwrap();
        let part = parts.iter().find(|it| it["name"] == *name).unwrap();
        let on = part["works_on"].as_str().map(device).unwrap_or_default();
        name + &on
    });
    (of_kind("service"), workers.collect())
}

/// The text of the seeds: section 3.2, "Resource Allocation Examples", and section 5.1.
#[test]
fn the_processes_have_the_names_that_the_seeds_gave_them() {
    let (services, workers) = processes("four-comfyui-workers-on-two-gpus");
    assert_eq!(services.join(", "), "comfyui-gpu0, comfyui-gpu1");
    assert_eq!(
        workers.join(", "),
        "comfyui-worker-0 (gpu0), comfyui-worker-1 (gpu1), comfyui-worker-2 (gpu0), comfyui-worker-3 (gpu1)"
    );
    let (services, workers) = processes("mixed-workload-with-a-browser");
    assert_eq!(services.join(", "), "comfyui-gpu0, comfyui-gpu1, playwright-service");
    assert_eq!(
        workers.join(", "),
        "comfyui-worker-0 (gpu0), comfyui-worker-1 (gpu1), \
         openai-worker-0, openai-worker-1, openai-worker-2, openai-worker-3, openai-worker-4, openai-worker-5, \
         playwright-worker-0"
    );
    let (services, workers) = processes("mixed-workload");
    assert_eq!(services.join(", "), "comfyui-gpu0, comfyui-gpu1");
    assert_eq!(
        workers.join(", "),
        "comfyui-worker-0 (gpu0), comfyui-worker-1 (gpu1), \
         openai-worker-0, openai-worker-1, openai-worker-2, openai-worker-3"
    );
    for story in ["api-gateway", "bare-roster"] {
        let (services, workers) = processes(story);
        assert!(services.is_empty(), "{services:?}");
        let openai = (0..10).map(|it| format!("openai-worker-{it}"));
        let replicate = (0..5).map(|it| format!("replicate-worker-{it}"));
        assert_eq!(workers, openai.chain(replicate).collect::<Vec<_>>());
    }
}

#[test]
fn the_old_form_is_told_its_exact_rewrite() {
    let (project, _) = tell("the-old-form");
    let told = project.json("plan api-only --spec openai:10:shared --gpus 0");
    let fixes: Vec<_> =
        told["findings"].as_array().unwrap().iter().filter_map(|it| it["fix"].as_str()).collect();
    assert!(fixes.contains(&"write `openai:10`"), "{fixes:?}");
    let written =
        project.read(".env") + &project.read("docker-compose.yaml") + &project.read("ecosystem.json");
    assert!(!written.contains(":shared"), "the old form is never emitted");
}
