//! What the loop does with one job: from its claim to what the broker is told of it.

use std::time::Duration;

use broker::{Broker, Claim, Outcome, Ticket};
use serde_json::Value;
use tokio::sync::watch;
use tracing::Span;
use tracing::field::Empty;

use super::outcome::outcome;
use super::{Active, Run};
use crate::connector::{Stop, Task};
use crate::failure::Failure;
use crate::job;
use crate::lease::{self, Effect, Event, Held, Time};
use crate::pace::Pace;
use crate::report::{Current, End, Ended, Place, Report, VERSION};

/// What is told of a job beside its result.
pub(super) struct About {
    /// When it was claimed.
    began: Time,
    /// From when it could be claimed until it was. Of a job that was tried before, that time was not all waiting.
    waited: Option<Duration>,
    progress: Option<watch::Receiver<Option<broker::Progress>>>,
    span: Span,
}

impl About {
    fn of(claim: &Claim, began: Time, connector: &str) -> Self {
        let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        // By the queue's clock, both: an attempt's deadline is its timeout after its claim.
        let claimed = claim.deadline.saturating_sub(ms(claim.job.timeout));
        let ready = claim.submitted.saturating_add(ms(claim.job.delay));
        let first = claim.attempts + claim.crashes == 0;
        let waited = first.then(|| Duration::from_millis(claimed.saturating_sub(ready)));
        let attempt = claim.attempts + claim.crashes;
        let span = tracing::info_span!("job", id = %claim.ticket.id, connector, attempt, outcome = Empty);
        Self { began, waited, progress: None, span }
    }
}

impl<B: Broker + 'static> Run<B> {
    pub(super) fn advance(&mut self, number: u64, event: Event) {
        let (now, patience) = (self.now(), self.patience());
        let Some(active) = self.active.get_mut(&number) else { return };
        let (held, effect) = lease::step(active.held, event, patience, now);
        active.held = held;
        match effect {
            None => {}
            Some(Effect::Stop(why)) => {
                tracing::info!(job = %active.ticket.id, ?why, "a job is asked to stop");
                active.at_work.stop(why);
            }
            Some(Effect::Abandon) => self.abandon(number),
        }
    }

    /// A connector that did not stop is cut off, and so is its service if that is ours to end.
    fn abandon(&mut self, number: u64) {
        let Some(active) = self.active.remove(&number) else { return };
        active.at_work.cut_off();
        let lease::State::Abandoned { why } = active.held.state else { return };
        let said =
            format!("job {} did not stop within {} s", active.ticket.id, self.patience().as_secs_f64());
        tracing::error!("{said}");
        self.tally.abandoned += 1;
        self.gates[active.service].doubt(self.began.elapsed());
        let service = &self.it.services[active.service];
        if let Some(restart) = service.restart.as_ref().filter(|_| service.connector.owns_service()) {
            restart(&said);
        }
        self.report(active.ticket, &active.about, Some(why), Err(Failure::stopped()));
    }

    /// Free slots of services that are well.
    pub(super) fn room(&self) -> usize {
        let now = self.now();
        let open = (0..self.gates.len()).filter(|it| self.gates[*it].is_open(now));
        open.map(|it| self.free(it)).sum()
    }

    fn free(&self, service: usize) -> usize {
        let busy = self.active.values().filter(|it| it.service == service).count();
        self.it.services[service].slots.saturating_sub(busy)
    }

    pub(super) fn begin(&mut self, claim: Claim, began: Time) {
        let now = self.now();
        self.tally.claimed += 1;
        let mut about = About::of(&claim, began, &self.it.connector);
        let Claim { ticket, job, attempts, crashes, .. } = claim;
        let open = (0..self.gates.len()).filter(|it| self.gates[*it].is_open(now));
        let service = open.filter(|it| self.free(*it) > 0).max_by_key(|it| self.free(*it));
        let Some(service) = service.filter(|_| self.ends_at.is_none()) else {
            // The worker is ending, or its service became ill while the claim was under way.
            return self.report(ticket, &about, Some(Stop::Shutdown), Err(Failure::stopped()));
        };
        let connector = self.it.services[service].connector.clone();
        let kind = job.service_required.as_str().to_owned();
        let judged = match connector.payload(&kind) {
            Some(payload) => payload.check(&job.payload),
            None => Err(Failure::permanent(format!("this worker's connector takes no jobs for `{kind}`"))),
        };
        if let Err(failure) = judged {
            return self.report(ticket, &about, None, Err(failure));
        }
        let deadline = began + job.timeout.saturating_sub(Pace::margin(job.timeout));
        let held = Held::new(began + self.it.pace.lease, deadline);
        let attempt_id = format!("{}-{}", ticket.id, ticket.fence);
        let outputs = self.it.store.of(&ticket.id, &attempt_id);
        let time = deadline.saturating_sub(now);
        let (task, hands) = Task::new(job, attempts + crashes, attempt_id, time, outputs);
        let number = self.tally.claimed;
        let progress = job::Progress {
            broker: self.it.broker.clone(),
            ticket: ticket.clone(),
            every: self.it.pace.progress_every,
            redactor: self.it.redactor.clone(),
        };
        about.progress = Some(hands.progress.clone());
        let run = job::Job { number, connector, task, hands, progress, span: about.span.clone() };
        let at_work = run.begin(&self.it.jobs, self.told.clone());
        self.listen();
        if self.ear.has_heard_of(&ticket.id) {
            self.renew_by(now);
        }
        self.renew_by(began + self.it.pace.lease / 3);
        self.active.insert(number, Active { ticket, service, held, at_work, about });
        self.changed();
    }

    /// What a look at a service has found.
    pub(super) fn looked(&mut self, service: usize, found: &Result<(), Failure>) {
        let now = self.now();
        let was = self.gates[service].is_open(now);
        if let Err(failure) = found {
            let why = self.it.redactor.text(failure.message.clone());
            tracing::warn!(service, why, "a service is not well; nothing is claimed for it");
        }
        self.gates[service].looked(found.is_ok(), self.it.pace.look_every, now);
        if was != self.gates[service].is_open(now) {
            self.changed();
        }
    }

    /// A connector has ended.
    pub(super) fn done(&mut self, number: u64, result: Result<Value, Failure>) {
        let now = self.now();
        self.advance(number, Event::Done);
        let Some(active) = self.active.remove(&number) else { return };
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
        self.report(active.ticket, &active.about, why, result);
    }

    /// Notes what the broker is to be told of a job, if anything, and that it has ended.
    fn report(&mut self, ticket: Ticket, about: &About, why: Option<Stop>, result: Result<Value, Failure>) {
        let outcome = outcome(why, result, &self.it.redactor);
        let (end, words) = match &outcome {
            None => (End::Lost, None),
            Some(Outcome::Success(_)) => (End::Succeeded, None),
            Some(Outcome::Failure { message, .. }) => (End::Failed, Some(message.as_str())),
            Some(Outcome::HandBack) => (End::HandedBack, None),
            Some(Outcome::Stopped) => (End::Stopped, None),
        };
        let ran = self.now().saturating_sub(about.began);
        about.span.record("outcome", end.word());
        tracing::info!(parent: &about.span, ?ran, words, "a job has ended");
        if let Some(teller) = &mut self.teller {
            let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
            teller.ended(Ended { end, waited_ms: about.waited.map(ms), ran_ms: ms(ran) });
        }
        match outcome {
            Some(outcome) => self.reports.push((ticket, outcome)),
            None => self.tally.lost += 1,
        }
    }

    /// Something has changed that a report would tell.
    pub(super) fn changed(&mut self) {
        if let Some(teller) = &mut self.teller {
            teller.changed();
        }
    }

    /// Tells whoever listens what it does.
    pub(super) fn tell(&mut self) {
        let Some(mut teller) = self.teller.take() else { return };
        let now = self.now();
        teller.tell(now, |ended| {
            let services = self.it.services.iter().zip(&self.gates).enumerate();
            let services = services.map(|(at, (service, gate))| Place {
                open: gate.is_open(now) && self.ends_at.is_none(),
                slots: service.slots,
                busy: service.slots - self.free(at),
            });
            let jobs = self.active.values().map(|it| {
                let progress = it.about.progress.as_ref().and_then(|it| it.borrow().clone());
                let ran = now.saturating_sub(it.about.began);
                Current {
                    job: it.ticket.id.to_string(),
                    ran_ms: u64::try_from(ran.as_millis()).unwrap_or(u64::MAX),
                    percent: progress.as_ref().map(|it| it.percent),
                    message: progress.map(|it| self.it.redactor.text(it.message)),
                }
            });
            Report {
                version: VERSION,
                worker: self.it.worker.id.to_string(),
                connector: self.it.connector.clone(),
                gpu: self.it.gpu,
                services: services.collect(),
                jobs: jobs.collect(),
                tally: self.tally,
                ended,
            }
        });
        if !self.active.is_empty() {
            // How far they are changes all the time.
            teller.changed();
        }
        self.teller = Some(teller);
    }
}
