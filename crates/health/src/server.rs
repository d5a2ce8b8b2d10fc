//! The server: it answers before anything else is there, and whatever becomes of the rest.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use spec::env::Secret;
use spec::notes::{Code, Fault};
use tokio::sync::{Semaphore, watch};

use crate::board::Board;
use crate::codes;
use crate::fleet::Fleet;
use crate::guard::Guard;

mod connections;
mod events;
mod fleet;
mod logs;
mod openapi;
mod page;
mod routes;

pub use openapi::openapi;

/// The shortest token, in characters.
const MIN_TOKEN: usize = 16;

/// Where the server listens, and to whom.
#[derive(Debug)]
pub struct Options {
    /// The address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What everybody has to show. Needed anywhere but on loopback.
    pub token: Option<Secret<String>>,
    /// Names by which the machine may be called, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What nobody may exceed.
    pub limits: Limits,
}

/// What nobody may exceed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. One more, and the oldest that is not a stream is closed.
    pub connections: usize,
    /// Streams (`/events`, logs that are followed) at a time. One more is refused.
    pub streams: usize,
    /// The time in which the head of a request has to be there, and for which a connection may stay idle.
    pub head: Duration,
    /// The time that the machine has to take an order or find a log.
    pub order: Duration,
    /// Between two signs of life on a silent stream of events.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            streams: 64,
            head: Duration::from_secs(5),
            order: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerFault {
    /// Others can reach it, and it has no token.
    #[error("the health server is to listen on {address}, which others can reach, and has no token")]
    NoToken {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The token can be guessed.
    #[error("the token of the health server has fewer than {MIN_TOKEN} characters")]
    WeakToken,
    /// The address cannot be had.
    #[error("the health server cannot listen on {address}: {why}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// In the words of the kernel.
        why: std::io::Error,
    },
}

impl Fault for ServerFault {
    fn code(&self) -> Code {
        match self {
            Self::NoToken { .. } => codes::TOKEN,
            Self::WeakToken => codes::WEAK_TOKEN,
            Self::Listen { .. } => codes::LISTEN,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoToken { .. } => "Set `MACHINE_HEALTH_TOKEN`, or listen on 127.0.0.1.".into(),
            Self::WeakToken => "Use the output of `openssl rand -hex 16`.".into(),
            Self::Listen { address, .. } => {
                format!(
                    "See who listens there (`ss -ltnp 'sport = :{}'`), or use another port.",
                    address.port()
                )
            }
        }
    }
}

/// What a server shows.
#[derive(Clone)]
pub enum Shown {
    /// One machine.
    Machine(Arc<Board>),
    /// A fleet: what is known of it now, and what will be.
    Fleet(watch::Receiver<Fleet>),
}

impl From<Arc<Board>> for Shown {
    fn from(board: Arc<Board>) -> Self {
        Self::Machine(board)
    }
}

impl From<watch::Receiver<Fleet>> for Shown {
    fn from(fleet: watch::Receiver<Fleet>) -> Self {
        Self::Fleet(fleet)
    }
}

/// What all requests share. `T` is what is shown.
struct Shared<T> {
    shown: T,
    limits: Limits,
    streams: Arc<Semaphore>,
    /// True once the server ends.
    stop: watch::Receiver<bool>,
}

/// A server that listens. Connections are accepted by the kernel from now on, and answered once it is started.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    limits: Limits,
}

impl Server {
    /// Listens.
    pub fn bind(options: Options) -> Result<Self, ServerFault> {
        let Options { listen, token, hosts, limits } = options;
        match &token {
            None if !listen.ip().is_loopback() => return Err(ServerFault::NoToken { address: listen }),
            Some(token) if token.expose().chars().count() < MIN_TOKEN => return Err(ServerFault::WeakToken),
            _ => {}
        }
        let listening = || {
            let listener = TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listening().map_err(|why| ServerFault::Listen { address: listen, why })?;
        Ok(Self { listener, address, guard: Guard::new(token.as_ref(), hosts), limits })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers on a thread of its own, so that nothing else that the program does can hold up an answer.
    pub fn start(self, shown: impl Into<Shown>) -> std::io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let (address, shown) = (self.address, shown.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("health".into());
        let thread = thread.spawn(move || {
            if let Err(error) = runtime.block_on(self.serve(shown, stopped)) {
                // A listener that was bound can be taken over by any runtime; there is nobody left to tell.
                eprintln!("the health server ended: {error}");
            }
        })?;
        Ok(Running { address, stop, thread: Some(thread) })
    }

    /// Answers until `stop` is true or its sender is gone, then ends: streams at once, other answers when they are sent,
    /// within a second.
    pub async fn serve(self, shown: impl Into<Shown>, stop: watch::Receiver<bool>) -> std::io::Result<()> {
        let Self { listener, guard, limits, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let streams = Arc::new(Semaphore::new(limits.streams));
        let router = match shown.into() {
            Shown::Machine(shown) => {
                routes::router(Arc::new(Shared { shown, limits, streams, stop: stop.clone() }))
            }
            Shown::Fleet(shown) => {
                fleet::router(Arc::new(Shared { shown, limits, streams, stop: stop.clone() }))
            }
        };
        connections::serve(listener, Arc::new(guard), router, limits, stop).await;
        Ok(())
    }
}

/// A server that answers. Dropped, it ends.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
