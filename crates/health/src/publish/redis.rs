//! Records and messages on Redis or Valkey.
//!
//! All keys have the queue's hash tag: on a cluster they are where the queue is.

use broker::QueueName;
use broker::legacy::machine_channel;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;

use super::{Post, Update, Wire};
use crate::facts::Millis;

/// A machine that has been silent for longer is no longer listed, in milliseconds: a day.
const FORGOTTEN: Millis = 24 * 60 * 60 * 1000;

/// The machines that were heard of lately: a sorted set of their names by the moment of their last word.
pub(crate) fn machines_key(queue: &QueueName) -> String {
    format!("{{{queue}}}:machines")
}

/// What is kept of a machine: the document of its `/status`, for as long as its lease holds.
pub(crate) fn machine_key(queue: &QueueName, machine: &str) -> String {
    format!("{{{queue}}}:machine:{machine}")
}

/// Writes to Redis.
pub struct RedisWire<C> {
    connection: C,
    /// Among whose keys the records are; `None`: none are kept.
    queue: Option<QueueName>,
}

impl<C: ConnectionLike + Clone + Send + Sync> RedisWire<C> {
    /// Over `connection`, among the keys of `queue`.
    pub fn new(connection: C, queue: QueueName) -> Self {
        Self { connection, queue: Some(queue) }
    }

    /// Only the messages, over `connection`: the server of a TypeScript job queue keeps records of its own of what it hears.
    pub fn messages(connection: C) -> Self {
        Self { connection, queue: None }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Wire for RedisWire<C> {
    fn send<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let mut pipe = redis::pipe();
            if let Some(queue) = &self.queue {
                records(&mut pipe, queue, post);
            }
            pipe.cmd("PUBLISH").arg(machine_channel(&post.machine)).arg(&post.message).ignore();
            // What was kept before, if anything is kept here.
            let done: redis::RedisResult<Vec<Option<String>>> =
                pipe.query_async(&mut self.connection.clone()).await;
            done.map(|it| it.into_iter().next().flatten()).map_err(|it| it.to_string())
        })
    }
}

/// Keeps what is said, as long as its lease holds; of a machine that leaves, nothing.
fn records(pipe: &mut redis::Pipeline, queue: &QueueName, post: &Post) {
    let machines = machines_key(queue);
    let machine = machine_key(queue, post.machine.as_str());
    let worker = |id| format!("{{{queue}}}:worker:{id}");
    let lease = u64::try_from(post.lease.as_millis()).unwrap_or(u64::MAX);
    if post.update == Update::Shutdown {
        pipe.cmd("GET").arg(&machine).cmd("UNLINK").arg(&machine);
        for (id, _) in &post.workers {
            pipe.arg(worker(id));
        }
        pipe.ignore().cmd("ZREM").arg(&machines).arg(post.machine.as_str()).ignore();
    } else {
        pipe.cmd("SET").arg(&machine).arg(&post.status).arg("PX").arg(lease).arg("GET");
        pipe.cmd("ZADD").arg(&machines).arg(post.at).arg(post.machine.as_str()).ignore();
        let before = post.at.saturating_sub(FORGOTTEN);
        pipe.cmd("ZREMRANGEBYSCORE").arg(&machines).arg("-inf").arg(before).ignore();
        for (id, fields) in &post.workers {
            let key = worker(id);
            pipe.cmd("HSET").arg(&key).arg(fields).ignore();
            pipe.cmd("PEXPIRE").arg(&key).arg(lease).ignore();
        }
    }
}
