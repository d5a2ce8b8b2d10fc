//! A run: starts Redis and workers, submits, does to them what the plan says, lets them finish, and keeps the history.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::{Broker, Native};
use fastrand::Rng;
use redis::FromRedisValue;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use crate::history::History;
use crate::plan::{self, Deed, Plan};
use crate::proxy::{Fault, Proxy};
use crate::record::{Log, Terms, What, now};
use crate::server::Server;
use crate::worker::Orders;

/// A run in which nothing happens for so long is stuck.
const STUCK: Duration = Duration::from_secs(90);

/// What was done in a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub kills: usize,
    pub stops: usize,
    pub restarts: usize,
    /// Workers that a job has killed.
    pub poisoned: usize,
    /// Connections cut or held up.
    pub cuts: usize,
    pub took: Duration,
}

/// What time it is in a run: how many jobs there are, and how many of them have ended.
#[derive(Default)]
struct Clock {
    submitted: AtomicU64,
    finished: AtomicU64,
    /// There will be no more.
    all: AtomicBool,
}

struct Slot {
    id: String,
    /// How many processes it has had.
    born: usize,
    child: Child,
    /// It stands still until then.
    stopped: Option<Instant>,
    proxy: Proxy,
}

struct Run<'a> {
    folder: &'a Path,
    log: Log,
    rng: Rng,
    server: Server,
    redis: Option<redis::Connection>,
    slots: Vec<Slot>,
    /// For the one who submits, and for the one who cancels.
    clients: [Proxy; 2],
    canceller: Arc<Native>,
    done: Done,
}

/// Carries out a plan, in a folder of its own.
pub async fn run(plan: &Plan, folder: &Path) -> (Done, History) {
    let began = Instant::now();
    let (kills, mut killed) = mpsc::unbounded_channel();
    let server = Server::start(folder, plan.always).await;
    let proxy = async |slot| Proxy::start(slot, server.socket(), kills.clone()).await;
    let mut proxies = Vec::new();
    for slot in 0..plan.size.workers {
        proxies.push(proxy(slot).await);
    }
    let clients = [proxy(usize::MAX).await, proxy(usize::MAX).await];
    let submitter = client(&clients[0]).await;
    let canceller = Arc::new(client(&clients[1]).await);
    let spawned = |(slot, proxy): (usize, Proxy)| {
        let id = format!("chaos-worker-{slot}");
        let child = worker(folder, slot, &id, 0, proxy.port);
        Slot { id, born: 1, child, stopped: None, proxy }
    };
    let slots = proxies.into_iter().enumerate().map(spawned).collect();
    let rng = Rng::with_seed(plan.seed ^ 1);
    let log = Log::open(folder, "controller");
    let (redis, done) = (None, Done::default());
    let mut run = Run { folder, log, rng, server, redis, slots, clients, canceller, done };

    let clock = Arc::new(Clock::default());
    let submitting = submit(submitter, Log::open(folder, "client"), plan, clock.clone());
    let steering = async {
        let mut deeds = plan.deeds.iter().peekable();
        let mut tick = tokio::time::interval(Duration::from_millis(3));
        let mut moved = (0, Instant::now());
        loop {
            tokio::select! {
                Some(slot) = killed.recv() => run.kill(slot),
                _ = tick.tick() => {}
            }
            run.look_after();
            let all = clock.all.load(Ordering::Relaxed);
            let submitted = clock.submitted.load(Ordering::Relaxed);
            let unfinished = run.unfinished();
            let finished = submitted.saturating_sub(unfinished.unwrap_or(u64::MAX));
            if finished > moved.0 {
                moved = (finished, Instant::now());
                clock.finished.store(finished, Ordering::Relaxed);
            }
            assert!(
                moved.1.elapsed() < STUCK,
                "nothing moves after {} jobs; see {}",
                moved.0,
                folder.display()
            );
            while let Some((_, deed)) = deeds.next_if(|(after, _)| *after <= moved.0) {
                run.carry_out(*deed).await;
            }
            if deeds.peek().is_none() {
                run.calm_down(plan.size.kills);
                if all && unfinished == Some(0) {
                    break;
                }
            }
        }
    };
    tokio::join!(submitting, steering);
    run.dismiss().await;
    run.done.cuts = run.slots.iter().map(|it| &it.proxy).chain(&run.clients).map(Proxy::happened).sum();
    run.done.took = began.elapsed();
    let end = run.server.connect().unwrap();
    let history = History::read(folder, end, || run.server.stop(false));
    (run.done, history)
}

async fn client(proxy: &Proxy) -> Native {
    Native::connect(&format!("redis://127.0.0.1:{}/", proxy.port), plan::settings()).await.unwrap()
}

/// This program again, as a worker.
fn worker(folder: &Path, slot: usize, id: &str, born: usize, port: u16) -> Child {
    let orders = Orders {
        url: format!("redis://127.0.0.1:{port}/"),
        folder: PathBuf::from(folder),
        id: id.into(),
        who: format!("{id}.{born}"),
        capabilities: plan::capabilities(slot),
        slots: 1 + slot % 4,
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(crate::ORDERS, serde_json::to_string(&orders).unwrap()).stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// Submits everything, a call at a time, each until it is answered; now far ahead of the workers, now so late that they
/// wait.
async fn submit(broker: Native, log: Log, plan: &Plan, clock: Arc<Clock>) {
    let mut rng = Rng::with_seed(plan.seed ^ 2);
    let mut there = HashSet::new();
    for batch in &plan.batches {
        let ahead = rng.u64(..400);
        while there.len() as u64 > clock.finished.load(Ordering::Relaxed) + ahead {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (began, at) = (Instant::now(), now());
        let told = loop {
            match broker.submit(batch).await {
                Ok(told) => break told,
                Err(error) => assert!(began.elapsed() < STUCK, "a job cannot be submitted: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        for (job, told) in batch.iter().zip(&told) {
            let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap();
            let terms = Terms {
                key: job.idempotency_key.as_ref().map(ToString::to_string),
                attempts: job.max_attempts.into(),
                timeout: ms(job.timeout),
                not_before: at + ms(job.delay),
            };
            log.write(What::Submitted { job: job.id.to_string(), is: told.id().to_string(), terms });
            there.insert(told.id().clone());
        }
        clock.submitted.store(there.len() as u64, Ordering::Relaxed);
    }
    clock.all.store(true, Ordering::Relaxed);
}

impl Run<'_> {
    /// The answer to a command, past every proxy; `None` while Redis is away.
    fn ask<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Option<T> {
        if self.redis.is_none() {
            self.redis = self.server.connect().ok();
        }
        let answer = command.query(self.redis.as_mut()?);
        if answer.is_err() {
            self.redis = None;
        }
        answer.ok()
    }

    /// How many jobs wait for a worker or a time, or run.
    fn unfinished(&mut self) -> Option<u64> {
        // At one moment: between two questions a job could go from one set to another.
        let count = "local n = redis.call('ZCARD', '{chaos}:d') + redis.call('ZCARD', '{chaos}:l')
            for _, it in ipairs(redis.call('ZRANGE', '{chaos}:so', 0, -1)) do n = n + redis.call('ZCARD', '{chaos}:w:' .. it) end
            return n";
        self.ask(redis::cmd("EVAL").arg(count).arg(0))
    }

    async fn carry_out(&mut self, deed: Deed) {
        self.log.write(What::Fault { of: format!("{deed:?}") });
        let proxies: Vec<&Proxy> = self.slots.iter().map(|it| &it.proxy).chain(&self.clients).collect();
        let (slot, any) = (self.rng.usize(..self.slots.len()), self.rng.usize(..proxies.len()));
        match deed {
            Deed::Kill => self.kill(slot),
            Deed::Arm(it @ (Fault::KillBefore | Fault::KillAfter)) => self.slots[slot].proxy.arm(it),
            Deed::Arm(fault) => proxies[any].arm(fault),
            Deed::Cut => proxies[any].cut(),
            Deed::Stop(time) => self.halt(slot, time),
            Deed::Restart(kill) => {
                self.server.restart(kill).await;
                self.done.restarts += 1;
            }
            Deed::Cancel(set) => self.cancel(set),
        }
    }

    /// Kills the worker of a slot, also one that stands still, and starts its successor.
    fn kill(&mut self, slot: usize) {
        self.slots[slot].child.kill().unwrap();
        self.done.kills += 1;
        self.replace(slot);
    }

    fn replace(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let status = slot.child.wait().unwrap();
        self.log.write(What::Fault { of: format!("{}.{}: {status}", slot.id, slot.born - 1) });
        slot.child = worker(self.folder, at, &slot.id, slot.born, slot.proxy.port);
        slot.born += 1;
        slot.stopped = None;
    }

    fn halt(&mut self, slot: usize, time: Duration) {
        let slot = &mut self.slots[slot];
        self.done.stops += usize::from(slot.stopped.is_none());
        slot.stopped = Some(Instant::now() + time);
        kill_process(Pid::from_child(&slot.child), Signal::STOP).unwrap();
    }

    /// Lets those go on who have stood still long enough, and replaces those whom a job has killed.
    fn look_after(&mut self) {
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.stopped.take_if(|until| *until <= Instant::now()).is_some() {
                kill_process(Pid::from_child(&slot.child), Signal::CONT).unwrap();
            }
            if let Some(status) = slot.child.try_wait().unwrap() {
                assert!(status.code().is_none(), "{}.{} has failed: {status}", slot.id, slot.born - 1);
                self.done.poisoned += 1;
                self.replace(at);
            }
        }
    }

    /// Wishes a job stopped that is in this set now.
    fn cancel(&mut self, set: &str) {
        let mut any = |set: &str| {
            let member = self.ask(redis::cmd("ZRANDMEMBER").arg(format!("{{chaos}}:{set}")));
            member.and_then(|it: Option<String>| it)
        };
        let job = match set {
            "w" => any("so").and_then(|line| any(&format!("w:{line}"))),
            _ => any(set),
        };
        let Some(job) = job else { return };
        let (broker, log) = (self.canceller.clone(), Log::open(self.folder, "canceller"));
        tokio::spawn(async move {
            let id = job.parse().unwrap();
            loop {
                if let Ok(answer) = broker.cancel(&id).await {
                    return log.write(What::Cancelled { job, answer: format!("{answer:?}") });
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    /// No more faults. Kills that wait for a call, or that came too late for one, are done now.
    fn calm_down(&mut self, kills: usize) {
        self.slots.iter().map(|it| &it.proxy).chain(&self.clients).for_each(Proxy::disarm);
        while self.done.kills < kills {
            let slot = self.rng.usize(..self.slots.len());
            self.kill(slot);
        }
    }

    /// Lets the workers finish what they have, and go.
    async fn dismiss(&mut self) {
        for slot in &mut self.slots {
            if slot.stopped.is_some() {
                kill_process(Pid::from_child(&slot.child), Signal::CONT).unwrap();
            }
            drop(slot.child.stdin.take());
        }
        let end = Instant::now() + STUCK;
        for slot in &mut self.slots {
            let status = loop {
                if let Some(status) = slot.child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < end, "{} does not end", slot.id);
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            assert!(status.success(), "{} has failed: {status}", slot.id);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
