//! A Redis that containers would look for in themselves.

use std::net::IpAddr;

use env_builder::environment::Environment;
use spec::notes::{Code, Exit, Fault, Finding, Located};

use crate::profile::Profile;

const REDIS_URL: &str = "REDIS_URL";

/// A machine of the compose file whose Redis is elsewhere, by an address that in a container is the container's own. With
/// a Redis beside it, an address of the host is there for a machine that is run without containers, and is not told of.
pub(super) fn loopback(environment: &Environment, profile: Option<&Profile>) -> Option<Finding> {
    let profile = profile.filter(|it| it.document().docker.auto_generate && !it.has_local_redis())?;
    let public = environment.public().iter();
    let secrets = environment.secrets().map(|(key, value)| (key, value.expose()));
    let (_, address) = public.chain(secrets).find(|(key, _)| key.as_str() == REDIS_URL)?;
    is_loopback(address).then(|| Finding::advice(Located::at(profile.place("/components/redis"), Loopback)))
}

/// Whether `scheme://user:password@host:port/…` is an address of the machine that uses it.
fn is_loopback(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, it)| it);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|it: IpAddr| it.is_loopback())
}

/// An address that is another one inside of a container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{REDIS_URL}` is a loopback address, which in a container is the container itself")]
struct Loopback;

impl Fault for Loopback {
    fn code(&self) -> Code {
        LOOPBACK
    }

    fn fix(&self) -> String {
        "for a Redis on the Docker host, say `host.docker.internal` instead, as the section `host` of the component `redis` \
does; without containers, `roster run` takes that for this machine"
            .into()
    }
}

/// A container would look for Redis in itself.
pub(crate) const LOOPBACK: Code = Code {
    id: "MACH005",
    title: "a container would look for Redis in itself",
    exit: Exit::Error,
    explanation: "`127.0.0.1`, `[::1]` and `localhost` mean whoever uses them. In the container of a machine that is the \
container, where no Redis listens; the Docker host is `host.docker.internal` there, which `roster run` takes for this machine \
when it runs without containers.\n\nTold of: a profile with a compose file and a Redis elsewhere, and \
`HUB_REDIS_URL=redis://localhost:6379/0`.\n\nMend it: take the section `host` of the component `redis`, or name that host in \
the address; Redis has to listen where containers reach it, so give it a password. If the machine never runs in a \
container, `\"docker\": { \"auto_generate\": false }` in its profile says so.",
};

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn a_loopback_address_is_known_in_all_its_forms() {
        for it in [
            "localhost",
            "LOCALHOST:6379",
            "127.0.0.1",
            "127.1.2.3:1/0",
            "u:p@127.0.0.1:6379/0",
            "[::1]:6379?a",
        ] {
            assert!(is_loopback(&format!("redis://{it}")), "{it}");
            assert!(is_loopback(&format!("legacy+rediss://{it}")), "{it}");
        }
        for it in [
            "redis:6379/0",
            "host.docker.internal",
            "10.0.0.1",
            "[::2]",
            "localhost.example",
            "h/@localhost",
            "",
        ] {
            assert!(!is_loopback(&format!("redis://{it}")), "{it}");
        }
        assert!(!is_loopback("unix:/run/redis.sock") && !is_loopback("localhost"));
    }
}
