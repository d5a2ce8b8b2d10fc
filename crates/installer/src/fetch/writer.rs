//! A thread that writes and hashes, so that the network is read while the disk is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Chunks on their way to the writer: with the client's buffers the most memory that a download holds.
const WAITING: usize = 8;
/// Bytes read at a time.
const BUFFER: usize = 256 << 10;
/// Bytes after which the disk is asked to write them down: at the end there is little left to wait for.
const SYNC: u64 = 64 << 20;

/// Writes chunks one after the other.
pub(super) struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<io::Result<Sha256>>,
}

impl Writer {
    /// Begins at a place of a file; what comes after that place is cut off. `hasher` knows what is before it.
    pub(super) fn begin(file: &File, from: u64, mut hasher: Sha256) -> io::Result<Self> {
        file.set_len(from)?;
        let (file, disk) = (file.try_clone()?, file.try_clone()?);
        let (chunks, mut coming) = mpsc::channel::<Bytes>(WAITING);
        let thread = spawn_blocking(move || {
            let (mut at, mut synced) = (from, from);
            let mut syncing: Option<std::thread::JoinHandle<io::Result<()>>> = None;
            while let Some(chunk) = coming.blocking_recv() {
                file.write_all_at(&chunk, at)?;
                hasher.update(&chunk);
                at += chunk.len() as u64;
                if at - synced >= SYNC && syncing.as_ref().is_none_or(std::thread::JoinHandle::is_finished) {
                    synced = at;
                    let disk = disk.try_clone()?;
                    syncing = Some(std::thread::spawn(move || disk.sync_data()));
                }
            }
            Ok(hasher)
        });
        Ok(Self { chunks, thread })
    }

    /// Hands a chunk over; `false` once the writer has stopped, which [`Self::end`] explains.
    pub(super) async fn write(&mut self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits for the last chunk.
    pub(super) async fn end(self) -> io::Result<Sha256> {
        drop(self.chunks);
        self.thread.await.map_err(io::Error::other)?
    }
}

/// The hash of the first bytes of a file.
pub(super) async fn hash_of(file: &File, length: u64) -> io::Result<Sha256> {
    let file = file.try_clone()?;
    let read = move || {
        let (mut hasher, mut at, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER]);
        while at < length {
            let most = usize::try_from(length - at).unwrap_or(BUFFER).min(BUFFER);
            match file.read_at(&mut buffer[..most], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    hasher.update(&buffer[..read]);
                    at += read as u64;
                }
            }
        }
        Ok(hasher)
    };
    spawn_blocking(read).await.map_err(io::Error::other)?
}
