//! `bench rebuild`: how long whoever changes one line of a crate waits for `roster`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::compile::compiled;
use crate::workspace::{cargo, files, output, read, root, target, write};

pub(super) fn run() -> Result<bool, String> {
    let copy = target()?.join("bench-rebuild");
    // What a run before has built is of use: only what has changed since is written, so cargo builds only that.
    take_over(&copy)?;
    say!("| one line changed in | compiled of ours | seconds |");
    say!("|---|--:|--:|");
    let (ours, took) = build(&copy)?;
    say!("| nothing yet (whatever is not built) | {ours} | {:.1} |", took.as_secs_f64());
    for (name, file) in crates(&copy)? {
        let text = read(&file)?;
        write(&file, &format!("{text}// A line.\n"))?;
        let told = build(&copy);
        write(&file, &text)?;
        let (ours, took) = told?;
        say!("| {name} | {ours} | {:.1} |", took.as_secs_f64());
        // Back to what it was, which is not measured.
        build(&copy)?;
    }
    Ok(true)
}

/// Copies what git would, and takes away what is no longer there.
fn take_over(copy: &Path) -> Result<(), String> {
    let files = files()?;
    for top in ["crates", "xtask"] {
        for file in below(&copy.join(top)) {
            let name = file.strip_prefix(copy).unwrap_or(&file).to_string_lossy().into_owned();
            if !files.contains(&name) {
                fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
    }
    for file in files {
        let (from, to) = (root().join(&file), copy.join(&file));
        let text = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        if fs::read(&to).ok().as_ref() != Some(&text) {
            let made = to.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::write(&to, text)).map_err(|error| format!("{}: {error}", to.display()))?;
        }
    }
    Ok(())
}

/// The files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|it| {
            let path = it.path();
            if path.is_dir() { below(&path) } else { vec![path] }
        })
        .collect()
}

/// Builds `roster` as whoever works on it does. How many crates of ours were compiled, and how long it took.
fn build(copy: &Path) -> Result<(usize, Duration), String> {
    let mut build =
        cargo(["build", "--quiet", "--locked", "--package", "roster-machine", "--message-format", "json"]);
    build.args(["--bin", "roster", "--target-dir"]).arg(copy.join("target")).current_dir(copy);
    let started = Instant::now();
    let messages = output(&mut build)?;
    let took = started.elapsed();
    let fresh = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|it| it["fresh"] == false);
    let ours = |line: &&str| line.contains("path+file://");
    let messages: Vec<_> = messages.lines().filter(fresh).filter(ours).collect();
    Ok((compiled(&messages.join("\n")), took))
}

/// The crates that `roster` is made of, with the file in which each begins.
fn crates(copy: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let tree = [
        "tree",
        "--quiet",
        "--locked",
        "--package",
        "roster-machine",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ];
    let tree = output(cargo(tree).args(["--format", "{p}"]).current_dir(copy))?;
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for line in tree.lines() {
        // `roster-spec v0.1.0 (/path/crates/spec)`, with ` (*)` behind one that was told before.
        let mut parts = line.split(' ');
        let (Some(name), Some(folder)) = (parts.next(), parts.nth(1)) else { continue };
        let folder = Path::new(folder.trim_matches(['(', ')']));
        if folder.starts_with(copy) && found.iter().all(|(known, _)| known != name) {
            let file =
                ["src/lib.rs", "src/main.rs"].map(|it| folder.join(it)).into_iter().find(|it| it.is_file());
            found.push((name.to_owned(), file.ok_or_else(|| format!("{name} has no src/lib.rs"))?));
        }
    }
    found.sort();
    Ok(found)
}
