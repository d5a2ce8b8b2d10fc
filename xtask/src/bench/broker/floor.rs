//! The least that a queue on Redis has to do for a job, as the floor of every figure.

use std::sync::Arc;

use redis::{Script, aio::MultiplexedConnection};

use super::{load::together, server::Server};

/// The line of the floor, and the prefix of its keys.
const LINE: &str = "{floor}:line";

/// Takes the best job, writes down that it runs, and until when.
const CLAIM: &str = "
local job = redis.call('ZPOPMIN', KEYS[1])[1]
if not job then return false end
redis.call('HSET', '{floor}:job:' .. job, 'state', 'running')
redis.call('ZADD', '{floor}:leases', ARGV[1], job)
return job";

/// Writes a job down, puts it into the line and wakes a worker.
const SUBMIT: &str = "
redis.call('HSET', '{floor}:job:' .. ARGV[1], 'state', 'waiting')
redis.call('ZADD', KEYS[1], 1, ARGV[1])
redis.call('ZADD', '{floor}:wake', 0, '1')";

/// Connections that drive the floor.
pub(super) struct Floor {
    connections: Vec<MultiplexedConnection>,
    line: String,
    claim: Arc<Script>,
}

impl Floor {
    pub(super) async fn new(server: &Server, line: usize, connections: usize) -> Result<Self, String> {
        let line = format!("{LINE}:{line}");
        let mut them = Vec::new();
        for _ in 0..connections {
            them.push(server.connection().await?);
        }
        Ok(Self { connections: them, line, claim: Arc::new(Script::new(CLAIM)) })
    }

    /// Puts so many jobs into the line, with numbers from `first`.
    pub(super) async fn fill(&self, first: usize, count: usize) -> Result<(), String> {
        for first in (first..first + count).step_by(1000) {
            let mut add = redis::cmd("ZADD");
            add.arg(&self.line);
            for job in first..first + 1000 {
                add.arg(job).arg(format!("{job:032x}"));
            }
            let added: Result<(), _> = add.query_async(&mut self.connections[0].clone()).await;
            added.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Claims so many jobs, all connections together. Jobs per second.
    pub(super) async fn work(&self, jobs: usize) -> Result<f64, String> {
        let each = jobs / self.connections.len();
        let workers = self.connections.iter().map(|connection| {
            let (mut connection, line, claim) = (connection.clone(), self.line.clone(), self.claim.clone());
            async move {
                for _ in 0..each {
                    claim_one(&mut connection, &claim, &line).await?.ok_or("the floor has no job")?;
                }
                Ok(each)
            }
        });
        together(workers).await
    }

    /// Waits for a wake-up and claims, for ever; calls `started` after each claim.
    pub(super) async fn serve(&self, wake: MultiplexedConnection, started: impl Fn()) -> Result<(), String> {
        let (mut wake, mut connection) = (wake, self.connections[0].clone());
        loop {
            let mut pop = redis::cmd("BZPOPMIN");
            let popped: Result<redis::Value, _> = pop.arg("{floor}:wake").arg(0).query_async(&mut wake).await;
            popped.map_err(|error| error.to_string())?;
            if claim_one(&mut connection, &self.claim, &self.line).await?.is_some() {
                started();
            }
        }
    }

    /// Submits one job to a worker that serves.
    pub(super) async fn submit(&self, script: &Script, job: usize) -> Result<(), String> {
        let mut connection = self.connections[0].clone();
        let mut call = script.key(&self.line);
        let told = call.arg(format!("{job:032x}")).invoke_async(&mut connection).await;
        told.map_err(|error| error.to_string())
    }

    /// The script that [`Floor::submit`] calls.
    pub(super) fn submission() -> Script {
        Script::new(SUBMIT)
    }
}

async fn claim_one(
    connection: &mut MultiplexedConnection,
    claim: &Script,
    line: &str,
) -> Result<Option<String>, String> {
    let mut call = claim.key(line);
    let job = call.arg(1).invoke_async(connection).await;
    job.map_err(|error| error.to_string())
}
