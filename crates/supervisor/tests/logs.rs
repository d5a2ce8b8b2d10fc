//! Real processes that say too much, say what nobody may know, or take too much memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ecosystem::{App, Ecosystem};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use spec::source::SourceText;
use supervisor::{MemorySource, Meter};
use tempfile::TempDir;

const FIXTURE: &str = env!("CARGO_BIN_EXE_supervisor-fixture");
/// Nothing here takes a tenth of it; it ends what hangs.
const DEADLINE: Duration = Duration::from_mins(2);
const MIB: u64 = 1 << 20;

/// A supervisor in a process of its own.
struct Supervised {
    folder: TempDir,
    process: Child,
    lines: Receiver<String>,
}

impl Supervised {
    /// `keep`: bytes a file, old files, bytes of all.
    fn start(keep: [u64; 3], apps: &[App]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ecosystem = one();
        ecosystem.apps = apps.to_vec();
        for app in &mut ecosystem.apps {
            let log = folder.path().join(format!("{}.log", app.name)).display().to_string();
            (app.out_file, app.error_file) = (log.clone(), log);
        }
        let file = folder.path().join("ecosystem.json");
        fs::write(&file, ecosystem.to_json()).unwrap();
        let mut command = Command::new(FIXTURE);
        command.arg("supervise-keeping").args(keep.map(|it| it.to_string())).arg(file);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|it| sender.send(it)));
        Self { folder, process, lines }
    }

    /// Waits for a line that starts so; returns all of it.
    fn wait(&self, start: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|it| panic!("no `{start}`: {it}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// The files of a process, the oldest first.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        let active = self.folder.path().join(format!("{name}.log"));
        let old = (1..200).rev().map(|it| PathBuf::from(format!("{}.{it}", active.display())));
        old.chain([active.clone()]).filter(|it| it.exists()).collect()
    }

    fn said(&self, name: &str) -> String {
        self.files(name).iter().map(|it| fs::read_to_string(it).unwrap()).collect()
    }

    fn stop(&mut self) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
        let marker = format!("ROSTER_PROCESS={}.", pid.as_raw_nonzero());
        let environments = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|it| fs::read(it.path().join("environ")).ok());
        let marked = |it: &Vec<u8>| it.split(|byte| *byte == 0).any(|it| it.starts_with(marker.as_bytes()));
        assert_eq!(environments.filter(marked).count(), 0, "left after the stop");
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn one() -> Ecosystem {
    Ecosystem::read(&SourceText::open("one.json", include_str!("one.json"))).unwrap()
}

/// The fixture with these arguments; 2 starts within its budget, a grace of 200 ms.
fn app(name: &str, args: &[&str]) -> App {
    App {
        name: name.parse().unwrap(),
        script: FIXTURE.into(),
        args: args.iter().map(|it| (*it).to_owned()).collect(),
        max_restarts: 2,
        exp_backoff_restart_delay: 10,
        kill_timeout: 200,
        ..one().apps.remove(0)
    }
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn no_byte_of_a_flood_is_lost_or_out_of_place() {
    const BLOCKS: usize = 3200;
    let flood = App { autorestart: false, ..app("flood", &["flood", &BLOCKS.to_string()]) };
    let mut it = Supervised::start([8 * MIB, 99, 1 << 30], &[flood]);
    it.wait("flood completed");
    it.stop();
    let line = [&[0xFF, 0xFE, 0x00][..], &[b'x'; 60], b"\n"].concat();
    let (block, mut read, mut buffer) = (line.repeat(1024), 0, vec![0; 64 << 10]);
    for path in it.files("flood") {
        let (mut file, mut size) = (File::open(&path).unwrap(), 0);
        loop {
            // Whole lines, so that each piece begins where one does.
            let length = file.by_ref().take(64 << 10).read(&mut buffer).unwrap();
            assert!(buffer[..length] == block[..length] && length % line.len() == 0, "{}", path.display());
            size += length;
            if length == 0 {
                break;
            }
        }
        assert!(size as u64 <= 8 * MIB);
        read += size;
    }
    assert_eq!(read, BLOCKS << 16);
}

#[test]
fn a_flood_keeps_no_neighbour_waiting_and_stays_within_its_cap() {
    let crashing = App { max_restarts: 100, ..app("crashing", &["parent", "deaf", "crashes"]) };
    let apps = [app("flood", &["flood-without-end"]), app("calm", &["tell", "NOTHING"]), crashing];
    let mut it = Supervised::start([4 * MIB, 50, 16 * MIB], &apps);
    wait_until("the flood has filled its cap", || it.files("flood").len() > 2);
    wait_until("the calm one was heard", || it.said("calm") == "\n");
    // Started again and again, beside the flood.
    for _ in 0..5 {
        it.wait("crashing healthy");
    }
    it.stop();
    let size = |name| it.files(name).iter().map(|it| fs::metadata(it).unwrap().len()).sum::<u64>();
    assert!(size("flood") <= 16 * MIB, "{}", size("flood"));
    assert!(size("flood") > 4 * MIB, "{}", size("flood"));
    assert_eq!(it.said("calm"), "\n");
}

#[test]
fn a_secret_that_a_process_was_given_is_not_in_its_log() {
    let mut tells = app("tells", &["tell", "CANARY"]);
    tells.roster.secrets = vec!["CANARY".parse().unwrap()];
    let mut it = Supervised::start([MIB, 5, MIB], &[tells]);
    wait_until("it has told", || it.said("tells").ends_with('\n'));
    it.stop();
    assert_eq!(it.said("tells"), "[redacted]\n");
}

#[test]
fn a_process_whose_children_take_too_much_memory_is_replaced_and_then_given_up() {
    let hoard = App { max_memory_restart: Some(100 * MIB), ..app("hoard", &["parent", "hoard", "lives"]) };
    let mut it = Supervised::start([MIB, 5, MIB], &[hoard, app("calm", &["run"])]);
    let told = [it.wait("hoard stopping: "), it.wait("hoard backing off: "), it.wait("hoard failed: ")];
    for it in told {
        let (_, reason) = it.split_once(": ").unwrap();
        let (mib, rest) = reason.split_once(' ').unwrap();
        assert_eq!(rest, "MiB of memory, above its limit of 100 MiB");
        // It may be seen while it still grows.
        assert!((100..250).contains(&mib.parse().unwrap()), "{it}");
    }
    it.stop();
}

#[test]
fn a_process_is_measured_alone_and_with_what_is_below_it() {
    let mut parent =
        Command::new(FIXTURE).args(["parent", "hoard", "lives"]).process_group(0).spawn().unwrap();
    let (meter, pid) = (Meter::default(), supervisor::Pid(parent.id().try_into().unwrap()));
    let usage = || meter.measure(&[pid]).remove(&pid).unwrap();
    wait_until("the child has its memory", || usage().tree.memory_bytes > 200 * MIB);
    let usage = usage();
    let numbers = |it: &supervisor::Resources| (it.processes, it.threads, it.memory_source, it.open_fds > 3);
    assert_eq!(numbers(&usage.process), (1, 1, MemorySource::Pss, true));
    assert_eq!(numbers(&usage.tree), (2, 2, MemorySource::Pss, true));
    assert!(usage.process.memory_bytes < 50 * MIB && usage.process.resident_memory_bytes < 50 * MIB);
    assert!(usage.tree.cpu_seconds_total > 0.0 && usage.tree.cpu_percent.is_some());
    assert!(usage.uptime_seconds < DEADLINE.as_secs_f64());
    kill_process_group(Pid::from_raw(parent.id().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    parent.wait().unwrap();
    assert!(meter.measure(&[pid]).is_empty());
}
