//! Real PM2, and programs for it to start.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A PM2 of its own, ended with everything it started.
pub(crate) struct Daemon {
    pm2: PathBuf,
    home: PathBuf,
    path: String,
}

impl Daemon {
    /// PM2 as `cargo xtask setup` installs it, at home in `home`, which finds programs in `bin` first. `None`, said
    /// aloud, where it is not installed; in CI that is a failure.
    pub(crate) fn find(home: PathBuf, bin: &Path) -> Option<Self> {
        let tools = std::env::var_os("ROSTER_TOOLS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
        let pm2 = tools.join("npm/node_modules/.bin/pm2");
        if pm2.exists() {
            fs::create_dir_all(&home).unwrap();
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
            return Some(Self { pm2, home, path });
        }
        let told = "not run: pm2 is missing; cargo xtask setup installs it";
        assert!(std::env::var_os("CI").is_none_or(|it| it != "true"), "{told}");
        // Not `eprintln!`, which the test harness keeps to itself when the test passes.
        writeln!(std::io::stderr(), "{told}").expect("stderr can be written to");
        None
    }

    /// Starts the processes of a document, and lists them once they are all online.
    pub(crate) fn start(&self, document: &Path, processes: usize) -> Vec<Value> {
        self.run(&["start", document.to_str().unwrap()]);
        let deadline = Instant::now() + Duration::from_mins(1);
        let runs =
            |it: &Value| it["pm2_env"]["status"] == "online" && it["pid"].as_u64().is_some_and(|pid| pid > 0);
        loop {
            let list = self.list();
            if list.len() >= processes && list.iter().all(runs) {
                return list;
            }
            assert!(Instant::now() < deadline, "{list:#?}");
        }
    }

    /// Runs a command of PM2 that has to end well.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let (done, said) = self.try_run(args);
        assert!(done, "pm2 {args:?}: {said}");
        said
    }

    /// Whether it ended well, and what it said. Into a file: PM2's daemon keeps the pipes of whoever started it open.
    fn try_run(&self, args: &[&str]) -> (bool, String) {
        let said = self.home.join("said");
        let out = fs::File::create(&said).unwrap();
        let home = self.home.as_os_str();
        let status = Command::new(&self.pm2)
            .args(args)
            .env_clear()
            .envs([("PM2_HOME", home), ("HOME", home), ("PATH", self.path.as_ref())])
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap();
        (status.success(), fs::read_to_string(said).unwrap())
    }

    /// What PM2 says of its processes. It may talk before the list.
    fn list(&self) -> Vec<Value> {
        let said = self.run(&["jlist"]);
        let list =
            said.lines().find(|it| it.starts_with("[{") || *it == "[]").unwrap_or_else(|| panic!("{said}"));
        serde_json::from_str(list).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.try_run(&["kill"]);
    }
}

/// A program under the name of a real one, which stays until it is stopped.
pub(crate) fn stand_in(program: &Path) {
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new();
    if let Ok(mut file) = file.write(true).create_new(true).mode(0o755).open(program) {
        file.write_all(b"#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
    }
}
