//! A machine of a test, its server, and a client that does nothing that a test does not say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use health::{
    Board, Control, Counts, Disk, Facts, Gpu, Install, Interface, Job, Limits, Options, Phase, Planned,
    Probe, Process, Reading, RedisLink, Refused, Running, Server, Service, Stage, Trouble, Usage, Worker,
};
use serde_json::Value;
use spec::ids::ProcessName;
use tokio::sync::broadcast;

/// For what takes no time on a machine that has any to spare.
pub const LONG: Duration = Duration::from_secs(30);

pub fn process(phase: Phase) -> Process {
    let usage = Usage {
        cpu_seconds: 12.5,
        cpu_percent: Some(41.26),
        memory_bytes: 3 << 30,
        uptime: Duration::from_mins(61),
        open_files: 40,
    };
    Process { phase, since: 1, pid: Some(4242), restarts: 0, trouble: None, usage: Some(usage) }
}

pub fn service(name: &str, kind: &str) -> Service {
    Service {
        name: name.parse().unwrap(),
        kind: Some(kind.parse().unwrap()),
        plan: Planned::Enabled,
        install: Install::Present,
        process: Some(process(Phase::Healthy)),
        probe: Probe::Unneeded,
        port: Some(8188),
        gpus: vec![0],
        needs: vec![],
    }
}

pub fn worker(name: &str, needs: &str) -> Worker {
    Worker {
        name: name.parse().unwrap(),
        id: format!("m1-worker-{name}").parse().unwrap(),
        connector: "comfyui".into(),
        accepts: vec!["comfyui".into()],
        needs: vec![needs.parse().unwrap()],
        gpu: Some(0),
        process: process(Phase::Healthy),
        held: None,
        job: None,
        counts: Counts { claimed: 8, succeeded: 7, failed: 1, handed_back: 0 },
    }
}

/// Two GPUs, a ComfyUI on each, a service elsewhere, one that nobody wants, and three workers.
pub fn machine() -> Facts {
    let at = health_now();
    let mut facts = Facts::starting("gpu-box-1".parse().unwrap(), "0.1.0", at - 3_900_000);
    facts.at = at;
    facts.machine.stage = Stage::Running;
    facts.machine.profile = Some("gpu-mixed".parse().unwrap());
    facts.machine.generation = Some("9c41e07a51b2d0f3".into());
    let mut second = service("comfyui-gpu1", "comfyui");
    (second.port, second.gpus) = (Some(8189), vec![1]);
    let elsewhere = Service {
        process: None,
        port: None,
        gpus: vec![],
        probe: Probe::Passing { took: Duration::from_millis(80) },
        ..service("openai", "openai")
    };
    let absent = Service {
        plan: Planned::Absent,
        process: None,
        port: None,
        gpus: vec![],
        ..service("a1111", "a1111")
    };
    facts.services = vec![service("comfyui-gpu0", "comfyui"), second, elsewhere, absent];
    let mut busy = worker("comfyui-worker-0", "comfyui-gpu0");
    let message = Some("step 11 of 20".into());
    busy.job = Some(Job { id: "0199f2c1b7".into(), since: at - 21_000, percent: Some(55), message });
    facts.workers =
        vec![busy, worker("comfyui-worker-1", "comfyui-gpu1"), worker("openai-worker-0", "openai")];
    facts.workers[2].gpu = None;
    facts.gpus = [14_u64, 3].iter().zip(0..).map(|(used, index)| gpu(index, *used)).collect();
    facts.redis = RedisLink::Connected { latency: Duration::from_micros(240) };
    facts.disks = vec![Disk { path: "/workspace".into(), total: 2 << 40, free: 1300 << 30 }];
    facts.interfaces = vec![Interface { name: "eth0".into(), received: 1 << 32, sent: 1 << 30 }];
    facts
}

fn gpu(index: u32, used: u64) -> Gpu {
    let reading = Reading {
        memory_used: used << 30,
        utilisation: 71,
        temperature: 64,
        power: Some(287.4),
        xid_errors: 0,
        last_xid: None,
    };
    Gpu {
        index,
        uuid: Some(format!("GPU-{index}")),
        name: "NVIDIA GeForce RTX 4090".into(),
        memory_total: 24 << 30,
        reading: Some(reading),
        fault: None,
    }
}

pub fn health_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// A service that the kernel has killed.
pub fn killed(facts: &mut Facts, service: usize) {
    let trouble = Some(Trouble::Killed { signal: 9, out_of_memory: true });
    let process = process(Phase::BackingOff { until: facts.at + 2000 });
    facts.services[service].process =
        Some(Process { trouble, restarts: 1, pid: None, usage: None, ..process });
}

/// Remembers what it was asked for. `hang` never answers.
pub struct Hands {
    pub orders: Mutex<Vec<String>>,
    pub lines: broadcast::Sender<String>,
    ended: std::sync::atomic::AtomicBool,
}

impl Default for Hands {
    fn default() -> Self {
        Self { orders: Mutex::default(), lines: broadcast::Sender::new(100), ended: false.into() }
    }
}

impl Hands {
    /// From now on a log that is followed ends at once.
    pub fn end(&self) {
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn take(&self, order: String) -> BoxFuture<'_, Result<(), Refused>> {
        let hangs = order.contains("comfyui-gpu1");
        self.orders.lock().unwrap().push(order);
        Box::pin(async move { if hangs { std::future::pending().await } else { Ok(()) } })
    }
}

impl Control for Hands {
    fn restart<'a>(&'a self, process: &'a ProcessName) -> BoxFuture<'a, Result<(), Refused>> {
        self.take(format!("restart {process}"))
    }

    fn drain(&self) -> BoxFuture<'_, Result<(), Refused>> {
        self.take("drain".into())
    }

    fn logs<'a>(
        &'a self,
        process: &'a ProcessName,
        lines: usize,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<'static, String>, Refused>> {
        let written = (0..).map(move |at| format!("line {at}\u{1b}[31m")).take(lines.min(100_000));
        let told = stream::unfold(self.lines.subscribe(), |mut told| async {
            Some((told.recv().await.ok()?, told))
        });
        let hangs = process.as_str() == "comfyui-gpu1";
        let follow = follow && !self.ended.load(std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            let written = stream::iter(written);
            Ok(if follow { written.chain(told).boxed() } else { written.boxed() })
        })
    }
}

/// A server and what it shows.
pub struct Place {
    pub board: Arc<Board>,
    pub hands: Arc<Hands>,
    pub server: Running,
}

impl Place {
    /// With limits that a test reaches.
    pub fn with(facts: Facts, change: impl FnOnce(&mut Options)) -> Self {
        let limits =
            Limits { head: Duration::from_secs(1), order: Duration::from_millis(500), ..Limits::default() };
        let mut options =
            Options { listen: "127.0.0.1:0".parse().unwrap(), token: None, hosts: vec![], limits };
        change(&mut options);
        let board = Board::new(facts);
        let server = Server::bind(options).unwrap().start(board.clone()).unwrap();
        let hands = Arc::new(Hands::default());
        board.attach(hands.clone());
        Self { board, hands, server }
    }

    pub fn new(facts: Facts) -> Self {
        Self::with(facts, |_| {})
    }

    pub fn get(&self, path: &str) -> Answer {
        ask(self.server.address(), "GET", path, "")
    }

    pub fn post(&self, path: &str, headers: &str) -> Answer {
        ask(self.server.address(), "POST", path, headers)
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (is, value) = line.split_once(": ")?;
            is.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// `headers`: lines, each with its end.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let host = if headers.to_ascii_lowercase().contains("host:") {
        String::new()
    } else {
        format!("host: {address}\r\n")
    };
    write!(socket, "{method} {path} HTTP/1.1\r\n{host}connection: close\r\n{headers}\r\n").unwrap();
    let mut bytes = Vec::new();
    // A server that refuses what is being sent may cut the connection after its answer.
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {text:?}")).parse().unwrap();
    Answer { status, head: head.replace("\r\n", "\n"), body: body.into() }
}

/// A stream of lines, read as they come.
pub struct Lines(BufReader<TcpStream>);

impl Lines {
    pub fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").unwrap();
        Self(BufReader::new(socket))
    }

    /// The next line that begins so; `None` once the stream has ended.
    pub fn next(&mut self, begin: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if line.starts_with(begin) {
                return Some(line.trim_end().to_owned());
            }
        }
    }
}

/// Waits for a condition.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
