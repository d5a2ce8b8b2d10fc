//! Limits of keys, and what uses them.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{JobId, LimitKey};
use crate::life::Millis;
use crate::limit::{Full, Held, Limit};

#[derive(Default)]
pub(super) struct Limits {
    set: BTreeMap<LimitKey, Limit>,
    running: BTreeMap<LimitKey, BTreeSet<JobId>>,
    /// The time that the starts of a key have taken up.
    taken: BTreeMap<LimitKey, f64>,
}

impl Limits {
    pub fn set(&mut self, key: &LimitKey, limit: Option<Limit>, now: Millis) {
        let limit = limit.filter(|it| *it != Limit::default());
        // What starts have taken up under a slower rate does not count for longer than it could under this one.
        match (limit.and_then(|it| it.rate), self.taken.get_mut(key)) {
            (Some(rate), Some(taken)) => *taken = taken.min(rate.most_taken(now)),
            (None, _) => drop(self.taken.remove(key)),
            _ => {}
        }
        if let Some(limit) = limit {
            self.set.insert(key.clone(), limit);
        } else {
            self.set.remove(key);
        }
    }

    pub fn all(&self) -> Vec<(LimitKey, Limit)> {
        self.set.iter().map(|(key, limit)| (key.clone(), *limit)).collect()
    }

    /// A job of this key runs, or no longer.
    pub fn run(&mut self, key: &LimitKey, id: &JobId, runs: bool) {
        let them = self.running.entry(key.clone()).or_default();
        if runs {
            them.insert(id.clone());
        } else {
            them.remove(id);
        }
        if them.is_empty() {
            self.running.remove(key);
        }
    }

    /// A job of this key was claimed.
    pub fn start(&mut self, key: &LimitKey, now: Millis) {
        if let Some(rate) = self.set.get(key).and_then(|it| it.rate) {
            let taken = self.taken.entry(key.clone()).or_default();
            *taken = rate.start(*taken, now);
        }
    }

    fn used(&self, key: &LimitKey) -> (u64, f64) {
        let running = self.running.get(key).map_or(0, |it| it.len() as u64);
        (running, self.taken.get(key).copied().unwrap_or_default())
    }

    /// What holds the jobs of this key.
    pub fn held(&self, key: &LimitKey, now: Millis) -> Option<Held> {
        let (running, taken) = self.used(key);
        self.set.get(key)?.held(key, running, taken, now)
    }

    /// When a rate allows a job next.
    pub fn next(&self, now: Millis) -> Option<Millis> {
        let of = |(key, limit): (&LimitKey, &Limit)| {
            let (running, taken) = self.used(key);
            match limit.room(running, taken, now) {
                Err(Full::Until(at)) => Some(at),
                _ => None,
            }
        };
        self.set.iter().filter_map(of).min()
    }
}
