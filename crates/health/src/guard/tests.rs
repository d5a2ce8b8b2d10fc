use axum::http::{HeaderMap, HeaderName, Method, Uri};
use spec::env::Secret;

use super::{Denied, Guard};

/// `head` is a request's first line and headers.
fn check(guard: &Guard, head: &str) -> Result<(), Denied> {
    let mut lines = head.lines().map(str::trim);
    let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value.trim().parse().unwrap());
    }
    guard.check(&method.parse::<Method>().unwrap(), &uri.parse::<Uri>().unwrap(), &headers, false)
}

fn open() -> Guard {
    Guard::new(None, vec!["gpu-1.internal".into()])
}

#[test]
fn the_machine_answers_to_its_addresses_and_names_only() {
    for host in
        ["127.0.0.1:9090", "[::1]:9090", "localhost", "LOCALHOST:9090", "10.1.2.3", "GPU-1.internal:80"]
    {
        assert_eq!(check(&open(), &format!("GET /\nhost: {host}")), Ok(()), "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:9090", "localhost.evil.example", "", "a:b:9090"] {
        assert_eq!(check(&open(), &format!("GET /\nhost: {host}")), Err(Denied::ForeignHost), "{host}");
    }
    assert_eq!(check(&open(), "GET /"), Err(Denied::NoHost));
    assert_eq!(check(&open(), "GET /\nhost: localhost\nhost: evil.example"), Err(Denied::NoHost));
    assert_eq!(check(&open(), "GET http://evil.example/\nhost: localhost"), Err(Denied::ForeignHost));
}

#[test]
fn a_page_of_another_site_cannot_give_orders() {
    let order = |headers: &str| check(&open(), &format!("POST /drain\nhost: localhost:9090{headers}"));
    assert_eq!(order(""), Ok(()));
    assert_eq!(order("\norigin: http://localhost:9090\nsec-fetch-site: same-origin"), Ok(()));
    assert_eq!(order("\norigin: http://localhost:8188"), Err(Denied::CrossSite));
    assert_eq!(order("\norigin: https://evil.example"), Err(Denied::CrossSite));
    assert_eq!(order("\norigin: null"), Err(Denied::CrossSite));
    assert_eq!(order("\nsec-fetch-site: cross-site"), Err(Denied::CrossSite));
    assert_eq!(order("\nsec-fetch-site: same-site"), Err(Denied::CrossSite));
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let token = Secret::new("a token of some length".to_owned());
    let guard = Guard::new(Some(&token), vec![]);
    let asked = |shown: &str| check(&guard, &format!("GET /health\nhost: 10.0.0.1{shown}"));
    assert_eq!(asked(""), Err(Denied::NoToken));
    assert_eq!(asked("\nauthorization: Bearer a token of some length"), Ok(()));
    assert_eq!(asked("\nauthorization: bearer a token of some length"), Ok(()));
    assert_eq!(asked("\nauthorization: Bearer a token of some lengti"), Err(Denied::NoToken));
    assert_eq!(asked("\nauthorization: Bearer a token of some length and more"), Err(Denied::NoToken));
    assert_eq!(asked("\nauthorization: Basic a token of some length"), Err(Denied::NoToken));
    assert!(!format!("{guard:?}").contains("length"), "the token is not in what is printed");
}

#[test]
fn an_order_has_no_long_body() {
    assert_eq!(check(&open(), "POST /drain\nhost: localhost\ncontent-length: 4096"), Ok(()));
    assert_eq!(check(&open(), "POST /drain\nhost: localhost\ncontent-length: 4097"), Err(Denied::TooLong));
    assert_eq!(
        check(&open(), "POST /drain\nhost: localhost\ntransfer-encoding: chunked"),
        Err(Denied::TooLong)
    );
}
