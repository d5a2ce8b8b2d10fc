//! How far an install is: told to whoever watches, and to the status file.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spec::notes::Fault as _;

use crate::fault::InstallFault;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::status::{self, Failed, SCHEMA_VERSION, State, Status};

/// Between two looks at how far it is.
const TICK: Duration = Duration::from_millis(250);

/// What happens, for whoever watches.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    Begun(&'a str),
    /// It has ended well.
    Done(&'a str),
    /// It has not.
    Failed(&'a str, &'a InstallFault),
    /// Bytes of models that have come, and that there will be. Comes a few times a second.
    Bytes(u64, u64),
}

/// Whoever watches an install.
pub trait Witness: Sync {
    /// Something happened.
    fn see(&self, event: Event<'_>);
}

/// A step that failed, and why.
#[derive(Debug)]
pub struct Failure {
    /// `requirements of node/upscaler`.
    pub step: String,
    /// Why.
    pub fault: InstallFault,
}

/// The account of one run.
pub(crate) struct Progress<'a> {
    manifest: &'a Manifest,
    layout: &'a Layout,
    witness: &'a dyn Witness,
    steps: AtomicUsize,
    done: AtomicUsize,
    now: Mutex<String>,
    /// For each model, its bytes that are there.
    bytes: Vec<Arc<AtomicU64>>,
    bytes_of: u64,
    failures: Mutex<Vec<Failure>>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        manifest: &'a Manifest,
        layout: &'a Layout,
        witness: &'a dyn Witness,
        steps: usize,
        bytes: Vec<u64>,
    ) -> Self {
        Self {
            manifest,
            layout,
            witness,
            steps: AtomicUsize::new(steps),
            done: AtomicUsize::new(0),
            now: Mutex::default(),
            bytes: bytes.into_iter().map(|it| Arc::new(AtomicU64::new(it))).collect(),
            bytes_of: manifest.models.iter().map(|it| it.size).sum(),
            failures: Mutex::default(),
        }
    }

    /// The bytes of a model, for its download to count.
    pub(crate) fn bytes(&self, number: usize) -> Arc<AtomicU64> {
        self.bytes.get(number).cloned().unwrap_or_default()
    }

    pub(crate) fn begin(&self, step: &str) {
        if let Ok(mut now) = self.now.lock() {
            step.clone_into(&mut now);
        }
        self.witness.see(Event::Begun(step));
    }

    pub(crate) fn done(&self, step: &str) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.witness.see(Event::Done(step));
    }

    pub(crate) fn fail(&self, step: &str, fault: InstallFault) {
        self.witness.see(Event::Failed(step, &fault));
        if let Ok(mut all) = self.failures.lock() {
            all.push(Failure { step: step.to_owned(), fault });
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failures.lock().is_ok_and(|it| !it.is_empty())
    }

    /// Runs something, and tells how far it is meanwhile. A status that cannot be written does not stop it.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut before = None;
        loop {
            tokio::select! {
                it = &mut work => return it,
                _ = tick.tick() => {
                    let status = self.status(State::Installing);
                    let same = |it: &Status| {
                        (&it.step, it.percent, it.bytes) == (&status.step, status.percent, status.bytes)
                    };
                    if self.bytes_of > 0 {
                        self.witness.see(Event::Bytes(status.bytes, status.bytes_of));
                    }
                    if !before.as_ref().is_some_and(same) {
                        let _ = status::write(self.layout, &status);
                        before = Some(status);
                    }
                }
            }
        }
    }

    /// The last word of the run, with what failed.
    pub(crate) fn end(self, state: State) -> Result<Vec<Failure>, InstallFault> {
        status::write(self.layout, &self.status(state))?;
        Ok(self.failures.into_inner().unwrap_or_default())
    }

    fn status(&self, state: State) -> Status {
        let bytes = self.bytes.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>().min(self.bytes_of);
        let steps = self.steps.load(Ordering::Relaxed).max(1) as u64;
        let done = (self.done.load(Ordering::Relaxed) as u64).min(steps);
        let of_steps = done * 100 / steps;
        let percent = match state {
            State::Installed => 100,
            _ if self.bytes_of == 0 => of_steps.min(99),
            _ => u64::midpoint(of_steps, bytes.saturating_mul(100) / self.bytes_of).min(99),
        };
        let failed = self.failures.lock().ok().and_then(|it| it.first().map(failed));
        Status {
            schema_version: SCHEMA_VERSION,
            service: self.manifest.service.clone(),
            state,
            step: self.now.lock().map(|it| it.clone()).unwrap_or_default(),
            percent: u8::try_from(percent).unwrap_or(99),
            bytes,
            bytes_of: self.bytes_of,
            failed,
            at_ms: now_ms(),
        }
    }
}

/// A failure as the status tells it.
pub(crate) fn failed(it: &Failure) -> Failed {
    Failed {
        step: it.step.clone(),
        code: it.fault.code().id.to_owned(),
        message: it.fault.to_string(),
        output: it.fault.output().to_owned(),
        fix: it.fault.fix(),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
