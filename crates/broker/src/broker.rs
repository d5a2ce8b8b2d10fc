//! The trait that every implementation has, and what its calls take and give.

use std::time::Duration;

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capabilities::{Capabilities, Unmet, Worker};
use crate::error::Error;
use crate::event::{EventId, Happened, Progress, cut};
use crate::ids::{JobId, LimitKey};
use crate::job::{Job, MAX_NESTING, MAX_PAYLOAD, levels};
use crate::life::{Death, Life, Millis, Rejection};
use crate::limit::{Held, Limit};
use crate::list::{Cursor, Filter, Page};
use crate::signature::Signature;
use crate::watch::watch;

/// The most jobs that one claim takes and one exchange finishes: a call of this size blocks Redis for less than 1 ms.
pub const MAX_BATCH: usize = 20;

/// A job queue. Every call is atomic for each job it touches; none is left half done by a caller that goes away.
///
/// A job runs at least once: its worker can be lost after doing it and before saying so. Its *state* changes exactly
/// once: of several workers that believe to have it, only the one with the present fence is heard.
pub trait Broker: Send + Sync {
    /// Submits jobs, all of them judged before the first. A job whose id or idempotency key is known is not doubled.
    fn submit(&self, jobs: &[Job]) -> impl Future<Output = Result<Vec<Submission>, Error>> + Send;

    /// Finishes jobs and claims the next, in one step. Nothing to finish: a claim. `want.most` of 0: no claim.
    fn exchange(
        &self,
        worker: &Worker,
        done: Vec<(Ticket, Outcome)>,
        want: Want,
    ) -> impl Future<Output = Result<Exchange, Error>> + Send {
        self.exchange_until(worker, done, want, std::future::pending())
    }

    /// The same, but waits no longer once `enough` is ready. Only a wait is cut short, never a claim: what was claimed
    /// in that instant is in the answer, for the caller to hand back.
    fn exchange_until(
        &self,
        worker: &Worker,
        done: Vec<(Ticket, Outcome)>,
        want: Want,
        enough: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<Exchange, Error>> + Send;

    /// Makes leases `lease` long from now. The answers are in the order of the tickets.
    fn renew(
        &self,
        worker: &Worker,
        tickets: &[Ticket],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Renewal>, Error>> + Send;

    /// Tells those who watch how far a job is.
    fn progress(
        &self,
        ticket: &Ticket,
        progress: Progress,
    ) -> impl Future<Output = Result<Result<(), Rejection>, Error>> + Send;

    /// Stops a job: at once if it waits, through its worker if it runs.
    fn cancel(&self, id: &JobId) -> impl Future<Output = Result<Cancel, Error>> + Send;

    /// The running jobs of the queue that somebody asks to stop, as it happens. Never ends; an error says that nothing is
    /// heard for now, and the next item is waited for as long as it takes. What was missed is told by [`Broker::renew`]:
    /// this is for those who would hear it sooner.
    fn cancels(&self) -> impl Stream<Item = Result<Heard, Error>> + Send;

    /// Puts dead jobs back into their lines, at most [`MAX_REPLAY`] of them; says which.
    fn replay(&self, filter: &Replay) -> impl Future<Output = Result<Vec<JobId>, Error>> + Send;

    /// Where a job is. `None`: not known, or no longer.
    fn status(&self, id: &JobId) -> impl Future<Output = Result<Option<Status>, Error>> + Send;

    /// What happened to a job after `after` (`None`: all that is kept), waiting up to `wait` for the first of it.
    fn events(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Happened>, Error>> + Send;

    /// Returns jobs of lost workers to their lines and due ones to theirs. Workers that wait do it by themselves.
    fn sweep(&self) -> impl Future<Output = Result<Swept, Error>> + Send;

    /// Lets no job be claimed, or again. Jobs that run go on; jobs can be submitted.
    fn pause(&self, paused: bool) -> impl Future<Output = Result<(), Error>> + Send;

    /// Limits the jobs of a key from now on; `None`: no longer. Jobs that run go on.
    fn limit(&self, key: &LimitKey, limit: Option<Limit>) -> impl Future<Output = Result<(), Error>> + Send;

    /// All limits, by their keys.
    fn limits(&self) -> impl Future<Output = Result<Vec<(LimitKey, Limit)>, Error>> + Send;

    /// How many jobs are where.
    fn counts(&self) -> impl Future<Output = Result<Counts, Error>> + Send;

    /// The lines that no live worker class takes jobs from, with how many wait there.
    fn unmatchable(&self) -> impl Future<Output = Result<Vec<(Signature, u64)>, Error>> + Send;

    /// Why a job is where it is. `None`: not known.
    fn explain(&self, id: &JobId) -> impl Future<Output = Result<Option<Explanation>, Error>> + Send;

    /// Up to `most` jobs (at most [`MAX_PAGE`](crate::MAX_PAGE)) behind `after`; `None`: the first.
    fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        most: usize,
    ) -> impl Future<Output = Result<Page, Error>> + Send;

    /// The events of a job after `after` (`None`: all that is kept), as they come. Ends after the last event; goes on
    /// where it was when the connection is lost, and fails if it stays lost for
    /// [`WATCH_PATIENCE`](crate::WATCH_PATIENCE). A job that nobody knows is an error.
    fn watch(&self, id: JobId, after: Option<EventId>) -> impl Stream<Item = Result<Happened, Error>> + Send
    where
        Self: Sized,
    {
        watch(self, id, after)
    }
}

/// The most jobs that one replay puts back.
pub const MAX_REPLAY: usize = 100;

/// What became of one job that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It is in the queue.
    Accepted(JobId),
    /// This job, of the same id or idempotency key, was there before.
    Known(JobId),
}

impl Submission {
    /// The job that is in the queue.
    pub fn id(&self) -> &JobId {
        let (Submission::Accepted(id) | Submission::Known(id)) = self;
        id
    }
}

/// How many jobs a worker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// At most so many: its free slots, up to [`MAX_BATCH`].
    pub most: usize,
    /// How long a claim holds without renewal.
    pub lease: Duration,
    /// How long to wait if there is none.
    pub wait: Duration,
}

impl Want {
    /// Nothing.
    pub const NOTHING: Want = Want { most: 0, lease: Duration::ZERO, wait: Duration::ZERO };

    /// Up to `most` jobs, now, with a lease of 10 s.
    pub fn now(most: usize) -> Self {
        Self { most, lease: Duration::from_secs(10), wait: Duration::ZERO }
    }

    /// Waiting for the first of them.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// With this lease.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }
}

/// What a worker shows to be heard about a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The job.
    pub id: JobId,
    /// The number of the claim: higher than that of any earlier claim of the job. Other jobs may have the same.
    pub fence: u64,
}

/// A job that a worker has.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What it shows to be heard.
    pub ticket: Ticket,
    /// The job.
    pub job: Job,
    /// When it was submitted, by the queue's clock.
    pub submitted: Millis,
    /// How often it has failed before.
    pub attempts: u32,
    /// How often its worker was lost before.
    pub crashes: u32,
    /// When the lease runs out, by the queue's clock.
    pub until: Millis,
    /// When the attempt will have taken too long, by the queue's clock.
    pub deadline: Millis,
}

/// How a job ended for its worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done, with this result: at most [`MAX_PAYLOAD`] bytes of it, or it is a permanent failure.
    Success(Value),
    /// Failed.
    Failure {
        /// Whether a retry may mend it.
        retryable: bool,
        /// What went wrong.
        message: String,
    },
    /// Given back undone, at no cost: the worker stops, or its service is ill.
    HandBack,
    /// Stopped, as asked.
    Stopped,
}

impl Outcome {
    /// Within its limits: a result like a payload ([`MAX_PAYLOAD`], [`MAX_NESTING`]), a message of [`MAX_MESSAGE`]. A
    /// result beyond them is a permanent failure that says so, for trying again would make the same.
    pub(crate) fn bounded(self) -> Self {
        match self {
            Outcome::Success(result) => {
                let levels = levels(&result);
                let bytes = if levels > MAX_NESTING { 0 } else { result.to_string().len() };
                if levels <= MAX_NESTING && bytes <= MAX_PAYLOAD {
                    return Outcome::Success(result);
                }
                let message = if bytes == 0 {
                    format!("its result has more than {MAX_NESTING} levels")
                } else {
                    format!("its result has {bytes} bytes; {MAX_PAYLOAD} is the limit")
                };
                Outcome::Failure { retryable: false, message }
            }
            Outcome::Failure { retryable, message } => Outcome::Failure { retryable, message: cut(message) },
            Outcome::HandBack | Outcome::Stopped => self,
        }
    }
}

/// What an exchange did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// For each job that was finished, whether its worker was heard.
    pub done: Vec<Result<(), Rejection>>,
    /// The jobs claimed.
    pub claims: Vec<Claim>,
    /// How long after the call they were claimed at the earliest: leases and timeouts count from there, not from the call.
    pub waited: Duration,
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The worker has the job.
    Held {
        /// Until then.
        until: Millis,
        /// It is asked to stop it.
        cancel: bool,
    },
    /// It has lost it, and has to stop.
    Lost,
}

/// What became of a wish to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It waited, and is cancelled.
    Cancelled,
    /// Its worker is asked.
    Asked,
    /// It was finished before.
    Finished,
    /// No such job.
    Unknown,
}

/// What somebody hears who listens for wishes to stop jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// From now on everything is heard; before, something may have been missed.
    Listening,
    /// Somebody asks to stop this job. The answer to a renewal says whether that is still so.
    Cancel(JobId),
}

/// Which dead jobs to put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// This one.
    Job(JobId),
    /// All that died of this.
    Kind(Death),
    /// All.
    All,
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// As it was submitted.
    pub job: Job,
    /// Its state and counters.
    pub life: Life,
    /// When it was submitted.
    pub submitted: Millis,
    /// When it ended, if it did.
    pub finished: Option<Millis>,
    /// What its worker made, if it succeeded.
    pub result: Option<Value>,
    /// The message of its last failure.
    pub error: Option<String>,
    /// When this was looked up, by the queue's clock.
    pub now: Millis,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had run out.
    pub expired: usize,
    /// Delayed jobs whose time had come.
    pub due: usize,
}

/// How many jobs are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// In a line, for a worker.
    pub waiting: u64,
    /// In a line, for their limit key to let one go on.
    pub held: u64,
    /// For a time.
    pub delayed: u64,
    /// With a worker.
    pub running: u64,
    /// Given up.
    pub dead: u64,
    /// Bytes of the documents of all that are not finished.
    pub bytes: u64,
    /// No job is claimed.
    pub paused: bool,
}

/// Why a job is where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Where it is.
    pub status: Status,
    /// What takes part in matching.
    pub signature: Signature,
    /// No job of this queue is claimed.
    pub paused: bool,
    /// The limit that holds it, if it waits for that now.
    pub held: Option<Held>,
    /// What each live worker class has, and what it lacks; nothing if it can run the job.
    pub classes: Vec<(Capabilities, Vec<Unmet>)>,
}
