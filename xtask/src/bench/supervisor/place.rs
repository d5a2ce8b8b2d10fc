//! The programs that are measured, a folder for their files, and the clock that children stamp themselves with.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::workspace::{cargo, command, remove, root, run as start, target, tools, write};

/// How long anything may take. Nothing takes a tenth of it.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks: what is waited for stamps itself, so it costs no precision.
const LOOK: Duration = Duration::from_millis(2);

/// Where the bench works.
pub(super) struct Place {
    pub roster: PathBuf,
    /// The floor and every child.
    pub floor: PathBuf,
    pub pm2: Option<PathBuf>,
    pub supervisord: Option<PathBuf>,
    folder: PathBuf,
    memory: Option<PathBuf>,
    runs: Cell<u32>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for it in self.memory.iter().chain([&self.folder]) {
            let _ = remove(it);
        }
    }
}

/// Which child, and when its program began, in milliseconds of [`now`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamp {
    pub pid: i32,
    pub at: f64,
}

/// Milliseconds since some moment: the clock that children read too.
#[expect(clippy::cast_precision_loss, reason = "below a microsecond after a century")]
pub(super) fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Waits until `look` has found something.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
        }
        sleep(LOOK);
    }
}

impl Place {
    /// Builds what is shipped, and the floor with the C compiler that Rust links with.
    pub(super) fn new() -> Result<Self, String> {
        start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
        let target = target()?;
        let folder = target.join("bench-supervisor");
        remove(&folder)?;
        write(
            &folder.join("README"),
            "Files of `cargo xtask bench supervisor`; they can go if none runs.\n",
        )?;
        let floor = folder.join("floor");
        let source = root().join("xtask/src/bench/supervisor/floor.c");
        // Static, so that what is measured is the start of a process and not of a linker.
        start(command("cc").args(["-O2", "-static", "-o"]).arg(&floor).arg(source))?;
        let memory = PathBuf::from(format!("/dev/shm/roster-bench-{}", std::process::id()));
        let memory = fs::create_dir(&memory).is_ok().then_some(memory);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = |name| std::env::split_paths(&path).map(move |it| it.join(name));
        let pm2 = [tools().join("npm/node_modules/.bin/pm2")].into_iter().chain(on_path("pm2"));
        let supervisord = on_path("supervisord").find(|it| it.is_file());
        let pm2 = pm2.into_iter().find(|it| it.is_file());
        Ok(Self {
            roster: target.join("release/roster"),
            floor,
            pm2,
            supervisord,
            folder,
            memory,
            runs: Cell::new(0),
        })
    }

    /// A folder for one run, empty but for the file that children stamp; in memory where that can be, so that nobody
    /// waits for a disk: ext4 takes its time to make files soon after others were deleted.
    pub(super) fn run(&self) -> Result<Files, String> {
        self.files(self.memory.as_ref().unwrap_or(&self.folder))
    }

    /// The same on a disk.
    pub(super) fn run_on_disk(&self) -> Result<Files, String> {
        self.files(&self.folder)
    }

    fn files(&self, folder: &Path) -> Result<Files, String> {
        let number = self.runs.get();
        self.runs.set(number + 1);
        let folder = folder.join(number.to_string());
        write(&folder.join("stamps"), "")?;
        Ok(Files { folder })
    }
}

/// The files of one run.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Deletes them.
    pub(super) fn clear(self) -> Result<(), String> {
        remove(&self.folder)
    }

    pub(super) fn stamps(&self) -> Vec<Stamp> {
        stamps(&self.path("stamps"))
    }

    /// The first `count` stamps, once they are there.
    pub(super) fn wait_for(&self, count: usize) -> Result<Vec<Stamp>, String> {
        until(&format!("{count} children"), || Some(self.stamps()).filter(|it| it.len() >= count))
    }
}

#[expect(clippy::cast_precision_loss, reason = "below a microsecond after a century")]
fn stamps(path: &Path) -> Vec<Stamp> {
    let bytes = fs::read(path).unwrap_or_default();
    let (records, _) = bytes.as_chunks::<16>();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let stamp = |it: &[u8; 16]| Stamp {
        pid: i32::try_from(number(&it[..8])).unwrap_or_default(),
        at: number(&it[8..]) as f64 / 1e6,
    };
    records.iter().map(stamp).collect()
}

#[test]
fn a_stamp_is_read_as_a_child_writes_it() {
    let folder = tempfile();
    write(&folder, "").expect("a file");
    let record = [7_u64.to_le_bytes(), 1_500_000_u64.to_le_bytes()].concat();
    fs::write(&folder, [&record[..], &record[..9]].concat()).expect("a file");
    assert_eq!(stamps(&folder), [Stamp { pid: 7, at: 1.5 }]);
    fs::remove_file(folder).expect("a file");
}

#[cfg(test)]
fn tempfile() -> PathBuf {
    std::env::temp_dir().join(format!("roster-stamps-{}", std::process::id()))
}
