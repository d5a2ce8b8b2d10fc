//! Looks at a process from outside.

use std::time::Duration;

use ecosystem::{Probe, Probes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use crate::core::{Event, Exit};
use crate::launcher::{Launcher, Output, Plan};

/// Between looks until it is healthy for the first time.
const WHILE_STARTING: Duration = Duration::from_millis(250);
/// Between looks from then on.
const WHILE_RUNNING: Duration = Duration::from_secs(5);
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at one run for as long as it is polled, and tells what it sees together with the number of the run.
pub(crate) async fn watch<L: Launcher>(
    probes: Probes,
    plan: Plan,
    launcher: &L,
    run: u64,
    tell: UnboundedSender<(u64, Event)>,
) {
    while !look(&probes.ready, &plan, launcher).await {
        sleep(WHILE_STARTING).await;
    }
    // The task that listens ends after this one.
    let _ = tell.send((run, Event::Ready));
    let mut period = WHILE_STARTING;
    loop {
        let healthy = look(&probes.health, &plan, launcher).await;
        if healthy {
            period = WHILE_RUNNING;
        }
        let _ = tell.send((run, if healthy { Event::Healthy } else { Event::Unhealthy }));
        sleep(period).await;
    }
}

async fn look<L: Launcher>(probe: &Probe, plan: &Plan, launcher: &L) -> bool {
    let variable = |key| plan.env.get(key).and_then(|it| it.expose().to_str()).unwrap_or_default();
    match probe {
        Probe::Process => true,
        Probe::File { path } => std::fs::exists(path).unwrap_or_default(),
        Probe::Exec { command } => exec(command, plan, launcher).await,
        Probe::Log { line: _ } => false,
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

/// Runs a command where the process runs, with its environment.
async fn exec<L: Launcher>(command: &[String], plan: &Plan, launcher: &L) -> bool {
    let Some(plan) = plan.look(command) else { return false };
    let null = || std::fs::File::options().write(true).open("/dev/null").map(Into::into);
    let (Ok(out), Ok(err)) = (null(), null()) else { return false };
    let Ok(child) = launcher.launch(&plan, Output { out, err }).await else { return false };
    let exit = timeout(PATIENCE, child.exit).await;
    launcher.kill(child.pid);
    matches!(exit, Ok(Ok(Exit::Code(0))))
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
