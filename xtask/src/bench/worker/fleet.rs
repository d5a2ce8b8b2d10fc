//! `roster worker` processes, and what the kernel and Redis say of them.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    bench::broker::server::Server,
    workspace::{command, read, remove, target},
};

/// No step takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Worker processes of one queue. They end with this.
pub(super) struct Fleet {
    children: Vec<Child>,
    folder: PathBuf,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.children {
            _ = child.kill();
            _ = child.wait();
        }
        _ = remove(&self.folder);
    }
}

/// The commands that a worker sends; all others run inside its scripts.
const SENT: [&str; 7] =
    ["evalsha", "bzpopmin", "subscribe", "ping", "script|load", "hello", "client|setinfo"];

impl Fleet {
    /// Workers with a ComfyUI each, at these addresses.
    pub(super) fn start(server: &Server, services: &[String]) -> Result<Self, String> {
        let (target, mut children) = (target()?, Vec::new());
        let folder = target.join(format!("bench-worker-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for (index, service) in services.iter().enumerate() {
            let mut worker = command(target.join("release/roster"));
            worker.arg("worker").env_clear().current_dir(&folder);
            worker.env("REDIS_URL", &server.url).env("JOB_QUEUE", "fleet");
            worker.env("WORKER_ID", format!("bench-worker-comfyui-{index}"));
            worker.env("CONNECTOR", "comfyui").env("ACCEPTS", "comfyui").env("SERVICE_URL", service);
            worker.env("OUTPUT_URL", format!("file://{}", folder.display()));
            worker.stdout(Stdio::null()).stderr(Stdio::null());
            let child = worker.spawn().map_err(|error| format!("`roster worker` did not start: {error}"))?;
            children.push(child);
        }
        Ok(Self { children, folder })
    }

    /// Until so many of them wait for a job.
    pub(super) async fn waits(&self, server: &mut Server) -> Result<(), String> {
        let waiting = self.children.len().to_string();
        let end = Instant::now() + PATIENCE;
        while server.info("clients", "blocked_clients").await? != waiting {
            if Instant::now() > end {
                return Err("the workers do not wait for jobs".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How many commands Redis had from workers since [`Fleet::forget`], by name.
    pub(super) async fn commands(server: &mut Server) -> Result<f64, String> {
        let told: String = server.ask(&["INFO", "commandstats"]).await?;
        let mut calls = 0.0;
        for name in SENT {
            let prefix = format!("cmdstat_{name}:calls=");
            let line = told.lines().find_map(|it| it.strip_prefix(&prefix));
            let count = line.and_then(|it| it.split(',').next()?.parse::<f64>().ok());
            calls += count.unwrap_or_default();
        }
        Ok(calls)
    }

    /// Redis counts from 0 again.
    pub(super) async fn forget(server: &mut Server) -> Result<(), String> {
        server.ask(&["CONFIG", "RESETSTAT"]).await
    }

    /// The proportional set size of each, in megabytes: of what several processes share, each has its part.
    pub(super) fn memory(&self) -> Result<Vec<f64>, String> {
        self.each("smaps_rollup", "Pss:")
    }

    /// What each has for itself alone: the clean pages of the program, which all have in common, left out.
    pub(super) fn own(&self) -> Result<Vec<f64>, String> {
        self.each("smaps_rollup", "Pss_Anon:")
    }

    /// The most that each had resident, in megabytes, what it shares with others included.
    pub(super) fn peak(&self) -> Result<Vec<f64>, String> {
        self.each("status", "VmHWM:")
    }

    fn each(&self, file: &str, field: &str) -> Result<Vec<f64>, String> {
        let of = |child: &Child| {
            let told = read(Path::new(&format!("/proc/{}/{file}", child.id())))?;
            let line = told.lines().find_map(|it| it.strip_prefix(field));
            let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<f64>().ok());
            Ok(kib.ok_or_else(|| format!("no {field} in {file}"))? * 1024.0 / 1e6)
        };
        self.children.iter().map(of).collect()
    }

    /// The processor time that all of them have had, in seconds.
    pub(super) fn processor(&self) -> Result<f64, String> {
        let mut nanoseconds = 0.0;
        for child in &self.children {
            let tasks = format!("/proc/{}/task", child.id());
            let tasks = std::fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
            for task in tasks.flatten() {
                let told = read(&task.path().join("schedstat"))?;
                let first = told.split(' ').next().and_then(|it| it.parse::<f64>().ok());
                nanoseconds += first.unwrap_or_default();
            }
        }
        Ok(nanoseconds / 1e9)
    }
}
