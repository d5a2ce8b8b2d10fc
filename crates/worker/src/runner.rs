//! The loop: claims for free slots, hands each job to a connector, keeps its lease, and reports how it ended.
//!
//! One task holds all state and makes no decision of its own: [`lease::step`] says what becomes of a job, [`Gate`]
//! whether a service gets any. Everything slow is elsewhere and comes back as an event: connectors run on the runtime
//! for jobs, so that a connector which blocks delays no renewal; calls to the broker are under way side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{Broker, Claim, Outcome, Ticket, Worker};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::connector::{Connector, Stop, Task};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::job;
use crate::lease::{self, Effect, Event, Held, Time};
use crate::outputs::Store;
use crate::pace::Pace;
use crate::redact::Redactor;
use crate::tally::Tally;

mod calls;
mod outcome;

use calls::{Reply, Retry};
use outcome::outcome;

/// Ends and starts a service, for the reason that it is given.
pub type Restart = Arc<dyn Fn(&str) + Send + Sync>;

/// A service instance, and how many jobs it is given at once.
pub struct Service {
    /// Speaks with it.
    pub connector: Arc<dyn Connector>,
    /// Jobs at once.
    pub slots: usize,
    /// What is done when a job cannot be stopped otherwise.
    pub restart: Option<Restart>,
}

/// One worker process.
pub struct Runner<B> {
    /// Where jobs come from.
    pub broker: Arc<B>,
    /// As what they are claimed.
    pub worker: Worker,
    /// What they run on.
    pub services: Vec<Service>,
    /// Where large results go.
    pub store: Store,
    /// The numbers.
    pub pace: Pace,
    /// What must not be in any message.
    pub redactor: Redactor,
    /// Where connectors run. Another runtime than the loop's, so that they cannot hold it up.
    pub jobs: Handle,
}

impl<B: Broker + 'static> Runner<B> {
    /// Works until `stop` is ready: then no more is claimed, jobs get their grace, and what is not done goes back.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Tally {
        let (told, events) = unbounded_channel();
        let gates = self.services.iter().map(|_| Gate::new()).collect();
        let run = Run {
            gates,
            active: BTreeMap::new(),
            reports: Vec::new(),
            calls: FuturesUnordered::new(),
            claiming: false,
            telling: false,
            renewing: false,
            renew_at: None,
            retry: Retry::default(),
            ends_at: None,
            began: Instant::now(),
            tally: Tally::default(),
            told,
            it: self,
        };
        run.drive(stop, events).await
    }
}

/// A job with its connector.
struct Active {
    ticket: Ticket,
    service: usize,
    held: Held,
    at_work: job::AtWork,
}

/// What comes back from elsewhere.
pub(crate) enum News {
    /// A connector has ended.
    Done { fence: u64, result: Result<Value, Failure> },
    /// A service was looked at.
    Looked { service: usize, found: Result<(), Failure> },
}

type Report = (Ticket, Outcome);

struct Run<B> {
    it: Runner<B>,
    gates: Vec<Gate>,
    /// By fence, which no two claims share.
    active: BTreeMap<u64, Active>,
    /// Jobs that have ended and of which the broker does not know.
    reports: Vec<Report>,
    calls: FuturesUnordered<BoxFuture<'static, Reply>>,
    claiming: bool,
    telling: bool,
    renewing: bool,
    renew_at: Option<Time>,
    retry: Retry,
    /// The end of the grace, once the worker is to end.
    ends_at: Option<Time>,
    began: Instant,
    tally: Tally,
    told: UnboundedSender<News>,
}

impl<B: Broker + 'static> Run<B> {
    async fn drive(mut self, stop: impl Future<Output = ()>, mut events: UnboundedReceiver<News>) -> Tally {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.tick();
            self.call();
            if self.is_over() {
                return self.tally;
            }
            let wake = self.wakes_at().map(|it| self.began + it);
            tokio::select! {
                biased;
                () = &mut stop, if self.ends_at.is_none() => self.shut_down(),
                Some(reply) = self.calls.next() => self.reply(reply),
                Some(news) = events.recv() => {
                    self.news(news);
                    // Jobs that end together are told together.
                    while let Ok(news) = events.try_recv() {
                        self.news(news);
                    }
                }
                () = sleep_until(wake.unwrap_or(self.began)), if wake.is_some() => {}
            }
        }
    }

    fn now(&self) -> Time {
        self.began.elapsed()
    }

    fn is_over(&self) -> bool {
        let Some(ends_at) = self.ends_at else { return false };
        let told = self.reports.is_empty() && self.calls.is_empty();
        // A broker that does not answer does not keep a worker alive: its leases return what it has.
        self.active.is_empty() && (told || ends_at + self.it.pace.patience <= self.now())
    }

    fn wakes_at(&self) -> Option<Time> {
        let now = self.now();
        let jobs = self.active.values().filter_map(|it| it.held.wakes_at());
        let gates = self.gates.iter().filter(|_| self.ends_at.is_none()).filter_map(|it| it.wakes_at(now));
        let retry = (self.retry.failures > 0 && self.retry.at > now).then_some(self.retry.at);
        let end = self.ends_at.map(|it| it + self.it.pace.patience);
        jobs.chain(gates).chain(self.renew_at.filter(|_| !self.renewing)).chain(retry).chain(end).min()
    }

    /// Everything that is due.
    fn tick(&mut self) {
        let now = self.now();
        for fence in self.active.keys().copied().collect::<Vec<_>>() {
            self.advance(fence, Event::Tick);
        }
        for service in 0..self.gates.len() {
            if self.ends_at.is_none() && self.gates[service].look(now) {
                let connector = self.it.services[service].connector.clone();
                job::look(&self.it.jobs, connector, self.it.pace.look_within, service, self.told.clone());
            }
        }
        if self.renew_at.is_some_and(|it| it <= now) && !self.renewing {
            self.renew(now);
        }
    }

    fn advance(&mut self, fence: u64, event: Event) {
        let (now, patience) = (self.now(), self.it.pace.patience);
        let Some(active) = self.active.get_mut(&fence) else { return };
        let (held, effect) = lease::step(active.held, event, patience, now);
        active.held = held;
        match effect {
            None => {}
            Some(Effect::Stop(why)) => {
                tracing::info!(job = %active.ticket.id, ?why, "a job is asked to stop");
                active.at_work.stop(why);
            }
            Some(Effect::Abandon) => self.abandon(fence),
        }
    }

    /// A connector that did not stop is cut off, and so is its service if that is ours to end.
    fn abandon(&mut self, fence: u64) {
        let Some(active) = self.active.remove(&fence) else { return };
        active.at_work.cut_off();
        let lease::State::Abandoned { why } = active.held.state else { return };
        let said =
            format!("job {} did not stop within {} s", active.ticket.id, self.it.pace.patience.as_secs());
        tracing::error!("{said}");
        self.tally.abandoned += 1;
        self.gates[active.service].doubt(self.began.elapsed());
        let service = &self.it.services[active.service];
        if let Some(restart) = service.restart.as_ref().filter(|_| service.connector.owns_service()) {
            restart(&said);
        }
        self.report(active.ticket, Some(why), Err(Failure::stopped()));
    }

    /// Free slots of services that are well.
    fn room(&self) -> usize {
        let now = self.now();
        let open = (0..self.gates.len()).filter(|it| self.gates[*it].is_open(now));
        open.map(|it| self.free(it)).sum()
    }

    fn free(&self, service: usize) -> usize {
        let busy = self.active.values().filter(|it| it.service == service).count();
        self.it.services[service].slots.saturating_sub(busy)
    }

    fn begin(&mut self, claim: Claim, began: Time) {
        let now = self.now();
        self.tally.claimed += 1;
        let Claim { ticket, job, attempts, crashes, .. } = claim;
        let open = (0..self.gates.len()).filter(|it| self.gates[*it].is_open(now));
        let service = open.filter(|it| self.free(*it) > 0).max_by_key(|it| self.free(*it));
        let Some(service) = service.filter(|_| self.ends_at.is_none()) else {
            // The worker is ending, or its service became ill while the claim was under way.
            return self.report(ticket, Some(Stop::Shutdown), Err(Failure::stopped()));
        };
        let connector = self.it.services[service].connector.clone();
        let kind = job.service_required.as_str().to_owned();
        let judged = match connector.payload(&kind) {
            Some(payload) => payload.check(&job.payload),
            None => Err(Failure::permanent(format!("this worker's connector takes no jobs for `{kind}`"))),
        };
        if let Err(failure) = judged {
            return self.report(ticket, None, Err(failure));
        }
        let deadline = began + job.timeout.saturating_sub(Pace::margin(job.timeout));
        let held = Held::new(began + self.it.pace.lease, deadline);
        let attempt_id = format!("{}-{}", ticket.id, ticket.fence);
        let outputs = self.it.store.of(&ticket.id, &attempt_id);
        let time = deadline.saturating_sub(now);
        let (task, hands) = Task::new(job, attempts + crashes, attempt_id, time, outputs);
        let fence = ticket.fence;
        let progress = job::Progress {
            broker: self.it.broker.clone(),
            ticket: ticket.clone(),
            every: self.it.pace.progress_every,
            redactor: self.it.redactor.clone(),
        };
        let at_work = job::begin(&self.it.jobs, connector, task, hands, progress, self.told.clone());
        self.active.insert(fence, Active { ticket, service, held, at_work });
        let renew_at = began + self.it.pace.lease / 3;
        self.renew_at = Some(self.renew_at.map_or(renew_at, |it| it.min(renew_at)));
    }

    fn news(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Looked { service, found } => {
                if let Err(failure) = &found {
                    let why = self.it.redactor.text(failure.message.clone());
                    tracing::warn!(service, why, "a service is not well; nothing is claimed for it");
                }
                self.gates[service].looked(found.is_ok(), self.it.pace.look_every, now);
            }
            News::Done { fence, result } => {
                self.advance(fence, Event::Done);
                let Some(active) = self.active.remove(&fence) else { return };
                let lease::State::Ended { why } = active.held.state else { return };
                let gate = &mut self.gates[active.service];
                match &result {
                    Ok(_) => gate.done(),
                    Err(failure) => {
                        if let Some(pause) = failure.retry_after {
                            gate.rest(pause, now);
                        }
                        if failure.suspect {
                            gate.doubt(now);
                        }
                    }
                }
                self.report(active.ticket, why, result);
            }
        }
    }

    /// Notes what the broker is to be told of a job, if anything.
    fn report(&mut self, ticket: Ticket, why: Option<Stop>, result: Result<Value, Failure>) {
        match outcome(why, result, &self.it.redactor) {
            Some(outcome) => self.reports.push((ticket, outcome)),
            None => self.tally.lost += 1,
        }
    }

    fn shut_down(&mut self) {
        let at = self.now() + self.it.pace.grace;
        self.ends_at = Some(at);
        for fence in self.active.keys().copied().collect::<Vec<_>>() {
            self.advance(fence, Event::Shutdown { at });
        }
    }
}

#[cfg(test)]
mod tests;
