//! What all of these tests need: a task without a loop, a double on a port, and the programs of the outside.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Job;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use reqwest::Url;
use serde_json::Value;
use worker::{Connector, Egress, Failure, Hands, Inside, Kind, Rules, Store, Task, Waits};

pub use crate::serve::{png, serve};

/// For everything that is waited for: much longer than it takes.
pub const LONG: Duration = Duration::from_mins(1);

/// As a service has it that is asked often.
pub fn hasty() -> Waits {
    Waits { idle: LONG, pause: Duration::from_millis(5) }
}

/// A guard that lets this machine's own addresses pass.
pub fn egress() -> Egress {
    let inside = vec![Inside::Net("127.0.0.0/8".parse().unwrap())];
    Egress::new(Rules { http: true, inside, ..Rules::default() })
}

/// One attempt at a job, and what it leaves.
pub struct Attempt {
    pub task: Task,
    pub hands: Hands,
    objects: Arc<InMemory>,
}

impl Attempt {
    pub fn new(kind: &str, payload: Value) -> Self {
        let objects = Arc::new(InMemory::new());
        let job = Job::new(kind.parse().unwrap()).payload(payload);
        let attempt_id = format!("{}-1", job.id);
        let outputs = Store::new(objects.clone(), "memory:///{path}", 64 << 20).of(&job.id, &attempt_id);
        let (task, hands) = Task::new(job, 0, attempt_id, LONG, outputs);
        Self { task, hands, objects }
    }

    /// What the loop does with it: its payload is judged, then it runs.
    pub async fn run(&self, connector: &dyn Connector) -> Result<Value, Failure> {
        let kind = self.task.job.service_required.as_str();
        connector.payload(kind).expect("it takes such jobs").check(&self.task.job.payload)?;
        tokio::time::timeout(LONG, connector.run(&self.task)).await.expect("it ends")
    }

    /// The bytes of a stored file.
    pub async fn bytes(&self, stored: &Value) -> Vec<u8> {
        let path = stored["url"].as_str().and_then(|it| it.strip_prefix("memory:///")).expect("it is stored");
        let found = self.objects.get(&path.into()).await.unwrap();
        found.bytes().await.unwrap().to_vec()
    }

    /// How far it said that it is.
    pub fn told(&self) -> (u8, String) {
        self.hands.progress.borrow().clone().map_or((0, String::new()), |it| (it.percent, it.message))
    }
}

/// Runs one job to its end.
pub async fn run(connector: &dyn Connector, kind: &str, payload: Value) -> Result<Value, Failure> {
    Attempt::new(kind, payload).run(connector).await
}

/// A failure in a form to compare: what it means, whether it puts the service in doubt, and for how long to leave it alone.
pub fn meaning(failure: &Failure) -> (Kind, bool, Option<u128>) {
    (failure.kind, failure.suspect, failure.retry_after.map(|it| it.as_millis()))
}

/// Waits until something is so.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let ends = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < ends, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The programs and libraries that `cargo xtask setup` installs for Python.
pub struct Python {
    bin: PathBuf,
}

impl Python {
    /// `None`, said aloud, where they are not installed; in CI that is a failure.
    pub fn find() -> Option<Self> {
        let tools = std::env::var_os("ROSTER_TOOLS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
        let bin = tools.join("venv/bin");
        if bin.join("llmock").exists() {
            return Some(Self { bin: bin.canonicalize().unwrap() });
        }
        let told = "not run: llmock is missing; cargo xtask setup installs it";
        assert!(std::env::var_os("CI").is_none_or(|it| it != "true"), "{told}");
        // Not `eprintln!`, which the test harness keeps to itself when the test passes.
        writeln!(std::io::stderr(), "{told}").expect("stderr can be written to");
        None
    }

    pub fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.bin.join(program));
        command.env("PATH", format!("{}:{path}", self.bin.display())).stdin(Stdio::null());
        command
    }

    /// Runs a Python script that has to end well, with these arguments.
    pub async fn script(&self, text: &'static str, args: &[&str]) {
        let mut command = self.command("python");
        command.args(["-c", text]).args(args).env("REPLICATE_POLL_INTERVAL", "0.01");
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A server that listens on `port`, ready once `path` answers well and `ready` finds what it wants in it.
    pub async fn server(&self, mut command: Command, port: u16, path: &str, ready: &str) -> Server {
        use std::os::unix::process::CommandExt as _;
        let log = tempfile::NamedTempFile::new().unwrap();
        command.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap()).process_group(0);
        let mut server = Server {
            child: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}/").parse().unwrap(),
        };
        let url = server.url.join(path).unwrap();
        until("the server is ready", async || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(log.path()).unwrap());
            let Ok(answer) = page(&url).await else { return false };
            answer.contains(ready)
        })
        .await;
        server
    }
}

async fn page(url: &Url) -> reqwest::Result<String> {
    client().get(url.clone()).send().await?.error_for_status()?.text().await
}

/// A client of the test's own.
pub fn client() -> reqwest::Client {
    // The first installs it for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server of the outside; it ends with its test, and all that it started with it.
pub struct Server {
    child: Child,
    pub url: Url,
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
