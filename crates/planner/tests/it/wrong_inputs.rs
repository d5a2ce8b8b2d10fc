//! Every fault in one run: each with its file, line and column, what is wrong and how to mend it.
//!
//! `UPDATE_GOLDENS=1 cargo test -p roster-planner` writes the goldens anew.

use std::path::Path;
use std::{env, fs};

use spec::notes::Exit;

use super::support::{Project, codes, snapshot};

/// The ten, by the rule that each breaks.
const TEN: [(&str, &str); 10] = [
    ("ALLOC001", "a GPU worker on a machine without GPUs"),
    ("ALLOC002", "more VRAM than any card has"),
    ("ALLOC007", "Playwright on the port of the health server"),
    ("ENV010", "an unknown component"),
    ("ENV011", "a missing section"),
    ("ENV023", "a cycle in `${}`"),
    ("ENV042", "an empty secret that is required"),
    ("MAP101", "an unknown worker"),
    ("MAP102", "a third part that contradicts the mapping"),
    ("SPEC008", "a count of 0"),
];

fn golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ten_wrong_inputs").join(file);
    if env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{} is not what comes out now:\n{text}", path.display());
}

#[test]
fn ten_wrong_inputs_are_ten_diagnostics_of_one_run() {
    let project = Project::fixture("ten_wrong_inputs");
    let before = snapshot(project.root());
    let document = project.json("check");
    let mut found = codes(&document);
    found.sort_unstable();
    assert_eq!(found, TEN.map(|it| it.0));
    for it in document["findings"].as_array().unwrap() {
        assert_eq!(it["severity"], "error", "{it}");
        assert!(it["file"].as_str().is_some_and(|it| it.starts_with("config/environments/")), "{it}");
        for number in ["line", "column"] {
            assert!(it[number].as_u64().is_some_and(|it| it > 0), "{it}");
        }
        for text in ["message", "fix"] {
            assert!(it[text].as_str().is_some_and(|it| it.len() > 10), "{it}");
        }
    }
    let answer = project.run("check --color never");
    assert_eq!(answer.exit, Exit::Error);
    assert_eq!(answer.talk.matches("error[").count(), 10);
    assert_eq!(snapshot(project.root()), before, "nothing was written");
    golden("told.txt", &answer.talk);
    golden("told.json", &(serde_json::to_string_pretty(&document).unwrap() + "\n"));
}

#[test]
fn the_eight_that_one_machine_can_have_stand_in_the_way_of_its_build_together() {
    let project = Project::fixture("ten_wrong_inputs");
    let before = snapshot(project.root());
    for verb in ["plan eight", "env-build eight", "env-build eight --force", "diff eight", "ecosystem eight"]
    {
        let document = project.json(verb);
        assert_eq!((codes(&document).len(), &document["exit"]), (8, &1.into()), "{verb}");
        assert!(document.get("result").is_none(), "{verb}");
    }
    assert_eq!(snapshot(project.root()), before, "nothing was written");
}

/// Each pair: a fault that comes early in the pipeline, and one that comes late.
#[test]
fn an_early_fault_hides_no_late_one() {
    let told = |name: &str, profile: &str| {
        let project = Project::fixture("ten_wrong_inputs");
        project.write(&format!("config/environments/profiles/{name}.json"), profile);
        let document = project.json(&format!("env-build {name}"));
        codes(&document).join(" ")
    };
    let no_roster = r#"{ "description": "", "components": {} }"#;
    assert_eq!(told("no-roster", no_roster), "ROST001 ENV041", "no roster, and no address of Redis");
    let nothing_known = r#"{ "description": "", "components": {}, "workers": "none:1" }"#;
    assert_eq!(
        told("unknown", nothing_known),
        "MAP101 ENV041",
        "no worker is known, and no address of Redis"
    );
    let hardware = r#"{ "description": "", "components": {}, "workers": "openai:1",
        "hardware": { "gpus": [{ "vram_mib": 1 }, { "vram_mib": 1, "index": 0 }] } }"#;
    assert_eq!(told("hardware", hardware), "HW001 ENV040 ENV041", "hardware that cannot be, and no values");
    let condition = r#"{ "description": "", "components": { "redis": "remote" }, "workers": "openai:1",
        "docker": { "additional_services": { "x": { "image": "x:1", "condition": "components.redis ==" } } } }"#;
    assert_eq!(told("condition", condition), "ENV011 COND003 ENV040", "a section, a condition, and a secret");
}

#[test]
fn a_malformed_line_of_a_secrets_file_is_told_once_and_its_secret_is_not_missed_as_well() {
    let project = Project::shipped();
    let secrets =
        "HUB_REDIS_URL=redis://h:6379/0\nOPENAI_API_KEY=\"open\nwhat is this\nREPLICATE_API_TOKEN=set\n";
    project.write("config/environments/secrets/local.env", secrets);
    let document = project.json("env-build api-gateway");
    assert_eq!(codes(&document), ["DOTENV006", "DOTENV004"]);
}

#[test]
fn check_tells_the_faults_of_documents_even_when_the_mapping_cannot_be_read() {
    let project = Project::fixture("ten_wrong_inputs");
    project.write("config/service-mapping.json", "{ \"version\": 1, }");
    project.write("config/environments/components/broken.env", "no namespace\n");
    let document = project.json("check");
    let found = codes(&document);
    assert!(found.contains(&"JSON001") && found.iter().any(|it| it.starts_with("ENV00")), "{found:?}");
}

#[test]
fn a_redis_that_a_container_would_look_for_in_itself_is_told_and_none_that_it_finds() {
    let told = |redis: &str, profile: &str| {
        let project = Project::shipped().with("HUB_REDIS_URL", redis).with("OPENAI_API_KEY", "fake-key");
        let document = project.json(&format!("env-build {profile}"));
        assert_eq!(document["exit"], 0, "{document}");
        assert!(!document.to_string().contains("canary"), "{document}");
        codes(&document).contains(&"MACH005")
    };
    assert!(
        told("redis://localhost:6379/0", "api-only") && told("redis://:canary@127.0.0.1:6379/0", "api-only")
    );
    assert!(!told("rediss://:canary@hub:6379/0", "api-only"));
    assert!(!told("redis://host.docker.internal:6379/0", "api-only"));
    // With a Redis beside it, such an address is for a machine that is run without containers.
    let native = Project::shipped().with("REDIS_URL", "redis://127.0.0.1:6379/0");
    assert_eq!(codes(&native.json("env-build simulation")), [""; 0]);
    // And where there is no compose file, there are no containers.
    let project =
        Project::shipped().with("HUB_REDIS_URL", "redis://localhost").with("OPENAI_API_KEY", "fake-key");
    let profile = "config/environments/profiles/api-only.json";
    project.edit(profile, "\"secrets\"", "\"docker\": { \"auto_generate\": false }, \"secrets\"");
    assert_eq!(codes(&project.json("env-build api-only")), [""; 0]);
}
