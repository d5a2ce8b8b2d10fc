//! What a worker has done.

use broker::Outcome;
use serde::{Deserialize, Serialize};

/// How many jobs ended how, as the broker has heard it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Claimed.
    pub claimed: u64,
    /// Done.
    pub succeeded: u64,
    /// Failed, to be tried again or for good.
    pub failed: u64,
    /// Given back undone.
    pub handed_back: u64,
    /// Stopped because someone asked.
    pub stopped: u64,
    /// Lost to another worker while they ran.
    pub lost: u64,
    /// Reported too late.
    pub stale: u64,
    /// Cut off because they did not stop.
    pub abandoned: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Success(_) => &mut self.succeeded,
            Outcome::Failure { .. } => &mut self.failed,
            Outcome::HandBack => &mut self.handed_back,
            Outcome::Stopped => &mut self.stopped,
        };
        *counter += 1;
    }
}
