//! `roster run`: the whole machine of the profile `simulation`, with a Redis of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use broker::{Broker as _, Job, JobId, Native, Settings, Status};
use serde_json::{Value, json};

pub use super::fleet::until;
use super::fleet::{Machine as Fleet, Up};
use super::support::{Project, told, type_page};

mod boot;
mod comfyui;
mod config;
mod doctor;
mod installing;
mod legacy;
mod others;
mod pages;
mod recovery;
mod shutdown;

/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A Redis that keeps what it was told, and can be killed and started again on its port.
pub struct Redis {
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Redis {
    /// One that does not run yet.
    pub fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { port, folder: tempfile::tempdir().unwrap(), process: None }
    }

    pub fn start(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--save", "", "--dir"]).arg(self.folder.path()).stdout(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server; `cargo xtask setup` installs it"));
        until("redis answers", || self.cli(&["PING"]).trim() == "PONG");
    }

    pub fn kill(&mut self) {
        if let Some(mut it) = self.process.take() {
            let _ = it.kill();
            let _ = it.wait();
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output();
        told(&output.expect("redis-cli is where redis-server is")).0
    }

    /// The messages on a channel, from now on.
    pub fn subscribed(&self, channel: &str) -> Messages {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port, "SUBSCRIBE", channel]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let mut messages = Messages { process, lines };
        // `subscribe`, the channel, a number.
        for _ in 0..3 {
            messages.line();
        }
        messages
    }

    pub async fn broker(&self) -> Native {
        Native::connect(&self.url(), Settings::new("jobs".parse().unwrap())).await.unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is published on a channel.
pub struct Messages {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Messages {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next message; each comes as `message`, the channel, the text.
    pub fn next(&mut self) -> Value {
        let text = [self.line(), self.line(), self.line()];
        serde_json::from_str(&text[2]).unwrap_or_else(|it| panic!("{it}: {text:?}"))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A project with a generation of the profile `simulation` on ports that nobody has.
pub struct Machine {
    pub project: Project,
    pub redis: Redis,
    pub port: u16,
    base: u16,
}

impl Machine {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same, once `change` has been made to its mapping.
    pub fn with(change: impl FnOnce(&mut Value)) -> Self {
        let (base, port) = ports();
        let machine = Self { project: Project::shipped(), redis: Redis::new(), port, base };
        let file = machine.path("config/service-mapping.json");
        let mut mapping = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        change(&mut mapping);
        fs::write(file, mapping.to_string()).unwrap();
        let (_, talk, exit) = told(&machine.command("env-build simulation").output().unwrap());
        assert_eq!(exit, Some(0), "{talk}");
        machine
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = self.project.roster(line);
        command.env("XDG_RUNTIME_DIR", self.path("runtime"));
        command.env("REDIS_URL", self.redis.url()).env("WORKER_LEASE_S", "2");
        // How much room there is here is not what these tests are about.
        command.env("MACHINE_DISK_RESERVE_MIB", "0").env("MACHINE_MEMORY_RESERVE_MIB", "0");
        command.env("SIMULATION_BASE_PORT", self.base.to_string());
        command.env("MACHINE_HEALTH_PORT", self.port.to_string());
        command
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.project.path(path)
    }

    pub fn run(&self) -> Up {
        Fleet::spawned(self.command("run --json"))
    }

    pub fn ask(&self, line: &str) -> (String, String, Option<i32>) {
        told(&self.command(line).output().unwrap())
    }

    /// A GET on the health server; `None` while nobody listens.
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        get(self.port, path)
    }

    pub fn status(&self) -> Value {
        self.get("/status").map(|it| it.1).unwrap_or_default()
    }

    pub fn wait_ready(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let seen = self.get("/ready");
            if seen.as_ref().is_some_and(|it| it.0 == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "it is never ready: {seen:?}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub fn service(&self, name: &str) -> Value {
        self.get(&format!("/services/{name}")).map(|it| it.1).unwrap_or_default()
    }

    pub fn state(&self, name: &str) -> String {
        self.service(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    pub fn signal(&self, name: &str, signal: &str) {
        let pid = self.service(name)["pid"].as_u64().unwrap_or_else(|| panic!("{name} does not run"));
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

/// A GET on a port of this machine, and the JSON of its answer; `None` while nobody listens.
pub fn get(port: u16, path: &str) -> Option<(u16, Value)> {
    let (status, body) = text(port, path)?;
    Some((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// The same, as it comes.
pub fn text(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = format!("127.0.0.1:{port}");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

/// Four ports in a row for the services, and one for the health server; others for each machine of this program.
fn ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 40).unwrap() * 512;
    loop {
        let base = 10_000 + own + NEXT.fetch_add(8, Ordering::Relaxed) % 512;
        if (base..base + 5).all(|it| TcpListener::bind(("127.0.0.1", it)).is_ok()) {
            return (base, base + 4);
        }
    }
}

pub async fn submit(broker: &Native, milliseconds: u64) -> JobId {
    let payload = json!({ "duration_ms": milliseconds });
    let job = Job::new("simulation".parse().unwrap()).payload(payload);
    broker.submit(&[job]).await.unwrap()[0].id().clone()
}

pub async fn wait_for(broker: &Native, id: &JobId, is: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + DEADLINE;
    loop {
        // Redis may just be away.
        if let Ok(Some(status)) = broker.status(id).await
            && is(&status)
        {
            return status;
        }
        assert!(Instant::now() < deadline, "{id}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The processes that have `text` in their command line.
pub fn processes(text: &str) -> usize {
    let all =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    all.filter(|it| String::from_utf8_lossy(it).replace('\0', " ").contains(text)).count()
}
