//! What a worker does about one job that it has: a pure function of state, event and time.
//!
//! ```text
//!            ┌────────── cancel, deadline, lease lost, shutdown ──────────┐
//!            │                                                           ▼
//!  Running ──┴── the connector ends ──▶ Ended ◀── the connector ends ── Stopping ── patience over ──▶ Abandoned
//! ```
//!
//! Times are from the worker's own clock. A lease counts from before the call that asked for it, so that the worker
//! believes to have a job for no longer than the broker does.

use std::time::Duration;

use crate::connector::Stop;

/// A moment, as the time since the worker began.
pub type Time = Duration;

/// A job that a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What the worker does about it.
    pub state: State,
    /// When its lease runs out, unless it is renewed.
    pub until: Time,
    /// When it has to stop by itself: its deadline, or the end of the worker's grace.
    pub stop_at: Time,
    /// Why, then.
    pub stop_why: Stop,
}

/// What the worker does about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The connector does it.
    Running,
    /// The connector was asked to stop.
    Stopping {
        /// The reason that counts when it has.
        why: Stop,
        /// When it has had its time to.
        give_up_at: Time,
    },
    /// The connector did not stop. It was cut off, and its service is in doubt.
    Abandoned {
        /// Why it was to stop.
        why: Stop,
    },
    /// The connector has ended.
    Ended {
        /// Why it was to stop, if it was.
        why: Option<Stop>,
    },
}

/// What happens to a job that a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time went by.
    Tick,
    /// The lease was renewed.
    Renewed {
        /// Until then.
        until: Time,
    },
    /// Someone asked to stop it.
    Cancelled,
    /// The broker says that the worker has it no longer.
    Lost,
    /// The worker ends, and the job may go on until then.
    Shutdown {
        /// The end of the grace.
        at: Time,
    },
    /// The connector has ended.
    Done,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the connector to stop.
    Stop(Stop),
    /// Cut the connector off, and look after its service.
    Abandon,
}

impl Held {
    /// A job that was just claimed.
    pub fn new(until: Time, deadline: Time) -> Self {
        Self { state: State::Running, until, stop_at: deadline, stop_why: Stop::Deadline }
    }

    /// When something happens by itself.
    pub fn wakes_at(&self) -> Option<Time> {
        match self.state {
            State::Running => Some(self.until.min(self.stop_at)),
            State::Stopping { why: Stop::LeaseLost, give_up_at } => Some(give_up_at),
            State::Stopping { give_up_at, .. } => Some(give_up_at.min(self.until)),
            State::Abandoned { .. } | State::Ended { .. } => None,
        }
    }

    /// Whether its lease is to be renewed: the job is with its connector, and ours.
    pub fn is_leased(&self) -> bool {
        match self.state {
            State::Running => true,
            State::Stopping { why, .. } => why != Stop::LeaseLost,
            State::Abandoned { .. } | State::Ended { .. } => false,
        }
    }
}

/// What becomes of a job that a worker has. `patience` is how long a connector may take to stop.
pub fn step(held: Held, event: Event, patience: Duration, now: Time) -> (Held, Option<Effect>) {
    use Event as E;
    use State as S;
    let stop = |why| {
        let state = S::Stopping { why, give_up_at: now + patience };
        (Held { state, ..held }, Some(Effect::Stop(why)))
    };
    let lost = |give_up_at| {
        let state = S::Stopping { why: Stop::LeaseLost, give_up_at };
        (Held { state, ..held }, None)
    };
    match (held.state, event) {
        (S::Running, E::Tick) if held.until <= now => stop(Stop::LeaseLost),
        (S::Running, E::Tick) if held.stop_at <= now => stop(held.stop_why),
        (S::Running, E::Lost) => stop(Stop::LeaseLost),
        (S::Running, E::Cancelled) => stop(Stop::Cancelled),
        (S::Running, E::Shutdown { at }) if at <= now => stop(Stop::Shutdown),
        (S::Running, E::Shutdown { at }) if at < held.stop_at => {
            (Held { stop_at: at, stop_why: Stop::Shutdown, ..held }, None)
        }
        (S::Stopping { why, .. }, E::Tick) if wins(why, held.until, now) => {
            let S::Stopping { give_up_at, .. } = held.state else { return (held, None) };
            lost(give_up_at)
        }
        (S::Stopping { give_up_at, .. }, E::Lost) => lost(give_up_at),
        (S::Stopping { why, give_up_at }, E::Tick) if give_up_at <= now => {
            (Held { state: S::Abandoned { why }, ..held }, Some(Effect::Abandon))
        }
        (S::Running | S::Stopping { .. }, E::Renewed { until }) => (Held { until, ..held }, None),
        (S::Running, E::Done) => (Held { state: S::Ended { why: None }, ..held }, None),
        (S::Stopping { why, .. }, E::Done) => (Held { state: S::Ended { why: Some(why) }, ..held }, None),
        // Spelled out, so that a new event cannot be ignored by accident: ticks that come early, a second wish to stop,
        // a shutdown later than the deadline, and whatever comes after the end.
        (S::Running | S::Stopping { .. }, E::Tick | E::Cancelled | E::Shutdown { .. })
        | (
            S::Abandoned { .. } | S::Ended { .. },
            E::Tick | E::Renewed { .. } | E::Cancelled | E::Lost | E::Shutdown { .. } | E::Done,
        ) => (held, None),
    }
}

/// Whether a lease ran out while the job was stopping for another reason.
fn wins(why: Stop, until: Time, now: Time) -> bool {
    why != Stop::LeaseLost && until <= now
}

#[cfg(test)]
mod tests;
