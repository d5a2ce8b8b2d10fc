//! A running machine, as it looks from outside: a process and its health server.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{project::Project, world::until};

/// How long a machine may take to come up, or to go down.
const PATIENCE: Duration = Duration::from_secs(90);

/// How much is told of what a machine said that ended too soon.
const LINES: usize = 10;

/// A running machine; killed when dropped.
pub(super) struct Machine {
    child: Child,
    address: String,
    log: PathBuf,
    http: reqwest::Client,
}

impl Machine {
    pub(super) fn new(child: Child, health_port: u16, log: PathBuf) -> Self {
        Self {
            child,
            address: format!("http://127.0.0.1:{health_port}"),
            log,
            http: worker::client(Duration::from_secs(10)),
        }
    }

    /// Waits until `/ready` says 200; fails at once when the machine ends.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        let (address, http, log) = (self.address.clone(), self.http.clone(), self.log.clone());
        let child = &mut self.child;
        until("the machine is ready", PATIENCE, async || {
            if let Ok(Some(status)) = child.try_wait() {
                let said = crate::workspace::read(&log)?;
                let last: Vec<_> = said.lines().rev().take(LINES).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(format!("roster run ended with {status}; the last that it said:\n{last}"));
            }
            let answer = http.get(format!("{address}/ready")).send().await;
            Ok(answer.ok().filter(|it| it.status().is_success()).map(|_| ()))
        })
        .await
    }

    /// The JSON of an endpoint.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        let address = format!("{}{path}", self.address);
        let answer = self.http.get(&address).send().await.map_err(|error| format!("{path}: {error}"))?;
        answer.json().await.map_err(|error| format!("{path}: {error}"))
    }

    /// Sends a signal to the machine itself.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), String> {
        signal_to(i64::from(self.child.id()), signal)
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<ExitStatus, String> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, String> {
        let child = &mut self.child;
        until("the machine has stopped", PATIENCE, async || {
            child.try_wait().map_err(|error| error.to_string())
        })
        .await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub(super) fn signal_to(pid: i64, signal: Signal) -> Result<(), String> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| format!("no process: {pid}"))?;
    kill_process(pid, signal).map_err(|error| format!("{signal:?} to {}: {error}", pid.as_raw_nonzero()))
}

/// The running processes of a machine by their names, as `roster ps` has them.
pub(super) fn processes(project: &Project) -> Result<BTreeMap<String, i64>, String> {
    let answer = project.type_in("ps --json")?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let all = answer["result"]["processes"].as_array().into_iter().flatten();
    Ok(all.filter_map(|it| Some((it["name"].as_str()?.to_owned(), it["pid"].as_i64()?))).collect())
}

/// The process number of one of them.
pub(super) fn process(project: &Project, name: &str) -> Result<i64, String> {
    let all = processes(project)?;
    all.get(name).copied().ok_or_else(|| format!("{name} does not run, but {all:?}"))
}

/// The command lines of all processes that have this folder in their environment.
pub(super) fn processes_in(folder: &str) -> Vec<String> {
    let line = |pid: &i64| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids_in(folder).iter().map(|pid| String::from_utf8_lossy(&line(pid)).replace('\0', " ")).collect()
}

/// The process numbers of those.
fn pids_in(folder: &str) -> Vec<i64> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|it| it.file_name().to_string_lossy().parse().ok());
    let inside = |pid: &i64| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(folder)
    };
    pids.filter(inside).collect()
}

/// Kills all processes that have this folder in their environment, when dropped: for commands that leave some behind.
pub(super) struct Leftovers(pub(super) String);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for pid in pids_in(&self.0) {
            let _ = signal_to(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Leftovers, processes_in};

    #[test]
    fn what_commands_leave_behind_ends_with_their_scenario() {
        let folder = tempfile::tempdir().unwrap().path().display().to_string();
        let mut left =
            Command::new("sleep").arg("600").env("HOME", &folder).stdin(Stdio::null()).spawn().unwrap();
        let leftovers = Leftovers(folder.clone());
        // Until it has become its program, it has no environment to be found by.
        while processes_in(&folder) != ["sleep 600 "] {
            assert!(left.try_wait().unwrap().is_none(), "it lives");
        }
        drop(leftovers);
        assert!(!left.wait().unwrap().success());
        assert!(processes_in(&folder).is_empty());
    }
}
