//! Watching a job to its end, whatever happens to the connection meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep};

use crate::broker::Broker;
use crate::error::Error;
use crate::event::{EventId, Happened};
use crate::ids::JobId;
use crate::life::Backoff;

/// How long a watch tries again before it says that Redis does not answer.
pub const WATCH_PATIENCE: Duration = Duration::from_mins(1);

/// How long one call waits for an event. Nothing depends on it: the next one goes on where it was.
const WAIT: Duration = Duration::from_secs(20);
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), most: Duration::from_secs(5) };

/// The events of a job after `after` until the last. [`Broker::watch`] says what it promises.
pub(crate) fn watch<B: Broker>(
    broker: &B,
    id: JobId,
    after: Option<EventId>,
) -> impl Stream<Item = Result<Happened, Error>> + Send {
    let ready = VecDeque::new();
    // The first look does not wait: the job may be unknown, or over.
    let watch = Watch { broker, id, after, ready, wait: Duration::ZERO, ended: false, over: false };
    unfold(watch, async |mut watch| watch.next().await.map(|it| (it, watch)))
}

/// How long what fails is tried again.
#[derive(Default)]
struct Patience {
    /// Failures without a success between them, and when the first of them was seen.
    failures: u32,
    since: Option<Instant>,
}

impl Patience {
    /// The pause before the next try; `None` if it has failed for too long.
    fn failed(&mut self) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.failures += 1;
        (since.elapsed() < WATCH_PATIENCE).then(|| BACKOFF.wait(self.failures, fastrand::f64()))
    }
}

struct Watch<'b, B> {
    broker: &'b B,
    id: JobId,
    /// The last event that was given out.
    after: Option<EventId>,
    ready: VecDeque<Happened>,
    wait: Duration,
    /// The event that was given out last was a last one.
    ended: bool,
    over: bool,
}

impl<B: Broker> Watch<'_, B> {
    async fn next(&mut self) -> Option<Result<Happened, Error>> {
        let mut patience = Patience::default();
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = Some(event.id.clone());
                self.ended = event.news.is_last();
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            let error = match self.look().await {
                Ok(()) => {
                    patience = Patience::default();
                    continue;
                }
                Err(error) => error,
            };
            let pause = if matches!(error, Error::Unreachable(_) | Error::NoMemory { .. }) {
                patience.failed()
            } else {
                None
            };
            let Some(pause) = pause else {
                self.over = true;
                return Some(Err(error));
            };
            sleep(pause).await;
        }
    }

    /// Fetches what follows, waiting for it unless the job has ended.
    async fn look(&mut self) -> Result<(), Error> {
        let wait = if self.ended { Duration::ZERO } else { self.wait };
        self.ready.extend(self.broker.events(&self.id, self.after.as_ref(), wait).await?);
        if !self.ready.is_empty() {
            return Ok(());
        }
        let status = self.broker.status(&self.id).await?;
        if status.as_ref().is_some_and(|it| !it.life.state.is_terminal()) {
            // It waits or runs, perhaps because it was replayed after its last event.
            (self.wait, self.ended) = (WAIT, false);
            return Ok(());
        }
        // It may have ended, and even been forgotten, between the two questions: its events are kept longer.
        self.ready.extend(self.broker.events(&self.id, self.after.as_ref(), Duration::ZERO).await?);
        self.over = self.ready.is_empty();
        if self.over && status.is_none() && !self.ended {
            return Err(Error::Unknown { id: self.id.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_begins_with_the_first_failure_and_lasts_a_minute() {
        // However quiet it was before.
        let mut patience = Patience::default();
        tokio::time::advance(10 * WATCH_PATIENCE).await;
        let (began, mut tries) = (Instant::now(), 0);
        while let Some(pause) = patience.failed() {
            assert!(pause <= BACKOFF.most);
            tries += 1;
            tokio::time::advance(pause).await;
        }
        assert!(began.elapsed() >= WATCH_PATIENCE && began.elapsed() < WATCH_PATIENCE + BACKOFF.most);
        assert!(tries > 10, "{tries}");
    }
}
