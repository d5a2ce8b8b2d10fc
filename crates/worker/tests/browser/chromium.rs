//! A Chromium of one test, and what is left in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// For what takes no time on a machine that has any to spare.
pub const LONG: Duration = Duration::from_secs(20);

/// Between two looks; a test that looked all the time would keep the browser from working.
const LOOK: Duration = Duration::from_millis(5);

/// How a machine starts it, at a free port: by the service mapping. Its install is a link to the program of Debian.
fn command(profile: &Path) -> Command {
    let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/service-mapping.json");
    let mapping: Value = serde_json::from_str(&std::fs::read_to_string(mapping).unwrap()).unwrap();
    let words = mapping["services"]["playwright"]["start"]["command"].as_array().unwrap();
    let profile = profile.to_str().unwrap();
    let word = |it: &Value| match it.as_str().unwrap() {
        it if it.starts_with("--user-data-dir=") => format!("--user-data-dir={profile}"),
        it if it.ends_with("/bin/chromium") => "chromium".to_owned(),
        it => it.replace("${PORT}", "0"),
    };
    let mut words = words.iter().map(word);
    let mut command = Command::new(words.next().unwrap());
    // What it leaves when it is killed goes with its profile.
    command.env("TMPDIR", profile);
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// It ends with its test, and its profile with it.
pub struct Chromium {
    child: Child,
    profile: tempfile::TempDir,
}

/// Whether tests may do without something: not in CI.
fn missing(what: &str) {
    let ci = std::env::var("CI").is_ok_and(|it| it == "true");
    assert!(!ci, "{what} is needed in CI: type `cargo xtask setup`");
    println!("not run: {what} is missing; `cargo xtask setup` installs it");
}

/// The folder with `playwright-core`; `None`, and a word about it, where there is none.
pub fn modules() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = here.join(std::env::var_os("ROSTER_TOOLS").unwrap_or_else(|| ".tools".into()));
    let modules = tools.join("npm/node_modules");
    if modules.join("playwright-core/package.json").is_file() {
        return modules.canonicalize().ok();
    }
    missing("`playwright-core`");
    None
}

impl Chromium {
    /// `None`, and a word about it, where there is none.
    pub async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let Ok(child) = command(profile.path()).spawn() else {
            missing("`chromium`");
            return None;
        };
        let chromium = Self { child, profile };
        until("Chromium listens", || chromium.port().is_some()).await;
        Some(chromium)
    }

    /// It writes it once it listens.
    fn port(&self) -> Option<(u16, String)> {
        let text = std::fs::read_to_string(self.profile.path().join("DevToolsActivePort")).ok()?;
        let (port, path) = text.split_once('\n')?;
        Some((port.parse().ok()?, path.to_owned()))
    }

    pub fn url(&self) -> Url {
        let (port, _) = self.port().unwrap();
        format!("http://127.0.0.1:{port}").parse().unwrap()
    }

    /// As a machine ends a process that takes too much.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills everything that renders a page.
    pub fn kill_renderers(&self) {
        for (pid, arguments) in processes() {
            let ours = arguments.contains(self.profile.path().to_str().unwrap());
            if ours && arguments.contains("--type=renderer") {
                Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
            }
        }
    }

    /// The contexts that jobs have in it.
    pub async fn contexts(&self) -> usize {
        let (port, path) = self.port().unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut found = Vec::new();
        for (id, method) in [(1, "Target.getBrowserContexts"), (2, "Target.getTargets")] {
            let call = json!({ "id": id, "method": method });
            socket.send(Message::text(call.to_string())).await.unwrap();
            let answer = socket.next().await.unwrap().unwrap();
            let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
            found.push(answer["result"].clone());
        }
        // What is not of the browser's own context.
        let own = &found[0]["defaultBrowserContextId"];
        let targets = found[1]["targetInfos"].as_array().unwrap();
        let contexts = found[0]["browserContextIds"].as_array().unwrap();
        contexts.len() + targets.iter().filter(|it| it["browserContextId"] != *own).count()
    }

    /// Waits until jobs have none, as after a worker that was cut off.
    pub async fn empty(&self) {
        let end = Instant::now() + LONG;
        while self.contexts().await > 0 {
            assert!(Instant::now() < end, "no context of a job is left");
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// All processes with their arguments.
fn processes() -> Vec<(i32, String)> {
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&arguments).replace('\0', " ")))
    })
    .collect()
}

/// Whether a process runs. One that nobody has reaped does not.
pub fn runs(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|it| !it.rsplit(") ").next().unwrap().starts_with(['Z', 'X']))
}

pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(LOOK).await;
    }
}
