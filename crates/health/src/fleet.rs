//! A fleet: what Redis knows of every machine of a queue, for the page of `roster monitor`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker::{Broker as _, Error, Native, QueueName};
use redis::aio::ConnectionLike;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;
use utoipa::ToSchema;

use crate::documents::{SCHEMA_VERSION, Status};
use crate::facts::Millis;
use crate::publish::{machine_key, machines_key};

/// The most machines that are shown.
const MAX_MACHINES: isize = 1000;

/// `GET /fleet`: every machine of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Fleet {
    /// The version of this document.
    pub schema_version: u32,
    /// When it was seen, in milliseconds since 1970.
    pub at: Millis,
    /// The queue.
    pub queue: Queue,
    /// The machines that have spoken within a day, by name.
    pub machines: Vec<Member>,
    /// Why nothing newer is known.
    pub error: Option<String>,
}

/// A queue, and how many of its jobs are where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Jobs that wait for a worker.
    pub waiting: u64,
    /// Jobs that wait for their limit.
    pub held: u64,
    /// Jobs that wait for a time.
    pub delayed: u64,
    /// Jobs that a worker has.
    pub running: u64,
    /// Jobs that were given up.
    pub dead: u64,
    /// No job is claimed.
    pub paused: bool,
}

/// A machine of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// Its lease has run out, and it has not said farewell.
    pub silent: bool,
    /// Its last word; nothing once its lease has run out, or if it speaks another version.
    pub status: Option<Status>,
}

impl Fleet {
    /// A fleet of which nothing is known yet.
    pub fn unknown(queue: &QueueName) -> Self {
        let queue = Queue {
            name: queue.to_string(),
            waiting: 0,
            held: 0,
            delayed: 0,
            running: 0,
            dead: 0,
            paused: false,
        };
        Self { schema_version: SCHEMA_VERSION, at: now(), queue, machines: vec![], error: None }
    }

    /// What is known now.
    pub async fn look(broker: &Native, queue: &QueueName) -> Result<Self, Error> {
        let counts = broker.counts().await?;
        let machines =
            members(broker.connection(), queue).await.map_err(|it| Error::Unreachable(it.to_string()))?;
        let queue = Queue {
            name: queue.to_string(),
            waiting: counts.waiting,
            held: counts.held,
            delayed: counts.delayed,
            running: counts.running,
            dead: counts.dead,
            paused: counts.paused,
        };
        Ok(Self { schema_version: SCHEMA_VERSION, at: now(), queue, machines, error: None })
    }

    /// Looks every `period`, for as long as it is polled. What was known stays when Redis does not answer.
    pub async fn watch(broker: &Native, queue: &QueueName, period: Duration, shown: &watch::Sender<Fleet>) {
        loop {
            match Self::look(broker, queue).await {
                Ok(fleet) => shown.send_replace(fleet),
                Err(error) => {
                    let mut fleet = shown.borrow().clone();
                    fleet.error = Some(error.to_string());
                    shown.send_replace(fleet)
                }
            };
            sleep(period).await;
        }
    }
}

async fn members(mut connection: impl ConnectionLike, queue: &QueueName) -> redis::RedisResult<Vec<Member>> {
    // The latest first: of too many, those are shown that have spoken.
    let mut list = redis::cmd("ZRANGE");
    list.arg(machines_key(queue)).arg(0).arg(MAX_MACHINES - 1).arg("REV");
    let mut ids: Vec<String> = list.query_async(&mut connection).await?;
    ids.sort_unstable();
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let mut pipe = redis::pipe();
    for id in &ids {
        pipe.cmd("GET").arg(machine_key(queue, id));
    }
    let kept: Vec<Option<String>> = pipe.query_async(&mut connection).await?;
    let member = |(id, kept): (String, Option<String>)| {
        let status = kept.as_deref().and_then(|it| serde_json::from_str(it).ok());
        Member { id, silent: kept.is_none(), status }
    };
    Ok(ids.into_iter().zip(kept).map(member).collect())
}

fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}
