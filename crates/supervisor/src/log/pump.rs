//! The thread that moves bytes from the pipes into the files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::sync::oneshot;

use super::line::Lines;
use super::redact::{self, Redactor};
use super::rotation::Log;

/// Of one pipe before it is the next one's turn; what the kernel puts into a pipe that nobody has made larger.
const CHUNK: usize = 64 << 10;
/// As large as an unprivileged process may make a pipe: a burst passes without waking us for each piece.
const PIPE: usize = 1 << 20;
/// Enough turns to empty any pipe.
const TURNS: usize = PIPE / CHUNK + 1;
const EVENTS: usize = 64;
/// Names the wake-up among the sources.
const WAKE: u64 = 0;

/// The thread, as others see it. It ends with this.
pub(super) struct Pump {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    last: AtomicU64,
}

enum Command {
    Add(u64, Source),
    Settle(u64),
    Close(u64, oneshot::Sender<()>),
    Redact(Arc<Redactor>),
    End,
}

/// A pipe and where its bytes go.
pub(super) struct Source {
    pipe: File,
    log: Arc<Mutex<Log>>,
    lines: Option<Lines>,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    enlarged: bool,
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pump")
    }
}

impl Source {
    pub(super) fn new(pipe: OwnedFd, log: Arc<Mutex<Log>>, lines: Option<Lines>) -> io::Result<Self> {
        // Only of this end: who writes waits for us.
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        Ok(Self { pipe: pipe.into(), log, lines, held: Vec::new(), enlarged: false })
    }
}

impl Pump {
    pub(super) fn start(redactor: Arc<Redactor>) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let (commands, orders) = channel();
        let bench = Bench { redactor, buffer: Vec::new(), out: Vec::new() };
        let thread = Thread { poll, wake: wake.clone(), orders, sources: BTreeMap::new(), bench };
        std::thread::Builder::new().name("logs".into()).spawn(|| thread.run())?;
        Ok(Self { commands, wake, last: AtomicU64::new(WAKE) })
    }

    /// Takes a pipe; returns its number.
    pub(super) fn add(&self, source: Source) -> u64 {
        let id = self.last.fetch_add(1, Relaxed) + 1;
        self.order(Command::Add(id, source));
        id
    }

    /// Writes what was held back of a line, once everything before it is written.
    pub(super) fn settle(&self, id: u64) {
        self.order(Command::Settle(id));
    }

    /// Lets go of a pipe once it is empty, whoever still has its other end.
    pub(super) async fn close(&self, id: u64) {
        let (done, closed) = oneshot::channel();
        self.order(Command::Close(id, done));
        // It cannot fail: the thread lives for as long as we do.
        let _ = closed.await;
    }

    pub(super) fn redact(&self, redactor: Arc<Redactor>) {
        self.order(Command::Redact(redactor));
    }

    fn order(&self, command: Command) {
        // It is heard by a thread that lives, and the counter of wake-ups does not overflow.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.order(Command::End);
    }
}

struct Thread {
    poll: OwnedFd,
    wake: Arc<OwnedFd>,
    orders: Receiver<Command>,
    sources: BTreeMap<u64, Source>,
    bench: Bench,
}

impl Thread {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // It cannot be waited on: a fault of ours.
                Err(_) => return,
            }
            if events.iter().any(|it| it.data.u64() == WAKE) {
                let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
            }
            // Before the bytes: a new secret may be in them.
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Command::Add(id, source) => self.add(id, source),
                    Command::Settle(id) => {
                        self.empty(id);
                        if let Some(it) = self.sources.get_mut(&id) {
                            self.bench.finish(it);
                        }
                    }
                    Command::Close(id, done) => {
                        self.empty(id);
                        self.remove(id);
                        let _ = done.send(());
                    }
                    Command::Redact(it) => self.bench.redact(it),
                    Command::End => {
                        let left: Vec<u64> = self.sources.keys().copied().collect();
                        for id in left {
                            self.empty(id);
                            self.remove(id);
                        }
                        return;
                    }
                }
            }
            for id in events.iter().map(|it| it.data.u64()).filter(|it| *it != WAKE) {
                self.turn(id);
            }
        }
    }

    fn add(&mut self, id: u64, source: Source) {
        let data = epoll::EventData::new_u64(id);
        // A pipe can always be waited for; without memory for that it is closed, and whoever writes hears of it.
        if epoll::add(&self.poll, &source.pipe, data, epoll::EventFlags::IN).is_ok() {
            self.sources.insert(id, source);
        }
    }

    /// Moves one piece; whether there may be another.
    fn turn(&mut self, id: u64) -> bool {
        let Some(source) = self.sources.get_mut(&id) else { return false };
        match self.bench.turn(source) {
            Ok(0) => {
                self.remove(id);
                false
            }
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn empty(&mut self, id: u64) {
        for _ in 0..TURNS {
            if !self.turn(id) {
                return;
            }
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(mut it) = self.sources.remove(&id) {
            self.bench.finish(&mut it);
            // It also goes when it is closed.
            let _ = epoll::delete(&self.poll, &it.pipe);
        }
    }
}

/// What all pipes share.
struct Bench {
    redactor: Arc<Redactor>,
    buffer: Vec<u8>,
    /// Lines in another form than they were written.
    out: Vec<u8>,
}

impl Bench {
    fn redact(&mut self, redactor: Arc<Redactor>) {
        self.redactor = redactor;
    }

    /// Moves one piece. 0: there will be none any more.
    fn turn(&mut self, source: &mut Source) -> io::Result<usize> {
        let held = source.held.len();
        self.buffer.resize(self.redactor.longest().max(held) + CHUNK, 0);
        let read = source.pipe.read(&mut self.buffer[held..held + CHUNK])?;
        if read == 0 {
            return Ok(0);
        }
        if read == CHUNK && !source.enlarged {
            // A smaller pipe is slower, no more. Only a full one is made larger: what the pipes of a user may take
            // together is limited too (pipe(7), `pipe-user-pages-soft`).
            let _ = rustix::pipe::fcntl_setpipe_size(&source.pipe, PIPE);
            source.enlarged = true;
        }
        self.buffer[..held].copy_from_slice(&source.held);
        let bytes = &self.buffer[..held + read];
        let redactor = &self.redactor;
        let mut open = 0;
        write(source.lines.as_mut(), &source.log, &mut self.out, |hand_on| {
            open = redactor.pass(bytes, hand_on);
        });
        source.held.clear();
        source.held.extend_from_slice(&bytes[open..]);
        Ok(read)
    }

    /// Writes what was held back.
    fn finish(&mut self, source: &mut Source) {
        let held = std::mem::take(&mut source.held);
        write(source.lines.as_mut(), &source.log, &mut self.out, |hand_on| hand_on(redact::settled(&held)));
        if let Some(lines) = &mut source.lines {
            let now = SystemTime::now();
            lines.settle(now, &mut self.out);
            source.log.lock().unwrap_or_else(PoisonError::into_inner).write(&self.out, now);
            self.out.clear();
        }
    }
}

/// Writes what `pass` hands on, as lines if that is the form.
fn write(
    mut lines: Option<&mut Lines>,
    log: &Mutex<Log>,
    out: &mut Vec<u8>,
    pass: impl FnOnce(&mut dyn FnMut(&[u8])),
) {
    let now = SystemTime::now();
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    pass(&mut |bytes| match &mut lines {
        None => log.write(bytes, now),
        Some(lines) => lines.pass(bytes, now, out),
    });
    if lines.is_some() {
        log.write(out, now);
        out.clear();
        out.shrink_to(CHUNK);
    }
}
