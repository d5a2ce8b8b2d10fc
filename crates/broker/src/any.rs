//! A broker on the wire that was chosen where the program starts.

use std::str::FromStr;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};

use crate::broker::{
    Broker, Cancel, Counts, Exchange, Explanation, Heard, Outcome, Renewal, Replay, Status, Submission,
    Swept, Ticket, Want,
};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::event::{EventId, Happened, Progress};
use crate::ids::{JobId, LimitKey};
use crate::job::Job;
use crate::legacy::{self, Legacy};
use crate::life::Rejection;
use crate::limit::Limit;
use crate::list::{Cursor, Filter, Page};
use crate::native::Native;
use crate::settings::Settings;
use crate::signature::Signature;

/// How an address says that the queue behind it is of the TypeScript system: `legacy+redis://…`.
const PREFIX: &str = "legacy+";

/// Which wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Ours.
    #[default]
    Native,
    /// That of the TypeScript system.
    Legacy,
}

/// A text that names no wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are `native` and `legacy`")]
pub struct NotAWire;

impl FromStr for Wire {
    type Err = NotAWire;
    fn from_str(text: &str) -> Result<Self, NotAWire> {
        match text {
            "native" => Ok(Self::Native),
            "legacy" => Ok(Self::Legacy),
            _ => Err(NotAWire),
        }
    }
}

impl Wire {
    /// The wire that an address names, if it names one, and the address of its Redis.
    pub fn of(url: &str) -> (Option<Self>, &str) {
        url.strip_prefix(PREFIX).map_or((None, url), |rest| (Some(Self::Legacy), rest))
    }
}

/// A broker on either wire.
pub enum Any {
    /// On ours.
    Native(Box<Native>),
    /// On that of the TypeScript system.
    Legacy(Box<Legacy>),
}

impl Any {
    /// Connects to a queue of ours.
    pub async fn native(url: &str, settings: Settings) -> Result<Self, Error> {
        Native::connect(url, settings).await.map(|it| Self::Native(Box::new(it)))
    }

    /// Connects to the queue of the TypeScript system.
    pub async fn legacy(url: &str, settings: legacy::Settings) -> Result<Self, Error> {
        Legacy::connect(url, settings).await.map(|it| Self::Legacy(Box::new(it)))
    }

    /// What a worker says that ends: a queue of ours needs no such word, for leases end by themselves.
    pub async fn leave(&self, worker: &Worker) -> Result<(), Error> {
        match self {
            Self::Native(_) => Ok(()),
            Self::Legacy(it) => it.leave(worker).await,
        }
    }
}

macro_rules! either {
    ($self:ident, $it:ident => $call:expr) => {
        match $self {
            Any::Native($it) => $call,
            Any::Legacy($it) => $call,
        }
    };
}

impl Broker for Any {
    async fn submit(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        either!(self, it => it.submit(jobs).await)
    }
    async fn exchange_until(
        &self,
        worker: &Worker,
        done: Vec<(Ticket, Outcome)>,
        want: Want,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<Exchange, Error> {
        either!(self, it => it.exchange_until(worker, done, want, enough).await)
    }
    fn cancels(&self) -> impl Stream<Item = Result<Heard, Error>> + Send {
        either!(self, it => it.cancels().boxed())
    }
    async fn renew(
        &self,
        worker: &Worker,
        tickets: &[Ticket],
        lease: Duration,
    ) -> Result<Vec<Renewal>, Error> {
        either!(self, it => it.renew(worker, tickets, lease).await)
    }
    async fn progress(&self, ticket: &Ticket, progress: Progress) -> Result<Result<(), Rejection>, Error> {
        either!(self, it => it.progress(ticket, progress).await)
    }
    async fn cancel(&self, id: &JobId) -> Result<Cancel, Error> {
        either!(self, it => it.cancel(id).await)
    }
    async fn replay(&self, filter: &Replay) -> Result<Vec<JobId>, Error> {
        either!(self, it => it.replay(filter).await)
    }
    async fn status(&self, id: &JobId) -> Result<Option<Status>, Error> {
        either!(self, it => it.status(id).await)
    }
    async fn events(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> Result<Vec<Happened>, Error> {
        either!(self, it => it.events(id, after, wait).await)
    }
    async fn sweep(&self) -> Result<Swept, Error> {
        either!(self, it => it.sweep().await)
    }
    async fn pause(&self, paused: bool) -> Result<(), Error> {
        either!(self, it => it.pause(paused).await)
    }
    async fn limit(&self, key: &LimitKey, limit: Option<Limit>) -> Result<(), Error> {
        either!(self, it => it.limit(key, limit).await)
    }
    async fn limits(&self) -> Result<Vec<(LimitKey, Limit)>, Error> {
        either!(self, it => it.limits().await)
    }
    async fn counts(&self) -> Result<Counts, Error> {
        either!(self, it => it.counts().await)
    }
    async fn unmatchable(&self) -> Result<Vec<(Signature, u64)>, Error> {
        either!(self, it => it.unmatchable().await)
    }
    async fn explain(&self, id: &JobId) -> Result<Option<Explanation>, Error> {
        either!(self, it => it.explain(id).await)
    }
    async fn list(&self, filter: &Filter, after: Option<&Cursor>, most: usize) -> Result<Page, Error> {
        either!(self, it => it.list(filter, after, most).await)
    }
}
