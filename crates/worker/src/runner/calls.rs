//! Calls to the broker, and what is made of the answers.

use std::convert::Infallible;
use std::time::Duration;

use broker::{Broker, Exchange, Renewal, Ticket, Want};
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::{Report, Run};
use crate::lease::{Event, Time};

/// The pause after a call that the broker did not answer; it doubles with each that follows.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// An answer of the broker.
pub(super) enum Reply {
    Claimed { reports: Vec<Report>, began: Time, answer: Result<Exchange, broker::Error> },
    Told { reports: Vec<Report>, answer: Result<Exchange, broker::Error> },
    Renewed { numbers: Vec<u64>, began: Time, answer: Result<Vec<Renewal>, broker::Error> },
}

/// A claim that is under way.
pub(super) struct Claiming {
    /// Whether it waits for a job, if there is none.
    waits: bool,
    /// Ends its waiting when it is dropped.
    cut: Option<oneshot::Sender<Infallible>>,
}

/// When the broker is asked again after it did not answer.
#[derive(Default)]
pub(super) struct Retry {
    pub(super) failures: u32,
    pub(super) at: Time,
}

impl<B: Broker + 'static> Run<B> {
    /// Calls that can be made.
    pub(super) fn call(&mut self) {
        if self.retry.failures > 0 && self.retry.at > self.now() {
            return;
        }
        let most = if self.ends_at.is_some() { 0 } else { self.room().min(broker::MAX_BATCH) };
        match &mut self.claiming {
            None if most > 0 => {
                let (cut, enough) = oneshot::channel();
                // Where there was a job there may be more. Without a wait the answer comes at once, and what ends
                // meanwhile is told with the next claim.
                let wait = if self.more { Duration::ZERO } else { self.it.pace.wait };
                self.claiming = Some(Claiming { waits: !self.more, cut: Some(cut) });
                let want = Want { most, lease: self.it.pace.lease, wait };
                self.exchange(want, enough, |reports, began, answer| Reply::Claimed {
                    reports,
                    began,
                    answer,
                });
            }
            // Nothing could be done with a job that comes now.
            Some(claiming) if most == 0 => claiming.cut = None,
            _ => {}
        }
        let alone = self.claiming.as_ref().is_none_or(|it| it.waits);
        if alone && !self.reports.is_empty() && !self.telling {
            self.telling = true;
            let (_, never) = oneshot::channel();
            self.exchange(Want::NOTHING, never, |reports, _, answer| Reply::Told { reports, answer });
        }
    }

    fn exchange(
        &mut self,
        want: Want,
        enough: oneshot::Receiver<Infallible>,
        reply: impl FnOnce(Vec<Report>, Time, Result<Exchange, broker::Error>) -> Reply + Send + 'static,
    ) {
        let (broker, worker, began) = (self.it.broker.clone(), self.it.worker.clone(), self.now());
        let reports = std::mem::take(&mut self.reports);
        self.calls.push(Box::pin(async move {
            let enough = enough.map(drop);
            let answer = broker.exchange_until(&worker, reports.clone(), want, enough).await;
            reply(reports, began, answer)
        }));
    }

    /// The leases are renewed at this time at the latest.
    pub(super) fn renew_by(&mut self, at: Time) {
        self.renew_at = Some(self.renew_at.map_or(at, |it| it.min(at)));
    }

    pub(super) fn renew(&mut self, now: Time) {
        self.renew_at = None;
        let leased = self.active.iter().filter(|(_, it)| it.held.is_leased());
        let (numbers, tickets): (Vec<u64>, Vec<Ticket>) =
            leased.map(|(number, it)| (*number, it.ticket.clone())).unzip();
        if numbers.is_empty() {
            return;
        }
        self.renewing = true;
        let (broker, worker, lease) = (self.it.broker.clone(), self.it.worker.clone(), self.it.pace.lease);
        self.calls.push(Box::pin(async move {
            let answer = broker.renew(&worker, &tickets, lease).await;
            Reply::Renewed { numbers, began: now, answer }
        }));
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Claimed { reports, began, answer } => {
                self.claiming = None;
                if let Some(exchange) = self.answered(answer, reports) {
                    self.more = !exchange.claims.is_empty();
                    for claim in exchange.claims {
                        self.begin(claim, began + exchange.waited);
                    }
                }
                self.ear.forget();
            }
            Reply::Told { reports, answer } => {
                self.telling = false;
                self.answered(answer, reports);
            }
            Reply::Renewed { numbers, began, answer } => {
                self.renewing = false;
                self.renewed(&numbers, began, answer);
            }
        }
    }

    /// What an exchange said about the reports in it. Without an answer they are sent again: a report that was heard
    /// and is heard again changes nothing.
    fn answered(
        &mut self,
        answer: Result<Exchange, broker::Error>,
        reports: Vec<Report>,
    ) -> Option<Exchange> {
        match answer {
            Ok(exchange) => {
                self.retry = Retry::default();
                for ((ticket, outcome), heard) in reports.iter().zip(&exchange.done) {
                    match heard {
                        Ok(()) => self.tally.count(outcome),
                        Err(rejection) => {
                            self.tally.stale += 1;
                            tracing::warn!(job = %ticket.id, fence = ticket.fence, %rejection, "a report came too late");
                        }
                    }
                }
                Some(exchange)
            }
            Err(error) => {
                tracing::warn!(%error, "the broker did not answer");
                self.reports.splice(0..0, reports);
                let pause = RETRY_FIRST.saturating_mul(1 << self.retry.failures.min(10)).min(RETRY_LONGEST);
                self.retry.failures = self.retry.failures.saturating_add(1);
                self.retry.at = self.now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                None
            }
        }
    }

    fn renewed(&mut self, numbers: &[u64], began: Time, answer: Result<Vec<Renewal>, broker::Error>) {
        let lease = self.it.pace.lease;
        match answer {
            Ok(renewals) => {
                for (number, renewal) in numbers.iter().zip(renewals) {
                    match renewal {
                        Renewal::Held { cancel, .. } => {
                            self.advance(*number, Event::Renewed { until: began + lease });
                            if cancel {
                                self.advance(*number, Event::Cancelled);
                            }
                        }
                        Renewal::Lost => self.advance(*number, Event::Lost),
                    }
                }
                self.renew_by(began + lease / 3);
            }
            Err(error) => {
                tracing::warn!(%error, "leases could not be renewed");
                self.renew_by(self.now() + lease / 20);
            }
        }
    }
}
