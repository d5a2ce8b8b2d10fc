//! The broker on Redis (6.2 or later) or Valkey.
//!
//! Every change is one script, so that it happens whole or not at all; `docs/broker.md` lists every key and field. The
//! scripts know lines, dates and numbers. What requirements mean, they do not know: which signatures a class takes is
//! judged here ([`Native::learn`]) and written down for all workers of the class.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use redis::aio::ConnectionLike;
use redis::{AsyncCommands, FromRedisValue};

use crate::broker::{
    Broker, Cancel, Claim, Counts, Exchange, Explanation, Heard, MAX_BATCH, MAX_REPLAY, Outcome, Renewal,
    Replay, Status, Submission, Swept, Ticket, Want,
};
use crate::capabilities::{Capabilities, Worker};
use crate::error::Error;
use crate::event::{EventId, Happened, News, Progress};
use crate::ids::{JobId, LimitKey};
use crate::job::Job;
use crate::life::{Death, Rejection, State, ms};
use crate::limit::Limit;
use crate::list::{Cursor, Filter, Page};
use crate::settings::Settings;
use crate::signature::Signature;

mod audit;
mod blocking;
mod calls;
pub(crate) mod cancels;
mod exchange;
mod limits;
pub(crate) mod link;
mod list;
mod look;
mod meet;
mod record;
mod scripts;
mod server;
mod submit;
mod wire;

use blocking::Blocking;
use calls::Calls;
use cancels::cancels;
use link::Link;
pub use link::{Address, AddressFault};
use meet::{Ask, Meeting};
use scripts::{Call, Script};
pub use server::Server;
use wire::{foreign, parsed};

/// Entries of one read that is not in a script.
const CHUNK: usize = 100;
/// Leases in one call.
const LEASES: usize = 32;
/// Dead jobs that one call puts back.
const REPLAYED: usize = 16;

/// A broker on Redis.
pub struct Native {
    settings: Settings,
    calls: Arc<Calls>,
    connection: Link,
    blocking: Blocking,
    meeting: Arc<Meeting>,
}

impl Native {
    /// Connects. From then on the connection opens itself again: docs/broker.md tells how, under Addresses.
    pub async fn connect(url: &str, settings: Settings) -> Result<Self, Error> {
        let calls = Arc::new(Calls::new(&settings));
        let connection = Link::open(url.parse()?, format!("{}m", calls.prefix)).await?;
        let (blocking, meeting) =
            (Blocking::new(connection.clone()), Meeting::new(calls.clone(), connection.clone()));
        Ok(Self { settings, calls, connection, blocking, meeting })
    }

    /// The connection, for commands beside those of the queue. It opens itself again; clones share it.
    pub fn connection(&self) -> impl ConnectionLike + Clone + Send + Sync + use<> {
        self.connection.clone()
    }

    fn key(&self, rest: impl std::fmt::Display) -> String {
        format!("{}{rest}", self.calls.prefix)
    }

    /// Runs a script that may be carried out twice, where its first answer was lost.
    async fn run<T: FromRedisValue>(&self, script: &Script, call: Call) -> Result<T, Error> {
        self.calls.run(self.connection.clone(), script, call).await
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Error> {
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// One call of the exchange, and the judging of what it asks; with the time until something happens by itself, 0 to
    /// ask again at once.
    async fn try_exchange(
        &self,
        worker: &Worker,
        done: &[(Ticket, Outcome)],
        want: Want,
        (woken, waits): (bool, bool),
    ) -> Result<(Exchange, Option<Duration>), Error> {
        let done = done.iter().map(|(ticket, outcome)| {
            let (letter, text) = match outcome {
                Outcome::Success(result) => ('S', result.to_string()),
                Outcome::Failure { retryable: true, message } => ('F', message.clone()),
                Outcome::Failure { retryable: false, message } => ('P', message.clone()),
                Outcome::HandBack => ('H', String::new()),
                Outcome::Stopped => ('X', String::new()),
            };
            (ticket.clone(), letter, text)
        });
        let done: Vec<_> = done.collect();
        // A success can be told again. Of another outcome nobody would know the second time whether it was heard the first.
        let twice = done.iter().all(|(_, letter, _)| *letter == 'S');
        let ask =
            Ask { worker: worker.id.clone(), most: want.most.min(MAX_BATCH), woken, waits, twice, done };
        let told = self.meeting.exchange((worker.class(), ms(want.lease)), ask).await?;
        if let Some((from, upto, signatures)) = told.judge {
            self.learn(worker, &signatures, &from, &upto).await?;
        }
        let done = told.heard.into_iter().map(|it| if it { Ok(()) } else { Err(Rejection::Stale) }).collect();
        let (claims, next) = (self.readable(worker, &told.claims).await?, told.next);
        let exchange = Exchange { done, claims, waited: Duration::ZERO };
        Ok((exchange, u64::try_from(next).ok().map(Duration::from_millis)))
    }

    /// The claims whose documents can be read. Another client may have written what we refuse: such a job is dead, and
    /// its worker and the jobs beside it go on.
    async fn readable(&self, worker: &Worker, parts: &[String]) -> Result<Vec<Claim>, Error> {
        let (mut claims, mut unreadable) = (Vec::new(), Vec::new());
        for parts in parts.chunks_exact(wire::CLAIM) {
            match wire::claim(&parts[0], &parts[1], &parts[2]) {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    let ticket = wire::ticket(&parts[0], &parts[1])?;
                    let message = error.to_string();
                    unreadable.push((ticket, Outcome::Failure { retryable: false, message }));
                }
            }
        }
        if !unreadable.is_empty() {
            Box::pin(self.try_exchange(worker, &unreadable, Want::NOTHING, (false, false))).await?;
        }
        Ok(claims)
    }

    /// Judges which signatures the worker's class takes.
    async fn learn(
        &self,
        worker: &Worker,
        signatures: &[String],
        from: &str,
        upto: &str,
    ) -> Result<(), Error> {
        let has = serde_json::to_string(worker.capabilities()).map_err(|_| foreign("capabilities"))?;
        let mut call = Call::default().and(worker.class()).and(has).and(from).and(upto);
        for pair in signatures.chunks_exact(2) {
            // What cannot be read is of a later version, and for workers of a later version.
            let (signature, document) = if pair[1].starts_with('{') {
                (serde_json::from_str::<Signature>(&pair[1]).ok(), String::new())
            } else {
                let signature = wire::job(&pair[1], &pair[0]).ok().map(|it| it.signature());
                let document = serde_json::to_string(&signature).map_err(|_| foreign("a signature"))?;
                (signature, document)
            };
            if signature.is_some_and(|it| worker.capabilities().satisfy(&it)) {
                call = call.and(&pair[0]).and(document);
            }
        }
        self.run::<redis::Value>(&self.calls.scripts.learn, call).await.map(drop)
    }
}

impl Broker for Native {
    async fn submit(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        self.submit_all(jobs).await
    }

    async fn exchange_until(
        &self,
        worker: &Worker,
        done: Vec<(Ticket, Outcome)>,
        want: Want,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<Exchange, Error> {
        self.exchange_and_wait(worker, done, want, enough).await
    }

    async fn renew(
        &self,
        worker: &Worker,
        tickets: &[Ticket],
        lease: Duration,
    ) -> Result<Vec<Renewal>, Error> {
        let mut renewals = Vec::new();
        for tickets in tickets.chunks(LEASES) {
            let call = Call::default().and(worker.class()).and(ms(lease));
            let call = tickets.iter().fold(call, |call, it| call.and(&it.id).and(it.fence));
            let told: Vec<String> = self.run(&self.calls.scripts.renew, call).await?;
            for pair in told.chunks_exact(2) {
                renewals.push(match &*pair[0] {
                    "" => Renewal::Lost,
                    until => Renewal::Held { until: parsed(until, "renew")?, cancel: pair[1] == "1" },
                });
            }
        }
        Ok(renewals)
    }

    async fn progress(&self, ticket: &Ticket, progress: Progress) -> Result<Result<(), Rejection>, Error> {
        let news =
            serde_json::to_string(&News::Progress(progress.bounded())).map_err(|_| foreign("progress"))?;
        let call = Call::default().and(&ticket.id).and(ticket.fence).and(news);
        let heard: u8 = self.run(&self.calls.scripts.progress, call).await?;
        Ok(if heard == 1 { Ok(()) } else { Err(Rejection::Stale) })
    }

    async fn cancel(&self, id: &JobId) -> Result<Cancel, Error> {
        let told: String = self.run(&self.calls.scripts.cancel, Call::default().and(id)).await?;
        match &*told {
            "cancelled" => Ok(Cancel::Cancelled),
            "asked" => Ok(Cancel::Asked),
            "finished" => Ok(Cancel::Finished),
            "unknown" => Ok(Cancel::Unknown),
            _ => Err(foreign("cancel")),
        }
    }

    fn cancels(&self) -> impl Stream<Item = Result<Heard, Error>> + Send {
        cancels(self.connection.clone(), self.key("cancel"), |it| it.parse().ok())
    }

    async fn replay(&self, filter: &Replay) -> Result<Vec<JobId>, Error> {
        let kinds = match filter {
            Replay::Job(_) => vec![],
            Replay::Kind(kind) => vec![*kind],
            Replay::All => vec![Death::Permanent, Death::Attempts, Death::Crashes],
        };
        let one = if let Replay::Job(id) = filter { id.as_str() } else { "" };
        let mut replayed = Vec::new();
        while replayed.len() < MAX_REPLAY {
            let most = REPLAYED.min(MAX_REPLAY - replayed.len());
            let call = kinds.iter().fold(Call::default().and(most).and(one), |call, it| call.and(it.word()));
            // The second time would tell only of jobs that the first had left.
            let told: Vec<String> =
                self.calls.run(self.connection.once(), &self.calls.scripts.replay, call).await?;
            let [more, ids @ ..] = &*told else { return Err(foreign("replay")) };
            for id in ids {
                replayed.push(parsed(id, "replay")?);
            }
            if more != "1" {
                break;
            }
        }
        Ok(replayed)
    }

    async fn status(&self, id: &JobId) -> Result<Option<Status>, Error> {
        self.look_at(id).await
    }

    async fn events(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> Result<Vec<Happened>, Error> {
        self.happened(id, after, wait).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let (expired, due): (usize, usize) = self.run(&self.calls.scripts.sweep, Call::default()).await?;
        Ok(Swept { expired, due })
    }

    async fn pause(&self, paused: bool) -> Result<(), Error> {
        let call = Call::default().and(u8::from(paused));
        self.run::<redis::Value>(&self.calls.scripts.pause, call).await.map(drop)
    }

    async fn limit(&self, key: &LimitKey, limit: Option<Limit>) -> Result<(), Error> {
        self.set_limit(key, limit).await
    }

    async fn limits(&self) -> Result<Vec<(LimitKey, Limit)>, Error> {
        self.all_limits().await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        self.count().await
    }

    async fn unmatchable(&self) -> Result<Vec<(Signature, u64)>, Error> {
        self.lines_of_nobody().await
    }

    async fn explain(&self, id: &JobId) -> Result<Option<Explanation>, Error> {
        let Some(status) = self.look_at(id).await? else { return Ok(None) };
        let signature = status.job.signature();
        let paused: Option<u8> = self.connection.clone().hget(self.key("m"), "paused").await?;
        let held = match status.life.state {
            State::Waiting => self.holds(&status.job).await?,
            _ => None,
        };
        let classes = self.live_classes().await?;
        let fits = |(_, has): (_, Capabilities)| {
            let unmet = has.unmet(&signature);
            (has, unmet)
        };
        let classes = classes.into_iter().map(fits).collect();
        Ok(Some(Explanation { status, signature, paused: paused == Some(1), held, classes }))
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, most: usize) -> Result<Page, Error> {
        self.list_page(filter, after, most).await
    }
}
