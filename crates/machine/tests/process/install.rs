//! `roster install`, as people and supervisors start it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::support::{Project, told};

/// A project whose machine installs a program `pretend` from a folder, with a probe of this exit code.
fn project(exit: u8) -> (Project, String) {
    let project = Project::shipped();
    let source = project.path("pretend");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("main.py"), "").unwrap();
    let order = json!({
        "service": "pretend",
        "workspace": project.path("workspace"),
        "install": {
            "source": { "directory": { "path": source } },
            "nodes": { "file": "nodes.json", "folder": "custom_nodes" },
            "probe": ["sh", "-c", format!("echo some last words; exit {exit}")],
        },
        "variables": ["PRETEND_KEY"],
    });
    (project, order.to_string())
}

fn run(project: &Project, order: &str, line: &str) -> (String, String, Option<i32>) {
    let mut command: Command = project.roster(line);
    told(&command.env("ROSTER_INSTALL", order).env("PRETEND_KEY", "canary-in-a-mine").output().unwrap())
}

fn answer(project: &Project, order: &str, line: &str) -> Value {
    let (out, talk, exit) = run(project, order, &format!("{line} --json"));
    assert_eq!(talk, "", "{line}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["exit"].as_i64(), exit.map(i64::from), "{line}");
    document
}

#[test]
fn what_is_to_be_done_is_shown_then_done_then_nothing() {
    let (project, order) = project(0);
    let (out, _, exit) = run(&project, &order, "install status");
    assert_eq!((out.as_str(), exit), ("pretend: not installed\n", Some(5)));
    let (out, _, exit) = run(&project, &order, "install plan");
    assert_eq!(
        (out.as_str(), exit),
        ("pretend: 4 steps\n  fetch core\n  place core\n  probe\n  switch\n", Some(0))
    );
    let (out, talk, exit) = run(&project, &order, "install apply pretend");
    assert_eq!((out.as_str(), exit), ("pretend: installed (4 steps)\n", Some(0)), "{talk}");
    assert!(talk.contains("pretend: fetch core\n"), "a line a step, away from a terminal: {talk}");
    assert!(project.path("workspace/installs/pretend/current/source/main.py").exists());
    for (line, expected) in [
        ("install apply", "pretend: nothing to do\n"),
        ("install plan", "pretend: nothing to do\n"),
        ("install status", "pretend: installed\n"),
        ("install update", "pretend: everything is the newest there is\n"),
        ("install verify", "pretend: as it was installed\n"),
    ] {
        assert_eq!(run(&project, &order, line), (expected.into(), String::new(), Some(0)), "{line}");
    }
    fs::write(project.path("pretend/more.py"), "").unwrap();
    assert_eq!(answer(&project, &order, "install update --check")["exit"], 2, "something is newer");
    assert_eq!(answer(&project, &order, "install update")["result"]["services"][0]["rolled_back"], false);
    assert!(project.path("workspace/installs/pretend/current/source/more.py").exists());
    assert_eq!(answer(&project, &order, "install update --back")["exit"], 0);
}

#[test]
fn a_step_that_fails_is_told_with_its_output_and_its_fix_and_with_no_secret() {
    let (project, order) = project(3);
    fs::create_dir_all(project.path("workspace")).unwrap();
    let nodes = r#"{"custom_nodes":[{"name":"n","url":"file:///nowhere","env":{"K":"${PRETEND_KEY}"},"on_failure":"skip"}]}"#;
    fs::write(project.path("workspace/nodes.json"), nodes).unwrap();
    let (out, talk, exit) = run(&project, &order, "install apply");
    assert_eq!(exit, Some(1));
    assert!(out.starts_with("pretend: not installed; 1 of"), "{out}");
    for expected in ["error[INSTALL013]", "some last words", "note[INSTALL019]"] {
        assert!(talk.contains(expected), "{talk}");
    }
    let document = answer(&project, &order, "install status");
    let failed = &document["result"]["services"][0]["status"]["failed"];
    assert_eq!((&failed["step"], &failed["code"]), (&json!("probe"), &json!("INSTALL013")));
    assert_eq!(failed["output"], "some last words");
    assert!(failed["fix"].as_str().is_some_and(|it| !it.is_empty()));
    assert!(!format!("{out}{talk}{document}").contains("canary"));
}

#[test]
fn what_is_installed_comes_from_the_ecosystem() {
    let project = Project::shipped();
    let (_, talk, exit) = told(&project.run("ecosystem --spec playwright:1,simulation:1 --gpus 0"));
    assert_eq!(exit, Some(0), "{talk}");
    let (document, _, _) = told(&project.run("ecosystem --spec playwright:1,simulation:1 --gpus 0"));
    fs::write(project.path("ecosystem.json"), document).unwrap();
    let (out, talk, exit) = told(&project.run("install plan"));
    assert_eq!(exit, Some(0), "{talk}");
    assert!(out.starts_with("playwright: "), "{out}");
    let (_, talk, exit) = told(&project.run("install plan comfyui"));
    assert_eq!(exit, Some(1));
    assert!(talk.contains("`comfyui` is not installed on this machine; it installs playwright"), "{talk}");
    let (_, talk, exit) = told(&project.roster("install plan").current_dir("/").output().unwrap());
    assert_eq!(exit, Some(1));
    assert!(talk.contains("INSTALL005"), "{talk}");
}
