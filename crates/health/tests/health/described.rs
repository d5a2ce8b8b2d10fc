//! The description of the answers, and whether the answers are like it: by schemathesis, which asks whatever it can think
//! of.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, machine};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn whatever_is_asked_the_answer_is_as_described() {
    let tools = root().join(std::env::var_os("ROSTER_TOOLS").unwrap_or_else(|| ".tools".into()));
    let program = tools.join("venv/bin/schemathesis");
    if !program.is_file() {
        let ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(!ci, "`schemathesis` is needed in CI: type `cargo xtask setup`");
        println!("not run: `schemathesis` is missing; `cargo xtask setup` installs it");
        return;
    }
    let place = Place::new(machine());
    // A log that is followed has no end otherwise, and neither has `/events`, which is left out.
    place.hands.end();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.arg("run").arg(format!("http://{}/openapi.json", place.server.address()));
    command.args(["--checks", "all", "--exclude-path", "/events", "--max-examples", "40", "--seed", "7"]);
    command.args(["--request-timeout", "20", "--generation-database", "none", "--no-color"]);
    let asked = command.current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said}\n{}", String::from_utf8_lossy(&asked.stderr));
}

/// The files that programs read: with `ROSTER_WRITE=1` they are written.
#[test]
fn the_schemas_in_the_documents_are_those_of_the_code() {
    let status = schemars::schema_for!(health::documents::Status);
    let fleet = schemars::schema_for!(health::Fleet);
    let files = [
        ("machine-status.schema.json", serde_json::to_value(status).unwrap()),
        ("fleet.schema.json", serde_json::to_value(fleet).unwrap()),
        ("health.openapi.json", health::openapi()),
    ];
    for (name, document) in files {
        let path = root().join("docs/schemas").join(name);
        let text = format!("{document:#}\n");
        if std::env::var_os("ROSTER_WRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let is = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(is == text, "{name} is out of date: run this test with ROSTER_WRITE=1");
    }
}
