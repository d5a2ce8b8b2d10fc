//! The core, by table, by story and by property.

mod fleet;
mod stories;
mod table;

use std::time::Duration;

use ecosystem::StopSignal;

use super::{Backoff, Policy, Restart};

/// Round numbers: budget 3, grace 10 s, healthy within 30 s, good after 5 s, back-off from 1 s to 8 s, retry after 300 s.
fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        restart: Restart::Always,
        backoff: Backoff { first: seconds(1), ceiling: seconds(8) },
        budget: 3,
        retry_every: seconds(300),
        min_uptime: seconds(5),
        well_after: seconds(60),
        ready_within: Some(seconds(30)),
        probed: true,
        unhealthy_after: Some(2),
        memory_limit: Some(100 << 20),
        stop_signal: StopSignal::Term,
        grace: seconds(10),
    }
}
