//! The loop: claims for free slots, hands each job to a connector, keeps its lease, and reports how it ended.
//!
//! One task holds all state and makes no decision of its own: [`lease::step`] says what becomes of a job, [`Gate`]
//! whether a service gets any. Everything slow is elsewhere and comes back as an event: connectors run on the runtime
//! for jobs, so that a connector which blocks delays no renewal; calls to the broker are under way side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Heard, Outcome, Ticket, Worker};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::connector::Connector;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::job;
use crate::lease::{Event, Held, Time};
use crate::outputs::Store;
use crate::pace::Pace;
use crate::redact::Redactor;
use crate::report::{Listener, Teller};
use crate::tally::Tally;

mod calls;
mod ear;
mod jobs;
mod outcome;

use calls::{Claiming, Reply, Retry};
use ear::Ear;
use jobs::About;

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
    /// What its connectors are called, for spans and reports.
    pub connector: String,
    /// The GPU of its services, if they have one.
    pub gpu: Option<u32>,
    /// Who is told what it does.
    pub listener: Option<Listener>,
}

impl<B: Broker + 'static> Runner<B> {
    /// Works until `stop` is ready: then no more is claimed, jobs get their grace, and what is not done goes back.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Tally {
        let (run, events) = Run::new(self);
        run.drive(stop, events).await
    }
}

/// A job with its connector.
struct Active {
    ticket: Ticket,
    service: usize,
    held: Held,
    at_work: job::AtWork,
    about: About,
}

/// What comes back from elsewhere.
pub(crate) enum News {
    /// A connector has ended.
    Done { number: u64, result: Result<Value, Failure> },
    /// A service was looked at.
    Looked { service: usize, found: Result<(), Failure> },
    /// Somebody may want a job stopped.
    Heard(Result<Heard, broker::Error>),
}

type Report = (Ticket, Outcome);

struct Run<B> {
    it: Runner<B>,
    gates: Vec<Gate>,
    /// By the number of the claim in this worker. A fence is not enough: jobs that came with one call share it.
    active: BTreeMap<u64, Active>,
    /// Jobs that have ended and of which the broker does not know.
    reports: Vec<Report>,
    calls: FuturesUnordered<BoxFuture<'static, Reply>>,
    /// A claim is under way.
    claiming: Option<Claiming>,
    telling: bool,
    renewing: bool,
    renew_at: Option<Time>,
    ear: Ear,
    /// The last claim brought something, so there may be more: the next one does not wait for it.
    more: bool,
    retry: Retry,
    /// The end of the grace, once the worker is to end.
    ends_at: Option<Time>,
    began: Instant,
    tally: Tally,
    teller: Option<Teller>,
    told: UnboundedSender<News>,
}

impl<B: Broker + 'static> Run<B> {
    fn new(it: Runner<B>) -> (Self, UnboundedReceiver<News>) {
        let (told, events) = unbounded_channel();
        let gates = it.services.iter().map(|_| Gate::new()).collect();
        let run = Self {
            gates,
            active: BTreeMap::new(),
            reports: Vec::new(),
            calls: FuturesUnordered::new(),
            claiming: None,
            telling: false,
            renewing: false,
            renew_at: None,
            ear: Ear::default(),
            more: false,
            retry: Retry::default(),
            ends_at: None,
            began: Instant::now(),
            tally: Tally::default(),
            teller: it.listener.clone().map(Teller::new),
            told,
            it,
        };
        (run, events)
    }

    async fn drive(mut self, stop: impl Future<Output = ()>, mut events: UnboundedReceiver<News>) -> Tally {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.tick();
            self.call();
            if self.is_over() {
                self.tell();
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

    /// How long a connector may take to stop.
    fn patience(&self) -> Duration {
        let ends = self.ends_at.is_some_and(|it| it <= self.now());
        if ends { self.it.pace.last_patience() } else { self.it.pace.patience }
    }

    fn is_over(&self) -> bool {
        let Some(ends_at) = self.ends_at else { return false };
        let told = self.reports.is_empty() && self.calls.is_empty();
        // A broker that does not answer does not keep a worker alive: its leases return what it has.
        self.active.is_empty() && (told || ends_at + self.it.pace.last_patience() <= self.now())
    }

    fn wakes_at(&self) -> Option<Time> {
        let now = self.now();
        let jobs = self.active.values().filter_map(|it| it.held.wakes_at());
        let gates = self.gates.iter().filter(|_| self.ends_at.is_none()).filter_map(|it| it.wakes_at(now));
        let retry = (self.retry.failures > 0 && self.retry.at > now).then_some(self.retry.at);
        let end = self.ends_at.map(|it| it + self.it.pace.last_patience());
        let told = self.teller.as_ref().map(Teller::due);
        let renewal = self.renew_at.filter(|_| !self.renewing);
        jobs.chain(gates).chain(renewal).chain(retry).chain(end).chain(told).min()
    }

    /// Everything that is due.
    fn tick(&mut self) {
        let now = self.now();
        for number in self.active.keys().copied().collect::<Vec<_>>() {
            self.advance(number, Event::Tick);
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
        if self.teller.as_ref().is_some_and(|it| it.due() <= now) {
            self.tell();
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Looked { service, found } => self.looked(service, &found),
            News::Done { number, result } => self.done(number, result),
            News::Heard(heard) => self.heard(heard),
        }
    }

    fn shut_down(&mut self) {
        let at = self.now() + self.it.pace.grace;
        self.ends_at = Some(at);
        for number in self.active.keys().copied().collect::<Vec<_>>() {
            self.advance(number, Event::Shutdown { at });
        }
    }
}

#[cfg(test)]
mod tests;
