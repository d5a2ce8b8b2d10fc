//! `roster worker`: one worker process, from its environment.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use broker::{Any, Worker};
use ecosystem::{Ecosystem, Kind};
use planner::{Redactor, Told};
use spec::notes::{Exit, Fault as _, Finding, Located};
use supervisor::control::Client;
use supervisor::control::protocol::{Request, Which};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use worker::{Listener, Restart, Runner, Service, Settings, Tally};

use crate::log::Log;
use crate::say::{self, Common};

/// `CONNECTOR`, `ACCEPTS`, `WORKER_ID`, `SERVICE_URL`, `REDIS_URL` and what the connector takes say what it does.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// What a worker reads of its queue and of the wire to it, beside the address: it is given these wherever the machine has
/// them.
const WIRE: [&str; 5] =
    ["BROKER", "JOB_QUEUE", "JOB_TIMEOUT_MINUTES", "WORKER_POLL_INTERVAL_MS", "LEGACY_REAP_AFTER_S"];

/// Threads for connectors. They wait more than they work, and what takes long is a process of its own.
const JOB_THREADS: usize = 2;

pub(crate) fn run(args: &Args) -> ExitCode {
    let environment = say::world().environment;
    let told = match Settings::read(&*environment) {
        Err(findings) => Told::failed(findings, Redactor::default()),
        Ok(settings) => {
            let _log = Log::begin(&*environment);
            work(settings)
        }
    };
    args.common.say(told)
}

fn work(settings: Settings) -> Told<Tally> {
    let mut redactor = Redactor::default();
    redactor.learn(settings.redis.expose());
    let failed = |finding: Finding, redactor| Told::failed(vec![finding], redactor);
    // The loop has a thread of its own, on which nothing is slow.
    let own = Builder::new_current_thread().enable_all().build();
    let jobs =
        Builder::new_multi_thread().worker_threads(JOB_THREADS).thread_name("job").enable_all().build();
    let (Ok(own), Ok(jobs)) = (own, jobs) else {
        return failed(
            Finding::error(Located::nowhere(broker::Error::Unreachable("no threads".into()))),
            redactor,
        );
    };
    let worked = own.block_on(serve(settings, jobs.handle().clone()));
    // A connector that was cut off in the middle of a call that blocks is left behind.
    jobs.shutdown_background();
    match worked {
        Err(fault) => failed(Finding::error(Located::nowhere(fault)), redactor),
        Ok(tally) => {
            let Tally { claimed, succeeded, failed, handed_back, stopped, .. } = tally;
            let talk = format!(
                "{claimed} jobs: {succeeded} succeeded, {failed} failed, {stopped} stopped, {handed_back} handed back.\n"
            );
            Told { result: Some(tally), out: String::new(), talk, exit: Exit::Ok, findings: vec![], redactor }
        }
    }
}

async fn serve(settings: Settings, jobs: Handle) -> Result<Tally, broker::Error> {
    let restart = restart(&settings, &jobs);
    let listener = settings.report.as_deref().and_then(listener);
    let Settings {
        redis,
        queue,
        legacy,
        ids,
        capabilities,
        connectors,
        connector,
        store,
        pace,
        redactor,
        gpu,
        ..
    } = settings;
    let Some(id) = ids.into_iter().next() else { return Ok(Tally::default()) };
    // Before the first claim: what is claimed is finished or handed back.
    let ends = asked_to_end();
    let broker = Arc::new(match legacy {
        Some(legacy) => Any::legacy(redis.expose(), legacy).await?,
        None => Any::native(redis.expose(), broker::Settings::new(queue)).await?,
    });
    let worker = Worker::new(id.clone(), capabilities);
    let services = connectors.into_iter();
    let services = services.map(|(connector, slots)| Service { connector, slots, restart: restart.clone() });
    let runner = Runner {
        broker: broker.clone(),
        worker: worker.clone(),
        services: services.collect(),
        store,
        pace,
        redactor,
        jobs,
        connector,
        gpu,
        listener,
    };
    tracing::info!(worker = %id, connector = runner.connector, "claims jobs");
    let tally = runner.run(ends).await;
    // What it did is done, whether or not anybody hears that it goes.
    if let Err(error) = broker.leave(&worker).await {
        tracing::warn!(%error, "nobody was told that this worker ends");
    }
    Ok(tally)
}

/// Asks the supervisor that started this worker to start its service again. Without one, or if this worker has several
/// services, nobody is asked: to guess could end another machine's.
fn restart(settings: &Settings, jobs: &Handle) -> Option<Restart> {
    let (socket, name) = (settings.supervisor.clone()?, settings.instance.clone()?);
    let jobs = jobs.clone();
    Some(Arc::new(move |why| {
        let (socket, name, why) = (socket.clone(), name.clone(), why.to_owned());
        jobs.spawn_blocking(move || {
            let request = Request::Restart { which: Which::Names(vec![name.clone()]), wait: false };
            let answer = Client::connect(&socket).and_then(|it| it.ask(request)).map(|mut it| it.next());
            match answer {
                Ok(Some(Ok(Ok(_)))) => tracing::warn!(service = %name, why, "the service is started again"),
                Ok(Some(Ok(Err(refused)))) => {
                    let words: Vec<_> = refused.into_iter().map(|it| it.message).collect();
                    tracing::error!(service = %name, why, refused = words.join("; "), "the service is not started again");
                }
                Ok(Some(Err(error))) | Err(error) => {
                    tracing::error!(service = %name, why, fix = error.fix(), "the service is not started again: {error}");
                }
                Ok(None) => tracing::error!(service = %name, why, "nobody says whether the service is started again"),
            }
        });
    }))
}

/// Sends reports to a socket, each as a datagram of JSON. Nobody has to be there to hear them.
fn listener(path: &Path) -> Option<Listener> {
    let path = path.to_owned();
    let socket = UnixDatagram::unbound().and_then(|it| it.set_nonblocking(true).map(|()| it));
    let socket =
        socket.inspect_err(|error| tracing::warn!(%error, "what this worker does is not told")).ok()?;
    Some(Arc::new(move |report| {
        let text = serde_json::to_vec(report).unwrap_or_default();
        socket.send_to(&text, &path).is_ok()
    }))
}

/// What the processes of an ecosystem are told that a document cannot know: where its supervisor listens, which process a
/// worker's service is, and, if the machine serves its health, where to ask for it.
pub(crate) fn introduce(mut ecosystem: Ecosystem, socket: &Path, health: Option<SocketAddr>) -> Ecosystem {
    for app in ecosystem.apps.iter_mut().filter(|it| it.roster.kind == Kind::Worker) {
        app.roster.environment.extend(WIRE.map(|it| it.parse().expect("these are names of variables")));
        let mut set = |key: &str, value: String| {
            let key = key.parse().expect("these are names of variables");
            app.env.entry(key).or_insert(value);
        };
        set("ROSTER_SOCKET", socket.display().to_string());
        set("WORKER_REPORT", reports(socket).display().to_string());
        if let [service] = &app.roster.depends_on[..] {
            set("SERVICE_INSTANCE", service.name.to_string());
            if let Some(health) = health {
                set("SERVICE_HEALTH_URL", format!("http://{health}/services/{}/health", service.name));
            }
        }
    }
    ecosystem
}

/// Where workers report, beside the supervisor's own socket.
pub(crate) fn reports(socket: &Path) -> PathBuf {
    socket.with_extension("reports")
}

/// Ready at the first SIGTERM or SIGINT. It listens from the call on.
fn asked_to_end() -> impl Future<Output = ()> {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;

    use serde_json::{Value, json};

    use super::*;

    fn document(apps: &Value) -> Ecosystem {
        let text = json!({ "schema_version": 1, "machine": "m1", "health_port": 9090, "apps": apps, "setup": [], "external": [] });
        let text = spec::source::SourceText::open("ecosystem.json", text.to_string());
        Ecosystem::read(&text).unwrap_or_else(|it| panic!("{it:?}"))
    }

    #[test]
    fn each_worker_is_told_where_its_supervisor_its_service_and_its_health_are() {
        let app = |name: &str, kind: &str, needs: &[&str]| {
            let depends_on: Vec<_> =
                needs.iter().map(|it| json!({ "name": it, "until": "healthy" })).collect();
            json!({
                "name": name, "script": "roster", "args": ["worker"], "interpreter": "none", "exec_mode": "fork",
                "cwd": "/", "env": { "WORKER_REPORT": "/mine" }, "autorestart": true, "kill_timeout": 5000,
                "min_uptime": 1000, "max_restarts": 3, "exp_backoff_restart_delay": 10, "out_file": "/l", "error_file": "/l",
                "merge_logs": true, "vizion": false,
                "roster": {
                    "kind": kind, "service": "comfyui", "stop_signal": "SIGTERM", "depends_on": depends_on, "cause": [],
                }
            })
        };
        let apps = json!([
            app("comfyui-gpu0", "service", &[]),
            app("comfyui-gpu1", "service", &[]),
            app("comfyui-worker-0", "worker", &["comfyui-gpu0"]),
            app("comfyui-worker", "worker", &["comfyui-gpu0", "comfyui-gpu1"]),
        ]);
        let health = Some("127.0.0.1:9090".parse().unwrap());
        let told = introduce(document(&apps), Path::new("/run/roster/m1.sock"), health);
        let env = |at: usize| serde_json::to_value(&told.apps[at].env).unwrap();
        let socket = json!({ "ROSTER_SOCKET": "/run/roster/m1.sock", "WORKER_REPORT": "/mine" });
        let mut one = socket.clone();
        one["SERVICE_INSTANCE"] = json!("comfyui-gpu0");
        one["SERVICE_HEALTH_URL"] = json!("http://127.0.0.1:9090/services/comfyui-gpu0/health");
        // What the document says stays, and of two services neither is meant.
        assert_eq!([env(0), env(2), env(3)], [json!({ "WORKER_REPORT": "/mine" }), one, socket]);
        assert_eq!(reports(Path::new("/run/roster/m1.sock")), Path::new("/run/roster/m1.reports"));
    }

    /// The variables of a worker's environment, as the plan and a supervisor make it.
    fn settings(more: &[(&str, &Path)]) -> Settings {
        let mut variables = std::collections::BTreeMap::new();
        let mut set = |key: &str, value: &str| variables.insert(key.parse().unwrap(), value.to_owned());
        for (key, value) in [
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("ACCEPTS", "comfyui"),
            ("CONNECTOR", "simulation"),
            ("WORKER_ID", "m1-worker-comfyui-0"),
            ("SERVICE_INSTANCE", "comfyui-gpu0"),
        ] {
            set(key, value);
        }
        for (key, value) in more {
            set(key, value.to_str().unwrap());
        }
        set("OUTPUT_URL", "file:///tmp");
        Settings::read(&variables).unwrap_or_else(|it| panic!("{it:?}"))
    }

    fn runtime() -> tokio::runtime::Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn a_restart_is_asked_of_the_supervisor_that_the_worker_was_told_of_and_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("m1.sock");
        let listening = UnixListener::bind(&socket).unwrap();
        let jobs = runtime();
        let restart = restart(&settings(&[("ROSTER_SOCKET", &socket)]), jobs.handle()).unwrap();
        restart("job 1 did not stop within 10 s");
        let (stream, _) = listening.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        (&stream).write_all(b"{\"report\":{\"processes\":[]}}\n\"end\"\n").unwrap();
        let asked: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({ "restart": { "which": { "names": ["comfyui-gpu0"] }, "wait": false } });
        assert_eq!(asked["request"], expected);
        assert!(self::restart(&settings(&[]), jobs.handle()).is_none());
    }

    #[test]
    fn reports_are_heard_by_whoever_is_there_and_missed_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m1.reports");
        let tell = listener(&path).unwrap();
        let report: worker::Report = serde_json::from_value(json!({
            "version": 1, "worker": "m1-worker-comfyui-0", "connector": "comfyui", "gpu": 0, "services": [], "jobs": [],
            "tally": Tally::default(), "ended": [{ "end": "succeeded", "waited_ms": 1, "ran_ms": 2 }],
        }))
        .unwrap();
        assert!(!tell(&report));
        let hears = UnixDatagram::bind(&path).unwrap();
        assert!(tell(&report));
        let mut heard = vec![0; 4096];
        let length = hears.recv(&mut heard).unwrap();
        assert_eq!(serde_json::from_slice::<worker::Report>(&heard[..length]).unwrap(), report);
    }
}
