//! Messages of workers, in the shapes that the API, the machine and the webhook service read. A field that has no value is
//! left out, but for those that are said to be `null`.

use serde_json::{Map, Value, json};

use super::job::Hash;
use crate::legacy::Settings;
use crate::life::Millis;

/// Commands that one script carries out, each a list of words.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands(Vec<Vec<String>>);

impl Commands {
    pub fn add<const N: usize>(&mut self, words: [&str; N]) -> &mut Self {
        self.0.push(words.map(str::to_owned).to_vec());
        self
    }

    pub fn publish(&mut self, channel: &str, message: &Value) -> &mut Self {
        self.add(["PUBLISH", channel, &message.to_string()])
    }

    pub fn and(&mut self, more: Commands) -> &mut Self {
        self.0.extend(more.0);
        self
    }

    /// As the scripts read them.
    pub fn json(&self) -> String {
        json!(self.0).to_string()
    }

    /// As one transaction.
    pub fn pipeline(&self) -> redis::Pipeline {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for words in &self.0 {
            pipe.cmd(&words[0]).arg(&words[1..]).ignore();
        }
        pipe
    }
}

/// Who speaks, and when.
#[derive(Clone, Copy)]
pub(super) struct Says<'a> {
    pub worker: &'a str,
    pub settings: &'a Settings,
    pub now: Millis,
}

impl Says<'_> {
    /// `worker_status`. No job is the empty text here.
    pub fn status(self, old: &str, new: &str, job: &str) -> Value {
        json!({
            "worker_id": self.worker,
            "old_status": old,
            "new_status": new,
            "current_job_id": job,
            "timestamp": self.now,
        })
    }

    /// The channel to the worker's machine.
    pub fn channel(self) -> String {
        format!("machine:{}:worker:{}", self.settings.machine, self.worker)
    }

    /// An event for the worker's machine.
    pub fn event(self, kind: &str, data: &Value) -> Value {
        json!({ "worker_id": self.worker, "event_type": kind, "data": data, "timestamp": self.now })
    }

    /// That its status is another. No job is `null` here. `services`: at the start, what it takes.
    pub fn changed(self, status: &str, job: Option<&str>, services: Option<&Value>) -> Value {
        let mut data = json!({
            "status": status,
            "is_connected": status != "offline",
            "current_job_id": job,
            "last_activity": self.now,
            "version": self.settings.version,
        });
        if let Some(services) = services {
            data["capabilities"] = services.clone();
        }
        self.event("worker_status_changed", &data)
    }

    /// The worker and its machine see it change.
    pub fn turns(self, commands: &mut Commands, (old, new): (&str, &str), job: &str) {
        let job_or_none = (!job.is_empty()).then_some(job);
        commands
            .publish("worker_status", &self.status(old, new, job))
            .publish(&self.channel(), &self.changed(new, job_or_none, None));
    }

    /// The worker has nothing to do.
    pub fn idle(self) -> Commands {
        let mut commands = Commands::default();
        let (key, now) = (format!("worker:{}", self.worker), super::time::iso(self.now));
        commands.add(["HSET", &key, "status", "idle", "last_status_change", &now, "current_job_id", ""]);
        self.turns(&mut commands, ("busy", "idle"), "");
        commands
    }

    /// The state of its connector for one service, in the two hashes and on the channel.
    pub fn connector(self, service: &str, (old, new): (Option<&str>, &str)) -> Commands {
        let (mut commands, now) = (Commands::default(), super::time::iso(self.now));
        let connector = format!("{service}-{}", self.worker);
        let info = json!({ "service_type": service, "version": self.settings.version });
        let key = format!("connector_status:{}:{service}", self.worker);
        commands.add(["HSET", &key, "status", new, "last_update", &now, "service_info", &info.to_string()]);
        let entry = json!({
            "worker_id": self.worker, "connector_id": connector, "status": new, "last_update": now,
        });
        let field = format!("{}:{connector}", self.worker);
        commands.add(["HSET", &format!("service_index:{service}"), &field, &entry.to_string()]);
        let mut message = json!({
            "connector_id": connector,
            "service_type": service,
            "worker_id": self.worker,
            "status": new,
            "service_info": info,
            "timestamp": now,
            "last_health_check": self.now,
            "status_changed": true,
        });
        if let Some(old) = old {
            message["previous_status"] = old.into();
        }
        commands.publish(&format!("connector_status:{service}"), &message);
        let data = json!({ "service_type": service, "status": new, "health": "healthy" });
        commands.publish(&self.channel(), &self.event("connector_status_changed", &data));
        commands
    }
}

/// What of its workflow a job says in the message of its end: only what is set, and as numbers.
pub(super) fn workflow(hash: &Hash) -> Map<String, Value> {
    let mut told = Map::new();
    if let Some(id) = hash.get("workflow_id") {
        told.insert("workflow_id".into(), id.into());
    }
    for field in ["current_step", "total_steps", "workflow_priority", "workflow_datetime"] {
        if let Some(it) = hash.whole(field) {
            told.insert(field.into(), it.into());
        }
    }
    told
}
