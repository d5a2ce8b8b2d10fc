//! Streams: events, and logs that are followed.

use health::Phase;
use serde_json::Value;

use crate::support::{Lines, Place, ask, machine, process, until};

fn data(line: &str) -> Value {
    serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
}

#[test]
fn whoever_listens_hears_the_status_and_what_happens() {
    let place = Place::new(machine());
    let mut lines = Lines::open(place.server.address(), "/events", "");
    lines.next("event: status").unwrap();
    assert_eq!(data(&lines.next("data: ").unwrap())["machine"]["state"], "healthy");

    let mut facts = machine();
    facts.services[0].process = Some(process(Phase::Unhealthy));
    place.board.publish(facts);
    lines.next("event: status").unwrap();
    assert_eq!(data(&lines.next("data: ").unwrap())["machine"]["state"], "unhealthy");

    place.board.journal.say(7, "restart", Some("comfyui-gpu0"), "is restarted\nby hand");
    lines.next("event: happened").unwrap();
    let mut rest = [lines.next("").unwrap(), lines.next("").unwrap()];
    rest.sort();
    assert_eq!(data(&rest[0])["message"], "is restarted\nby hand");
    assert_eq!(rest[1], "id: 1");
}

#[test]
fn whoever_comes_back_hears_what_was_missed_and_nothing_twice() {
    let place = Place::new(machine());
    for at in 1..=5 {
        place.board.journal.say(at, "state", None, format!("number {at}"));
    }
    let heard = |last: &str| {
        let mut lines = Lines::open(place.server.address(), "/events", &format!("last-event-id: {last}\r\n"));
        let mut ids = Vec::new();
        while let Some(line) = lines.next("id: ") {
            ids.push(line);
            if ids.last().unwrap() == "id: 5" {
                break;
            }
        }
        ids
    };
    assert_eq!(heard("3"), ["id: 4", "id: 5"]);
    assert_eq!(heard("0").len(), 5);
    assert_eq!(heard("900").len(), 5, "a number of an earlier run");
}

#[test]
fn a_log_is_followed_until_the_server_ends() {
    let place = Place::new(machine());
    let mut lines =
        Lines::open(place.server.address(), "/services/comfyui-gpu0/logs?lines=1&follow=true", "");
    lines.next("line 0").unwrap();
    until("somebody follows", || place.hands.lines.receiver_count() > 0);
    place.hands.lines.send("live\u{7}".into()).unwrap();
    assert_eq!(lines.next("live").unwrap(), "live\\u{7}");
    let mut events = Lines::open(place.server.address(), "/events", "");
    events.next("event: status").unwrap();
    let hands = place.hands.clone();
    drop(place);
    // A stream that is cut off has no end of its own; either way nothing more comes.
    assert_eq!(events.next("event: happened"), None);
    until("the log is let go", || hands.lines.receiver_count() == 0);
}

#[test]
fn there_are_never_too_many_streams() {
    let place = Place::with(machine(), |it| it.limits.streams = 2);
    let address = place.server.address();
    let mut open: Vec<Lines> = (0..2).map(|_| Lines::open(address, "/events", "")).collect();
    for it in &mut open {
        it.next("event: status").unwrap();
    }
    assert_eq!(ask(address, "GET", "/events", "").status, 503);
    assert_eq!(ask(address, "GET", "/services/comfyui-gpu0/logs?follow=true", "").status, 503);
    assert_eq!(ask(address, "GET", "/health", "").status, 200);
    drop(open);
    until("they are let go", || {
        let mut lines = Lines::open(address, "/events", "");
        lines.next("HTTP/1.1 ").unwrap() == "HTTP/1.1 200 OK"
    });
}
