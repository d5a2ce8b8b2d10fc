//! Servers for tests, each on a free port; and the contract over every kind of server there is.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::{Broker, Native, Settings};
use tokio::net::TcpStream;

use crate::contract;
use crate::contract::{LONG, claim_one, job, settings, submit, worker};

/// What `cargo xtask setup` and the system's packages provide.
pub const REDIS: &str = "redis-server";
pub const REDIS_6_2: &str = "redis-server-6.2";
pub const VALKEY: &str = "valkey-server";

/// A server in a temporary folder; it ends with its test.
pub struct Server {
    child: Child,
    command: Command,
    pub port: u16,
    _folder: tempfile::TempDir,
}

/// The program, where `setup` put it or on the PATH. `None`, and a word about it, where there is none; in CI that fails.
fn program(name: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("ROSTER_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        [tools.join("venv/bin")].into_iter().filter(|_| name != REDIS).chain(std::env::split_paths(&path));
    let found = folders.map(|it| it.join(name)).find(|it| it.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(!ci, "`{name}` is needed in CI; `cargo xtask setup` installs it");
        println!("not run: `{name}` is neither in .tools nor on the PATH");
    }
    found
}

/// A port that nobody listens on, nor on the one 10000 above, which a cluster talks over.
pub fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The system gives ports from 32768; below, none is taken by chance.
        let port = port - 22_000;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

impl Server {
    /// Starts it with these lines of configuration besides; `{port}` and `{folder}` in them are its own. A line `sentinel …`
    /// makes it one.
    pub async fn start(name: &str, lines: &[&str]) -> Option<Self> {
        let program = program(name)?;
        let kept = tempfile::tempdir().unwrap();
        let (port, folder) = (free_port(), kept.path().to_owned());
        let own = ["bind 127.0.0.1", "dir {folder}"].into_iter();
        let own = own.chain((!lines.iter().any(|it| it.starts_with("port "))).then_some("port {port}"));
        let sentinel = lines.iter().any(|it| it.starts_with("sentinel "));
        let own = own.chain((!sentinel).then_some("save \"\""));
        let text = own.chain(lines.iter().copied()).collect::<Vec<_>>().join("\n");
        let text =
            text.replace("{port}", &port.to_string()).replace("{folder}", &folder.display().to_string());
        let configuration = folder.join("server.conf");
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new(program);
        command.arg(configuration).args(sentinel.then_some("--sentinel"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let server = Self { child, command, port, _folder: kept };
        server.listens().await;
        Some(server)
    }

    async fn listens(&self) {
        until("the server listens", async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok())
            .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }

    pub async fn restart(&mut self) {
        self.kill();
        self.child = self.command.spawn().unwrap();
        self.listens().await;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn broker(&self, settings: Settings) -> Native {
        Native::connect(&self.url(), settings).await.unwrap()
    }

    /// A connection, with a password unless that is empty.
    pub async fn connect(&self, password: &str) -> redis::aio::MultiplexedConnection {
        let login = if password.is_empty() { String::new() } else { format!(":{password}@") };
        self.connect_by(&login).await
    }

    pub async fn connect_as(&self, user: &str, password: &str) -> redis::aio::MultiplexedConnection {
        self.connect_by(&format!("{user}:{password}@")).await
    }

    async fn connect_by(&self, login: &str) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// An answer to any command.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]).query_async(&mut self.connect("").await).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn over(name: &str, settings: Settings) -> Option<(Native, Server)> {
    let server = Server::start(name, &[]).await?;
    Some((server.broker(settings).await, server))
}

mod redis_6_2 {
    async fn broker(settings: broker::Settings) -> Option<(broker::Native, super::Server)> {
        super::over(super::REDIS_6_2, settings).await
    }
    crate::contract!(tokio::test, broker);
}

mod valkey {
    async fn broker(settings: broker::Settings) -> Option<(broker::Native, super::Server)> {
        super::over(super::VALKEY, settings).await
    }
    crate::contract!(tokio::test, broker);
}

#[tokio::test]
async fn a_server_that_writes_down_what_it_does_keeps_its_jobs_when_it_is_killed() {
    for when in ["everysec", "always"] {
        let when = format!("appendfsync {when}");
        let Some(mut server) = Server::start(REDIS, &["appendonly yes", &when]).await else { return };
        let broker = server.broker(settings("kept")).await;
        let (waits, runs) = (submit(&broker, job()).await, submit(&broker, job().priority(9)).await);
        let claimed = claim_one(&broker, &worker("w")).await;
        assert_eq!(claimed.ticket.id, runs);
        // SIGKILL takes nothing that the kernel was given; what fsync is for is a machine that falls.
        server.restart().await;
        assert_eq!(contract::state(&broker, &waits).await, broker::life::State::Waiting);
        assert!(contract::finish(&broker, &worker("w"), &claimed, broker::Outcome::HandBack).await);
        assert_eq!(broker.counts().await.unwrap().waiting, 2);
    }
}
