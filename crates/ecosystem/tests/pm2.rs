//! Real PM2 loads the document and runs exactly the planned processes.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ecosystem::{Ecosystem, lower};
use serde_json::Value;
use spec::model::InventoryOrigin;

/// PM2 as `cargo xtask setup` installs it; `None`, said aloud, where it is not. In CI that is a failure.
fn pm2() -> Option<PathBuf> {
    let tools = std::env::var_os("ROSTER_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
    let pm2 = tools.join("npm/node_modules/.bin/pm2");
    if pm2.exists() {
        return Some(pm2);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|it| it != "true"),
        "pm2 is missing; cargo xtask setup installs it"
    );
    eprintln!("not run: pm2 is missing; cargo xtask setup installs it");
    None
}

/// A PM2 of its own, ended with everything it started.
struct Daemon {
    pm2: PathBuf,
    home: PathBuf,
    path: String,
}

impl Daemon {
    fn run(&self, args: &[&str]) -> String {
        let (done, said) = self.try_run(args);
        assert!(done, "pm2 {args:?}: {said}");
        said
    }

    /// Whether it ended well, and what it said. Into a file: PM2's daemon keeps the pipes of whoever started it open.
    fn try_run(&self, args: &[&str]) -> (bool, String) {
        let said = self.home.join("said");
        let out = fs::File::create(&said).unwrap();
        let home = self.home.as_os_str();
        let status = Command::new(&self.pm2)
            .args(args)
            .env_clear()
            .envs([("PM2_HOME", home), ("HOME", home), ("PATH", self.path.as_ref())])
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap();
        (status.success(), fs::read_to_string(said).unwrap())
    }

    /// What PM2 says of its processes. It may talk before the list.
    fn list(&self) -> Vec<Value> {
        let said = self.run(&["jlist"]);
        let list =
            said.lines().find(|it| it.starts_with("[{") || *it == "[]").unwrap_or_else(|| panic!("{said}"));
        serde_json::from_str(list).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.try_run(&["kill"]);
    }
}

/// Programs under the names of the real ones: each stays until it is stopped.
fn stand_ins(folder: &Path, ecosystem: &Ecosystem) {
    fs::create_dir(folder).unwrap();
    for app in ecosystem.apps.iter().chain(&ecosystem.setup) {
        let mut file = OpenOptions::new();
        if let Ok(mut file) = file.write(true).create_new(true).mode(0o755).open(folder.join(&app.script)) {
            file.write_all(b"#!/bin/sh\nexec sleep 600\n").unwrap();
        }
    }
}

#[test]
fn pm2_runs_exactly_the_planned_processes() {
    let Some(pm2) = pm2() else { return };
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let workspace = at("work space");
    let roster = "comfyui:3,openai:2,playwright:1,openai-shared:4";
    let plan = support::plan("m1", workspace.to_str().unwrap(), roster, 2, InventoryOrigin::Declared);
    let value = "a # \"b\" 'c' $D ${E} \\\n=é";
    let public = BTreeMap::from([(support::key("COMFYUI_LOG_LEVEL"), value.to_owned())]);
    let ecosystem = lower(&plan, &public).unwrap();
    stand_ins(&at("bin"), &ecosystem);
    fs::create_dir(at("home")).unwrap();
    for app in &ecosystem.apps {
        fs::create_dir_all(&app.cwd).unwrap();
    }
    let document = at("ecosystem.json");
    fs::write(&document, ecosystem.to_json()).unwrap();

    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let daemon = Daemon { pm2, home: at("home"), path };
    daemon.run(&["start", document.to_str().unwrap()]);

    let deadline = Instant::now() + Duration::from_mins(1);
    let runs =
        |it: &Value| it["pm2_env"]["status"] == "online" && it["pid"].as_u64().is_some_and(|pid| pid > 0);
    let list = loop {
        let list = daemon.list();
        if list.len() >= ecosystem.apps.len() && list.iter().all(runs) {
            break list;
        }
        assert!(Instant::now() < deadline, "{list:#?}");
    };

    let mut names: Vec<&str> = list.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let mut planned: Vec<&str> = ecosystem.apps.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    planned.sort_unstable();
    assert_eq!(names, planned);
    for app in &ecosystem.apps {
        let seen = &list.iter().find(|it| it["name"] == app.name.as_str()).unwrap()["pm2_env"];
        assert_eq!(seen["pm_cwd"], app.cwd.as_str());
        assert_eq!(seen["args"], Value::from(app.args.clone()));
        assert_eq!(seen["kill_timeout"], app.kill_timeout);
        assert_eq!(seen["max_memory_restart"].as_u64(), app.max_memory_restart);
        assert_eq!(seen["pm_out_log_path"], app.out_file.as_str());
        assert_eq!(seen["pm_err_log_path"], app.error_file.as_str());
        assert_eq!(seen["restart_time"], 0);
        for (key, value) in &app.env {
            assert_eq!(seen["env"][key.as_str()], value.as_str(), "{key} of {}", app.name);
        }
    }
}
