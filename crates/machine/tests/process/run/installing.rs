//! A machine that installs its service first.

use super::*;

/// Makes a folder a repository with one commit; its address.
pub fn repository(folder: &std::path::Path) -> String {
    let git = |words: &[&str]| {
        let words = ["-c", "user.name=t", "-c", "user.email=t@t"].iter().chain(words);
        let mut command = Command::new("git");
        // A hook of git's has these, and they mean the repository that it is a hook of.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        assert!(command.current_dir(folder).args(words).status().unwrap().success());
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=it"]);
    format!("file://{}", folder.display())
}

#[test]
fn the_health_server_tells_how_far_an_install_is_why_it_failed_and_that_it_is_done() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (gate, works) = (elsewhere.path().join("gate"), elsewhere.path().join("works"));
    let program = elsewhere.path().join("program");
    fs::create_dir_all(&program).unwrap();
    fs::write(program.join("main.py"), "").unwrap();
    let url = repository(&program);
    // One command waits for the test, so that the middle of the install can be looked at for as long as it takes.
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let probe = format!("echo the model is missing; test -e {}", works.display());
    let mut machine = Machine::with(|mapping| {
        mapping["services"]["simulation"]["install"] = json!({
            "source": { "git": { "url": url } },
            "commands": [["sh", "-c", wait]],
            "probe": ["sh", "-c", probe],
        });
    });
    machine.redis.start();
    let mut up = machine.run();
    let seen = || machine.service("simulation-service-0");
    let says = |text: &str| {
        until(text, || {
            seen()["cause"]
                .as_array()
                .is_some_and(|it| it.iter().any(|it| it.as_str().unwrap().contains(text)))
        });
    };

    says("command 1");
    let service = seen();
    assert_eq!(
        (&service["state"], &service["installed"]),
        (&json!("not_installed"), &json!(false)),
        "{service}"
    );
    let cause = service["cause"][0].as_str().unwrap();
    let percent: u8 = cause.rsplit(' ').next().unwrap().trim_end_matches('%').parse().unwrap();
    assert!((1..100).contains(&percent), "{cause}");
    let known = machine.status()["machine"].clone();
    assert_eq!((&known["stage"], &known["doing"]), (&json!("shared_setup"), &json!("command 1")), "{known}");
    assert!((31..60).contains(&known["percent"].as_u64().unwrap()), "{known}");
    assert_eq!(machine.get("/live").unwrap().0, 200);

    fs::write(&gate, "").unwrap();
    says("its install failed at `probe`");
    let service = seen();
    assert_eq!(service["state"], "not_installed", "{service}");
    assert!(service["cause"].to_string().contains("the model is missing"), "its output: {service}");
    assert!(service["next"].as_str().unwrap().starts_with("Mend what its last lines speak of"), "{service}");
    let (out, _, _) = machine.ask("status");
    assert!(out.contains("not_installed") && out.contains("the model is missing"), "{out}");

    fs::write(&works, "").unwrap();
    let (_, talk, exit) = machine.ask("start simulation-install");
    assert_eq!(exit, Some(0), "{talk}");
    machine.wait_ready();
    assert_eq!((seen()["state"].clone(), seen()["installed"].clone()), (json!("healthy"), json!(true)));
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn an_install_that_cannot_be_read_is_told_with_the_place_and_the_fix() {
    let elsewhere = tempfile::tempdir().unwrap();
    let nodes = elsewhere.path().join("nodes.json");
    fs::write(&nodes, r#"{"custom_nodes":[{"name":"../up","url":"https://h/a"}]}"#).unwrap();
    let mut machine = Machine::with(|mapping| {
        mapping["services"]["simulation"]["install"] = json!({
            "source": { "directory": { "path": elsewhere.path() } },
            "nodes": { "file": nodes, "folder": "nodes" },
            "probe": ["true"],
        });
    });
    machine.redis.start();
    let mut up = machine.run();
    until("it is told", || {
        let cause = machine.service("simulation-service-0")["cause"].to_string();
        cause.contains("failed at `read`") && cause.contains("nodes.json:1:")
    });
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn an_install_by_hand_is_where_the_machine_looks_for_it() {
    let program = tempfile::tempdir().unwrap();
    fs::write(program.path().join("main.py"), "").unwrap();
    let machine = Machine::with(|mapping| {
        mapping["services"]["simulation"]["install"] = json!({
            "source": { "directory": { "path": program.path() } },
            "probe": ["true"],
        });
    });
    let (out, talk, exit) = machine.ask("install apply");
    assert_eq!(exit, Some(0), "{out}{talk}");
    assert!(machine.path(".roster/workspace/installs/simulation/current/source/main.py").exists());
    let (out, _, _) = machine.ask("install status");
    assert_eq!(out, "simulation: installed\n");
}
