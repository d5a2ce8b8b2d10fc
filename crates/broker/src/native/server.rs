//! What the server says of itself, for those who look after machines.

use std::collections::HashMap;
use std::time::Duration;

use super::Native;
use crate::error::Error;
use crate::life::Millis;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `7.4.1`; of Valkey too, by its own number.
    pub version: String,
    /// Whether that is Valkey's.
    pub is_valkey: bool,
    /// Whether it writes an append-only file.
    pub appends: bool,
    /// Whether it takes snapshots.
    pub snapshots: bool,
    /// What it does when its memory is full: `noeviction`.
    pub policy: String,
    /// Bytes of memory that it may use; 0: no limit.
    pub memory_limit: u64,
}

impl Native {
    /// The server's clock, and how long the answer took.
    pub async fn time(&self) -> Result<(Millis, Duration), Error> {
        let began = tokio::time::Instant::now();
        let (seconds, micros): (u64, u64) = self.ask(&redis::cmd("TIME")).await?;
        Ok((seconds * 1000 + micros / 1000, began.elapsed()))
    }

    /// What the server says of itself. It takes the right to `INFO`, which workers do without.
    pub async fn server(&self) -> Result<Server, Error> {
        let text: String = self.ask(&redis::cmd("INFO")).await?;
        Ok(Server::read(&text))
    }
}

impl Server {
    fn read(text: &str) -> Self {
        let fields: HashMap<&str, &str> =
            text.lines().filter_map(|it| it.trim_end().split_once(':')).collect();
        let text = |key: &str| fields.get(key).copied().unwrap_or_default().to_owned();
        let is_valkey = fields.contains_key("valkey_version");
        Self {
            version: text(if is_valkey { "valkey_version" } else { "redis_version" }),
            is_valkey,
            appends: text("aof_enabled") == "1",
            // Never saved and nothing planned: the time of the last save is that of the start.
            snapshots: fields.get("rdb_last_bgsave_time_sec").is_some_and(|it| *it != "-1"),
            policy: text("maxmemory_policy"),
            memory_limit: text("maxmemory").parse().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_from_what_it_says() {
        let text = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\n\r\n# Memory\r\nmaxmemory:536870912\r\n\
                    maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\nrdb_last_bgsave_time_sec:-1\r\n";
        let expected = Server {
            version: "8.1.0".into(),
            is_valkey: true,
            appends: true,
            snapshots: false,
            policy: "noeviction".into(),
            memory_limit: 536_870_912,
        };
        assert_eq!(Server::read(text), expected);
    }
}
