//! Whoever means ill is answered shortly, and everybody else still is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use health::{Limits, Options, Server, ServerFault};
use spec::env::Secret;

use crate::support::{LONG, Lines, Place, ask, machine, until};

#[test]
fn a_server_that_others_can_reach_needs_a_token_that_cannot_be_guessed() {
    let bind = |listen: &str, token: Option<&str>| {
        let token = token.map(|it| Secret::new(it.to_owned()));
        Server::bind(Options {
            listen: listen.parse().unwrap(),
            token,
            hosts: vec![],
            limits: Limits::default(),
        })
    };
    assert!(matches!(bind("0.0.0.0:0", None), Err(ServerFault::NoToken { .. })));
    assert!(matches!(bind("[::]:0", None), Err(ServerFault::NoToken { .. })));
    assert!(matches!(bind("0.0.0.0:0", Some("secret")), Err(ServerFault::WeakToken)));
    assert!(bind("0.0.0.0:0", Some("0123456789abcdef")).is_ok());
    let taken = bind("127.0.0.1:0", None).unwrap();
    assert!(matches!(bind(&taken.address().to_string(), None), Err(ServerFault::Listen { .. })));
}

#[test]
fn without_the_token_there_is_only_the_page() {
    let token = "0123456789abcdef-canary";
    let place = Place::with(machine(), |it| {
        it.listen = "0.0.0.0:0".parse().unwrap();
        it.token = Some(Secret::new(token.to_owned()));
    });
    let address = format!("127.0.0.1:{}", place.server.address().port()).parse().unwrap();
    for path in ["/health", "/live", "/status", "/metrics", "/events", "/openapi.json", "/nothing"] {
        let refused = ask(address, "GET", path, "");
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert!(!refused.body.contains("canary") && !refused.body.contains("gpu-box"), "{path}");
    }
    for path in ["/", "/page.js", "/page.css"] {
        assert_eq!(ask(address, "GET", path, "").status, 200, "{path}");
    }
    assert_eq!(ask(address, "GET", "/health", &format!("authorization: Bearer {token}\r\n")).status, 200);
    assert_eq!(
        ask(address, "POST", "/drain", "authorization: Bearer 0123456789abcdef-canarx\r\n").status,
        401
    );
}

#[test]
fn a_name_that_is_not_the_machines_is_not_answered() {
    let place = Place::with(machine(), |it| it.hosts = vec!["gpu-box.internal".into()]);
    let asked =
        |host: &str| ask(place.server.address(), "GET", "/status", &format!("host: {host}\r\n")).status;
    assert_eq!(asked("rebound.evil.example:9090"), 421);
    assert_eq!((asked("localhost:9090"), asked("gpu-box.internal")), (200, 200));
    assert_eq!(
        ask(place.server.address(), "GET", "http://evil.example/status", "host: localhost\r\n").status,
        421
    );
}

#[test]
fn heads_and_bodies_that_are_too_long_are_refused() {
    let place = Place::new(machine());
    let long = format!("x: {}\r\n", "y".repeat(64 * 1024));
    assert_eq!(ask(place.server.address(), "GET", "/health", &long).status, 431);
    let many = "x: y\r\n".repeat(200);
    assert_eq!(ask(place.server.address(), "GET", "/health", &many).status, 431);
    let body = "content-length: 1000000\r\n";
    assert_eq!(ask(place.server.address(), "POST", "/drain", body).status, 413);
    assert_eq!(place.get("/health").status, 200);
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let place = Place::new(machine());
    let mut slow = TcpStream::connect(place.server.address()).unwrap();
    slow.set_read_timeout(Some(LONG)).unwrap();
    let began = Instant::now();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ").unwrap();
    let mut drip = slow.try_clone().unwrap();
    // A byte now and then does not buy more time.
    std::thread::spawn(move || {
        while drip.write_all(b"y").is_ok() {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(began.elapsed() < LONG, "it was cut off");
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_nobody_out() {
    // Each end is a descriptor of this process.
    let place = Place::with(machine(), |it| it.limits.connections = 200);
    let address = place.server.address();
    let mut stream = Lines::open(address, "/events", "");
    stream.next("event: status").unwrap();
    let mut silent = Vec::new();
    for at in 0..1000 {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"GET /hea").unwrap();
        silent.push(socket);
        if silent.len() > 400 {
            silent.remove(0);
        }
        if at % 100 == 99 {
            assert_eq!(ask(address, "GET", "/health", "").status, 200, "after {at}");
        }
    }
    place.board.journal.say(1, "state", None, "still heard");
    assert!(stream.next("event: happened").is_some(), "a stream is not driven out");
    until("nobody is kept out", || ask(address, "GET", "/ready", "").status == 200);
}
