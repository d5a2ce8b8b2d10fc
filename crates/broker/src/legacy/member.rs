//! Our workers as members of that system: registration, heartbeat, and leaving.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use spec::ids::WorkerId;

use super::events::{Commands, Says};
use super::{Change, Legacy, Member, RUNNING, Settings, capabilities, time};
use crate::capabilities::Worker;
use crate::error::Error;
use crate::native::link::Link;

/// How long a heartbeat lasts, in seconds, and how often there is one.
const HEARTBEAT_TTL: &str = "60";
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

impl Legacy {
    /// Registers a worker, once: what it left behind in an earlier life goes back to the line, and its heart beats from now on,
    /// as long as this broker lives and the runtime that it is called on runs. The first claim does it by itself.
    pub async fn join(&self, worker: &Worker) -> Result<(), Error> {
        if self.state().members.contains_key(&worker.id) {
            return Ok(());
        }
        let id = worker.id.as_str();
        if ["completion", "failure"].contains(&id) {
            return Err(Error::Wire("a worker there cannot be named `completion` or `failure`"));
        }
        for (key, kind) in [(format!("worker:{id}"), "hash"), (format!("jobs:active:{id}"), "hash")] {
            let found: String = self.ask(redis::cmd("TYPE").arg(&key)).await?;
            if found != "none" && found != kind {
                return Err(Error::Foreign { key });
            }
        }
        let document = capabilities::document(worker, &self.settings);
        let says = self.says(id);
        registration(says, &document).pipeline().query_async::<()>(&mut self.link.clone()).await?;
        let beats = beats(self.link.clone(), worker.id.clone(), self.settings.clone(), document);
        let member = Member { beats: tokio::spawn(beats).abort_handle(), held: BTreeSet::new(), doubt: true };
        if let Some(other) = self.state().members.insert(worker.id.clone(), member) {
            other.beats.abort();
        }
        Ok(())
    }

    /// Takes leave of the other side: the worker is gone, and whoever looks is told so. What it still has goes back to the line.
    pub async fn leave(&self, worker: &Worker) -> Result<(), Error> {
        let member = self.state().members.remove(&worker.id);
        let Some(member) = member else { return Ok(()) };
        member.beats.abort();
        self.reclaim(&worker.id, &BTreeSet::new()).await?;
        let says = self.says(worker.id.as_str());
        goodbye(says, worker).pipeline().query_async::<()>(&mut self.link.clone()).await?;
        Ok(())
    }

    /// Gives back what this worker has and does not know of: jobs of its earlier life, or of a claim whose answer was lost.
    pub(super) async fn reclaim(&self, worker: &WorkerId, held: &BTreeSet<String>) -> Result<(), Error> {
        let id = worker.as_str();
        let active: Vec<String> = self.ask(redis::cmd("HKEYS").arg(format!("jobs:active:{id}"))).await?;
        for job in active.into_iter().filter(|it| !held.contains(it)) {
            let hash = self.hash(&job).await?;
            let says = self.says(id);
            let back = super::finish::returned(&job, &hash, says, None);
            let change = Change { worker: Some(id), idle: says.idle(), ..Change::of(&job, &RUNNING, back) };
            if !self.guard(&change, &self.link).await?.done {
                let entry = format!("jobs:active:{id}");
                self.ask::<()>(redis::cmd("HDEL").arg(entry).arg(&job)).await?;
            }
        }
        Ok(())
    }
}

/// Everything that a worker says at its start.
fn registration(says: Says<'_>, document: &Value) -> Commands {
    let mut commands = fields(says, document);
    commands.add(["SADD", "workers:active", says.worker]).and(beat(says));
    let (id, machine, now) = (says.worker, &says.settings.machine, time::iso(says.now));
    let access = &document["customer_access"];
    let hardware = &document["hardware"];
    let models: Vec<&Value> = document["models"].as_object().into_iter().flatten().map(|it| it.1).collect();
    let models: Vec<&Value> = models.into_iter().filter_map(Value::as_array).flatten().collect();
    let mut announced = json!({
        "gpu_count": u8::from(hardware.get("gpu_memory_gb").is_some()),
        "services": document["services"],
        "models": models,
        "customer_access": access["isolation"],
        "max_concurrent_jobs": 1,
    });
    for amount in ["gpu_memory_gb", "cpu_cores", "ram_gb"] {
        if let Some(it) = hardware.get(amount) {
            announced[amount] = it.clone();
        }
    }
    commands.publish(
        "worker:events",
        &json!({
            "type": "worker_connected",
            "worker_id": id,
            "machine_id": machine,
            "worker_data": {
                "id": id,
                "status": "idle",
                "capabilities": announced,
                "connected_at": now,
                "jobs_completed": 0,
                "jobs_failed": 0,
            },
            "timestamp": says.now,
        }),
    );
    commands.publish(
        &format!("worker_status:{id}"),
        &json!({
            "worker_id": id,
            "machine_id": machine,
            "status": "idle",
            "capabilities": {
                "services": document["services"],
                "hardware": hardware,
                "performance": document["performance"],
                "customer_access": access,
                "models": document["models"],
            },
            "timestamp": now,
            "last_heartbeat": says.now,
            "connected_at": now,
        }),
    );
    commands.publish(&says.channel(), &says.changed("idle", None, Some(&document["services"])));
    for service in document["services"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        commands.and(says.connector(service, (None, "idle")));
    }
    commands
}

/// The fields of `worker:{id}`.
fn fields(says: Says<'_>, document: &Value) -> Commands {
    let (mut commands, now) = (Commands::default(), time::iso(says.now));
    let (machine, text) = (says.settings.machine.as_str(), document.to_string());
    commands.add([
        "HSET",
        &format!("worker:{}", says.worker),
        "worker_id",
        says.worker,
        "machine_id",
        machine,
        "capabilities",
        &text,
        "status",
        "idle",
        "connected_at",
        &now,
        "last_heartbeat",
        &now,
        "total_jobs_completed",
        "0",
        "total_jobs_failed",
        "0",
    ]);
    commands
}

fn beat(says: Says<'_>) -> Commands {
    let (mut commands, now) = (Commands::default(), time::iso(says.now));
    commands.add(["HSET", &format!("worker:{}", says.worker), "last_heartbeat", &now]).add([
        "SETEX",
        &format!("worker:{}:heartbeat", says.worker),
        HEARTBEAT_TTL,
        &now,
    ]);
    commands
}

/// Beats until it is aborted. Where the registration is gone, for Redis was emptied or the API let it expire, it is written
/// again.
async fn beats(mut link: Link, worker: WorkerId, settings: Settings, document: Value) {
    loop {
        tokio::time::sleep(HEARTBEAT_EVERY).await;
        let says = Says { worker: worker.as_str(), settings: &settings, now: time::now() };
        let registered: Result<bool, _> = redis::cmd("HEXISTS")
            .arg(format!("worker:{worker}"))
            .arg("worker_id")
            .query_async(&mut link)
            .await;
        let mut commands = beat(says);
        if matches!(registered, Ok(false)) {
            commands = fields(says, &document);
            commands.and(beat(says));
        }
        // The link has tried again by itself. The next beat is in time for a heartbeat's 60 s.
        let _: Result<(), _> = commands.pipeline().query_async(&mut link).await;
    }
}

/// Everything that a worker says at its end. The event for its machine goes out before the rest: the other workers close their
/// connection too early for that.
fn goodbye(says: Says<'_>, worker: &Worker) -> Commands {
    let (mut commands, machine) = (Commands::default(), &says.settings.machine);
    let (id, now) = (says.worker, time::iso(says.now));
    commands.publish(
        "machine:startup:events",
        &json!({
            "event_type": "shutdown",
            "machine_id": machine,
            "worker_id": id,
            "reason": "Graceful shutdown",
            "timestamp": says.now,
        }),
    );
    commands.publish(&says.channel(), &says.changed("offline", None, None));
    for service in &worker.capabilities().services {
        commands.and(says.connector(service.as_str(), (Some("idle"), "offline")));
        commands.add(["HDEL", &format!("service_index:{service}"), &format!("{id}:{service}-{id}")]);
        commands.add(["DEL", &format!("connector_status:{id}:{service}")]);
    }
    commands.publish(
        "worker:events",
        &json!({
            "type": "worker_disconnected",
            "worker_id": id,
            "machine_id": machine,
            "timestamp": says.now,
        }),
    );
    commands.publish(
        &format!("worker_status:{id}"),
        &json!({
            "worker_id": id,
            "machine_id": machine,
            "status": "offline",
            "timestamp": now,
            "last_heartbeat": says.now,
        }),
    );
    commands.add(["SREM", "workers:active", id]).add([
        "DEL",
        &format!("worker:{id}"),
        &format!("worker:{id}:heartbeat"),
    ]);
    commands
}
