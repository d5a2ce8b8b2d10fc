//! A machine's way to Redis, which can be cut.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes connections on.
pub(super) struct Proxy {
    /// Where it listens, on the loopback.
    pub(super) port: u16,
    cut: watch::Sender<()>,
}

impl Proxy {
    /// One before the Redis of this port.
    pub(super) async fn start(redis: u16) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let (cut, cuts) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", redis)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, cut })
    }

    /// Cuts every connection, in the midst of whatever is on its way.
    pub(super) fn cut(&self) {
        self.cut.send_replace(());
    }
}
