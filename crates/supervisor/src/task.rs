//! One task owns each process: orders come in by mailbox, states go out. The transition decides, the task obeys.

use std::sync::Arc;

use ecosystem::App;
use spec::ids::ProcessName;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::core::{Effect, Event, Exit, Pid, Policy, Process, ProcessState, Time, step};
use crate::launcher::{Launched, Launcher, Plan};
use crate::log::Logs;
use crate::metrics::Meter;
use crate::outlet::Outlet;
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

/// What a task is told. There are many tasks, so each has one mailbox for everything.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Start, stop.
    Order(Event),
    /// From now on it is treated like this; what it was launched with is the same.
    Amend(Box<(Arc<App>, Policy)>),
    /// Nobody gives orders any more.
    End,
    /// What has become of an effect.
    Done(Done),
    /// What was seen of the run of this number.
    Seen(u64, Event),
}

/// What has become of an effect.
#[derive(Debug)]
pub(crate) enum Done {
    Launched(Result<Launched, Arc<str>>, Outlet),
    Swept { left: usize },
}

/// The owner of a process.
pub(crate) struct Task<L> {
    pub launcher: Arc<L>,
    pub plan: Arc<Plan>,
    pub policy: Policy,
    pub app: Arc<App>,
    pub logs: Arc<Logs>,
    pub meter: Arc<Meter>,
    pub began: Instant,
    pub changes: UnboundedSender<Change>,
    /// Its own: what it does and looks at tells it so.
    pub mailbox: UnboundedSender<Mail>,
}

/// What changes while it runs.
struct Now {
    process: Process,
    /// The last process that was launched.
    pid: Option<Pid>,
    /// How it ends, while it runs.
    exit: Option<oneshot::Receiver<Exit>>,
    left: usize,
    obeyed: u64,
    outlet: Outlet,
    prober: Option<AbortHandle>,
    /// Looks at its memory.
    watcher: Option<AbortHandle>,
}

impl<L: Launcher> Task<L> {
    /// Obeys until nobody can give orders any more.
    pub(crate) async fn run(mut self, mut mail: UnboundedReceiver<Mail>, seed: u64) {
        let mut now = Now {
            process: Process::new(seed),
            pid: None,
            exit: None,
            left: 0,
            obeyed: 0,
            outlet: Outlet::default(),
            prober: None,
            watcher: None,
        };
        loop {
            let due = now.process.state.wakes_at().map(|it| self.began + it);
            let event = tokio::select! {
                biased;
                exit = ended(&mut now.exit), if now.exit.is_some() => {
                    now.exit = None;
                    match exit {
                        Ok(it) => Event::Died(it),
                        Err(_) => continue,
                    }
                }
                Some(mail) = mail.recv() => match mail {
                    Mail::Order(it) => {
                        now.obeyed += 1;
                        it
                    }
                    Mail::Amend(it) => match self.amend(*it, &mut now) {
                        Some(it) => it,
                        None => continue,
                    },
                    Mail::End => break,
                    Mail::Done(it) => done(it, &mut now),
                    Mail::Seen(run, it) if run == now.process.starts => it,
                    Mail::Seen(..) => continue,
                },
                () = sleep_until(due.unwrap_or(self.began)), if due.is_some() => Event::Tick,
            };
            self.advance(&mut now, event);
        }
        now.outlet.close().await;
    }

    fn advance(&self, now: &mut Now, event: Event) {
        let before = now.process.clone();
        let told = matches!(event, Event::Start | Event::Stop | Event::Restart);
        let (process, effect) = step(&self.policy, before.clone(), event, self.time());
        now.process = process;
        self.probe(now);
        self.watch_memory(now);
        if let Some(effect) = effect {
            self.act(now, effect);
        }
        if now.process != before || told {
            let (name, process) = (self.plan.name.clone(), now.process.clone());
            let change = Change { name, process, obeyed: now.obeyed, left: now.left };
            // The supervisor has ended if nobody listens.
            let _ = self.changes.send(change);
        }
    }

    /// Takes other numbers and probes. Returns what follows at once: who is not looked at any more is healthy.
    fn amend(&mut self, (app, policy): (Arc<App>, Policy), now: &mut Now) -> Option<Event> {
        let probes_changed = app.roster.probes != self.app.roster.probes;
        let limit_changed = policy.memory_limit != self.policy.memory_limit;
        (self.app, self.policy) = (app, policy);
        let outdated = [&mut now.prober, &mut now.watcher].into_iter().zip([probes_changed, limit_changed]);
        for (it, _) in outdated.filter(|(_, changed)| *changed) {
            it.take().iter().for_each(AbortHandle::abort);
        }
        self.probe(now);
        self.watch_memory(now);
        (probes_changed && self.app.roster.probes.is_none()).then_some(Event::Healthy)
    }

    fn time(&self) -> Time {
        self.began.elapsed()
    }

    fn act(&self, now: &mut Now, effect: Effect) {
        match effect {
            Effect::Ask(pid, signal) => self.launcher.ask(pid, signal),
            Effect::Kill(pid) => self.launcher.kill(pid),
            Effect::Launch => self.launch(now),
            Effect::Sweep { kill_at } => {
                let (launcher, plan, mailbox) =
                    (self.launcher.clone(), self.plan.clone(), self.mailbox.clone());
                let (pid, patience) = (now.pid, kill_at.saturating_sub(self.time()));
                tokio::spawn(async move {
                    let left = match pid {
                        Some(pid) => launcher.sweep(&plan.name, pid, patience).await,
                        None => 0,
                    };
                    // Nobody listens when the supervisor has ended.
                    let _ = mailbox.send(Mail::Done(Done::Swept { left }));
                });
            }
        }
    }

    fn launch(&self, now: &mut Now) {
        let (launcher, plan, mailbox) = (self.launcher.clone(), self.plan.clone(), self.mailbox.clone());
        let (logs, app, mut outlet) = (self.logs.clone(), self.app.clone(), std::mem::take(&mut now.outlet));
        // Apart, so that the first of many is started while the files of the next are opened.
        tokio::spawn(async move {
            let launched = match outlet.open(&logs, &app, &plan) {
                Ok(output) => launcher.launch(&plan, output).await,
                Err(why) => Err(why.into()),
            };
            // Nobody listens when the supervisor has ended.
            let _ = mailbox.send(Mail::Done(Done::Launched(launched, outlet)));
        });
    }

    /// Looks at the memory of a process that has a ceiling, while it runs.
    fn watch_memory(&self, now: &mut Now) {
        let runs = matches!(now.process.state, ProcessState::Running { .. });
        match (self.policy.memory_limit, now.pid, &now.watcher) {
            (Some(limit), Some(pid), None) if runs => {
                let (meter, run, looks) = (self.meter.clone(), now.process.starts, self.mailbox.clone());
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
    fn probe(&self, now: &mut Now) {
        let runs = matches!(now.process.state, ProcessState::Running { .. });
        match (&self.app.roster.probes, runs, &now.prober) {
            (Some(probes), true, None) => {
                let logs = std::mem::take(&mut now.outlet.listening);
                let view = View { plan: self.plan.clone(), launcher: self.launcher.clone(), logs };
                let prober = tokio::spawn(probe::watch(
                    probes.clone(),
                    view,
                    now.process.starts,
                    self.mailbox.clone(),
                ));
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

/// What an effect has come to. Of a process whose launcher does not know how it ends, nothing more is heard.
fn done(it: Done, now: &mut Now) -> Event {
    match it {
        Done::Launched(launched, outlet) => {
            now.outlet = outlet;
            match launched {
                Ok(Launched { pid, exit }) => {
                    (now.pid, now.exit) = (Some(pid), Some(exit));
                    Event::Launched(pid)
                }
                Err(why) => Event::NotLaunched(why),
            }
        }
        Done::Swept { left } => {
            now.left = left;
            now.outlet.settle();
            Event::Swept
        }
    }
}

async fn ended(exit: &mut Option<oneshot::Receiver<Exit>>) -> Result<Exit, oneshot::error::RecvError> {
    match exit {
        Some(it) => it.await,
        None => std::future::pending().await,
    }
}
