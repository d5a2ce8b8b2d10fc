//! The top level of the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::yaml::Node;
use crate::{Machine, Project, REDIS, service};

/// The name of what belongs to one machine among the project's volumes, secrets and configs. No name of the mapping or
/// of a variable has a dot, so it collides with none.
pub(crate) fn scoped(owner: &str, what: &str) -> String {
    format!("{owner}.{what}")
}

/// The file in the order that dclint wants. Sections of nothing are left out.
pub(crate) fn document(project: &Project) -> Vec<(String, Node)> {
    let machines = project.machines();
    let redis = machines.iter().any(|(_, it)| it.uses_local_redis);
    let base = Node::Anchor(service::BASE, Box::new(service::base()));
    let mut sections = vec![
        (format!("x-{}", service::BASE), base),
        ("name".to_owned(), Node::text(project.name.as_str())),
        ("services".to_owned(), services(project, &machines, redis)),
        ("networks".to_owned(), networks(redis)),
        ("volumes".to_owned(), volumes(&machines, redis)),
        ("secrets".to_owned(), secrets(&machines)),
        ("configs".to_owned(), configs(project, &machines)),
    ];
    sections.retain(|(name, node)| name == "services" || !node.is_empty());
    sections
}

fn services(project: &Project, machines: &[(&str, &Machine)], redis: bool) -> Node {
    let mut services = Vec::new();
    for (name, it) in &project.additional {
        services.push((name.as_str(), service::additional(it, redis)));
    }
    if redis {
        let users = project.profiles.iter().filter(|(_, it)| it.uses_local_redis);
        // A machine that is always started needs a Redis that is always started.
        let always = project.machine.as_ref().is_some_and(|it| it.uses_local_redis);
        let profiles: Vec<&str> =
            if always { vec![] } else { users.map(|(name, _)| name.as_str()).collect() };
        services.push((REDIS, service::redis(project.redis_image.as_ref(), profiles, &project.context)));
    }
    for &(name, it) in machines {
        let on_request = project.profiles.contains_key(name);
        services.push((name, service::machine(name, on_request, it, &project.context)));
    }
    services.sort_by_key(|(name, _)| *name);
    Node::map(services)
}

/// Machines reach the world by `egress`; Redis is on `internal` alone, which leads nowhere.
fn networks(redis: bool) -> Node {
    let mut networks = vec![("egress", Node::map([("driver", Node::text("bridge"))]))];
    if redis {
        networks.push((
            "internal",
            Node::map([("driver", Node::text("bridge")), ("internal", Node::Bool(true))]),
        ));
    }
    Node::map(networks)
}

fn volumes(machines: &[(&str, &Machine)], redis: bool) -> Node {
    let mut names: BTreeSet<String> =
        machines.iter().flat_map(|(name, it)| service::mounts(name, it)).map(|it| it.volume).collect();
    if redis {
        names.insert(scoped(REDIS, service::DATA));
    }
    Node::map(names.into_iter().map(|name| (name, Node::map([("driver", Node::text("local"))]))))
}

/// Each machine's own, by scoped name.
fn secrets(machines: &[(&str, &Machine)]) -> Node {
    let all = machines.iter().flat_map(|(name, it)| {
        it.secrets.iter().map(move |(key, file)| (scoped(name, key.as_str()), file.as_str()))
    });
    files(all)
}

/// Each machine's ecosystem, and the mapping for all.
fn configs(project: &Project, machines: &[(&str, &Machine)]) -> Node {
    let own =
        machines.iter().map(|(name, it)| (scoped(name, service::ECOSYSTEM), it.ecosystem_file.as_str()));
    let shared = (!machines.is_empty()).then(|| (service::MAPPING.to_owned(), project.mapping_file.as_str()));
    files(own.chain(shared))
}

fn files<'a>(all: impl Iterator<Item = (String, &'a str)>) -> Node {
    let all = all.map(|(name, file)| (name, Node::map([("file", Node::text(file))])));
    Node::map(all.collect::<BTreeMap<_, _>>())
}
