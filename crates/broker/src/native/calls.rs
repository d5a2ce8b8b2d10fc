//! Calls of scripts.

use std::sync::{Mutex, PoisonError};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

use super::link::Link;
use super::scripts::{Call, Script, Scripts, settings};
use crate::error::Error;
use crate::settings::Settings;

/// What the calls of one queue have in common.
pub(super) struct Calls {
    /// `{queue}:`, with which every key begins.
    pub prefix: String,
    pub scripts: Scripts,
    /// What begins the arguments of every script.
    settings: String,
    chance: Mutex<fastrand::Rng>,
}

impl Calls {
    pub fn new(of: &Settings) -> Self {
        Self {
            prefix: format!("{{{}}}:", of.queue),
            scripts: Scripts::new(),
            settings: settings(of),
            chance: Mutex::new(of.chance()),
        }
    }

    /// Runs a script.
    pub async fn run<T: FromRedisValue>(
        &self,
        connection: Link,
        script: &Script,
        call: Call,
    ) -> Result<T, Error> {
        Self::send(connection, script, &self.command(script, call)).await
    }

    /// Sends the call of a script. `EVALSHA`; where the server has forgotten the script, it is loaded again.
    pub async fn send<T: FromRedisValue>(
        mut connection: Link,
        script: &Script,
        command: &Cmd,
    ) -> Result<T, Error> {
        let answer: RedisResult<T> = command.query_async(&mut connection).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.code.prepare_invoke().load_async(&mut connection).await?;
                Ok(command.query_async(&mut connection).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// The call of a script, with the settings with which every script begins.
    pub fn command(&self, script: &Script, call: Call) -> Cmd {
        let roll = self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64();
        let mut command = redis::cmd("EVALSHA");
        // The second is the door: a key that is never written, for ACLs to say who may run what.
        command
            .arg(script.code.get_hash())
            .arg(2)
            .arg(&self.prefix)
            .arg(format!("{}run:{}", self.prefix, script.name))
            .arg(format!("{} {roll:.6}", self.settings))
            .arg(call.0);
        command
    }
}
