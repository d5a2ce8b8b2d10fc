//! The numbers of the loop.

use std::time::Duration;

/// How a worker treats its jobs and its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a claim holds without renewal; renewed every third of it. 10 s.
    pub lease: Duration,
    /// How long one claim waits for a job. 30 s.
    pub wait: Duration,
    /// How long a connector may take to stop a job. 10 s.
    pub patience: Duration,
    /// How long jobs may go on when the worker is to end. 25 s: a worker process is killed 30 s after it was asked to end.
    pub grace: Duration,
    /// Between two looks at a service that is well and has nothing to do. 10 s.
    pub look_every: Duration,
    /// The longest that one look may take. 5 s.
    pub look_within: Duration,
    /// Between two progress messages of a job. 100 ms.
    pub progress_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            wait: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            grace: Duration::from_secs(25),
            look_every: Duration::from_secs(10),
            look_within: Duration::from_secs(5),
            progress_every: Duration::from_millis(100),
        }
    }
}

impl Pace {
    /// How long a connector may take to stop a job at the end of the grace: a tenth of that, as the kill is near.
    pub(crate) fn last_patience(&self) -> Duration {
        self.patience.min(self.grace / 10)
    }

    /// How long before its deadline a job is asked to stop, so that what its service says about it is still heard.
    pub(crate) fn margin(timeout: Duration) -> Duration {
        (timeout / 10).min(Duration::from_secs(1))
    }
}
