//! Which Redis a machine works on: an address, or one that a component has a section for.

use spec::source::Place;

use super::{Candidate, Settled};
use crate::codes;
use crate::draft::Draft;
use crate::report::Report;

/// Where Redis is when it is beside the machine: what the section `local` of the component `redis` says.
const LOCAL_REDIS: [&str; 2] = ["redis://redis:6379", "redis://redis:6379/0"];

/// What becomes of the Redis beside a machine.
pub(super) fn beside(draft: &Draft, name: &str, place: &Place, settled: &mut Settled, report: &mut Report) {
    let what = format!("service `{name}`");
    if settled.says("REDIS_URL") || settled.redis == Some("host") {
        let machine = draft.name.as_ref().map_or("the machine".to_owned(), |it| format!("`{it}`"));
        return report.dropped(codes::UNUSED, what, format!("{machine} works on another Redis"), place);
    }
    settled.redis = Some("local");
    let why = "it is made anew, with a volume of its own; what is in it stays where it is";
    report.renamed(what, "component `redis`, section `local`", why, place);
}

/// Whether the component `redis` says the address.
pub(super) fn address(
    draft: &Draft,
    candidates: &[Candidate<'_>],
    settled: &mut Settled,
    report: &mut Report,
) -> bool {
    let Some((_, _, said)) = candidates.first() else { return false };
    let value = said.value.as_str();
    let beside = draft.redis.as_ref().is_some_and(|(name, _)| {
        let here = value.strip_prefix("redis://").and_then(|it| it.strip_prefix(name.as_str()));
        here.is_some_and(|rest| ["", "/", "/0", ":6379", ":6379/", ":6379/0"].contains(&rest))
    });
    if beside || LOCAL_REDIS.contains(&value.trim_end_matches('/')) {
        settled.redis = Some("local");
        for (key, _, said) in candidates {
            let why = "Redis is beside the machine";
            report.renamed(format!("`{key}`"), "component `redis`, section `local`", why, &said.place);
        }
        return true;
    }
    let host =
        value.split_once("://").map_or("", |it| it.1).split(['/', ':', '?']).next().unwrap_or_default();
    if ["localhost", "127.0.0.1"].contains(&host) {
        settled.redis = Some("host");
        for (key, _, said) in candidates {
            let why = "in a container `localhost` is the container itself";
            let fix = "keep `host`, the Redis of the Docker host, or say `local` in the profile, one beside the machine";
            let to = "component `redis`, section `host`";
            report.decide_about(codes::SETTING, format!("`{key}`"), to, (why, fix), &said.place);
        }
        return true;
    }
    false
}
