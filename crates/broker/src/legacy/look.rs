//! Reading without changing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::broker::death;
use super::finish::CANCELLED;
use super::job::Hash;
use super::matching::{Verdict, judge};
use super::{Legacy, time};
use crate::broker::{Counts, Status};
use crate::error::Error;
use crate::event::{EventId, Happened, News, Progress};
use crate::ids::JobId;
use crate::life::{Life, Millis, Reason, State, ms};
use crate::list::{Cursor, Filter, MAX_PAGE, Page, Stage, Summary};
use crate::signature::Signature;

/// How often a job is looked at for those who wait for an event.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Jobs of one call.
const CHUNK: usize = 100;

/// What live workers say of themselves.
pub(super) struct Told {
    /// Documents with what they take.
    pub known: Vec<Value>,
    /// Workers that say nothing, or of which the API says too little.
    pub silent: Vec<String>,
}

impl Legacy {
    pub(super) async fn look_at(&self, id: &str) -> Result<Option<Status>, Error> {
        let mut pipe = redis::pipe();
        pipe.cmd("HGETALL").arg(format!("job:{id}"));
        pipe.cmd("HGET").arg("jobs:completed").arg(id).cmd("HGET").arg("jobs:failed").arg(id);
        let (hash, completed, failed): (HashMap<String, String>, Option<String>, Option<String>) =
            pipe.query_async(&mut self.link.clone()).await?;
        if hash.is_empty() {
            return Ok(None);
        }
        let read = |text: Option<String>| text.and_then(|it| serde_json::from_str(&it).ok());
        self.status_of(id, &Hash(hash), read(completed), read(failed)).map(Some)
    }

    fn status_of(
        &self,
        id: &str,
        hash: &Hash,
        completed: Option<Value>,
        failed: Option<Value>,
    ) -> Result<Status, Error> {
        let foreign = || Error::Foreign { key: format!("job:{id}") };
        let job = hash.known(&id.parse().map_err(|_| foreign())?, &self.settings)?;
        let now = time::now();
        let at = |field| hash.get(field).and_then(time::read);
        let failed = failed.unwrap_or_default();
        let message = failed["error"].as_str().or(hash.get("error")).map(str::to_owned);
        let assigned = hash.get("assigned_at").and_then(time::micros);
        let state = match hash.status() {
            "assigned" | "accepted" | "in_progress" => {
                let began = at("started_at").or(at("assigned_at")).unwrap_or(now);
                let deadline = began.saturating_add(ms(self.settings.timeout));
                let worker = hash.get("worker_id").unwrap_or_default().parse().map_err(|_| foreign())?;
                State::Running { worker, until: deadline, deadline, cancel: false }
            }
            "completed" => State::Succeeded,
            "cancelled" => State::Cancelled,
            "failed" if failed["cancelled"] == true || hash.get("error") == Some(CANCELLED) => {
                State::Cancelled
            }
            "failed" | "timeout" | "unworkable" => {
                let message = message.clone().unwrap_or_else(|| "nothing says why".into());
                State::Dead(Reason { kind: death(hash), message })
            }
            _ => State::Waiting,
        };
        let finished = state.is_terminal().then(|| at("completed_at").or(at("failed_at"))).flatten();
        let life = Life { state, attempts: hash.retries(), crashes: 0, fence: assigned.unwrap_or_default() };
        let result = completed.map(|mut it| {
            let mut data = it["data"].take();
            // What a worker returns is in an envelope of its own.
            if data.get("success").is_some() && data.get("data").is_some() {
                data["data"].take()
            } else {
                data
            }
        });
        let submitted = hash.created().unwrap_or_default();
        Ok(Status { job, life, submitted, finished, result, error: message, now })
    }

    /// What is left of what happened to a job: its last progress, its last failure, its end.
    async fn news(&self, id: &JobId) -> Result<Vec<Happened>, Error> {
        let Some(status) = self.look_at(id.as_str()).await? else { return Ok(vec![]) };
        let progress: HashMap<String, String> =
            self.ask(redis::cmd("HGETALL").arg(format!("job:{id}:progress"))).await?;
        let happened =
            |at: Millis, sequence: u8, news| Happened { id: EventId(format!("{at}-{sequence}")), at, news };
        let mut all = Vec::new();
        if let Some(at) = progress.get("updated_at").and_then(|it| time::read(it)) {
            let percent = progress.get("progress").and_then(|it| it.parse::<f64>().ok()).unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
            let percent = percent.clamp(0.0, 100.0) as u8;
            let message = progress.get("message").cloned().unwrap_or_default();
            all.push(happened(at, 0, News::Progress(Progress { percent, message })));
        }
        let news = match &status.life.state {
            State::Succeeded => News::Succeeded,
            State::Cancelled => News::Cancelled,
            State::Dead(_) => News::Dead,
            _ if status.life.attempts > 0 => News::Returned,
            _ => return Ok(all),
        };
        let hash = self.hash(id.as_str()).await?;
        let at = status.finished.or_else(|| hash.get("failed_at").and_then(time::read));
        all.extend(at.map(|at| happened(at, 1, news)));
        Ok(all)
    }

    pub(super) async fn happened(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> Result<Vec<Happened>, Error> {
        let place = |it: &EventId| {
            let (at, sequence) = it.0.split_once('-').unwrap_or((&it.0, "0"));
            (at.parse::<u64>().unwrap_or_default(), sequence.parse::<u64>().unwrap_or_default())
        };
        let (behind, end) = (after.map(place), Instant::now() + wait);
        loop {
            let mut news = self.news(id).await?;
            news.retain(|it| behind.is_none_or(|behind| place(&it.id) > behind));
            news.sort_by_key(|it| place(&it.id));
            let left = end.saturating_duration_since(Instant::now());
            if !news.is_empty() || left.is_zero() {
                return Ok(news);
            }
            sleep(left.min(LOOK_EVERY)).await;
        }
    }

    pub(super) async fn count(&self) -> Result<Counts, Error> {
        let mut running = 0;
        for (worker, _) in self.owners().await? {
            running += self.ask::<u64>(redis::cmd("HLEN").arg(format!("jobs:active:{worker}"))).await?;
        }
        let waiting = self.ask(redis::cmd("ZCARD").arg("jobs:pending")).await?;
        let dead = self.ask(redis::cmd("HLEN").arg("jobs:failed")).await?;
        Ok(Counts { waiting, running, dead, ..Counts::default() })
    }

    /// What workers with a heartbeat say that they take.
    pub(super) async fn told(&self) -> Result<Told, Error> {
        let mut told = Told { known: vec![], silent: vec![] };
        for key in self.keys("worker:*:heartbeat").await? {
            let Some(worker) = key.split(':').nth(1) else { continue };
            let document: Option<String> =
                self.ask(redis::cmd("HGET").arg(format!("worker:{worker}")).arg("capabilities")).await?;
            let document = document.and_then(|it| serde_json::from_str::<Value>(&it).ok());
            match document.filter(|it| it["job_service_required_map"].is_array()) {
                Some(document) => told.known.push(document),
                None => told.silent.push(worker.to_owned()),
            }
        }
        Ok(told)
    }

    /// The ids that wait, best first, a page at a time.
    pub(super) async fn line(&self, from: usize) -> Result<Vec<String>, Error> {
        self.ask(redis::cmd("ZREVRANGE").arg("jobs:pending").arg(from).arg(from + CHUNK - 1)).await
    }

    /// The signatures that nobody takes, as far as all live workers say what they take; if one does not, it may take any.
    pub(super) async fn for_nobody(&self) -> Result<Vec<(Signature, u64)>, Error> {
        let told = self.told().await?;
        let mut found = BTreeMap::<Signature, u64>::new();
        if !told.silent.is_empty() {
            return Ok(vec![]);
        }
        for from in (0..).step_by(CHUNK) {
            let ids = self.line(from).await?;
            for (id, wants) in ids.iter().zip(self.wants(&ids).await?) {
                let Some(wants) = wants else { continue };
                if told.known.iter().any(|has| judge(has, &wants) == Verdict::Takes) {
                    continue;
                }
                if let Ok(job) = self.hash(id).await?.job(id, &self.settings) {
                    *found.entry(job.signature()).or_default() += 1;
                }
            }
            if ids.len() < CHUNK {
                break;
            }
        }
        Ok(found.into_iter().collect())
    }

    /// A page of a list. Places are counted, so what comes and goes between two pages may be told twice or not at all.
    pub(super) async fn page(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, Error> {
        let most = most.clamp(1, MAX_PAGE);
        let (mut order, mut place) = after.map_or((0, 0), |it| (usize::from(it.order), it.line));
        let mut jobs = Vec::new();
        while let Some(stage) = Stage::ALL.get(order).copied() {
            let ids = if filter.wants(stage) { self.ids(stage).await? } else { vec![] };
            for id in ids.iter().skip(usize::try_from(place).unwrap_or(usize::MAX)) {
                if jobs.len() == most {
                    let order = u8::try_from(order).unwrap_or_default();
                    return Ok(Page { jobs, next: Some(Cursor::of(order, place)) });
                }
                place += 1;
                // What another client wrote and we cannot read is in no list of ours; `roster doctor` names it.
                let Ok(Some(status)) = self.look_at(id).await else { continue };
                if status.life.state.stage() == stage && filter.takes(&status.job.signature()) {
                    jobs.push(Summary::from(&status));
                }
            }
            (order, place) = (order + 1, 0);
        }
        Ok(Page { jobs, next: None })
    }

    /// The ids of the jobs that may be in this stage, in the order of a list.
    async fn ids(&self, stage: Stage) -> Result<Vec<String>, Error> {
        let mut ids: Vec<String> = match stage {
            Stage::Delayed => vec![],
            Stage::Waiting => {
                return self.ask(redis::cmd("ZREVRANGE").arg("jobs:pending").arg(0).arg(-1)).await;
            }
            Stage::Running => {
                let mut ids = Vec::new();
                for (worker, _) in self.owners().await? {
                    let key = format!("jobs:active:{worker}");
                    ids.extend(self.ask::<Vec<String>>(redis::cmd("HKEYS").arg(key)).await?);
                }
                ids
            }
            Stage::Dead | Stage::Cancelled => self.ask(redis::cmd("HKEYS").arg("jobs:failed")).await?,
            Stage::Succeeded => self.ask(redis::cmd("HKEYS").arg("jobs:completed")).await?,
        };
        ids.sort();
        Ok(ids)
    }
}
