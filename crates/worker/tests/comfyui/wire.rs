//! As much of HTTP/1.1 as the double needs: one request a connection, so that each can be answered, cut or kept waiting.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// `POST /prompt`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Reads one; `None` if the connection ends before.
    pub async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut read = Vec::new();
        let head = loop {
            if let Some(at) = find(&read, b"\r\n\r\n") {
                break at;
            }
            more(stream, &mut read).await?;
        };
        let text = String::from_utf8(read[..head].to_vec()).unwrap();
        let mut rest = read.split_off(head + 4);
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?);
        let url = Url::parse(&format!("http://double{target}")).unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|it| it.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let body = if headers.get("transfer-encoding").is_some_and(|it| it == "chunked") {
            chunked(stream, rest).await?
        } else {
            let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
            while rest.len() < length {
                more(stream, &mut rest).await?;
            }
            rest
        };
        let query = url.query_pairs().into_owned().collect();
        Some(Self { method, path: url.path().to_owned(), query, headers, body })
    }
}

async fn chunked(stream: &mut TcpStream, mut rest: Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = find(&rest, b"\r\n") {
                break at;
            }
            more(stream, &mut rest).await?;
        };
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        while rest.len() < end + 2 + length + 2 {
            more(stream, &mut rest).await?;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest.drain(..end + 2 + length + 2);
        if length == 0 {
            return Some(body);
        }
    }
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    stream.read_buf(read).await.ok().filter(|it| *it > 0).map(drop)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|it| it == what)
}

/// Answers and closes. The connection may be gone by now.
pub async fn answer(stream: &mut TcpStream, status: u16, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.shutdown().await;
}

/// Answers with this and so many zeros behind it.
pub async fn stream(stream: &mut TcpStream, begin: &[u8], more: usize) {
    let length = begin.len() + more;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let part = vec![0; 64 << 10];
    let mut left = more;
    let mut sent = stream.write_all(&[head.as_bytes(), begin].concat()).await;
    while left > 0 && sent.is_ok() {
        let now = left.min(part.len());
        sent = stream.write_all(&part[..now]).await;
        left -= now;
    }
    let _ = stream.shutdown().await;
}

/// Ends a connection as the end of the other process does it: without a word, and with a reset.
pub fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}
