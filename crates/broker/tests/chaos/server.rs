//! A Redis of a run, on a socket in the run's folder, that can be killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long Redis may take to start, reading its file again.
const LONG: Duration = Duration::from_mins(1);

pub struct Server {
    folder: PathBuf,
    /// Whether what was acknowledged survives a `SIGKILL`.
    always: bool,
    child: Child,
}

impl Server {
    /// Whether there is a Redis. In CI there has to be.
    pub fn is_there() -> bool {
        let told = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        let ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(told.is_ok() || !ci, "`redis-server` is needed in CI");
        told.is_ok()
    }

    /// Starts one that writes every change to a file, which is never rewritten: it is the history of the run.
    pub async fn start(folder: &Path, always: bool) -> Self {
        let child = spawn(folder, always);
        let server = Self { folder: folder.into(), always, child };
        server.wait().await;
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// A connection past every proxy.
    pub fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(format!("redis+unix://{}", self.socket().display()))?.get_connection()
    }

    /// Ends it, by `SIGKILL` or as one who shuts down a machine would, and starts it again.
    pub async fn restart(&mut self, kill: bool) {
        self.stop(kill);
        self.child = spawn(&self.folder, self.always);
        self.wait().await;
    }

    /// Ends it.
    pub fn stop(&mut self, kill: bool) {
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap();
    }

    /// Until it answers.
    async fn wait(&self) {
        let end = Instant::now() + LONG;
        let answers = || redis::cmd("PING").exec(&mut self.connect()?);
        while let Err(error) = answers() {
            assert!(Instant::now() < end, "`redis-server` does not start: {error}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn spawn(folder: &Path, always: bool) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]);
    command.args(["--appendfsync", if always { "always" } else { "everysec" }]);
    command.arg("--unixsocket").arg(folder.join("socket")).arg("--dir").arg(folder);
    command.arg("--logfile").arg(folder.join("redis.txt"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
