//! What the repository promises of its images: docker/Dockerfile has what the mapping names, a change of our code remakes
//! one small layer, and hadolint finds nothing.

use std::{collections::BTreeSet, env};

use serde_json::Value;

use super::hold;
use crate::workspace::{command, output, read, root, tools};

/// The last lines of every target: what a change of our code makes anew, and nothing else after it.
const LAST: &str = "COPY --from=binary /out/roster /usr/local/bin/roster\n\
                    USER 10001:10001\n\
                    RUN [\"roster\", \"--version\"]";

fn dockerfile() -> String {
    read(&root().join("docker/Dockerfile")).expect("the repository has a Dockerfile")
}

fn mapping() -> Value {
    let text = read(&root().join("config/service-mapping.json")).expect("the repository has a mapping");
    serde_json::from_str(&text).expect("the mapping is JSON")
}

/// A stage's name and its lines.
fn stages(dockerfile: &str) -> Vec<(&str, String)> {
    let mut stages: Vec<(&str, String)> = Vec::new();
    for line in dockerfile.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((_, name)) = line.strip_prefix("FROM ").and_then(|it| it.split_once(" AS ")) {
            stages.push((name, String::new()));
        } else if let Some((_, lines)) = stages.last_mut() {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    stages
}

#[test]
fn every_stage_of_the_mapping_is_a_target_that_ends_with_our_binary() {
    let (text, mapping) = (dockerfile(), mapping());
    let stages = stages(&text);
    let faults: Vec<_> = mapping["stages"]
        .as_object()
        .expect("the mapping has stages")
        .keys()
        .filter_map(|wanted| match stages.iter().find(|(name, _)| name == wanted) {
            None => Some(format!("docker/Dockerfile has no stage `{wanted}`")),
            Some((_, lines)) if !lines.trim_end().ends_with(LAST) => {
                Some(format!("the stage `{wanted}` does not end with the binary"))
            }
            Some(_) => None,
        })
        .collect();
    hold("the Dockerfile has every stage of the mapping", &faults);
}

#[test]
fn every_folder_that_the_mapping_keeps_is_in_the_image_with_its_owner() {
    let (text, mapping) = (dockerfile(), mapping());
    let made: BTreeSet<_> = text.split_whitespace().filter(|word| word.starts_with("/workspace")).collect();
    let services = mapping["services"].as_object().expect("the mapping has services");
    let volumes = services.values().filter_map(|service| service["volumes"].as_array()).flatten();
    let faults: Vec<_> = volumes
        .map(|volume| {
            volume["path"].as_str().expect("a volume has a path").replace("${WORKSPACE}", "/workspace")
        })
        .filter(|path| !made.contains(path.as_str()))
        .map(|path| format!("docker/Dockerfile makes no folder {path}"))
        .collect();
    hold("the image has every folder of the mapping", &faults);
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    let hadolint = tools().join("venv/bin/hadolint");
    if !hadolint.is_file() {
        assert!(env::var_os("CI").is_none(), "hadolint is missing; type `cargo xtask setup`");
        eprintln!("not run: hadolint is missing; type `cargo xtask setup`");
        return;
    }
    assert_eq!(output(command(hadolint).arg("docker/Dockerfile")), Ok(String::new()));
}
