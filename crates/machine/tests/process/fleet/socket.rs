//! Who may ask, what is understood, and who has the socket.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use insta::assert_snapshot;

use super::{Machine, living};
use crate::support::{is_there, told};

#[test]
fn one_supervisor_has_a_machine_and_a_dead_one_makes_room() {
    let machine = Machine::new(&[living("web-0")]);
    let (_, talk, exit) = machine.ask("ps");
    assert!(exit == Some(1) && talk.contains("SUP010") && talk.contains("`roster up`"), "{talk}");
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    let (_, talk, exit) = machine.ask("up");
    let running = format!("a supervisor is running already, as pid {}", up.process.id());
    assert!(exit == Some(1) && talk.contains("SUP009") && talk.contains(&running), "{talk}");
    assert_eq!(machine.state("web-0"), "healthy");
    up.process.kill().unwrap();
    up.process.wait().unwrap();
    assert!(machine.socket().exists());
    let (_, talk, exit) = machine.ask("ps");
    assert!(exit == Some(1) && talk.contains("SUP010"), "{talk}");
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    assert_eq!(machine.state("web-0"), "healthy");
    assert_eq!(up.stop().0, Some(0));
    assert!(!machine.socket().exists());
}

#[test]
fn a_socket_that_cannot_be_is_said() {
    let machine = Machine::new(&[living("web-0")]);
    for (path, says) in [
        ("ecosystem.json", "is there and is no socket"),
        ("/proc/x.sock", "cannot be made"),
        (&"x".repeat(120), "more than 107 bytes"),
    ] {
        let (_, talk, exit) = machine.ask(&format!("up --socket {path}"));
        assert!(exit == Some(1) && talk.contains("SUP011") && talk.contains(says), "{talk}");
        assert!(talk.contains("ROSTER_SOCKET"), "{talk}");
    }
    assert!(fs::read(machine.path("ecosystem.json")).is_ok_and(|it| it.starts_with(b"{")));
}

#[test]
fn where_several_listen_one_has_to_be_named() {
    let machine = Machine::new(&[living("web-0")]);
    let mut first = machine.up();
    first.wait("web-0", "healthy");
    let text = fs::read_to_string(machine.path("ecosystem.json")).unwrap();
    fs::write(machine.path("second.json"), text.replace("\"machine\":\"m1\"", "\"machine\":\"m2\"")).unwrap();
    let mut second = machine.started("up --json --logs logs2 --ecosystem second.json");
    second.wait("web-0", "healthy");
    let (_, talk, exit) = machine.ask("ps");
    assert!(exit == Some(1) && talk.contains("2 supervisors") && talk.contains("m2.sock"), "{talk}");
    let named = machine.command("ps").env("ROSTER_SOCKET", machine.path("run/roster/m2.sock")).output();
    assert_eq!(told(&named.unwrap()).2, Some(0));
    assert_eq!(machine.ask(&format!("ps --socket {}", machine.socket().display())).2, Some(0));
    assert_eq!((first.stop().0, second.stop().0), (Some(0), Some(0)));
}

/// What is answered to a line.
fn say(machine: &Machine, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(machine.socket()).unwrap();
    // Whoever does not want to hear all of it closes before we have said it.
    let _ = stream.write_all(line);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn what_is_no_request_is_refused() {
    let machine = Machine::new(&[living("web-0")]);
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    let mut said = String::new();
    for line in [
        "nonsense\n",
        "{\"version\":1,\"request\":{\"ps\":{\"follow\":false,\"more\":1}}}\n",
        "{\"version\":1,\"request\":{\"explode\":{}}}\n",
        "{\"version\":2,\"request\":{\"ps\":{\"follow\":false}}}\n",
        "{\"version\":1,\"request\":{\"stop\":{\"which\":{\"names\":[\"../..\"]},\"wait\":false}}}\n",
    ] {
        let answer = say(&machine, line.as_bytes());
        let refused: serde_json::Value = serde_json::from_str(answer.lines().next().unwrap()).unwrap();
        let why = refused["refused"][0]["message"].as_str().unwrap().to_owned();
        writeln!(said, "{}{why}", line.replace('"', "'")).unwrap();
        assert_eq!(refused["refused"][0]["code"], "SUP007");
        assert!(answer.ends_with("\n\"end\"\n"), "{answer}");
    }
    assert_snapshot!(said, @r#"
    nonsense
    the request was not understood: expected ident at line 1 column 2
    {'version':1,'request':{'ps':{'follow':false,'more':1}}}
    the request was not understood: unknown field `more`, expected `follow` at line 1 column 51
    {'version':1,'request':{'explode':{}}}
    the request was not understood: unknown variant `explode`, expected one of `ps`, `logs`, `start`, `stop`, `restart`, `signal`, `scale`, `reload`, `events`, `shutdown` at line 1 column 33
    {'version':2,'request':{'ps':{'follow':false}}}
    the request was not understood: it is of version 2, not 1
    {'version':1,'request':{'stop':{'which':{'names':['../..']},'wait':false}}}
    the request was not understood: '.' cannot be in a name; use a-z, 0-9 and - at line 1 column 58
    "#);
    assert!(say(&machine, b"{\"version\":1").contains("it is no line"));
    assert_eq!(machine.state("web-0"), "healthy");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_supervisor_obeys_its_own_user() {
    let machine = Machine::new(&[living("web-0")]);
    let mut up = machine.up();
    up.wait("web-0", "healthy");
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(machine.socket()), 0o600);
    assert_eq!(mode(machine.path("run/roster")), 0o700);
    // Only root can ask as somebody else.
    let other = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_roster")]).args(line.split(' '));
        told(&command.output().unwrap())
    };
    if !is_there("setpriv") || other("--version").2 != Some(0) {
        eprintln!("not run: nobody else can be asked to ask");
        return;
    }
    let line = format!("ps --socket {}", machine.socket().display());
    let (_, talk, exit) = other(&line);
    assert!(exit == Some(1) && talk.contains("SUP011"), "{talk}");
    // Even where the file is open to all.
    for (path, mode) in [("", 0o755), ("run", 0o755), ("run/roster", 0o755), ("run/roster/m1.sock", 0o666)] {
        fs::set_permissions(machine.path(path), Permissions::from_mode(mode)).unwrap();
    }
    let (_, talk, exit) = other(&line);
    assert!(exit == Some(1) && talk.contains("SUP008") && talk.contains("you are 65534"), "{talk}");
    assert_eq!(up.stop().0, Some(0));
}
