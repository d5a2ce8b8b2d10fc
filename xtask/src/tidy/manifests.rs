//! What every crate says about itself.

use std::path::Path;

use serde_json::Value;

use super::rust::tokens;
use super::{files, hold, law::packages};
use crate::workspace::{read, root as root_of_workspace};

/// The one crate that has lints of its own: a module of it forks, for which there is no safe call. Everything but
/// `unsafe_code` is as in the workspace.
const FORKS: &str = "roster-supervisor";
/// That module.
const MAY_BE_UNSAFE: &str = "crates/supervisor/src/spawn.rs";

/// The faults of one package: `manifest` is its Cargo.toml, `workspace` that of the workspace, `head` the file of its
/// crate root.
fn faults(package: &Value, manifest: &str, workspace: &str, head: &str) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    if name == FORKS {
        if own_lints(manifest, "[lints.")
            != own_lints(workspace, "[workspace.lints.").replace("forbid", "deny")
        {
            faults.push(format!("`{name}`: its lints are not the workspace's with `unsafe_code = \"deny\"`"));
        }
    } else if !inherits_lints(manifest) {
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

/// What the sections that begin with `start` say, without comments.
fn own_lints(manifest: &str, start: &str) -> String {
    let lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut inside = false;
    let lines = lines.filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with(start);
        }
        inside && !line.is_empty()
    });
    lines.map(|line| line.replace(start, "[")).collect::<Vec<_>>().join("\n")
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
    let workspace = read(&root_of_workspace().join("Cargo.toml")).expect("the workspace has a manifest");
    for package in packages() {
        let manifest = package["manifest_path"].as_str().expect("a package has a manifest");
        let head = root(&package).expect("a package has a library or a program");
        let [manifest, head] =
            [manifest, head].map(|path| read(Path::new(path)).expect("cargo names files that exist"));
        found.extend(faults(&package, &manifest, &workspace, &head));
    }
    hold("every crate says what it is", &found);
}

#[test]
fn one_module_alone_is_unsafe() {
    let rust = files().into_iter().filter(|it| it.is_rust() && it.path != MAY_BE_UNSAFE);
    let found = rust.flat_map(|it| {
        let at =
            tokens(&it.text).iter().filter(|it| it.text == "unsafe").map(|it| it.line).collect::<Vec<_>>();
        at.into_iter().map(move |line| format!("{}:{line}: `unsafe`", it.path)).collect::<Vec<_>>()
    });
    hold(&format!("only {MAY_BE_UNSAFE} may be unsafe"), &found.collect::<Vec<_>>());
}

#[test]
fn the_lints_of_the_crate_that_forks_differ_in_one_word() {
    let workspace = "[x]\na = 1\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n\n[workspace.lints.clippy]\n# why\ntodo = \"warn\"\n[z]\n";
    let package = serde_json::json!({ "name": FORKS, "description": "it", "license": "MIT" });
    let own = |unsafe_code: &str, todo: &str| {
        let manifest = format!(
            "[lints.rust]\nunsafe_code = \"{unsafe_code}\"\n[lints.clippy]\ntodo = \"{todo}\"\n[dependencies]\n"
        );
        faults(&package, &manifest, workspace, "//! Forks.\n").len()
    };
    assert_eq!([own("deny", "warn"), own("allow", "warn"), own("deny", "allow")], [0, 1, 1]);
}

#[test]
fn a_crate_that_says_nothing_is_found() {
    let package =
        |description: &str| serde_json::json!({ "name": "x", "description": description, "license": "MIT" });
    let (manifest, head) = ("[lints]\nworkspace = true # all\n", "//! Says its purpose.\n");
    assert_eq!(faults(&package("it"), manifest, "", head), [""; 0]);
    assert_eq!(faults(&package(""), manifest, "", head).len(), 1);
    assert_eq!(faults(&package("it"), "[lints]\n[x]\nworkspace = true\n", "", head).len(), 1);
    assert_eq!(faults(&package("it"), manifest, "", "//!\n").len(), 1);
    assert_eq!(faults(&package("it"), manifest, "", "fn main() {}\n").len(), 1);
}
