//! How one process is treated: the numbers of its app, and those that are the same for all.

use std::time::Duration;

use ecosystem::{App, StopSignal};

/// Failed looks in a row after which an unhealthy process is replaced (Kubernetes' `failureThreshold`): a quarter of a
/// minute, as a server that loads a large model is deaf for a while.
pub(crate) const UNHEALTHY_AFTER: u32 = 5;
/// Healthy for this long, a run was good even if it had to be ended by us.
const WELL_AFTER: Duration = Duration::from_mins(1);
/// The longest wait between two starts before the budget is used up (PM2's ceiling).
const BACKOFF_CEILING: Duration = Duration::from_secs(15);
/// Between the tries of a process that has failed. It is slow so that a broken process costs nothing, and never
/// infinite: what it lacked (a download, a database) may come back without anybody noticing the process.
const RETRY_EVERY: Duration = Duration::from_mins(5);

/// How one process is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is started again when it ends.
    pub restart: Restart,
    /// The waits between starts without success.
    pub backoff: Backoff,
    /// Starts without success in a row after which it counts as failed.
    pub budget: u32,
    /// Between the starts of a failed process.
    pub retry_every: Duration,
    /// Healthy for this long, a start was a success.
    pub min_uptime: Duration,
    /// The same for a run that we had to end because of its health, its memory or its start-up deadline.
    pub well_after: Duration,
    /// From the start to healthy; `None`: no limit.
    pub ready_within: Option<Duration>,
    /// Whether anyone looks at it. If not, it is healthy for as long as it runs.
    pub probed: bool,
    /// Failed looks in a row after which it is replaced; `None`: its probe `live` says when.
    pub unhealthy_after: Option<u32>,
    /// Bytes of memory above which it is replaced.
    pub memory_limit: Option<u64>,
    /// The ask to stop.
    pub stop_signal: StopSignal,
    /// Between the ask and the kill.
    pub grace: Duration,
}

/// Whether a process is started again when it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// Unless it ended with 0.
    OnFailure,
    /// Whatever it ended with.
    Always,
}

/// The waits between starts without success: `first`, then twice as long each time, never above `ceiling`. Of each
/// wait, half is chance, so that processes that died together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second start.
    pub first: Duration,
    /// The longest.
    pub ceiling: Duration,
}

impl Policy {
    /// Of an app that runs for as long as the machine does.
    pub fn of_app(app: &App) -> Self {
        let millis = |it: u32| Duration::from_millis(it.into());
        Self {
            restart: if app.autorestart { Restart::Always } else { Restart::No },
            backoff: Backoff { first: millis(app.exp_backoff_restart_delay), ceiling: BACKOFF_CEILING },
            budget: app.max_restarts.max(1),
            retry_every: RETRY_EVERY,
            min_uptime: millis(app.min_uptime),
            well_after: millis(app.min_uptime).max(WELL_AFTER),
            ready_within: app.roster.ready_within_s.map(|it| Duration::from_secs(it.into())),
            probed: app.roster.probes.is_some(),
            unhealthy_after: (app.roster.probes.as_ref())
                .is_none_or(|it| it.live.is_none())
                .then_some(UNHEALTHY_AFTER),
            memory_limit: app.max_memory_restart,
            stop_signal: app.roster.stop_signal,
            grace: millis(app.kill_timeout),
        }
    }

    /// Of a one-shot: it is tried again until it has ended with 0.
    pub fn of_setup(app: &App) -> Self {
        Self { restart: Restart::OnFailure, ..Self::of_app(app) }
    }
}
