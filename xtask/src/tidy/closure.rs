//! What a crate really compiles: the whole tree of its normal and build dependencies with default features, as cargo itself
//! resolves it for this machine.

use std::collections::BTreeSet;

use super::{
    hold,
    law::{self, Row},
};
use crate::{
    bench::MOST_CRATES,
    workspace::{cargo, output},
};

/// `cargo tree`, one `name version` a line, indented by nothing.
fn tree(package: &str) -> String {
    let tree = ["tree", "--quiet", "--locked", "--prefix=none", "--edges=normal,build", "--package", package];
    output(&mut cargo(tree)).expect("cargo tree")
}

/// The crates of a tree: name and version.
fn crates(tree: &str) -> BTreeSet<(&str, &str)> {
    tree.lines().filter_map(|line| line.split_once(' ')).map(|(name, rest)| (name, version(rest))).collect()
}

fn version(rest: &str) -> &str {
    rest.split(' ').next().unwrap_or_default()
}

/// The foreign crates of the tree that the row forbids.
fn forbidden(package: &str, row: &Row, tree: &str) -> Vec<String> {
    let names: BTreeSet<_> = crates(tree).into_iter().map(|(name, _)| name).collect();
    let never = row.never.iter().copied().flatten();
    never
        .filter(|name| names.contains(**name))
        .map(|name| {
            format!("`{package}` compiles `{name}`; see `cargo tree -e normal,build -p {package} -i {name}`")
        })
        .collect()
}

#[test]
fn no_crate_compiles_what_its_purpose_does_not_need() {
    let mut faults = Vec::new();
    for package in law::packages() {
        let name = package["name"].as_str().expect("a package has a name");
        if let Some(row) = law::row(name).filter(|row| !row.never.is_empty()) {
            faults.extend(forbidden(name, row, &tree(name)));
        }
    }
    hold("the dependency law, foreign crates (docs/ARCHITECTURE.md)", &faults);
}

#[test]
fn a_new_user_compiles_few_crates() {
    let tree = tree("xtask");
    let count = crates(&tree).len();
    assert!(
        count < MOST_CRATES,
        "`cargo xtask` compiles {count} crates; below {MOST_CRATES} is the law. Its tree:\n{tree}"
    );
}

#[test]
fn a_forbidden_crate_deep_in_the_tree_is_found() {
    let tree = "roster-planner v0.1.0 (/src/planner)\nnotify v8.0.0\ntokio v1.50.0 (*)\ntokio v1.50.0\nsyn v2.0.0\nsyn v3.0.0\n";
    let row = law::row("roster-planner").expect("planner has a row");
    assert_eq!(
        forbidden("roster-planner", row, tree),
        ["`roster-planner` compiles `tokio`; see `cargo tree -e normal,build -p roster-planner -i tokio`"]
    );
    assert_eq!(crates(tree).len(), 5, "two versions of one crate are compiled twice, a repeated line is not");
}
