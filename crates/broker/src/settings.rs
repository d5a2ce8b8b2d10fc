//! What is the same for all jobs of a queue. All its programs are given the same.

use std::time::Duration;

use crate::ids::QueueName;
use crate::life::{Backoff, Millis, Policy, ms};

/// A queue and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its name.
    pub queue: QueueName,
    /// How much waiting one point of priority is worth; 60 s by default. A job is never overtaken by one that came
    /// later by more than this times the difference of their priorities: the bound of its waiting.
    pub priority_step: Duration,
    /// The wait after a failure; from 1 s, at most 5 min.
    pub backoff: Backoff,
    /// Lost workers until a job is dead; 3.
    pub max_crashes: u32,
    /// How long an idempotency key holds; 1 day.
    pub key_ttl: Duration,
    /// How long a dead job can be replayed; 7 days.
    pub dead_ttl: Duration,
    /// How long the events of a job are kept after the last; 1 h.
    pub events_ttl: Duration,
    /// How long after its last claim a worker class counts as live; 1 min.
    pub class_ttl: Duration,
    /// How long after its last job was submitted a signature without waiting jobs is kept; 1 h. A job that returns later
    /// brings its signature back.
    pub signature_ttl: Duration,
    /// How many bytes of documents the unfinished jobs may have together; 256 MiB, for a Redis that has 512. With what Redis
    /// keeps beside it, a small job takes less than twice its document.
    pub byte_budget: u64,
    /// A worker that is idle, or renews its leases, looks for lost jobs this often; 2 s.
    pub sweep_every: Duration,
    /// Where chance begins, for the jitter of retries. `None`: anywhere.
    pub seed: Option<u64>,
}

impl Settings {
    /// The defaults, for this queue.
    pub fn new(queue: QueueName) -> Self {
        Self {
            queue,
            priority_step: Duration::from_mins(1),
            backoff: Backoff { base: Duration::from_secs(1), most: Duration::from_mins(5) },
            max_crashes: 3,
            key_ttl: Duration::from_hours(24),
            dead_ttl: Duration::from_hours(7 * 24),
            events_ttl: Duration::from_hours(1),
            class_ttl: Duration::from_mins(1),
            signature_ttl: Duration::from_hours(1),
            byte_budget: 256 << 20,
            sweep_every: Duration::from_secs(2),
            seed: None,
        }
    }

    pub(crate) fn policy(&self, max_attempts: u32, timeout: Duration) -> Policy {
        Policy { max_attempts, max_crashes: self.max_crashes, timeout, backoff: self.backoff }
    }

    pub(crate) fn chance(&self) -> fastrand::Rng {
        self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    /// The place of a job in its line, lowest first: when it came, less what its priority is worth. In microseconds, so
    /// that the jobs of one batch keep their order (`index` is below 1,000).
    pub(crate) fn score(&self, now: Millis, priority: i16, index: usize) -> i64 {
        let step = i64::try_from(ms(self.priority_step)).unwrap_or(i64::MAX);
        let ms = now.cast_signed().saturating_sub(step.saturating_mul(priority.into()));
        ms.saturating_mul(1000).saturating_add(i64::try_from(index % 1000).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Settings;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_later_job_overtakes_only_within_what_its_priority_is_worth(
            (early, later) in (0_u64..10_000_000, 0_u64..10_000_000), (low, high) in (-1_000_i16..1_000, -1_000_i16..1_000),
        ) {
            let settings = Settings::new("q".parse().unwrap());
            let overtakes = settings.score(early + later, high, 0) < settings.score(early, low, 0);
            let worth = (i64::from(high) - i64::from(low)) * 60_000;
            prop_assert_eq!(overtakes, later.cast_signed() < worth);
        }
    }

    #[test]
    fn a_batch_keeps_its_order_within_a_millisecond() {
        let settings = Settings::new("q".parse().unwrap());
        let scores: Vec<_> = (0..1000).map(|index| settings.score(5, 3, index)).collect();
        assert!(scores.is_sorted_by(|one, next| one < next));
        assert!(scores[999] < settings.score(6, 3, 0));
    }
}
