//! Records and messages on Redis or Valkey.
//!
//! All keys have the queue's hash tag: on a cluster they are where the queue is.

use broker::QueueName;
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
    queue: QueueName,
}

impl<C: ConnectionLike + Clone + Send + Sync> RedisWire<C> {
    /// Over `connection`, among the keys of `queue`.
    pub fn new(connection: C, queue: QueueName) -> Self {
        Self { connection, queue }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Wire for RedisWire<C> {
    fn send<'a>(&'a self, post: &'a Post) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let machines = machines_key(&self.queue);
            let machine = machine_key(&self.queue, post.machine.as_str());
            let worker = |id| format!("{{{}}}:worker:{id}", self.queue);
            let lease = u64::try_from(post.lease.as_millis()).unwrap_or(u64::MAX);
            let mut pipe = redis::pipe();
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
            pipe.cmd("PUBLISH").arg(format!("machine:status:{}", post.machine)).arg(&post.message).ignore();
            let done: redis::RedisResult<(Option<String>,)> =
                pipe.query_async(&mut self.connection.clone()).await;
            done.map(|it| it.0).map_err(|it| it.to_string())
        })
    }
}
