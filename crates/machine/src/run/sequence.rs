//! The start, step by step, and then the supervisor until everything has ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Native, Settings as Queue};
use health::{Gpu, GpuTelemetry as _, RedisLink, Stage};
use planner::document::{DevicePart, PlanDocument};
use planner::inventory::{Detected, Gpus, Host, Nvml as Cards, detect};
use spec::model::Inventory;
use spec::notes::{Exit, Finding, Located, Severity};
use supervisor::control::protocol::Document;
use supervisor::control::{self, Control, Reader, Service, Socket, control};
use supervisor::{FleetStatus, Keep, Linux, Nvml, Refusal, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::sleep;

use super::hardware::{self, Planned};
use super::heart::{Asks, Mail};
use super::orders::Orders;
use super::recovery::Event;
use super::{redis, reports, tell};
use crate::config::{self, Again, Config, ConfigFault, Files, Guard, Origin};

/// Between two looks at what cards do.
const TELEMETRY: Duration = Duration::from_secs(5);
/// How an inventory that is pretended calls itself.
const MOCK: &str = "mock";
/// Between two tries to reach Redis, at first and at most.
const TRIES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// For Redis to hear that the machine leaves. If it does not, the lease ends by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where the sequence tells what it does.
pub(crate) struct Stairs {
    pub(crate) mail: UnboundedSender<Mail>,
    pub(crate) fleet: watch::Sender<FleetStatus>,
    pub(crate) redis: watch::Sender<RedisLink>,
    pub(crate) board: Arc<health::Board>,
    pub(crate) asks: Arc<Asks>,
}

/// What has been made ready for the supervisor.
struct Ready {
    socket: Socket,
    launcher: Linux,
    broker: Native,
}

impl Stairs {
    fn event(&self, event: Event) {
        // The heart ends last.
        let _ = self.mail.send(Mail::Event(event));
    }

    fn reached(&self, stage: Stage) {
        self.event(Event::Reached(stage));
    }

    fn doing(&self, what: String) {
        let _ = self.mail.send(Mail::Doing(what));
    }

    /// Goes up and stays there until everything has ended. Findings are what people have to be told.
    pub(crate) async fn climb(self, config: &Config, which: config::Which) -> Vec<Finding> {
        let made = tokio::select! {
            it = self.prepare(config) => it,
            () = self.asks.stop.notified() => {
                self.event(Event::AllEnded { left: 0 });
                return vec![];
            }
        };
        let findings = match made {
            Ok(ready) => return Box::pin(self.serve(config, which, ready)).await,
            Err(findings) => findings,
        };
        let exit = findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.exit).min();
        self.event(Event::StageFailed(exit.unwrap_or(Exit::Error)));
        self.asks.stop.notified().await;
        self.event(Event::AllEnded { left: 0 });
        findings
    }

    async fn prepare(&self, config: &Config) -> Result<Ready, Vec<Finding>> {
        let settings = &config.settings;
        self.reached(Stage::CleanUp);
        workspace(config)?;
        let socket =
            Socket::listen(&config.socket).map_err(|it| vec![Finding::error(Located::nowhere(it))])?;
        let memory = socket.path().with_extension("survivors");
        let launcher =
            Linux::begin(Some(memory), &config.ecosystem).await.map_err(|it| system(&it.to_string()))?;

        self.reached(Stage::Inventory);
        let detected = inventory(config).await;
        let note = detected.note.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
        let Inventory { gpus, cpu_cores, memory_mib, .. } = &detected.inventory;
        let what = if config.is_mock() { "pretended" } else { "seen" };
        let cards = cards(config, gpus);
        self.doing(format!("{} GPUs {what}, {cpu_cores} cores, {memory_mib} MiB{note}", cards.len()));
        let _ = self.mail.send(Mail::Gpus(cards));
        if config.uses_gpus() {
            telemetry(self.mail.clone());
        }

        self.reached(Stage::Allocation);
        let findings = hardware::hold(&config.ecosystem, planned(&config.origin), &detected);
        if findings.iter().any(|it| it.severity == Severity::Error) {
            return Err(findings);
        }
        for it in &findings {
            self.doing(it.message.clone());
        }
        let launcher = match Nvml::load() {
            Ok(it) if config.uses_gpus() => launcher.with_gpus(it),
            _ => launcher,
        };

        self.reached(Stage::Ecosystem);
        let ecosystem = &config.ecosystem;
        self.doing(format!(
            "{} processes, plan of {}",
            ecosystem.setup.len() + ecosystem.apps.len(),
            settings.machine
        ));

        self.reached(Stage::Registration);
        let broker = self.connect(config).await?;
        Ok(Ready { socket, launcher, broker })
    }

    /// Reaches the broker, however long that takes: the machine gives up when its policy says so.
    async fn connect(&self, config: &Config) -> Result<Native, Vec<Finding>> {
        let settings = &config.settings;
        let mut pause = TRIES.0;
        loop {
            match Native::connect(settings.redis.expose(), Queue::new(settings.queue.clone())).await {
                Ok(it) => return Ok(it),
                Err(error @ broker::Error::Unreachable(_)) => {
                    let why = config.guard.text(&error.to_string());
                    self.doing(format!("{why}; tried again in {} ms", pause.as_millis()));
                    redis::lost(&self.redis, why);
                }
                Err(error) => return Err(vec![Finding::error(Located::nowhere(error))]),
            }
            sleep(pause).await;
            pause = (pause * 2).min(TRIES.1);
        }
    }

    async fn serve(self, config: &Config, which: config::Which, ready: Ready) -> Vec<Finding> {
        let Ready { socket, launcher, broker } = ready;
        let supervisor = Supervisor::new(launcher, Keep::default(), fastrand::u64(..));
        let (control, desk) = control();
        let service = Service {
            control: control.clone(),
            logs: supervisor.logs().clone(),
            meter: supervisor.meter().clone(),
            reader: self.reader(which, config.layers.files(), config.guard.clone()),
        };
        let orders =
            Orders { service: service.clone(), mail: self.mail.clone(), guard: config.guard.clone() };
        self.board.attach(Arc::new(orders));
        let _ = self.mail.send(Mail::Serving(service.clone()));
        let publisher = tell::publisher(config, &broker, self.board.clone(), self.mail.clone());
        let leaves = Notify::new();
        let publishing = publisher.run(leaves.notified());
        let reports_at = crate::worker::reports(&config.socket);
        let running = supervisor.serve(&config.ecosystem, &config.layers, desk, &self.fleet);
        let asked = async {
            self.asks.stop.notified().await;
            let _ = control.shutdown(false).await;
            self.asks.kill.notified().await;
            let _ = control.shutdown(true).await;
            std::future::pending::<()>().await;
        };
        let reports = async {
            if let Err(error) = reports::listen(&reports_at, self.mail.clone()).await {
                self.doing(format!("what workers do is not heard: {error}"));
            }
            std::future::pending::<()>().await;
        };
        let reloads = reloads(control.clone(), service.reader.clone(), self.mail.clone());
        let beside = async {
            tokio::select! {
                () = redis::watch(&broker, &config.guard, &self.redis) => {}
                () = self.forward(&control) => {}
                () = asked => {}
                () = reloads => {}
                () = reports => {}
            }
        };
        let answering = control::serve(&socket, service);
        let ended = async {
            tokio::select! {
                (left, ()) = async { tokio::join!(running, answering) } => left,
                () = async { beside.await; std::future::pending().await } => Ok(0),
            }
        };
        let ended = async {
            let ended = Box::pin(ended).await;
            leaves.notify_waiters();
            ended
        };
        let (ended, ()) = tokio::join!(ended, farewell(publishing, &leaves));
        match ended {
            Ok(left) => {
                self.event(Event::AllEnded { left });
                vec![]
            }
            Err(it) => {
                self.event(Event::StageFailed(Exit::Error));
                self.event(Event::AllEnded { left: 0 });
                vec![ConfigFault::from(it).nowhere()]
            }
        }
    }

    /// Tells what happens to processes.
    async fn forward(&self, control: &Control) {
        let Ok((happened, mut events)) = control.events().await else { return std::future::pending().await };
        for it in happened {
            let _ = self.mail.send(Mail::Happened(it));
        }
        loop {
            match events.recv().await {
                Ok(it) => _ = self.mail.send(Mail::Happened(it)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    /// How documents are read again: by the same way as at the start.
    fn reader(&self, which: config::Which, files: Files, guard: Guard) -> Reader {
        let mail = self.mail.clone();
        Arc::new(move |sent: Option<&Document>| {
            let read = config::again(&which, sent);
            let Again { ecosystem, files: newer, redactor } =
                read.map_err(|them| them.iter().map(Refusal::document).collect::<Vec<_>>())?;
            guard.learn(redactor);
            files.take(&newer);
            let _ = mail.send(Mail::Reloaded(Box::new(ecosystem.clone())));
            Ok(ecosystem)
        })
    }
}

/// Publishes until everything has ended; then Redis hears so, if it answers soon.
async fn farewell(publishing: impl Future<Output = ()>, leaves: &Notify) {
    let late = async {
        leaves.notified().await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        () = publishing => {}
        () = late => {}
    }
}

/// Takes the document anew whenever SIGHUP comes.
async fn reloads(control: Control, reader: Reader, mail: UnboundedSender<Mail>) {
    let Ok(mut hup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while hup.recv().await.is_some() {
        let report = match reader(None) {
            Ok(it) => control.reload(it).await,
            Err(refusals) => Err(refusals),
        };
        let what = match report {
            Ok(report) => format!("reloaded: {} processes concerned", report.processes.len()),
            Err(them) => {
                let them: Vec<_> = them.iter().map(ToString::to_string).collect();
                format!("not reloaded, and nothing was changed: {}", them.join("; "))
            }
        };
        let _ = mail.send(Mail::Doing(what));
    }
}

/// Makes the workspace, and in it the folder of the logs.
fn workspace(config: &Config) -> Result<(), Vec<Finding>> {
    let folders = config.ecosystem.setup.iter().chain(&config.ecosystem.apps);
    let folders = folders.filter_map(|it| Path::new(&it.out_file).parent());
    let mut folders: Vec<_> = folders.chain([config.settings.workspace.as_path()]).collect();
    folders.sort_unstable();
    folders.dedup();
    let made = |it: &&Path| {
        let failed = std::fs::create_dir_all(it).err()?;
        let (path, why) = (it.display().to_string(), failed.to_string());
        Some(ConfigFault::Workspace { path, why }.nowhere())
    };
    let faults: Vec<_> = folders.iter().filter_map(made).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Looks at the hardware. Pretended cards need no driver.
async fn inventory(config: &Config) -> Detected {
    let needs = config.uses_gpus();
    let look = move || {
        let host = Host::look();
        if needs { detect(&Cards, host) } else { detect(&NoGpus, host) }
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| detect(&NoGpus, Host::look()))
}

/// Asks the cards what they do, on a thread of its own: a driver that is ill may take its time.
fn telemetry(mail: UnboundedSender<Mail>) {
    let ask = move || {
        let Ok(mut driver) = health::Nvml::load() else { return };
        while mail.send(Mail::Gpus(driver.read())).is_ok() {
            std::thread::sleep(TELEMETRY);
        }
    };
    // Without a thread, and without a driver, the cards are shown without what they do.
    let _ = std::thread::Builder::new().name("gpus".into()).spawn(ask);
}

/// The cards as they are shown until somebody has asked them what they do.
fn cards(config: &Config, seen: &[spec::model::Gpu]) -> Vec<Gpu> {
    if config.is_mock() {
        let planned = plan(&config.origin).map(|it| it.inventory.devices).unwrap_or_default();
        let card = |(index, it): (u32, &DevicePart)| Gpu {
            index,
            name: format!("{} (pretended)", it.name),
            memory_total: u64::from(it.vram_mib) << 20,
            ..Gpu::default()
        };
        return (0..).zip(&planned).map(card).collect();
    }
    let card = |it: &spec::model::Gpu| Gpu {
        index: it.index.into(),
        uuid: it.uuid.clone(),
        name: it.model.clone().unwrap_or_default(),
        memory_total: u64::from(it.vram_mib.get()) << 20,
        ..Gpu::default()
    };
    seen.iter().map(card).collect()
}

/// Nobody needs to look.
struct NoGpus;

impl Gpus for NoGpus {
    fn list(&self) -> Result<Vec<spec::model::Gpu>, String> {
        Ok(vec![])
    }
}

/// What the generation was made for. A document alone names only the cards that it uses.
pub(crate) fn planned(origin: &Origin) -> Planned {
    let Some(plan) = plan(origin) else { return Planned::default() };
    // What was pretended is not looked for.
    let is_mock = plan.inventory.origin == MOCK;
    Planned {
        devices: (!is_mock).then_some(plan.inventory.devices.len()),
        cpu_cores: Some(plan.inventory.cpu_cores),
        memory_mib: Some(plan.inventory.memory_mib),
    }
}

fn plan(origin: &Origin) -> Option<PlanDocument> {
    let Origin::Generation { folder, .. } = origin else { return None };
    serde_json::from_slice(&std::fs::read(folder.join("plan.json")).ok()?).ok()
}

fn system(why: &str) -> Vec<Finding> {
    vec![Finding::error(Located::nowhere(Refusal::System { why: why.to_owned() }))]
}
