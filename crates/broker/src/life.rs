//! The life of a job: a pure function of its state, an event and the time.
//!
//! ```text
//!             ┌──────── retry, crash, hand-back ────────┐
//!             ▼                                         │
//!  Delayed ─▶ Waiting ─────────── claim ─────────▶ Running ─▶ Succeeded
//!     │          │ ▲                                 │   └──▶ Dead ── replay ─▶ Waiting
//!     └──────────┴─│───────── cancel ────────────────┴──────▶ Cancelled
//! ```
//!
//! Every claim has a fence, a number that no other claim of the queue has. What a worker says of a job is heard only
//! with the fence of its present claim: a worker that was thought dead, and whose job runs elsewhere, is told so.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spec::ids::WorkerId;

/// A time: milliseconds since the Unix epoch, by the queue's clock.
pub type Millis = u64;

/// A duration in whole milliseconds.
pub(crate) fn ms(duration: Duration) -> Millis {
    duration.as_millis().try_into().unwrap_or(Millis::MAX)
}

/// Where a job is. A job is in exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for a time.
    Delayed {
        /// When it will wait for a worker.
        due: Millis,
    },
    /// Waits for a worker.
    Waiting,
    /// A worker has it.
    Running {
        /// Who.
        worker: WorkerId,
        /// The lease: without renewal the worker has lost the job then.
        until: Millis,
        /// When the attempt has taken too long. No lease is longer.
        deadline: Millis,
        /// It was asked to stop.
        cancel: bool,
    },
    /// Done.
    Succeeded,
    /// Stopped because someone asked.
    Cancelled,
    /// Given up.
    Dead(Reason),
}

impl State {
    /// Whether nothing more happens, unless it is replayed.
    pub fn is_terminal(&self) -> bool {
        matches!(self, State::Succeeded | State::Cancelled | State::Dead(_))
    }
}

/// Why a job is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind, by which dead jobs are replayed.
    pub kind: Death,
    /// The last error, in the words of its connector.
    pub message: String,
}

/// A kind of death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Death {
    /// A failure that no retry mends.
    Permanent,
    /// As many failures as it may have.
    Attempts,
    /// As many workers lost as it may have.
    Crashes,
}

/// The part of a job that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it is.
    pub state: State,
    /// How often it has failed since it was submitted or replayed.
    pub attempts: u32,
    /// How often its worker was lost since then.
    pub crashes: u32,
    /// The fence of its last claim; 0 before the first.
    pub fence: u64,
}

/// What happens to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its time has come.
    Due,
    /// A worker takes it.
    Claim {
        /// Who.
        worker: WorkerId,
        /// For how long, without renewal.
        lease: Duration,
        /// A number above all before.
        fence: u64,
    },
    /// The worker still has it.
    Renew {
        /// Its claim.
        fence: u64,
        /// For how long.
        lease: Duration,
    },
    /// The worker did it.
    Succeed {
        /// Its claim.
        fence: u64,
    },
    /// The worker failed.
    Fail {
        /// Its claim.
        fence: u64,
        /// Whether a retry may mend it.
        retryable: bool,
        /// What went wrong.
        message: String,
        /// From 0 to 1: where in its range the back-off lies.
        roll: f64,
    },
    /// The worker gives it back undone: it stops, or its service is ill. Costs nothing.
    HandBack {
        /// Its claim.
        fence: u64,
    },
    /// The worker stopped it because it was asked to.
    Stopped {
        /// Its claim.
        fence: u64,
    },
    /// The lease ran out.
    Expire {
        /// As in [`Event::Fail`], for an attempt that took too long.
        roll: f64,
    },
    /// Someone wants it stopped.
    Cancel,
    /// Someone wants it tried again.
    Replay,
}

/// Why an event does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The claim is over: the job is finished, waits again, or has another claim.
    #[error("the claim is over; the worker no longer has this job")]
    Stale,
    /// Its state knows no such event.
    #[error("nothing to do for a job in this state")]
    NotNow,
}

/// The numbers of a job's life: its own, and its queue's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Failures until it is dead.
    pub max_attempts: u32,
    /// Lost workers until it is dead.
    pub max_crashes: u32,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long it waits after a failure.
    pub backoff: Backoff,
}

/// Exponential back-off with "equal jitter": half of the wait is certain, half is chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, at most.
    pub base: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Backoff {
    /// The wait after the `attempts`-th failure: `min(most, base × 2^(attempts − 1)) × (1 + roll) / 2`.
    pub fn wait(&self, attempts: u32, roll: f64) -> Duration {
        let doubled = self.base.saturating_mul(1 << attempts.saturating_sub(1).min(30));
        doubled.min(self.most).mul_f64(f64::midpoint(1.0, roll.clamp(0.0, 1.0)))
    }
}

/// What becomes of a job.
pub fn step(life: &Life, policy: &Policy, event: &Event, now: Millis) -> Result<Life, Rejection> {
    use Event as E;
    use State as S;
    let to = |state| Ok(Life { state, ..life.clone() });
    let fresh = |fence: u64| if fence == life.fence { Ok(()) } else { Err(Rejection::Stale) };
    let cancelled = matches!(life.state, S::Running { cancel: true, .. });
    match (&life.state, event) {
        (S::Delayed { due }, E::Due) if *due <= now => to(S::Waiting),
        (S::Waiting, E::Claim { worker, lease, fence }) if *fence > life.fence => {
            let deadline = now.saturating_add(ms(policy.timeout));
            let until = now.saturating_add(ms(*lease)).min(deadline);
            let state = S::Running { worker: worker.clone(), until, deadline, cancel: false };
            Ok(Life { state, fence: *fence, ..life.clone() })
        }
        (S::Running { worker, until, deadline, cancel }, E::Renew { fence, lease }) => {
            fresh(*fence)?;
            // A lease that ran out is over even if nobody has swept yet: renewing must not depend on the sweep's hour.
            if *until <= now {
                return Err(Rejection::Stale);
            }
            let until = now.saturating_add(ms(*lease)).min(*deadline);
            to(S::Running { worker: worker.clone(), until, deadline: *deadline, cancel: *cancel })
        }
        (S::Running { .. }, E::Succeed { fence }) => fresh(*fence).and_then(|()| to(S::Succeeded)),
        (S::Running { .. }, E::Stopped { fence }) => fresh(*fence).and_then(|()| to(S::Cancelled)),
        (S::Running { .. }, E::Fail { fence, retryable, message, roll }) => {
            fresh(*fence)?;
            if cancelled {
                to(S::Cancelled)
            } else {
                Ok(failed(life, policy, *retryable, message, *roll, now))
            }
        }
        (S::Running { .. }, E::HandBack { fence }) => {
            fresh(*fence)?;
            to(if cancelled { S::Cancelled } else { S::Waiting })
        }
        (S::Running { until, deadline, .. }, E::Expire { roll }) if *until <= now => {
            if cancelled {
                to(S::Cancelled)
            } else if *deadline <= now {
                Ok(failed(life, policy, true, TIMED_OUT, *roll, now))
            } else {
                let crashes = life.crashes + 1;
                let dead = crashes >= policy.max_crashes;
                let reason = Reason { kind: Death::Crashes, message: LOST.into() };
                let state = if dead { S::Dead(reason) } else { S::Waiting };
                Ok(Life { state, crashes, ..life.clone() })
            }
        }
        (S::Delayed { .. } | S::Waiting, E::Cancel) => to(S::Cancelled),
        (S::Running { worker, until, deadline, .. }, E::Cancel) => {
            to(S::Running { worker: worker.clone(), until: *until, deadline: *deadline, cancel: true })
        }
        (S::Dead(_), E::Replay) => Ok(Life { state: S::Waiting, attempts: 0, crashes: 0, fence: life.fence }),
        // Spelled out, so that a new event cannot be ignored by accident.
        (
            _,
            E::Renew { .. } | E::Succeed { .. } | E::Fail { .. } | E::HandBack { .. } | E::Stopped { .. },
        ) => Err(Rejection::Stale),
        (_, E::Due | E::Claim { .. } | E::Expire { .. } | E::Cancel | E::Replay) => Err(Rejection::NotNow),
    }
}

/// The error of an attempt that took too long.
pub(crate) const TIMED_OUT: &str = "the attempt took longer than the job's timeout";
/// The error of a job whose workers were lost.
pub(crate) const LOST: &str = "its workers were lost while they had it";

fn failed(life: &Life, policy: &Policy, retryable: bool, message: &str, roll: f64, now: Millis) -> Life {
    let attempts = life.attempts + 1;
    let dead = |kind| State::Dead(Reason { kind, message: message.into() });
    let state = if !retryable {
        dead(Death::Permanent)
    } else if attempts >= policy.max_attempts {
        dead(Death::Attempts)
    } else {
        State::Delayed { due: now.saturating_add(ms(policy.backoff.wait(attempts, roll))) }
    };
    Life { state, attempts, ..life.clone() }
}

#[cfg(test)]
mod tests;
