//! A whole supervisor over a launcher without a kernel, in paused time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecosystem::{Dependency, Ecosystem, Probe, Probes, StopSignal, Until};
use spec::env::EnvSource;
use spec::ids::{EnvKey, ProcessName};
use spec::source::SourceText;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::control::protocol::{Deed, Ended, Signal, Which};
use crate::control::{Service, control};
use crate::{
    Exit, FleetStatus, Keep, Launched, Launcher, Output, Pid, Plan, ProcessState, Refusal, Supervisor,
};

/// Processes that end as they are told to; what is asked of them is written down.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    began: Option<Instant>,
    live: BTreeMap<u32, (ProcessName, oneshot::Sender<Exit>)>,
    last: u32,
    /// How the next runs of a process end by themselves.
    ends: BTreeMap<&'static str, VecDeque<Exit>>,
    said: String,
}

impl World {
    fn say(&mut self, what: &str) {
        let at = self.began.get_or_insert_with(Instant::now).elapsed().as_secs_f32();
        writeln!(self.said, "{at:.1} {what}").unwrap();
    }

    fn end(&mut self, pid: Pid, exit: Exit) {
        if let Some((_, dead)) = self.live.remove(&pid.0.get()) {
            dead.send(exit).unwrap();
        }
    }
}

impl Launcher for Fake {
    async fn launch(&self, plan: &Plan, _: Output) -> Result<Launched, Arc<str>> {
        let mut world = self.0.lock().unwrap();
        world.say(&format!("launch {}", plan.name));
        assert!(world.live.values().all(|(name, _)| *name != plan.name), "two copies live");
        world.last += 1;
        let pid = Pid(world.last.try_into().unwrap());
        let (dead, exit) = oneshot::channel();
        world.live.insert(pid.0.get(), (plan.name.clone(), dead));
        if let Some(end) = world.ends.get_mut(plan.name.as_str()).and_then(VecDeque::pop_front) {
            world.end(pid, end);
        }
        Ok(Launched { pid, exit })
    }

    fn ask(&self, pid: Pid, _: StopSignal) {
        let mut world = self.0.lock().unwrap();
        let name = world.live[&pid.0.get()].0.clone();
        world.say(&format!("ask {name}"));
        if name.as_str() != "deaf" {
            world.end(pid, Exit::Signal(15));
        }
    }

    fn signal(&self, _: Pid, _: Signal) -> bool {
        true
    }

    fn kill(&self, pid: Pid) {
        let mut world = self.0.lock().unwrap();
        let name = world.live[&pid.0.get()].0.clone();
        world.say(&format!("kill {name}"));
        world.end(pid, Exit::Signal(9));
    }

    async fn sweep(&self, name: &ProcessName, _: Pid, patience: Duration) -> usize {
        self.0.lock().unwrap().say(&format!("sweep {name} for {patience:?}"));
        0
    }

    async fn finish(&self) -> usize {
        self.0.lock().unwrap().live.len()
    }
}

#[tokio::test(start_paused = true)]
async fn an_ecosystem_comes_up_in_waves_recovers_and_goes_down_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let source = SourceText::open("one.json", include_str!("../tests/one.json"));
    let mut ecosystem = Ecosystem::read(&source).unwrap();
    let model = ecosystem.apps.remove(0);
    let log = folder.path().join("all.log").display().to_string();
    let app = |name: &str, needs: &[(&str, Until)]| {
        let mut app = model.clone();
        (app.name, app.out_file, app.error_file) = (name.parse().unwrap(), log.clone(), log.clone());
        app.roster.depends_on =
            needs.iter().map(|(on, until)| Dependency { name: on.parse().unwrap(), until: *until }).collect();
        app
    };
    ecosystem.setup = vec![app("install", &[])];
    ecosystem.setup[0].autorestart = false;
    let mut service = app("service", &[("install", Until::Completed)]);
    service.roster.probes = Some(Probes {
        install: Probe::Process,
        startup: None,
        ready: Probe::Process,
        health: Probe::Process,
        live: None,
    });
    ecosystem.apps = vec![service, app("deaf", &[("service", Until::Healthy)])];

    let fake = Fake::default();
    fake.0.lock().unwrap().ends =
        BTreeMap::from([("install", VecDeque::from([Exit::Code(1), Exit::Code(0)]))]);
    let (sender, mut status) = watch::channel(FleetStatus::new());
    let stop = async move {
        let deaf: ProcessName = "deaf".parse().unwrap();
        let up =
            |all: &FleetStatus| all.get(&deaf).is_some_and(|it| it.process.state.to_string() == "healthy");
        status.wait_for(up).await.unwrap();
    };
    let source: BTreeMap<EnvKey, String> = BTreeMap::new();
    let source: &dyn EnvSource = &source;
    Supervisor::new(fake.clone(), Keep::default(), 1).run(&ecosystem, source, stop, &sender).await.unwrap();
    insta::assert_snapshot!(fake.0.lock().unwrap().said, @r"
    0.0 launch install
    0.0 sweep install for 0ns
    0.1 launch install
    0.1 sweep install for 0ns
    0.1 launch service
    0.1 launch deaf
    0.1 ask deaf
    10.1 kill deaf
    10.1 sweep deaf for 0ns
    10.1 ask service
    10.1 sweep service for 10s
    ");
}

#[tokio::test(start_paused = true)]
async fn who_embeds_a_supervisor_watches_it_gives_orders_and_reads_what_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let source = SourceText::open("one.json", include_str!("../tests/one.json"));
    let mut ecosystem = Ecosystem::read(&source).unwrap();
    let log = folder.path().join("web.log");
    let web = &mut ecosystem.apps[0];
    (web.out_file, web.error_file) = (log.display().to_string(), log.display().to_string());
    let name = web.name.clone();
    let supervisor = Supervisor::new(Fake::default(), Keep::default(), 1);
    let (control, desk) = control();
    let (sender, mut status) = watch::channel(FleetStatus::new());
    let service = Service {
        control: control.clone(),
        logs: supervisor.logs().clone(),
        meter: supervisor.meter().clone(),
        reader: Arc::new(|_| Err(vec![Refusal::Ended])),
    };
    let variables = BTreeMap::<EnvKey, String>::new();
    let running = supervisor.serve(&ecosystem, &variables, desk, &sender);
    let asking = async {
        let runs = |all: &FleetStatus| {
            all.get(&name).is_some_and(|it| matches!(it.process.state, ProcessState::Running { .. }))
        };
        status.wait_for(runs).await.unwrap();
        let (_, mut events) = control.events().await.unwrap();
        let report = control.restart(Which::Names(vec![name.clone()])).await.unwrap();
        assert_eq!((report.processes[0].deed, report.processes[0].end), (Deed::Restarted, Ended::Well));
        assert_eq!(events.recv().await.unwrap().state, "stopping");
        let seen = service.fleet().await.unwrap().processes.remove(0);
        assert_eq!((seen.state.as_str(), seen.pid, seen.restarts), ("healthy", Some(2), 1));

        std::fs::write(&log, "one\ntwo\n").unwrap();
        let mut lines = service.logs(Which::All, 1, false).await.unwrap();
        assert_eq!(lines.next().await.unwrap().line.as_ref(), b"two");
        assert_eq!(lines.next().await, None);
        let mut followed = service.logs(Which::All, 0, true).await.unwrap();

        let stopped = control.stop(Which::All).await.unwrap();
        assert!(stopped.is_well());
        assert!(service.usage().await.unwrap().is_empty(), "nothing lives");
        assert!(control.start(Which::All).await.unwrap().is_well());
        control.shutdown(false).await.unwrap();
        assert_eq!(followed.next().await, None);
    };
    let (left, ()) = tokio::join!(running, asking);
    assert_eq!(left.unwrap(), 0);
    assert!(matches!(&*control.fleet().await.unwrap_err(), [Refusal::Ended]));
}
