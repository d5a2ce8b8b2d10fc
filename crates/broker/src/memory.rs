//! A broker in the memory of one process: for tests, and as the plainest statement of what a broker does.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, timeout_at};

use crate::broker::{
    Broker, Cancel, Counts, Exchange, Explanation, Heard, Outcome, Renewal, Replay, Status, Submission,
    Swept, Ticket, Want,
};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::event::{EventId, Happened, Progress};
use crate::ids::{JobId, LimitKey};
use crate::job::Job;
use crate::life::{Millis, Rejection, ms};
use crate::limit::Limit;
use crate::list::{Cursor, Filter, Page};
use crate::settings::Settings;
use crate::signature::Signature;

mod limits;
mod store;

use store::Store;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Millis;
}

/// Tokio's clock, which tests can pause. It begins when it is made.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Millis {
        ms(self.0.elapsed())
    }
}

/// How many cancellations may be told that a listener has not heard yet.
const UNHEARD: usize = 256;

/// A broker in memory.
pub struct Memory {
    store: Mutex<Store>,
    clock: Box<dyn Clock>,
    changed: Notify,
    /// Running jobs that are asked to stop.
    cancels: broadcast::Sender<JobId>,
}

impl Memory {
    /// An empty queue with tokio's clock.
    pub fn new(settings: Settings) -> Self {
        Self::with_clock(settings, TokioClock(Instant::now()))
    }

    /// An empty queue with this clock. Waiting still takes tokio's time.
    pub fn with_clock(settings: Settings, clock: impl Clock + 'static) -> Self {
        Self {
            store: Mutex::new(Store::new(settings)),
            clock: Box::new(clock),
            changed: Notify::new(),
            cancels: broadcast::Sender::new(UNHEARD),
        }
    }

    /// Does something with the store, at a time. A panic elsewhere leaves it between two jobs, which is sound.
    fn with<T>(&self, act: impl FnOnce(&mut Store, Millis) -> T) -> T {
        let mut store: MutexGuard<'_, _> = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut store, self.clock.now())
    }

    /// Does something that others may wait for.
    fn change<T>(&self, act: impl FnOnce(&mut Store, Millis) -> T) -> T {
        let done = self.with(act);
        self.changed.notify_waiters();
        done
    }

    /// Tries until `attempt` has something, the time is over, or it is `enough`.
    async fn until<T>(
        &self,
        wait: Duration,
        enough: impl Future<Output = ()>,
        mut attempt: impl FnMut(&mut Store, Millis) -> Option<T>,
    ) -> Option<T> {
        let (end, mut enough) = (Instant::now() + wait, pin!(enough));
        loop {
            // Asked for before looking, or a change between the two would be missed.
            let changed = self.changed.notified();
            let (found, next) = self.with(|store, now| {
                let found = attempt(store, now);
                (found, store.next_event(now).map(|at| at.saturating_sub(now)))
            });
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            let next = next.map_or(end, |ms| end.min(Instant::now() + Duration::from_millis(ms.max(1))));
            if let Either::Left(_) = select(enough.as_mut(), pin!(timeout_at(next, changed))).await {
                return None;
            }
        }
    }
}

impl Broker for Memory {
    async fn submit(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        for job in jobs {
            job.check().map_err(|refusals| Error::Refused { id: job.id.clone(), refusals })?;
        }
        self.change(|store, now| store.submit(jobs, now))
    }

    async fn exchange_until(
        &self,
        worker: &Worker,
        done: Vec<(Ticket, Outcome)>,
        want: Want,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<Exchange, Error> {
        let done = if done.is_empty() { vec![] } else { self.change(|store, now| store.finish(done, now)) };
        let began = Instant::now();
        let claims = self.until(want.wait, enough, |store, now| {
            let claims = store.claim(worker, want, now);
            (!claims.is_empty() || want.most == 0).then(|| (claims, began.elapsed()))
        });
        let (claims, waited) = claims.await.unwrap_or_default();
        Ok(Exchange { done, claims, waited })
    }

    async fn renew(
        &self,
        worker: &Worker,
        tickets: &[Ticket],
        lease: Duration,
    ) -> Result<Vec<Renewal>, Error> {
        Ok(self.change(|store, now| {
            store.meet(worker, now);
            let told = tickets.iter().map(|it| store.renew(it, lease, now)).collect();
            store.sweep(now);
            told
        }))
    }

    async fn progress(&self, ticket: &Ticket, progress: Progress) -> Result<Result<(), Rejection>, Error> {
        Ok(self.change(|store, now| store.progress(ticket, progress.bounded(), now)))
    }

    async fn cancel(&self, id: &JobId) -> Result<Cancel, Error> {
        let cancel = self.change(|store, now| store.cancel(id, now));
        if cancel == Cancel::Asked {
            // Nobody may listen.
            _ = self.cancels.send(id.clone());
        }
        Ok(cancel)
    }

    fn cancels(&self) -> impl Stream<Item = Result<Heard, Error>> + Send {
        let listening = stream::once(async { Ok(Heard::Listening) });
        let heard = stream::unfold(self.cancels.subscribe(), async |mut told| {
            let heard = match told.recv().await {
                Ok(id) => Heard::Cancel(id),
                Err(RecvError::Lagged(_)) => Heard::Listening,
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(heard), told))
        });
        listening.chain(heard)
    }

    async fn replay(&self, filter: &Replay) -> Result<Vec<JobId>, Error> {
        Ok(self.change(|store, now| store.replay(filter, now)))
    }

    async fn status(&self, id: &JobId) -> Result<Option<Status>, Error> {
        Ok(self.with(|store, now| store.status(id, now)))
    }

    async fn events(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> Result<Vec<Happened>, Error> {
        let events = self.until(wait, std::future::pending(), |store, now| {
            let events = store.events(id, after, now);
            (!events.is_empty()).then_some(events)
        });
        Ok(events.await.unwrap_or_default())
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        Ok(self.change(Store::sweep))
    }

    async fn pause(&self, paused: bool) -> Result<(), Error> {
        self.change(|store, _| store.pause(paused));
        Ok(())
    }

    async fn limit(&self, key: &LimitKey, limit: Option<Limit>) -> Result<(), Error> {
        self.change(|store, now| store.limits.set(key, limit, now));
        Ok(())
    }

    async fn limits(&self) -> Result<Vec<(LimitKey, Limit)>, Error> {
        Ok(self.with(|store, _| store.limits.all()))
    }

    async fn counts(&self) -> Result<Counts, Error> {
        Ok(self.with(|store, now| store.counts(now)))
    }

    async fn unmatchable(&self) -> Result<Vec<(Signature, u64)>, Error> {
        Ok(self.with(Store::unmatchable))
    }

    async fn explain(&self, id: &JobId) -> Result<Option<Explanation>, Error> {
        Ok(self.with(|store, now| store.explain(id, now)))
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, most: usize) -> Result<Page, Error> {
        Ok(self.with(|store, now| store.list(filter, after, most, now)))
    }
}
