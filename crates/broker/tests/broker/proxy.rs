//! A network that misbehaves when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of connections. They are numbered from 1 as they come.
#[derive(Clone, Default)]
pub struct Weather {
    /// Those up to this number are closed.
    cut: u64,
    /// Those up to this number pass nothing on, and nobody is told.
    stalled: u64,
    /// Of those up to this number questions pass, answers vanish.
    deaf: u64,
    /// Everything takes so much longer.
    pub late: Duration,
    /// New connections are closed at once.
    pub closed: bool,
}

/// Passes connections on to a server.
pub struct Proxy {
    pub port: u16,
    weather: watch::Sender<Weather>,
    count: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            weather: watch::Sender::new(Weather::default()),
            count: Arc::default(),
            open: Arc::default(),
        };
        let (weather, count, open) = (proxy.weather.subscribe(), proxy.count.clone(), proxy.open.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (weather, open) = (weather.clone(), open.clone());
                if weather.borrow().closed {
                    continue;
                }
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    open.fetch_add(1, Ordering::SeqCst);
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let mut watched = weather.clone();
                    tokio::select! {
                        () = pass(from_client, to_server, weather.clone(), number, false) => {}
                        () = pass(from_server, to_client, weather, number, true) => {}
                        _ = watched.wait_for(|it| it.cut >= number) => {}
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        proxy
    }

    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Closes all connections that there are.
    pub fn cut(&self) {
        self.change(|it| it.cut = self.count());
    }

    /// Those that there are pass no answers on any more; new ones do.
    pub fn deafen(&self) {
        self.change(|it| it.deaf = self.count());
    }

    /// Those that there are pass nothing on any more; new ones do.
    pub fn stall(&self) {
        self.change(|it| it.stalled = self.count());
    }

    /// Neither those that there are nor any that comes.
    pub fn stall_all(&self) {
        self.change(|it| it.stalled = u64::MAX);
    }

    /// How many connections have come.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    number: u64,
    answers: bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let now = weather.borrow().clone();
        if now.stalled >= number || (answers && now.deaf >= number) {
            continue;
        }
        if !now.late.is_zero() {
            tokio::time::sleep(now.late).await;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
