//! The logs of processes, as somebody asks for them.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spec::ids::ProcessName;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::handle::{Control, LogFiles};
use super::protocol::LogLine;
use crate::log::Logs;

/// Between two looks for a log that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Lines on their way.
const LINES: usize = 256;
/// A longer line is told in pieces: a process that never ends one must not fill our memory.
const LINE: usize = 1 << 20;

/// Lines of the logs of processes, one after the other. Dropped, it reads no further.
#[derive(Debug)]
pub struct LogLines {
    lines: mpsc::Receiver<LogLine>,
    reading: AbortHandle,
    /// Whose end is the end of what is followed.
    supervisor: Option<Control>,
}

impl LogLines {
    /// Follows the logs for as long as `supervisor` runs; without it, reads what there is.
    pub(super) fn read(
        logs: Arc<Logs>,
        files: Vec<LogFiles>,
        lines: u32,
        supervisor: Option<Control>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(LINES);
        let reading = tokio::spawn(read(logs, files, lines, supervisor.is_some(), sender));
        Self { lines: receiver, reading: reading.abort_handle(), supervisor }
    }

    /// The next line, or a piece of one above 1 MiB; `None` after the last. What is dropped while it waits has lost
    /// nothing.
    pub async fn next(&mut self) -> Option<LogLine> {
        match &self.supervisor {
            None => self.lines.recv().await,
            Some(supervisor) => tokio::select! {
                line = self.lines.recv() => line,
                () = supervisor.ended() => None,
            },
        }
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Sends the last `lines` of every file, one after the other; or, if they are followed, of all at once and what comes,
/// until nobody wants it.
async fn read(logs: Arc<Logs>, files: Vec<LogFiles>, lines: u32, follow: bool, to: mpsc::Sender<LogLine>) {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let mut followed = JoinSet::new();
    for LogFiles { process, files } in files {
        for path in files {
            let (logs, process, to) = (logs.clone(), process.clone(), to.clone());
            let reading = read_one(logs, process, path, lines, follow, to);
            if follow {
                followed.spawn(reading);
            } else {
                // What the asker does not want any more is not read further.
                let _ = reading.await;
            }
        }
    }
    while followed.join_next().await.is_some() {}
}

/// `None` as soon as nobody wants it, or when the disk refuses.
async fn read_one(
    logs: Arc<Logs>,
    process: ProcessName,
    path: PathBuf,
    lines: usize,
    follow: bool,
    to: mpsc::Sender<LogLine>,
) -> Option<()> {
    let mut reader = loop {
        let (logs, path) = (logs.clone(), path.clone());
        match spawn_blocking(move || logs.read(&path, lines, follow)).await.ok()? {
            Ok(it) => break it,
            // It has not been started yet.
            Err(error) if error.kind() == ErrorKind::NotFound && follow && !to.is_closed() => {
                sleep(LOOK_AGAIN).await;
            }
            Err(_) => return None,
        }
    };
    let mut begun = Vec::new();
    while let Some(bytes) = reader.next().await.ok()? {
        for piece in bytes.split_inclusive(|it| *it == b'\n') {
            begun.extend_from_slice(piece);
            let ended = begun.pop_if(|it| *it == b'\n').is_some();
            if ended || begun.len() >= LINE {
                let line = std::mem::take(&mut begun).into();
                to.send(LogLine { process: process.clone(), line }).await.ok()?;
            }
        }
    }
    if !begun.is_empty() {
        to.send(LogLine { process, line: begun.into() }).await.ok()?;
    }
    Some(())
}
