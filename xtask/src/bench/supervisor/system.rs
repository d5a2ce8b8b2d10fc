//! What is measured: the floor, our supervisor, PM2, supervisord; each with the same children.

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};

use super::place::{Files, Place, Stamp, now, until};
use crate::workspace::{command, run, write};

/// Something that starts children and ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Floor,
    Ours,
    Pm2,
    Supervisord,
}

/// A system that runs. It is killed with this.
pub(super) struct Running<'a> {
    pub files: Files,
    /// When the command was given: see [`now`].
    pub began: f64,
    place: &'a Place,
    system: System,
    process: Child,
}

impl System {
    /// Those that stand beside ours, where they are installed.
    pub(super) fn beside(place: &Place) -> Vec<Self> {
        let all = [(Self::Pm2, &place.pm2), (Self::Supervisord, &place.supervisord)];
        all.into_iter().filter(|(_, it)| it.is_some()).map(|(it, _)| it).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "roster up",
            Self::Pm2 => "PM2",
            Self::Supervisord => "supervisord",
        }
    }

    /// Gives the command to start `count` children; returns at once.
    pub(super) fn start(self, place: &Place, count: usize) -> Result<Running<'_>, String> {
        let files = place.run()?;
        let mut command = match self {
            Self::Floor => {
                let mut command = command(&place.floor);
                command.args(["loop", &count.to_string()]).arg(files.path("stamps"));
                command
            }
            Self::Ours => {
                write(&files.path("ecosystem.json"), &ecosystem(place, &files, count, &child(&files)))?;
                up(place, &files)
            }
            Self::Pm2 => {
                write(&files.path("ecosystem.json"), &pm2_ecosystem(place, &files, count))?;
                let mut command = pm2(place, &files);
                command.arg("start").arg(files.path("ecosystem.json"));
                command
            }
            Self::Supervisord => {
                write(&files.path("supervisord.conf"), &supervisord_conf(place, &files, count))?;
                let mut command = command(place.supervisord.as_deref().unwrap_or(&place.roster));
                command.args(["-n", "-c"]).arg(files.path("supervisord.conf"));
                command
            }
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = now();
        let process = command.spawn().map_err(|error| format!("{} did not start: {error}", self.name()))?;
        Ok(Running { files, began, place, system: self, process })
    }
}

impl Running<'_> {
    /// The supervising process.
    pub(super) fn pid(&self) -> Result<Pid, String> {
        let pid = if self.system == System::Pm2 {
            let said = fs::read_to_string(self.files.path("pm2/pm2.pid")).unwrap_or_default();
            said.trim().parse().ok()
        } else {
            i32::try_from(self.process.id()).ok()
        };
        pid.and_then(Pid::from_raw).ok_or_else(|| format!("{} has no process", self.system.name()))
    }

    /// Asks for the end of everything; returns the milliseconds until the last of `children` is dead.
    pub(super) fn stop(mut self, children: &[Stamp]) -> Result<f64, String> {
        let open = |it: &Stamp| pidfd_open(Pid::from_raw(it.pid)?, PidfdFlags::empty()).ok();
        let handles: Vec<_> = children.iter().filter_map(open).collect();
        if handles.len() != children.len() {
            return Err(format!(
                "{}: {} children are gone",
                self.system.name(),
                children.len() - handles.len()
            ));
        }
        let asked = now();
        let mut ask = None;
        if self.system == System::Pm2 {
            let mut kill = pm2(self.place, &self.files);
            ask = Some(kill.arg("kill").stdout(Stdio::null()).spawn().map_err(|it| it.to_string())?);
        } else {
            kill_process(self.pid()?, Signal::TERM).map_err(|it| it.to_string())?;
        }
        for it in &handles {
            while poll(&mut [PollFd::new(it, PollFlags::IN)], None).is_err() {}
        }
        let took = now() - asked;
        if let Some(mut it) = ask {
            it.wait().map_err(|it| it.to_string())?;
        }
        let _ = self.process.wait();
        Ok(took)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.system == System::Pm2 {
            let _ = run(pm2(self.place, &self.files).arg("kill").stdout(Stdio::null()));
        } else if let Ok(pid) = self.pid()
            && self.process.try_wait().is_ok_and(|it| it.is_none())
        {
            let _ = kill_process(pid, Signal::TERM);
            let ended = || self.process.try_wait().ok().flatten();
            let _ = until("its end", ended);
        }
    }
}

/// Kills one child; returns the milliseconds until its replacement has stamped itself.
pub(super) fn kill(running: &Running<'_>, victim: Stamp) -> Result<f64, String> {
    let before = running.files.stamps().len();
    let pid = Pid::from_raw(victim.pid).ok_or("a stamp without a process")?;
    let killed = now();
    kill_process(pid, Signal::KILL).map_err(|it| format!("child {}: {it}", victim.pid))?;
    let stamps = running.files.wait_for(before + 1)?;
    // Whatever else it does about the death is done before the next one.
    sleep(Duration::from_millis(50));
    Ok(stamps[before].at - killed)
}

/// `roster up` on the ecosystem among `files`.
pub(super) fn up(place: &Place, files: &Files) -> Command {
    let mut command = command(&place.roster);
    command.arg("up").arg("--ecosystem").arg(files.path("ecosystem.json"));
    command.arg("--socket").arg(files.path("up.sock"));
    command
}

fn pm2(place: &Place, files: &Files) -> Command {
    let mut command = command(place.pm2.as_deref().unwrap_or(&place.roster));
    command.env("PM2_HOME", files.path("pm2"));
    command
}

fn child(files: &Files) -> Vec<String> {
    vec!["child".to_owned(), files.text("stamps")]
}

fn app(place: &Place, files: &Files, number: usize, args: &[String]) -> Value {
    let name = format!("child-{number}");
    let log = files.text(&format!("logs/{name}.log"));
    json!({
        "name": name, "script": place.floor, "args": args, "interpreter": "none", "exec_mode": "fork",
        "cwd": "/", "env": {}, "autorestart": true, "kill_timeout": 5000, "min_uptime": 1000, "max_restarts": 16,
        "out_file": log, "error_file": log, "merge_logs": true, "vizion": false,
    })
}

/// A document of `count` apps.
pub(super) fn ecosystem(place: &Place, files: &Files, count: usize, args: &[String]) -> String {
    let app = |number| {
        let mut app = app(place, files, number, args);
        app["exp_backoff_restart_delay"] = json!(100);
        app["roster"] =
            json!({ "kind": "worker", "service": "bench", "stop_signal": "SIGTERM", "cause": [] });
        app
    };
    let apps: Vec<Value> = (0..count).map(app).collect();
    json!({
        "schema_version": 1, "machine": "bench", "health_port": 9090, "apps": apps, "setup": [], "external": []
    })
    .to_string()
}

/// PM2 would wait before the first restart too if it were given a back-off.
fn pm2_ecosystem(place: &Place, files: &Files, count: usize) -> String {
    let apps: Vec<Value> = (0..count).map(|it| app(place, files, it, &child(files))).collect();
    json!({ "apps": apps }).to_string()
}

fn supervisord_conf(place: &Place, files: &Files, count: usize) -> String {
    let (own, logs) = (files.text("supervisord"), files.path("logs"));
    let _ = fs::create_dir_all(&logs);
    let mut text = format!("[supervisord]\nlogfile={own}.log\npidfile={own}.pid\nminfds=4096\n");
    for it in 0..count {
        let log = logs.join(format!("child-{it}.log"));
        let (program, stamps, log) = (place.floor.display(), files.text("stamps"), log.display());
        let _ = write!(
            text,
            "[program:child-{it}]\ncommand={program} child {stamps}\nredirect_stderr=true\nstdout_logfile={log}\n"
        );
    }
    text
}
