//! Room for open files: each process has a log file and the two ends of a pipe here, or twice that.

use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Two files, two pipes.
const FILES_OF_A_PROCESS: u64 = 6;
/// Ours, those who ask, probes.
const OWN_FILES: u64 = 256;

/// Lets us open as many files as the system allows, and returns what it allowed before: that is what our children get,
/// for some programs close every number they may have (and `select(2)` knows none above 1023).
///
/// The kernel's table grows to what `processes` will need: later, with threads, each time that it doubles everybody who
/// opens a file waits until all processors have noticed (`expand_fdtable` in `fs/file.c`), some 15 ms.
pub(crate) fn make(processes: usize) -> io::Result<Rlimit> {
    let before = getrlimit(Resource::Nofile);
    // What is refused shows where it matters: in an open file too many.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = OWN_FILES + FILES_OF_A_PROCESS * u64::try_from(processes).unwrap_or(u64::MAX / 8);
    let last = i32::try_from(wanted.min(most).saturating_sub(1)).unwrap_or(i32::MAX);
    let (file, _) = io::pipe()?;
    fcntl_dupfd_cloexec(file, last)?;
    Ok(before)
}
