//! The dependency law: who may import whom. One row a crate; a crate without a row may not exist.

use std::collections::BTreeSet;

use serde_json::Value;

use super::hold;
use crate::workspace::{cargo, output};

/// What one crate may and may not use.
pub(super) struct Row {
    /// The folder's name; the package is `roster-<name>`, but for xtask.
    pub name: &'static str,
    /// The local crates that it may import, dev-dependencies included.
    pub may: &'static [&'static str],
    /// With the feature `e2e` it may import every local crate, as an optional dependency.
    pub all_with_e2e: bool,
    /// Foreign crates that may not be among its direct dependencies.
    pub never_direct: &'static [&'static str],
    /// Foreign crates that may not be anywhere in what it compiles by default.
    pub never: &'static [&'static [&'static str]],
    /// Paths of the standard library that its code may not name.
    pub never_std: &'static [&'static str],
}

const ASYNC: &[&str] = &["tokio", "async-std", "smol", "async-io", "futures-executor"];
const REDIS: &[&str] = &["redis", "fred", "deadpool-redis"];
const HTTP: &[&str] = &["axum", "hyper", "reqwest", "ureq", "actix-web"];
const YAML: &[&str] = &[
    "serde-saphyr",
    "saphyr",
    "saphyr-parser",
    "granit-parser",
    "serde_yaml",
    "serde_yml",
    "serde_norway",
    "yaml-rust2",
];
const HEAVY: &[&str] = &[
    "tokio",
    "bollard",
    "testcontainers",
    "axum",
    "redis",
    "fantoccini",
    "chromiumoxide",
    "headless_chrome",
    "thirtyfour",
];
/// Clocks and chance, as crates. Only direct use is forbidden: a hash map's seed, say, does not decide anything.
const IMPURE: &[&str] =
    &["rand", "fastrand", "getrandom", "uuid", "chrono", "time", "jiff", "tempfile", "rustix", "nix", "libc"];
/// Files, environment, processes, sockets, clocks and chance, in the standard library.
const WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::os",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
];

/// A row that forbids nothing beyond its imports.
const OPEN: Row =
    Row { name: "", may: &[], all_with_e2e: false, never_direct: &[], never: &[], never_std: &[] };
const PURE: Row =
    Row { may: &["spec"], never_direct: IMPURE, never: &[ASYNC, REDIS, HTTP], never_std: WORLD, ..OPEN };
const DECISIONS: &[&str] = &["spec", "mapping", "allocator", "env-builder", "compose-gen", "ecosystem"];

/// The law.
pub(super) const LAW: &[Row] = &[
    Row { name: "spec", may: &[], never: &[ASYNC, REDIS, HTTP, YAML], ..PURE },
    Row { name: "mapping", ..PURE },
    Row { name: "allocator", ..PURE },
    Row { name: "env-builder", ..PURE },
    Row { name: "compose-gen", ..PURE },
    Row { name: "ecosystem", ..PURE },
    Row { name: "importer", ..PURE },
    Row { name: "broker", may: &["spec"], ..OPEN },
    Row { name: "installer", may: &["spec"], ..OPEN },
    Row { name: "supervisor", may: &["spec", "ecosystem"], never_std: &["std::env"], ..OPEN },
    Row { name: "worker", may: &["spec", "broker"], ..OPEN },
    Row { name: "health", may: &["spec", "broker"], never_std: &["std::process"], ..OPEN },
    Row { name: "planner", may: DECISIONS, never: &[ASYNC, REDIS, HTTP], ..OPEN },
    Row {
        name: "machine",
        may: &[
            "spec",
            "mapping",
            "allocator",
            "env-builder",
            "compose-gen",
            "ecosystem",
            "importer",
            "broker",
            "installer",
            "supervisor",
            "worker",
            "health",
            "planner",
        ],
        ..OPEN
    },
    Row { name: "xtask", may: &["planner", "spec"], all_with_e2e: true, never: &[HEAVY], ..OPEN },
];

/// The row of a package, by the package's name.
pub(super) fn row(package: &str) -> Option<&'static Row> {
    let name = package.strip_prefix("roster-").unwrap_or(package);
    LAW.iter().find(|row| row.name == name)
}

/// The packages of the workspace, as `cargo metadata` describes them.
pub(super) fn packages() -> Vec<Value> {
    let metadata =
        output(&mut cargo(["metadata", "--format-version", "1", "--no-deps"])).expect("cargo metadata");
    let mut metadata: Value = serde_json::from_str(&metadata).expect("cargo metadata prints JSON");
    metadata["packages"].as_array_mut().map(std::mem::take).expect("cargo metadata lists packages")
}

/// Where the packages break the law, by what their manifests say.
fn broken(packages: &[Value]) -> Vec<String> {
    let ours: BTreeSet<_> = packages.iter().filter_map(|it| it["name"].as_str()).collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(row) = row(name) else {
            faults.push(format!("`{name}` has no row in the dependency law (xtask/src/tidy/law.rs)"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let import = dependency["name"].as_str().unwrap_or_default();
            let optional = dependency["optional"].as_bool().unwrap_or_default();
            let dev = dependency["kind"] == "dev";
            let short = import.strip_prefix("roster-").unwrap_or(import);
            if short == "xtask" {
                faults.push(format!("`{name}` imports `xtask`: xtask is imported by nothing"));
            } else if ours.contains(import) {
                let allowed = row.may.contains(&short) || (row.all_with_e2e && optional);
                if !allowed {
                    let may = if row.may.is_empty() { "none".to_owned() } else { row.may.join(", ") };
                    faults.push(format!("`{name}` imports `{import}`: of our crates it may import {may}"));
                }
            } else if !dev && row.never_direct.contains(&import) {
                faults.push(format!(
                    "`{name}` imports `{import}`: it may not touch the world, a clock or chance"
                ));
            }
        }
    }
    faults
}

#[test]
fn every_crate_imports_only_what_the_law_allows() {
    hold("the dependency law (docs/ARCHITECTURE.md)", &broken(&packages()));
}

#[test]
fn the_law_is_layered() {
    for (at, row) in LAW.iter().enumerate() {
        for import in row.may {
            let earlier = LAW[..at].iter().any(|it| it.name == *import);
            assert!(earlier, "`{}` may import `{import}`, which is not above it in the table", row.name);
        }
    }
}

#[test]
fn a_forbidden_import_is_found() {
    let dependency = |name: &str, kind: Option<&str>, optional: bool| serde_json::json!({ "name": name, "kind": kind, "optional": optional });
    let package = |name: &str, dependencies: &[Value]| serde_json::json!({ "name": name, "dependencies": dependencies });
    let packages = [
        package("roster-spec", &[dependency("rand", None, false), dependency("rand", Some("dev"), false)]),
        package("roster-mapping", &[dependency("roster-spec", None, false)]),
        package("roster-allocator", &[dependency("roster-mapping", Some("dev"), false)]),
        package(
            "roster-planner",
            &[dependency("xtask", None, false), dependency("roster-mapping", None, false)],
        ),
        package(
            "xtask",
            &[dependency("roster-mapping", None, true), dependency("roster-allocator", None, false)],
        ),
        package("roster-novelty", &[]),
    ];
    assert_eq!(
        broken(&packages),
        [
            "`roster-spec` imports `rand`: it may not touch the world, a clock or chance",
            "`roster-allocator` imports `roster-mapping`: of our crates it may import spec",
            "`roster-planner` imports `xtask`: xtask is imported by nothing",
            "`xtask` imports `roster-allocator`: of our crates it may import planner, spec",
            "`roster-novelty` has no row in the dependency law (xtask/src/tidy/law.rs)",
        ]
    );
}
