//! What the processes say, in files: captured byte for byte, kept within bounds, and read back.
//!
//! One thread moves the bytes of every pipe through one buffer, a piece of each in turn: an idle pipe costs no memory,
//! a flood does not keep its neighbours waiting, and a slow disk holds up neither restarts nor probes.
//!
//! | file | holds |
//! |---|---|
//! | `pump` | the thread |
//! | `redact` | secrets taken out of a stream |
//! | `line` | a stream as lines with a time |
//! | `rotation` | a file that is put away when it is full |
//! | `archive` | the files put away: their numbers, the disk cap, gzip |
//! | `read` | the last lines, and what comes after them |

mod archive;
mod line;
mod pump;
mod read;
mod redact;
mod rotation;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use archive::{Archive, Shelf};
use line::Lines;
use pump::{Pump, Source};
use redact::Redactor;
use rotation::Log;

pub(crate) use line::Stream;

pub use line::Form;
pub use read::LogReader;

/// How much of the output is kept, and in what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Bytes after which a file is put away: at the end of a line, if there is one.
    pub bytes: u64,
    /// The age at which a file is put away, before the next line that is written; `None`: at any age it stays.
    pub age: Option<Duration>,
    /// Files put away, `x.log.1` the youngest, before the oldest is deleted.
    pub files: u32,
    /// Whether files that are put away are compressed, to `x.log.1.gz`.
    pub gzip: bool,
    /// Bytes that all files together may take; `None`: no limit. The oldest file of the process that takes most is
    /// deleted first. No file grows beyond its share of half of this, so that no process needs the room of another.
    pub total: Option<u64>,
    /// What a line looks like.
    pub form: Form,
}

impl Default for Keep {
    /// 10 MiB and five old files, 60 MiB a process at most; 1 GiB altogether.
    fn default() -> Self {
        Self { bytes: 10 << 20, age: None, files: 5, gzip: false, total: Some(1 << 30), form: Form::Plain }
    }
}

/// The log files of a supervisor.
pub struct Logs {
    archive: Arc<Archive>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Started with the first pipe.
    pump: Option<Arc<Pump>>,
    /// Those that are written to: two pipes into one file share it.
    open: BTreeMap<PathBuf, Weak<Mutex<Log>>>,
    redactor: Arc<Redactor>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("keep", self.archive.keep()).finish_non_exhaustive()
    }
}

impl Logs {
    /// Log files of which `keep` is kept.
    pub fn new(keep: Keep) -> Self {
        Self { archive: Arc::new(Archive::new(keep)), state: Mutex::default() }
    }

    /// Whether the two streams of a process can share a pipe into one file: then the order of their lines survives.
    pub(crate) fn mixes_streams(&self) -> bool {
        self.archive.keep().form == Form::Plain
    }

    /// From now on these values appear in no file; those of up to 6 bytes are too common to be told from other text.
    pub(crate) fn redact<'a>(&self, secrets: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut state = self.state();
        let Some(redactor) = state.redactor.with(secrets)? else { return Ok(()) };
        state.redactor = Arc::new(redactor);
        if let Some(pump) = &state.pump {
            pump.redact(state.redactor.clone());
        }
        Ok(())
    }

    /// A pipe into the file at `path`, which is made if it is not there.
    pub(crate) fn open(&self, path: &Path, process: &str, stream: Stream) -> io::Result<Pipe> {
        let mut state = self.state();
        let open = state.open.get(path).and_then(Weak::upgrade);
        let log =
            open.map_or_else(|| Log::open(path, &self.archive).map(|it| Arc::new(Mutex::new(it))), Ok)?;
        state.open.insert(path.to_owned(), Arc::downgrade(&log));
        let started = state.pump.clone();
        let pump = started.map_or_else(|| Pump::start(state.redactor.clone()).map(Arc::new), Ok)?;
        state.pump = Some(pump.clone());
        let (reader, writer) = io::pipe()?;
        let lines = Lines::new(self.archive.keep().form, process, stream);
        let source = pump.add(Source::new(reader.into(), log, lines)?);
        Ok(Pipe { writer: writer.into(), pump, source })
    }

    /// The last `lines` lines of the file at `path` and of those that were put away from it; with `follow`, also what
    /// is written from then on, for as long as the supervisor lives. A path that was never written to is an error of
    /// the kind `NotFound`. It reads files until it has found the first of the lines: do not call it where nothing may
    /// block.
    pub fn read(&self, path: &Path, lines: usize, follow: bool) -> io::Result<LogReader> {
        if let Some(shelf) = self.archive.shelf(path) {
            return LogReader::open(shelf, lines, follow);
        }
        let found = Arc::new(Shelf::find(path)?);
        // Somebody may begin to write to it, and then has to know who listens.
        LogReader::open(if follow { self.archive.take(path)? } else { found }, lines, follow)
    }

    /// Bytes that the disk refused, of all processes: they are in no file.
    pub fn lost(&self) -> u64 {
        self.archive.lost()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pipe into a log. It outlives the runs of a process: what one run wrote last is not lost to the next.
#[derive(Debug)]
pub(crate) struct Pipe {
    writer: OwnedFd,
    pump: Arc<Pump>,
    source: u64,
}

impl Pipe {
    /// The end for a process to write to.
    pub(crate) fn writer(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }

    /// The process has ended: a line that it did not end is written as it is.
    pub(crate) fn settle(&self) {
        self.pump.settle(self.source);
    }

    /// Waits until all that was written is in the file.
    pub(crate) async fn close(self) {
        drop(self.writer);
        self.pump.close(self.source).await;
    }
}

#[cfg(test)]
mod tests;
