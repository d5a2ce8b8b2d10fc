//! Real processes under a real supervisor: what they leave behind, what they say, and what is said about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ecosystem::{App, Ecosystem};
use rustix::process::{Pid, Signal, kill_process};
use spec::source::SourceText;
use tempfile::TempDir;

const FIXTURE: &str = env!("CARGO_BIN_EXE_supervisor-fixture");
/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A supervisor in a process of its own. Everything it starts has its folder in the environment.
struct Supervised {
    folder: TempDir,
    process: Child,
    lines: Receiver<String>,
}

impl Supervised {
    fn start(apps: &[App]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ecosystem = one();
        ecosystem.apps = apps.to_vec();
        for app in &mut ecosystem.apps {
            let log = folder.path().join(format!("{}.log", app.name)).display().to_string();
            if app.out_file == "/tmp/web.log" {
                (app.out_file, app.error_file) = (log.clone(), log);
            }
            app.env.insert("FOLDER".parse().unwrap(), folder.path().display().to_string());
        }
        let file = folder.path().join("ecosystem.json");
        fs::write(&file, ecosystem.to_json()).unwrap();
        let mut process =
            Command::new(FIXTURE).arg("supervise").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|it| sender.send(it)));
        Self { folder, process, lines }
    }

    /// Waits for a line that starts so; returns all of it.
    fn wait(&self, start: &str) -> String {
        self.wait_all(&[start])
    }

    /// Waits for a line that starts with each of these, in any order; returns the last of them.
    fn wait_all(&self, starts: &[&str]) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut missing = starts.to_vec();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|it| panic!("no {missing:?}: {it}"));
            missing.retain(|start| !line.starts_with(start));
            if missing.is_empty() {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The living processes that it, or what it started, has started.
    fn left(&self) -> usize {
        let variable = format!("FOLDER={}", self.folder.path().display());
        let pids = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
        let environments = pids.filter_map(|it| fs::read(it.join("environ")).ok());
        environments.filter(|it| it.split(|byte| *byte == 0).any(|it| it == variable.as_bytes())).count()
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert!(self.process.wait().unwrap().success());
        assert_eq!(self.left(), 0, "left after the stop");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn one() -> Ecosystem {
    Ecosystem::read(&SourceText::open("one.json", include_str!("one.json"))).unwrap()
}

/// The fixture with these arguments; 3 starts within its budget, a grace of 200 ms.
fn app(name: &str, args: &[&str]) -> App {
    App {
        name: name.parse().unwrap(),
        script: FIXTURE.into(),
        args: args.iter().map(|it| (*it).to_owned()).collect(),
        max_restarts: 3,
        exp_backoff_restart_delay: 10,
        kill_timeout: 200,
        ..one().apps.remove(0)
    }
}

#[test]
fn what_ignores_the_ask_is_killed() {
    let mut it = Supervised::start(&[app("deaf", &["deaf"])]);
    it.wait("deaf healthy");
    it.stop();
}

#[test]
fn nothing_is_left_of_a_parent_that_lives() {
    for child in ["deaf", "in-own-session"] {
        let mut it = Supervised::start(&[app("parent", &["parent", child, "lives"])]);
        it.wait("parent healthy");
        let deadline = Instant::now() + DEADLINE;
        while it.left() < 2 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(it.left(), 2, "{child}");
        it.stop();
    }
}

#[test]
fn nothing_is_left_of_a_parent_that_crashed() {
    for child in ["deaf", "in-own-session"] {
        let mut it = Supervised::start(&[app("parent", &["parent", child, "crashes"])]);
        it.wait("parent failed: ended with 1");
        assert_eq!(it.left(), 0, "{child}");
        it.stop();
    }
}

#[test]
fn everything_ends_with_a_supervisor_that_is_killed() {
    let mut it = Supervised::start(&[app("one", &["run"]), app("two", &["deaf"])]);
    // Both: a process that is just becoming its program has no environment for an instant, and would not be seen.
    it.wait_all(&["one healthy", "two healthy"]);
    it.signal(Signal::KILL);
    it.process.wait().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while it.left() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(it.left(), 0);
}

#[test]
fn output_arrives_byte_for_byte() {
    let mut it = Supervised::start(&[App { autorestart: false, ..app("flood", &["flood"]) }]);
    it.wait("flood completed");
    it.stop();
    let line = [&[0xFF, 0xFE, 0x00][..], &[b'x'; 60], b"\n"].concat();
    assert!(fs::read(it.log("flood")).unwrap() == line.repeat(64 * 1024));
}

#[test]
fn a_broken_process_says_why_and_leaves_its_neighbours_alone() {
    let mut it = Supervised::start(&[
        App { script: "/no/such/program".into(), ..app("a-missing", &[]) },
        App { cwd: "/no/such/folder".into(), ..app("b-nowhere", &[]) },
        App {
            out_file: "/proc/no.log".into(),
            error_file: "/proc/no.log".into(),
            ..app("c-silent", &["run"])
        },
        app("d-fine", &["run"]),
    ]);
    let mut told: Vec<String> = (0..4)
        .map(|_| {
            let deadline = Instant::now() + DEADLINE;
            loop {
                let line = it.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap();
                if line.contains(" failed") || line.contains("healthy") {
                    return line;
                }
            }
        })
        .collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"), @r"
    a-missing failed: could not be started: its program `/no/such/program` does not exist: install it, or correct `script`
    b-nowhere failed: could not be started: its working directory `/no/such/folder` does not exist: create it, or correct `cwd`
    c-silent failed: could not be started: its log file `/proc/no.log` cannot be written: No such file or directory (os error 2)
    d-fine healthy
    ");
    it.stop();
}
