//! What is in force, what was, and what others own: through the command line, in a folder.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use spec::notes::Exit;

use super::support::{Project, codes, snapshot};

/// What the links at an output root show: mode and bytes of everything that is in force.
fn in_force(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let linked = [".env", ".env.secret", "docker-compose.yaml", "ecosystem.json"];
    let linked = linked.into_iter().filter(|it| root.join(it).symlink_metadata().is_ok());
    let mut shown: BTreeMap<_, _> = linked
        .map(|it| {
            let path = root.join(it);
            let mode = path.metadata().expect("no link dangles").permissions().mode();
            (PathBuf::from(it), (mode, fs::read(&path).expect("it can be read")))
        })
        .collect();
    let current = root.join(".roster/current").canonicalize().expect("something is in force");
    shown.extend(
        snapshot(&current)
            .into_iter()
            .map(|(path, (mode, _, bytes))| (Path::new("current").join(path), (mode, bytes))),
    );
    shown
}

#[test]
fn rollback_restores_bit_for_bit_and_env_build_goes_forward_again() {
    let project = Project::shipped();
    project.write("config/environments/secrets/local.env", "OPENAI_API_KEY=fake-one\n");
    project.ok("env-build mixed-workload");
    let first = in_force(project.root());
    project.write("config/environments/secrets/local.env", "OPENAI_API_KEY=fake-two\n");
    project.ok("env-build mixed-workload");
    let second = in_force(project.root());
    project.ok("env-build simulation");
    let third = in_force(project.root());
    assert!(first != second && second != third);
    assert!(!third.contains_key(Path::new(".env.secret")), "no secret, no link");

    project.ok("rollback");
    assert_eq!(in_force(project.root()), second);
    let told = project.json("rollback");
    assert_eq!(in_force(project.root()), first);
    assert_eq!(project.run("rollback").exit, Exit::Error, "there is none before the first");
    let newest = fs::read_to_string(project.path(".roster/history")).unwrap();
    let newest = newest.lines().last().unwrap();
    project.ok(&format!("rollback --to {newest}"));
    assert_eq!(in_force(project.root()), third);
    assert_eq!(
        told["result"]["to"],
        fs::read_to_string(project.path(".roster/history")).unwrap().lines().next().unwrap()
    );
    assert!(project.ok(&format!("rollback --to {newest}")).talk.contains("no change"));

    project.ok("env-build mixed-workload");
    assert_eq!(in_force(project.root()), second);
    assert!(project.ok("env-build mixed-workload").talk.contains("No change"));
    assert!(project.ok("env-build").talk.contains("No change"), "left out, it is what was built last");
}

#[test]
fn a_second_build_is_byte_identical_and_says_so() {
    let project = Project::shipped();
    for profile in ["dev-full", "full-local", "gpu-mixed", "mixed-workload", "simulation"] {
        project.ok(&format!("env-build {profile}"));
        let before = snapshot(project.root());
        let again = project.ok(&format!("env-build --profile {profile}"));
        assert!(again.talk.contains("No change"), "{profile}: {}", again.talk);
        assert_eq!(project.json(&format!("env-build {profile}"))["result"]["changed"], false);
        assert_eq!(snapshot(project.root()), before, "{profile}");
    }
}

#[test]
fn a_file_of_others_is_refused_and_kept_by_force() {
    let project = Project::shipped();
    project.write(".env", "MINE=1\n");
    symlink("/nowhere", project.path("ecosystem.json")).unwrap();
    let before = snapshot(project.root());
    let told = project.json("env-build simulation");
    assert_eq!((codes(&told), &told["exit"]), (vec!["GEN001", "GEN001"], &1.into()));
    assert_eq!(snapshot(project.root()), before);

    project.ok("env-build simulation --force");
    assert_eq!(project.read(".env.before-roster"), "MINE=1\n");
    assert_eq!(fs::read_link(project.path("ecosystem.json.before-roster")).unwrap(), Path::new("/nowhere"));
    assert!(project.read(".env").contains("WORKER_CONNECTORS=simulation:4"));
    // Only once: what is there now is ours.
    assert!(project.ok("env-build simulation --force").talk.contains("No change"));
    assert!(!project.path(".env.before-roster-2").exists());
}

#[test]
fn an_edited_file_is_refused_by_name_and_restored_by_force() {
    let project = Project::shipped();
    project.ok("env-build mixed-workload");
    let before = in_force(project.root());
    for file in [".env", "docker-compose.yaml", "ecosystem.json", ".env.secret", "secrets/OPENAI_API_KEY"] {
        let path = project.path(".roster/current").join(file);
        let mode = path.metadata().unwrap().permissions();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "edited: true\n").unwrap();
        fs::set_permissions(&path, mode).unwrap();
        for (line, exit) in
            [("env-build mixed-workload", 1), ("env-build simulation", 1), ("check mixed-workload", 1)]
        {
            let told = project.json(line);
            assert!(codes(&told).contains(&"GEN002"), "{line}: {told}");
            assert_eq!(told["exit"], exit, "{line}");
        }
        assert_eq!(project.json("env-build mixed-workload --check")["exit"], 2);
        assert_eq!(fs::read(&path).unwrap(), b"edited: true\n", "{file}: nothing was restored unasked");
        project.ok("env-build mixed-workload --force");
        assert_eq!(in_force(project.root()), before, "{file}");
    }
    // A secret that everybody may read is not what was generated either.
    fs::set_permissions(project.path(".roster/current/.env.secret"), fs::Permissions::from_mode(0o644))
        .unwrap();
    assert_eq!(project.run("env-build mixed-workload").exit, Exit::Error);
    project.ok("env-build mixed-workload --force");
    assert_eq!(in_force(project.root()), before);
}

#[test]
fn builds_at_once_leave_one_of_the_sets_and_whoever_lost_is_told() {
    let project = Project::shipped();
    let complete = |profile: &str| {
        project.ok(&format!("env-build {profile} --out alone"));
        in_force(&project.path("alone"))
    };
    let sets = [complete("mixed-workload"), complete("simulation")];
    for round in 0..8 {
        let out = format!("round-{round}");
        let told: Vec<_> = thread::scope(|scope| {
            let run = |profile: &str| {
                let (project, line) = (&project, format!("env-build {profile} --out {out}"));
                scope.spawn(move || project.json(&line))
            };
            let builds: Vec<_> = (0..4).map(|it| run(["mixed-workload", "simulation"][it % 2])).collect();
            builds.into_iter().map(|it| it.join().expect("no build panics")).collect()
        });
        for it in &told {
            assert!(it["exit"] == 0 || codes(it) == ["GEN003"], "{it}");
        }
        assert!(told.iter().any(|it| it["exit"] == 0), "somebody wins");
        assert!(sets.contains(&in_force(&project.path(&out))), "what is in force is one complete set");
    }
}

#[test]
fn what_is_written_elsewhere_is_a_compose_project_there() {
    let project = Project::shipped();
    project.ok("env-build mixed-workload --out built/here");
    project.ok("compose-profile openai:1 --name api --out built/here");
    let out = project.path("built/here");
    assert!(!project.path(".env").exists() && !project.path(".roster").exists());
    assert!(fs::read_to_string(out.join(".env")).unwrap().contains("WORKER_CONNECTORS=comfyui:2,openai:4"));

    let tools = env::var_os("ROSTER_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
    let compose = tools.join("venv/bin/docker-compose");
    if !compose.exists() {
        let told = "not run: docker-compose is missing; cargo xtask setup installs it";
        assert!(env::var_os("CI").is_none_or(|it| it != "true"), "{told}");
        eprintln!("{told}");
        return;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&compose);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &out)
            .current_dir(&out);
        let output = command.args(arguments).output().expect("docker-compose starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["config", "-q"]);
    let expanded = run(&["--profile", "api", "config", "--format", "json"]);
    let expanded: serde_json::Value = serde_json::from_str(&expanded).unwrap();
    let machine = &expanded["services"]["machine"];
    assert_eq!(machine["environment"]["WORKER_CONNECTORS"], "comfyui:2,openai:4");
    assert_eq!(expanded["services"]["api"]["environment"]["WORKER_CONNECTORS"], "openai:1");
    assert_eq!(machine["build"]["context"], project.root().canonicalize().unwrap().to_str().unwrap());
    for it in expanded["secrets"]
        .as_object()
        .unwrap()
        .values()
        .chain(expanded["configs"].as_object().unwrap().values())
    {
        assert!(Path::new(it["file"].as_str().unwrap()).is_file(), "{it}");
    }
}
