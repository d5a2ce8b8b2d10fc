//! Looks at a process from outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ecosystem::{Probe, Probes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::core::{Event, Exit, Pid, UNHEALTHY_AFTER};
use crate::launcher::{Launcher, Output, Plan};
use crate::log::LogReader;
use crate::task::Mail;

/// Between looks until it is healthy for the first time.
const WHILE_STARTING: Duration = Duration::from_millis(250);
/// From then on, from the beginning of one look to that of the next: together with [`PATIENCE`], what stops answering
/// is told within 5 s.
const WHILE_RUNNING: Duration = Duration::from_secs(3);
/// An address that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// A command that takes longer has failed: it has to start first.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);

/// Who looks at one run, and how it is reached.
pub(crate) struct View<L> {
    pub plan: Arc<Plan>,
    pub launcher: Arc<L>,
    /// Its log, from its start on.
    pub logs: Vec<LogReader>,
}

/// Looks at one run for as long as it is polled, and tells what it sees together with the number of the run.
pub(crate) async fn watch<L: Launcher>(
    probes: Probes,
    mut view: View<L>,
    run: u64,
    tell: UnboundedSender<Mail>,
) {
    let (said, mut heard) = watch::channel(BTreeSet::new());
    let mut listeners = JoinSet::new();
    for log in std::mem::take(&mut view.logs) {
        listeners.spawn(listen(log, lines(&probes), said.clone()));
    }
    for it in probes.startup.iter().chain([&probes.ready]) {
        while !look(it, &view, &mut heard).await {
            // What is written is heard at once; for the rest there is no sign.
            let _ = timeout(WHILE_STARTING, heard.changed()).await;
        }
    }
    // The task that listens ends after this one.
    let _ = tell.send(Mail::Seen(run, Event::Ready));
    let (mut period, mut dead) = (WHILE_STARTING, 0);
    loop {
        let began = Instant::now();
        let healthy = look(&probes.health, &view, &mut heard).await;
        if healthy {
            period = WHILE_RUNNING;
        }
        let _ = tell.send(Mail::Seen(run, if healthy { Event::Healthy } else { Event::Unhealthy }));
        if let Some(live) = &probes.live {
            dead = if look(live, &view, &mut heard).await { 0 } else { dead + 1 };
            if dead >= UNHEALTHY_AFTER {
                let _ = tell.send(Mail::Seen(run, Event::NotLive(dead)));
            }
        }
        // One that takes long does not make the next come at once.
        sleep(period.saturating_sub(began.elapsed()).max(WHILE_STARTING)).await;
    }
}

/// What the probes wait for in the log.
fn lines(probes: &Probes) -> BTreeSet<String> {
    let all = [Some(&probes.ready), Some(&probes.health), probes.startup.as_ref(), probes.live.as_ref()];
    let lines = all.into_iter().flatten().filter_map(|it| match it {
        Probe::Log { line } => Some(line.clone()),
        _ => None,
    });
    lines.collect()
}

/// Whether any probe needs the log.
pub(crate) fn listens(probes: &Probes) -> bool {
    !lines(probes).is_empty()
}

/// Says which of `wanted` stand in a line of the log.
async fn listen(mut log: LogReader, wanted: BTreeSet<String>, said: watch::Sender<BTreeSet<String>>) {
    let longest = wanted.iter().map(String::len).max().unwrap_or_default();
    let mut text = Vec::new();
    while said.borrow().len() < wanted.len() {
        let Ok(Some(bytes)) = log.next().await else { return };
        text.extend(bytes);
        for line in &wanted {
            if text.windows(line.len()).any(|it| it == line.as_bytes()) {
                said.send_if_modified(|it| it.insert(line.clone()));
            }
        }
        // The beginning of one may stand at the end.
        text.drain(..text.len().saturating_sub(longest));
    }
}

async fn look<L: Launcher>(
    probe: &Probe,
    view: &View<L>,
    heard: &mut watch::Receiver<BTreeSet<String>>,
) -> bool {
    let variable = |key| view.plan.env.get(key).and_then(|it| it.expose().to_str()).unwrap_or_default();
    match probe {
        Probe::Process => true,
        Probe::File { path } => std::fs::exists(path).unwrap_or_default(),
        Probe::Exec { command } => exec(command, view).await,
        Probe::Log { line } => heard.borrow_and_update().contains(line),
        Probe::Tcp { port } => {
            matches!(timeout(PATIENCE, TcpStream::connect(("127.0.0.1", *port))).await, Ok(Ok(_)))
        }
        Probe::Http { url } => get(url).await.is_some_and(|it| it < 400),
        Probe::Variables { set } => set.iter().all(|it| !variable(it).is_empty()),
        Probe::Url { variable: key, path } => {
            get(&format!("{}{path}", variable(key))).await.is_some_and(|it| it < 500)
        }
    }
}

/// Runs a command where the process runs, with its environment. It ends with whoever waits for it.
async fn exec<L: Launcher>(command: &[String], view: &View<L>) -> bool {
    let Some(plan) = view.plan.look(command) else { return false };
    let null = || std::fs::File::options().write(true).open("/dev/null").map(Into::into);
    let (Ok(out), Ok(err)) = (null(), null()) else { return false };
    let Ok(child) = view.launcher.launch(&plan, Output { out, err }).await else { return false };
    let _ended = Killed { launcher: &*view.launcher, pid: child.pid };
    matches!(timeout(COMMAND_PATIENCE, child.exit).await, Ok(Ok(Exit::Code(0))))
}

/// Is killed when it is dropped.
struct Killed<'a, L: Launcher> {
    launcher: &'a L,
    pid: Pid,
}

impl<L: Launcher> Drop for Killed<'_, L> {
    fn drop(&mut self) {
        self.launcher.kill(self.pid);
    }
}

/// The status of a GET; `None` when there is no answer, or the address is none that starts with `http://`.
async fn get(url: &str) -> Option<u16> {
    timeout(PATIENCE, request(url)).await.ok()?
}

async fn request(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: roster\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    // `HTTP/1.1 200 OK`: nothing after the number matters.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    let answer = std::str::from_utf8(&answer).ok()?.strip_prefix("HTTP/1.")?;
    answer.get(2..5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_get_is_answered_by_its_status() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut asked = Vec::new();
            for answer in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 503 Busy\r\n\r\n", "nonsense at all"]
            {
                let (mut client, _) = server.accept().await.unwrap();
                let mut head = vec![0; 512];
                let length = client.read(&mut head).await.unwrap();
                asked.push(String::from_utf8_lossy(&head[..length]).lines().next().unwrap().to_owned());
                client.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        };
        let ask = async {
            [
                get(&format!("http://{address}/system?x=1")).await,
                get(&format!("http://{address}")).await,
                get(&format!("http://{address}/")).await,
            ]
        };
        let (asked, answers) = tokio::join!(serve, ask);
        assert_eq!(asked, ["GET /system?x=1 HTTP/1.1", "GET / HTTP/1.1", "GET / HTTP/1.1"]);
        assert_eq!(answers, [Some(204), Some(503), None]);
        drop(server);
        assert_eq!(get(&format!("http://{address}/")).await, None);
        assert_eq!(get("https://127.0.0.1/").await, None);
    }
}
