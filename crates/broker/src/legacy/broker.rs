//! The calls of a broker, on this wire.

use std::pin::pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::events::Commands;
use super::finish::{cancelled, returned};
use super::job::Hash;
use super::{Change, Legacy, RUNNING, time};
use crate::broker::{
    Broker, Cancel, Counts, Exchange, Explanation, Heard, MAX_BATCH, MAX_REPLAY, Outcome, Renewal, Replay,
    Status, Submission, Swept, Ticket, Want,
};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::event::{EventId, Happened, Progress};
use crate::ids::{JobId, LimitKey};
use crate::job::Job;
use crate::life::{Death, Rejection, State};
use crate::limit::Limit;
use crate::list::{Cursor, Filter, Page};
use crate::native::cancels::cancels;
use crate::signature::Signature;

/// For how long a heartbeat shows that a worker has its jobs, in ms.
const HEARTBEAT: u64 = 60_000;

impl Broker for Legacy {
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
        let (began, mut enough) = (Instant::now(), pin!(enough));
        let end = began + want.wait;
        self.join(worker).await?;
        let mut exchange = Exchange::default();
        for (ticket, outcome) in done {
            exchange.done.push(self.finish(worker, &ticket, outcome.bounded()).await?);
        }
        let most = want.most.min(MAX_BATCH);
        if most == 0 {
            return Ok(exchange);
        }
        loop {
            exchange.waited = began.elapsed();
            match self.claim_some(worker, most, &mut exchange).await {
                // What was finished is finished, and what was claimed is claimed: both have to be told.
                Err(_) if !exchange.done.is_empty() || !exchange.claims.is_empty() => break,
                answer => answer?,
            }
            let left = end.saturating_duration_since(Instant::now());
            if !exchange.claims.is_empty() || left.is_zero() {
                break;
            }
            let pause = sleep(left.min(self.settings.poll_every));
            if let Either::Left(_) = select(enough.as_mut(), pin!(pause)).await {
                break;
            }
        }
        Ok(exchange)
    }

    async fn renew(
        &self,
        worker: &Worker,
        tickets: &[Ticket],
        _lease: Duration,
    ) -> Result<Vec<Renewal>, Error> {
        let mut renewals = Vec::new();
        for ticket in tickets {
            let mut look = redis::cmd("HMGET");
            look.arg(format!("job:{}", ticket.id)).arg("status").arg("worker_id").arg("assigned_at");
            let [status, owner, at]: [Option<String>; 3] = self.ask(&look).await?;
            let (status, claim) = (status.unwrap_or_default(), at.as_deref().and_then(time::micros));
            let mine = owner.as_deref() == Some(worker.id.as_str()) && claim == Some(ticket.fence);
            let cancel = ["failed", "cancelled"].contains(&&*status);
            renewals.push(if mine && (cancel || RUNNING.contains(&&*status)) {
                Renewal::Held { until: time::now().saturating_add(HEARTBEAT), cancel }
            } else {
                self.forget(&worker.id, ticket);
                Renewal::Lost
            });
        }
        self.reap_if_due().await?;
        Ok(renewals)
    }

    async fn progress(&self, ticket: &Ticket, progress: Progress) -> Result<Result<(), Rejection>, Error> {
        let (id, progress) = (ticket.id.as_str(), progress.bounded());
        let owner = self.owner(id);
        let Some(worker) = owner.as_ref().map(spec::ids::WorkerId::as_str) else {
            return Ok(Err(Rejection::Stale));
        };
        let (mut commands, says) = (Commands::default(), self.says(worker));
        let (percent, status, now) = (progress.percent.to_string(), "in_progress", time::iso(says.now));
        commands.add([
            "HSET",
            &format!("job:{id}:progress"),
            "progress",
            &percent,
            "status",
            status,
            "message",
            &progress.message,
            "updated_at",
            &now,
        ]);
        commands.publish(
            "update_job_progress",
            &json!({
                "job_id": id,
                "worker_id": worker,
                "progress": progress.percent,
                "status": status,
                "message": progress.message,
                "timestamp": says.now,
            }),
        );
        let change =
            Change { worker: Some(worker), claim: Some(ticket.fence), ..Change::of(id, &RUNNING, commands) };
        let heard = self.guard(&change, &self.link).await?.done;
        Ok(if heard { Ok(()) } else { Err(Rejection::Stale) })
    }

    async fn cancel(&self, id: &JobId) -> Result<Cancel, Error> {
        loop {
            let hash = self.hash(id.as_str()).await?;
            if hash == Hash::default() {
                return Ok(Cancel::Unknown);
            }
            let status = hash.status().to_owned();
            if ["completed", "failed", "cancelled"].contains(&&*status) {
                return Ok(Cancel::Finished);
            }
            let worker = hash.get("worker_id");
            let says = self.says(worker.unwrap_or_default());
            let mut commands = cancelled(id.as_str(), worker, says);
            if let Some(worker) = worker {
                let message = json!({
                    "job_id": id,
                    "worker_id": worker,
                    "reason": super::finish::CANCELLED,
                    "timestamp": says.now,
                });
                commands.publish("cancel_job", &message);
            }
            commands.add(["ZREM", "jobs:pending", id.as_str()]);
            let states = [&*status];
            let change = Change { worker, ..Change::of(id.as_str(), &states, commands) };
            if self.guard(&change, &self.link).await?.done {
                return Ok(if worker.is_some() { Cancel::Asked } else { Cancel::Cancelled });
            }
            // It was claimed, or finished, between the look and the change.
        }
    }

    fn cancels(&self) -> impl Stream<Item = Result<Heard, Error>> + Send {
        cancels(self.link.clone(), "cancel_job".into(), |message| {
            let message: Value = serde_json::from_str(message).ok()?;
            message["job_id"].as_str()?.parse().ok()
        })
    }

    async fn replay(&self, filter: &Replay) -> Result<Vec<JobId>, Error> {
        let ids = match filter {
            Replay::Job(id) => vec![id.to_string()],
            Replay::Kind(_) | Replay::All => self.ask(redis::cmd("HKEYS").arg("jobs:failed")).await?,
        };
        let mut replayed = Vec::new();
        for id in ids {
            let Some(status) = self.look_at(&id).await? else { continue };
            let State::Dead(reason) = &status.life.state else { continue };
            if matches!(filter, Replay::Kind(kind) if *kind != reason.kind) {
                continue;
            }
            let (hash, says) = (self.hash(&id).await?, self.says(""));
            let mut commands = returned(&id, &hash, says, None);
            commands.add(["HSET", &format!("job:{id}"), "retry_count", "0"]);
            commands.add(["HDEL", &format!("job:{id}"), "error", "failed_at"]);
            commands.add(["HDEL", "jobs:failed", &id]);
            let change = Change::of(&id, &["failed"], commands);
            if self.guard(&change, &self.link).await?.done {
                replayed.push(status.job.id);
            }
            if replayed.len() == MAX_REPLAY {
                break;
            }
        }
        Ok(replayed)
    }

    async fn status(&self, id: &JobId) -> Result<Option<Status>, Error> {
        self.look_at(id.as_str()).await
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
        self.reap().await
    }

    async fn pause(&self, _paused: bool) -> Result<(), Error> {
        Err(Error::Wire("a queue of the TypeScript system cannot be paused: its workers would not know"))
    }

    async fn limit(&self, _key: &LimitKey, limit: Option<Limit>) -> Result<(), Error> {
        match limit {
            Some(_) => Err(Error::Wire("a queue of the TypeScript system has no limits")),
            None => Ok(()),
        }
    }

    async fn limits(&self) -> Result<Vec<(LimitKey, Limit)>, Error> {
        Ok(vec![])
    }

    async fn counts(&self) -> Result<Counts, Error> {
        self.count().await
    }

    async fn unmatchable(&self) -> Result<Vec<(Signature, u64)>, Error> {
        self.for_nobody().await
    }

    async fn explain(&self, id: &JobId) -> Result<Option<Explanation>, Error> {
        let Some(status) = self.look_at(id.as_str()).await? else { return Ok(None) };
        let (signature, told) = (status.job.signature(), self.told().await?);
        let classes = told.known.iter().filter_map(|has| super::capabilities::told(&has.to_string()));
        let classes = classes.map(|has| (has.clone(), has.unmet(&signature))).collect();
        Ok(Some(Explanation { status, signature, paused: false, held: None, classes }))
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, most: usize) -> Result<Page, Error> {
        self.page(filter, after, most).await
    }
}

impl Legacy {
    /// Claims up to `most` jobs, one after the other.
    async fn claim_some(&self, worker: &Worker, most: usize, to: &mut Exchange) -> Result<(), Error> {
        self.reap_if_due().await?;
        let _turn = self.claiming.lock().await;
        self.settle(worker).await?;
        while to.claims.len() < most {
            let Some(claim) = self.claim_one(worker).await? else { break };
            to.claims.push(claim);
        }
        Ok(())
    }

    /// Which of our workers has this job.
    fn owner(&self, id: &str) -> Option<spec::ids::WorkerId> {
        let state = self.state();
        let mut members = state.members.iter();
        members.find(|(_, it)| it.held.contains(id)).map(|(worker, _)| worker.clone())
    }
}

/// What a job that failed for good died of: nothing in it says so, but it was given up before its last attempt only if no
/// attempt could mend it.
pub(super) fn death(hash: &Hash) -> Death {
    if hash.retries() >= hash.attempts() { Death::Attempts } else { Death::Permanent }
}
