//! A Redis for the bench alone: on a free port of the loopback, in a folder of its own, gone afterwards.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, aio::MultiplexedConnection};

use crate::workspace::{command, remove, target, write};

/// How long the server may take to answer for the first time, and any question afterwards.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. It ends with this.
pub(super) struct Server {
    process: Process,
    /// `redis://127.0.0.1:PORT`
    pub url: String,
    client: Client,
    /// For questions; nothing that is measured goes through it.
    asks: MultiplexedConnection,
}

struct Process {
    child: Child,
    folder: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = remove(&self.folder);
    }
}

impl Server {
    /// Without snapshots; with an append-only file that is synced every second, or without.
    pub(super) async fn start(append_only: bool) -> Result<Self, String> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let port = port.map_err(|error| format!("no free port: {error}"))?.port();
        let folder = target()?.join(format!("bench-broker-{port}"));
        write(&folder.join("README"), "A Redis of `cargo xtask bench broker`; it can go if none runs.\n")?;
        let mut server = command("redis-server");
        server.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendfsync",
            "everysec",
        ]);
        server.args(["--appendonly", if append_only { "yes" } else { "no" }, "--dir"]).arg(&folder);
        let child = server.stdout(Stdio::null()).spawn().map_err(|error| {
            format!("`redis-server` did not start: {error}; install Redis 7 or later, as your distribution packs it")
        })?;
        let process = Process { child, folder };
        let url = format!("redis://127.0.0.1:{port}");
        let client = Client::open(url.as_str()).map_err(|error| error.to_string())?;
        let mut server = Self { asks: connected(&client).await?, process, url, client };
        let answers = server.info("server", "process_id").await?;
        if answers != server.process.child.id().to_string() {
            return Err(format!("another server has port {port}; start the bench again"));
        }
        Ok(server)
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        connection.map_err(|error| error.to_string())
    }

    /// An answer to any command.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, String> {
        let mut command = redis::cmd(words[0]);
        let answer = command.arg(&words[1..]).query_async(&mut self.asks).await;
        answer.map_err(|error| format!("`{}`: {error}", words.join(" ")))
    }

    /// One field of a section of INFO.
    pub(super) async fn info(&mut self, section: &str, field: &str) -> Result<String, String> {
        let told: String = self.ask(&["INFO", section]).await?;
        let value = told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(str::to_owned).ok_or_else(|| format!("INFO {section} has no {field}: Redis 7 is needed"))
    }
}

async fn connected(client: &Client) -> Result<MultiplexedConnection, String> {
    let end = Instant::now() + PATIENCE;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    loop {
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() > end => {
                return Err(format!("redis-server does not answer: {error}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
