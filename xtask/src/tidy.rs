//! The laws of the house, as tests: `cargo test -p xtask`.
//!
//! Each checker is a function from text to faults, so that beside the test that holds it over the repository there is one
//! that shows it can fail.

use std::path::Path;

use crate::workspace::{self, root};

mod closure;
mod images;
mod law;
mod manifests;
mod promises;
mod purity;
mod rust;
mod text;
mod workflows;

/// A text file of the repository that git knows, or would take if asked to.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|it| it == "rs")
    }

    /// Files that hold nothing but tests: `tests.rs`, or anything in a folder `tests`.
    fn is_test(&self) -> bool {
        Path::new(&self.path)
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
    }

    /// Files that tools write and people only read over.
    fn is_lock(&self) -> bool {
        self.path.ends_with("Cargo.lock") || self.path.ends_with("package-lock.json")
    }
}

/// All text files that are, or are about to be, part of the repository; ignored ones are not.
fn files() -> Vec<File> {
    let paths = workspace::files().expect("tidy asks git which files belong to the repository");
    // A file that is not text has nothing to check.
    let read = |path: &str| std::fs::read_to_string(root().join(path)).ok();
    paths.into_iter().filter_map(|path| Some(File { text: read(&path)?, path })).collect()
}

/// Fails with every fault, not only the first.
#[track_caller]
fn hold(law: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{law}:\n  {}\n", faults.join("\n  "));
}
