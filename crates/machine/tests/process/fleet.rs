//! A machine in a folder of its own: its ecosystem, the supervisor that runs it, and those who ask.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::told;

mod bad_input;
mod orders;
mod profiles;
mod reload;
mod simulation;
mod socket;

/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// An ecosystem of shell scripts.
pub struct Machine {
    folder: TempDir,
}

/// A supervisor that runs, and what it says.
pub struct Up {
    pub process: Child,
    events: Receiver<Value>,
    talk: Option<ChildStderr>,
}

/// A process that runs a shell script.
pub fn app(name: &str, script: &str) -> Value {
    json!({
        "name": name, "script": "sh", "args": ["-c", script], "interpreter": "none", "exec_mode": "fork",
        "cwd": "/", "env": {}, "autorestart": true, "kill_timeout": 5000, "min_uptime": 1000, "max_restarts": 3,
        "exp_backoff_restart_delay": 10, "out_file": format!("/logs/{name}.log"),
        "error_file": format!("/logs/{name}.log"), "merge_logs": true, "vizion": false,
        "roster": { "kind": "worker", "service": "shell", "stop_signal": "SIGTERM", "cause": [] }
    })
}

/// One that lives until it is asked to stop.
pub fn living(name: &str) -> Value {
    app(name, "echo up; exec sleep 600")
}

/// The same, started after another one.
pub fn after(mut app: Value, name: &str) -> Value {
    app["roster"]["depends_on"] = json!([{ "name": name, "until": "started" }]);
    app
}

impl Machine {
    pub fn new(apps: &[Value]) -> Self {
        let it = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        it.write(apps);
        it
    }

    /// Gives it another ecosystem.
    pub fn write(&self, apps: &[Value]) {
        let document = json!({
            "schema_version": 1, "machine": "m1", "health_port": 9090, "apps": apps, "setup": [], "external": []
        });
        fs::write(self.path("ecosystem.json"), document.to_string()).expect("a document");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("run/roster/m1.sock")
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roster"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("XDG_RUNTIME_DIR", self.path("run")).current_dir(self.folder.path());
        command.args(line.split_whitespace());
        command
    }

    /// Standard output, standard error and exit code.
    pub fn ask(&self, line: &str) -> (String, String, Option<i32>) {
        told(&self.command(line).output().expect("the program starts"))
    }

    /// What `ps` says about one process.
    pub fn seen(&self, name: &str) -> Value {
        let (out, talk, _) = self.ask("ps --json");
        let reply: Value = serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {out}{talk}"));
        let all = reply["result"]["processes"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|it| it["name"] == name).unwrap_or_default()
    }

    pub fn state(&self, name: &str) -> String {
        self.seen(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    pub fn pid(&self, name: &str) -> u64 {
        self.seen(name)["pid"].as_u64().unwrap_or_default()
    }

    pub fn up(&self) -> Up {
        self.started("up --json --logs logs")
    }

    pub fn started(&self, line: &str) -> Up {
        Self::spawned(self.command(line))
    }

    pub fn spawned(mut command: Command) -> Up {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.filter_map(|it| serde_json::from_str(&it).ok()).try_for_each(|it| sender.send(it))
        });
        let talk = process.stderr.take();
        Up { process, events, talk }
    }
}

impl Up {
    /// Waits until a process is in a state; returns the event.
    pub fn wait(&self, name: &str, state: &str) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|it| panic!("{name} is never {state}: {it}"));
            if event["process"] == name && event["state"] == state {
                return event;
            }
        }
    }

    /// The same for several, in any order.
    pub fn wait_all(&self, names: &[&str], state: &str) -> Vec<Value> {
        let (mut missing, mut found) = (names.to_vec(), Vec::new());
        let deadline = Instant::now() + DEADLINE;
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|it| panic!("{missing:?} never {state}: {it}"));
            if event["state"] == state && missing.iter().any(|it| event["process"] == *it) {
                missing.retain(|it| event["process"] != *it);
                found.push(event);
            }
        }
        found.sort_by_key(|it| it["process"].to_string());
        found
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill starts").success());
    }

    /// Its exit code, and what it said beside the events.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let code = self.process.wait().expect("a child").code();
        let talk = self.talk.take().map(std::io::read_to_string).expect("it ends once").expect("text");
        (code, talk)
    }

    pub fn stop(&mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for something that happens outside.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
