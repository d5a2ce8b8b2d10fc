//! Output into files, byte for byte, and never more than a set size of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// How much of the output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Bytes after which a file is put away: at the end of a line, if there is one.
    pub bytes: u64,
    /// Files put away, `x.log.1` the youngest, before the oldest is deleted.
    pub files: u32,
}

impl Default for Keep {
    /// 10 MiB and five old files: 60 MiB a process at most.
    fn default() -> Self {
        Self { bytes: 10 << 20, files: 5 }
    }
}

const CHUNK: usize = 64 << 10;
/// As large as an unprivileged process may make a pipe: a burst passes without waking us for each line.
const PIPE: usize = 1 << 20;

/// A log file that is put away when it is full.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    keep: Keep,
    file: File,
    size: u64,
    /// What was written last ended a line.
    line_ended: bool,
}

impl Log {
    pub(crate) fn open(path: &Path, keep: Keep) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), keep, file, size, line_ended: true })
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.size + bytes.len() as u64 > self.keep.bytes {
            let room = usize::try_from(self.keep.bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
            // The last line that fits, or else the rest of the line that does not.
            let fits = bytes[..room.min(bytes.len())].iter().rposition(|it| *it == b'\n');
            if fits.is_none() && self.size > 0 && self.line_ended {
                self.rotate()?;
                continue;
            }
            let line = fits.or_else(|| bytes.iter().position(|it| *it == b'\n'));
            let Some(end) = line else {
                // A line without end is cut only where a whole file would be too long.
                if self.size == 0 || self.size + bytes.len() as u64 <= 2 * self.keep.bytes {
                    break;
                }
                self.rotate()?;
                continue;
            };
            self.append(&bytes[..=end])?;
            bytes = &bytes[end + 1..];
            self.rotate()?;
        }
        self.append(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        self.line_ended = bytes.last().map_or(self.line_ended, |it| *it == b'\n');
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let old = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep.files).rev() {
            match std::fs::rename(old(number), old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep.files > 0 {
            std::fs::rename(&self.path, old(1))?;
        }
        self.file = OpenOptions::new().create(true).write(true).truncate(true).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// A pipe into a log. It outlives the runs of a process: what one run wrote last is not lost to the next.
#[derive(Debug)]
pub(crate) struct Pipe {
    writer: OwnedFd,
    pump: tokio::task::JoinHandle<u64>,
}

impl Pipe {
    pub(crate) fn open(path: &Path, keep: Keep) -> io::Result<Self> {
        let log = Log::open(path, keep)?;
        let (reader, writer) = io::pipe()?;
        // A smaller pipe is slower, no more.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
        let pump = tokio::spawn(pump(pipe::Receiver::from_owned_fd(reader.into())?, log));
        Ok(Self { writer: writer.into(), pump })
    }

    /// The end for a process to write to.
    pub(crate) fn writer(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }

    /// Waits until all that was written is in the file; returns the bytes that could not be.
    pub(crate) async fn close(self) -> u64 {
        drop(self.writer);
        self.pump.await.unwrap_or_default()
    }
}

/// Reads to the end. What the disk refuses is dropped and counted: a full disk stops no process.
async fn pump(mut from: pipe::Receiver, mut log: Log) -> u64 {
    let (mut buffer, mut lost) = (vec![0; CHUNK], 0);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if log.write(&buffer[..length]).is_err() {
            lost += length as u64;
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The files of a log, the oldest first.
    fn files(path: &Path, keep: Keep) -> Vec<Vec<u8>> {
        let old = (1..=keep.files).rev().map(|it| PathBuf::from(format!("{}.{it}", path.display())));
        old.chain([path.to_owned()]).filter_map(|it| std::fs::read(it).ok()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_is_lost_and_lines_stay_whole(lines in prop::collection::vec(prop::collection::vec(0_u8..=255, 0..40), 0..40), chunk in 1_usize..100) {
            let folder = tempfile::tempdir().unwrap();
            let (path, keep) = (folder.path().join("x.log"), Keep { bytes: 64, files: 99 });
            let bytes = lines.iter().flat_map(|it| it.iter().copied().filter(|it| *it != b'\n').chain([b'\n'])).collect::<Vec<_>>();
            let mut log = Log::open(&path, keep).unwrap();
            bytes.chunks(chunk).for_each(|it| log.write(it).unwrap());
            let files = files(&path, keep);
            prop_assert_eq!(files.concat(), bytes);
            for it in &files {
                prop_assert!(it.len() <= 64 + 41, "{} bytes", it.len());
                prop_assert!(it.is_empty() || it.ends_with(b"\n"));
            }
        }
    }

    #[test]
    fn the_oldest_file_goes_and_a_line_without_end_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (path, keep) = (folder.path().join("deep/x.log"), Keep { bytes: 10, files: 2 });
        let mut log = Log::open(&path, keep).unwrap();
        for it in [
            "aaaaaaaa\n",
            "bbbbbbbb\n",
            "cccccccc\n",
            "dddddddd\n",
            "e".repeat(8).as_str(),
            "f".repeat(40).as_str(),
        ] {
            log.write(it.as_bytes()).unwrap();
        }
        let files: Vec<_> = files(&path, keep).into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        assert_eq!(files, ["dddddddd\n", "eeeeeeee", &"f".repeat(40)]);
        drop(log);
        assert_eq!(Log::open(&path, keep).unwrap().size, 40);
    }
}
