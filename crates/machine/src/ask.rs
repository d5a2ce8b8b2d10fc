//! Asks a health server: one GET, within a time.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use spec::env::Secret;

/// The most that an answer may have: ten thousand processes take a tenth of it.
const MOST: u64 = 64 << 20;

/// A health server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it wants to see.
    pub(crate) token: Option<Secret<String>>,
}

impl Server {
    /// The status and body of the answer to a GET, which has to be there within `patience`, or about that.
    pub(crate) fn get(&self, path: &str, patience: Duration) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let token = self.token.as_ref().map(|it| format!("Authorization: Bearer {}\r\n", it.expose()));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: roster\r\n{}Connection: close\r\n\r\n",
            self.address,
            token.unwrap_or_default()
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer)?;
        let strange = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP");
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").ok_or_else(strange)?;
        // `HTTP/1.1 200 OK`
        let status = std::str::from_utf8(&answer[..end]).ok().and_then(|it| it.get(9..12)?.parse().ok());
        Ok((status.ok_or_else(strange)?, answer.split_off(end + 4)))
    }
}
