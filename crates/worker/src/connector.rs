//! The seam between the loop and a service: what a connector is asked, and what it is given.

use std::convert::Infallible;
use std::time::Duration;

use broker::Job;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;
use crate::outputs::Outputs;
use crate::payload::Payload;

/// Speaks the protocol of one service instance.
pub trait Connector: Send + Sync + 'static {
    /// What the payload of a job of this type looks like; `None` if it takes no such jobs. A job is judged by it before
    /// anything is sent.
    fn payload(&self, service_required: &str) -> Option<&Payload>;

    /// Whether the service would take a job now; if not, why. It is short, costs nothing, and changes nothing.
    fn check(&self) -> BoxFuture<'_, Result<(), Failure>>;

    /// Does a job and returns its result, small enough for the broker: what is large is in `task.outputs`.
    ///
    /// Soon after [`Task::stopped`] it ends, with [`Failure::stopped`] if the job was not done, and then nothing of the
    /// job runs any more at the service. What cannot be proved to have stopped is a [`Failure::suspect`].
    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>>;

    /// Whether the service is known to have started the job and to be doing nothing else, so that ending the service is
    /// the last way to end the job. Shared services elsewhere are never ended.
    fn owns_service(&self) -> bool {
        false
    }
}

/// Why a job has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Someone asked.
    Cancelled,
    /// It has taken too long.
    Deadline,
    /// Another worker may have it by now.
    LeaseLost,
    /// This worker ends.
    Shutdown,
}

/// One attempt at a job, as a connector sees it.
#[derive(Debug)]
pub struct Task {
    /// The job.
    pub job: Job,
    /// How often it was tried before, counting failures and lost workers: from 0.
    pub attempt: u32,
    /// A name for this attempt that no other attempt has, for services that let their clients choose one.
    pub attempt_id: String,
    /// How much time there was when it began.
    pub time: Duration,
    /// Where large results go.
    pub outputs: Outputs,
    stop: watch::Receiver<Option<Stop>>,
    progress: watch::Sender<Option<broker::Progress>>,
    /// Tells by its end that the task is gone.
    _here: oneshot::Sender<Infallible>,
}

impl Task {
    /// Ready when the job has to stop: from then on at once, with the first reason.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await {
            Ok(why) => why.unwrap_or(Stop::Shutdown),
            // The loop is gone, and nobody will hear of the job.
            Err(_) => Stop::LeaseLost,
        }
    }

    /// `future`, unless the job has to stop before.
    pub async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            why = self.stopped() => Err(why),
            done = future => Ok(done),
        }
    }

    /// Tells those who watch how far the job is, in percent. It may be called as often as one likes: what is sent is the
    /// latest, at most ten times a second.
    pub fn progress(&self, percent: f64, message: impl Into<String>) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 100")]
        let percent = if percent.is_finite() { percent.clamp(0.0, 100.0).round() as u8 } else { 0 };
        self.progress.send_replace(Some(broker::Progress { percent, message: message.into() }));
    }

    /// A task and the hands that hold it: the loop has them, and so has whoever tries a connector without one.
    pub fn new(
        job: Job,
        attempt: u32,
        attempt_id: String,
        time: Duration,
        outputs: Outputs,
    ) -> (Self, Hands) {
        let (stop, stopped) = watch::channel(None);
        let (progress, told) = watch::channel(None);
        let (here, gone) = oneshot::channel();
        let task = Self { job, attempt, attempt_id, time, outputs, stop: stopped, progress, _here: here };
        (task, Hands { stop: Stopper(stop), progress: told, gone })
    }
}

/// What is on the other side of a [`Task`].
#[derive(Debug)]
pub struct Hands {
    /// Stops it.
    pub stop: Stopper,
    /// What it told last.
    pub progress: watch::Receiver<Option<broker::Progress>>,
    /// Ready, with an error, when the task is gone.
    pub gone: oneshot::Receiver<Infallible>,
}

/// Stops a [`Task`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Stop>>);

impl Stopper {
    /// Asks the job to stop. The first reason stands.
    pub fn stop(&self, why: Stop) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(why);
            }
            first
        });
    }
}
