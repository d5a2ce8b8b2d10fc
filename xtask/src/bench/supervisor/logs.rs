//! A flood of lines into files that are rotated, beside a loop that only moves the bytes.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::process::Stdio;

use super::Scale;
use super::hold::processor_seconds;
use super::place::{Files, Place, now, until};
use super::system::{ecosystem, up};
use crate::bench::report::{Limit, Row, Unit, median};
use crate::workspace::{command, output, write};

const BYTES: u64 = 200_000_000;
const LINE: usize = 100;
/// So large is a file, and so many are kept: enough for all of it.
const KEEP: [&str; 4] = ["--log-size", "50MiB", "--log-files", "5"];

/// What one run took.
struct Moved {
    /// Bytes a second.
    rate: f64,
    processor: f64,
    lost: u64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn run(place: &Place, scale: &Scale) -> Result<Vec<Row>, String> {
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        floor.push(pump(place)?);
        ours.push(through_ours(place)?);
    }
    let of = |all: &[Moved], get: fn(&Moved) -> f64| all.iter().map(get).collect::<Vec<_>>();
    let [rates, floors] = [&ours, &floor].map(|it| of(it, |it| it.rate));
    let lost: u64 = ours.iter().map(|it| it.lost).sum();
    let pump = median(&of(&floor, |it| it.processor));
    Ok(vec![
        Row::paired("200 MB of lines, rotated at 50 MiB", Unit::BytesPerSecond, &rates, "pump", &floors)
            .limit(Limit::RatioAtLeast(0.7)),
        Row::new("processor for 200 MB", median(&of(&ours, |it| it.processor)), Unit::Seconds)
            .beside(pump, "pump")
            .limit(Limit::AtMost(0.2)),
        Row::new("bytes lost", lost as f64, Unit::Bytes).limit(Limit::AtMost(0.0)),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn pump(place: &Place) -> Result<Moved, String> {
    let files = place.run_on_disk()?;
    let mut pump = command(&place.floor);
    let said = output(pump.arg("pump").arg(files.path("pumped")).arg(BYTES.to_string()))?;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let [nanoseconds, processor] = numbers[..] else { return Err(format!("the pump said `{said}`")) };
    let lost = BYTES - in_order(&[files.path("pumped")])?;
    if lost > 0 {
        return Err(format!("the pump has lost {lost} bytes"));
    }
    files.clear()?;
    Ok(Moved { rate: BYTES as f64 / nanoseconds * 1e9, processor: processor / 1e9, lost })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn through_ours(place: &Place) -> Result<Moved, String> {
    let files = place.run_on_disk()?;
    let flood = ["flood".to_owned(), files.text("stamps"), BYTES.to_string()];
    let once = ecosystem(place, &files, 1, &flood).replace("\"autorestart\":true", "\"autorestart\":false");
    write(&files.path("ecosystem.json"), &once)?;
    let mut process = up(place, &files)
        .args(KEEP)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("roster up did not start: {error}"))?;
    let pid =
        i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process")?;
    let began = files.wait_for(1)?[0].at;
    let before = processor_seconds(pid)?;
    let size = || kept(&files).iter().filter_map(|it| fs::metadata(it).ok()).map(|it| it.len()).sum::<u64>();
    let ended = until("the end of the flood", || (size() >= BYTES).then(now));
    let processor = processor_seconds(pid);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(|it| it.to_string())?;
    process.wait().map_err(|it| it.to_string())?;
    let lost = BYTES - in_order(&kept(&files))?;
    files.clear()?;
    Ok(Moved { rate: BYTES as f64 / (ended? - began) * 1e3, processor: processor? - before, lost })
}

/// The files of the log, the oldest first.
fn kept(files: &Files) -> Vec<PathBuf> {
    let active = files.text("logs/child-0.log");
    let old = (1..=5).rev().map(|it| PathBuf::from(format!("{active}.{it}")));
    old.chain([PathBuf::from(&active)]).filter(|it| it.exists()).collect()
}

/// How many bytes of the files are the flood's lines, each once and in its place.
fn in_order(paths: &[PathBuf]) -> Result<u64, String> {
    let (mut line, mut number) = ([0; LINE], 0_u64);
    for path in paths {
        let failed = |error| format!("{}: {error}", path.display());
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
        while file.read_exact(&mut line).is_ok() {
            let said = std::str::from_utf8(&line[LINE - 11..LINE - 1]).ok().and_then(|it| it.parse().ok());
            if said != Some(number) {
                return Ok(number * LINE as u64);
            }
            number += 1;
        }
    }
    Ok(number * LINE as u64)
}
