//! The fields that Compose knows, and what does the same here.

use serde_json::{Map, Value as Json, json};
use spec::ids::{EnvKey, ServiceName};

use crate::codes::{DECIDED, SETTING, UNNEEDED};
use crate::draft::Draft;
use crate::report::Report;
use crate::tree::{Member, Node, Value};

/// What is read elsewhere.
const READ: &[&str] = &["environment", "env_file", "secrets", "ports", "volumes"];
/// What the generated file has for every machine.
const MADE_ANEW: &[&str] = &[
    "image",
    "build",
    "platform",
    "restart",
    "stop_grace_period",
    "stop_signal",
    "logging",
    "healthcheck",
    "networks",
    "depends_on",
    "configs",
    "labels",
    "cap_drop",
    "security_opt",
    "read_only",
    "tmpfs",
    "init",
    "user",
    "working_dir",
    "command",
    "entrypoint",
    "container_name",
    "hostname",
    "profiles",
    "pull_policy",
    "mem_limit",
    "mem_reservation",
    "cpus",
    "pids_limit",
    "annotations",
];
/// What means nothing to a machine.
const NOTHING: &[&str] = &["tty", "stdin_open", "expose", "attach", "scale", "develop"];

/// What becomes of the fields of a document beside its services.
pub(super) fn of_document(root: &Node, report: &mut Report) {
    for it in root.members() {
        let what = format!("`{}`", it.key);
        match it.key.as_str() {
            "services" => {}
            "name" | "version" | "networks" | "volumes" | "secrets" | "configs" => {
                report.dropped(DECIDED, what, "the compose file is made anew from the profile", &it.place);
            }
            other if other.starts_with("x-") => {
                report.dropped(UNNEEDED, what, "its parts are read where they are used", &it.place);
            }
            _ => {
                let (why, fix) = ("it is not followed", "import what `docker compose config` prints instead");
                report.decide(SETTING, what, why, fix, &it.place);
            }
        }
    }
}

/// What becomes of a field of a machine's service.
pub(super) fn of_machine(it: &Member, draft: &mut Draft, report: &mut Report) {
    let what = format!("`{}`", it.key);
    match it.key.as_str() {
        key if READ.contains(&key) => {}
        key if MADE_ANEW.contains(&key) => {
            report.dropped(DECIDED, what, "made anew for every machine, hardened", &it.place);
        }
        key if NOTHING.contains(&key) || it.value.is_off() => {
            report.dropped(UNNEEDED, what, "it means nothing to a machine", &it.place);
        }
        "gpus" | "runtime" => report.dropped(DECIDED, what, "the plan says which cards, by id", &it.place),
        "deploy" => deploy(&it.value, draft, report),
        "extra_hosts" => {
            let texts = it.value.texts();
            let usual = |text: &str| text.replace('=', ":") == "host.docker.internal:host-gateway";
            if !texts.is_empty() && texts.iter().all(|it| usual(&it.0)) {
                report.dropped(DECIDED, what, "made anew for every machine, hardened", &it.place);
            } else {
                override_it(what, it, report);
            }
        }
        "extends" => {
            let (why, fix) = ("it is not followed", "import what `docker compose config` prints instead");
            report.decide(SETTING, what, why, fix, &it.place);
        }
        key if key.starts_with("x-") => report.dropped(UNNEEDED, what, "Compose does not read it", &it.place),
        _ => override_it(what, it, report),
    }
}

fn override_it(what: String, it: &Member, report: &mut Report) {
    let why = "the generated file has no such thing: it gives a machine as little as it needs";
    report.decide(SETTING, what, why, "add it to `docker-compose.override.yaml`, if you need it", &it.place);
}

/// Limits are the plan's; so are cards, whose number is noted.
fn deploy(node: &Node, draft: &mut Draft, report: &mut Report) {
    for it in node.members() {
        let what = format!("`deploy.{}`", it.key);
        match it.key.as_str() {
            "resources" => {
                report.dropped(DECIDED, what, "the plan's limits, and its cards by id", &it.place);
                let devices = it.value.get("reservations").and_then(|it| it.get("devices"));
                devices.map(Node::items).unwrap_or_default().iter().for_each(|it| device(it, draft));
            }
            "restart_policy" | "labels" | "mode" => {
                report.dropped(DECIDED, what, "made anew for every machine, hardened", &it.place);
            }
            "replicas" if it.value.scalar().as_deref() == Some("1") => {
                report.dropped(UNNEEDED, what, "one is what there is", &it.place);
            }
            "replicas" => {
                let why = "a machine is one container, with a name of its own";
                let fix = "declare each with `roster compose-profile ROSTER --name NAME`";
                report.decide(SETTING, what, why, fix, &it.place);
            }
            _ => override_it(what, it, report),
        }
    }
}

fn device(node: &Node, draft: &mut Draft) {
    for (id, _) in node.get("device_ids").map(Node::texts).unwrap_or_default() {
        id.parse().into_iter().for_each(|it| draft.on_gpu(it));
    }
    let count = node.get("count").and_then(Node::scalar).and_then(|it| it.parse::<u16>().ok());
    count.and_then(|it| it.checked_sub(1)).into_iter().for_each(|it| draft.on_gpu(it));
}

/// A container beside a machine, as a profile says it; or why it cannot be one.
pub(super) fn additional(service: &Member, image: &str) -> Result<Json, String> {
    let quiet = [
        "image",
        "command",
        "environment",
        "restart",
        "logging",
        "networks",
        "container_name",
        "hostname",
        "profiles",
        "platform",
        "cap_drop",
        "security_opt",
        "read_only",
        "tmpfs",
        "stop_grace_period",
        "stop_signal",
        "labels",
        "pull_policy",
    ];
    let loud: Vec<_> =
        service.value.members().iter().filter(|it| !quiet.contains(&it.key.as_str())).collect();
    if service.key.parse::<ServiceName>().is_err() {
        return Err("its name is none of a service".into());
    }
    if !loud.is_empty() {
        let names: Vec<_> = loud.iter().map(|it| format!("`{}`", it.key)).collect();
        return Err(format!(
            "it is no machine, and `docker.additional_services` has no {}",
            names.join(", ")
        ));
    }
    let tagged = image.contains('@') || image.rsplit('/').next().is_some_and(|it| it.contains(':'));
    if !tagged || image.contains('$') {
        return Err("it is no machine, and its image has no tag or digest of its own".into());
    }
    let mut document = Map::from_iter([("image".to_owned(), json!(image))]);
    let command = service.value.get("command");
    match command.map(|it| &it.value) {
        None | Some(Value::Null) => {}
        Some(Value::List(_)) => {
            let words: Vec<_> =
                command.map(Node::texts).unwrap_or_default().into_iter().map(|it| it.0).collect();
            let tells = |it: &String| {
                let it = it.to_lowercase();
                ["pass", "token", "secret", "key=", "://", "$"].iter().any(|sign| it.contains(sign))
            };
            if words.iter().any(tells) {
                return Err("it is no machine, and its command may hold a secret".into());
            }
            document.insert("command".into(), json!(words));
        }
        Some(_) => return Err("it is no machine, and its command is a text, not a list of words".into()),
    }
    let environment = environment(service.value.get("environment"))?;
    if !environment.is_empty() {
        document.insert("environment".into(), Json::Object(environment));
    }
    Ok(Json::Object(document))
}

/// Variables with a value of their own that is no secret.
fn environment(node: Option<&Node>) -> Result<Map<String, Json>, String> {
    let mut found = Map::new();
    let Some(node) = node else { return Ok(found) };
    let of_list = node.items().iter().filter_map(Node::scalar);
    let of_list = of_list.map(|it| it.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
    let of_map = node.members().iter().map(|it| Some((it.key.clone(), it.value.scalar()?)));
    for pair in of_list.chain(of_map) {
        let plain = pair.and_then(|(key, value)| Some((key.parse::<EnvKey>().ok()?, value)));
        match plain.filter(|(key, value)| !value.contains('$') && !crate::variables::is_secret(key, value)) {
            Some((key, value)) => found.insert(key.to_string(), json!(value)),
            None => return Err("it is no machine, and a variable of it is a secret, or a reference".into()),
        };
    }
    Ok(found)
}
