//! `demo`: a machine that pretends, at work before one's eyes. A worker is killed half-way.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use broker::{JobId, Status, life::State};
use rustix::process::Signal;
use serde_json::json;

use super::{
    Demo,
    machine::{Machine, process, signal_to},
    project::{Project, cards},
    queue::Queue,
    redis::Redis,
    world::{asked_to_end, first_port, free_ports, interruptible, until},
};
use crate::{
    image,
    setup::{install_packages, on_path},
};

/// How many jobs there are.
const JOBS: u64 = 90;
/// Between two of them.
const EVERY: Duration = Duration::from_millis(250);
/// Between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Shows it.
///
/// # Errors
///
/// What is missing and how to get it, or what went wrong.
pub(super) async fn run(args: &Demo) -> Result<(), String> {
    let roster = match &args.roster {
        Some(it) => it.clone(),
        // One that is compiled soon: nobody waits for what a release saves.
        None => image::roster("driver")?,
    };
    let began = Instant::now();
    let folder = tempfile::Builder::new().prefix("roster-demo-").tempdir();
    let folder = folder.map_err(|error| format!("a folder for the machine: {error}"))?;
    let (machine, redis) = interruptible(show(&roster, folder.path(), began)).await?;
    if args.keep {
        say!("it stays up, with its page; type Ctrl-C to end it");
        asked_to_end().await?;
    }
    interruptible(end(machine)).await?;
    redis.end().await;
    say!("the machine has stopped by itself, {:.0} s after the start", began.elapsed().as_secs_f64());
    Ok(())
}

/// A machine that has done its jobs, and its Redis.
async fn show(roster: &Path, folder: &Path, began: Instant) -> Result<(Machine, Redis), String> {
    let redis = redis(folder).await?;
    redis.ready().await?;
    say!("{}", redis.words());

    let roster: PathBuf = roster.canonicalize().map_err(|error| format!("{}: {error}", roster.display()))?;
    let mut project = Project::new(&roster, &folder.join("demo"), free_ports(&first_port())?)?;
    project.set("REDIS_URL", redis.url(0));
    project.write("cards.json", &cards(2))?;
    let plan = "simulation --spec render:2,simulation:4 --inventory cards.json";
    say!("$ roster env-build {plan}\n$ roster run");
    let machine = project.boot(plan).await?;
    say!(
        "the machine is ready {:.1} s after the start; its page: http://127.0.0.1:{}/\n",
        began.elapsed().as_secs_f64(),
        project.health_port
    );

    let queue = Queue::fresh(&redis.url(0)).await?;
    let mut shown = Shown { jobs: Vec::new(), killed: None, began: Instant::now(), last: None };
    shown.work(&queue, &project).await?;
    queue.audited().await?;
    say!("{}", shown.summary()?);
    Ok((machine, redis))
}

async fn end(machine: Machine) -> Result<(), String> {
    let status = machine.stop().await?;
    if status.success() { Ok(()) } else { Err(format!("the machine ended with {status}")) }
}

/// A Redis by what is there: its program, a container, or, where that may be, its package.
async fn redis(folder: &Path) -> Result<Redis, String> {
    if on_path("redis-server") {
        return Redis::server(folder);
    }
    if let Ok(docker) = image::engine().await {
        let base = image::local_base(&docker).await;
        let image = image::built("redis", None, base.as_deref(), Path::new("")).await?;
        return Redis::container(&image).await;
    }
    say!("neither redis-server nor Docker is here");
    install_packages("redis-server", &["redis-server"])?;
    Redis::server(folder)
}

/// What has been seen.
struct Shown {
    jobs: Vec<Seen>,
    killed: Option<Killed>,
    began: Instant,
    /// When progress was last told.
    last: Option<Instant>,
}

struct Seen {
    id: JobId,
    status: Option<Status>,
}

/// The worker that was killed.
struct Killed {
    worker: String,
    job: JobId,
    pid: i64,
    at: Instant,
    /// How long it took until it was back.
    back: Option<Duration>,
}

impl Seen {
    fn is(&self, wanted: fn(&State) -> bool) -> bool {
        self.status.as_ref().is_some_and(|it| wanted(&it.life.state))
    }

    /// `simulation-worker-1`, if such a worker has it.
    fn worker(&self) -> Option<String> {
        let State::Running { worker, .. } = &self.status.as_ref()?.life.state else { return None };
        let number = worker.as_str().rsplit_once("-worker-simulation-")?.1;
        Some(format!("simulation-worker-{number}"))
    }
}

impl Shown {
    /// Submits one job after the other, watches them, and kills a worker when half of them are done.
    async fn work(&mut self, queue: &Queue, project: &Project) -> Result<(), String> {
        until("all jobs have succeeded", Duration::from_mins(2), async || {
            let due = (self.began.elapsed().as_millis() / EVERY.as_millis()).min(u128::from(JOBS));
            while (self.jobs.len() as u128) < due {
                let id = queue.submit(vec![job(self.jobs.len() as u64)?]).await?.remove(0);
                self.jobs.push(Seen { id, status: None });
            }
            for it in self.jobs.iter_mut().filter(|it| !it.is(State::is_terminal)) {
                it.status = Some(queue.status(&it.id).await?);
            }
            let done = self.jobs.iter().filter(|it| it.is(State::is_terminal)).count() as u64;
            if done >= JOBS / 2 && self.killed.is_none() {
                self.kill(project)?;
            }
            if let Some(killed) = self.killed.as_mut().filter(|it| it.back.is_none())
                && process(project, &killed.worker).is_ok_and(|it| it != killed.pid)
            {
                killed.back = Some(killed.at.elapsed());
                let text =
                    format!("{} is back after {:.1} s", killed.worker, killed.at.elapsed().as_secs_f64());
                self.tell(&text);
            }
            self.progress(done)?;
            let over = done == JOBS && self.killed.as_ref().is_none_or(|it| it.back.is_some());
            Ok(over.then_some(()))
        })
        .await
    }

    /// Kills a worker that has a job, if there is one at this moment.
    fn kill(&mut self, project: &Project) -> Result<(), String> {
        let Some((worker, job)) = self.jobs.iter().find_map(|it| Some((it.worker()?, it.id.clone()))) else {
            return Ok(());
        };
        let pid = process(project, &worker)?;
        signal_to(pid, Signal::KILL)?;
        self.tell(&format!("kill -9 {pid}: {worker}, in the midst of the job {job}"));
        self.killed = Some(Killed { worker, job, pid, at: Instant::now(), back: None });
        Ok(())
    }

    /// A line that stays.
    fn tell(&self, text: &str) {
        let clear = if io::stdout().is_terminal() { "\r\x1b[2K" } else { "" };
        say!("{clear}{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn progress(&mut self, done: u64) -> Result<(), String> {
        let terminal = io::stdout().is_terminal();
        let pause = if terminal { Duration::from_millis(100) } else { LINE_EVERY };
        if self.last.is_some_and(|it| it.elapsed() < pause) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let count = |wanted: fn(&State) -> bool| self.jobs.iter().filter(|it| it.is(wanted)).count();
        let (full, width) = (usize::try_from(done * 30 / JOBS).unwrap_or(0), 30);
        let bar = "#".repeat(full) + &".".repeat(width - full);
        let line = format!(
            "{:6.1} s  [{bar}] {done} of {JOBS} done, {} at work, {} in line, {} to be tried again",
            self.began.elapsed().as_secs_f64(),
            count(|it| matches!(it, State::Running { .. })),
            count(|it| matches!(it, State::Waiting)),
            count(|it| matches!(it, State::Delayed { .. })),
        );
        let mut out = io::stdout();
        let written = if terminal {
            write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
        written.map_err(|error| error.to_string())
    }

    /// What came of it; an error if a job was lost.
    fn summary(&self) -> Result<String, String> {
        let all = || self.jobs.iter().filter_map(|it| it.status.as_ref());
        let succeeded = all().filter(|it| it.result.is_some()).count();
        let mut text = format!(
            "\n\n{succeeded} of {JOBS} jobs succeeded in {:.1} s",
            self.began.elapsed().as_secs_f64()
        );
        let again = all().filter(|it| it.life.attempts > 0).count();
        let _ = write!(text, "\n{again} of them failed once, as they were told to, and were tried again");
        if let Some(Killed { worker, job, back: Some(back), .. }) = &self.killed {
            let crashes = all().map(|it| it.life.crashes).sum::<u32>();
            let _ = write!(
                text,
                "\n{worker} was killed and came back after {:.1} s; its job {job} was done all the same, and \
                 {crashes} lost worker is all that it counts",
                back.as_secs_f64()
            );
        }
        if succeeded as u64 == JOBS { Ok(text) } else { Err(text) }
    }
}

/// One of several kinds: two that take long and a GPU, three that are short, and one that fails once.
fn job(number: u64) -> Result<broker::Job, String> {
    match number % 6 {
        0 | 3 => Queue::job("render", json!({ "duration_ms": 1400, "steps": 20, "seed": number })),
        5 => {
            let payload =
                json!({ "duration_ms": 200, "fail": "retryable", "fail_attempts": 1, "seed": number });
            Queue::job("simulation", payload)
        }
        _ => Queue::job("simulation", json!({ "duration_ms": 900, "seed": number })),
    }
}
