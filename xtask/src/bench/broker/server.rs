//! A Redis for the bench alone: on a free port of the loopback, in a folder of its own, gone afterwards.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, aio::MultiplexedConnection};

use super::report::{Row, Unit};
use crate::workspace::{command, read, remove, target, write};

/// How long the server may take to answer for the first time, and any question afterwards.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest that a call of a script may take, in microseconds.
const SLOW: &str = "1000";

/// A running server. It ends with this.
pub(in crate::bench) struct Server {
    process: Process,
    /// `redis://127.0.0.1:PORT`
    pub url: String,
    client: Client,
    /// For questions; nothing that is measured goes through it.
    asks: MultiplexedConnection,
    ours: Slow,
    floor: Slow,
}

/// Whose calls the server has answered.
#[derive(Clone, Copy)]
pub(in crate::bench) enum Side {
    /// The broker's, while it did this.
    Ours(&'static str),
    Floor,
}

/// How long the server took for calls of scripts, in microseconds, by its own clock: from the beginning of a call to its end,
/// network and queueing left out.
#[derive(Clone, Copy)]
pub(in crate::bench) struct Calls {
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
    longest: f64,
}

/// What took long, of all calls of one side.
#[derive(Default)]
struct Slow {
    /// Over [`SLOW`].
    calls: usize,
    /// In microseconds, and during what.
    longest: (f64, &'static str),
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
    pub(in crate::bench) async fn start(append_only: bool) -> Result<Self, String> {
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
        // What SLOWLOG lists, and what INFO tells of every command.
        server.args(["--slowlog-log-slower-than", SLOW, "--slowlog-max-len", "100000"]);
        server.args([
            "--latency-tracking-info-percentiles",
            "50",
            "99",
            "100",
            "--auto-aof-rewrite-percentage",
            "0",
        ]);
        let child = server.stdout(Stdio::null()).spawn().map_err(|error| {
            format!("`redis-server` did not start: {error}; install Redis 7 or later, as your distribution packs it")
        })?;
        let process = Process { child, folder };
        let url = format!("redis://127.0.0.1:{port}");
        let client = Client::open(url.as_str()).map_err(|error| error.to_string())?;
        let asks = connected(&client).await?;
        let mut server = Self { process, url, client, asks, ours: Slow::default(), floor: Slow::default() };
        let answers = server.info("server", "process_id").await?;
        if answers != server.process.child.id().to_string() {
            return Err(format!("another server has port {port}; start the bench again"));
        }
        Ok(server)
    }

    /// A connection of its own, of the kind that the broker has.
    pub(in crate::bench) async fn connection(&self) -> Result<MultiplexedConnection, String> {
        connected(&self.client).await
    }

    /// An answer to any command.
    pub(in crate::bench) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, String> {
        let mut command = redis::cmd(words[0]);
        let answer = command.arg(&words[1..]).query_async(&mut self.asks).await;
        answer.map_err(|error| format!("`{}`: {error}", words.join(" ")))
    }

    /// One field of a section of INFO.
    pub(in crate::bench) async fn info(&mut self, section: &str, field: &str) -> Result<String, String> {
        let told: String = self.ask(&["INFO", section]).await?;
        let value = told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(str::to_owned).ok_or_else(|| format!("INFO {section} has no {field}: Redis 7 is needed"))
    }

    /// The script calls over 1 ms by the server's clock, and the longest. Without a limit: on a busy machine the clock goes on
    /// while another program has the processor, as the floor beside it shows. [`Server::watch`] leaves that out.
    #[expect(clippy::cast_precision_loss, reason = "few")]
    pub(in crate::bench) fn slowest(&self, suffix: &str) -> [Row; 2] {
        let count = [self.ours.calls as f64, self.floor.calls as f64];
        let count = Row::paired(
            format!("script calls over 1 ms of clock{suffix}"),
            Unit::Calls,
            &count[..1],
            "floor",
            &count[1..],
        );
        let (longest, doing) = self.ours.longest;
        let longest = Row::paired(
            format!("longest script call by the clock{suffix}, {doing}"),
            Unit::Millis,
            &[longest / 1000.0],
            "floor",
            &[self.floor.longest.0 / 1000.0],
        );
        [count, longest]
    }

    /// Forgets every key; not the scripts.
    pub(in crate::bench) async fn flush(&mut self) -> Result<(), String> {
        self.ask(&["FLUSHALL", "SYNC"]).await
    }

    /// What the calls of scripts took since the last time, all of them of one side.
    pub(in crate::bench) async fn settle(&mut self, side: Side) -> Result<Calls, String> {
        let sum = self.info("commandstats", "cmdstat_evalsha").await?;
        let spread = self.info("latencystats", "latency_percentiles_usec_evalsha").await?;
        let of = |line: &str, name| number(line, name).ok_or_else(|| format!("INFO has no {name}: {line}"));
        let calls = Calls {
            mean: of(&sum, "usec_per_call")?,
            p50: of(&spread, "p50")?,
            p99: of(&spread, "p99")?,
            longest: of(&spread, "p100")?,
        };
        let over = self.logged().await?.len();
        let (all, doing) = match side {
            Side::Ours(doing) => (&mut self.ours, doing),
            Side::Floor => (&mut self.floor, "claiming"),
        };
        all.calls += over;
        if calls.longest > all.longest.0 {
            all.longest = (calls.longest, doing);
        }
        self.ask::<()>(&["SLOWLOG", "RESET"]).await?;
        self.ask::<()>(&["CONFIG", "RESETSTAT"]).await?;
        Ok(calls)
    }

    /// What the calls of scripts in SLOWLOG took, in microseconds.
    async fn logged(&mut self) -> Result<Vec<u64>, String> {
        let log: Vec<(u64, u64, u64, Vec<String>, String, String)> =
            self.ask(&["SLOWLOG", "GET", "-1"]).await?;
        let scripts =
            log.into_iter().filter(|(.., words, _, _)| words.first().is_some_and(|it| it == "EVALSHA"));
        Ok(scripts.map(|(_, _, took, ..)| took).collect())
    }

    /// Lets SLOWLOG list every call, or those over 1 ms again.
    pub(in crate::bench) async fn log_all(&mut self, all: bool) -> Result<(), String> {
        let least = if all { "0" } else { SLOW };
        self.ask::<()>(&["CONFIG", "SET", "slowlog-log-slower-than", least]).await?;
        self.ask(&["SLOWLOG", "RESET"]).await
    }

    /// Awaits something, and says how long the longest script call meanwhile took, in microseconds: by the server's clock, or
    /// the processor time that it had, where that is less. A call from which the machine took the processor is not long.
    pub(in crate::bench) async fn watch<T>(
        &mut self,
        call: impl Future<Output = Result<T, String>>,
    ) -> Result<(T, f64), String> {
        self.ask::<()>(&["SLOWLOG", "RESET"]).await?;
        let before = self.processor_time().await?;
        let answer = call.await?;
        let spent = self.processor_time().await? - before;
        let longest = self.logged().await?.into_iter().max().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        Ok((answer, (longest as f64).min(spent)))
    }

    /// The time that the server's main thread has had a processor, in microseconds. The kernel counts it when the thread
    /// stops, so it is given a moment to become idle.
    pub(in crate::bench) async fn processor_time(&self) -> Result<f64, String> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let told = read(Path::new(&format!("/proc/{}/schedstat", self.process.child.id())))?;
        let nanoseconds = told.split(' ').next().and_then(|it| it.parse::<f64>().ok());
        Ok(nanoseconds.ok_or_else(|| format!("no processor time in {told:?}"))? / 1000.0)
    }
}

/// One number of a line of INFO: `name=1.5,…`.
fn number(line: &str, name: &str) -> Option<f64> {
    line.split(',').find_map(|it| it.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
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
