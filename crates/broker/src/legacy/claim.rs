//! Claiming: by the Redis Function where it is installed, else, and where that finds nothing or fails, by looking through
//! the line ourselves.

use redis::Value as Answer;
use serde_json::{Map, Value, json};

use super::events::Commands;
use super::job::Hash;
use super::matching::{Verdict, Wants, judge};
use super::{Change, Legacy, Trouble, capabilities, time};
use crate::broker::{Claim, Ticket};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::ids::JobId;
use crate::life::ms;

/// How far the function looks.
const WINDOW: usize = 100;
/// Jobs that are looked at in one call.
const PAGE: usize = 200;
/// Jobs that one attempt looks at beyond the first page. The next one goes on behind them.
const DEEP: usize = 4_000;

/// A job that was taken off the line: its id, and its hash before that.
type Taken = (String, Hash);

/// What the function has to say.
enum Called {
    Found(Taken),
    /// Nothing among the first [`WINDOW`].
    Nothing,
    /// It is not there, or raised an error.
    Failed,
}

impl Legacy {
    /// The next job for a worker, begun.
    pub(super) async fn claim_one(&self, worker: &Worker) -> Result<Option<Claim>, Error> {
        loop {
            let taken = self.take(worker).await;
            if taken.is_err() {
                // A claim whose answer was lost may have been carried out.
                self.doubt(worker);
            }
            let Some((id, hash)) = taken? else { return Ok(None) };
            if let Some(claim) = self.begin(worker, &id, &hash).await? {
                return Ok(Some(claim));
            }
        }
    }

    fn doubt(&self, worker: &Worker) {
        if let Some(member) = self.state().members.get_mut(&worker.id) {
            member.doubt = true;
        }
    }

    /// Gives back what a claim may have taken unseen, and what an earlier life has left.
    pub(super) async fn settle(&self, worker: &Worker) -> Result<(), Error> {
        let held = {
            let state = self.state();
            let member = state.members.get(&worker.id).filter(|it| it.doubt);
            member.map(|it| it.held.clone())
        };
        let Some(held) = held else { return Ok(()) };
        self.reclaim(&worker.id, &held).await?;
        if let Some(member) = self.state().members.get_mut(&worker.id) {
            member.doubt = false;
        }
        Ok(())
    }

    async fn take(&self, worker: &Worker) -> Result<Option<Taken>, Error> {
        let has = capabilities::document(worker, &self.settings);
        let from = match self.call(worker, &has).await? {
            Called::Found(taken) => return Ok(Some(taken)),
            Called::Nothing => WINDOW,
            Called::Failed => {
                // What it took before it failed has to be in the line again, or nobody would find it.
                self.settle(worker).await?;
                0
            }
        };
        self.look_through(worker, &has, from).await
    }

    /// Calls the function, if it is installed.
    async fn call(&self, worker: &Worker, has: &Value) -> Result<Called, Error> {
        if !self.has_function().await? {
            return Ok(Called::Failed);
        }
        let mut command = redis::cmd("FCALL");
        command.arg("findMatchingJob").arg(0).arg(has.to_string()).arg(WINDOW);
        let answer = command.query_async::<Option<String>>(&mut self.link.once()).await;
        let text = match answer {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(Called::Nothing),
            Err(error) if error.clone().into_server_errors().is_some() => {
                // Removed meanwhile, or it met a job that it cannot bear.
                self.state().function = None;
                self.doubt(worker);
                return Ok(Called::Failed);
            }
            Err(error) => return Err(error.into()),
        };
        let foreign = || Error::Foreign { key: "findMatchingJob".into() };
        let found: Value = serde_json::from_str(&text).map_err(|_| foreign())?;
        let id = found["jobId"].as_str().ok_or_else(foreign)?;
        let job = found["job"].as_object().ok_or_else(foreign)?;
        Ok(Called::Found((id.to_owned(), hash_of(job))))
    }

    pub(super) async fn has_function(&self) -> Result<bool, Error> {
        if let Some(known) = self.state().function {
            return Ok(known);
        }
        let found = self.function_list(false).await?.is_some();
        self.state().function = Some(found);
        Ok(found)
    }

    /// The library of the function, with its code if that is wanted. `None`: not installed, or a Redis before 7.
    pub(super) async fn function_list(&self, code: bool) -> Result<Option<Answer>, Error> {
        let mut command = redis::cmd("FUNCTION");
        command.arg("LIST").arg("LIBRARYNAME").arg("jobMatching");
        if code {
            command.arg("WITHCODE");
        }
        match command.query_async::<Vec<Answer>>(&mut self.link.clone()).await {
            Ok(libraries) => Ok(libraries.into_iter().next()),
            Err(error) if error.clone().into_server_errors().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks through the line from its best job on: the first page, and then on from where the last attempt ended, so that no
    /// number of jobs for others hides one.
    async fn look_through(&self, worker: &Worker, has: &Value, from: usize) -> Result<Option<Taken>, Error> {
        let deep = self.state().scanned.max(from + PAGE);
        let starts = std::iter::once(from).chain((0..DEEP / PAGE).map(|it| deep + it * PAGE));
        for start in starts {
            let (taken, looked) = self.look_at_page(worker, has, start).await?;
            if taken.is_some() {
                return Ok(taken);
            }
            self.state().scanned = if looked < PAGE { 0 } else { start + PAGE };
            if looked < PAGE {
                break;
            }
        }
        Ok(None)
    }

    /// One page of the line, from this place on; also says how many jobs it has.
    async fn look_at_page(
        &self,
        worker: &Worker,
        has: &Value,
        start: usize,
    ) -> Result<(Option<Taken>, usize), Error> {
        let mut range = redis::cmd("ZREVRANGE");
        let ids: Vec<String> = self.ask(range.arg("jobs:pending").arg(start).arg(start + PAGE - 1)).await?;
        let wants = self.wants(&ids).await?;
        for (id, wants) in ids.iter().zip(wants) {
            // An id without a job is passed by.
            let Some(wants) = wants else { continue };
            match judge(has, &wants) {
                Verdict::Leaves => {}
                Verdict::Poison(reason) => self.tell(&Trouble::Poison { id: id.clone(), reason }),
                Verdict::Takes => {
                    if let Err(why) = id.parse::<JobId>() {
                        let reason = format!("its id is none of ours: {why}");
                        self.tell(&Trouble::Unreadable { id: id.clone(), reason });
                    } else if let Some(hash) = self.commit(worker, id, &wants).await? {
                        return Ok((Some((id.clone(), hash)), ids.len()));
                    }
                }
            }
        }
        Ok((None, ids.len()))
    }

    /// What the rules look at of these jobs; `None` where there is no job.
    pub(super) async fn wants(&self, ids: &[String]) -> Result<Vec<Option<Wants>>, Error> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("HMGET").arg(format!("job:{id}"));
            pipe.arg("service_required").arg("requirements").arg("customer_id").arg("workflow_id").arg("id");
        }
        let told: Vec<Answer> = pipe.query_async(&mut self.link.clone()).await?;
        let read = |(answer, id): (Answer, &String)| {
            let fields: Vec<Option<String>> =
                redis::from_redis_value(answer).map_err(|_| Error::Foreign { key: format!("job:{id}") })?;
            if fields.iter().all(Option::is_none) {
                return Ok(None);
            }
            let mut fields = fields.into_iter().map(Option::unwrap_or_default);
            let mut next = || fields.next().unwrap_or_default();
            Ok(Some(Wants { service: next(), requirements: next(), customer: next(), workflow: next() }))
        };
        told.into_iter().zip(ids).map(read).collect()
    }

    /// Takes a job off the line, if it is there and as it was judged.
    async fn commit(&self, worker: &Worker, id: &str, wants: &Wants) -> Result<Option<Hash>, Error> {
        let args =
            [id, worker.id.as_str(), &wants.service, &wants.requirements, &wants.customer, &wants.workflow];
        let told: Vec<String> = self.run(&self.link.once(), &self.claim, &args).await?;
        match &told[..] {
            [what, before] if what == "claimed" => {
                let job: Value = serde_json::from_str(before).unwrap_or_default();
                Ok(Some(job.as_object().map(hash_of).unwrap_or_default()))
            }
            [what, key] if what == "foreign" => {
                let reason = format!("`{key}` is of another type");
                self.tell(&Trouble::Unreadable { id: id.into(), reason });
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Says that the work begins. `None`: there is none, because someone has cancelled the job, or nobody can read it.
    async fn begin(&self, worker: &Worker, id: &str, hash: &Hash) -> Result<Option<Claim>, Error> {
        let name = worker.id.as_str();
        let says = self.says(name);
        let idle = self.state().members.get(&worker.id).is_none_or(|it| it.held.is_empty());
        let ended = ["completed", "failed", "cancelled"];
        if ended.contains(&hash.status()) {
            // The function looks at no state: the job ended between two commands of someone else. It stays as it was.
            let change =
                Change { worker: Some(name), ..Change::of(id, &["assigned"], restored(id, hash, name)) };
            self.guard(&Change { idle: says.idle(), ..change }, &self.link).await?;
            return Ok(None);
        }
        if let Err(why) = id.parse::<JobId>() {
            // Others can run it. The function would give it to us again and again, so it is not asked any more.
            self.state().function = Some(false);
            let reason = format!("its id is none of ours: {why}");
            self.tell(&Trouble::Unreadable { id: id.into(), reason });
            let back = super::finish::returned(id, hash, says, None);
            let change = Change { worker: Some(name), ..Change::of(id, &["assigned"], back) };
            self.guard(&Change { idle: says.idle(), ..change }, &self.link).await?;
            return Ok(None);
        }
        let job = match hash.job(id, &self.settings) {
            Ok(job) => job,
            Err(reason) => {
                self.refuse(name, id, hash, &reason).await?;
                return Ok(None);
            }
        };
        let service = job.service_required.as_str();
        let mut commands = Commands::default();
        says.turns(&mut commands, (if idle { "idle" } else { "busy" }, "busy"), id);
        let now = time::iso(says.now);
        commands.add(["HSET", &format!("job:{id}"), "status", "in_progress", "started_at", &now]);
        commands.publish(
            &says.channel(),
            &says.event("job_started", &json!({ "job_id": id, "service_type": service })),
        );
        commands.and(says.connector(service, (Some("idle"), "active")));
        // The API drops a progress of 0. With these two the monitor shows the job as taken, and as running.
        for status in ["assigned", "processing"] {
            commands.publish(
                "update_job_progress",
                &json!({
                    "job_id": id,
                    "worker_id": name,
                    "progress": 1,
                    "status": status,
                    "message": format!("Job {status}"),
                    "timestamp": says.now,
                }),
            );
        }
        let change = Change { worker: Some(name), ..Change::of(id, &["assigned"], commands) };
        let heard = self.guard(&Change { idle: says.idle(), ..change }, &self.link).await?;
        // Someone has ended it, or given it to another, since it was claimed.
        let Some(fence) = heard.claim.parse().ok().filter(|_| heard.done) else { return Ok(None) };
        if let Some(member) = self.state().members.get_mut(&worker.id) {
            member.held.insert(id.to_owned());
        }
        let deadline = says.now.saturating_add(ms(self.settings.timeout));
        let until = says.now.saturating_add(60_000).min(deadline);
        let ticket = Ticket { id: job.id.clone(), fence };
        let submitted = hash.created().unwrap_or(says.now);
        Ok(Some(Claim { ticket, job, submitted, attempts: hash.retries(), crashes: 0, until, deadline }))
    }

    /// Ends a job that was claimed and cannot be read: for good, for another try would read the same.
    async fn refuse(&self, worker: &str, id: &str, hash: &Hash, reason: &str) -> Result<(), Error> {
        self.tell(&Trouble::Unreadable { id: id.into(), reason: reason.into() });
        let says = self.says(worker);
        let commands = self.failed(id, hash, (reason, false), says);
        let change = Change { worker: Some(worker), ..Change::of(id, &["assigned"], commands) };
        self.guard(&Change { idle: says.idle(), ..change }, &self.link).await.map(drop)
    }
}

fn hash_of(job: &Map<String, Value>) -> Hash {
    Hash(job.iter().filter_map(|(name, it)| Some((name.clone(), it.as_str()?.to_owned()))).collect())
}

/// A job as it was before the function took it.
fn restored(id: &str, hash: &Hash, worker: &str) -> Commands {
    let (mut commands, key) = (Commands::default(), format!("job:{id}"));
    let text = |field| hash.get(field).unwrap_or_default();
    commands
        .add(["HSET", &key, "status", hash.status()])
        .add(["HSET", &key, "worker_id", text("worker_id"), "assigned_at", text("assigned_at")])
        .add(["HDEL", &format!("jobs:active:{worker}"), id]);
    commands
}
