//! Calls that wait. Each has a connection of its own while it waits, for nothing else could pass on it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::link::{Answers, Link, Pauses, Verdict, name};
use super::wire::foreign;
use crate::error::Error;

/// What `XREAD` answers: of each stream its entries, of each entry its id and its fields.
type Streams = Option<Vec<(String, Vec<(String, Vec<String>)>)>>;

pub(super) struct Blocking {
    link: Link,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

impl Blocking {
    pub fn new(link: Link) -> Self {
        Self { link, idle: Mutex::new(vec![]) }
    }

    /// Waits for a marker at `key`. Whether there was one, or may have been: with a connection that was lost, the marker may
    /// be lost.
    pub async fn wake(&self, key: &str, wait: Duration) -> Result<bool, Error> {
        if wait.is_zero() {
            return Ok(false);
        }
        let mut command = redis::cmd("BZPOPMIN");
        // Where it is rounded to 0, it would be for ever.
        command.arg(key).arg(wait.max(Duration::from_millis(1)).as_secs_f64());
        Ok(self.ask::<Value>(&command, wait).await? != Some(Value::Nil))
    }

    /// Reads what follows `after` in a stream, waiting for the first of it: ids and the field `n`.
    pub async fn read(
        &self,
        stream: &str,
        after: &str,
        wait: Duration,
    ) -> Result<Vec<(String, String)>, Error> {
        let (end, mut pauses) = (Instant::now() + wait, Pauses::default());
        let streams: Streams = loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(1000);
            if left.is_zero() {
                command.arg("STREAMS").arg(stream).arg(after);
                break command.query_async(&mut self.link.clone()).await?;
            }
            // A wait of 0 would be for ever.
            command.arg("BLOCK").arg(left.as_millis().max(1).to_string());
            command.arg("STREAMS").arg(stream).arg(after);
            if let Some(streams) = self.ask(&command, left).await? {
                break streams;
            }
            pauses.grow();
            pauses.wait(end).await;
        };
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let of = |(id, fields): (String, Vec<String>)| match <[String; 2]>::try_from(fields) {
            Ok([_, news]) => Ok((id, news)),
            Err(_) => Err(foreign(stream)),
        };
        entries.map(of).collect()
    }

    /// The answer; `None` if its connection was lost, or leads to a server that is no longer the right one. A connection that
    /// is silent for twice the time that was asked for is dead, even if nobody has told so: a failover or a cut cable looks
    /// like this. One that failed, or was left while it waited, is dropped: its answer would be another call's.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd, wait: Duration) -> Result<Option<T>, Error> {
        let idle = self.idle.lock().await.pop();
        let mut connection = if let Some(idle) = idle { idle } else { self.link.own(&Answers::Late).await? };
        let answer: Result<RedisResult<T>, _> =
            timeout(wait * 2 + self.link.timeout(), command.query_async(&mut connection)).await;
        let verdict = match answer {
            Ok(Ok(answer)) => {
                self.idle.lock().await.push(connection);
                return Ok(Some(answer));
            }
            Ok(Err(error)) => match Verdict::of(&error) {
                Verdict::Answer => return Err(self.link.answered(error, || name(command)).into()),
                verdict => verdict,
            },
            Err(_) => Verdict::Lost,
        };
        // The others lead to the same server.
        self.idle.lock().await.clear();
        if verdict == Verdict::Elsewhere {
            self.link.doubt();
        }
        Ok(None)
    }
}
