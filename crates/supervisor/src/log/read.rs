//! The end of a log, and what is written after it, in memory of a fixed size.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::watch;

use super::archive::{Content, Shelf};

const CHUNK: usize = 64 << 10;

/// Reads a log from some line on, through the files that were put away to the one that is written to.
pub struct LogReader {
    shelf: Arc<Shelf>,
    content: Content,
    /// Which file `content` is.
    generation: u64,
    /// Read and not handed out.
    ahead: Vec<u8>,
    /// If it follows.
    written: Option<watch::Receiver<()>>,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl LogReader {
    /// Begins `lines` lines before the end.
    pub(super) fn open(shelf: Arc<Shelf>, lines: usize, follow: bool) -> io::Result<Self> {
        // Listening comes first: what is written after the look is heard.
        let written = follow.then(|| shelf.written.subscribe());
        // All are open before any is read: what is put away meanwhile is still there.
        let mut files = shelf.places().open_all(&shelf)?;
        let Some((mut generation, mut content)) = files.pop() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let (mut missing, mut ahead) = (Missing { lines, at_end: true }, Vec::new());
        loop {
            match content {
                Content::Plain(mut file) => {
                    let start = missing.back(&file)?;
                    file.seek(SeekFrom::Start(start))?;
                    content = Content::Plain(file);
                }
                Content::Gzip(it) => {
                    // It has read ahead, whatever was asked of it.
                    let mut file = it.into_inner().into_inner();
                    file.rewind()?;
                    let skip = missing.count(Content::gzip(file.try_clone()?))?;
                    file.rewind()?;
                    content = Content::gzip(file);
                    if let Some(lines) = skip {
                        ahead = after(&mut content, lines)?;
                    }
                }
            }
            match files.pop() {
                Some(older) if missing.lines > 0 => (generation, content) = older,
                _ => return Ok(Self { shelf, content, generation, ahead, written }),
            }
        }
    }

    /// The next bytes, 64 KiB at most, lines or not; `None` at the end, which following has none. What is dropped while
    /// it waits has lost nothing. Files that were deleted before they were read are passed over.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let bytes = self.read()?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            let Some(written) = &mut self.written else { return Ok(None) };
            if written.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// What there is; nothing at the end.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        if !self.ahead.is_empty() {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let mut bytes = vec![0; CHUNK];
        loop {
            // Asked for first: a file that had been put away by then gets no more, so that its end is the end.
            let put_away = self.shelf.places().generation > self.generation;
            let read = self.content.read(&mut bytes)?;
            if read > 0 || !put_away {
                bytes.truncate(read);
                return Ok(bytes);
            }
            let places = self.shelf.places();
            (self.generation, self.content) = places.open(&self.shelf, self.generation + 1)?;
        }
    }
}

/// The lines that are still looked for, backwards.
struct Missing {
    lines: usize,
    /// Nothing of the log has been seen yet: a newline here ends the last line and begins none.
    at_end: bool,
}

impl Missing {
    /// Where they begin in a file, or its beginning.
    fn back(&mut self, file: &File) -> io::Result<u64> {
        let (mut end, mut buffer) = (file.metadata()?.len(), vec![0; CHUNK]);
        if self.lines == 0 {
            return Ok(end);
        }
        while end > 0 {
            let length = usize::try_from(end).unwrap_or(CHUNK).min(CHUNK);
            let start = end - length as u64;
            file.read_exact_at(&mut buffer[..length], start)?;
            for at in (0..length).rev() {
                let is_last = std::mem::take(&mut self.at_end);
                if buffer[at] == b'\n' && !is_last {
                    self.lines -= 1;
                    if self.lines == 0 {
                        return Ok(start + at as u64 + 1);
                    }
                }
            }
            end = start;
        }
        Ok(0)
    }

    /// How many newlines stand before them, if they begin in this file.
    fn count(&mut self, mut content: Content) -> io::Result<Option<usize>> {
        let (mut buffer, mut newlines, mut last) = (vec![0; CHUNK], 0, None);
        loop {
            let read = content.read(&mut buffer)?;
            let bytes = &buffer[..read];
            let Some(byte) = bytes.last() else { break };
            newlines += bytes.split(|it| *it == b'\n').count() - 1;
            last = Some(*byte);
        }
        if last.is_some() && std::mem::take(&mut self.at_end) && last == Some(b'\n') {
            newlines -= 1;
        }
        let before = newlines.checked_sub(self.lines);
        self.lines = self.lines.saturating_sub(newlines);
        Ok(before.map(|it| it + 1))
    }
}

/// Reads past so many newlines; returns what was read behind the last of them.
fn after(content: &mut Content, mut newlines: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = content.read(&mut buffer)?;
        for at in 0..read {
            newlines -= usize::from(buffer[at] == b'\n');
            if newlines == 0 {
                return Ok(buffer[at + 1..read].to_vec());
            }
        }
        if read == 0 {
            return Ok(Vec::new());
        }
    }
}
