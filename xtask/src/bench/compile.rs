//! `bench compile`: how many crates a new user compiles before the first plan, and for how long.

use std::{collections::BTreeSet, time::Instant};

use serde_json::Value;

use crate::workspace::{cargo, output, remove, target};

/// The most crates that a new user may have to compile, ours included.
pub(crate) const MOST_CRATES: usize = 150;

pub(super) fn run() -> Result<bool, String> {
    let fresh = target()?.join("bench-compile");
    remove(&fresh)?;
    let build =
        ["build", "--quiet", "--locked", "--package", "xtask", "--message-format", "json", "--target-dir"];
    let started = Instant::now();
    let messages = output(cargo(build).arg(&fresh));
    let took = started.elapsed();
    remove(&fresh)?;
    let crates = compiled(&messages?);
    let within_limits = crates < MOST_CRATES;
    say!("| cold build of | crates | seconds | limit |");
    say!("|---|--:|--:|---|");
    let verdict = if within_limits { "" } else { ": OVER" };
    say!("| cargo xtask | {crates} | {:.1} | below {MOST_CRATES} crates{verdict} |", took.as_secs_f64());
    Ok(within_limits)
}

/// The packages of which something was compiled; a build script and its library are one.
pub(super) fn compiled(messages: &str) -> usize {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts = messages.filter(|it| it["reason"] == "compiler-artifact");
    artifacts.filter_map(|it| it["package_id"].as_str().map(str::to_owned)).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_build_script_and_its_library_are_one_crate() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"a 1","target":{"kind":["custom-build"]}}
{"reason":"build-script-executed","package_id":"a 1"}
{"reason":"compiler-artifact","package_id":"a 1","target":{"kind":["lib"]}}
{"reason":"compiler-artifact","package_id":"b 1","target":{"kind":["lib"]}}
{"reason":"build-finished","success":true}"#;
        assert_eq!(super::compiled(messages), 2);
    }
}
