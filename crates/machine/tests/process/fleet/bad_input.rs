//! What is wrong with one process is said about that process, with what to do; the others run.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Machine, app, living};
use crate::support::{is_there, told};

#[test]
fn a_process_that_cannot_run_says_why_and_how_to_mend_it_and_the_others_run() {
    let machine = Machine::new(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let plain = machine.path("plain");
    fs::write(&plain, "no program").unwrap();
    fs::set_permissions(&plain, Permissions::from_mode(0o644)).unwrap();
    let with = |name: &str, edit: &dyn Fn(&mut Value)| {
        let mut app = living(name);
        edit(&mut app);
        app
    };
    machine.write(&[
        with("a-missing", &|it| it["script"] = json!("/no/such/program")),
        with("b-unknown", &|it| it["script"] = json!("no-such-program")),
        with("c-no-program", &|it| it["script"] = json!(plain)),
        with("d-nowhere", &|it| it["cwd"] = json!("/no/such/folder")),
        with("e-port", &|it| it["roster"]["ports"] = json!({ "http": port })),
        with("f-silent", &|it| it["out_file"] = json!("/proc/f.log")),
        app("g-crashes", "exit 7"),
        with("h-waits", &|it| {
            it["roster"]["depends_on"] = json!([{ "name": "a-missing", "until": "ready" }]);
        }),
        living("i-fine"),
    ]);
    // The log of `f` is where the document says, so nothing is moved.
    let document = fs::read_to_string(machine.path("ecosystem.json")).unwrap();
    let logs = machine.path("logs").display().to_string();
    fs::write(machine.path("ecosystem.json"), document.replace("/logs", &logs)).unwrap();
    let mut up = machine.started("up --json");
    let names = ["a-missing", "b-unknown", "c-no-program", "d-nowhere", "e-port", "f-silent", "g-crashes"];
    let failed = up.wait_all(&names, "failed");
    let own = format!("pid {} ", std::process::id());
    let said: Vec<String> = failed
        .iter()
        .map(|it| {
            let fix = it["fix"].as_str().map(|it| format!("\n  {it}")).unwrap_or_default();
            format!("{} {}{fix}", it["process"], it["why"].as_str().unwrap())
        })
        .collect();
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    let said = said.join("\n").replace(&machine.path("").display().to_string(), "HERE/");
    let said =
        said.replace(&own, "pid 1 ").replace(&port.to_string(), "8188").replace(comm.trim_end(), "tests");
    let said = said.replace(&std::env::var("PATH").unwrap(), "…");
    assert_snapshot!(said, @r#"
    "a-missing" could not be started: its program `/no/such/program` does not exist: install it, or correct `script`
    "b-unknown" could not be started: its program `no-such-program` was not found in PATH (…)
    "c-no-program" could not be started: its program `HERE/plain` may not be run: no permission (is it an executable file?)
    "d-nowhere" could not be started: its working directory `/no/such/folder` does not exist: create it, or correct `cwd`
    "e-port" could not be started: its port 8188 is in use by pid 1 (tests)
      stop that one, or plan other ports and reload; it is started by itself once port 8188 is free
    "f-silent" could not be started: its log file `/proc/f.log` cannot be written: No such file or directory (os error 2)
      let this user write to `/proc`, or keep the logs elsewhere: `roster up --logs DIR`
    "g-crashes" ended with 7
      `roster logs g-crashes` shows what it said last
    "#);
    let waits = machine.seen("h-waits");
    assert_eq!(waits["state"], "blocked");
    assert_eq!(waits["fix"], "mend `a-missing` first; this one is started by itself then");
    assert_eq!(machine.state("i-fine"), "healthy");
    // What is mended comes up.
    drop(taken);
    let (out, _, exit) = machine.ask("start e-port");
    assert_eq!(exit, Some(0), "{out}");
    fs::set_permissions(&plain, Permissions::from_mode(0o755)).unwrap();
    fs::write(&plain, "#!/bin/sh\nexec sleep 600\n").unwrap();
    let (out, _, exit) = machine.ask("start c-no-program");
    assert_eq!(exit, Some(0), "{out}");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_log_folder_that_cannot_be_written_stops_nobody_else() {
    let machine = Machine::new(&[living("a-loud"), living("b-fine")]);
    let folder = machine.path("closed");
    fs::create_dir(&folder).unwrap();
    let document = fs::read_to_string(machine.path("ecosystem.json")).unwrap();
    let document = document.replace("/logs/a-loud", &format!("{}/a-loud", folder.display()));
    let document = document.replace("/logs", &machine.path("logs").display().to_string());
    fs::write(machine.path("ecosystem.json"), document).unwrap();
    // Root can write everywhere but on what is mounted read-only.
    let path = folder.display();
    let mount = format!("mount --bind {path} {path} && mount -o remount,ro,bind {path}");
    let mut command = Command::new("unshare");
    let run = format!("{mount} || exit 99; exec {} up --json", env!("CARGO_BIN_EXE_roster"));
    command.args(["--mount", "--map-root-user", "sh", "-c", &run]);
    let can = Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", &mount]).status();
    if !is_there("unshare") || !can.is_ok_and(|it| it.success()) {
        eprintln!("not run: this user cannot mount a folder read-only");
        return;
    }
    command.current_dir(machine.path("")).env("XDG_RUNTIME_DIR", machine.path("run"));
    let mut up = Machine::spawned(command);
    let failed = up.wait("a-loud", "failed");
    let why = failed["why"].as_str().unwrap();
    assert!(why.contains("its log file") && why.contains("Read-only"), "{why}");
    assert!(failed["fix"].as_str().unwrap().contains("`roster up --logs DIR`"), "{failed}");
    assert_eq!(machine.state("b-fine"), "healthy");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_document_with_faults_starts_nothing_and_tells_all_of_them() {
    let machine = Machine::new(&[]);
    let mut said = String::new();
    for edit in [
        (|it| it["unknown"] = json!(1)) as fn(&mut Value),
        |it| it["kill_timeout"] = json!("soon"),
        |it| it["cwd"] = json!("relative"),
        |it| it["roster"]["depends_on"] = json!([{ "name": "b", "until": "started" }]),
        |it| it["roster"]["depends_on"] = json!([{ "name": "a", "until": "ready" }]),
        |it| it["roster"]["stop_signal"] = json!("SIGKILL"),
    ] {
        let mut app = living("a");
        edit(&mut app);
        machine.write(&[app]);
        let (out, talk, exit) = machine.ask("up");
        assert_eq!((out.as_str(), exit), ("", Some(1)));
        let told: Vec<&str> =
            talk.lines().filter(|it| it.starts_with("error") || it.contains("= help")).collect();
        writeln!(said, "{}", told.join("\n")).unwrap();
    }
    assert_snapshot!(said, @r#"
    error[DOC001]: unknown field `unknown` in `apps[0]`
      = help: remove it, or use one of: args, autorestart, cwd, env, error_file, exec_mode, exp_backoff_restart_delay, interpreter, kill_timeout, max_memory_restart, max_restarts, merge_logs, min_uptime, name, out_file, roster, script, vizion
    error[DOC003]: `apps[0].kill_timeout` must be a whole number
      = help: write a whole number
    error[DOC003]: `apps[0].cwd` must be a text that matches ^/
      = help: write a text that matches ^/
    error[ECO002]: `a` waits for `b`, which is no process of this document
      = help: did you mean `a`?
    error[ECO003]: `a` → `a` wait for each other
      = help: remove one of these dependencies
    error[DOC003]: `apps[0].roster.stop_signal` must be one of: SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH
      = help: write one of: SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH
    "#);
    let (_, talk, exit) = machine.ask("up --ecosystem nowhere.json");
    assert!(exit == Some(1) && talk.contains("nowhere.json") && talk.contains("roster env-build"), "{talk}");
    assert!(!machine.socket().exists());
    let mut with_key = machine.command("up");
    machine.write(&[{
        let mut app = living("a");
        app["roster"]["environment"] = json!(["LOG_LEVEL"]);
        app
    }]);
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"canary-\xff");
    let (_, talk, exit) = told(&with_key.env::<_, &std::ffi::OsStr>("LOG_LEVEL", odd).output().unwrap());
    assert!(
        exit == Some(1) && talk.contains("`LOG_LEVEL` is not valid UTF-8") && !talk.contains("canary"),
        "{talk}"
    );
}
