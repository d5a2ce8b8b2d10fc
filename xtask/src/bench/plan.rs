//! `bench plan`: planning, for every shipped profile and for rosters far beyond one machine.

use std::{fs, path::Path};

use super::measure::{Case, Limit, Measured};
use crate::workspace::{cargo, read, remove, root, run as start, target, tools};

/// Variables that shipped profiles ask for and that no secrets file of ours names.
const OUTSIDE: [(&str, &str); 1] = [("COMFYUI_REMOTE_URL", "http://gpu-box:8188")];

/// Prints the table as Markdown on stdout. `false` when a case is over its limit or does not run.
pub(super) fn run(runs: u16) -> Result<bool, String> {
    start(&mut cargo(["build", "--release", "--locked", "--package", "roster-machine"]))?;
    let target = target()?;
    let roster = target.join("release/roster").display().to_string();
    let settings = settings()?;
    let scratch = target.join("bench-plan");
    remove(&scratch)?;
    let mut good = true;
    say!("{}", Measured::HEAD);
    for group in groups(&roster, &scratch)? {
        let cases = group.ours.iter().chain([&group.compose]);
        let measured: Vec<_> = cases
            .map(|case| {
                eprintln!("bench: {}", case.name);
                let measured = case.measure(runs, &settings);
                (case, measured.inspect_err(|error| eprintln!("bench: {}: {error}", case.name)).ok())
            })
            .collect();
        let compose = measured.last().and_then(|(_, measured)| measured.as_ref());
        for (case, measured) in &measured {
            let (row, within_limit) = match measured {
                Some(measured) => measured.row(case, compose.filter(|_| case.limit.is_some())),
                None => (format!("| {} | - | - | - | | DID NOT RUN | |", case.name), false),
            };
            say!("{row}");
            good &= within_limit;
        }
    }
    remove(&scratch)?;
    Ok(good)
}

/// The verbs for one profile and roster, and Docker Compose, which reads the file that `env-build` has just written.
struct Group {
    ours: Vec<Case>,
    compose: Case,
}

fn groups(roster: &str, scratch: &Path) -> Result<Vec<Group>, String> {
    let group = |name: &str, verbs: &[&str], choice: &[&str], limit| {
        let out = scratch.join(name);
        let folder = out.display().to_string();
        let case = |name: String, program: &str, arguments: &[&[&str]]| {
            let command = std::iter::once(&program).chain(arguments.iter().copied().flatten());
            let command = command.map(|&it| it.to_owned()).collect();
            Case { name, command, emptied: None, limit: None }
        };
        let ours = |case_name, arguments: &[&str]| Case {
            limit: Some(limit),
            ..case(case_name, roster, &[arguments, choice])
        };
        let build = ["env-build", "--out", &folder];
        let mut cases: Vec<_> = verbs.iter().map(|verb| ours(format!("{verb} {name}"), &[verb])).collect();
        cases.push(Case { emptied: Some(out), ..ours(format!("env-build {name}, first"), &build) });
        cases.push(ours(format!("env-build {name}, no change"), &build));
        let compose = tools().join("venv/bin/docker-compose").display().to_string();
        let file = format!("{folder}/docker-compose.yaml");
        let config = ["--file", &file, "config", "--quiet"];
        Group { ours: cases, compose: case(format!("docker-compose config {name}"), &compose, &[&config]) }
    };
    let small = Limit { ms: 20, mb: Some(15) };
    let of_profile =
        |profile: &String| group(profile, &["plan"], &["--profile", profile, "--gpus", "2"], small);
    let mut groups: Vec<_> = profiles()?.iter().map(of_profile).collect();
    let verbs = ["plan", "ecosystem"];
    let thousand = ["--profile", "api-only", "--spec", "openai:1000", "--gpus", "0"];
    groups.push(group("1,000 workers", &verbs, &thousand, Limit { ms: 100, mb: Some(50) }));
    let roster = "comfyui:5000,openai:5000";
    let largest = ["--profile", "mixed-workload", "--spec", roster, "--gpus", "64x24GiB"];
    groups.push(group("10,000 workers on 64 GPUs", &verbs, &largest, Limit { ms: 1000, mb: None }));
    Ok(groups)
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

/// Stand-ins for what profiles ask for: the secrets of the shipped example, which come commented out, and [`OUTSIDE`].
fn settings() -> Result<Vec<(String, String)>, String> {
    let mut settings = examples(&read(&root().join("config/environments/secrets/example.env"))?);
    settings.extend(OUTSIDE.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(settings)
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
