//! A job's own Playwright script, run by Node.js as a child process.
//!
//! The child's standard input is a socket on which both sides send JSON, a line each. From here come the wish, first, and
//! what was stored, for each output; from there `{"context": id}`, `{"progress": …}`, `{"output": {"name", "path"}}`, and
//! last `{"result": …}` or `{"error": {"message", "permanent", "lost"}}`. What the script writes to its standard output and
//! error is for people: the end of it is told when the script fails.

use std::collections::VecDeque;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::folder::Folder;
use super::group::Group;
use crate::connector::Task;
use crate::failure::{Failure, Symptom};
use crate::outputs::Stored;

/// The longest line, and so the longest result.
const LINE: usize = 16 << 20;
/// Of what a script writes for people, what is kept: the end.
const TAIL: usize = 4 << 10;
/// For what it wrote to be read once it has ended.
const REST: Duration = Duration::from_millis(200);
/// Of an error's message, what is told.
const WORDS: usize = 4_000;
/// Of an output, what is read at once.
const PART: usize = 64 << 10;
const HARNESS: &str = include_str!("harness.mjs");

/// What scripts are run with.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The program `node`: a path, or a name on the `PATH`.
    pub node: String,
    /// A folder `node_modules` that has `playwright-core`.
    pub modules: PathBuf,
    /// The `PATH` of the worker.
    pub path: String,
}

/// A script that runs.
pub(super) struct Script<'a> {
    task: &'a Task,
    group: Group,
    talk: Talk,
    shown: Option<Receiver>,
    tail: VecDeque<u8>,
    stored: Vec<Stored>,
    /// Its browser context, once it has one.
    pub(super) context: Option<String>,
    /// Where it runs; gone with it.
    folder: Folder,
}

/// What a script tells.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Context(String),
    Progress { percent: f64, message: String },
    Output { name: String, path: PathBuf },
    Result(Value),
    Error { message: String, permanent: bool, lost: bool },
}

impl<'a> Script<'a> {
    /// Starts it, in an empty folder and with nothing of the worker's environment but where programs are.
    pub(super) async fn start(
        runtime: &Runtime,
        task: &'a Task,
        text: &str,
        wish: &Value,
    ) -> Result<Self, Failure> {
        let failed = |it: std::io::Error| Failure::retryable(format!("the script cannot be started: {it}"));
        // What it removes may be large.
        let folder = spawn_blocking(Folder::new).await.map_err(std::io::Error::other).flatten();
        let folder = folder.map_err(failed)?;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("harness.mjs"), HARNESS).await.map_err(failed)?;
        fs::write(at("script.mjs"), text).await.map_err(failed)?;
        fs::symlink(&runtime.modules, at("node_modules")).await.map_err(failed)?;
        let (ours, theirs) = Pair::pair().map_err(failed)?;
        let (shown, show) = pipe().map_err(failed)?;
        let mark = format!("ROSTER_ATTEMPT={}", task.attempt_id);
        let mut command = Command::new(&runtime.node);
        command.arg("harness.mjs").current_dir(folder.path()).env_clear().process_group(0);
        command.env("PATH", &runtime.path).env("HOME", folder.path()).env("TMPDIR", folder.path());
        command.env("LANG", "C.UTF-8").env("ROSTER_ATTEMPT", &task.attempt_id);
        command.stdin(OwnedFd::from(theirs)).stdout(show.try_clone().map_err(failed)?).stderr(show);
        let child = command.spawn().map_err(failed)?;
        let group = Group::new(child, mark);
        // Its ends are with the child alone, so that they end with it.
        drop(command);
        ours.set_nonblocking(true).map_err(failed)?;
        let stream = UnixStream::from_std(ours).map_err(failed)?;
        let shown = Receiver::from_owned_fd(shown.into()).map_err(failed)?;
        let mut talk = Talk { stream, buffer: Vec::new() };
        talk.tell(wish).await.map_err(failed)?;
        let (tail, stored) = (VecDeque::new(), Vec::new());
        Ok(Self { task, group, talk, shown: Some(shown), tail, stored, context: None, folder })
    }

    /// What it comes to.
    pub(super) async fn result(&mut self) -> Result<Value, Failure> {
        // How it ended, and until when its last words are waited for: of what it started, somebody may hold the line open.
        let mut ended: Option<(Option<ExitStatus>, Instant)> = None;
        loop {
            tokio::select! {
                biased;
                line = self.talk.next() => {
                    // Without a word the child is about to end, or has.
                    let Some(line) = line? else {
                        let status = self.group.child.wait().await.ok();
                        return Err(silent(status));
                    };
                    if let Some(result) = self.told(&line).await? {
                        return Ok(json!({ "result": result, "outputs": self.stored }));
                    }
                }
                shown = show(&mut self.shown, &mut self.tail) => if !shown { self.shown = None },
                status = self.group.child.wait(), if ended.is_none() => {
                    ended = Some((status.ok(), Instant::now() + REST));
                }
                status = silence(ended), if ended.is_some() => return Err(silent(status)),
            }
        }
    }

    /// Ends it with everything that it started. Whether that succeeded.
    pub(super) async fn end(&mut self) -> bool {
        self.group.end().await
    }

    async fn told(&mut self, line: &[u8]) -> Result<Option<Value>, Failure> {
        let malformed = |it| Failure::of(Symptom::Malformed, format!("the script's line: {it}"));
        match serde_json::from_slice(line).map_err(malformed)? {
            Told::Context(id) => self.context = Some(id),
            Told::Progress { percent, message } => self.task.progress(percent, message),
            Told::Output { name, path } => {
                let stored = self.store(&name, &path).await?;
                // If it is gone meanwhile, that is seen next.
                _ = self.talk.tell(&json!(stored)).await;
                self.stored.push(stored);
            }
            Told::Result(result) => return Ok(Some(result)),
            Told::Error { message, permanent, lost } => {
                let symptom = match (permanent, lost) {
                    (_, true) => Symptom::Cut,
                    (true, _) => Symptom::Invalid,
                    (false, _) => Symptom::Failed,
                };
                let message: String = message.chars().take(WORDS).collect();
                return Err(Failure::of(symptom, format!("the script failed: {message}")));
            }
        }
        Ok(None)
    }

    /// Takes a file of the script's folder into the outputs.
    async fn store(&self, name: &str, path: &Path) -> Result<Stored, Failure> {
        let failed = |it: std::io::Error| {
            Failure::of(Symptom::Invalid, format!("the script's output `{name}` cannot be read: {it}"))
        };
        let home = fs::canonicalize(self.folder.path()).await.map_err(failed)?;
        let path = fs::canonicalize(home.join(path)).await.map_err(failed)?;
        if !path.starts_with(&home) {
            let words = format!("the script's output `{name}` is not in the folder that it runs in");
            return Err(Failure::of(Symptom::Invalid, words));
        }
        let mut source = fs::File::open(path).await.map_err(failed)?;
        let (mut file, mut part) = (self.task.outputs.file(name), vec![0; PART]);
        loop {
            match source.read(&mut part).await.map_err(failed)? {
                0 => break,
                length => file.write(&part[..length]).await?,
            }
        }
        let stored = file.finish().await?;
        if self.stored.iter().any(|it| it.name == stored.name) {
            let words = format!("the script has two outputs `{}`", stored.name);
            return Err(Failure::of(Symptom::Invalid, words));
        }
        Ok(stored)
    }

    /// The end of what it wrote for people, once it has ended.
    pub(super) async fn said(&mut self) -> String {
        let rest = async { while show(&mut self.shown, &mut self.tail).await {} };
        // Whoever cannot be ended may hold it open.
        _ = timeout(REST, rest).await;
        String::from_utf8_lossy(self.tail.make_contiguous()).trim().to_owned()
    }
}

/// It ended without a word.
fn silent(status: Option<ExitStatus>) -> Failure {
    let status = status.map_or_else(|| "it cannot be asked".to_owned(), |it| it.to_string());
    Failure::of(Symptom::Failed, format!("the script ended without a result ({status})"))
}

/// After the last words how it ended.
async fn silence(ended: Option<(Option<ExitStatus>, Instant)>) -> Option<ExitStatus> {
    let (status, at) = ended?;
    sleep_until(at).await;
    status
}

/// Takes what was written for people, so that whoever writes never waits. Whether there may be more.
async fn show(shown: &mut Option<Receiver>, tail: &mut VecDeque<u8>) -> bool {
    let Some(shown) = shown else { return std::future::pending().await };
    let mut part = [0; TAIL];
    match shown.read(&mut part).await {
        Ok(length @ 1..) => keep(tail, &part[..length]),
        Ok(0) | Err(_) => return false,
    }
    true
}

fn keep(tail: &mut VecDeque<u8>, part: &[u8]) {
    tail.extend(part);
    tail.drain(..tail.len().saturating_sub(TAIL));
}

/// The socket, line by line.
struct Talk {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Talk {
    async fn tell(&mut self, line: &Value) -> std::io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await
    }

    /// The next line; `None` after the last. May be left and called again: nothing is lost.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut searched = 0;
        loop {
            let end = self.buffer[searched..].iter().position(|it| *it == b'\n').map(|it| searched + it);
            searched = self.buffer.len();
            // What one reading brings may be long.
            if end.unwrap_or(searched) > LINE {
                let words = format!("the script's result is longer than {LINE} bytes: make it an output");
                return Err(Failure::of(Symptom::Invalid, words));
            }
            if let Some(end) = end {
                let rest = self.buffer.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            // A child that was killed resets the connection: then, too, there is no more.
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which read brings how much is up to the kernel.
    #[tokio::test]
    async fn a_line_is_too_long_even_if_its_end_is_there_at_once() {
        for (length, fits) in [(LINE, true), (LINE + 1, false)] {
            let (_theirs, ours) = UnixStream::pair().unwrap();
            let buffer = [vec![b'x'; length], b"\nmore".to_vec()].concat();
            let mut talk = Talk { stream: ours, buffer };
            let line = talk.next().await;
            assert_eq!(line.map(|it| it.unwrap().len()).ok(), fits.then_some(length + 1));
        }
    }

    #[tokio::test]
    async fn lines_are_told_one_by_one_however_they_come() {
        let (mut theirs, stream) = UnixStream::pair().unwrap();
        let mut talk = Talk { stream, buffer: Vec::new() };
        theirs.write_all(b"one\ntwo\nth").await.unwrap();
        assert_eq!(talk.next().await.unwrap().unwrap(), b"one\n");
        assert_eq!(talk.next().await.unwrap().unwrap(), b"two\n");
        theirs.write_all(b"ree\n").await.unwrap();
        drop(theirs);
        assert_eq!(talk.next().await.unwrap().unwrap(), b"three\n");
        assert_eq!(talk.next().await.unwrap(), None);
    }
}
