//! Those who gave an order and wait for what comes of it.

use std::time::Duration;

use spec::ids::ProcessName;
use tokio::sync::oneshot;

use crate::board::Board;
use crate::control::protocol::{Deed, Ended, Outcome, Report};
use crate::core::{End, Gate, Level, ProcessState};
use crate::launcher::Launcher;
use crate::refusal::Refusal;

/// Nobody looks at a process without probes: it has come up once it has lived for so long (supervisord's `startsecs`).
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Between two looks at those who wait, if nothing happens.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

type Reply = oneshot::Sender<Result<Report, Vec<Refusal>>>;

/// Somebody who waits for the end of an order.
#[derive(Debug)]
pub(crate) struct Waiter {
    goals: Vec<Goal>,
    unchanged: Option<usize>,
    /// `None` once it has been answered.
    reply: Option<Reply>,
    wait: bool,
}

/// What an order wants of one process.
#[derive(Debug)]
pub(crate) struct Goal {
    pub name: ProcessName,
    pub deed: Deed,
    pub named: bool,
    /// How often something was asked of it, this order included: a later one makes this one void.
    pub asks: u64,
}

impl Waiter {
    pub(crate) fn new(goals: Vec<Goal>, unchanged: Option<usize>, wait: bool, reply: Reply) -> Self {
        Self { goals, unchanged, reply: Some(reply), wait }
    }

    /// Whether it need not be kept: it has its answer, or has gone.
    pub(crate) fn is_done<L: Launcher>(&mut self, board: &Board<'_, L>) -> bool {
        if self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return true;
        }
        let ends: Option<Vec<Ended>> = self
            .goals
            .iter()
            .map(|it| if self.wait { end(it, board) } else { Some(Ended::Unknown) })
            .collect();
        let Some(ends) = ends else { return false };
        let outcomes = self.goals.iter().zip(ends).map(|(goal, end)| {
            let seen = board.seen(&goal.name);
            Outcome {
                process: goal.name.clone(),
                deed: goal.deed,
                named: goal.named,
                end,
                state: seen.as_ref().map_or("removed".into(), |it| it.state.clone()),
                why: seen.and_then(|it| it.why),
            }
        });
        let report = Report { processes: outcomes.collect(), unchanged: self.unchanged };
        if let Some(reply) = self.reply.take() {
            // It may have gone meanwhile.
            let _ = reply.send(Ok(report));
        }
        true
    }
}

/// How it ended, if it has.
fn end<L: Launcher>(goal: &Goal, board: &Board<'_, L>) -> Option<Ended> {
    let name = &goal.name;
    let Some(seat) = board.seats.get(name) else { return Some(Ended::Well) };
    if seat.asks != goal.asks {
        return Some(Ended::Superseded);
    }
    let pending = board.is_busy(name)
        || board.asked.stops(name)
        || board.retiring.contains(name)
        || board.next.contains_key(name);
    match goal.deed {
        Deed::Amended | Deed::Signalled | Deed::Nothing => Some(Ended::Well),
        _ if pending => None,
        Deed::Described => Some(Ended::Well),
        Deed::Stopped => board.states[name].has_exited().then_some(Ended::Well),
        Deed::Started | Deed::Restarted if board.asked.starts(name) => {
            match board.fleet.gate(name, &board.states, &board.asked) {
                Gate::Blocked(_) => Some(Ended::Failed),
                Gate::Open | Gate::Closed => None,
            }
        }
        Deed::Started | Deed::Restarted => match &board.states[name] {
            ProcessState::Running { level: Level::Healthy { since }, .. } => {
                let lived = board.now().saturating_sub(*since) >= SIGN_OF_LIFE;
                (seat.spec.policy.probed || lived).then_some(Ended::Well)
            }
            ProcessState::Exited { end: End::Completed } => Some(Ended::Well),
            ProcessState::BackingOff { .. } | ProcessState::Failed { .. } | ProcessState::Exited { .. } => {
                Some(Ended::Failed)
            }
            ProcessState::Waiting
            | ProcessState::Launching { .. }
            | ProcessState::Running { .. }
            | ProcessState::Stopping { .. }
            | ProcessState::Killing { .. }
            | ProcessState::Sweeping { .. } => None,
        },
    }
}
