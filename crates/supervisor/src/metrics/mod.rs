//! What the processes use: processor time, memory, files, threads; each process, and everything below it.
//!
//! Names and units are those of the Prometheus client libraries (`process_cpu_seconds_total` and so on).

mod proc;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_blocking;
use tokio::time::{Instant as Moment, sleep_until};

use crate::core::{Event, Pid};
use crate::task::Mail;
use proc::{Marks, Snapshot, Stat};

/// Between looks at a process that has a memory ceiling,
const FAR_BELOW: Duration = Duration::from_secs(5);
/// and at one that uses more than half of what it may.
const CLOSE: Duration = Duration::from_secs(1);
/// The looks take at most one part in so many of a core's time: on a machine with very many processes there are fewer.
const SHARE: u32 = 2000;
/// Memory is looked at as often as this, whatever it costs (PM2's period).
const SELDOMEST: Duration = Duration::from_secs(30);
/// Shorter than this, the use of the processor says nothing: the kernel counts in hundredths of a second.
const SHORTEST_SPAN: Duration = Duration::from_secs(1);

/// What a process uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// The process itself.
    pub process: Resources,
    /// It and everything that it has started, however far that has moved away.
    pub tree: Resources,
    /// Since it was started.
    pub uptime_seconds: f64,
}

/// Something that is used, by one process or several together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Resources {
    /// Of processor time, in user and kernel mode, by all cores together. Of a tree: with the time of the children that
    /// have ended.
    pub cpu_seconds_total: f64,
    /// Of one core's time since the last measurement; `None` at the first.
    pub cpu_percent: Option<f64>,
    /// Bytes in memory, with all that is shared with others (RSS).
    pub resident_memory_bytes: u64,
    /// Bytes in memory, of what is shared only the part that falls to each (PSS, from `smaps_rollup`). Where that may
    /// not be read, the resident bytes are counted instead, and `memory_source` says so.
    pub memory_bytes: u64,
    /// What `memory_bytes` is.
    pub memory_source: MemorySource,
    /// Open files; those of processes that may not be looked into are not counted.
    pub open_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
}

/// How memory was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemorySource {
    /// What is shared is counted in parts.
    #[default]
    Pss,
    /// What is shared is counted in full, at least of one process.
    Rss,
}

/// Measures processes, all at once: one look at `/proc` serves whoever asks within a moment.
#[derive(Debug)]
pub struct Meter {
    began: Moment,
    marks: Arc<Marks>,
    /// Processor time at an earlier measurement, by pid and start.
    before: Mutex<BTreeMap<(i32, u64), Spent>>,
    last: AsyncMutex<Option<(Moment, Arc<Snapshot>)>>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    at: Instant,
    process: f64,
    tree: f64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            began: Moment::now(),
            marks: Arc::default(),
            before: Mutex::default(),
            last: AsyncMutex::default(),
        }
    }
}

impl Meter {
    /// What each of these processes of ours uses; those that have ended are left out. It reads a few files of each
    /// process, some of which the kernel has to count up: do not call it where nothing may block.
    pub fn measure(&self, pids: &[Pid]) -> BTreeMap<Pid, Usage> {
        let snapshot = Snapshot::take(&self.marks);
        let now = Instant::now();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |(pid, started): &(i32, u64)| snapshot.get(*pid).is_some_and(|it| it.started == *started);
        before.retain(|key, _| live(key));
        let measured = pids.iter().filter_map(|pid| {
            let root = i32::try_from(pid.0.get()).ok()?;
            let stat = snapshot.get(root).filter(|it| !it.dead)?;
            let tree = snapshot.tree(root);
            let mut process = resources([(root, stat)].into_iter());
            let mut all = resources(tree.iter().map(|(pid, stat)| (*pid, *stat)));
            process.cpu_seconds_total = proc::seconds(stat.spent);
            let spent = tree.values().map(|it| it.spent + it.spent_by_children).sum();
            all.cpu_seconds_total = proc::seconds(spent);

            let spent = Spent { at: now, process: process.cpu_seconds_total, tree: all.cpu_seconds_total };
            let earlier = before.entry((root, stat.started)).or_insert(spent);
            let span = now.duration_since(earlier.at);
            if !span.is_zero() {
                let percent = |now: f64, then: f64| Some((now - then).max(0.0) / span.as_secs_f64() * 100.0);
                process.cpu_percent = percent(spent.process, earlier.process);
                all.cpu_percent = percent(spent.tree, earlier.tree);
            }
            if span >= SHORTEST_SPAN {
                *earlier = spent;
            }
            let uptime_seconds = snapshot.uptime(stat);
            Some((*pid, Usage { process, tree: all, uptime_seconds }))
        });
        measured.collect()
    }

    /// A look at every process that is at most `age` old.
    async fn snapshot(&self, age: Duration) -> Arc<Snapshot> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, it)) if at.elapsed() < age => it.clone(),
            _ => {
                let marks = self.marks.clone();
                let it = spawn_blocking(move || Arc::new(Snapshot::take(&marks))).await.unwrap_or_default();
                *last = Some((Moment::now(), it.clone()));
                it
            }
        }
    }

    /// Tells, for as long as it is polled, when the tree of `pid` uses more memory than `limit`.
    pub(crate) async fn watch(&self, pid: Pid, limit: u64, run: u64, tell: UnboundedSender<Mail>) {
        let Ok(root) = i32::try_from(pid.0.get()) else { return };
        let mut period = CLOSE;
        loop {
            sleep_until(self.next_look(period)).await;
            let snapshot = self.snapshot(CLOSE / 2).await;
            let tree = snapshot.tree(root).into_iter().map(|(pid, it)| (pid, it.resident()));
            let tree: Vec<(i32, u64)> = tree.collect();
            let resident: u64 = tree.iter().map(|(_, it)| it).sum();
            let mut took = snapshot.took;
            if resident > limit {
                // The exact number is dear, and never larger: it is asked for only when it decides.
                let began = Instant::now();
                let count = move || tree.iter().map(|(pid, rss)| proc::pss(*pid).unwrap_or(*rss)).sum();
                let memory = spawn_blocking(count).await.unwrap_or(resident);
                took += began.elapsed();
                // The task that listens ends after this one.
                let _ = tell.send(Mail::Seen(run, Event::Memory(memory)));
            }
            period = if resident > limit / 2 { CLOSE } else { FAR_BELOW };
            period = period.max((took * SHARE).min(SELDOMEST));
        }
    }

    /// At the same moment for all that are looked at with this period: they share the look.
    fn next_look(&self, period: Duration) -> Moment {
        let elapsed = self.began.elapsed().as_nanos();
        let rest = period.as_nanos() - elapsed % period.as_nanos();
        Moment::now() + Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
    }
}

fn resources<'a>(processes: impl Iterator<Item = (i32, &'a Stat)>) -> Resources {
    let mut sum = Resources::default();
    for (pid, stat) in processes {
        let resident = stat.resident();
        sum.resident_memory_bytes += resident;
        sum.memory_bytes += proc::pss(pid).unwrap_or_else(|| {
            sum.memory_source = MemorySource::Rss;
            resident
        });
        sum.open_fds += proc::open_fds(pid);
        sum.threads += stat.threads;
        sum.processes += 1;
    }
    sum
}
