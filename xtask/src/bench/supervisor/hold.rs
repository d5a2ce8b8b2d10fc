//! What it costs to have children that do nothing: memory, and processor time.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Pid;

use super::Scale;
use super::place::Place;
use super::system::System;
use crate::bench::report::{Limit, Row, Unit};

/// Children, and the bytes that the supervisor may take with them.
const MEMORY: [(usize, f64); 2] = [(50, 4e6), (200, 6e6)];
/// Of one processor.
const IDLE: f64 = 0.1;
/// Until what a start needs is given back.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) fn run(place: &Place, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for system in [System::Ours].into_iter().chain(System::beside(place)) {
        for (count, most) in MEMORY {
            let running = system.start(place, count)?;
            running.files.wait_for(count)?;
            sleep(SETTLED);
            let (pid, name) = (running.pid()?, system.name());
            let memory = Row::new(format!("PSS with {count} children, {name}"), pss(pid)?, Unit::Bytes);
            let ours = system == System::Ours;
            rows.push(if ours { memory.limit(Limit::AtMost(most)) } else { memory });
            let before = processor_seconds(pid)?;
            let seconds = Duration::from_secs(scale.idle);
            sleep(seconds);
            let percent = (processor_seconds(pid)? - before) / seconds.as_secs_f64() * 100.0;
            let idle =
                Row::new(format!("processor with {count} idle children, {name}"), percent, Unit::Percent);
            rows.push(if ours { idle.limit(Limit::AtMost(IDLE)) } else { idle });
        }
    }
    Ok(rows)
}

/// Bytes of a process, of what it shares only its part.
fn pss(pid: Pid) -> Result<f64, String> {
    let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|it| it.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    let kibibytes: f64 =
        line.and_then(|it| it.trim().parse().ok()).ok_or_else(|| format!("{path} says nothing"))?;
    Ok(kibibytes * 1024.0)
}

/// What all threads of a process have had of a processor: to the nanosecond, where `stat` counts hundredths.
pub(super) fn processor_seconds(pid: Pid) -> Result<f64, String> {
    let path = format!("/proc/{}/task", pid.as_raw_nonzero());
    let threads = fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
    let spent = threads.flatten().filter_map(|it| {
        let said = fs::read_to_string(it.path().join("schedstat")).ok()?;
        said.split(' ').next()?.parse::<f64>().ok()
    });
    Ok(spent.sum::<f64>() / 1e9)
}
