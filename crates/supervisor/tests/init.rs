//! The supervisor where the kernel gives it more than a process: as PID 1 of a namespace, in a control group of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ecosystem::{App, Ecosystem};
use rustix::process::{Pid, Signal, kill_process};
use spec::source::SourceText;

const FIXTURE: &str = env!("CARGO_BIN_EXE_supervisor-fixture");
/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// Processes and a `/proc` of their own, which any user may have who may be root in a namespace.
const NAMESPACES: [&str; 4] = ["--map-root-user", "--pid", "--fork", "--mount-proc"];

/// Whether this user may make namespaces. Where tests have to run, a `no` is a failure.
fn permitted() -> bool {
    let made = Command::new("unshare").args(NAMESPACES).arg("true").status();
    let permitted = made.is_ok_and(|it| it.success());
    let ci = std::env::var("CI").is_ok_and(|it| it == "true");
    assert!(permitted || !ci, "`unshare` with {NAMESPACES:?} is not permitted");
    if !permitted {
        eprintln!("skipped: `unshare` with {NAMESPACES:?} is not permitted");
    }
    permitted
}

fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    lists.flat_map(|it| it.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<_>>()).collect()
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// A group of our own that is marked as delegated, where version 2 of the hierarchy is mounted and we may divide it.
fn delegated_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|it| it.contains(" - cgroup2 "))?.split(' ').nth(4)?.to_owned();
    let group = PathBuf::from(mount).join(format!("roster-test-{}", std::process::id()));
    fs::create_dir(&group).ok()?;
    let marked = rustix::fs::setxattr(&group, "trusted.delegate", b"1", rustix::fs::XattrFlags::empty());
    marked.ok().map(|()| group)
}

#[test]
fn what_has_left_its_session_and_its_environment_ends_with_its_group() {
    let Some(group) = delegated_group() else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut ecosystem = Ecosystem::read(&SourceText::open("one.json", include_str!("one.json"))).unwrap();
    let log = folder.path().join("all.log").display().to_string();
    let app = &mut ecosystem.apps[0];
    let script = "env -i setsid sleep 1000 >/dev/null 2>&1 & exec sleep 1000";
    (app.script, app.args) = ("/bin/sh".into(), vec!["-c".into(), script.into()]);
    (app.out_file, app.error_file, app.kill_timeout) = (log.clone(), log, 200);
    let file = folder.path().join("ecosystem.json");
    fs::write(&file, ecosystem.to_json()).unwrap();
    let enter =
        format!("echo $$ > {}/cgroup.procs && exec {FIXTURE} supervise {}", group.display(), file.display());
    let mut supervisor = Command::new("sh").args(["-c", &enter]).stdout(Stdio::piped()).spawn().unwrap();
    let own = i32::try_from(supervisor.id()).unwrap();
    let members = || {
        let groups =
            fs::read_dir(&group).unwrap().flatten().map(|it| it.path().join("web-service/cgroup.procs"));
        groups
            .filter_map(|it| fs::read_to_string(it).ok())
            .flat_map(|it| it.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let deadline = Instant::now() + DEADLINE;
    // In the middle of its exec a process has no environment either: both are looked at once both are what they become.
    let sleeps =
        |pid: &String| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| it == b"sleep\x001000\0");
    let is_alone = |pid: &String| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|it| it.is_empty());
    let (alone, parent) = loop {
        let sleeping: Vec<String> = members().into_iter().filter(sleeps).collect();
        let (alone, others): (Vec<_>, Vec<_>) = sleeping.into_iter().partition(is_alone);
        if let ([alone], [parent]) = (&alone[..], &others[..]) {
            break (alone.clone(), parent.clone());
        }
        assert!(Instant::now() < deadline, "a process with and one without environment");
        std::thread::yield_now();
    };
    // Its parent crashes: what is left of it goes before the next one comes.
    kill_process(Pid::from_raw(parent.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    while members().contains(&alone) {
        assert!(Instant::now() < deadline, "the end of what the parent left");
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(own).unwrap(), Signal::TERM).unwrap();
    assert!(supervisor.wait().unwrap().success());
    // Nobody is in it, and nothing below it, or it could not be removed.
    fs::remove_dir(group).unwrap();
}

#[test]
fn the_first_process_reaps_what_is_orphaned_and_ends_with_everything() {
    if !permitted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut ecosystem = Ecosystem::read(&SourceText::open("one.json", include_str!("one.json"))).unwrap();
    let log = folder.path().join("all.log").display().to_string();
    let path = ("PATH".parse().unwrap(), "/usr/bin:/bin".to_owned());
    let model =
        App { out_file: log.clone(), error_file: log.clone(), kill_timeout: 200, ..ecosystem.apps.remove(0) };
    let app = |name: &str, args: &[&str]| App {
        name: name.parse().unwrap(),
        script: FIXTURE.into(),
        args: args.iter().map(|it| (*it).to_owned()).collect(),
        env: [path.clone()].into(),
        ..model.clone()
    };
    ecosystem.apps = vec![
        app("orphans", &["orphans", "20"]),
        app("daemon", &["daemon", "lives"]),
        app("parent", &["parent", "in-own-session", "lives"]),
    ];
    let file = folder.path().join("ecosystem.json");
    fs::write(&file, ecosystem.to_json()).unwrap();
    let mut outside = Command::new("unshare")
        .args(NAMESPACES)
        .args(["--kill-child", FIXTURE, "supervise"])
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(outside.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut missing = vec!["orphans healthy", "daemon healthy", "parent healthy"];
    while !missing.is_empty() {
        let line = lines.next().expect("a supervisor that lives");
        missing.retain(|it| *it != line);
    }
    let deadline = Instant::now() + DEADLINE;
    let until = |what: &str, is: &dyn Fn() -> bool| {
        while !is() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    };
    let outer = i32::try_from(outside.id()).unwrap();
    let init = children(outer)[0];
    until("the orphans", &|| fs::read_to_string(&log).is_ok_and(|it| it.contains("orphaned")));
    // Its three, and the daemon that lost its parent.
    until("four children and no zombie", &|| {
        let all = children(init);
        all.len() == 4 && !all.into_iter().any(is_zombie)
    });

    kill_process(Pid::from_raw(init).unwrap(), Signal::TERM).unwrap();
    assert!(outside.wait().unwrap().success());
}
