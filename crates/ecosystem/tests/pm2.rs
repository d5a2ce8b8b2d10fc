//! Real PM2 loads the document and runs exactly the planned processes.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

#[path = "pm2/daemon.rs"]
mod daemon;
mod support;

use std::collections::BTreeMap;
use std::fs;

use daemon::{Daemon, stand_in};
use ecosystem::lower;
use serde_json::Value;
use spec::model::InventoryOrigin;

#[test]
fn pm2_runs_exactly_the_planned_processes() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let Some(daemon) = Daemon::find(at("home"), &at("bin")) else { return };
    let workspace = at("work space");
    let roster = "comfyui:3,openai:2,playwright:1,openai-shared:4";
    let plan = support::plan("m1", workspace.to_str().unwrap(), roster, 2, InventoryOrigin::Declared);
    let value = "a # \"b\" 'c' $D ${E} \\\n=é";
    let public = BTreeMap::from([(support::key("COMFYUI_LOG_LEVEL"), value.to_owned())]);
    let ecosystem = lower(&plan, &public).unwrap();
    for app in &ecosystem.apps {
        stand_in(&at("bin").join(&app.script));
        fs::create_dir_all(&app.cwd).unwrap();
    }
    let document = at("ecosystem.json");
    fs::write(&document, ecosystem.to_json()).unwrap();
    let list = daemon.start(&document, ecosystem.apps.len());

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
