//! The only way of a job's browser context to the network: a SOCKS5 proxy (RFC 1928) that asks the worker's rules.
//!
//! It sees every connection, whatever in a page asks for it: a redirect, a picture, a `WebSocket`, a service worker. The
//! name is resolved here, once, and the connection is made to the address that was judged, so that a name which means
//! something else a moment later leads nowhere.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::egress::{Egress, Forbidden, Rules};
use crate::failure::{Failure, Symptom};

/// For a connection to be asked for and made.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections at once; more wait.
const MOST: usize = 256;
/// What TLS begins with: a handshake record (RFC 8446, 5.1).
const TLS: u8 = 0x16;

/// The proxy of one job.
pub(super) struct Guard<'a> {
    rules: &'a Rules,
    listener: TcpListener,
    address: SocketAddr,
    /// What was last not connected to.
    refused: Mutex<Option<Failure>>,
}

/// Answers of RFC 1928.
mod reply {
    pub(super) const OK: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 4;
    pub(super) const UNKNOWN: u8 = 7;
}

impl<'a> Guard<'a> {
    /// A proxy that keeps to the rules of `egress`.
    pub(super) async fn new(egress: &'a Egress) -> Result<Self, Failure> {
        let failed = |it| Failure::retryable(format!("a proxy for the browser cannot be had: {it}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { rules: egress.rules(), listener, address, refused: Mutex::default() })
    }

    /// As browsers take it.
    pub(super) fn address(&self) -> String {
        format!("socks5://{}", self.address)
    }

    /// Judges an address that a job names before anything of it is asked for.
    pub(super) fn judge(&self, address: &str) -> Result<(), Failure> {
        let url = Url::parse(address).map_err(|_| forbidden(&Forbidden::Syntax))?;
        self.rules.judge(&url).map_err(|it| forbidden(&it))
    }

    /// Why something was last not connected to; then that is forgotten.
    pub(super) fn refused(&self) -> Option<Failure> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn refuse(&self, failure: Failure) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// Carries connections for as long as it is polled; all end with it.
    pub(super) async fn serve(&self) -> Infallible {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if open.len() < MOST => match accepted {
                    Ok((client, _)) => open.push(self.carry(client)),
                    // Out of file descriptors, say.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
                Some(_) = open.next() => {}
            }
        }
    }

    /// One connection. That it was cut is the browser's business, so errors are for nobody.
    async fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Ok(connected) = timeout(CONNECT, self.connect(&mut client)).await else {
            self.refuse(Failure::retryable("a host did not answer in time"));
            return answer(&mut client, reply::UNREACHABLE).await;
        };
        let Some(mut there) = connected? else { return Ok(()) };
        if !self.rules.http {
            let mut first = [0];
            client.read_exact(&mut first).await?;
            if first != [TLS] {
                self.refuse(forbidden(&Forbidden::Scheme("http".into())));
                return Ok(());
            }
            there.write_all(&first).await?;
        }
        let (mut from_client, mut to_client) = client.split();
        let (from_there, mut to_there) = there.split();
        let mut from_there = from_there.take(self.rules.bytes);
        let up = async {
            copy(&mut from_client, &mut to_there).await?;
            to_there.shutdown().await
        };
        let down = async {
            copy(&mut from_there, &mut to_client).await?;
            to_client.shutdown().await
        };
        tokio::try_join!(up, down).map(drop)
    }

    /// A connection to where the browser wants to go; `None` if it was told that it may not, or cannot.
    async fn connect(&self, client: &mut TcpStream) -> std::io::Result<Option<TcpStream>> {
        let Some(wish) = asked(client).await? else {
            return answer(client, reply::UNKNOWN).await.map(|()| None);
        };
        match self.allowed(&wish).await {
            Ok(addresses) => match TcpStream::connect(&*addresses).await {
                Ok(there) => {
                    answer(client, reply::OK).await?;
                    return Ok(Some(there));
                }
                Err(error) => self.refuse(Failure::retryable(format!("no connection to a host: {error}"))),
            },
            Err(failure) => self.refuse(failure),
        }
        answer(client, reply::UNREACHABLE).await.map(|()| None)
    }

    /// The addresses of `host:port`, all of them judged.
    async fn allowed(&self, authority: &str) -> Result<Vec<SocketAddr>, Failure> {
        // Whether it is `https` is seen once it speaks.
        let url = Url::parse(&format!("https://{authority}")).map_err(|_| forbidden(&Forbidden::Syntax))?;
        self.rules.judge(&url).map_err(|it| forbidden(&it))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        self.rules.resolve(host, port).await.map_err(|it| match it.downcast_ref() {
            Some(it) => forbidden(it),
            None => Failure::retryable(format!("the host `{host}` is not found: {it}")),
        })
    }
}

fn forbidden(why: &Forbidden) -> Failure {
    Failure::of(Symptom::Refused, format!("an address of the job is not opened: {why}"))
}

/// Where the browser wants to go, `host:port`; `None` for what is not a connection. It proves itself to nobody: it is on
/// this machine.
async fn asked(client: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (_version, methods) = (client.read_u8().await?, client.read_u8().await?);
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered).await?;
    client.write_all(&[5, 0]).await?;
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let [5, 1, 0, kind] = head else { return Ok(None) };
    let host = match kind {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        3 => {
            let mut name = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        4 => format!("[{}]", Ipv6Addr::from(client.read_u128().await?)),
        _ => return Ok(None),
    };
    Ok(Some(format!("{host}:{}", client.read_u16().await?)))
}

async fn answer(client: &mut TcpStream, code: u8) -> std::io::Result<()> {
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the proxy answers to a wish to connect, and the connection.
    async fn ask(guard: &Guard<'_>, host: &[u8], port: u16) -> (u8, TcpStream) {
        let mut client = TcpStream::connect(guard.address).await.unwrap();
        let wish = [&[5, 1, 0, 5, 1, 0], host, &port.to_be_bytes()].concat();
        client.write_all(&wish).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        (answer[3], client)
    }

    fn named(name: &str) -> Vec<u8> {
        [&[3, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
    }

    async fn beside<T>(guard: &Guard<'_>, test: impl Future<Output = T>) -> T {
        tokio::select! {
            never = guard.serve() => match never {},
            done = test => done,
        }
    }

    #[tokio::test]
    async fn nothing_inside_is_connected_to_however_it_is_called() {
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = there.local_addr().unwrap().port();
        let egress = Egress::new(Rules { http: true, ..Rules::default() });
        let guard = Guard::new(&egress).await.unwrap();
        let names = ["localhost", "localhost.", "a.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1"];
        let mut hosts: Vec<Vec<u8>> = names.into_iter().map(named).collect();
        hosts.push([&[1][..], &Ipv4Addr::LOCALHOST.octets()].concat());
        hosts.push([&[1][..], &[169, 254, 169, 254]].concat());
        for v6 in [Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST.to_ipv6_mapped()] {
            hosts.push([&[4][..], &v6.octets()].concat());
        }
        let asked = async {
            for host in hosts {
                assert_eq!(ask(&guard, &host, port).await.0, reply::UNREACHABLE, "{host:?}");
                assert!(guard.refused().unwrap().message.contains("is not a public address"));
            }
        };
        beside(&guard, asked).await;
        assert!(futures_util::FutureExt::now_or_never(there.accept()).is_none());
    }

    #[tokio::test]
    async fn only_tls_passes_where_http_is_not_allowed() {
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = there.local_addr().unwrap().port();
        for (http, first, passes) in [(false, b'G', false), (false, TLS, true), (true, b'G', true)] {
            let inside = vec![crate::Inside::Host("localhost".into())];
            let egress = Egress::new(Rules { http, inside, ..Rules::default() });
            let guard = Guard::new(&egress).await.unwrap();
            let sent = async {
                let (code, mut client) = ask(&guard, &named("localhost"), port).await;
                assert_eq!(code, reply::OK);
                client.write_all(&[first]).await.unwrap();
                let (mut accepted, _) = there.accept().await.unwrap();
                let mut heard = [0];
                assert_eq!(accepted.read(&mut heard).await.unwrap(), usize::from(passes));
            };
            beside(&guard, sent).await;
            assert_eq!(guard.refused().is_some(), !passes);
        }
    }
}
