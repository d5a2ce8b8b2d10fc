//! One task owns each process: orders come in by mailbox, states go out. The transition decides, the task obeys.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ecosystem::App;
use spec::ids::ProcessName;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::core::{Effect, Event, Pid, Policy, Process, ProcessState, Time, step};
use crate::launcher::{Launcher, Output, Plan};
use crate::log::{LogReader, Logs, Pipe, Stream};
use crate::metrics::Meter;
use crate::probe::{self, View};

/// The state of a process has changed, or it has obeyed an order that changed nothing.
#[derive(Debug)]
pub(crate) struct Change {
    pub name: ProcessName,
    pub process: Process,
    /// How many orders it has obeyed.
    pub obeyed: u64,
    /// What its last sweep could not end.
    pub left: usize,
}

/// What a task is told.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Start, stop.
    Order(Event),
    /// From now on it is treated like this; what it was launched with is the same.
    Amend(Box<(App, Policy)>),
}

/// The owner of a process.
pub(crate) struct Task<L> {
    pub launcher: Arc<L>,
    pub plan: Plan,
    pub policy: Policy,
    pub app: App,
    pub logs: Arc<Logs>,
    pub meter: Arc<Meter>,
    pub began: Instant,
    pub changes: UnboundedSender<Change>,
}

/// What changes while it runs.
struct Now {
    process: Process,
    /// The last process that was launched.
    pid: Option<Pid>,
    left: usize,
    obeyed: u64,
    streams: Option<Streams>,
    prober: Option<AbortHandle>,
    /// Its log from the start of its run on, if a probe reads it.
    listening: Vec<LogReader>,
    /// Looks at its memory.
    watcher: Option<AbortHandle>,
}

/// Both streams; one pipe if they are to go into one file, for the order of the lines survives then.
struct Streams {
    out: Pipe,
    err: Option<Pipe>,
}

/// What the world says: the number of the run that it is about, and the event.
type Answers = UnboundedSender<(u64, Told)>;

enum Told {
    Event(Event),
    Swept { left: usize },
}

impl<L: Launcher> Task<L> {
    /// Obeys until nobody can give orders any more.
    pub(crate) async fn run(mut self, mut orders: Receiver<Mail>, seed: u64) {
        let (answers, mut told) = unbounded_channel();
        let (looks, mut looked): (_, UnboundedReceiver<(u64, Event)>) = unbounded_channel();
        let process = Process::new(seed);
        let mut now = Now {
            process,
            pid: None,
            left: 0,
            obeyed: 0,
            streams: None,
            prober: None,
            listening: Vec::new(),
            watcher: None,
        };
        loop {
            let due = now.process.state.wakes_at().map(|it| self.began + it);
            let event = tokio::select! {
                biased;
                Some((_, it)) = told.recv() => match it {
                    Told::Event(it) => it,
                    Told::Swept { left } => {
                        now.left = left;
                        if let Some(Streams { out, err }) = &now.streams {
                            out.settle();
                            err.iter().for_each(Pipe::settle);
                        }
                        Event::Swept
                    }
                },
                mail = orders.recv() => match mail {
                    Some(Mail::Order(it)) => {
                        now.obeyed += 1;
                        it
                    }
                    Some(Mail::Amend(it)) => match self.amend(*it, &mut now, &looks) {
                        Some(it) => it,
                        None => continue,
                    },
                    None => break,
                },
                Some((run, it)) = looked.recv() => {
                    if run != now.process.starts {
                        continue;
                    }
                    it
                }
                () = sleep_until(due.unwrap_or(self.began)), if due.is_some() => Event::Tick,
            };
            self.advance(&mut now, event, &answers, &looks);
        }
        if let Some(Streams { out, err }) = now.streams {
            out.close().await;
            if let Some(err) = err {
                err.close().await;
            }
        }
    }

    fn advance(&self, now: &mut Now, event: Event, answers: &Answers, looks: &UnboundedSender<(u64, Event)>) {
        if let Event::Launched(pid) = event {
            now.pid = Some(pid);
        }
        let before = now.process.clone();
        let told = matches!(event, Event::Start | Event::Stop | Event::Restart);
        let (process, effect) = step(&self.policy, before.clone(), event, self.time());
        now.process = process;
        self.probe(now, looks);
        self.watch_memory(now, looks);
        if let Some(effect) = effect {
            self.act(now, effect, answers);
        }
        if now.process != before || told {
            let (name, process) = (self.plan.name.clone(), now.process.clone());
            let change = Change { name, process, obeyed: now.obeyed, left: now.left };
            // The supervisor has ended if nobody listens.
            let _ = self.changes.send(change);
        }
    }

    /// Takes other numbers and probes. Returns what follows at once: who is not looked at any more is healthy.
    fn amend(
        &mut self,
        (app, policy): (App, Policy),
        now: &mut Now,
        looks: &UnboundedSender<(u64, Event)>,
    ) -> Option<Event> {
        let probes_changed = app.roster.probes != self.app.roster.probes;
        let limit_changed = policy.memory_limit != self.policy.memory_limit;
        (self.app, self.policy) = (app, policy);
        let outdated = [&mut now.prober, &mut now.watcher].into_iter().zip([probes_changed, limit_changed]);
        for (it, _) in outdated.filter(|(_, changed)| *changed) {
            it.take().iter().for_each(AbortHandle::abort);
        }
        self.probe(now, looks);
        self.watch_memory(now, looks);
        (probes_changed && self.app.roster.probes.is_none()).then_some(Event::Healthy)
    }

    fn time(&self) -> Time {
        self.began.elapsed()
    }

    fn act(&self, now: &mut Now, effect: Effect, answers: &Answers) {
        match effect {
            Effect::Ask(pid, signal) => self.launcher.ask(pid, signal),
            Effect::Kill(pid) => self.launcher.kill(pid),
            Effect::Launch => self.launch(now, answers.clone()),
            Effect::Sweep { kill_at } => {
                let (launcher, name, run) =
                    (self.launcher.clone(), self.plan.name.clone(), now.process.starts);
                let (answers, pid) = (answers.clone(), now.pid);
                let patience = kill_at.saturating_sub(self.time());
                tokio::spawn(async move {
                    let left = match pid {
                        Some(pid) => launcher.sweep(&name, pid, patience).await,
                        None => 0,
                    };
                    let _ = answers.send((run, Told::Swept { left }));
                });
            }
        }
    }

    fn launch(&self, now: &mut Now, answers: Answers) {
        let run = now.process.starts;
        let output = match self.output(now) {
            Ok(it) => it,
            Err(why) => {
                let _ = answers.send((run, Told::Event(Event::NotLaunched(why.into()))));
                return;
            }
        };
        let (launcher, plan) = (self.launcher.clone(), self.plan.clone());
        tokio::spawn(async move {
            let tell = |event| answers.send((run, Told::Event(event)));
            // Nobody listens when the supervisor has ended.
            let _ = match launcher.launch(&plan, output).await {
                Err(why) => tell(Event::NotLaunched(why)),
                Ok(child) => {
                    let _ = tell(Event::Launched(child.pid));
                    match child.exit.await {
                        Ok(exit) => tell(Event::Died(exit)),
                        Err(_) => Ok(()),
                    }
                }
            };
        });
    }

    /// Where the next run writes to. The files are opened at the first start.
    fn output(&self, now: &mut Now) -> Result<Output, String> {
        let name = self.plan.name.as_str();
        let open = |path: &str, stream| {
            self.logs
                .open(Path::new(path), name, stream)
                .map_err(|it| format!("its log file `{path}` cannot be written: {it}"))
        };
        if now.streams.is_none() {
            let secrets = self.app.roster.secrets.iter().filter_map(|it| self.plan.env.get(it));
            let values = secrets.map(|it| it.expose().as_bytes());
            self.logs
                .redact(values)
                .map_err(|it| format!("its secrets cannot be kept out of its log: {it}"))?;
            let (out, err) = (&self.app.out_file, &self.app.error_file);
            let mixed = out == err && self.logs.mixes_streams();
            let err = if mixed { None } else { Some(open(err, Stream::Stderr)?) };
            now.streams = Some(Streams { out: open(out, Stream::Stdout)?, err });
        }
        let Some(Streams { out, err }) = &now.streams else {
            return Err("its log files were not opened".into());
        };
        // Listening comes before the start: what is said first is heard.
        now.listening.clear();
        if self.app.roster.probes.as_ref().is_some_and(probe::listens) {
            let paths = BTreeSet::from([&self.app.out_file, &self.app.error_file]);
            let logs = paths.into_iter().map(|it| self.logs.read(Path::new(it), 0, true));
            let logs = logs.collect::<Result<_, _>>();
            now.listening = logs.map_err(|it| format!("its log cannot be read: {it}"))?;
        }
        let writer = |pipe: &Pipe| pipe.writer().map_err(|it| format!("its output: {it}"));
        Ok(Output { out: writer(out)?, err: writer(err.as_ref().unwrap_or(out))? })
    }

    /// Looks at the memory of a process that has a ceiling, while it runs.
    fn watch_memory(&self, now: &mut Now, looks: &UnboundedSender<(u64, Event)>) {
        let runs = matches!(now.process.state, ProcessState::Running { .. });
        match (self.policy.memory_limit, now.pid, &now.watcher) {
            (Some(limit), Some(pid), None) if runs => {
                let (meter, run, looks) = (self.meter.clone(), now.process.starts, looks.clone());
                let watcher = tokio::spawn(async move { meter.watch(pid, limit, run, looks).await });
                now.watcher = Some(watcher.abort_handle());
            }
            (_, _, Some(watcher)) if !runs => {
                watcher.abort();
                now.watcher = None;
            }
            _ => {}
        }
    }

    /// Looks at a process while it runs, and only then.
    fn probe(&self, now: &mut Now, looks: &UnboundedSender<(u64, Event)>) {
        let runs = matches!(now.process.state, ProcessState::Running { .. });
        match (&self.app.roster.probes, runs, &now.prober) {
            (Some(probes), true, None) => {
                let logs = std::mem::take(&mut now.listening);
                let view = View { plan: self.plan.clone(), launcher: self.launcher.clone(), logs };
                let prober =
                    tokio::spawn(probe::watch(probes.clone(), view, now.process.starts, looks.clone()));
                now.prober = Some(prober.abort_handle());
            }
            (_, false, Some(prober)) => {
                prober.abort();
                now.prober = None;
            }
            (None, true, _) | (Some(_), true, Some(_)) | (_, false, None) => {}
        }
    }
}

/// How long a mailbox may get: orders are few.
pub(crate) const MAILBOX: usize = 16;
