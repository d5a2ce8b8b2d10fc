//! Limits of the jobs that share a key: so many at once, so many in a time.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::LimitKey;
use crate::life::{Millis, ms};

/// What the jobs of one key may do. What is `None` is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// At most so many run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// They start no faster than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// So many starts in a time: evenly, and up to `jobs` at once after a pause. In any span of time `t` there are at most
/// `jobs + t × jobs / per` starts (the generic cell rate algorithm, ITU-T I.371, with a tolerance of `jobs − 1` cells).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many.
    pub jobs: NonZeroU32,
    /// In how long.
    pub per: Duration,
}

/// The limit that holds a job back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The job's key.
    pub key: LimitKey,
    /// Its limit.
    pub limit: Limit,
    /// How many jobs of the key run.
    pub running: u64,
    /// When the rate allows the next, if it is the rate that holds it.
    pub until: Option<Millis>,
}

/// Why a job may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many run as may.
    Running,
    /// Until then.
    Until(Millis),
}

impl Rate {
    /// The time that one start takes up, and how far starts may be ahead of it, in ms.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
    fn cells(self) -> (f64, f64) {
        let jobs = f64::from(self.jobs.get());
        let each = ms(self.per) as f64 / jobs;
        (each, each * (jobs - 1.0))
    }

    /// The time that all starts have taken up, after one more.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
    pub(crate) fn start(self, taken: f64, now: Millis) -> f64 {
        taken.max(now as f64) + self.cells().0
    }

    /// The most that starts until now can have taken up.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
    pub(crate) fn most_taken(self, now: Millis) -> f64 {
        now.saturating_add(ms(self.per)) as f64
    }
}

impl Limit {
    /// Whether one more may start while so many run, and starts have taken up the time until `taken`. The same as `room` in
    /// queue.lua.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a date behind now")]
    pub(crate) fn room(&self, running: u64, taken: f64, now: Millis) -> Result<(), Full> {
        if self.concurrency.is_some_and(|most| running >= u64::from(most.get())) {
            return Err(Full::Running);
        }
        let begins = self.rate.map_or(0.0, |rate| taken - rate.cells().1);
        if begins > now as f64 { Err(Full::Until(begins.ceil() as Millis)) } else { Ok(()) }
    }

    /// What of `key` holds a job now.
    pub(crate) fn held(&self, key: &LimitKey, running: u64, taken: f64, now: Millis) -> Option<Held> {
        let until = match self.room(running, taken, now) {
            Ok(()) => return None,
            Err(Full::Running) => None,
            Err(Full::Until(at)) => Some(at),
        };
        Some(Held { key: key.clone(), limit: *self, running, until })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn starts_never_outrun_their_rate_and_a_refusal_names_the_first_time_that_is_free(
            jobs in 1_u32..20, per in 1_u64..5_000, steps in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let rate = Rate { jobs: NonZeroU32::new(jobs).unwrap(), per: Duration::from_millis(per) };
            let limit = Limit { concurrency: None, rate: Some(rate) };
            let (mut now, mut taken, mut starts) = (1_000, 0.0, Vec::new());
            for step in steps {
                now += step;
                match limit.room(0, taken, now) {
                    Ok(()) => {
                        taken = rate.start(taken, now);
                        starts.push(now);
                    }
                    Err(full) => {
                        let Full::Until(at) = full else { panic!("nothing runs") };
                        prop_assert!(now < at && limit.room(0, taken, at).is_ok());
                        prop_assert!(limit.room(0, taken, at - 1).is_err());
                    }
                }
            }
            for (first, from) in starts.iter().enumerate() {
                for (last, to) in starts.iter().enumerate().skip(first) {
                    let most = u64::from(jobs) + (to - from) * u64::from(jobs) / per;
                    prop_assert!(((last - first) as u64) < most);
                }
            }
        }
    }
}
