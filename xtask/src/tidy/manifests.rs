//! What every crate says about itself.

use std::path::Path;

use serde_json::Value;

use super::{hold, law::packages};
use crate::workspace::read;

/// The faults of one package: `manifest` is its Cargo.toml, `head` the file of its crate root.
fn faults(package: &Value, manifest: &str, head: &str) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    if !inherits_lints(manifest) {
        faults.push(format!("`{name}`: Cargo.toml lacks `[lints]` with `workspace = true`"));
    }
    for field in ["description", "license"] {
        if package[field].as_str().is_none_or(str::is_empty) {
            faults.push(format!("`{name}`: Cargo.toml has no {field}"));
        }
    }
    let said = head.lines().next().and_then(|line| line.strip_prefix("//!"));
    if said.is_none_or(|line| line.trim().is_empty()) {
        faults
            .push(format!("`{name}`: the crate root does not begin with a `//!` line that says its purpose"));
    }
    faults
}

fn inherits_lints(manifest: &str) -> bool {
    let lines = || manifest.lines().map(|line| line.split('#').next().unwrap_or_default().replace(' ', ""));
    let mut section =
        lines().skip_while(|line| line != "[lints]").skip(1).take_while(|line| !line.starts_with('['));
    section.any(|line| line == "workspace=true")
}

/// The library's root where there is one, else the first program's.
fn root(package: &Value) -> Option<&str> {
    let targets = package["targets"].as_array()?;
    let of = |kind: &str| targets.iter().find(|target| target["kind"][0] == kind);
    of("lib").or_else(|| of("bin"))?["src_path"].as_str()
}

#[test]
fn every_crate_says_what_it_is() {
    let mut found = Vec::new();
    for package in packages() {
        let manifest = package["manifest_path"].as_str().expect("a package has a manifest");
        let head = root(&package).expect("a package has a library or a program");
        let [manifest, head] =
            [manifest, head].map(|path| read(Path::new(path)).expect("cargo names files that exist"));
        found.extend(faults(&package, &manifest, &head));
    }
    hold("every crate says what it is", &found);
}

#[test]
fn a_crate_that_says_nothing_is_found() {
    let package =
        |description: &str| serde_json::json!({ "name": "x", "description": description, "license": "MIT" });
    let (manifest, head) = ("[lints]\nworkspace = true # all\n", "//! Says its purpose.\n");
    assert_eq!(faults(&package("it"), manifest, head), [""; 0]);
    assert_eq!(faults(&package(""), manifest, head).len(), 1);
    assert_eq!(faults(&package("it"), "[lints]\n[x]\nworkspace = true\n", head).len(), 1);
    assert_eq!(faults(&package("it"), manifest, "//!\n").len(), 1);
    assert_eq!(faults(&package("it"), manifest, "fn main() {}\n").len(), 1);
}
