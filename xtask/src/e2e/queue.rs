//! A client of the queue: what submits jobs, and says what became of them.

use std::{collections::BTreeMap, time::Duration};

use broker::{Broker as _, Job, JobId, Native, Settings, Status, life::State};
use serde_json::Value;

use super::world::until;

/// How long a job may take, with all that happens to it.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client of the queue that machines work on unless told otherwise.
pub(super) struct Queue {
    pub(super) broker: Native,
}

impl Queue {
    /// A queue in an emptied database.
    pub(super) async fn fresh(url: &str) -> Result<Self, String> {
        let client = redis::Client::open(url).map_err(|error| error.to_string())?;
        let mut link = client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
        redis::cmd("FLUSHDB").query_async::<()>(&mut link).await.map_err(|error| error.to_string())?;
        let name = "jobs".parse().map_err(|error| format!("{error:?}"))?;
        let broker = Native::connect(url, Settings::new(name)).await.map_err(|error| error.to_string())?;
        Ok(Self { broker })
    }

    /// A job of a type.
    pub(super) fn job(kind: &str, payload: Value) -> Result<Job, String> {
        Ok(Job::new(kind.parse().map_err(|error| format!("{kind}: {error:?}"))?).payload(payload))
    }

    /// Submits jobs in their order.
    pub(super) async fn submit(&self, jobs: Vec<Job>) -> Result<Vec<JobId>, String> {
        let submitted = self.broker.submit(&jobs).await.map_err(|error| error.to_string())?;
        Ok(submitted.iter().map(|it| it.id().clone()).collect())
    }

    /// What is known of a job.
    pub(super) async fn status(&self, id: &JobId) -> Result<Status, String> {
        let status = self.broker.status(id).await.map_err(|error| error.to_string())?;
        status.ok_or_else(|| format!("{id} is not known any more"))
    }

    /// Waits until a job is as wanted.
    pub(super) async fn until(&self, id: &JobId, is: impl Fn(&Status) -> bool) -> Result<Status, String> {
        let what = format!("job {id} is as wanted");
        until(&what, PATIENCE, async || Ok(Some(self.status(id).await?).filter(|it| is(it)))).await
    }

    /// Waits until a job runs.
    pub(super) async fn running(&self, id: &JobId) -> Result<Status, String> {
        self.until(id, |it| matches!(it.life.state, State::Running { .. })).await
    }

    /// Waits until all jobs are over.
    pub(super) async fn over(&self, ids: &[JobId]) -> Result<Vec<Status>, String> {
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            all.push(self.until(id, |it| it.life.state.is_terminal()).await?);
        }
        Ok(all)
    }

    /// Waits until all jobs have succeeded, and tells by whom each was seen running last.
    pub(super) async fn done(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, String>, String> {
        let mut open: Vec<_> = ids.to_vec();
        let mut workers = BTreeMap::new();
        until("all jobs have succeeded", PATIENCE, async || {
            let mut left = Vec::new();
            for id in std::mem::take(&mut open) {
                let status = self.status(&id).await?;
                match status.life.state {
                    State::Succeeded => {}
                    State::Running { worker, .. } => {
                        workers.insert(id.clone(), worker.to_string());
                        left.push(id);
                    }
                    State::Waiting | State::Delayed { .. } => left.push(id),
                    State::Cancelled | State::Dead(_) => return Err(format!("{id}: {:?}", status.life)),
                }
            }
            open = left;
            Ok(open.is_empty().then_some(()))
        })
        .await?;
        Ok(workers)
    }

    /// Every job in exactly one state, and none left anywhere.
    pub(super) async fn audited(&self) -> Result<(), String> {
        let audit = self.broker.audit(|_| ()).await.map_err(|error| error.to_string())?;
        if audit.damage.is_empty() { Ok(()) } else { Err(format!("the audit finds {:?}", audit.damage)) }
    }
}
