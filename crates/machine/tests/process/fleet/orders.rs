//! Starting, stopping, scaling, signalling, and what is said about it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use super::{Machine, after, app, living, until};
use crate::support::is_there;

#[test]
fn orders_are_done_in_order_and_said_in_words() {
    let machine = Machine::new(&[living("web-0"), after(living("job-0"), "web-0"), living("job-1")]);
    let mut up = machine.up();
    up.wait_all(&["web-0", "job-0", "job-1"], "healthy");
    let mut said = String::new();
    for line in [
        "stop web-0",
        "stop web-0",
        "start job-0",
        "restart web-0 job-0",
        "stop --all --no-wait",
        "start --all",
        "scale job 1",
        "scale job 2",
    ] {
        let (out, talk, exit) = machine.ask(line);
        assert_eq!((talk.as_str(), exit), ("", Some(0)), "{line}");
        // Without waiting there is no saying how far it is.
        let out = if line.contains("no-wait") { "(at once)\n".to_owned() } else { out };
        write!(said, "$ roster {line}\n{out}").unwrap();
    }
    assert_snapshot!(said, @r#"
    $ roster stop web-0
    job-0  stopped, because it needs what you named
    web-0  stopped
    $ roster stop web-0
    web-0  nothing to do: it is stopped
    $ roster start job-0
    job-0  started: it is healthy
    web-0  started, because what you named needs it: it is healthy
    $ roster restart web-0 job-0
    job-0  restarted: it is healthy
    web-0  restarted: it is healthy
    $ roster stop --all --no-wait
    (at once)
    $ roster start --all
    job-0  started: it is healthy
    job-1  started: it is healthy
    web-0  started: it is healthy
    $ roster scale job 1
    job-1  stopped
    job-0  nothing to do: it is healthy
    $ roster scale job 2
    job-0  nothing to do: it is healthy
    job-1  started: it is healthy
    "#);
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn an_order_about_what_is_not_there_does_nothing_at_all() {
    let machine = Machine::new(&[living("web-0"), living("web-1")]);
    let mut up = machine.up();
    up.wait_all(&["web-0", "web-1"], "healthy");
    let before = [machine.pid("web-0"), machine.pid("web-1")];
    let mut said = String::new();
    for line in
        ["restart web-0 web-3 nothing", "scale web 3", "scale web- 1", "scale shop 1", "signal web-7 HUP"]
    {
        let (out, talk, exit) = machine.ask(line);
        assert_eq!((out.as_str(), exit), ("", Some(1)), "{line}");
        write!(said, "$ roster {line}\n{talk}").unwrap();
    }
    assert_snapshot!(said, @r#"
    $ roster restart web-0 web-3 nothing
    error[SUP001]: there is no process `web-3`
     |
     = help: did you mean `web-0`? `roster ps` lists them

    error[SUP001]: there is no process `nothing`
     |
     = help: `roster ps` lists the processes
    $ roster scale web 3
    error[SUP002]: the ecosystem has 2 of `web`, not 3
     |
     = help: a plan decides about names and devices: make one with more of them (`roster env-build --spec …`), then `roster reload`
    $ roster scale web- 1
    error[SUP002]: the ecosystem has 0 of `web-`, not 1
     |
     = help: name a group as `roster ps` shows it, without the number: `comfyui-worker`
    $ roster scale shop 1
    error[SUP002]: the ecosystem has 0 of `shop`, not 1
     |
     = help: name a group as `roster ps` shows it, without the number: `comfyui-worker`
    $ roster signal web-7 HUP
    error[SUP001]: there is no process `web-7`
     |
     = help: did you mean `web-0`? `roster ps` lists them
    "#);
    for line in ["restart", "restart web-0 --all", "signal web-0 NOTHING", "scale web many", "scale web"] {
        assert_eq!(machine.ask(line).2, Some(64), "{line}");
    }
    assert_eq!([machine.pid("web-0"), machine.pid("web-1")], before);
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn what_does_not_come_up_is_said_and_is_no_success() {
    let machine = Machine::new(&[app("broken-0", "echo because >&2; exit 3"), living("fine-0")]);
    let mut up = machine.up();
    let failed = up.wait("broken-0", "failed");
    assert_eq!(failed["why"], "ended with 3");
    assert_eq!(failed["fix"], "`roster logs broken-0` shows what it said last");
    let (out, _, exit) = machine.ask("ps --wait");
    assert_eq!(exit, Some(5), "{out}");
    assert!(
        out.contains("ended with 3; again in 4m; `roster logs broken-0` shows what it said last"),
        "{out}"
    );
    let (out, _, exit) = machine.ask("start broken-0");
    assert_eq!(exit, Some(5));
    assert!(
        out.starts_with("broken-0  started, and did not come up: it is backing off (ended with 3)"),
        "{out}"
    );
    // What is written while it is read is read too.
    until("its last line is told alone", || machine.ask("logs broken-0 -n 1").0 == "because\n");
    assert_eq!(machine.ask("stop broken-0").2, Some(0));
    let (out, _, exit) = machine.ask("ps --wait");
    assert_eq!(exit, Some(0), "{out}");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_signal_reaches_the_process_and_logs_are_followed_byte_for_byte() {
    let script = "trap 'printf \"heard \\377\\n\"' HUP; echo up; while :; do sleep 600 & wait $!; done";
    let machine = Machine::new(&[app("ear-0", script), living("other-0")]);
    let mut up = machine.up();
    up.wait_all(&["ear-0", "other-0"], "healthy");
    // It listens once it has said so.
    let mut follow = machine.command("logs -f ear-0").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).split(b'\n');
    assert_eq!(lines.next().unwrap().unwrap(), b"up");
    assert_eq!(machine.ask("signal ear-0 SIGHUP").0, "ear-0  has the signal: it is healthy\n");
    assert_eq!(lines.next().unwrap().unwrap(), b"heard \xff");
    follow.kill().unwrap();
    follow.wait().unwrap();
    let (out, _, _) = machine.ask("logs --json ear-0");
    assert!(out.ends_with("{\"process\":\"ear-0\",\"line\":[104,101,97,114,100,32,255]}\n"), "{out}");
    assert_eq!(machine.ask("logs other-0").0, "up\n");
    let named = machine.command("logs -n 1").output().unwrap().stdout;
    assert_eq!(named, b"ear-0 | heard \xff\nother-0 | up\n");
    machine.ask("stop other-0");
    let (_, talk, exit) = machine.ask("signal other-0 HUP");
    assert!(exit == Some(1) && talk.contains("SUP003") && talk.contains("it is stopped"), "{talk}");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn events_tell_what_was_and_what_comes() {
    let machine = Machine::new(&[living("web-0")]);
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    let mut follow = machine.command("events -f --json").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!([next()["state"].clone(), next()["state"].clone()], ["launching", "healthy"]);
    machine.ask("stop web-0");
    assert_eq!(
        [next()["state"].clone(), next()["state"].clone(), next()["state"].clone()],
        ["stopping", "sweeping", "stopped"]
    );
    assert_eq!(machine.ask("events").0.lines().count(), 5);
    // The end of the supervisor is the end of the events.
    assert_eq!(up.stop().0, Some(0));
    assert!(lines.next().is_none());
    assert!(follow.wait().unwrap().success());
}

#[test]
fn the_live_table_is_for_terminals_and_lines_for_programs() {
    let machine = Machine::new(&[living("web-0")]);
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    let (_, talk, exit) = machine.ask("ps --watch");
    assert!(exit == Some(64) && talk.contains("`--json`"), "{talk}");
    let mut watch = machine.command("ps --watch --json").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut state = || {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["processes"][0]["state"].to_string()
    };
    assert_eq!(state(), "\"healthy\"");
    // Nobody touches it, and it is shown again.
    assert_eq!(state(), "\"healthy\"");
    machine.ask("stop web-0");
    until("the table shows the stop", || state() == "\"stopped\"");
    watch.kill().unwrap();
    watch.wait().unwrap();
    if is_there("script") {
        let line = format!("{} ps --watch", env!("CARGO_BIN_EXE_roster"));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("XDG_RUNTIME_DIR", machine.path("run"));
        script.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut terminal = script.spawn().unwrap();
        let mut shown = BufReader::new(terminal.stdout.take().unwrap());
        // The second frame goes back over the first one: a head, a process, a summary.
        let mut text = String::new();
        until("a second frame", || {
            let mut part = [0; 64];
            let length = shown.read(&mut part).unwrap();
            text += &String::from_utf8_lossy(&part[..length]);
            text.contains("\u{1b}[3A")
        });
        assert!(text.contains("web-0  stopped") && text.contains("m1: 0 of 1 well"), "{text}");
        up.stop();
        terminal.wait().unwrap();
    }
}

#[test]
fn the_first_signal_stops_and_the_second_one_kills() {
    let machine = Machine::new(&[app("deaf-0", "trap '' TERM; echo up; while :; do sleep 600; done")]);
    machine.write(&[{
        let mut app = app("deaf-0", "trap '' TERM; echo up; while :; do sleep 600; done");
        app["kill_timeout"] = 600_000.into();
        app
    }]);
    let mut up = machine.started("up --logs logs");
    until("it is deaf", || fs::read(machine.path("logs/deaf-0.log")).is_ok_and(|it| it == b"up\n"));
    up.signal("TERM");
    until("it is being stopped", || machine.state("deaf-0") == "stopping");
    let (_, talk, exit) = machine.ask("start deaf-0");
    assert!(exit == Some(1) && talk.contains("SUP006"), "{talk}");
    up.signal("INT");
    let (code, talk) = up.end();
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.ends_with("Stopping; once more to kill.\nKilling everything.\n"), "{talk}");
}
