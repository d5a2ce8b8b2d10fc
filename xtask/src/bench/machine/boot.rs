//! `roster run` from its exec on: when it answers, when it is ready, what it holds, and how soon it tells a death.
//!
//! It runs the profile `simulation` on a Redis of its own, from the files that `env-build` writes, as its users do.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::report::{Limit, Row, Unit, median};
use crate::workspace::{cargo, command, remove, root, run as start, target};

/// For what should take a moment.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most that we allow from exec to the first answer, and to ready, in milliseconds.
const LIVE_MS: f64 = 50.0;
const READY_MS: f64 = 2000.0;

/// A child that ends with this.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A folder with a generation, and the Redis that it runs on.
struct Machine {
    roster: PathBuf,
    folder: PathBuf,
    redis: u16,
    health: u16,
    services: u16,
    _server: Guarded,
}

/// From exec to the first answer, from exec to ready, and from the death of a service to `/services` saying so.
pub(super) fn boot(quick: bool) -> Result<Vec<Row>, String> {
    let machine = Machine::new("bench-machine-boot")?;
    machine.build("simulation:4")?;
    let (mut lives, mut readies, mut deaths) = (vec![], vec![], vec![]);
    for round in 0..=if quick { 2 } else { 10 } {
        let (process, live, ready) = machine.up()?;
        let death = machine.death()?;
        machine.down(process)?;
        // The first one warms the file cache.
        if round > 0 {
            lives.push(live);
            readies.push(ready);
            deaths.push(death);
        }
    }
    Ok(vec![
        Row::new("exec to 200 on `/live`", median(&lives), Unit::Millis).limit(Limit::AtMost(LIVE_MS)),
        Row::new("exec to ready, `simulation`", median(&readies), Unit::Millis)
            .limit(Limit::AtMost(READY_MS)),
        Row::new("death of a service to `/services` saying so", median(&deaths), Unit::Millis),
    ])
}

/// Memory of everything that `roster run` starts, what is shared counted in parts.
pub(super) fn memory(_: bool) -> Result<Vec<Row>, String> {
    let machine = Machine::new("bench-machine-memory")?;
    let mut rows = Vec::new();
    for workers in [10, 100] {
        machine.build(&format!("simulation:{workers}"))?;
        let (process, _, _) = machine.up()?;
        let pid = process.0.id();
        let all = tree(pid);
        let own = pss(pid)?;
        let sum = all.iter().map(|it| pss(*it)).sum::<Result<f64, _>>()?;
        machine.down(process)?;
        rows.push(Row::new(format!("PSS, {workers} workers, {} processes", all.len()), sum, Unit::Bytes));
        rows.push(Row::new(format!("PSS of `roster run` itself, {workers} workers"), own, Unit::Bytes));
    }
    Ok(rows)
}

impl Machine {
    fn new(name: &str) -> Result<Self, String> {
        start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
        let folder = target()?.join(name);
        remove(&folder)?;
        let said = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("redis")).map_err(said)?;
        let [redis, health, services] = [free()?, free()?, row()?];
        let mut server = command("redis-server");
        server.args(["--port", &redis.to_string(), "--save", "", "--dir"]).arg(folder.join("redis"));
        let server = server.stdout(Stdio::null()).spawn();
        let server =
            Guarded(server.map_err(|error| format!("redis-server: {error}; type `cargo xtask setup`"))?);
        wait("Redis", || TcpStream::connect((Ipv4Addr::LOCALHOST, redis)).is_ok())?;
        Ok(Self {
            roster: target()?.join("release/roster"),
            folder,
            redis,
            health,
            services,
            _server: server,
        })
    }

    fn command(&self) -> std::process::Command {
        let mut command = command(&self.roster);
        command.current_dir(&self.folder).env("XDG_RUNTIME_DIR", self.folder.join("run"));
        command.env("REDIS_URL", format!("redis://127.0.0.1:{}/0", self.redis));
        command.env("MACHINE_HEALTH_PORT", self.health.to_string());
        command.env("SIMULATION_BASE_PORT", self.services.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn build(&self, roster: &str) -> Result<(), String> {
        let mut build = self.command();
        build.args(["env-build", "simulation", "--spec", roster, "--out", "."]).arg("--root").arg(root());
        start(&mut build)
    }

    /// Starts it and waits until it is ready; milliseconds from exec to the first answer, and to ready.
    fn up(&self) -> Result<(Guarded, f64, f64), String> {
        let mut run = self.command();
        run.args(["run", "--out", "."]);
        let began = Instant::now();
        let process = Guarded(run.spawn().map_err(|error| format!("{}: {error}", self.roster.display()))?);
        wait("an answer", || self.get("/live").is_some_and(|it| it.0 == 200))?;
        let live = began.elapsed();
        wait("ready", || self.get("/ready").is_some_and(|it| it.0 == 200))?;
        Ok((process, millis(live), millis(began.elapsed())))
    }

    fn down(&self, mut process: Guarded) -> Result<(), String> {
        signal("TERM", u64::from(process.0.id()))?;
        process.0.wait().map(drop).map_err(|error| error.to_string())?;
        wait("the port", || self.get("/live").is_none())
    }

    /// Kills a service; milliseconds until its page is not what it was.
    fn death(&self) -> Result<f64, String> {
        const SERVICE: &str = "/services/simulation-service-0";
        let page = || self.get(SERVICE).map(|it| it.1).unwrap_or_default();
        let pid = page()["pid"].as_u64().ok_or("the service has no pid")?;
        let began = Instant::now();
        signal("KILL", pid)?;
        wait("the news", || page()["pid"].as_u64() != Some(pid))?;
        let took = began.elapsed();
        wait("ready again", || self.get("/ready").is_some_and(|it| it.0 == 200))?;
        Ok(millis(took))
    }

    fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.health)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let port = self.health;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, serde_json::from_str(body).unwrap_or_default()))
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn signal(name: &str, pid: u64) -> Result<(), String> {
    start(command("kill").args([&format!("-{name}"), &pid.to_string()]))
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{what} did not come"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn free() -> Result<u16, String> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    port.map(|it| it.port()).map_err(|error| format!("no free port: {error}"))
}

/// The first of four free ports in a row.
fn row() -> Result<u16, String> {
    let is_free = |it: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, it)).is_ok();
    let mut rows = (20_000..30_000).step_by(4);
    rows.find(|base| (*base..base + 4).all(is_free)).ok_or_else(|| "no four free ports in a row".into())
}

/// A process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
        all.extend(
            children
                .flat_map(|it| it.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<u32>>()),
        );
        at += 1;
    }
    all
}

/// Bytes of memory of a process, what it shares with others counted in parts.
fn pss(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|it| it.strip_prefix("Pss:")).unwrap_or_default();
    let kib: f64 =
        line.trim().trim_end_matches(" kB").trim().parse().map_err(|error| format!("{path}: {error}"))?;
    Ok(kib * 1024.0)
}
