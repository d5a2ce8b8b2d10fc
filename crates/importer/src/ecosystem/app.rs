//! One app: what it is, and what it is started with.

use spec::ids::{EnvKey, ServiceName};
use spec::source::Place;

use crate::codes;
use crate::offer::Offer;
use crate::report::Report;
use crate::roster::translated;
use crate::tree::{Member, Node, Value};

/// One app.
pub(super) struct App<'a> {
    pub(super) name: String,
    pub(super) place: Place,
    /// The fields that it is set by.
    pub(super) node: &'a Node,
    /// It runs, and PM2 says of it more than it was set to.
    pub(super) running: bool,
    /// Roster wrote it.
    pub(super) own: bool,
    pub(super) role: Role,
    pub(super) gpu: Option<u16>,
    /// Its number among those of its kind.
    pub(super) instance: u16,
    pub(super) instances: Option<(String, Place)>,
    args: Vec<String>,
}

/// What an app is.
pub(super) enum Role {
    /// Workers of a kind, so many in each process.
    Worker { kind: String, each: u16 },
    /// An instance of a service of the mapping.
    Service { service: ServiceName },
    /// The old health server.
    Health,
    /// Something else.
    Foreign,
}

/// What is wrong with a field: where, which, and what can be there.
pub(super) type Wrong = (Place, String, &'static str);

impl<'a> App<'a> {
    pub(super) fn read(outer: &'a Node, offer: &Offer) -> Result<Self, Vec<Wrong>> {
        if !matches!(outer.value, Value::Map(_)) {
            return Err(vec![(outer.place.clone(), "an app".into(), "an object")]);
        }
        let inner = outer.get("pm2_env").filter(|it| matches!(it.value, Value::Map(_)));
        let node = inner.unwrap_or(outer);
        let running = inner.is_some() || node.get("pm_exec_path").is_some();
        let mut wrong = Vec::new();
        let script = ["script", "pm_exec_path"].iter().find_map(|it| node.get(it)).and_then(Node::scalar);
        let name = ["name", "script"].iter().find_map(|it| outer.get(it).or_else(|| node.get(it)));
        let name = name.and_then(|it| Some((it.scalar()?, it.place.clone()))).unwrap_or_else(|| {
            wrong.push((outer.place.clone(), "the `name` of an app".into(), "a text"));
            (String::new(), outer.place.clone())
        });
        for (field, node) in node.members().iter().map(|it| (it.key.as_str(), &it.value)) {
            let (holds, expected) = match (field, &node.value) {
                (_, Value::Null) => continue,
                ("args", it) => (matches!(it, Value::Text(_) | Value::List(_)), "a text, or a list of texts"),
                ("env", it) => (matches!(it, Value::Map(_)), "an object of variables"),
                ("instances", it) => (matches!(it, Value::Text(_) | Value::Number(_)), "a number, or `max`"),
                _ => continue,
            };
            if !holds {
                wrong.push((node.place.clone(), format!("`{field}` of an app"), expected));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let args = node.get("args").map(arguments).unwrap_or_default();
        let instances = node.get("instances").and_then(|it| Some((it.scalar()?, it.place.clone())));
        let mut app = Self {
            name: name.0,
            place: name.1,
            node,
            running,
            own: node.get("roster").is_some_and(|it| it.get("kind").is_some()),
            role: Role::Foreign,
            gpu: None,
            instance: 0,
            // What runs is listed once for each instance.
            instances: instances.filter(|_| !running),
            args,
        };
        app.role = app.find_role(script.as_deref().unwrap_or_default(), offer);
        app.gpu = app.find_gpu();
        app.instance = app.find_instance();
        Ok(app)
    }

    /// The value of `--name=value` or `--name value`.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        let at = self
            .args
            .iter()
            .position(|it| it.strip_prefix(name).is_some_and(|it| it.is_empty() || it.starts_with('=')))?;
        self.args[at].split_once('=').map(|it| it.1).or_else(|| self.args.get(at + 1).map(String::as_str))
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.node.get("env")?.get(name)?.scalar()
    }

    /// Its part under the key of Roster's own.
    pub(super) fn roster(&self, field: &str) -> Option<&Node> {
        self.node.get("roster")?.get(field)
    }

    /// Its variables; a name that is none is told.
    pub(super) fn variables(&self, report: &mut Report) -> Vec<(EnvKey, String, Place)> {
        let mut found = Vec::new();
        for Member { key, place, value } in self.node.get("env").map_or(&[][..], Node::members) {
            if *key == self.name {
                // PM2 keeps what it was told of an app under the app's name.
                report.dropped(
                    codes::UNNEEDED,
                    "the state of a running PM2",
                    "it belongs to that run",
                    place,
                );
                continue;
            }
            match (key.parse::<EnvKey>(), value.scalar()) {
                (Ok(key), Some(text)) => found.push((key, text, value.place.clone())),
                // PM2 keeps what it knows of the app among its variables.
                (_, None) => report.dropped(codes::UNNEEDED, format!("`{key}`"), "it is no text", place),
                (Err(_), Some(_)) => {
                    let (why, fix) = ("it is no name of a variable", "rename it, if something reads it");
                    report.decide(codes::NOBODY, format!("`env` of app `{}`", self.name), why, fix, place);
                }
            }
        }
        found
    }

    fn find_role(&self, script: &str, offer: &Offer) -> Role {
        if self.own {
            return self.own_role();
        }
        let service = |name: &str| {
            let name = translated(name).parse::<ServiceName>().ok()?;
            offer.services.contains_key(&name).then_some(name)
        };
        let name = self.name.to_lowercase();
        if ["health-server", "health"].contains(&name.as_str()) || script.ends_with("health-server.js") {
            return Role::Health;
        }
        let base = without_number(&name);
        let of_worker = ["redis-worker-", "worker-"].iter().find_map(|it| base.strip_prefix(it));
        let of_worker = of_worker.or_else(|| base.strip_suffix("-worker"));
        let said = ["CONNECTORS", "WORKER_TYPE", "CONNECTOR"].iter().find_map(|it| self.variable(it));
        let said = said.filter(|it| !it.is_empty() && !it.contains([',', ':']));
        let runs_worker = self.args.first().is_some_and(|it| it == "redis-worker")
            || script.contains("redis-direct-worker");
        if let Some(kind) = said.filter(|_| of_worker.is_some() || runs_worker) {
            return Role::Worker { kind, each: 1 };
        }
        if let Some(kind) = of_worker.filter(|it| !it.is_empty()) {
            return Role::Worker { kind: kind.to_owned(), each: 1 };
        }
        let first = self.args.first().map_or("", String::as_str);
        let base = base.strip_suffix("-service").unwrap_or(base);
        match service(base).or_else(|| service(first)) {
            Some(service) => Role::Service { service },
            None => Role::Foreign,
        }
    }

    fn own_role(&self) -> Role {
        let text = |field: &str| self.roster(field).and_then(Node::scalar).unwrap_or_default();
        match text("kind").as_str() {
            "worker" => {
                let kind = self.variable("WORKER_TYPE").unwrap_or_default();
                let each = self.roster("workers").map_or(1, |it| it.items().len());
                Role::Worker { kind, each: u16::try_from(each).unwrap_or(u16::MAX).max(1) }
            }
            "service" => text("service").parse().map_or(Role::Foreign, |service| Role::Service { service }),
            _ => Role::Foreign,
        }
    }

    fn find_gpu(&self) -> Option<u16> {
        if self.own {
            let label = self.roster("gpu")?.get("label")?.scalar()?;
            return label.strip_prefix("gpu")?.split('-').next()?.parse().ok();
        }
        let named = || Some(self.name.rsplit_once("-gpu")?.1.to_owned());
        let argued = ["--cuda-device", "--gpu"].iter().find_map(|it| self.argument(it)).map(str::to_owned);
        let said = || ["CUDA_VISIBLE_DEVICES", "GPU_INDEX"].iter().find_map(|it| self.variable(it));
        argued.or_else(named).or_else(said)?.trim().parse().ok()
    }

    fn find_instance(&self) -> u16 {
        let own = || self.roster("instance").and_then(Node::scalar);
        let number = || {
            let digits = self.name.len() - self.name.trim_end_matches(|it: char| it.is_ascii_digit()).len();
            (digits > 0).then(|| self.name[self.name.len() - digits..].to_owned())
        };
        let found = if self.own { own() } else { self.gpu.map(|it| it.to_string()).or_else(number) };
        found.and_then(|it| it.parse().ok()).unwrap_or(0)
    }
}

/// `comfyui-gpu1`, `comfyui-1` without what counts it.
fn without_number(name: &str) -> &str {
    let base = name.trim_end_matches(|it: char| it.is_ascii_digit());
    if base.len() == name.len() {
        return name;
    }
    base.strip_suffix("-gpu").or_else(|| base.strip_suffix('-')).unwrap_or(name)
}

/// Arguments as PM2 takes them: a list, or a text whose words they are.
fn arguments(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        _ => node.items().iter().filter_map(Node::scalar).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_what_counts_it() {
        for (name, base) in [
            ("redis-worker-comfyui-gpu0", "redis-worker-comfyui"),
            ("openai-worker-12", "openai-worker"),
            ("a1111", "a1111"),
            ("a1111-gpu1", "a1111"),
            ("health-server", "health-server"),
        ] {
            assert_eq!(without_number(name), base);
        }
    }
}
