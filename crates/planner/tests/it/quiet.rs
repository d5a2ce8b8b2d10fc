//! Verbs that say "writes nothing" write nothing: not a byte, not a mode, not a time stamp.

use super::support::{Project, snapshot};

/// Every verb that only looks, in an order in which each finds what it needs.
const VERBS: [&str; 24] = [
    "plan full-local",
    "plan --spec comfyui:4 --gpus 2",
    "plan --spec bogus:0",
    "plan",
    "ecosystem mixed-workload",
    "ecosystem",
    "diff",
    "diff full-local",
    "diff full-local --against mixed-workload",
    "diff nowhere",
    "explain comfyui-worker-0",
    "explain OPENAI_API_KEY",
    "explain 8188 --profile mixed-workload",
    "explain image --profile dev-full",
    "explain prod-gpu --gpus 1",
    "explain SPEC003",
    "check",
    "check simulation",
    "env-build --check",
    "env-build full-local --check",
    "env-build prod-gpu",
    "compose-profile --list",
    "completions bash",
    "man",
];

fn hold_quiet(project: &Project) {
    let before = snapshot(project.root());
    for verb in VERBS {
        for form in ["", "--json", "--out elsewhere"] {
            project.run(&format!("{verb} {form}"));
            assert_eq!(snapshot(project.root()), before, "{verb} {form}");
        }
    }
}

#[test]
fn looking_writes_nothing_before_the_first_build_and_after_it() {
    let project = Project::shipped();
    hold_quiet(&project);
    project.ok("env-build mixed-workload");
    project.ok("compose-profile simulation:2 --env simulation --name play");
    hold_quiet(&project);
    // And when what is there is foreign or edited.
    project.write("compose.yaml", "services: {}\n");
    std::fs::remove_file(project.path(".roster/current/.env")).unwrap();
    project.write(".roster/current/.env", "MINE=1\n");
    hold_quiet(&project);
}

#[test]
fn what_is_refused_writes_nothing() {
    let project = Project::shipped();
    project.write(".env", "MINE=1\n");
    project.write("compose.yaml", "services: {}\n");
    let before = snapshot(project.root());
    for line in [
        "env-build mixed-workload",
        "env-build mixed-workload --strict",
        "env-build api-gateway --force",
        "env-build nowhere --force",
        "compose-profile bogus:1 --env simulation",
        "compose-profile simulation:1",
        "compose-profile simulation:1 --env simulation --name redis",
        "compose-profile --remove nobody",
        "rollback",
        "rollback --to 0123456789abcdef",
    ] {
        assert_ne!(project.run(line).exit.code(), 0, "{line}");
        assert_eq!(snapshot(project.root()), before, "{line}");
    }
    std::fs::remove_file(project.path(".env")).unwrap();
    let before = snapshot(project.root());
    let told = project.run("env-build mixed-workload --strict");
    assert!(
        told.talk.contains("error[COMP100]"),
        "advice about another compose file is an error: {}",
        told.talk
    );
    assert_eq!(snapshot(project.root()), before, "and so nothing is written");
}
