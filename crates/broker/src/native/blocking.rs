//! Calls that wait. Each has a connection of its own while it waits, for nothing else could pass on it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::wire::foreign;
use crate::error::Error;

/// How long an answer may take beyond the time that was asked for. A connection that is silent for longer is dead, even
/// if nobody has told so: a failover or a cut cable looks like this.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Blocking {
    client: Client,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

impl Blocking {
    pub fn new(client: Client) -> Self {
        Self { client, idle: Mutex::new(vec![]) }
    }

    /// Waits for a marker at `key`. Whether there was one.
    pub async fn wake(&self, key: &str, wait: Duration) -> Result<bool, Error> {
        if wait.is_zero() {
            return Ok(false);
        }
        let mut command = redis::cmd("BZPOPMIN");
        command.arg(key).arg(wait.as_secs_f64());
        Ok(self.ask::<Value>(&command, wait).await? != Value::Nil)
    }

    /// Reads what follows `after` in a stream, waiting for the first of it: ids and the field `n`.
    pub async fn read(
        &self,
        stream: &str,
        after: &str,
        wait: Duration,
    ) -> Result<Vec<(String, String)>, Error> {
        type Streams = Option<Vec<(String, Vec<(String, Vec<String>)>)>>;
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1000);
        if !wait.is_zero() {
            // A wait of 0 would be for ever.
            command.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        }
        command.arg("STREAMS").arg(stream).arg(after);
        let streams: Streams = self.ask(&command, wait).await?;
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let of = |(id, fields): (String, Vec<String>)| match <[String; 2]>::try_from(fields) {
            Ok([_, news]) => Ok((id, news)),
            Err(_) => Err(foreign(stream)),
        };
        entries.map(of).collect()
    }

    /// A connection that failed, or that was left while it waited, is dropped: its answer would be another call's.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd, wait: Duration) -> Result<T, Error> {
        let idle = self.idle.lock().await.pop();
        let mut connection = if let Some(connection) = idle {
            connection
        } else {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            self.client.get_multiplexed_async_connection_with_config(&config).await?
        };
        let answer = timeout(wait * 2 + PATIENCE, command.query_async(&mut connection)).await;
        let answer = answer.map_err(|_| Error::Unreachable("no answer to a call that waits".into()))??;
        self.idle.lock().await.push(connection);
        Ok(answer)
    }
}
