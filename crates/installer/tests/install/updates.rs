//! Updates: newer beside what runs, and back again.

use std::fs;

use installer::status::State;
use serde_json::json;

use super::support::{Place, Seen, block_on, bytes, commit};

fn builds(place: &Place) -> usize {
    let all = fs::read_dir(place.home("")).unwrap().flatten();
    all.filter(|it| installer::manifest::BuildId::read(it.file_name().to_str().unwrap()).is_some()).count()
}

fn update(place: &Place) -> installer::Updated {
    block_on(place.installer().update(false, false, &Seen::default())).unwrap()
}

#[test]
fn an_update_is_built_beside_and_switched_to_and_can_be_taken_back() {
    let place = Place::new();
    let node = place.node("node", &[("v", "1")]);
    place.nodes(&json!([node]));
    place.applied();
    let first = fs::read_link(place.home("current")).unwrap();
    let nothing = update(&place);
    assert!(nothing.changes.is_empty() && nothing.report.is_none());

    commit(&place.elsewhere("core"), &[("main.py", "later")]);
    commit(&place.elsewhere("node"), &[("v", "2")]);
    let seen = block_on(place.installer().update(false, true, &Seen::default())).unwrap();
    assert!(seen.changes.len() == 2 && seen.report.is_none(), "{:?}", seen.changes);
    assert_eq!(fs::read_link(place.home("current")).unwrap(), first, "looking changes nothing");

    let updated = update(&place);
    assert_eq!((updated.changes, updated.rolled_back), (seen.changes, false));
    let second = fs::read_link(place.home("current")).unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read_link(place.home("previous")).unwrap(), first);
    assert_eq!(fs::read_to_string(place.home("current/source/main.py")).unwrap(), "later");
    assert_eq!(fs::read_to_string(place.home("current/source/custom_nodes/node/v")).unwrap(), "2");
    assert_eq!(place.applied().steps, 0);

    block_on(place.installer().back(&Seen::default())).unwrap();
    assert_eq!(fs::read_link(place.home("current")).unwrap(), first);
    assert_eq!(fs::read_to_string(place.home("current/source/custom_nodes/node/v")).unwrap(), "1");
    assert_eq!(place.applied().steps, 0, "and there it stays");
    block_on(place.installer().back(&Seen::default())).unwrap();
    assert_eq!(fs::read_link(place.home("current")).unwrap(), second, "and forth");

    commit(&place.elsewhere("core"), &[("main.py", "latest")]);
    update(&place);
    assert_eq!(builds(&place), 2, "what is started, and what is gone back to");
}

#[test]
fn an_update_that_does_not_work_changes_nothing() {
    let mut place = Place::new();
    place.install["probe"] = json!(["python3", "main.py"]);
    let model = bytes(1000, 1);
    let server = super::server::Server::start("127.0.0.1");
    let url = server.put("it", super::server::Answer::File(model.clone()));
    place.models(&json!([super::support::model("it.bin", &url, &model)]));
    place.applied();
    let before =
        (fs::read_link(place.home("current")).unwrap(), fs::read(place.home("roster.lock.json")).unwrap());
    commit(&place.elsewhere("core"), &[("main.py", "raise SystemExit('it does not work')\n")]);
    let updated = update(&place);
    assert!(updated.rolled_back);
    let report = updated.report.unwrap();
    assert_eq!(report.failures[0].step, "probe");
    assert!(report.failures[0].fault.output().contains("it does not work"));
    let after =
        (fs::read_link(place.home("current")).unwrap(), fs::read(place.home("roster.lock.json")).unwrap());
    assert_eq!(before, after);
    let status = place.status();
    assert_eq!((status.state, status.failed.unwrap().code.as_str()), (State::Installed, "INSTALL013"));
    assert_eq!(builds(&place), 1, "what does not work is not kept");
    assert_eq!(fs::read(place.workspace().join("models/checkpoints/it.bin")).unwrap(), model);
    assert_eq!(place.applied().steps, 0);
    assert_eq!(place.status().failed, None, "what was mended is not told any more");
    assert!(block_on(place.installer().back(&Seen::default())).is_err(), "there is nothing to go back to");
}

#[test]
fn a_node_that_was_left_out_gets_another_chance() {
    let place = Place::new();
    let mut node = place.node("node", &[("set.sh", "exit 1")]);
    (node["custom_script"], node["on_failure"]) = (json!("set.sh"), json!("skip"));
    place.nodes(&json!([node]));
    assert_eq!(place.applied().advice.len(), 1);
    commit(&place.elsewhere("node"), &[("set.sh", "exit 0")]);
    let report = update(&place).report.unwrap();
    assert!(report.failures.is_empty() && report.advice.is_empty());
    assert!(place.home("current/source/custom_nodes/node/set.sh").exists());
}

#[test]
fn a_requirement_that_is_added_is_installed_though_the_others_are_locked() {
    let mut place = Place::new();
    let wheels = place.elsewhere("wheels");
    for name in ["tiny", "other"] {
        super::support::wheel(&wheels, name, "1.0");
    }
    let list = |names: &str| format!("--no-index\n--find-links {}\n{names}\n", wheels.display());
    commit(&place.elsewhere("core"), &[("a.txt", &list("tiny")), ("b.txt", &list("tiny\nother"))]);
    place.install["python"] = json!({ "requirements": ["a.txt"] });
    place.applied();
    place.install["python"] = json!({ "requirements": ["b.txt"] });
    place.install["probe"] = json!(["${PYTHON}", "-c", "import tiny, other"]);
    place.applied();
    assert_eq!(place.applied().steps, 0);
}
