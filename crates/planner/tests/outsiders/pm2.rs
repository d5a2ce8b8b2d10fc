//! Real PM2 loads the ecosystem of every shipped profile and runs exactly what was planned.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::project::{Project, items, json_of};
use crate::say;

#[path = "../../../ecosystem/tests/pm2/daemon.rs"]
mod daemon;

use daemon::{Daemon, stand_in};

#[test]
fn pm2_runs_every_profile() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let Some(daemon) = Daemon::find(at("home"), &at("bin")) else { return };
    let mut project = Project::shipped();
    let mut processes = 0;
    for profile in project.profiles() {
        let (workspace, out) = (at(&profile), at("out").join(&profile));
        project
            .environment
            .insert("MACHINE_WORKSPACE".parse().unwrap(), workspace.to_str().unwrap().to_owned());
        let answer = project.run(&["env-build", &profile, "--out", out.to_str().unwrap()]);
        assert_eq!(answer.exit.code(), 0, "{profile}: {}", answer.talk);
        let ecosystem = json_of(&out.join("ecosystem.json"));
        let names = |list: &mut dyn Iterator<Item = &Value>| {
            let mut names: Vec<String> = list.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        for app in items(&ecosystem["apps"]) {
            let script = Path::new(app["script"].as_str().unwrap());
            // An absolute path stays as it is.
            stand_in(&at("bin").join(script));
            assert!(app["cwd"].as_str().unwrap().starts_with(workspace.to_str().unwrap()), "{app:#}");
            fs::create_dir_all(app["cwd"].as_str().unwrap()).unwrap();
        }
        let plan = json_of(&out.join(".roster/current/plan.json"));
        let planned = names(&mut items(&plan["services"]).chain(items(&plan["workers"])));
        let list = daemon.start(&out.join("ecosystem.json"), planned.len());
        assert_eq!(names(&mut list.iter()), planned, "{profile}");
        for app in items(&ecosystem["apps"]) {
            let seen = list.iter().find(|it| it["name"] == app["name"]).unwrap();
            for (key, value) in crate::project::fields(&app["env"]) {
                assert_eq!(seen["pm2_env"]["env"][key], *value, "{profile}: {key} of {}", app["name"]);
            }
        }
        processes += planned.len();
        daemon.run(&["delete", "all"]);
    }
    say(&format!("pm2: {} profiles, {processes} processes online", project.profiles().len()));
}
