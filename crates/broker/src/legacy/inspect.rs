//! What is wrong with a queue of the TypeScript system: only reads.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value as Answer;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use spec::notes::{Code, Fault};

use super::job::Hash;
use super::matching::{Verdict, Wants, judge};
use super::{Legacy, RUNNING, Settings};
use crate::codes;
use crate::error::Error;

/// Jobs of the line that are looked at, at most.
const MOST: usize = 100_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// Whether the Redis Function `findMatchingJob` is installed.
    pub function: bool,
    /// The SHA-256 of its source, in hexadecimal.
    pub checksum: Option<String>,
    /// How many jobs wait.
    pub waiting: u64,
    /// How many jobs workers have.
    pub running: u64,
    /// How many of those that failed are kept.
    pub failed: u64,
    /// Workers with a heartbeat.
    pub workers: Vec<String>,
    /// How many jobs wait for each service.
    pub services: BTreeMap<String, u64>,
    /// Everything that is wrong.
    #[serde(skip)]
    pub issues: Vec<Issue>,
}

/// Something that is wrong with a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Issue {
    /// The function is missing.
    #[error(
        "the Redis Function `findMatchingJob` is not installed; the TypeScript workers are idle for ever without it"
    )]
    NoFunction,
    /// Its source is not the one that was installed last.
    #[error("the Redis Function has the checksum {found}, and its installer wrote down {noted}")]
    Checksum {
        /// Of what is there.
        found: String,
        /// In `function:checksum:jobMatching`.
        noted: String,
    },
    /// A job at which the function stops.
    #[error("job `{id}` stops every TypeScript worker for `{service}`: {reason}")]
    Poison {
        /// The job.
        id: String,
        /// Its service.
        service: String,
        /// What the function cannot bear.
        reason: String,
    },
    /// An id in the line without a job.
    #[error("`{id}` is in the line, and there is no such job")]
    Ghost {
        /// The id.
        id: String,
    },
    /// It ended, and is in the line.
    #[error("job `{id}` is in the line although it is {status}; it would run again")]
    Ended {
        /// The job.
        id: String,
        /// Its state.
        status: String,
    },
    /// Nobody takes it.
    #[error("no live worker that says what it has takes job `{id}`")]
    Unmatched {
        /// The first such job of its kind.
        id: String,
    },
    /// The TypeScript workers look at no more than the first hundred.
    #[error(
        "{jobs} jobs for `{service}` wait behind the first 100, which are for other workers; TypeScript workers never see them"
    )]
    Hidden {
        /// The service.
        service: String,
        /// How many.
        jobs: u64,
    },
    /// A worker that is registered and has no heartbeat.
    #[error("worker `{worker}` is registered and has no heartbeat")]
    Silent {
        /// The worker.
        worker: String,
    },
    /// A job of a worker that is gone.
    #[error("job `{id}` is {status} by `{worker}`, which has no heartbeat; nobody gives it back")]
    Orphan {
        /// The job.
        id: String,
        /// Its worker.
        worker: String,
        /// Its state.
        status: String,
    },
    /// It waits, and is not in the line.
    #[error("job `{id}` is pending and not in the line; its worker was lost between the two")]
    Nowhere {
        /// The job.
        id: String,
    },
}

impl Fault for Issue {
    fn code(&self) -> Code {
        match self {
            Self::Poison { .. } => codes::POISON,
            _ => codes::LEGACY_QUEUE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoFunction => {
                "Install it with the TypeScript system's own installer; Roster's workers do without.".into()
            }
            Self::Checksum { .. } => "Find out which of the two is meant, and install that one again.".into(),
            Self::Poison { id, .. } => format!(
                "Cancel it with `roster job cancel {id} --broker legacy`, and submit it again with requirements that are an object of numbers and texts."
            ),
            Self::Ghost { id } | Self::Ended { id, .. } => format!("redis-cli ZREM jobs:pending {id}"),
            Self::Unmatched { id } => {
                format!("Ask `roster job explain {id} --broker legacy`; start a worker that takes it, or cancel it.")
            }
            Self::Hidden { .. } => {
                "Start workers for what waits in front of them, or a Roster worker for this service: it looks through the whole line.".into()
            }
            Self::Silent { worker } => {
                format!("If it is stopped for good: redis-cli DEL worker:{worker} and SREM workers:active {worker}")
            }
            Self::Orphan { .. } | Self::Nowhere { .. } => {
                "Start a Roster worker with LEGACY_REAP_AFTER_S=60: it gives such jobs back, and goes on doing so.".into()
            }
        }
    }
}

/// Looks at the whole queue behind an address.
pub async fn inspect(url: &str, settings: Settings) -> Result<Inspection, Error> {
    Legacy::connect(url, settings).await?.inspect().await
}

impl Legacy {
    /// Looks at the whole queue.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let mut found = Inspection::default();
        self.inspect_function(&mut found).await?;
        self.inspect_line(&mut found).await?;
        self.inspect_workers(&mut found).await?;
        let counts = self.count().await?;
        (found.waiting, found.running, found.failed) = (counts.waiting, counts.running, counts.dead);
        Ok(found)
    }

    async fn inspect_function(&self, found: &mut Inspection) -> Result<(), Error> {
        let Some(library) = self.function_list(true).await? else {
            found.issues.push(Issue::NoFunction);
            return Ok(());
        };
        found.function = true;
        let parts = redis::from_redis_value::<Vec<Answer>>(library).unwrap_or_default();
        let text = |it: &Answer| redis::from_redis_value::<String>(it.clone()).unwrap_or_default();
        let code = parts.chunks_exact(2).find(|it| text(&it[0]) == "library_code").map(|it| text(&it[1]));
        let sum = Sha256::digest(code.unwrap_or_default());
        let sum = sum.iter().fold(String::new(), |text, it| text + &format!("{it:02x}"));
        let noted: Option<String> = self.ask(redis::cmd("GET").arg("function:checksum:jobMatching")).await?;
        if let Some(noted) = noted.filter(|it| *it != sum) {
            found.issues.push(Issue::Checksum { found: sum.clone(), noted });
        }
        found.checksum = Some(sum);
        Ok(())
    }

    async fn inspect_line(&self, found: &mut Inspection) -> Result<(), Error> {
        let told = self.told().await?;
        let (mut unmatched, mut first): (Vec<Wants>, BTreeMap<String, u64>) = (vec![], BTreeMap::new());
        let mut from = 0;
        while from < MOST {
            let ids = self.line(from).await?;
            for (place, (id, wants)) in ids.iter().zip(self.wants(&ids).await?).enumerate() {
                let Some(wants) = wants else {
                    found.issues.push(Issue::Ghost { id: id.clone() });
                    continue;
                };
                *found.services.entry(wants.service.clone()).or_default() += 1;
                if from + place < 100 {
                    *first.entry(wants.service.clone()).or_default() += 1;
                }
                let status = self.field(id, "status").await?;
                if ["completed", "failed", "cancelled"].contains(&&*status) {
                    found.issues.push(Issue::Ended { id: id.clone(), status });
                } else if let Some(reason) = poison(&wants) {
                    let service = wants.service;
                    found.issues.push(Issue::Poison { id: id.clone(), service, reason });
                } else if told.silent.is_empty()
                    && !told.known.iter().any(|has| judge(has, &wants) == Verdict::Takes)
                    && !unmatched.contains(&wants)
                {
                    found.issues.push(Issue::Unmatched { id: id.clone() });
                    unmatched.push(wants);
                }
            }
            from += ids.len();
            if ids.is_empty() {
                break;
            }
        }
        let hidden = found.services.iter().filter(|(service, _)| from > 100 && !first.contains_key(*service));
        let hidden: Vec<Issue> =
            hidden.map(|(service, jobs)| Issue::Hidden { service: service.clone(), jobs: *jobs }).collect();
        found.issues.extend(hidden);
        Ok(())
    }

    async fn inspect_workers(&self, found: &mut Inspection) -> Result<(), Error> {
        let beating = self.keys("worker:*:heartbeat").await?;
        found.workers = beating.iter().filter_map(|it| Some(it.split(':').nth(1)?.to_owned())).collect();
        let registered: Vec<String> = self.ask(redis::cmd("SMEMBERS").arg("workers:active")).await?;
        // With `UNIFIED_MACHINE_STATUS` a worker is in no set, but has a record. Attestations have a longer key.
        let records = self.keys("worker:*").await?;
        let recorded = records.iter().filter_map(|it| it.strip_prefix("worker:"));
        let recorded = recorded.filter(|it| !it.contains(':')).map(str::to_owned);
        let silent: BTreeSet<String> =
            registered.into_iter().chain(recorded).filter(|it| !found.workers.contains(it)).collect();
        found.issues.extend(silent.into_iter().map(|worker| Issue::Silent { worker }));
        for (worker, alive) in self.owners().await? {
            if alive {
                continue;
            }
            let mut ids: Vec<String> =
                self.ask(redis::cmd("HKEYS").arg(format!("jobs:active:{worker}"))).await?;
            ids.sort();
            for id in ids {
                let hash = self.hash(&id).await?;
                let (worker, status) = (worker.clone(), hash.status().to_owned());
                if RUNNING.contains(&&*status) {
                    found.issues.push(Issue::Orphan { id, worker, status });
                } else if status == "pending" && hash != Hash::default() && !self.is_queued(&id).await? {
                    found.issues.push(Issue::Nowhere { id });
                }
            }
        }
        Ok(())
    }

    async fn is_queued(&self, id: &str) -> Result<bool, Error> {
        let score: Option<f64> = self.ask(redis::cmd("ZSCORE").arg("jobs:pending").arg(id)).await?;
        Ok(score.is_some())
    }

    async fn field(&self, id: &str, name: &str) -> Result<String, Error> {
        let value: Option<String> = self.ask(redis::cmd("HGET").arg(format!("job:{id}")).arg(name)).await?;
        Ok(value.unwrap_or_default())
    }
}

/// Why the function stops at a job, for a worker of its service with everything that can be compared.
fn poison(wants: &Wants) -> Option<String> {
    let most = 1e300;
    let everything: Value = serde_json::json!({
        "worker_id": "anyone",
        "job_service_required_map": [wants.service],
        "hardware": { "gpu_memory_gb": most, "cpu_cores": most, "ram_gb": most },
        "workflow_id": wants.workflow,
    });
    match judge(&everything, wants) {
        Verdict::Poison(reason) => Some(reason),
        Verdict::Takes | Verdict::Leaves => None,
    }
}
