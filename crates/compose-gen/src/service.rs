//! One service of the file each: a machine, Redis, an additional one.

use std::collections::BTreeMap;

use crate::document::scoped;
use crate::limits::{self, REDIS_MEMORY_MIB};
use crate::yaml::{MERGE, Node};
use crate::{Additional, ECOSYSTEM_PATH, Image, MAPPING_PATH, Machine, REDIS, USER};

/// The anchor of what all machines have in common, under the key `x-base-machine`.
pub(crate) const BASE: &str = "base-machine";
/// The config that holds a machine's ecosystem.
pub(crate) const ECOSYSTEM: &str = "ecosystem";
/// The config that holds the service mapping, for all machines.
pub(crate) const MAPPING: &str = "service-mapping";
/// The volume that holds what Redis wrote.
pub(crate) const DATA: &str = "data";
/// The folder that every container has for itself. Compose-harden knows it in this plain form only.
pub(crate) const TMP: &str = "/tmp";

/// The keys of a service that dclint wants first, in its order; all others follow by name.
const ORDER: [&str; 17] = [
    "image",
    "build",
    "depends_on",
    "volumes",
    "configs",
    "secrets",
    "environment",
    "env_file",
    "ports",
    "networks",
    "extra_hosts",
    "command",
    "restart",
    "healthcheck",
    "logging",
    "labels",
    "user",
];

/// A service: its keys in order, those of nothing left out.
fn service(mut entries: Vec<(&str, Node)>) -> Node {
    entries.retain(|(_, node)| !node.is_empty());
    entries.sort_by_key(|(key, _)| (ORDER.iter().position(|it| it == key).unwrap_or(ORDER.len()), *key));
    Node::map(entries)
}

/// What every container has: no rights, no writable root, logs that end, and a restart after a crash.
fn hardened(user: &str) -> Vec<(&'static str, Node)> {
    let options = [("max-file", Node::text("5")), ("max-size", Node::text("10m"))];
    vec![
        ("restart", Node::text("unless-stopped")),
        ("logging", Node::map([("driver", Node::text("json-file")), ("options", Node::map(options))])),
        ("user", Node::text(user)),
        ("cap_drop", Node::texts(["ALL"])),
        ("read_only", Node::Bool(true)),
        ("security_opt", Node::texts(["no-new-privileges:true"])),
        ("stop_signal", Node::text("SIGTERM")),
        ("tmpfs", Node::texts([TMP])),
    ]
}

/// What machines merge. Merging is shallow, so nothing in it is a mapping to which a machine would add.
pub(crate) fn base() -> Node {
    service(hardened(USER))
}

/// A machine under its service name.
pub(crate) fn machine(name: &str, on_request: bool, it: &Machine, context: &str) -> Node {
    let plan = &*it.plan;
    let healthy = Node::map([("condition", Node::text("service_healthy"))]);
    let depends_on = it.uses_local_redis.then_some((REDIS, healthy));
    let ports = it.published_ports().into_keys().map(|port| format!("127.0.0.1:{port}:{port}"));
    let memory_mib = limits::memory_mib(plan, it.uses_local_redis);
    let start_period = format!("{}s", limits::start_period_s(plan));
    service(vec![
        (MERGE, Node::Alias(BASE)),
        ("build", build(context, plan.stage().name.as_str())),
        ("depends_on", Node::map(depends_on)),
        ("volumes", Node::List(mounts(name, it).into_iter().map(Mount::node).collect())),
        (
            "configs",
            Node::List(vec![
                file(scoped(name, ECOSYSTEM), ECOSYSTEM_PATH),
                file(MAPPING.to_owned(), MAPPING_PATH),
            ]),
        ),
        (
            "secrets",
            Node::List(it.secrets.keys().map(|key| file(scoped(name, key.as_str()), key.as_str())).collect()),
        ),
        ("environment", environment(it)),
        ("env_file", Node::texts(&it.env_files)),
        ("ports", Node::texts(ports)),
        ("networks", networks(it.uses_local_redis)),
        ("healthcheck", healthcheck(&["roster", "status", "--quiet"], ["15s", "5s"], 3, &start_period)),
        ("deploy", resources(plan.inventory().cpu_cores.get(), memory_mib, limits::pids(plan), devices(it))),
        ("labels", Node::map([("roster.ecosystem", Node::text(&it.ecosystem_digest))])),
        // Docker Desktop knows this name by itself, Docker on Linux does not.
        ("extra_hosts", Node::texts(["host.docker.internal:host-gateway"])),
        ("hostname", Node::text(name)),
        ("profiles", Node::texts(on_request.then_some(name))),
        ("stop_grace_period", Node::text(format!("{}s", plan.stop_grace_s()))),
    ])
}

/// Redis: append-only, refusing writes rather than forgetting jobs, reachable from this project's containers alone.
/// That network is its boundary, so it has no password, and is told so.
pub(crate) fn redis(image: Option<&Image>, profiles: Vec<&str>, context: &str) -> Node {
    let maxmemory = format!("{}mb", REDIS_MEMORY_MIB / 2);
    let command = [
        "redis-server",
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--dir",
        "/data",
        "--maxmemory",
        &maxmemory,
        "--maxmemory-policy",
        "noeviction",
        "--protected-mode",
        "no",
    ];
    // The official images of Redis and Valkey have a user of their own, who owns /data.
    let (source, user) = match image {
        Some(image) => (("image", Node::text(&image.reference)), "999:999"),
        None => (("build", build(context, REDIS)), USER),
    };
    let data = Mount { volume: scoped(REDIS, DATA), path: "/data".to_owned(), read_only: false };
    let mut entries = hardened(user);
    entries.extend([
        source,
        ("volumes", Node::List(vec![data.node()])),
        ("networks", Node::texts(["internal"])),
        ("command", Node::texts(command)),
        ("healthcheck", healthcheck(&["redis-cli", "-e", "ping"], ["5s", "3s"], 5, "30s")),
        ("deploy", resources(1, REDIS_MEMORY_MIB, 128, Node::List(vec![]))),
        ("profiles", Node::texts(profiles)),
        ("stop_grace_period", Node::text("30s")),
    ]);
    service(entries)
}

/// A service that a profile adds: one core, 512 MiB, 256 processes.
pub(crate) fn additional(it: &Additional, redis: bool) -> Node {
    let environment = it.environment.iter().map(|(key, value)| (key.as_str(), Node::text(value)));
    let mut entries = hardened(USER);
    entries.extend([
        ("image", Node::text(&it.image.reference)),
        ("environment", Node::map(environment)),
        ("networks", networks(redis)),
        ("command", Node::texts(&it.command)),
        ("deploy", resources(1, 512, 256, Node::List(vec![]))),
        // Other people's programs seldom reap their children when they are process 1.
        ("init", Node::Bool(true)),
    ]);
    service(entries)
}

fn build(context: &str, stage: &str) -> Node {
    Node::map(
        [("context", context), ("dockerfile", "docker/Dockerfile"), ("target", stage)]
            .map(|(k, v)| (k, Node::text(v))),
    )
}

fn networks(internal: bool) -> Node {
    Node::texts(if internal { &["egress", "internal"][..] } else { &["egress"] }.iter().copied())
}

/// A secret or config of the file and where a machine sees it.
fn file(source: String, target: &str) -> Node {
    Node::map([("source", Node::Text(source)), ("target", Node::text(target))])
}

fn environment(it: &Machine) -> Node {
    let files = it.secrets.keys().map(|key| (format!("{key}_FILE"), format!("/run/secrets/{key}")));
    let all = files.chain([("ROSTER_ECOSYSTEM".to_owned(), ECOSYSTEM_PATH.to_owned())]);
    // Docker forwards a published port to the container's own address. Outside of containers nothing of this holds, so
    // it is not in the `.env`.
    let listen = it.answers_outside().then(|| ("MACHINE_HEALTH_LISTEN".to_owned(), "0.0.0.0".to_owned()));
    let all = all.chain(listen);
    Node::map(all.map(|(key, value)| (key, Node::Text(value))).collect::<BTreeMap<_, _>>())
}

fn healthcheck(program: &[&str], [interval, timeout]: [&str; 2], retries: u64, start_period: &str) -> Node {
    Node::map([
        ("test", Node::texts(["CMD"].iter().chain(program).copied())),
        ("interval", Node::text(interval)),
        ("timeout", Node::text(timeout)),
        ("retries", Node::Whole(retries)),
        ("start_period", Node::text(start_period)),
    ])
}

fn resources(cpus: u16, memory_mib: u32, pids: u64, devices: Node) -> Node {
    let limits = Node::map([
        ("cpus", Node::text(cpus.to_string())),
        ("memory", Node::text(format!("{memory_mib}M"))),
        ("pids", Node::Whole(pids)),
    ]);
    let mut resources = vec![("limits", limits)];
    if !devices.is_empty() {
        resources.push(("reservations", Node::map([("devices", devices)])));
    }
    Node::map([("resources", Node::map(resources))])
}

/// The GPUs of a machine by name: leaving them out would give it all of them on one engine and none on another.
fn devices(it: &Machine) -> Node {
    let reserved = it.plan.reserved_devices();
    if reserved.is_empty() {
        return Node::List(vec![]);
    }
    Node::List(vec![Node::map([
        ("driver", Node::text("nvidia")),
        ("device_ids", Node::texts(reserved.into_iter().map(|it| it.identity.as_str()))),
        ("capabilities", Node::texts(["gpu"])),
    ])])
}

/// A volume in a container.
pub(crate) struct Mount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

impl Mount {
    fn node(self) -> Node {
        let mut entries = vec![
            ("type", Node::text("volume")),
            ("source", Node::Text(self.volume)),
            ("target", Node::Text(self.path)),
        ];
        if self.read_only {
            entries.push(("read_only", Node::Bool(true)));
        }
        Node::map(entries)
    }
}

/// The volumes of a machine, by path: its own workspace, and what the mapping's services keep. The latter are shared by
/// all machines of the project, so that models are there once. A volume is writable when one of its users writes.
pub(crate) fn mounts(name: &str, it: &Machine) -> Vec<Mount> {
    let workspace =
        Mount { volume: scoped(name, "workspace"), path: it.plan.workspace().to_owned(), read_only: false };
    let mut shared: BTreeMap<(String, &str), bool> = BTreeMap::new();
    for local in it.plan.local_services().iter().filter_map(|it| it.local()) {
        for volume in &local.volumes {
            *shared.entry((volume.path_in(it.plan.workspace()), volume.name.as_str())).or_insert(true) &=
                volume.read_only;
        }
    }
    let shared = shared.into_iter().map(|((path, volume), read_only)| Mount {
        volume: volume.to_owned(),
        path,
        read_only,
    });
    [workspace].into_iter().chain(shared).collect()
}
