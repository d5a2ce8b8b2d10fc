//! The Redis that scenarios share: a container where a Docker engine answers, else a private server. It keeps what it is
//! told across a restart, and answers at the same address after one.

use std::{
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    core::{IntoContainerPort as _, WaitFor},
    runners::AsyncRunner as _,
};
use tokio::sync::Mutex;

use super::world::until;

/// A running Redis.
pub(super) struct Redis {
    port: u16,
    kind: Kind,
}

enum Kind {
    Container(Box<ContainerAsync<GenericImage>>),
    Server(Mutex<Server>),
}

/// A private server; killed when dropped.
struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    fn start(port: u16, folder: PathBuf) -> Result<Self, String> {
        let child = Self::spawn(port, &folder)?;
        Ok(Self { child, port, folder })
    }

    fn spawn(port: u16, folder: &Path) -> Result<Child, String> {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        // Its file is never written anew: whoever reads it sees every write.
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--auto-aof-rewrite-percentage",
            "0",
        ]);
        // Not in our group: Ctrl-C is for us, and we end it after those who need it.
        command.arg("--dir").arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.spawn().map_err(|error| format!("redis-server: {error}; `cargo xtask setup` installs it"))
    }

    fn kill(&mut self) -> Result<(), String> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(drop).map_err(|error| format!("redis-server: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Redis {
    /// One in a container of this image.
    pub(super) async fn container(image: &str) -> Result<Self, String> {
        // A fixed port of the host: a restarted container is given another one unless it asks.
        let port = free_port()?;
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let wanted = GenericImage::new(name, tag)
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
            .with_mapped_port(port, 6379.tcp())
            .with_cmd([
                "redis-server",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--protected-mode",
                "no",
            ]);
        let container = wanted.start().await.map_err(|error| format!("{image}: {error}"))?;
        Ok(Self { port, kind: Kind::Container(Box::new(container)) })
    }

    /// A private server, whose files are in `folder`.
    pub(super) fn server(folder: &Path) -> Result<Self, String> {
        let port = free_port()?;
        Ok(Self { port, kind: Kind::Server(Mutex::new(Server::start(port, folder.to_owned())?)) })
    }

    /// Its port, on the loopback.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The address, with a database of its own for each scenario.
    pub(super) fn url(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// What to say of it.
    pub(super) fn words(&self) -> String {
        match &self.kind {
            Kind::Container(container) => {
                format!("Redis in a container ({}), port {}", &container.id()[..12], self.port)
            }
            Kind::Server(..) => format!("a private redis-server, port {}", self.port),
        }
    }

    /// Waits until it answers.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let client = redis::Client::open(self.url(0)).map_err(|error| error.to_string())?;
        until("Redis answers", Duration::from_mins(1), async || {
            let Ok(mut link) = client.get_multiplexed_async_connection().await else { return Ok(None) };
            Ok(redis::cmd("PING").query_async::<()>(&mut link).await.ok())
        })
        .await
    }

    /// Kills it, leaves it dead for a while, and starts it again with what it had.
    pub(super) async fn restart(&self, dead: Duration) -> Result<(), String> {
        match &self.kind {
            Kind::Container(container) => {
                container.stop_with_timeout(Some(0)).await.map_err(|error| error.to_string())?;
                tokio::time::sleep(dead).await;
                container.start().await.map_err(|error| error.to_string())?;
            }
            Kind::Server(server) => {
                let mut server = server.lock().await;
                server.kill()?;
                tokio::time::sleep(dead).await;
                server.child = Server::spawn(server.port, &server.folder)?;
            }
        }
        self.ready().await
    }

    /// Ends it.
    pub(super) async fn end(self) {
        if let Kind::Container(container) = self.kind {
            drop(container.rm().await);
        }
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    bound.map(|it| it.port()).map_err(|error| format!("a free port: {error}"))
}
