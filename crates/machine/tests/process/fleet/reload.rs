//! A new document under a running machine.

use std::fmt::Write as _;
use std::fs;

use insta::assert_snapshot;
use serde_json::json;

use super::{Machine, after, living, until};

#[test]
fn a_reload_restarts_what_changed_and_the_second_one_nothing() {
    let names = ["same-0", "tuned-0", "moved-0", "gone-0", "held-0"];
    let old = names.map(living);
    let machine = Machine::new(&old);
    let mut up = machine.up();
    up.wait_all(&names, "healthy");
    machine.ask("stop held-0");
    let pid = |name: &str| machine.pid(name);
    let before = ["same-0", "tuned-0", "moved-0"].map(pid);

    let [same, mut tuned, mut moved, _, mut held] = old.clone();
    tuned["kill_timeout"] = json!(1000);
    moved["env"]["WHERE"] = json!("there");
    held["env"]["WHERE"] = json!("there");
    machine.write(&[same, tuned, moved, held, after(living("new-0"), "moved-0")]);
    let mut said = String::new();
    for _ in 0..2 {
        let (out, talk, exit) = machine.ask("reload");
        assert_eq!((talk.as_str(), exit), ("", Some(0)));
        write!(said, "$ roster reload\n{out}").unwrap();
    }
    assert_snapshot!(said, @r#"
    $ roster reload
    gone-0   removed
    held-0   has a new description, and stays stopped
    moved-0  restarted: it is healthy
    new-0    started: it is healthy
    tuned-0  amended while it runs: it is healthy
    1 other is as it was.
    $ roster reload
    Nothing to change: all 5 are as they were.
    "#);
    let now = ["same-0", "tuned-0", "moved-0"].map(pid);
    assert_eq!(now[..2], before[..2]);
    assert_ne!(now[2], before[2]);
    assert_eq!(machine.state("gone-0"), "");
    // Who was stopped has its new description all the same.
    machine.ask("start held-0");
    let environment = fs::read(format!("/proc/{}/environ", pid("held-0"))).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("WHERE=there"));
    // And back again, by a file of another name.
    fs::rename(machine.path("ecosystem.json"), machine.path("other.json")).unwrap();
    machine.write(&old);
    assert_eq!(machine.ask("reload").2, Some(0));
    let (out, _, exit) = machine.ask("reload --ecosystem other.json --json");
    let reply: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &reply["result"]["unchanged"]), (Some(0), &json!(1)));
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_document_with_faults_changes_nothing() {
    let machine = Machine::new(&[living("web-0"), living("web-1")]);
    let mut up = machine.up();
    up.wait_all(&["web-0", "web-1"], "healthy");
    let before = [machine.pid("web-0"), machine.pid("web-1")];
    let own = fs::read_to_string(machine.path("ecosystem.json")).unwrap();
    for (text, codes) in [
        (own.replace("\"autorestart\"", "\"autorestrat\""), &["DOC"][..]),
        (own.replace("600", "600\""), &["JSON"]),
        (own.replace("\"web-1\"", "\"web-0\""), &["ECO001"]),
        (own.replace("\"machine\":\"m1\"", "\"machine\":\"m2\""), &["SUP004", "m2"]),
    ] {
        fs::write(machine.path("ecosystem.json"), &text).unwrap();
        fs::write(machine.path("sent.json"), &text).unwrap();
        for line in ["reload", "reload --ecosystem sent.json"] {
            let (out, talk, exit) = machine.ask(line);
            assert_eq!((out.as_str(), exit), ("", Some(1)), "{line}: {talk}");
            assert!(codes.iter().all(|it| talk.contains(it)), "{talk}");
        }
    }
    let (_, talk, exit) = machine.ask("reload --ecosystem nowhere.json");
    assert!(exit == Some(1) && talk.contains("SUP005") && talk.contains("nowhere.json"), "{talk}");
    assert_eq!([machine.pid("web-0"), machine.pid("web-1")], before);
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_hangup_reads_the_file_again() {
    let machine = Machine::new(&[living("web-0")]);
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    machine.write(&[living("web-0"), living("web-1")]);
    up.signal("HUP");
    up.wait("web-1", "healthy");
    fs::write(machine.path("ecosystem.json"), "{").unwrap();
    up.signal("HUP");
    // What stands above has no effect: the supervisor answers as before.
    until("it goes on", || machine.state("web-1") == "healthy");
    let (code, talk) = up.stop();
    assert_eq!(code, Some(0));
    assert!(talk.contains("ecosystem.json:1:") && talk.contains("Nothing was changed."), "{talk}");
}
