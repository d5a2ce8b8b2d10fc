//! How fast the health server answers, beside the least that a server of the same make has to do: axum with a handler
//! that returns `ok`, on a thread of its own, asked by the same client in the same round.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use health::{Board, Facts, Limits, Options, Server, Stage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::super::measure::quantile;
use super::super::report::{Limit, Row, Unit};

/// Connections that ask, each one question at a time.
const CONNECTIONS: usize = 16;
/// The least part of the floor's rate that we may reach.
const LEAST: f64 = 0.8;

/// What one round found.
struct Round {
    per_second: f64,
    p99: f64,
}

pub(super) fn run(quick: bool) -> Result<Vec<Row>, String> {
    let (rounds, each) = if quick { (3, 500) } else { (9, 3000) };
    let said = |error: std::io::Error| error.to_string();
    let id = "bench".parse().map_err(|error| format!("{error}"))?;
    let mut facts = Facts::starting(id, "0", 0);
    facts.machine.stage = Stage::Running;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { listen, token: None, hosts: vec![], limits: Limits::default() };
    let server = Server::bind(options).map_err(|error| error.to_string())?;
    let ours = server.start(Board::new(facts)).map_err(said)?;
    let floor = floor().map_err(said)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
    runtime.block_on(async {
        let (mut measured, mut beside) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let pair = (ask(ours.address(), each).await?, ask(floor, each).await?);
            // The first warms both up.
            if round > 0 {
                measured.push(pair.0);
                beside.push(pair.1);
            }
        }
        let rates = |it: &[Round]| it.iter().map(|it| it.per_second).collect::<Vec<_>>();
        let p99s = |it: &[Round]| it.iter().map(|it| it.p99).collect::<Vec<_>>();
        let what = "axum `ok`";
        Ok(vec![
            Row::paired(
                "`/health`, 16 connections",
                Unit::PerSecond,
                &rates(&measured),
                what,
                &rates(&beside),
            )
            .limit(Limit::RatioAtLeast(LEAST)),
            Row::paired("`/health`, p99", Unit::Micros, &p99s(&measured), what, &p99s(&beside)),
        ])
    })
}

/// The least.
fn floor() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let router = Router::new().route("/health", get(|| async { "ok" }));
            axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
        })
    });
    Ok(address)
}

async fn ask(address: SocketAddr, each: usize) -> Result<Round, String> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        tasks.spawn(converse(address, each));
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.extend(done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?);
    }
    let elapsed = began.elapsed().as_secs_f64();
    took.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let per_second = took.len() as f64 / elapsed;
    Ok(Round { per_second, p99: quantile(&took, 99).as_secs_f64() * 1e6 })
}

/// One connection that asks `each` questions, one after the other; how long each took.
async fn converse(address: SocketAddr, each: usize) -> std::io::Result<Vec<Duration>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let question = format!("GET /health HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; 16 * 1024];
    let mut took = Vec::with_capacity(each);
    for _ in 0..each {
        let began = Instant::now();
        socket.write_all(question.as_bytes()).await?;
        let mut read = 0;
        while !whole(&buffer[..read]) {
            let more = socket.read(&mut buffer[read..]).await?;
            if more == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            read += more;
        }
        took.push(began.elapsed());
    }
    Ok(took)
}

/// Whether an answer is there to its end.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: ")?.parse::<usize>().ok());
    answer.len() >= end + 4 + length.unwrap_or_default()
}
