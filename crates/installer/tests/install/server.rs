//! A server of files that knows ranges, and as many ways to misbehave as tests need.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a path is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// As it should be.
    File(Vec<u8>),
    /// From the first byte, whatever was asked for.
    NoRanges(Vec<u8>),
    /// The connection ends after so many bytes, each time.
    Cut(Vec<u8>, usize),
    /// Nothing comes after so many bytes, each time.
    Stall(Vec<u8>, usize),
    /// A length that is not the file's.
    Length(Vec<u8>, usize),
    /// No length, and an end that is as good as any other.
    Endless(Vec<u8>),
    /// A page for people.
    Page,
    /// A status and nothing else.
    Status(u16),
    /// Somewhere else.
    Redirect(String),
    /// Another file each time, with a tag of its own.
    Changing(Vec<u8>, Vec<u8>, usize),
    /// A few KiB at a time.
    Slow(Vec<u8>),
}

/// A request: its path and headers.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Listens on an address of this machine.
    pub(crate) fn start(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, answers: Arc::default(), asked: Arc::default() };
        let own = server.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let own = own.clone();
                // A client that went away is no fault of ours.
                std::thread::spawn(move || drop(own.serve(connection)));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn put(&self, path: &str, answer: Answer) -> String {
        self.answers.lock().unwrap().insert(format!("/{path}"), answer);
        self.url(path)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn serve(&self, connection: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let times = self.asked.lock().unwrap().iter().filter(|it| it.path == path).count();
        self.asked.lock().unwrap().push(Asked { path: path.clone(), headers: headers.clone() });
        let answer = self.answers.lock().unwrap().get(&path).cloned().unwrap_or(Answer::Status(404));
        let from =
            headers.get("range").and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let if_range = headers.get("if-range").map(String::as_str);
        let mut out = connection;
        match answer {
            Answer::File(bytes) => body(&mut out, &bytes, from, "\"a\"", if_range, usize::MAX),
            Answer::NoRanges(bytes) => body(&mut out, &bytes, None, "\"a\"", None, usize::MAX),
            Answer::Cut(bytes, after) => body(&mut out, &bytes, from, "\"a\"", if_range, after),
            Answer::Stall(bytes, after) => {
                body(&mut out, &bytes, from, "\"a\"", if_range, after)?;
                std::thread::park_timeout(Duration::from_secs(30));
                Ok(())
            }
            Answer::Length(bytes, length) => {
                write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
                out.write_all(&bytes)
            }
            Answer::Endless(bytes) => {
                write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                out.write_all(&bytes)
            }
            Answer::Page => {
                let text = "<html>Please log in</html>";
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                )
            }
            Answer::Status(status) => {
                write!(out, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
            Answer::Redirect(to) => {
                write!(
                    out,
                    "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            }
            Answer::Changing(old, new, after) => match times {
                0 => body(&mut out, &old, from, "\"old\"", if_range, after),
                _ => body(&mut out, &new, from, "\"new\"", if_range, usize::MAX),
            },
            Answer::Slow(bytes) => {
                let from = from.unwrap_or(0);
                head(&mut out, bytes.len(), from, "\"a\"")?;
                for part in bytes[from..].chunks(16 << 10) {
                    out.write_all(part)?;
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                Ok(())
            }
        }
    }
}

fn head(out: &mut TcpStream, whole: usize, from: usize, tag: &str) -> std::io::Result<()> {
    let length = whole - from;
    match from {
        0 => write!(
            out,
            "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        ),
        _ => write!(
            out,
            "HTTP/1.1 206 Partial Content\r\nETag: {tag}\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {from}-{}/{whole}\r\nConnection: close\r\n\r\n",
            whole - 1
        ),
    }
}

fn body(
    out: &mut TcpStream,
    bytes: &[u8],
    from: Option<usize>,
    tag: &str,
    if_range: Option<&str>,
    after: usize,
) -> std::io::Result<()> {
    let from = from.filter(|_| if_range.is_none_or(|it| it == tag)).unwrap_or(0);
    if from >= bytes.len() {
        return write!(out, "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    head(out, bytes.len(), from, tag)?;
    let end = bytes.len().min(from.saturating_add(after));
    out.write_all(&bytes[from..end])
}
