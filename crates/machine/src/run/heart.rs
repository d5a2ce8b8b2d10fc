//! The one task that knows how it is with the machine: it hears everything, decides by [`step`], and shows the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ecosystem::{App, Ecosystem};
use health::{Board, Facts, Gpu, Millis, Recovery, RedisLink, Stage};
use spec::ids::{ProcessName, ServiceName};
use spec::notes::Exit;
use supervisor::control::Service;
use supervisor::control::protocol::{Transition, Which};
use supervisor::{FleetStatus, ProcessState, Usage};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::elsewhere;
use super::facts::{self, Observed};
use super::install::Installs;
use super::recovery::{Effect, Event, News, State, Troubles, step};
use super::reports::Heard;
use super::resources::{self, Reserve};
use super::say::Say;
use super::scene::Scene;
use crate::config::Config;

/// Between two looks at what is left of memory and disk space, and at installs.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at what processes use.
const MEASURE: Duration = Duration::from_secs(5);
/// What happens within this is shown together: with thousands of processes, a picture takes milliseconds.
const TOGETHER: Duration = Duration::from_millis(20);

/// What the heart hears of.
pub(crate) enum Mail {
    /// Something that changes the machine's state.
    Event(Event),
    /// What is being done just now, in a few words.
    Doing(String),
    /// The supervisor runs.
    Serving(Service),
    /// Something happened to a process.
    Happened(Transition),
    /// What processes use.
    Used(BTreeMap<ProcessName, Usage>),
    /// What a worker says of itself.
    Report(Box<worker::Report>),
    /// What the cards do.
    Gpus(Vec<Gpu>),
    /// Another document was read, to be run from now on.
    Reloaded(Box<Ecosystem>),
}

/// Ways to tell the sequence to end.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// To stop everything.
    pub(crate) stop: Notify,
    /// To kill everything.
    pub(crate) kill: Notify,
}

/// What a heart is made of.
pub(crate) struct Body<'a> {
    /// What the machine was told.
    pub(crate) config: &'a Config,
    /// The names of all services of the mapping.
    pub(crate) known: Vec<ServiceName>,
    /// Where it shows what it knows.
    pub(crate) board: Arc<Board>,
    /// The first of that.
    pub(crate) facts: Facts,
    /// How it has the machine stopped.
    pub(crate) asks: Arc<Asks>,
    /// Where it says what happens.
    pub(crate) say: Say,
    /// Its own address.
    pub(crate) mail: mpsc::UnboundedSender<Mail>,
    /// What comes there.
    pub(crate) inbox: mpsc::UnboundedReceiver<Mail>,
    /// What the processes do.
    pub(crate) fleet: watch::Receiver<FleetStatus>,
    /// The way to Redis.
    pub(crate) redis: watch::Receiver<RedisLink>,
    /// What the probes of services elsewhere say.
    pub(crate) elsewhere: watch::Receiver<elsewhere::Seen>,
    /// At which of them is looked.
    pub(crate) watched: watch::Sender<Vec<elsewhere::Watched>>,
}

/// How it is with the machine.
pub(crate) struct Heart<'a> {
    body: Body<'a>,
    ecosystem: Ecosystem,
    /// A document that was read and may have been taken.
    next: Option<Ecosystem>,
    scene: Scene,
    state: State,
    observed: Observed,
    heard: Heard,
    began: Instant,
    service: Option<Service>,
    /// Workers that were stopped to make room, to be started again.
    held: BTreeSet<ProcessName>,
    ended: Option<Exit>,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

impl<'a> Heart<'a> {
    pub(crate) fn new(body: Body<'a>) -> Self {
        let ecosystem = body.config.ecosystem.clone();
        let scene = Scene::of(&ecosystem, &body.known);
        let state = State::Starting { stage: body.facts.machine.stage, troubles: Troubles::default() };
        Self {
            body,
            ecosystem,
            next: None,
            scene,
            state,
            observed: Observed::default(),
            heard: Heard::default(),
            began: Instant::now(),
            service: None,
            held: BTreeSet::new(),
            ended: None,
        }
    }

    /// Beats until the machine has ended; returns the exit code.
    pub(crate) async fn beat(mut self) -> Exit {
        let (mut look, mut measure) = (interval(LOOK), interval(MEASURE));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut shown, mut news) = (Instant::now(), true);
        while self.ended.is_none() {
            tokio::select! {
                Some(mail) = self.body.inbox.recv() => {
                    self.open(mail);
                    while let Ok(mail) = self.body.inbox.try_recv() {
                        self.open(mail);
                    }
                }
                Ok(()) = self.body.fleet.changed() => self.look_at_processes(),
                Ok(()) = self.body.elsewhere.changed() => {
                    self.observed.probes.clone_from(&self.body.elsewhere.borrow_and_update());
                    self.look_at_processes();
                }
                Ok(()) = self.body.redis.changed() => self.look_at_redis(),
                _ = look.tick() => {
                    self.look_around();
                    self.apply(&Event::Tick);
                }
                _ = measure.tick() => {
                    self.measure();
                    continue;
                }
                () = sleep_until(shown + TOGETHER), if news => {
                    self.show();
                    (shown, news) = (Instant::now(), false);
                    continue;
                }
            }
            news = true;
        }
        self.show();
        self.body.say.end();
        self.ended.unwrap_or(Exit::Error)
    }

    fn open(&mut self, mail: Mail) {
        match mail {
            Mail::Event(event) => self.apply(&event),
            Mail::Doing(what) => {
                self.body.say.machine(now(), self.state.stage().word(), Some(what.clone()));
                self.body.facts.machine.doing = Some(what);
            }
            Mail::Serving(service) => {
                self.observed.began = now();
                self.service = Some(service);
            }
            Mail::Happened(it) => {
                let why = it.why.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
                let message = format!("{}{why}", it.state);
                self.body.board.journal.say(it.at_ms, "state", Some(it.process.as_str()), message);
                self.body.say.happened(it);
            }
            Mail::Report(report) => self.heard.take(*report, &self.body.board.meters),
            Mail::Gpus(gpus) => self.body.facts.gpus = gpus,
            Mail::Used(usage) => self.observed.usage = usage,
            Mail::Reloaded(ecosystem) => self.next = Some(*ecosystem),
        }
    }

    fn look_at_processes(&mut self) {
        let fleet = self.body.fleet.borrow_and_update();
        // A document that was refused leaves no process behind.
        let taken =
            |it: &mut Ecosystem| it.setup.iter().chain(&it.apps).all(|app| fleet.contains_key(&app.name));
        if let Some(next) = self.next.take_if(taken) {
            self.scene = Scene::of(&next, &self.body.known);
            self.body.watched.send_replace(elsewhere::watched(&next, &self.body.config.layers));
            self.ecosystem = next;
        }
        self.observed.remember(&fleet);
        let census = facts::census(&self.scene, &fleet);
        let stage = facts::stage(&self.scene, &fleet, &self.observed);
        drop(fleet);
        if self.service.is_some() {
            self.apply(&Event::News(News::Processes(census)));
            // One after the other, also those that were over before anybody looked.
            for it in Stage::ALL.iter().filter(|it| stage.is_some_and(|stage| **it <= stage)) {
                self.apply(&Event::Reached(*it));
            }
        }
    }

    fn look_at_redis(&mut self) {
        let link = self.body.redis.borrow_and_update().clone();
        let event = match &link {
            RedisLink::Lost { .. } => Some(News::RedisLost),
            RedisLink::Connected { latency } => {
                self.body.board.meters.redis(*latency);
                Some(News::RedisBack)
            }
            RedisLink::Unneeded | RedisLink::Pending => None,
        };
        self.body.facts.redis = link;
        if let Some(it) = event {
            self.apply(&Event::News(it));
        }
    }

    fn look_around(&mut self) {
        let settings = &self.body.config.settings;
        let free = resources::free(&settings.workspace);
        let reserve = Reserve { memory: settings.memory_reserve, disk: settings.disk_reserve };
        for it in resources::judge(&free, reserve) {
            self.apply(&Event::News(it));
        }
        self.body.facts.disks = free.disk.into_iter().collect();
        self.body.facts.interfaces = resources::interfaces();
        let installers: BTreeMap<ProcessName, &App> =
            self.ecosystem.setup.iter().map(|it| (it.name.clone(), it)).collect();
        let installs = Installs { variables: &self.body.config.layers, installers };
        self.observed.installs = installs.look(&self.scene, &self.body.fleet.borrow());
    }

    fn measure(&self) {
        let Some(service) = self.service.clone() else { return };
        let mail = self.body.mail.clone();
        tokio::spawn(async move {
            if let Ok(usage) = service.usage().await {
                let _ = mail.send(Mail::Used(usage));
            }
        });
    }

    fn apply(&mut self, event: &Event) {
        let before = (self.state.stage(), self.state.recovery());
        let (state, effects) =
            step(&self.body.config.settings.policy, self.state.clone(), event, self.began.elapsed());
        self.state = state;
        let (stage, recovery) = (self.state.stage(), self.state.recovery());
        if stage != before.0 {
            self.body.facts.machine.doing = None;
            self.tell("stage", stage.word(), None);
        }
        if recovery != before.1 {
            self.tell("recovery", recovery.word(), self.why());
        }
        for effect in effects {
            self.act(effect);
        }
    }

    /// What has gone wrong.
    fn why(&self) -> Option<String> {
        match &self.state {
            State::Failed { why, .. } => Some(why.to_string()),
            State::Starting { troubles, .. } | State::Running(troubles) => match &self.body.facts.redis {
                RedisLink::Lost { why, .. } if troubles.redis.is_some() => Some(why.clone()),
                _ => match troubles.short.keys().next() {
                    Some(it) => Some(resources::shortage(*it, &self.body.config.settings)),
                    None => troubles
                        .down
                        .and_then(|_| facts::cause(&self.scene, &self.body.fleet.borrow(), &self.observed)),
                },
            },
            State::Draining { .. } | State::Ended { .. } => None,
        }
    }

    fn tell(&self, kind: &'static str, word: &str, why: Option<String>) {
        let message = why.as_ref().map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"));
        self.body.board.journal.say(now(), kind, None, message);
        self.body.say.machine(now(), word, why);
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::AnnounceReady => {
                let after = format!("after {} ms", self.began.elapsed().as_millis());
                self.tell("startup_complete", "startup_complete", Some(after));
            }
            Effect::AnnounceShutdown => self.tell("shutdown", "shutdown", self.why()),
            Effect::StopWorkers => {
                let fleet = self.body.fleet.borrow();
                let is_wanted = |it: &ProcessName| {
                    fleet.get(it).is_some_and(|it| !self.observed.phase(&it.process.state).is_unwanted())
                };
                self.held = self.scene.worker_processes().into_iter().filter(is_wanted).collect();
                drop(fleet);
                self.order(self.held.iter().cloned().collect(), false);
            }
            Effect::StartWorkers => {
                let held = std::mem::take(&mut self.held);
                let fleet = self.body.fleet.borrow();
                // Who was stopped by a person stays so.
                let tries = |it: &ProcessName| {
                    let state = fleet.get(it).map(|it| &it.process.state);
                    held.contains(it) || matches!(state, Some(ProcessState::Failed { .. }))
                };
                let names = self.scene.worker_processes().into_iter().filter(tries).collect();
                drop(fleet);
                self.order(names, true);
            }
            Effect::StopAll => self.body.asks.stop.notify_one(),
            Effect::KillAll => self.body.asks.kill.notify_one(),
            Effect::End(exit) => self.ended = Some(exit),
        }
    }

    /// Starts or stops workers. It is seen by what they do.
    fn order(&self, names: Vec<ProcessName>, start: bool) {
        let Some(service) = self.service.clone().filter(|_| !names.is_empty()) else { return };
        tokio::spawn(async move {
            let control = service.control;
            if start {
                let _ = control.start(Which::Names(names)).await;
            } else {
                let _ = control.stop(Which::Names(names)).await;
            }
        });
    }

    /// Shows what is known.
    fn show(&mut self) {
        let fleet = self.body.fleet.borrow();
        let mut facts = self.body.facts.clone();
        facts.at = now();
        let machine = &mut facts.machine;
        machine.stage = match self.state.stage() {
            Stage::Draining if facts::has_drained(&self.scene, &fleet) => Stage::Stopping,
            stage => stage,
        };
        machine.percent = facts::percent(machine.stage);
        if let (Stage::SharedSetup, Some((step, far))) = (machine.stage, self.observed.installing()) {
            let at = |it| u16::from(facts::percent(it).unwrap_or_default());
            let (from, to) = (at(Stage::SharedSetup), at(Stage::Services));
            let here = from + (to - from) * u16::from(far.min(100)) / 100;
            machine.percent = u8::try_from(here).ok();
            machine.doing = Some(step);
        }
        machine.recovery = self.state.recovery();
        machine.recovery_cause = match machine.recovery {
            Recovery::Healthy => None,
            Recovery::Restarting | Recovery::Reconnecting | Recovery::ResourceRecovery | Recovery::Failed => {
                self.why()
            }
        };
        self.observed.put(&self.scene, &fleet, &mut facts);
        if let State::Running(Troubles { short, .. }) = &self.state
            && let Some(it) = short.keys().next()
        {
            let why = resources::shortage(*it, &self.body.config.settings);
            let workers = facts.workers.iter_mut().zip(&self.scene.processes);
            for (worker, _) in workers.filter(|(_, it)| self.held.contains(*it)) {
                worker.held = Some(why.clone());
            }
        }
        self.heard.put(&self.scene, &mut facts.workers);
        drop(fleet);
        self.body.board.publish(facts);
    }
}
