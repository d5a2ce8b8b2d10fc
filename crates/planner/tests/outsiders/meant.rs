//! What the expanded compose file of a built project should say, derived from the plan, the mapping, the profile and the
//! env files, and from nothing that writes compose files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spec::source::SourceText;

use crate::project::{fields, items, json_of, texts};

/// A built project.
pub struct Built<'a> {
    /// Where its `config/` is.
    pub root: &'a Path,
    /// Where its files are.
    pub out: &'a Path,
}

/// One machine of it.
struct Machine {
    /// Its service.
    name: String,
    /// Its compose profile.
    profiles: Vec<String>,
    /// Where its own files are.
    files: PathBuf,
    plan: Value,
    publishes: bool,
    has_local_redis: bool,
}

/// Compares an expanded file with what was planned. How many machines it has.
pub fn compare(case: &str, built: &Built<'_>, expanded: &Value) -> usize {
    let machines = built.machines();
    let mapping = json_of(&built.root.join("config/service-mapping.json"));
    for it in &machines {
        let (said, meant) = (said(it, expanded), it.meant(built, &mapping));
        assert_eq!(pretty(&said), pretty(&meant), "{case}: {}", it.name);
    }
    let with_redis: Vec<&Machine> = machines.iter().filter(|it| it.has_local_redis).collect();
    let mut services: BTreeSet<&str> = machines.iter().map(|it| it.name.as_str()).collect();
    services.extend((!with_redis.is_empty()).then_some("redis"));
    assert_eq!(
        fields(&expanded["services"]).map(|it| it.0.as_str()).collect::<BTreeSet<_>>(),
        services,
        "{case}"
    );
    if !with_redis.is_empty() {
        redis(case, &with_redis, expanded);
    }
    let secrets = machines.iter().map(|it| texts_of(&it.plan["environment"]["secret"]).len()).sum::<usize>();
    assert_eq!(fields(&expanded["secrets"]).count(), secrets, "{case}: a secret that no machine takes");
    assert!(!expanded.to_string().contains(crate::project::CANARY), "{case}: a secret's value");
    machines.len()
}

/// Redis waits for nobody, is there whenever one of its machines is, and is reached from this project alone.
fn redis(case: &str, users: &[&Machine], expanded: &Value) {
    let it = &expanded["services"]["redis"];
    let always = users.iter().any(|it| it.profiles.is_empty());
    let mut profiles: Vec<&String> = users.iter().filter(|_| !always).flat_map(|it| &it.profiles).collect();
    profiles.sort();
    let command = texts_of(&it["command"]).join(" ");
    let said = json!([texts_of(&it["profiles"]), it["build"]["target"], it["ports"], networks(it)]);
    assert_eq!(said, json!([profiles, "redis", null, ["internal"]]), "{case}");
    assert!(
        command.contains("--appendonly yes") && command.contains("--maxmemory-policy noeviction"),
        "{command}"
    );
    assert_eq!(it["healthcheck"]["test"], json!(["CMD", "redis-cli", "-e", "ping"]), "{case}");
    assert_eq!(expanded["networks"]["internal"]["internal"], true, "{case}");
}

impl Built<'_> {
    fn machines(&self) -> Vec<Machine> {
        let current = self.out.join(".roster/current");
        let folder = fs::read_dir(current.join("machines")).into_iter().flatten();
        let named = folder.map(|it| it.unwrap().file_name().into_string().unwrap());
        let named = named.map(|name| (name.clone(), vec![name.clone()], current.join("machines").join(name)));
        let all = named.chain([("machine".to_owned(), vec![], current.clone())]);
        let machine = |(name, profiles, files): (String, Vec<String>, PathBuf)| {
            let plan = json_of(&files.join("plan.json"));
            let profile = plan["profile"].as_str().unwrap();
            let profile = json_of(&self.root.join(format!("config/environments/profiles/{profile}.json")));
            let redis = &profile["components"]["redis"];
            Machine {
                name,
                profiles,
                files,
                plan,
                publishes: profile["docker"]["publish"] == true,
                has_local_redis: redis == "local" || texts(redis).any(|it| it == "local"),
            }
        };
        all.map(machine).collect()
    }
}

impl Machine {
    fn meant(&self, built: &Built<'_>, mapping: &Value) -> Value {
        let plan = &self.plan;
        let services: Vec<&Value> = items(&plan["services"]).collect();
        let public = dotenv(&self.files.join(".env"));
        let secret = dotenv(&self.files.join(".env.secret"));
        assert_eq!(secret.keys().cloned().collect::<Vec<_>>(), texts_of(&plan["environment"]["secret"]));

        let told = |it: &&&Value| {
            let start = &mapping["services"][it["service"].as_str().unwrap()]["start"];
            start.to_string().contains("${LISTEN}")
        };
        let reached = services.iter().filter(told);
        let mut ports: Vec<u64> =
            reached.flat_map(|it| fields(&it["ports"])).map(|it| it.1.as_u64().unwrap()).collect();
        let answers_outside = self.publishes && secret.contains_key("MACHINE_HEALTH_TOKEN");
        ports.retain(|_| self.publishes);
        ports.extend(answers_outside.then(|| plan["health_port"].as_u64().unwrap()));
        ports.sort_unstable();

        let mut environment = public.clone();
        environment.extend(secret.keys().map(|it| (format!("{it}_FILE"), format!("/run/secrets/{it}"))));
        environment.insert("ROSTER_ECOSYSTEM".to_owned(), "/etc/roster/ecosystem.json".to_owned());
        let listen = ("MACHINE_HEALTH_LISTEN".to_owned(), "0.0.0.0".to_owned());
        environment.extend(answers_outside.then_some(listen));

        let types: BTreeSet<&str> = services.iter().map(|it| it["service"].as_str().unwrap()).collect();
        let types: Vec<&Value> = types.into_iter().map(|it| &mapping["services"][it]).collect();
        let workers = items(&plan["workers"]).map(|it| &mapping["workers"][it["worker"].as_str().unwrap()]);
        let most = |numbers: Vec<u64>| numbers.into_iter().max().unwrap_or(0);
        let worker_stop = most(workers.map(|it| it["stop_grace_s"].as_u64().unwrap_or(30)).collect());
        let start = |field: &str, or: u64| {
            most(types.iter().map(|it| it["start"][field].as_u64().unwrap_or(or)).collect())
        };

        let processes = services.iter().copied().chain(items(&plan["workers"]));
        let mut processes: Vec<&str> = processes.map(|it| it["name"].as_str().unwrap()).collect();
        processes.sort_unstable();
        json!({
            "build": {
                "context": built.root,
                "dockerfile": "docker/Dockerfile",
                "target": plan["build_stage"],
            },
            "device_ids": self.devices(),
            "secrets": secret.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>(),
            "ecosystem": [plan["machine"], processes],
            "mapping": fields(&mapping["services"]).map(|it| it.0).collect::<Vec<_>>(),
            "ports": ports.iter().map(|it| json!(["127.0.0.1", it.to_string(), it])).collect::<Vec<_>>(),
            "environment": environment,
            "volumes": self.volumes(&types, &public["MACHINE_WORKSPACE"]),
            "networks": if self.has_local_redis { vec!["egress", "internal"] } else { vec!["egress"] },
            "depends_on": if self.has_local_redis {
                json!({ "redis": { "condition": "service_healthy", "required": true } })
            } else {
                Value::Null
            },
            "profiles": self.profiles,
            "hostname": self.name,
            "cpus": plan["inventory"]["cpu_cores"],
            "memory": true,
            "pids": true,
            // What the slowest worker and the slowest service may take, and 5 s for the supervisor.
            "stop": worker_stop + start("stop_grace_s", 10) + 5,
            // What the slowest service may take, and 30 s for what comes before and after.
            "start": start("ready_within_s", 120) + 30,
            "hardening": [
                true, "10001:10001", ["ALL"], ["no-new-privileges:true"], ["/tmp"], "unless-stopped",
                ["CMD", "roster", "status", "--quiet"], null, null,
            ],
        })
    }

    /// Those in use by UUID. An index is another card where fewer are seen, so with one of those in use it is all.
    fn devices(&self) -> Vec<&str> {
        let used: BTreeSet<&str> =
            items(&self.plan["services"]).filter_map(|it| it["device"].as_str()).collect();
        if self.plan["inventory"]["origin"] == "mock" || used.is_empty() {
            return Vec::new();
        }
        let devices = items(&self.plan["inventory"]["devices"]);
        let devices = devices.map(|it| {
            let identity = it["identity"].as_str().unwrap();
            (identity, used.contains(it["name"].as_str().unwrap()), identity.parse::<u16>().is_ok())
        });
        let devices: Vec<_> = devices.collect();
        let all = devices.iter().any(|(_, used, by_index)| *used && *by_index);
        devices.into_iter().filter(|(_, used, _)| all || *used).map(|it| it.0).collect()
    }

    /// Target, source, and whether it can be written to; a volume that one user writes is written.
    fn volumes(&self, types: &[&Value], workspace: &str) -> Vec<Value> {
        let mut all = BTreeMap::from([(workspace.to_owned(), (format!("{}.workspace", self.name), true))]);
        for volume in types.iter().flat_map(|it| items(&it["volumes"])) {
            let path = volume["path"].as_str().unwrap().replace("${WORKSPACE}", workspace);
            let name = volume["name"].as_str().unwrap().to_owned();
            all.entry(path).or_insert((name, false)).1 |= volume["read_only"] != true;
        }
        all.into_iter().map(|(path, (name, written))| json!([path, name, written])).collect()
    }
}

/// The same of a service as Compose printed it.
fn said(machine: &Machine, expanded: &Value) -> Value {
    let service = &expanded["services"][machine.name.as_str()];
    let resources = &service["deploy"]["resources"];
    let file = |kind: &str, it: &Value| {
        fs::read_to_string(expanded[kind][it["source"].as_str().unwrap()]["file"].as_str().unwrap()).unwrap()
    };
    let mut secrets: Vec<Value> = Vec::new();
    for it in items(&service["secrets"]) {
        let (source, target) = (it["source"].as_str().unwrap(), it["target"].as_str().unwrap());
        assert_eq!(source, format!("{}.{target}", machine.name));
        secrets.push(json!([target, file("secrets", it)]));
    }
    let config = |at: usize, target: &str| -> Value {
        let config = &service["configs"][at];
        assert_eq!(config["target"], target);
        serde_json::from_str(&file("configs", config)).unwrap()
    };
    let ecosystem = config(0, "/etc/roster/ecosystem.json");
    let mapping = config(1, "/etc/roster/service-mapping.json");
    let mut processes: Vec<&str> = items(&ecosystem["apps"]).map(|it| it["name"].as_str().unwrap()).collect();
    processes.sort_unstable();

    let environment = fields(&service["environment"]);
    // Compose prints each `$` twice.
    let environment = environment.map(|(key, it)| (key.clone(), it.as_str().unwrap().replace("$$", "$")));
    let mut volumes: Vec<Value> = items(&service["volumes"])
        .map(|it| json!([it["target"], it["source"], it["read_only"] != true]))
        .collect();
    volumes.sort_by_key(ToString::to_string);
    let has = machine.plan["inventory"]["memory_mib"].as_u64().unwrap() << 20;
    let memory: u64 = resources["limits"]["memory"].as_str().unwrap().parse().unwrap();
    json!({
        "build": service["build"],
        "device_ids": texts_of(&resources["reservations"]["devices"][0]["device_ids"]),
        "secrets": secrets,
        "ecosystem": [ecosystem["machine"], processes],
        "mapping": fields(&mapping["services"]).map(|it| it.0).collect::<Vec<_>>(),
        "ports": items(&service["ports"])
            .map(|it| json!([it["host_ip"], it["published"], it["target"]])).collect::<Vec<_>>(),
        "environment": environment.collect::<BTreeMap<_, _>>(),
        "volumes": volumes,
        "networks": networks(service),
        "depends_on": service["depends_on"],
        "profiles": texts_of(&service["profiles"]),
        "hostname": service["hostname"],
        "cpus": resources["limits"]["cpus"],
        "memory": (has / 2..=has).contains(&memory),
        "pids": resources["limits"]["pids"].as_u64().unwrap() > processes.len() as u64,
        "stop": seconds(&service["stop_grace_period"]),
        "start": seconds(&service["healthcheck"]["start_period"]),
        "hardening": [
            service["read_only"], service["user"], service["cap_drop"], service["security_opt"], service["tmpfs"],
            service["restart"], service["healthcheck"]["test"], service["privileged"], service["network_mode"],
        ],
    })
}

/// Our own reader's view of an env file; nothing when there is none.
pub fn dotenv(path: &Path) -> BTreeMap<String, String> {
    let Ok(text) = fs::read_to_string(path) else { return BTreeMap::new() };
    let entries = spec::dotenv::parse(&SourceText::guarded(".env", text)).unwrap();
    entries.into_iter().map(|it| (it.key.to_string(), it.value)).collect()
}

fn networks(service: &Value) -> Vec<&String> {
    fields(&service["networks"]).map(|it| it.0).collect()
}

fn texts_of(value: &Value) -> Vec<String> {
    texts(value).collect()
}

/// `1h1m30s`.
fn seconds(value: &Value) -> u64 {
    let mut rest = value.as_str().unwrap();
    let mut sum = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            sum += number.parse::<u64>().unwrap() * factor;
            rest = after;
        }
    }
    sum
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}
