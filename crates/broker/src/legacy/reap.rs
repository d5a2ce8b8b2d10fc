//! The reaper: gives back the jobs of workers that are gone. Only where that is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::events::Commands;
use super::{Change, Legacy, RUNNING};
use crate::broker::Swept;
use crate::error::Error;

/// How often one process looks, at most.
const EVERY: Duration = Duration::from_secs(30);
/// What is said of a job whose worker is gone.
pub(super) const LOST: &str = "its worker is gone: it has had no heartbeat for more than a minute";

impl Legacy {
    /// Looks for workers that are gone, if that is wanted and due.
    pub(super) async fn reap_if_due(&self) -> Result<(), Error> {
        let now = Instant::now();
        let due = {
            let mut state = self.state();
            let due = self.settings.reap_after.is_some()
                && state.reaped.is_none_or(|it| now.duration_since(it) >= EVERY);
            if due {
                state.reaped = Some(now);
            }
            due
        };
        if due { self.reap().await.map(drop) } else { Ok(()) }
    }

    /// Gives back the jobs of workers whose heartbeat has been gone for long enough. A job that was lost with its worker has
    /// run: it counts as a failure, so that a job which kills its workers ends.
    pub(super) async fn reap(&self) -> Result<Swept, Error> {
        let Some(after) = self.settings.reap_after else { return Ok(Swept::default()) };
        let (now, mut silent, mut gone) = (Instant::now(), BTreeMap::new(), Vec::new());
        let before = self.state().silent.clone();
        for (worker, alive) in self.owners().await? {
            if alive {
                continue;
            }
            let since = before.get(&worker).copied().unwrap_or(now);
            if now.duration_since(since) >= after {
                gone.push(worker.clone());
            }
            silent.insert(worker, since);
        }
        self.state().silent = silent;
        let mut expired = 0;
        for worker in gone {
            let active: Vec<String> =
                self.ask(redis::cmd("HKEYS").arg(format!("jobs:active:{worker}"))).await?;
            for id in active {
                expired += usize::from(self.reap_one(&worker, &id).await?);
            }
        }
        Ok(Swept { expired, due: 0 })
    }

    /// Workers that have jobs, and whether they have a heartbeat.
    pub(super) async fn owners(&self) -> Result<Vec<(String, bool)>, Error> {
        let keys = self.keys("jobs:active:*").await?;
        let workers = keys.iter().filter_map(|it| it.strip_prefix("jobs:active:"));
        let mut owners = Vec::new();
        for worker in workers {
            let key = format!("worker:{worker}:heartbeat");
            owners.push((worker.to_owned(), self.ask(redis::cmd("EXISTS").arg(key)).await?));
        }
        Ok(owners)
    }

    /// All keys of a pattern. `KEYS` would hold up everyone else.
    pub(super) async fn keys(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
            let (next, keys): (String, Vec<String>) = self.ask(&scan).await?;
            found.extend(keys);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Whether a job of a worker that is gone was given back.
    async fn reap_one(&self, worker: &str, id: &str) -> Result<bool, Error> {
        let (hash, says) = (self.hash(id).await?, self.says(worker));
        let owner = hash.get("worker_id").unwrap_or_default();
        let status = hash.status().to_owned();
        if owner == worker && RUNNING.contains(&&*status) {
            let commands = self.failed(id, &hash, (LOST, true), says);
            let claim = hash.get("assigned_at").and_then(super::time::micros);
            let change = Change { worker: Some(worker), claim, ..Change::of(id, &RUNNING, commands) };
            return Ok(self.guard(&Change { gone: Some(worker), ..change }, &self.link).await?.done);
        }
        let mut commands = Commands::default();
        // Its worker died between giving it back and queueing it.
        let forgotten = status == "pending" && owner.is_empty();
        if forgotten {
            commands.add(["ZADD", "jobs:pending", "NX", &hash.score(says.now).to_string(), id]);
        }
        commands.add(["HDEL", &format!("jobs:active:{worker}"), id]);
        let states = [&*status];
        let change = Change { gone: Some(worker), ..Change::of(id, &states, commands) };
        Ok(self.guard(&change, &self.link).await?.done && forgotten)
    }
}
