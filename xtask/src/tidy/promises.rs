//! What the repository promises to those who use it: CI is one command, the README knows every verb, and files that are
//! generated are what the code says.

use clap::CommandFactory;

use super::{files, hold};
use crate::{
    Cli, codegen, codes,
    workspace::{read, root},
};

/// The commands of a shell script.
fn commands(script: &str) -> Vec<&str> {
    script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The verbs that the text does not show as `cargo xtask VERB`, or as a `VERB` of its own in code.
fn unmentioned(verbs: &[String], text: &str) -> Vec<String> {
    let shown = |verb: &str| {
        let typed = format!("xtask {verb}");
        let goes_on = |rest: &str| rest.starts_with(|it: char| it.is_alphanumeric() || it == '-');
        let typed = text.match_indices(&typed).any(|(at, _)| !goes_on(&text[at + typed.len()..]));
        typed || text.contains(&format!("`{verb}`"))
    };
    verbs
        .iter()
        .filter(|verb| !shown(verb))
        .map(|verb| format!("README.md does not mention `{verb}`"))
        .collect()
}

#[test]
fn ci_is_one_command() {
    let script = read(&root().join(".ci/run")).expect("the repository has a .ci/run");
    let enter = r#"cd "$(dirname "${BASH_SOURCE[0]}")/..""#;
    assert_eq!(
        commands(&script),
        ["set -euo pipefail", enter, "exec cargo xtask ci"],
        ".ci/run does nothing else"
    );
}

#[test]
fn the_readme_mentions_every_verb() {
    let readme = root().join("README.md");
    if !readme.exists() {
        return;
    }
    let command = Cli::command();
    let verbs = command.get_subcommands().filter(|it| !it.is_hide_set());
    let verbs: Vec<_> = verbs.map(|it| it.get_name().to_owned()).collect();
    hold("the README mentions every verb", &unmentioned(&verbs, &read(&readme).expect("README.md is text")));
}

#[test]
fn the_page_of_troubles_names_only_codes_that_there_are() {
    let known: Vec<_> = planner::codes::all(codes::RUNTIME).into_iter().map(|it| it.id).collect();
    let page = read(&root().join("docs/troubleshooting.md")).expect("there is a page of troubles");
    let is_code = |word: &&str| {
        let letters = word.trim_end_matches(|it: char| it.is_ascii_digit());
        letters.len() + 3 == word.len()
            && letters.len() > 1
            && letters.chars().all(|it| it.is_ascii_uppercase())
    };
    let named: Vec<_> = page.split(|it: char| !it.is_ascii_alphanumeric()).filter(is_code).collect();
    let unknown = named.iter().filter(|it| !known.contains(it)).map(|it| format!("no code is {it}"));
    hold("every code of the page is one", &unknown.collect::<Vec<_>>());
    assert!(named.len() > 40, "the page names codes: {named:?}");
}

#[test]
fn a_verb_that_the_readme_forgot_is_found() {
    let verbs = ["plan", "diff", "env-build", "env"].map(str::to_owned);
    let faults = unmentioned(&verbs, "Type `cargo xtask plan`, then `diff`; or cargo xtask env-build.");
    assert_eq!(faults, ["README.md does not mention `env`"]);
}

#[test]
fn generated_files_are_current() {
    let stale: Vec<_> = codegen::stale().into_iter().map(|(path, _)| path.display().to_string()).collect();
    hold("generated files are what the code says; type `cargo xtask codegen`", &stale);
}

#[test]
fn no_code_means_two_things() {
    for pair in planner::codes::all(codes::RUNTIME).windows(2) {
        assert!(pair[0].id < pair[1].id, "{} has two rules", pair[0].id);
    }
}

#[test]
fn every_list_of_codes_is_on_the_page_of_codes() {
    let known = planner::codes::all(codes::RUNTIME);
    let mut forgotten = Vec::new();
    for file in files().iter().filter(|it| it.path.starts_with("crates/") && it.path.ends_with("/codes.rs")) {
        let ids = file.text.split("    id: \"").skip(1).filter_map(|it| it.split('"').next());
        let unknown = ids.filter(|id| known.iter().all(|it| it.id != *id));
        forgotten.extend(unknown.map(|id| format!("{id} of {}", file.path)));
    }
    hold("every list of codes is joined to the others, in xtask/src/codes.rs if nowhere else", &forgotten);
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}
