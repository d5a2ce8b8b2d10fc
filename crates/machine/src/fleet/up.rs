//! `roster up`: runs an ecosystem here, until it is told to stop.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use ecosystem::Ecosystem;
use spec::notes::{Exit, Fault, Finding, Located};
use supervisor::control::protocol::{Document, Report, Transition};
use supervisor::control::{self, Control, Service, Socket, control};
use supervisor::{Linux, Nvml, Refusal, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, watch};

use super::document::{self, Here};
use super::keep::Keeping;
use super::{ask, events, place};
use crate::say::Common;
use crate::worker::introduce;

/// An ecosystem of a name of its own.
const ECOSYSTEM: &str = "ROSTER_ECOSYSTEM";
/// For the last lines to be written: a terminal that has stopped does not keep a machine from ending.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Run the processes of an ecosystem.
#[derive(Clone, Debug, Args)]
pub(crate) struct Up {
    /// The ecosystem; left out, `ROSTER_ECOSYSTEM`, or `ecosystem.json` in this folder. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    ecosystem: Option<PathBuf>,
    /// Keep the logs in this folder instead of where the ecosystem says
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The socket; left out, `ROSTER_SOCKET`, or `<machine>.sock` in the run directory
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(up: Up) -> ExitCode {
    let common = up.common.clone();
    match begin(up) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(findings) => ask::failed(&common, findings),
    }
}

fn begin(up: Up) -> Result<Exit, Vec<Finding>> {
    let path = up.ecosystem.or_else(|| place::variable(ECOSYSTEM)).unwrap_or("ecosystem.json".into());
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let own = std::env::current_exe().map_err(|it| io(&it.to_string()))?;
    let here = Here { own, logs: up.logs.map(absolute) };
    let (name, text) = document::text(&path).map_err(|it| vec![*it])?;
    let ecosystem = here.adapt(document::read(&name, &text)?);
    let socket = absolute(place::to_listen(up.socket, &ecosystem.machine).map_err(|it| vec![*it])?);
    let ecosystem = introduce(ecosystem, &socket, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|it| io(&it.to_string()))?;
    let exit = runtime.block_on(async {
        let reader = reader(path, here, socket.clone());
        let socket = Socket::listen(&socket).map_err(found)?;
        let launcher = launcher(&socket, &ecosystem).await.map_err(|it| io(&it.to_string()))?;
        let supervisor = Supervisor::new(launcher, up.keeping.keep(), fastrand::u64(..));
        let (control, desk) = control();
        let service = Service {
            control: control.clone(),
            logs: supervisor.logs().clone(),
            meter: supervisor.meter().clone(),
            reader: reader.clone(),
        };
        let forced = Arc::new(AtomicBool::new(false));
        let talk = Talk {
            common: up.common,
            width: ecosystem
                .setup
                .iter()
                .chain(&ecosystem.apps)
                .map(|it| it.name.as_str().len())
                .max()
                .unwrap_or_default(),
        };
        talk.say(&format!(
            "{} processes of the machine {}; `roster ps` asks at {}",
            ecosystem.setup.len() + ecosystem.apps.len(),
            ecosystem.machine,
            socket.path().display()
        ));
        let signals = signals(control.clone(), reader, forced.clone(), talk.clone())
            .map_err(|it| io(&it.to_string()))?;
        let (status, _) = watch::channel(supervisor::FleetStatus::new());
        let world = crate::say::world();
        let printer = print(control, talk);
        let running = supervisor.serve(&ecosystem, &*world.environment, desk, &status);
        let running = async { tokio::join!(running, printer, control::serve(&socket, service)) };
        let (left, printed, ()) = tokio::select! {
            it = running => it,
            never = signals => match never {},
        };
        // Whoever reads what we print may have stopped doing so.
        if let Some(printed) = printed {
            let _ = printed.recv_timeout(LAST_LINES);
        }
        let left = left.map_err(|it| found(Refusal::NotUnicode { key: it.key }))?;
        Ok::<_, Vec<Finding>>(if left == 0 && !forced.load(Ordering::Relaxed) {
            Exit::Ok
        } else {
            Exit::Error
        })
    })?;
    Ok(exit)
}

/// Starts processes, and takes over those that outlived a supervisor that was killed: they are remembered beside the
/// socket. A card is looked at before it is given to a process, where the driver is there.
async fn launcher(socket: &Socket, ecosystem: &Ecosystem) -> std::io::Result<Linux> {
    let memory = socket.path().with_extension("survivors");
    let linux = Linux::begin(Some(memory), ecosystem).await?;
    Ok(match Nvml::load() {
        Ok(it) => linux.with_gpus(it),
        Err(_) => linux,
    })
}

fn found<F: Fault>(fault: F) -> Vec<Finding> {
    vec![Finding::error(Located::nowhere(fault))]
}

/// The system refuses something that it hardly ever does.
fn io(why: &str) -> Vec<Finding> {
    found(Refusal::System { why: why.to_owned() })
}

/// How documents are read, for the socket and for SIGHUP.
fn reader(path: PathBuf, here: Here, socket: PathBuf) -> control::Reader {
    Arc::new(move |sent: Option<&Document>| {
        let (name, text) = match sent {
            Some(it) => (it.name.clone(), it.text.clone()),
            None => read_again(&path)?,
        };
        let read = document::read(&name, &text);
        read.map(|it| introduce(here.adapt(it), &socket, None))
            .map_err(|it| it.iter().map(Refusal::document).collect())
    })
}

fn read_again(path: &Path) -> Result<(String, String), Vec<Refusal>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(vec![Refusal::Unreadable { name, why: error.to_string() }]),
    }
}

/// Obeys signals: the first SIGTERM or SIGINT stops, the second one kills, SIGHUP reads the document again.
fn signals(
    control: Control,
    reader: control::Reader,
    forced: Arc<AtomicBool>,
    talk: Talk,
) -> std::io::Result<impl Future<Output = Infallible>> {
    let [mut term, mut int, mut hup] =
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    Ok(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                Some(()) = hup.recv() => {
                    // It may take as long as a start takes; meanwhile other signals are obeyed.
                    let (control, talk) = (control.clone(), talk.clone());
                    let ecosystem = reader(None);
                    tokio::spawn(async move {
                        let report = match ecosystem {
                            Ok(it) => control.reload(it).await,
                            Err(refusals) => Err(refusals),
                        };
                        talk.reloaded(report);
                    });
                }
                Some(()) = async { tokio::select! { it = term.recv() => it, it = int.recv() => it } } => {
                    forced.store(stopping, Ordering::Relaxed);
                    talk.say(if stopping { "Killing everything." } else { "Stopping; once more to kill." });
                    // It may have ended by itself.
                    let _ = control.shutdown(stopping).await;
                    stopping = true;
                }
            }
        }
    })
}

/// What is said on standard error.
#[derive(Clone, Debug)]
struct Talk {
    common: Common,
    width: usize,
}

impl Talk {
    fn say(&self, text: &str) {
        if !self.common.json {
            // Nobody may listen.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn reloaded(&self, report: Result<Report, Vec<Refusal>>) {
        match report {
            Ok(report) => self.say(ask::text(&report).trim_end()),
            Err(refusals) => {
                for it in refusals {
                    let wire = it.to_wire();
                    let place = wire.place.map(|it| format!("{it}: ")).unwrap_or_default();
                    let _ = writeln!(
                        std::io::stderr(),
                        "error[{}]: {place}{}; {}. Nothing was changed.",
                        wire.code,
                        wire.message,
                        wire.fix
                    );
                }
            }
        }
    }
}

/// Prints what happens, on a thread of its own: whoever reads it slowly keeps no process waiting. The answer comes when
/// the last line has been written.
async fn print(control: Control, talk: Talk) -> Option<std::sync::mpsc::Receiver<()>> {
    let (happened, mut events) = control.events().await.ok()?;
    // It is the last one that knows the supervisor from here.
    drop(control);
    let (done, printed) = std::sync::mpsc::channel();
    let print = move || {
        let mut out = std::io::stdout();
        let colour = talk.common.colours();
        let mut say = |it: &Transition| {
            // Nobody may listen; the machine runs all the same.
            let _ = writeln!(out, "{}", events::line(it, talk.width, talk.common.json, colour));
        };
        happened.iter().for_each(&mut say);
        loop {
            match events.blocking_recv() {
                Ok(it) => say(&it),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
        drop(done);
    };
    std::thread::Builder::new().name("printer".into()).spawn(print).ok()?;
    Some(printed)
}
