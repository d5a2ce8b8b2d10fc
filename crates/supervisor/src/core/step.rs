//! The transition: what follows from an event.

use std::time::Duration;

use super::backoff;
use super::policy::{Policy, Restart};
use super::state::{Effect, End, Event, Exit, Level, Process, ProcessState, Purpose, Run, Time, Trouble};

use Event as E;
use ProcessState as S;

/// The process after `event`, and what is to be done about it.
pub fn step(policy: &Policy, process: Process, event: Event, now: Time) -> (Process, Option<Effect>) {
    let Process { state, streak, starts, seed } = process;
    let mut next = Next { policy, now, streak, starts, seed, effect: None };
    let state = next.state(state, event);
    (Process { state, streak: next.streak, starts: next.starts, seed: next.seed }, next.effect)
}

struct Next<'a> {
    policy: &'a Policy,
    now: Time,
    streak: u32,
    starts: u64,
    seed: u64,
    effect: Option<Effect>,
}

impl Next<'_> {
    #[expect(clippy::too_many_lines, clippy::match_same_arms, reason = "one table, read by what happens")]
    fn state(&mut self, state: S, event: E) -> S {
        match (state, event) {
            // Somebody wants it to run.
            (S::Waiting | S::Exited { .. }, E::Start)
            | (S::Exited { .. }, E::Restart)
            | (S::BackingOff { .. } | S::Failed { .. }, E::Start | E::Restart) => self.afresh(),
            (S::Launching { .. }, E::Start | E::Restart) => S::Launching { abort: false },
            (S::Running { run, .. }, E::Restart) => self.ask(run, Purpose::Restart),
            (S::Stopping { run, kill_at, .. }, E::Start | E::Restart) => {
                S::Stopping { run, kill_at, purpose: Purpose::Restart }
            }
            (S::Killing { run, .. }, E::Start | E::Restart) => S::Killing { run, purpose: Purpose::Restart },
            (S::Sweeping { .. }, E::Start | E::Restart) => S::Sweeping { purpose: Purpose::Restart },

            // Somebody wants it down.
            (S::Waiting | S::BackingOff { .. } | S::Failed { .. }, E::Stop) => {
                S::Exited { end: End::Stopped }
            }
            (S::Launching { .. }, E::Stop) => S::Launching { abort: true },
            (S::Running { run, .. }, E::Stop) => self.ask(run, Purpose::Stop),
            (S::Stopping { run, kill_at, .. }, E::Stop) => {
                S::Stopping { run, kill_at, purpose: Purpose::Stop }
            }
            (S::Killing { run, .. }, E::Stop) => S::Killing { run, purpose: Purpose::Stop },
            (S::Sweeping { .. }, E::Stop) => S::Sweeping { purpose: Purpose::Stop },

            // The launcher answers.
            (S::Launching { abort }, E::Launched(pid)) => {
                let run = Run { pid, since: self.now };
                if abort {
                    self.ask(run, Purpose::Stop)
                } else {
                    S::Running { run, level: self.first_level() }
                }
            }
            (S::Launching { abort: true }, E::NotLaunched(_)) => S::Exited { end: End::Stopped },
            (S::Launching { abort: false }, E::NotLaunched(why)) => {
                self.replace(Trouble::NotLaunched(why), Duration::ZERO)
            }

            // The kernel says that it is dead.
            (S::Running { level, .. }, E::Died(exit)) => {
                let purpose = Purpose::Replace { trouble: Trouble::Ended(exit), well: self.well(level) };
                self.sweep(self.now, purpose)
            }
            (S::Stopping { kill_at, purpose, .. }, E::Died(_)) => self.sweep(kill_at, purpose),
            (S::Killing { purpose, .. }, E::Died(_)) => self.sweep(self.now, purpose),
            (S::Sweeping { purpose: Purpose::Stop }, E::Swept) => S::Exited { end: End::Stopped },
            (S::Sweeping { purpose: Purpose::Restart }, E::Swept) => self.afresh(),
            (S::Sweeping { purpose: Purpose::Replace { trouble, well } }, E::Swept) => {
                self.replace(trouble, well)
            }

            // Somebody looked at it.
            (S::Running { run, level: Level::Started { deadline } }, E::Ready) => {
                S::Running { run, level: Level::Ready { deadline } }
            }
            (
                S::Running {
                    run,
                    level: Level::Started { .. } | Level::Ready { .. } | Level::Unhealthy { .. },
                },
                E::Healthy,
            ) => S::Running { run, level: Level::Healthy { since: self.now } },
            (
                S::Running { run, level: level @ (Level::Healthy { .. } | Level::Unhealthy { .. }) },
                E::Unhealthy,
            ) => self.unhealthy(run, level),
            (S::Running { run, level }, E::NotLive(looks)) => {
                self.trouble(run, level, Trouble::NotLive(looks))
            }
            (S::Running { run, level }, E::Memory(bytes)) => match self.policy.memory_limit {
                Some(limit) if bytes > limit => self.trouble(run, level, Trouble::Memory { bytes, limit }),
                _ => S::Running { run, level },
            },

            // Time passes.
            (state, E::Tick) if state.wakes_at().is_some_and(|at| at <= self.now) => self.due(state),

            // Spelled out, so that a new event or state cannot be ignored by accident.
            (state @ S::Running { .. }, E::Start | E::Ready | E::Healthy | E::Unhealthy)
            | (state @ S::Waiting, E::Restart)
            | (state @ S::Exited { .. }, E::Stop)
            | (
                state @ (S::Waiting
                | S::Running { .. }
                | S::Stopping { .. }
                | S::Killing { .. }
                | S::Sweeping { .. }
                | S::BackingOff { .. }
                | S::Failed { .. }
                | S::Exited { .. }),
                E::Launched(_) | E::NotLaunched(_),
            )
            | (
                state @ (S::Waiting
                | S::Launching { .. }
                | S::Sweeping { .. }
                | S::BackingOff { .. }
                | S::Failed { .. }
                | S::Exited { .. }),
                E::Died(_),
            )
            | (
                state @ (S::Waiting
                | S::Launching { .. }
                | S::Running { .. }
                | S::Stopping { .. }
                | S::Killing { .. }
                | S::BackingOff { .. }
                | S::Failed { .. }
                | S::Exited { .. }),
                E::Swept,
            )
            | (
                state @ (S::Waiting
                | S::Launching { .. }
                | S::Stopping { .. }
                | S::Killing { .. }
                | S::Sweeping { .. }
                | S::BackingOff { .. }
                | S::Failed { .. }
                | S::Exited { .. }),
                E::Ready | E::Healthy | E::Unhealthy | E::NotLive(_) | E::Memory(_),
            )
            | (state, E::Tick) => state,
        }
    }

    /// What was to happen at this moment.
    fn due(&mut self, state: S) -> S {
        match state {
            S::Running { run, level } => {
                let within = self.now.saturating_sub(run.since);
                self.trouble(run, level, Trouble::NotHealthyWithin(within))
            }
            S::Stopping { run, purpose, .. } => {
                self.effect = Some(Effect::Kill(run.pid));
                S::Killing { run, purpose }
            }
            S::BackingOff { .. } | S::Failed { .. } => self.launch(),
            S::Waiting | S::Launching { .. } | S::Killing { .. } | S::Sweeping { .. } | S::Exited { .. } => {
                state
            }
        }
    }

    /// A start that somebody asked for: what was before does not count.
    fn afresh(&mut self) -> S {
        self.streak = 0;
        self.launch()
    }

    fn launch(&mut self) -> S {
        self.starts += 1;
        self.effect = Some(Effect::Launch);
        S::Launching { abort: false }
    }

    fn first_level(&self) -> Level {
        if self.policy.probed {
            Level::Started { deadline: self.policy.ready_within.map(|it| self.now + it) }
        } else {
            Level::Healthy { since: self.now }
        }
    }

    fn ask(&mut self, run: Run, purpose: Purpose) -> S {
        self.effect = Some(Effect::Ask(run.pid, self.policy.stop_signal));
        S::Stopping { run, kill_at: self.now + self.policy.grace, purpose }
    }

    fn trouble(&mut self, run: Run, level: Level, trouble: Trouble) -> S {
        let well = self.well(level);
        self.ask(run, Purpose::Replace { trouble, well })
    }

    fn unhealthy(&mut self, run: Run, level: Level) -> S {
        let before = if let Level::Unhealthy { failures, .. } = level { failures } else { 0 };
        let level = Level::Unhealthy { failures: before + 1, well: self.well(level) };
        if self.policy.unhealthy_after.is_some_and(|it| before + 1 >= it) {
            self.trouble(run, level, Trouble::Unhealthy(before + 1))
        } else {
            S::Running { run, level }
        }
    }

    /// How long it was healthy.
    fn well(&self, level: Level) -> Duration {
        match level {
            Level::Started { .. } | Level::Ready { .. } => Duration::ZERO,
            Level::Healthy { since } => self.now.saturating_sub(since),
            Level::Unhealthy { well, .. } => well,
        }
    }

    fn sweep(&mut self, kill_at: Time, purpose: Purpose) -> S {
        self.effect = Some(Effect::Sweep { kill_at });
        S::Sweeping { purpose }
    }

    /// Nothing of it is left: whether and when it is started again.
    fn replace(&mut self, trouble: Trouble, well: Duration) -> S {
        let completed = trouble == Trouble::Ended(Exit::Code(0));
        match self.policy.restart {
            Restart::No | Restart::OnFailure if completed => return S::Exited { end: End::Completed },
            Restart::No => return S::Exited { end: End::Gone(trouble) },
            Restart::OnFailure | Restart::Always => {}
        }
        let enough = match trouble {
            Trouble::Ended(_) => self.policy.min_uptime,
            Trouble::NotLaunched(_)
            | Trouble::NotHealthyWithin(_)
            | Trouble::Unhealthy(_)
            | Trouble::NotLive(_)
            | Trouble::Memory { .. } => self.policy.well_after,
        };
        // Nothing is a success that was never healthy, even if `min_uptime` is 0.
        let success = well >= enough && !well.is_zero();
        self.streak = if success { 0 } else { self.streak.saturating_add(1) };
        if self.streak >= self.policy.budget {
            return S::Failed { trouble, retry_at: self.now + self.policy.retry_every };
        }
        if success {
            return self.launch();
        }
        let (chance, seed) = backoff::next(self.seed);
        self.seed = seed;
        S::BackingOff { until: self.now + self.policy.backoff.delay(self.streak, chance), trouble }
    }
}
