//! Exit codes, streams, colours, completions and pages of the real program.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use super::support::{Project, is_there, told};

#[test]
fn every_exit_code_reaches_the_shell() {
    let project = Project::shipped();
    for (line, exit) in [
        ("plan simulation", 0),
        ("--help", 0),
        ("--version", 0),
        ("plan --help", 0),
        ("explain SUP001", 0),
        ("plan nowhere", 1),
        ("env-build simulation --check", 2),
        ("plan --spec comfyui:1 --gpus 0", 3),
        ("env-build api-only", 4),
        ("", 64),
        ("plan", 64),
        ("nonsense", 64),
        ("plan simulation --profile simulation", 64),
        ("plan --profile Nowhere/..", 64),
        ("plan simulation --gpus many", 64),
        ("plan simulation --gpus 1 --detect", 64),
        ("env-build simulation --check --force", 64),
        ("compose-profile", 64),
        ("rollback --to nonsense", 64),
    ] {
        assert_eq!(project.run(line).status.code(), Some(exit), "roster {line}");
    }
    let (_, talk, exit) = told(&project.roster("plan simulation").current_dir("/").output().unwrap());
    assert_eq!(exit, Some(1));
    assert!(talk.contains("CONF001") && talk.contains("--root"), "{talk}");
}

#[test]
fn data_is_on_standard_output_and_talk_on_standard_error() {
    let project = Project::shipped();
    let (out, talk, _) = told(&project.run("plan --spec openai:1:shared --gpus 0"));
    assert!(out.starts_with("Plan ") && !out.contains("note["), "{out}");
    assert!(talk.contains("note[MAP110]") && talk.ends_with("Nothing was written.\n"), "{talk}");
    let (out, talk, _) = told(&project.run("env-build simulation"));
    assert_eq!(out, "");
    assert!(talk.starts_with("Generation "), "{talk}");
    for line in
        ["plan simulation", "plan nowhere", "env-build api-only", "check", "explain 9090", "rollback", "plan"]
    {
        let (out, talk, exit) = told(&project.run(&format!("{line} --json")));
        assert_eq!(talk, "", "{line}");
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["exit"].as_i64(), exit.map(i64::from), "{line}");
    }
    // A reader that goes away is no fault.
    let mut child = project.roster("completions bash").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let project = Project::shipped();
    let coloured = |line: &str| told(&project.run(line)).1.contains('\u{1b}');
    assert!(!coloured("plan nowhere"));
    assert!(!coloured("plan nowhere --color never"));
    assert!(coloured("plan nowhere --color always"));
    if !is_there("script") {
        return;
    }
    // `script` gives the program a terminal.
    let on_terminal = |line: &str, no_colour: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{} {line}", env!("CARGO_BIN_EXE_roster")), "/dev/null"]);
        let mut run = project.started_by(script, "");
        run.env("TERM", "xterm").env("NO_COLOR", no_colour).stdin(Stdio::null());
        told(&run.output().unwrap()).0.contains('\u{1b}')
    };
    assert!(on_terminal("plan nowhere", ""));
    assert!(!on_terminal("plan nowhere", "1"));
    assert!(!on_terminal("plan nowhere --color never", ""));
}

#[test]
fn a_variable_that_is_not_text_is_named_and_not_shown() {
    let project = Project::shipped();
    let mut run = project.roster("env-build mixed-workload");
    let (_, talk, exit) =
        told(&run.env("OPENAI_API_KEY", OsStr::from_bytes(b"canary-\xff\xfe")).output().unwrap());
    assert_eq!(exit, Some(1));
    assert!(talk.contains("the environment variable `OPENAI_API_KEY` is not valid UTF-8"), "{talk}");
    assert!(!talk.contains("canary"), "{talk}");
}

#[test]
fn two_names_of_one_roster_that_differ_are_an_error_and_the_process_wins_over_documents() {
    let project = Project::shipped();
    let mut run = project.roster("plan simulation");
    let (_, talk, exit) =
        told(&run.env("WORKERS", "simulation:1").env("WORKER_CONNECTORS", "simulation:2").output().unwrap());
    assert_eq!(exit, Some(1));
    assert!(talk.contains("`WORKERS` and `WORKER_CONNECTORS` are both set and differ"), "{talk}");
    let (out, _, exit) =
        told(&project.roster("plan simulation").env("WORKER_CONNECTORS", "simulation:2").output().unwrap());
    assert_eq!(exit, Some(0));
    assert!(out.contains("simulation-worker-1") && !out.contains("simulation-worker-2"), "{out}");
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let project = Project::shipped();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (out, _, exit) = told(&project.run(&format!("completions {shell}")));
        assert_eq!(exit, Some(0), "{shell}");
        assert!(out.contains("compose-profile") && out.contains("inventory"), "{shell}");
        let path = project.path(&format!("roster.{shell}"));
        fs::write(&path, out).unwrap();
        if matches!(shell, "bash" | "zsh" | "fish") && is_there(shell) {
            let read = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", told(&read).1);
        }
    }
}

#[test]
fn the_pages_are_accepted_by_mandoc() {
    let project = Project::shipped();
    assert!(project.run("man --dir pages").status.success());
    let mut pages: Vec<_> =
        fs::read_dir(project.path("pages")).unwrap().map(|it| it.unwrap().path()).collect();
    pages.sort();
    assert_eq!(
        pages.len(),
        50,
        "one for each verb, one for each of `job`, `install` and `import`, and the main one"
    );
    assert!(project.path("pages/roster-job-submit.1").is_file());
    assert_eq!(told(&project.run("man")).0, fs::read_to_string(project.path("pages/roster.1")).unwrap());
    let main = fs::read_to_string(project.path("pages/roster.1")).unwrap();
    assert!(
        main.contains(".SH EXIT STATUS") && main.contains("roster\\-plan(1)") && !main.contains("\\-help(1)")
    );
    if Command::new("mandoc").arg("-h").output().is_err() {
        eprintln!("not run: mandoc is missing");
        return;
    }
    let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages).output().unwrap();
    let (out, talk, exit) = told(&lint);
    assert_eq!((exit, out.as_str(), talk.as_str()), (Some(0), "", ""));
}

#[test]
fn what_only_looks_runs_on_a_disk_that_cannot_be_written() {
    let project = Project::shipped();
    assert!(project.run("env-build mixed-workload").status.success());
    let root = project.root().display().to_string();
    let mount = format!("mount --bind {root} {root} && mount -o remount,ro,bind {root} && cd {root}");
    let run = |line: &str| {
        let mut unshare = Command::new("unshare");
        let script = format!("{mount} || exit 99; exec {} {line}", env!("CARGO_BIN_EXE_roster"));
        unshare.args(["--mount", "--map-root-user", "sh", "-c", &script]);
        told(&project.started_by(unshare, "").output().expect("unshare starts"))
    };
    if !is_there("unshare") || run("--version").2 != Some(0) {
        eprintln!("not run: this user cannot mount a folder read-only");
        return;
    }
    let (_, talk, exit) = run("env-build simulation");
    assert!(exit == Some(1) && talk.contains("GEN005") && talk.contains("Read-only"), "{talk}");
    for line in [
        "plan full-local",
        "diff full-local",
        "explain comfyui-worker-0",
        "check mixed-workload",
        "ecosystem",
        "env-build --check",
        "env-build full-local --check",
        "compose-profile --list",
        "completions bash",
        "man",
    ] {
        let (out, talk, exit) = run(line);
        assert!(matches!(exit, Some(0 | 2)), "{line}: {talk}");
        assert_eq!(out, told(&project.run(line)).0, "{line}");
    }
}
