//! A file that is put away when it is full, and never in the middle of a line that is not too long itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::archive::{Archive, Shelf};

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Log {
    archive: Arc<Archive>,
    shelf: Arc<Shelf>,
    file: File,
    size: u64,
    /// When it was made.
    born: SystemTime,
    /// What was written last ended a line.
    line_ended: bool,
}

/// An empty file to write to.
pub(super) fn create(path: &Path) -> io::Result<File> {
    // Appending, so that whoever empties the file from outside gets an empty file and no hole.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().create_new(true).append(true).open(path),
    }
}

impl Log {
    pub(super) fn open(path: &Path, archive: &Arc<Archive>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let metadata = file.metadata()?;
        let (size, mut last) = (metadata.len(), [b'\n']);
        if let Some(end) = size.checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        let born = metadata.created().or_else(|_| metadata.modified())?;
        let shelf = archive.take(path)?;
        Ok(Self { archive: archive.clone(), shelf, file, size, born, line_ended: last == [b'\n'] })
    }

    /// What the disk refuses is dropped and counted: a full disk stops no process.
    pub(super) fn write(&mut self, mut bytes: &[u8], now: SystemTime) {
        if self.put(&mut bytes, now).is_err() {
            self.archive.lose(bytes.len() as u64);
        }
        if self.shelf.written.receiver_count() > 0 {
            self.shelf.written.send_replace(());
        }
    }

    fn put(&mut self, bytes: &mut &[u8], now: SystemTime) -> io::Result<()> {
        if self.is_old(now) {
            // The rest of the line that has begun belongs to this file.
            let end = if self.line_ended {
                0
            } else {
                bytes.iter().position(|it| *it == b'\n').map_or(0, |it| it + 1)
            };
            self.append(bytes, end)?;
            if self.line_ended {
                self.rotate(now)?;
            }
        }
        let limit = self.archive.limit();
        while self.size + bytes.len() as u64 > limit {
            let room = usize::try_from(limit.saturating_sub(self.size)).unwrap_or(usize::MAX);
            // The last line that fits, or else the rest of the line that does not.
            let fits = bytes[..room.min(bytes.len())].iter().rposition(|it| *it == b'\n');
            if fits.is_none() && self.size > 0 && self.line_ended {
                self.rotate(now)?;
                continue;
            }
            let line = fits.or_else(|| bytes.iter().position(|it| *it == b'\n'));
            let Some(end) = line else {
                // A line without end is cut only where a whole file would be too long.
                if self.size == 0 || self.size + bytes.len() as u64 <= 2 * limit {
                    break;
                }
                self.rotate(now)?;
                continue;
            };
            self.append(bytes, end + 1)?;
            self.rotate(now)?;
        }
        self.append(bytes, bytes.len())
    }

    fn is_old(&self, now: SystemTime) -> bool {
        let age = self.archive.keep().age;
        age.is_some_and(|it| self.size > 0 && now.duration_since(self.born).is_ok_and(|age| age >= it))
    }

    /// Writes the first `length` of `bytes`, and leaves the others in it: after an error, whatever was not written.
    fn append(&mut self, bytes: &mut &[u8], length: usize) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            match self.file.write(&bytes[..left]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.line_ended = bytes[written - 1] == b'\n';
                    self.size += written as u64;
                    *bytes = &bytes[written..];
                    left -= written;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        self.file = self.archive.put_away(&self.shelf, self.size)?;
        (self.size, self.born, self.line_ended) = (0, now, true);
        Ok(())
    }
}
