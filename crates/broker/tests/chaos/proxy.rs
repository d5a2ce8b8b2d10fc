//! A small proxy before Redis that does to connections what networks do: cuts them before a request arrives, after it
//! arrived and before its answer, in the midst of an answer; holds them up; and tells when a process is to be killed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};

/// What happens to the next call of a script.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The connection is cut; Redis does not get the call.
    CutBefore,
    /// Redis has carried it out; the caller gets no answer.
    CutAfter,
    /// The caller gets half of the answer.
    CutWithin,
    /// It is held up. After more than 5 s the caller has given up, and it is carried out all the same.
    Stall(Duration),
    /// The caller is killed; Redis does not get the call.
    KillBefore,
    /// The caller is killed once Redis has carried it out.
    KillAfter,
}

/// A proxy for one client.
pub struct Proxy {
    /// Where it listens, on loopback.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Which client, for the killer.
    slot: usize,
    redis: PathBuf,
    armed: Mutex<VecDeque<Fault>>,
    happened: AtomicUsize,
    cut: watch::Sender<()>,
    kills: mpsc::UnboundedSender<usize>,
}

impl Proxy {
    /// Before the Redis at this socket. `kills` is told the slot when its process is to be killed.
    pub async fn start(slot: usize, redis: PathBuf, kills: mpsc::UnboundedSender<usize>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (armed, happened) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { slot, redis, armed, happened, cut: watch::channel(()).0, kills });
        let of = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(of.clone().pass(client));
            }
        });
        Self { port, shared }
    }

    /// Lets this happen to the next call, after what was armed before.
    pub fn arm(&self, fault: Fault) {
        self.shared.armed.lock().unwrap().push_back(fault);
    }

    /// Takes back what has not happened.
    pub fn disarm(&self) {
        self.shared.armed.lock().unwrap().clear();
    }

    /// Cuts every connection, also those on which someone waits for a job.
    pub fn cut(&self) {
        self.shared.cut.send_replace(());
        self.shared.happened.fetch_add(1, Ordering::Relaxed);
    }

    /// How many cuts and stalls there were.
    pub fn happened(&self) -> usize {
        self.shared.happened.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// One connection, to its end.
    async fn pass(self: Arc<Self>, mut client: TcpStream) {
        let Ok(mut redis) = UnixStream::connect(&self.redis).await else { return };
        let mut cut = self.cut.subscribe();
        let (mut request, mut answer, mut later) = ([0; 16 * 1024], [0; 16 * 1024], None);
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(1..) = read else { return };
                    let request = &request[..read.unwrap()];
                    match self.next(request) {
                        Some(Fault::CutBefore) => return,
                        Some(Fault::KillBefore) => return self.kill(&mut client).await,
                        Some(Fault::Stall(time)) => tokio::time::sleep(time).await,
                        fault => later = fault.or(later),
                    }
                    if redis.write_all(request).await.is_err() {
                        return;
                    }
                }
                read = redis.read(&mut answer) => {
                    let Ok(1..) = read else { return };
                    let mut answer = &answer[..read.unwrap()];
                    match later {
                        Some(Fault::CutAfter) => return,
                        Some(Fault::KillAfter) => return self.kill(&mut client).await,
                        Some(Fault::CutWithin) => answer = &answer[..answer.len() / 2],
                        _ => {}
                    }
                    if client.write_all(answer).await.is_err() || later.is_some() {
                        return;
                    }
                }
                _ = cut.changed() => return,
            }
        }
    }

    /// What happens to this request, if it calls a script.
    fn next(&self, request: &[u8]) -> Option<Fault> {
        const CALL: &[u8] = b"EVALSHA";
        let calls = request.windows(CALL.len()).any(|it| it == CALL);
        let fault = self.armed.lock().unwrap().pop_front_if(|_| calls)?;
        if !matches!(fault, Fault::KillBefore | Fault::KillAfter) {
            self.happened.fetch_add(1, Ordering::Relaxed);
        }
        Some(fault)
    }

    /// Asks for the client's death and waits for it, saying nothing more to it.
    async fn kill(&self, client: &mut TcpStream) {
        _ = self.kills.send(self.slot);
        while client.read(&mut [0; 1024]).await.is_ok_and(|it| it > 0) {}
    }
}
