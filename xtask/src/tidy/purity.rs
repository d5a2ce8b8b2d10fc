//! Purity: which parts of the standard library a crate's code may not name. Tests may.
//!
//! That no foreign crate brings the world in by another door is held by the law's `never_direct`.

use super::{
    File, files, hold,
    law::{self, Row},
    rust::{Token, is, split_tests, std_paths, tokens},
};

/// Whether naming `path` opens `forbidden`: it is it, lies below it, or is a parent imported as a whole.
fn opens(path: &str, forbidden: &str) -> bool {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|it| it.is_empty() || it.starts_with("::"))
    };
    below(path, forbidden) || below(forbidden, path.strip_suffix("::*").unwrap_or(path))
}

/// Where a source file of a crate breaks the row's law on the standard library.
fn impure(row: &Row, file: &File) -> Vec<String> {
    let all = tokens(&file.text);
    let (code, _) = split_tests(&all);
    let mut faults = unguarded_tests(file, &code);
    for (path, line) in std_paths(&code) {
        if let Some(forbidden) = row.never_std.iter().find(|it| opens(&path, it)) {
            let File { path: at, .. } = file;
            faults.push(format!("{at}:{line}: `{path}`: `{}` may not touch `{forbidden}`", row.name));
        }
    }
    faults
}

/// A module named `tests` is taken for test code, so it has to be.
fn unguarded_tests(file: &File, code: &[Token<'_>]) -> Vec<String> {
    let mods = code.windows(2).filter(|pair| is(pair, &["mod", "tests"]));
    mods.map(|pair| format!("{}:{}: `mod tests` without `#[cfg(test)]`", file.path, pair[0].line)).collect()
}

#[test]
fn deciding_crates_do_not_touch_the_world() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| file.is_rust() && !file.is_test()) {
        let Some((name, inside)) = file.path.strip_prefix("crates/").and_then(|it| it.split_once('/')) else {
            continue;
        };
        if let Some(row) = law::row(name).filter(|_| inside.starts_with("src/")) {
            faults.extend(impure(row, file));
        }
    }
    hold("purity (docs/ARCHITECTURE.md)", &faults);
}

#[test]
fn the_world_is_found_however_it_is_imported() {
    let row = law::row("roster-spec").expect("spec has a row");
    let check = |text: &str| impure(row, &File { path: "lib.rs".into(), text: text.into() }).len();
    for impure in [
        "use std::fs;",
        "use std::{collections::BTreeMap, fs};",
        "use std::{io, fs::{self, File}};",
        "use std::fs as files;",
        "use std as s;",
        "use std::{self as s};",
        "use std::*;",
        "use std::time;",
        "use std::time::*;",
        "use std::time::{Duration, Instant};",
        "fn f() { let _ = ::std::env::var(\"HOME\"); }",
        "fn f() -> std::process::Command { todo() }",
        "mod tests { use std::collections::BTreeMap; }",
    ] {
        assert_ne!(check(impure), 0, "not found in: {impure}");
    }
    for pure in [
        "use std::{collections::BTreeMap, fmt, io::{self, Read}, time::Duration};",
        "// use std::fs;\n/* std::env */ const A: &str = \"std::net\"; const B: &str = r#\"std::fs\"#;",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        "#[cfg(test)]\nmod tests;",
        "std::time::Duration::from_secs(1); crate::std::fs::read(); std::io::Error::other(x); std::fsync::x();",
    ] {
        assert_eq!(check(pure), 0, "wrongly found in: {pure}");
    }
}
