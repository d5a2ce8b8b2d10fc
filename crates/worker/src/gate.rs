//! Whether anything is claimed for a service: only while it is well.
//!
//! A service begins in doubt, and is in doubt again after a failure that speaks of it. It is then looked at, with
//! growing pauses as long as it fails: a service that says that it is well and then fails each job must not eat the queue.

use std::time::Duration;

use crate::lease::Time;

/// The pause after the first failure; it doubles with each that follows.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether anything is claimed for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    closed: bool,
    /// Not before, whatever a look says: the service asked for it.
    not_before: Time,
    /// The next look. `None`: one is under way.
    look_at: Option<Time>,
    /// Failures since the last job that was done.
    strikes: u32,
}

impl Gate {
    /// In doubt, to be looked at now.
    pub fn new() -> Self {
        Self { closed: true, not_before: Time::ZERO, look_at: Some(Time::ZERO), strikes: 0 }
    }

    /// Whether jobs may be claimed.
    pub fn is_open(&self, now: Time) -> bool {
        !self.closed && self.not_before <= now
    }

    /// When something happens by itself.
    pub fn wakes_at(&self, now: Time) -> Option<Time> {
        let rests = Some(self.not_before).filter(|it| *it > now);
        [self.look_at, rests].into_iter().flatten().min()
    }

    /// Whether it is to be looked at now; if so, a look is under way.
    pub fn look(&mut self, now: Time) -> bool {
        let due = self.look_at.is_some_and(|it| it <= now);
        if due {
            self.look_at = None;
        }
        due
    }

    /// What a look found. `every` is the pause while it is well.
    pub fn looked(&mut self, well: bool, every: Duration, now: Time) {
        if well {
            self.closed = false;
            self.look_at = Some(now + every);
        } else {
            self.doubt(now);
        }
    }

    /// A job was done: it is well.
    pub fn done(&mut self) {
        self.strikes = 0;
    }

    /// It asked to be left alone for a while.
    pub fn rest(&mut self, pause: Duration, now: Time) {
        self.not_before = self.not_before.max(now + pause);
    }

    /// It is in doubt: a look or a job failed.
    pub fn doubt(&mut self, now: Time) {
        let pause = FIRST.saturating_mul(1 << self.strikes.min(10)).min(LONGEST);
        self.strikes = self.strikes.saturating_add(1);
        self.closed = true;
        self.look_at = Some(now + pause);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_service_is_looked_at_before_the_first_claim() {
        let mut gate = Gate::new();
        assert!(!gate.is_open(s(0.0)) && gate.look(s(0.0)) && !gate.look(s(0.0)));
        gate.looked(true, EVERY, s(1.0));
        assert!(gate.is_open(s(1.0)));
        assert_eq!(gate.wakes_at(s(1.0)), Some(s(11.0)));
    }

    #[test]
    fn a_service_that_looks_well_and_fails_each_job_is_asked_ever_less_often() {
        let (mut gate, mut now, mut pauses) = (Gate::new(), s(0.0), vec![]);
        for _ in 0..8 {
            gate.looked(true, EVERY, now);
            gate.doubt(now);
            let next = gate.wakes_at(now).unwrap();
            pauses.push(next.saturating_sub(now).as_secs_f64());
            now = next;
        }
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        gate.looked(true, EVERY, now);
        gate.done();
        gate.doubt(now);
        assert_eq!(gate.wakes_at(now), Some(now + s(0.5)));
    }

    #[test]
    fn a_service_that_asked_for_rest_gets_it_even_if_it_looks_well() {
        let mut gate = Gate::new();
        gate.looked(true, EVERY, s(0.0));
        gate.rest(s(20.0), s(1.0));
        gate.rest(s(2.0), s(2.0));
        gate.looked(true, EVERY, s(3.0));
        assert!(!gate.is_open(s(20.9)));
        assert_eq!(gate.wakes_at(s(20.9)), Some(s(13.0)));
        assert!(gate.is_open(s(21.0)));
    }
}
