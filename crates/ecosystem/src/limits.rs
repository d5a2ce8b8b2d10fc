//! What the schema says beyond the types, again in Rust: a supervisor that reads a good document need not load a validator.
//! A property test holds that both say the same.

use crate::document::{App, Ecosystem, Probe, Probes, SCHEMA_VERSION};

/// Whether a document is within every limit of its schema.
pub(crate) fn hold(it: &Ecosystem) -> bool {
    it.schema_version == SCHEMA_VERSION
        && it.apps.iter().chain(&it.setup).all(app)
        && it.external.iter().all(|it| probes(&it.probes))
}

fn app(it: &App) -> bool {
    let rooted = [&it.cwd, &it.out_file, &it.error_file].into_iter().all(|it| it.starts_with('/'));
    let role = &it.roster;
    let named = [&role.user, &role.group].into_iter().flatten().all(|it| !it.is_empty());
    rooted
        && named
        && !it.script.is_empty()
        && it.merge_logs
        && !it.vizion
        && role.umask.as_deref().is_none_or(umask)
        && role.oom_score_adj.is_none_or(|it| (-1000..=1000).contains(&it))
        && role.probes.as_ref().is_none_or(probes)
}

fn umask(text: &str) -> bool {
    let digits = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
    digits.is_some_and(|it| it.len() == 3 && it.bytes().all(|it| matches!(it, b'0'..=b'7')))
}

fn probes(it: &Probes) -> bool {
    let optional = [&it.startup, &it.live].into_iter().flatten();
    [&it.install, &it.ready, &it.health].into_iter().chain(optional).all(probe)
}

fn probe(it: &Probe) -> bool {
    match it {
        Probe::Exec { command } => !command.is_empty(),
        Probe::Log { line } => !line.is_empty(),
        Probe::Process
        | Probe::File { .. }
        | Probe::Tcp { .. }
        | Probe::Http { .. }
        | Probe::Variables { .. }
        | Probe::Url { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use spec::document;
    use spec::source::SourceText;

    use super::*;

    const DOCUMENT: &str = include_str!("../tests/whole.json");

    /// Every place in a document.
    fn places(value: &Value, at: &str, into: &mut Vec<String>) {
        into.push(at.to_owned());
        match value {
            Value::Array(list) => {
                (0..).zip(list).for_each(|(n, it): (usize, _)| places(it, &format!("{at}/{n}"), into));
            }
            Value::Object(members) => {
                members.iter().for_each(|(key, it)| places(it, &format!("{at}/{key}"), into));
            }
            _ => {}
        }
    }

    /// Values that are near the limits of some field.
    fn value() -> impl Strategy<Value = Value> {
        let values = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(2),
            json!(-1),
            json!(1.5),
            json!(1000),
            json!(1001),
            json!(-1000),
            json!(-1001),
            json!(65_535),
            json!(65_536),
            json!(4_294_967_295_u64),
            json!(4_294_967_296_u64),
            json!(""),
            json!("/"),
            json!("/x"),
            json!("x"),
            json!("x/"),
            json!("022"),
            json!("0022"),
            json!("22"),
            json!("1022"),
            json!("028"),
            json!("SIGTERM"),
            json!("ready"),
            json!([]),
            json!(["x"]),
            json!([1]),
            json!({}),
            json!({ "process": null }),
            json!("process"),
            json!({ "log": { "line": "" } }),
            json!({ "exec": { "command": [] } }),
            json!({ "tcp": { "port": 1 } }),
            json!({ "nofile": null }),
            json!({ "nofile": 1 }),
            json!("a:b"),
        ];
        prop::sample::select(values.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_document_is_judged_as_by_its_schema(
            place in any::<prop::sample::Index>(), value in value(), name in prop::option::of("[a-z_]{1,8}"),
        ) {
            let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
            let mut all = Vec::new();
            places(&document, "", &mut all);
            let place: &String = place.get(&all[..]);
            let target = document.pointer_mut(place).unwrap();
            match (target, name) {
                (Value::Object(members), Some(name)) => _ = members.insert(name, value),
                (target, _) => *target = value,
            }
            let source = SourceText::open("x.json", document.to_string());
            let slow = document::read::<Ecosystem>(&source).map(|it| it.value);
            let quick = document::read_quickly::<Ecosystem>(&source, hold).map(|it| it.value);
            prop_assert_eq!(quick, slow, "{}", place);
        }
    }
}
