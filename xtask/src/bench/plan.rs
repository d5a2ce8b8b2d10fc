//! `bench plan`: planning, for every shipped profile and for rosters far beyond one machine.

use std::{fs, path::Path};

use super::measure::{Case, Limit, Measured};
use crate::workspace::{cargo, read, remove, root, run as start, target, tools};

/// Prints the table as Markdown on stdout. `false` when a case is over its limit or does not run.
pub(super) fn run(runs: u16) -> Result<bool, String> {
    start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
    let target = target()?;
    let roster = target.join("release/roster").display().to_string();
    let settings = settings()?;
    let scratch = target.join("bench-plan");
    remove(&scratch)?;
    let mut good = true;
    println!("{}", Measured::HEAD);
    for case in cases(&roster, &scratch)? {
        eprintln!("bench: {}", case.name);
        match case.measure(runs, &settings) {
            Ok(measured) => {
                let (row, within_limit) = measured.row(&case);
                println!("{row}");
                good &= within_limit;
            }
            Err(error) => {
                eprintln!("bench: {}: {error}", case.name);
                println!("| {} | - | - | - | DID NOT RUN |", case.name);
                good = false;
            }
        }
    }
    remove(&scratch)?;
    Ok(good)
}

/// Every case. For each profile, what Docker Compose takes to read the file that the profile becomes stands beside it.
fn cases(roster: &str, scratch: &Path) -> Result<Vec<Case>, String> {
    let small = Limit { ms: 20, mb: Some(15) };
    let mut cases = Vec::new();
    for profile in profiles()? {
        let out = scratch.join(&profile);
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        let out = out.display().to_string();
        let ours = |name: &str, arguments: &[&str]| {
            let rest = ["--profile", &profile, "--gpus", "2"];
            case(&format!("{name} {profile}"), roster, &[arguments, &rest].concat(), Some(small))
        };
        let compose = tools().join("venv/bin/docker-compose").display().to_string();
        let file = format!("{out}/docker-compose.yaml");
        cases.push(ours("plan", &["plan"]));
        cases.push(ours("env-build", &["env-build", "--out", &out]));
        let config = ["--file", &file, "config", "--quiet"];
        cases.push(case(&format!("docker-compose config {profile}"), &compose, &config, None));
    }
    let thousand = ["plan", "--spec", "openai:1000", "--gpus", "0"];
    cases.push(case("plan openai:1000", roster, &thousand, Some(Limit { ms: 100, mb: Some(50) })));
    let largest = ["plan", "--spec", "comfyui:auto,openai:9936", "--gpus", "64"];
    cases.push(case("plan comfyui:auto,openai:9936", roster, &largest, Some(Limit { ms: 1000, mb: None })));
    Ok(cases)
}

fn case(name: &str, program: &str, arguments: &[&str], limit: Option<Limit>) -> Case {
    let command = std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect();
    Case { name: name.to_owned(), command, limit }
}

/// The shipped profiles, by name.
fn profiles() -> Result<Vec<String>, String> {
    let folder = root().join("config/environments/profiles");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|it| it == "json") {
            names.extend(path.file_stem().map(|it| it.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Stand-ins for the secrets that profiles ask for: those of the shipped example, which come commented out.
fn settings() -> Result<Vec<(String, String)>, String> {
    Ok(examples(&read(&root().join("config/environments/secrets/example.env"))?))
}

fn examples(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let is_name = |name: &str| name.chars().all(|it| matches!(it, 'A'..='Z' | '0'..='9' | '_'));
    pairs.filter(|(name, _)| is_name(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_example_secrets_are_found_among_the_prose() {
    let found = examples("# Take away `#`, x=y:\n#OPENAI_API_KEY=put=it\n\nB=2\n");
    assert_eq!(found, [("OPENAI_API_KEY", "put=it"), ("B", "2")].map(|(a, b)| (a.to_owned(), b.to_owned())));
}
