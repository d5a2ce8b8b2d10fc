//! The jobs of a queue and every order in which they are found. All changes of a job go through [`Store::apply`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::broker::{
    Cancel, Claim, Counts, Explanation, MAX_BATCH, MAX_REPLAY, Outcome, Renewal, Replay, Status, Submission,
    Swept, Ticket, Want,
};
use crate::capabilities::{Capabilities, ClassId, Worker};
use crate::error::Error;
use crate::event::{News, Progress};
use crate::ids::{IdempotencyKey, JobId};
use crate::job::Job;
use crate::life::{Event, LOST, Life, Millis, Rejection, State, TIMED_OUT, ms, step};
use crate::limit::Held;
use crate::memory::limits::Limits;
use crate::settings::Settings;
use crate::signature::Signature;

mod list;

struct Entry {
    job: Job,
    signature: Arc<Signature>,
    bytes: u64,
    score: i64,
    life: Life,
    submitted: Millis,
    finished: Option<Millis>,
    result: Option<Value>,
    error: Option<String>,
    events: Vec<(Millis, News)>,
}

/// Where a job is found, by its state.
type Line = BTreeSet<(i64, JobId)>;
type Dates = BTreeSet<(Millis, JobId)>;

pub(super) struct Store {
    pub limits: Limits,
    settings: Settings,
    chance: fastrand::Rng,
    jobs: HashMap<JobId, Entry>,
    waiting: BTreeMap<Arc<Signature>, Line>,
    delayed: Dates,
    leases: Dates,
    dead: BTreeSet<JobId>,
    /// Finished jobs, by when they are forgotten.
    forget: Dates,
    keys: HashMap<IdempotencyKey, (JobId, Millis)>,
    classes: BTreeMap<ClassId, (Capabilities, Millis)>,
    fence: u64,
    bytes: u64,
    paused: bool,
}

impl Store {
    pub fn new(settings: Settings) -> Self {
        Self {
            limits: Limits::default(),
            chance: settings.chance(),
            settings,
            jobs: HashMap::new(),
            waiting: BTreeMap::new(),
            delayed: BTreeSet::new(),
            leases: BTreeSet::new(),
            dead: BTreeSet::new(),
            forget: BTreeSet::new(),
            keys: HashMap::new(),
            classes: BTreeMap::new(),
            fence: 0,
            bytes: 0,
            paused: false,
        }
    }

    pub fn submit(&mut self, jobs: &[Job], now: Millis) -> Result<Vec<Submission>, Error> {
        self.tidy(now);
        let mut submitted = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.iter().enumerate() {
            let Some(it) = self.submit_one(job, index, now) else {
                return Err(Error::Full { used: self.bytes, budget: self.settings.byte_budget, submitted });
            };
            submitted.push(it);
        }
        Ok(submitted)
    }

    /// `None` if there is no room.
    fn submit_one(&mut self, job: &Job, index: usize, now: Millis) -> Option<Submission> {
        let keyed = job.idempotency_key.as_ref().and_then(|key| self.keys.get(key));
        if let Some((id, _)) = keyed.filter(|(_, until)| *until > now) {
            return Some(Submission::Known(id.clone()));
        }
        if self.jobs.contains_key(&job.id) {
            return Some(Submission::Known(job.id.clone()));
        }
        let bytes = serde_json::to_string(job).map_or(0, |it| it.len()) as u64;
        if self.bytes + bytes > self.settings.byte_budget {
            return None;
        }
        self.bytes += bytes;
        if let Some(key) = &job.idempotency_key {
            self.keys.insert(key.clone(), (job.id.clone(), now + ms(self.settings.key_ttl)));
        }
        let due = now.saturating_add(ms(job.delay));
        let state = if job.delay.is_zero() { State::Waiting } else { State::Delayed { due } };
        let entry = Entry {
            signature: Arc::new(job.signature()),
            score: self.settings.score(now, job.priority, index),
            job: job.clone(),
            bytes,
            life: Life { state, attempts: 0, crashes: 0, fence: 0 },
            submitted: now,
            finished: None,
            result: None,
            error: None,
            events: vec![],
        };
        self.jobs.insert(job.id.clone(), entry);
        self.file(&job.id, true);
        Some(Submission::Accepted(job.id.clone()))
    }

    /// Enters a job where its state says that it is found, or takes it from there.
    fn file(&mut self, id: &JobId, enter: bool) {
        let Some(entry) = self.jobs.get(id) else { return };
        let ttl = match &entry.life.state {
            State::Waiting => {
                let line = self.waiting.entry(entry.signature.clone()).or_default();
                put(line, (entry.score, id.clone()), enter);
                if line.is_empty() {
                    self.waiting.remove(&entry.signature);
                }
                return;
            }
            State::Delayed { due } => return put(&mut self.delayed, (*due, id.clone()), enter),
            State::Running { until, .. } => {
                if let Some(key) = &entry.job.limit_key {
                    self.limits.run(key, id, enter);
                }
                return put(&mut self.leases, (*until, id.clone()), enter);
            }
            State::Dead(_) => {
                put(&mut self.dead, id.clone(), enter);
                self.settings.dead_ttl
            }
            State::Succeeded | State::Cancelled => entry.job.result_ttl,
        };
        let forget = entry.finished.unwrap_or_default().saturating_add(ms(ttl));
        put(&mut self.forget, (forget, id.clone()), enter);
    }

    /// Lets an event happen to a job, if it may.
    fn apply(&mut self, id: &JobId, event: &Event, now: Millis) -> Result<(), Rejection> {
        let Some(entry) = self.jobs.get(id) else { return Err(Rejection::Stale) };
        let policy = self.settings.policy(entry.job.max_attempts, entry.job.timeout);
        let life = step(&entry.life, &policy, event, now)?;
        self.file(id, false);
        let Some(entry) = self.jobs.get_mut(id) else { return Err(Rejection::Stale) };
        let was_terminal = entry.life.state.is_terminal();
        match event {
            Event::Fail { message, .. } => entry.error = Some(message.clone()),
            Event::Expire { .. } => {
                entry.error = Some(if life.crashes > entry.life.crashes { LOST } else { TIMED_OUT }.into());
            }
            _ => {}
        }
        let news = match &life.state {
            State::Succeeded => Some(News::Succeeded),
            State::Cancelled => Some(News::Cancelled),
            State::Dead(_) => Some(News::Dead),
            State::Waiting | State::Delayed { .. } if matches!(entry.life.state, State::Running { .. }) => {
                Some(News::Returned)
            }
            State::Waiting | State::Delayed { .. } | State::Running { .. } => None,
        };
        entry.events.extend(news.map(|it| (now, it)));
        entry.life = life;
        match (was_terminal, entry.life.state.is_terminal()) {
            (false, true) => {
                entry.finished = Some(now);
                self.bytes -= entry.bytes;
            }
            (true, false) => {
                entry.finished = None;
                self.bytes += entry.bytes;
            }
            _ => {}
        }
        self.file(id, true);
        Ok(())
    }

    pub fn finish(&mut self, done: Vec<(Ticket, Outcome)>, now: Millis) -> Vec<Result<(), Rejection>> {
        done.into_iter().map(|(ticket, outcome)| self.finish_one(&ticket, outcome, now)).collect()
    }

    fn finish_one(&mut self, ticket: &Ticket, outcome: Outcome, now: Millis) -> Result<(), Rejection> {
        let fence = ticket.fence;
        let (event, result) = match outcome.bounded() {
            Outcome::Success(result) => (Event::Succeed { fence }, Some(result)),
            Outcome::Failure { retryable, message } => {
                (Event::Fail { fence, retryable, message, roll: self.chance.f64() }, None)
            }
            Outcome::HandBack => (Event::HandBack { fence }, None),
            Outcome::Stopped => (Event::Stopped { fence }, None),
        };
        // A success that is told again, because the answer was lost, is no news and no lie.
        if let (Some(result), Some(entry)) = (&result, self.jobs.get(&ticket.id))
            && (&entry.life.state, entry.life.fence) == (&State::Succeeded, fence)
            && entry.result.as_ref() == Some(result)
        {
            return Ok(());
        }
        self.apply(&ticket.id, &event, now)?;
        if let Some(entry) = self.jobs.get_mut(&ticket.id) {
            entry.result = result;
        }
        Ok(())
    }

    pub fn claim(&mut self, worker: &Worker, want: Want, now: Millis) -> Vec<Claim> {
        self.meet(worker, now);
        self.sweep(now);
        if self.paused {
            return vec![];
        }
        let mut claims = Vec::new();
        // One for all that come with this call, as on a server.
        self.fence += 1;
        while claims.len() < want.most.min(MAX_BATCH) {
            let lines = self.waiting.iter().filter(|(it, _)| worker.capabilities().satisfy(it));
            let free = |line: &&(i64, JobId)| self.held(&line.1, now).is_none();
            let Some((_, id)) = lines.filter_map(|(_, line)| line.iter().find(free)).min().cloned() else {
                break;
            };
            let event = Event::Claim { worker: worker.id.clone(), lease: want.lease, fence: self.fence };
            if self.apply(&id, &event, now).is_err() {
                break;
            }
            let entry = &self.jobs[&id];
            if let Some(key) = &entry.job.limit_key {
                self.limits.start(key, now);
            }
            if let State::Running { until, deadline, .. } = entry.life.state {
                let Life { attempts, crashes, fence, .. } = entry.life;
                let (ticket, job, submitted) = (Ticket { id, fence }, entry.job.clone(), entry.submitted);
                claims.push(Claim { ticket, job, submitted, attempts, crashes, until, deadline });
            }
        }
        claims
    }

    /// The worker's class is live.
    pub fn meet(&mut self, worker: &Worker, now: Millis) {
        self.classes.insert(worker.class(), (worker.capabilities().clone(), now));
    }

    pub fn renew(&mut self, ticket: &Ticket, lease: Duration, now: Millis) -> Renewal {
        let renewed = self.apply(&ticket.id, &Event::Renew { fence: ticket.fence, lease }, now);
        match self.jobs.get(&ticket.id).map(|it| &it.life.state) {
            Some(State::Running { until, cancel, .. }) if renewed.is_ok() => {
                Renewal::Held { until: *until, cancel: *cancel }
            }
            _ => Renewal::Lost,
        }
    }

    pub fn progress(&mut self, ticket: &Ticket, progress: Progress, now: Millis) -> Result<(), Rejection> {
        let entry = self.jobs.get_mut(&ticket.id).ok_or(Rejection::Stale)?;
        let held = matches!(entry.life.state, State::Running { .. }) && entry.life.fence == ticket.fence;
        held.then(|| entry.events.push((now, News::Progress(progress)))).ok_or(Rejection::Stale)
    }

    pub fn cancel(&mut self, id: &JobId, now: Millis) -> Cancel {
        if !self.jobs.contains_key(id) {
            return Cancel::Unknown;
        }
        match self.apply(id, &Event::Cancel, now) {
            Err(_) => Cancel::Finished,
            Ok(()) if self.jobs[id].life.state == State::Cancelled => Cancel::Cancelled,
            Ok(()) => Cancel::Asked,
        }
    }

    pub fn replay(&mut self, filter: &Replay, now: Millis) -> Vec<JobId> {
        self.tidy(now);
        let wanted = |id: &&JobId| match (filter, &self.jobs[*id].life.state) {
            (Replay::Job(wanted), _) => *id == wanted,
            (Replay::Kind(kind), State::Dead(reason)) => reason.kind == *kind,
            (Replay::Kind(_), _) => false,
            (Replay::All, _) => true,
        };
        let ids: Vec<_> = self.dead.iter().filter(wanted).take(MAX_REPLAY).cloned().collect();
        ids.into_iter().filter(|id| self.apply(id, &Event::Replay, now).is_ok()).collect()
    }

    pub fn status(&mut self, id: &JobId, now: Millis) -> Option<Status> {
        self.tidy(now);
        let entry = self.jobs.get(id)?;
        Some(Status {
            job: entry.job.clone(),
            life: entry.life.clone(),
            submitted: entry.submitted,
            finished: entry.finished,
            result: entry.result.clone(),
            error: entry.error.clone(),
            now,
        })
    }

    pub fn sweep(&mut self, now: Millis) -> Swept {
        self.tidy(now);
        let due = |dates: &Dates| -> Vec<_> {
            dates.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect()
        };
        let (leases, delayed) = (due(&self.leases), due(&self.delayed));
        let swept = Swept { expired: leases.len(), due: delayed.len() };
        for id in leases {
            let roll = self.chance.f64();
            _ = self.apply(&id, &Event::Expire { roll }, now);
        }
        for id in delayed {
            _ = self.apply(&id, &Event::Due, now);
        }
        swept
    }

    /// Forgets what is kept no longer.
    fn tidy(&mut self, now: Millis) {
        while let Some((_, id)) = self.forget.first().filter(|(at, _)| *at <= now).cloned() {
            self.file(&id, false);
            self.jobs.remove(&id);
        }
        let ttl = ms(self.settings.class_ttl);
        self.keys.retain(|_, (_, until)| *until > now);
        self.classes.retain(|_, (_, seen)| seen.saturating_add(ttl) > now);
    }

    /// What holds a job that waits.
    fn held(&self, id: &JobId, now: Millis) -> Option<Held> {
        self.limits.held(self.jobs.get(id)?.job.limit_key.as_ref()?, now)
    }

    /// When something happens by itself next.
    pub fn next_event(&self, now: Millis) -> Option<Millis> {
        let dates = self.delayed.first().into_iter().chain(self.leases.first()).map(|(at, _)| *at);
        dates.chain(self.limits.next(now)).min()
    }

    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub fn counts(&self, now: Millis) -> Counts {
        let waiting = self.waiting.values().flatten();
        let (held, waiting): (Vec<_>, Vec<_>) = waiting.partition(|(_, id)| self.held(id, now).is_some());
        Counts {
            waiting: waiting.len() as u64,
            held: held.len() as u64,
            delayed: self.delayed.len() as u64,
            running: self.leases.len() as u64,
            dead: self.dead.len() as u64,
            bytes: self.bytes,
            paused: self.paused,
        }
    }

    pub fn unmatchable(&mut self, now: Millis) -> Vec<(Signature, u64)> {
        self.tidy(now);
        let nobody = |it: &Signature| !self.classes.values().any(|(has, _)| has.satisfy(it));
        let lines = self.waiting.iter().filter(|(it, _)| nobody(it));
        lines.map(|(signature, line)| (Signature::clone(signature), line.len() as u64)).collect()
    }

    pub fn explain(&mut self, id: &JobId, now: Millis) -> Option<Explanation> {
        let status = self.status(id, now)?;
        let signature = status.job.signature();
        let classes = self.classes.values().map(|(has, _)| (has.clone(), has.unmet(&signature))).collect();
        let held = (status.life.state == State::Waiting).then(|| self.held(id, now)).flatten();
        Some(Explanation { status, signature, paused: self.paused, held, classes })
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, member: T, enter: bool) {
    if enter {
        set.insert(member);
    } else {
        set.remove(&member);
    }
}
