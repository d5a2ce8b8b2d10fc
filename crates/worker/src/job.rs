//! What runs beside the loop: a job's connector, what it tells of its progress, and looks at services.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Ticket};
use futures_util::future::{FusedFuture as _, FutureExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

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

/// Starts a connector. How it ends is told once all that it said before has been sent.
pub(crate) fn begin<B: Broker + 'static>(
    jobs: &Handle,
    connector: Arc<dyn Connector>,
    task: Task,
    hands: Hands,
    progress: Progress<B>,
    told: UnboundedSender<News>,
) -> AtWork {
    let fence = progress.ticket.fence;
    let sent = jobs.spawn(progress.send(hands.progress.clone(), hands.gone));
    let run = jobs.spawn(async move { connector.run(&task).await });
    let at_work = AtWork { stop: hands.stop, connector: run.abort_handle() };
    jobs.spawn(async move {
        // A panic of one job is the failure of one job.
        let result = run.await.unwrap_or_else(|error| {
            let message =
                if error.is_panic() { panicked(&*error.into_panic()) } else { "it was cut off".into() };
            Err(Failure::retryable(message))
        });
        let _ = sent.await;
        // Nobody listens once the loop has ended.
        let _ = told.send(News::Done { fence, result });
    });
    at_work
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
