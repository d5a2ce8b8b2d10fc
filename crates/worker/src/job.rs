//! What runs beside the loop: a job's connector, what it tells of its progress, and looks at services.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Ticket};
use futures_util::future::{FusedFuture as _, FutureExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, Span};

use crate::connector::{Connector, Hands, Stop, Stopper, Task};
use crate::failure::Failure;
use crate::redact::Redactor;
use crate::runner::News;

/// A connector that runs.
pub(crate) struct AtWork {
    stop: Stopper,
    connector: AbortHandle,
}

impl AtWork {
    pub(crate) fn stop(&self, why: Stop) {
        self.stop.stop(why);
    }

    /// Ends the connector at its next await.
    pub(crate) fn cut_off(&self) {
        self.connector.abort();
    }
}

/// A job that is to be done.
pub(crate) struct Job<B> {
    /// What the loop knows it by.
    pub(crate) number: u64,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) task: Task,
    pub(crate) hands: Hands,
    pub(crate) progress: Progress<B>,
    pub(crate) span: Span,
}

impl<B: Broker + 'static> Job<B> {
    /// Starts its connector. How it ends is told once all that it said before has been sent.
    pub(crate) fn begin(self, jobs: &Handle, told: UnboundedSender<News>) -> AtWork {
        let Self { number, connector, task, hands: Hands { stop, progress: says, gone }, progress, span } =
            self;
        let work = async move {
            // A panic of one job is the failure of one job.
            let run = AssertUnwindSafe(async { connector.run(&task).await }).catch_unwind().await;
            run.unwrap_or_else(|panic| Err(Failure::retryable(panicked(&*panic))))
        };
        let run = async move {
            let (mut work, mut first) = (pin!(work), says.clone());
            // Many jobs end without a word, or with one: they need no task that sends.
            let result = tokio::select! {
                biased;
                result = &mut work => {
                    progress.send(says, gone).await;
                    result
                }
                Ok(()) = first.changed() => {
                    let sent = tokio::spawn(progress.send(says, gone));
                    let result = work.await;
                    let _ = sent.await;
                    result
                }
            };
            // Nobody listens once the loop has ended.
            let _ = told.send(News::Done { number, result });
        };
        AtWork { stop, connector: jobs.spawn(run.instrument(span)).abort_handle() }
    }
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let said =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    format!("the connector panicked: {}", said.unwrap_or("without a word"))
}

/// Looks at a service.
pub(crate) fn look(
    jobs: &Handle,
    connector: Arc<dyn Connector>,
    within: Duration,
    service: usize,
    told: UnboundedSender<News>,
) {
    jobs.spawn(async move {
        let found = timeout(within, connector.check()).await.unwrap_or_else(|_| {
            Err(Failure::service(format!("it did not answer within {} s", within.as_secs())))
        });
        let _ = told.send(News::Looked { service, found });
    });
}

/// Tells the broker how far a job is.
pub(crate) struct Progress<B> {
    pub(crate) broker: Arc<B>,
    pub(crate) ticket: Ticket,
    pub(crate) every: Duration,
    pub(crate) redactor: Redactor,
}

impl<B: Broker> Progress<B> {
    /// Sends the latest of what is told, with a pause between two, until the teller is gone. The last is always sent, and
    /// then without a pause: the end of the job waits for it.
    async fn send(
        self,
        mut told: watch::Receiver<Option<broker::Progress>>,
        gone: oneshot::Receiver<Infallible>,
    ) {
        let (mut next, mut gone) = (Instant::now(), std::pin::pin!(gone.fuse()));
        // A change that was not seen is seen even if its teller is gone by now.
        while told.changed().await.is_ok() {
            tokio::select! {
                () = sleep_until(next) => {}
                _ = &mut gone, if !gone.is_terminated() => {}
            }
            let Some(mut progress) = told.borrow_and_update().clone() else { continue };
            progress.message = self.redactor.text(progress.message);
            next = Instant::now() + self.every;
            // Progress is for people who watch: what cannot be sent is not worth a job.
            if let Err(error) = self.broker.progress(&self.ticket, progress).await {
                tracing::debug!(%error, "progress could not be sent");
            }
        }
    }
}
