//! The queue of the TypeScript system: a worker takes the place of one of its, in that one's environment, and `roster job` speaks
//! its wire.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::legacy::{Inspection, Issue, Settings, inspect};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::told;

/// Longer than anything takes.
const LONG: Duration = Duration::from_mins(1);

/// A child that does not outlive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench {
    folder: TempDir,
    _redis: Guarded,
}

impl Bench {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut redis = Command::new("redis-server");
        redis
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path());
        let redis = redis.stdout(Stdio::null()).spawn();
        let redis = Guarded(redis.expect("redis-server; `cargo xtask setup` installs it"));
        let end = Instant::now() + LONG;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "`redis-server` does not start");
            std::thread::yield_now();
        }
        Self { folder, _redis: redis }
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("socket").display())
    }

    fn roster(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.env_clear().env("HUB_REDIS_URL", self.url()).current_dir(self.folder.path());
        command.args(line.split_whitespace()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn job(&self, line: &str, input: &str) -> (String, String, Option<i32>) {
        let mut child = self.roster(&format!("job {line} --broker legacy")).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        told(&child.wait_with_output().unwrap())
    }

    /// What the whole queue looks like.
    fn inspect(&self) -> Inspection {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings::new("m1".parse().unwrap());
        runtime.block_on(inspect(&self.url(), settings)).unwrap()
    }
}

#[test]
fn a_worker_takes_the_place_of_one_of_the_typescript_system() {
    let bench = Bench::begin();
    let mut worker = bench.roster("worker");
    worker.env("BROKER", "legacy").env("MACHINE_ID", "m1").env("WORKER_ID", "m1-worker-simulation-0");
    worker.env("CONNECTORS", "simulation-http").env("WORKER_POLL_INTERVAL_MS", "20");
    let mut worker = Guarded(worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());

    let (id, talk, exit) = bench.job("submit - --service simulation", r#"{"duration_ms":50,"steps":2}"#);
    assert_eq!(exit, Some(0), "{talk}");
    let id = id.trim();
    let (_, talk, exit) = bench.job(&format!("watch {id}"), "");
    assert_eq!(exit, Some(0), "{talk}");
    let (status, _, _) = bench.job(&format!("status {id} --json"), "");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert!(status.to_string().contains("\"succeeded\""), "{status}");
    assert_eq!(bench.inspect().workers, ["m1-worker-simulation-0"]);

    // Asked to end, it leaves nothing behind.
    let pid = Pid::from_raw(i32::try_from(worker.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(worker.0.wait().unwrap().success());
    let left = bench.inspect();
    assert_eq!((left.workers, left.waiting, left.running), (vec![], 0, 0));
    assert_eq!(left.issues, [Issue::NoFunction]);
}

#[test]
fn what_the_legacy_wire_cannot_say_is_told_on_the_command_line() {
    let bench = Bench::begin();
    let job = json!({ "service_required": "simulation", "delay_ms": 1000 }).to_string();
    for (line, expected) in [
        ("submit -", "delay_ms: cannot be said on the legacy wire: a job is in the line at once"),
        ("pause", "cannot be paused"),
        ("audit", "only a native queue can be audited"),
    ] {
        let (_, talk, exit) = bench.job(line, &job);
        assert_eq!(exit, Some(1), "{line}: {talk}");
        assert!(talk.contains("BROKER030") && talk.contains(expected), "{line}: {talk}");
    }
}

#[test]
fn the_doctor_says_what_is_wrong_with_a_queue_and_how_to_mend_it() {
    let bench = Bench::begin();
    let (id, _, _) = bench.job("submit - --service simulation", "{}");
    let (out, talk, exit) = told(&bench.roster("doctor --legacy").output().unwrap());
    assert_eq!(exit, Some(2), "{out}{talk}");
    insta::assert_snapshot!(out, @r"
    function   missing
    jobs       1 waiting, 0 running, 0 failed
    waiting    simulation 1
    workers    -
    ");
    for expected in ["BROKER032", "is not installed", id.trim(), "roster job explain"] {
        assert!(talk.contains(expected), "{expected}: {talk}");
    }
}
