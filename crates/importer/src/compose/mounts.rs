//! The ports and volumes of a machine's service.

use spec::ids::EnvKey;
use spec::model::HEALTH_PORT;

use crate::codes::{DECIDED, SETTING};
use crate::draft::{Draft, agreed};
use crate::offer::{Offer, WORKSPACE};
use crate::report::Report;
use crate::tree::{Member, Node, Value};

/// Further instances of a service that a port may be of.
const MOST_INSTANCES: u16 = 64;

/// `[[host:]published:]target[/protocol]`, or the long form.
struct Port {
    host: String,
    published: String,
    target: String,
}

/// Published ports.
pub(super) fn ports(member: &Member, offer: &Offer, draft: &mut Draft, report: &mut Report) {
    for node in member.value.items() {
        let Some(port) = port(node) else {
            let (why, fix) = ("it is not understood", "write it as `127.0.0.1:8188:8188`");
            report.decide(SETTING, "a published port", why, fix, &node.place);
            continue;
        };
        let what = format!("published port `{}`", port.target);
        let ours = port.target.parse().is_ok_and(|it| is_ours(it, offer, draft));
        let loopback = ["127.0.0.1", "::1", "[::1]", "localhost"].contains(&port.host.as_str());
        let same = port.published == port.target;
        let to = "`docker.publish`";
        if !ours {
            let why = "no service of the mapping listens there";
            let fix = "publish it in `docker-compose.override.yaml`, if something else of yours does";
            report.decide(SETTING, what, why, fix, &node.place);
        } else if loopback && same {
            draft.publish = true;
            report.renamed(what, to, "", &node.place);
        } else {
            draft.publish = true;
            let why = if same { "it was open to the network" } else { "it had another number outside" };
            let why = format!("{why}; `docker.publish` publishes it as it is, on the loopback");
            let fix = "keep that, or publish it in `docker-compose.override.yaml`";
            report.decide_about(SETTING, what, to, (why, fix), &node.place);
        }
    }
}

fn port(node: &Node) -> Option<Port> {
    if let Value::Map(_) = node.value {
        let part = |name: &str| node.get(name).and_then(Node::scalar);
        let target = part("target")?;
        let published = part("published").unwrap_or_default();
        return Some(Port { host: part("host_ip").unwrap_or_default(), published, target });
    }
    let text = node.scalar()?;
    let text = text.split('/').next()?;
    let mut parts = text.rsplitn(3, ':');
    let target = parts.next()?.to_owned();
    let published = parts.next().unwrap_or_default().to_owned();
    Some(Port { host: parts.next().unwrap_or_default().to_owned(), published, target })
}

/// Whether something of a machine may listen there.
fn is_ours(port: u16, offer: &Offer, draft: &Draft) -> bool {
    let said = |key: &EnvKey| agreed(draft.said.get(key)?)?.value.parse::<u16>().ok();
    let health = "MACHINE_HEALTH_PORT".parse().ok().and_then(|key| said(&key));
    let mut rules = offer.services.values().filter_map(|it| it.port.as_ref());
    port == health.unwrap_or(HEALTH_PORT)
        || rules.any(|it| {
            let base = it.variable.as_ref().and_then(said).unwrap_or(it.base);
            let most = it.increment.saturating_mul(MOST_INSTANCES);
            (base..=base.saturating_add(most)).contains(&port)
        })
}

/// Mounted volumes.
pub(super) fn volumes(member: &Member, offer: &Offer, report: &mut Report) {
    for node in member.value.items() {
        let part = |name: &str| node.get(name).and_then(Node::scalar);
        let short = node.scalar();
        let split = || short.as_deref().and_then(|it| it.split_once(':'));
        let source = part("source").or_else(|| Some(split()?.0.to_owned())).unwrap_or_default();
        let target = part("target").or_else(|| Some(split()?.1.split(':').next()?.to_owned()));
        let target = target.or(short.clone()).unwrap_or_default();
        let named = !source.starts_with(['.', '/', '~', '$']) && part("type").is_none_or(|it| it == "volume");
        let known = target == WORKSPACE || offer.services.values().any(|it| it.volumes.contains(&target));
        let what = format!("volume at `{target}`");
        if named && known {
            report.dropped(DECIDED, what, "the mapping's volumes, made anew", &node.place);
        } else {
            let why = if known {
                "it is a folder of the host, where Roster makes a volume"
            } else {
                "the mapping has no volume there"
            };
            let fix = "mount it in `docker-compose.override.yaml`, or add it to `volumes` of the service in the mapping";
            report.decide(SETTING, what, why, fix, &node.place);
        }
    }
}
