//! How it is with the machine as a whole: a pure function of state, event and time.
//!
//! ```text
//!              ready                   a process is down            ┌──────────────┐
//!  starting ───────────▶ healthy ─────────────────────────────────▶ │ restarting   │
//!     │                     ▲          Redis does not answer        │ reconnecting │
//!     │                     └────────────────────────────────────── │ recovering   │
//!     │ a step fails              what was wrong is over            └──────┬───────┘
//!     │                                                                    │ for too long, or no worker can work
//!     ├──────────▶ failed ◀────────────────────────────────────────────────┘
//!     │               │            any of these, when it is asked: draining
//!     ▼               ▼
//!  draining ──────▶ ended          everything has been stopped
//! ```
//!
//! Several things can be wrong at a time; the state is then named by the worst of them: reconnecting, recovering,
//! restarting, in this order.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use health::{Recovery, Stage};
use spec::notes::Exit;

/// Since the program was started.
pub(crate) type Time = Duration;

/// How long things may be wrong before the machine gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Without Redis.
    pub(crate) reconnect_within: Duration,
    /// Without enough of a resource.
    pub(crate) recover_within: Duration,
    /// Without any worker that works or is on its way.
    pub(crate) hopeless_for: Duration,
}

/// What a machine can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// Main memory, of the machine or of its control group.
    Memory,
    /// Space where the workspace is.
    Disk,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk space",
        })
    }
}

/// What is wrong with a machine that runs, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Troubles {
    /// A process that should be well is not.
    pub(crate) down: Option<Time>,
    /// No worker works, and none is on its way.
    pub(crate) hopeless: Option<Time>,
    /// Redis does not answer.
    pub(crate) redis: Option<Time>,
    /// Too little is left of these.
    pub(crate) short: BTreeMap<Resource, Time>,
}

/// Why a machine has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It did not come up.
    Stage {
        /// At what.
        stage: Stage,
        /// The exit code that the findings lead to.
        exit: Exit,
    },
    /// No worker works any more, and none will by itself.
    NothingWorks,
    /// Redis was gone for too long.
    NoRedis,
    /// What was used up did not come back.
    Exhausted(Resource),
}

impl Failure {
    /// The exit code of a machine that fails so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Stage { exit, .. } => *exit,
            Self::NothingWorks | Self::NoRedis | Self::Exhausted(_) => Exit::Unhealthy,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage { stage, .. } => write!(f, "it did not come up: {stage} failed"),
            Self::NothingWorks => f.write_str("no worker can work any more"),
            Self::NoRedis => f.write_str("Redis did not come back in time"),
            Self::Exhausted(resource) => write!(f, "{resource} ran out and did not come back in time"),
        }
    }
}

/// How it is with a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On its way up.
    Starting {
        /// How far it is.
        stage: Stage,
        /// What is wrong meanwhile. Processes that are down are not: they are on their way up too.
        troubles: Troubles,
    },
    /// It has been up, and is unless something is wrong.
    Running(Troubles),
    /// No job is claimed any more.
    Draining {
        /// By killing everything.
        forced: bool,
    },
    /// It gives up: everything is stopped.
    Failed {
        /// Why.
        why: Failure,
        /// By killing it.
        forced: bool,
    },
    /// Nothing runs any more.
    Ended {
        /// With this.
        exit: Exit,
    },
}

/// What can happen to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The start has come to this.
    Reached(Stage),
    /// It cannot be done, which leads to this exit code.
    StageFailed(Exit),
    /// Something that it needs has gone or come back.
    News(News),
    /// Somebody wants it to end when it has done what it has at hand.
    Drain,
    /// A signal asks it to end. The second one means: now.
    Signal,
    /// Every process has ended.
    AllEnded {
        /// So many could not be ended.
        left: usize,
    },
    /// Time has passed.
    Tick,
}

/// What is heard of what a machine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// What its processes do.
    Processes(Census),
    /// Redis does not answer.
    RedisLost,
    /// It does again.
    RedisBack,
    /// Too little is left.
    Short(Resource),
    /// Enough is there again.
    Enough(Resource),
}

/// What the processes of a machine do, counted. What somebody has stopped on purpose does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Services, and what sets them up, that are not well.
    pub(crate) down: usize,
    /// Workers that work.
    pub(crate) working: usize,
    /// Workers that are on their way.
    pub(crate) coming: usize,
    /// Workers that do not work, and will not by themselves.
    pub(crate) lost: usize,
}

impl Census {
    /// Whether everything does what it is there for.
    pub(crate) fn is_well(self) -> bool {
        self.down == 0 && self.coming == 0 && self.lost == 0
    }

    fn is_hopeless(self) -> bool {
        self.lost > 0 && self.working == 0 && self.coming == 0
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Tell everybody that it is up.
    AnnounceReady,
    /// Tell everybody that it goes down.
    AnnounceShutdown,
    /// Ask the workers to stop: they finish or hand back what they have.
    StopWorkers,
    /// Start the workers that are down.
    StartWorkers,
    /// Stop everything, workers first, each within its grace.
    StopAll,
    /// Kill everything.
    KillAll,
    /// End with this.
    End(Exit),
}

/// The next state, and what is to be done.
pub(crate) fn step(policy: &Policy, state: State, event: &Event, now: Time) -> (State, Vec<Effect>) {
    use Effect::{AnnounceReady, AnnounceShutdown, End, KillAll, StopAll, StopWorkers};
    let failed = |why| (State::Failed { why, forced: false }, vec![AnnounceShutdown, StopAll]);
    match (state, event) {
        (State::Starting { stage, troubles }, Event::Reached(next)) if *next > stage => match next {
            Stage::Running if troubles.short.is_empty() => (State::Running(troubles), vec![AnnounceReady]),
            Stage::Running => (State::Running(troubles), vec![AnnounceReady, StopWorkers]),
            _ => (State::Starting { stage: *next, troubles }, vec![]),
        },
        (State::Starting { stage, .. }, Event::StageFailed(exit)) => {
            failed(Failure::Stage { stage, exit: *exit })
        }
        (State::Starting { stage, mut troubles }, Event::News(news)) => {
            // Nobody is there yet who could be relieved; and who is not up yet is not down.
            troubles.hear(*news, now);
            troubles.down = None;
            (State::Starting { stage, troubles }, vec![])
        }
        (State::Running(mut troubles), Event::News(news)) => {
            let effect = troubles.hear(*news, now);
            (State::Running(troubles), effect.into_iter().collect())
        }
        (State::Starting { troubles, .. } | State::Running(troubles), Event::Tick)
            if let Some(why) = troubles.too_long(policy, now) =>
        {
            failed(why)
        }
        (State::Starting { .. } | State::Running(_), Event::Drain | Event::Signal) => {
            (State::Draining { forced: false }, vec![AnnounceShutdown, StopAll])
        }
        (State::Draining { forced: false }, Event::Signal) => {
            (State::Draining { forced: true }, vec![KillAll])
        }
        (State::Failed { why, forced: false }, Event::Signal) => {
            (State::Failed { why, forced: true }, vec![KillAll])
        }
        // Somebody has stopped the processes past us.
        (State::Starting { .. } | State::Running(_), Event::AllEnded { left }) => {
            let exit = clean(*left == 0);
            (State::Ended { exit }, vec![AnnounceShutdown, End(exit)])
        }
        (State::Draining { forced }, Event::AllEnded { left }) => {
            let exit = clean(*left == 0 && !forced);
            (State::Ended { exit }, vec![End(exit)])
        }
        (State::Failed { why, .. }, Event::AllEnded { .. }) => {
            let exit = why.exit();
            (State::Ended { exit }, vec![End(exit)])
        }
        // Spelled out, so that a new event cannot be ignored by accident.
        (state @ State::Starting { .. }, Event::Reached(_) | Event::Tick)
        | (state @ State::Running(_), Event::Reached(_) | Event::StageFailed(_) | Event::Tick)
        | (
            state @ (State::Draining { .. } | State::Failed { .. }),
            Event::Reached(_)
            | Event::StageFailed(_)
            | Event::News(_)
            | Event::Drain
            | Event::Signal
            | Event::Tick,
        )
        | (
            state @ State::Ended { .. },
            Event::Reached(_)
            | Event::StageFailed(_)
            | Event::News(_)
            | Event::Drain
            | Event::Signal
            | Event::AllEnded { .. }
            | Event::Tick,
        ) => (state, vec![]),
    }
}

fn clean(is: bool) -> Exit {
    if is { Exit::Ok } else { Exit::Error }
}

impl Troubles {
    /// Takes in what is heard; says what that asks for.
    fn hear(&mut self, news: News, now: Time) -> Option<Effect> {
        match news {
            News::Processes(census) => {
                self.down = (!census.is_well()).then(|| self.down.unwrap_or(now));
                // Without Redis no worker can work: that is not their fault.
                let hopeless = census.is_hopeless() && self.redis.is_none() && self.short.is_empty();
                self.hopeless = hopeless.then(|| self.hopeless.unwrap_or(now));
                None
            }
            News::RedisLost => {
                self.redis.get_or_insert(now);
                self.hopeless = None;
                None
            }
            // Workers that have given up meanwhile are worth a try.
            News::RedisBack => {
                self.redis.take().and_then(|_| self.short.is_empty().then_some(Effect::StartWorkers))
            }
            News::Short(resource) => {
                let first = self.short.is_empty();
                self.short.entry(resource).or_insert(now);
                self.hopeless = None;
                first.then_some(Effect::StopWorkers)
            }
            News::Enough(resource) => {
                let last = self.short.remove(&resource).is_some() && self.short.is_empty();
                last.then_some(Effect::StartWorkers)
            }
        }
    }

    /// What has been wrong for too long, the worst first.
    fn too_long(&self, policy: &Policy, now: Time) -> Option<Failure> {
        let since = |at: &Time, most| now.saturating_sub(*at) >= most;
        if self.redis.as_ref().is_some_and(|at| since(at, policy.reconnect_within)) {
            return Some(Failure::NoRedis);
        }
        if let Some((resource, _)) = self.short.iter().find(|(_, at)| since(at, policy.recover_within)) {
            return Some(Failure::Exhausted(*resource));
        }
        self.hopeless
            .as_ref()
            .is_some_and(|at| since(at, policy.hopeless_for))
            .then_some(Failure::NothingWorks)
    }
}

impl State {
    /// How far it is; a machine that goes down drains until its workers have ended, which only its processes can tell.
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self::Starting { stage, .. } => *stage,
            Self::Running(_) => Stage::Running,
            Self::Draining { .. } | Self::Failed { .. } => Stage::Draining,
            Self::Ended { .. } => Stage::Stopping,
        }
    }

    /// What it recovers from: the worst of what is wrong.
    pub(crate) fn recovery(&self) -> Recovery {
        match self {
            Self::Failed { .. } => Recovery::Failed,
            // It ends as it was.
            Self::Ended { exit } if *exit != Exit::Ok => Recovery::Failed,
            Self::Starting { troubles, .. } | Self::Running(troubles) if troubles.redis.is_some() => {
                Recovery::Reconnecting
            }
            Self::Starting { troubles, .. } | Self::Running(troubles) if !troubles.short.is_empty() => {
                Recovery::ResourceRecovery
            }
            Self::Running(troubles) if troubles.down.is_some() => Recovery::Restarting,
            Self::Starting { .. } | Self::Running(_) | Self::Draining { .. } | Self::Ended { .. } => {
                Recovery::Healthy
            }
        }
    }
}

#[cfg(test)]
mod tests;
