//! What is answered to what.

use health::{Facts, Phase, RedisLink, Stage};
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Place, ask, killed, machine, process};

#[test]
fn a_server_answers_before_anything_else_is_there() {
    let place = Place::new(Facts::starting("m1".parse().unwrap(), "0.1.0", 5));
    assert_eq!(place.get("/live").status, 200);
    let health = place.get("/health");
    assert_eq!(health.status, 503);
    assert_snapshot!(health.body, @r#"{"schema_version":1,"healthy":false,"state":"starting","since":5,"stage":"configuration","percent":null,"recovery":"healthy","counts":{"healthy":0,"starting":0,"stopped":0,"not_installed":0,"unhealthy":0,"not_configured":0}}"#);
    let ready = place.get("/ready");
    assert_eq!(ready.status, 503);
    assert_snapshot!(ready.body, @r#"{"schema_version":1,"ready":false,"stage":"configuration","blockers":[{"name":"machine","state":"starting","why":"the machine is starting ← configuration"}]}"#);

    let mut facts = Facts::starting("m1".parse().unwrap(), "0.1.0", 5);
    facts.machine.stage = Stage::SharedSetup;
    (facts.machine.percent, facts.machine.doing) = (Some(62), Some("model sync".into()));
    place.board.publish(facts);
    assert_eq!(
        place.get("/ready").json()["blockers"][0]["why"],
        "the machine is starting ← shared_setup 62% ← model sync"
    );
}

#[test]
fn a_machine_on_which_all_is_well_is_healthy_and_ready() {
    let place = Place::new(machine());
    assert_eq!((place.get("/health").status, place.get("/ready").status), (200, 200));
    assert_eq!(place.get("/health").json()["counts"]["not_configured"], 1);
    let version = place.get("/version").json();
    assert_eq!((&version["machine"], &version["profile"]), (&json!("gpu-box-1"), &json!("gpu-mixed")));
}

#[test]
fn one_killed_service_makes_the_machine_unhealthy_and_says_why() {
    let mut facts = machine();
    killed(&mut facts, 0);
    let place = Place::new(facts);
    assert_eq!((place.get("/health").status, place.get("/ready").status), (503, 503));
    let blockers = place.get("/ready").json()["blockers"].clone();
    let stories: Vec<_> = blockers.as_array().unwrap().iter().map(|it| it["why"].as_str().unwrap()).collect();
    assert_snapshot!(stories.join("\n"), @r"
    comfyui-gpu0 not ready ← exited 137 (killed by the kernel: out of memory)
    comfyui-worker-0 not ready ← comfyui-gpu0 unhealthy ← exited 137 (killed by the kernel: out of memory)
    ");
    let one = place.get("/services/comfyui-gpu0/health");
    assert_eq!(one.status, 503);
    assert_eq!(one.json()["cause"], json!(["exited 137 (killed by the kernel: out of memory)"]));
    assert_eq!(place.get("/services/comfyui-gpu1/health").status, 200);
}

#[test]
fn a_service_that_is_not_configured_is_no_404_and_one_that_is_unknown_has_a_nearest_name() {
    let place = Place::new(machine());
    let absent = place.get("/services/a1111/health");
    assert_eq!((absent.status, &absent.json()["state"]), (503, &json!("not_configured")));
    let unknown = place.get("/services/comfyui-gpu2/health");
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("content-type"), Some("application/problem+json"));
    assert_eq!(unknown.json()["nearest"], "comfyui-gpu0");
    assert_eq!(place.get(&format!("/services/{}", "x".repeat(9000))).status, 404);
    assert_eq!(place.get("/services/..%2f..%2fetc%2fpasswd/logs").status, 404);
    assert_eq!(place.get("/services/%ff/logs").status, 400);
    assert_eq!(place.get("/nothing").status, 404);
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let place = Place::new(machine());
    for path in [
        "/health",
        "/ready",
        "/status",
        "/services",
        "/version",
        "/openapi.json",
        "/services/openai",
        "/",
        "/page.js",
    ] {
        let first = place.get(path);
        let tag = first.header("etag").unwrap();
        let again = ask(place.server.address(), "GET", path, &format!("if-none-match: {tag}\r\n"));
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        let other = ask(place.server.address(), "GET", path, "if-none-match: \"else\"\r\n");
        assert_eq!((other.status, other.body), (200, first.body), "{path}");
    }
    let tag = place.get("/services").header("etag").unwrap().to_owned();
    let mut facts = machine();
    facts.services[0].process = Some(process(Phase::Started));
    place.board.publish(facts);
    let changed = ask(place.server.address(), "GET", "/services", &format!("if-none-match: {tag}\r\n"));
    assert_eq!(changed.status, 200);
}

#[test]
fn logs_are_the_last_lines_escaped_and_bounded() {
    let place = Place::new(machine());
    let log = place.get("/services/comfyui-gpu0/logs?lines=2");
    assert_eq!((log.status, log.body.as_str()), (200, "line 0\\u{1b}[31m\nline 1\\u{1b}[31m\n"));
    assert_eq!(log.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(place.get("/services/comfyui-gpu0/logs").body.lines().count(), 100);
    for wrong in ["lines=10001", "lines=-1", "lines=many", "follow=perhaps", "line=5"] {
        assert_eq!(place.get(&format!("/services/comfyui-gpu0/logs?{wrong}")).status, 400, "{wrong}");
    }
    assert_eq!(place.get("/services/openai/logs").status, 409, "it runs elsewhere");
    assert_eq!(place.get("/services/comfyui-gpu1/logs").status, 504, "the machine hangs");
}

#[test]
fn orders_are_taken_from_programs_and_from_the_page() {
    let place = Place::new(machine());
    assert_eq!(place.post("/services/comfyui-gpu0/restart", "").status, 202);
    assert_eq!(place.post("/services/comfyui-worker-0/restart", "").status, 202);
    assert_eq!(place.post("/drain", "sec-fetch-site: same-origin\r\n").status, 202);
    assert_eq!(place.post("/services/openai/restart", "").status, 409);
    assert_eq!(place.post("/services/comfyui-gpu1/restart", "").status, 504);
    assert_eq!(place.post("/services/comfyui-gpu0/restart", "sec-fetch-site: cross-site\r\n").status, 403);
    assert_eq!(place.get("/drain").status, 405);
    let orders = place.hands.orders.lock().unwrap().clone();
    assert_eq!(orders, ["restart comfyui-gpu0", "restart comfyui-worker-0", "drain", "restart comfyui-gpu1"]);
}

#[test]
fn orders_come_too_early_while_nobody_can_carry_them_out() {
    let board = health::Board::new(machine());
    let options = health::Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: None,
        hosts: vec![],
        limits: health::Limits::default(),
    };
    let server = health::Server::bind(options).unwrap().start(board).unwrap();
    let drain = ask(server.address(), "POST", "/drain", "");
    assert_eq!((drain.status, &drain.json()["detail"]), (503, &json!("not now: the machine is starting")));
    assert_eq!(ask(server.address(), "GET", "/services/comfyui-gpu0/logs", "").status, 503);
}

#[test]
fn a_machine_without_redis_says_so() {
    let mut facts = machine();
    facts.redis = RedisLink::Lost { since: 1, why: "connection refused".into() };
    let place = Place::new(facts);
    assert_eq!(place.get("/health").status, 503);
    assert_eq!(
        place.get("/ready").json()["blockers"][0]["why"],
        "redis does not answer ← connection refused"
    );
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let place = Place::new(machine());
    for path in ["/", "/page.css", "/page.js", "/icon.svg"] {
        let file = place.get(path);
        assert_eq!(file.status, 200, "{path}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        let foreign = file.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path}");
    }
    assert!(!place.get("/").body.contains("style="), "the policy forbids styles in the text");
}

#[test]
fn the_openapi_document_has_every_route() {
    let document = Place::new(machine()).get("/openapi.json").json();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_snapshot!(paths.join("\n"), @r"
    /drain
    /events
    /health
    /live
    /metrics
    /ready
    /services
    /services/{service}
    /services/{service}/health
    /services/{service}/logs
    /services/{service}/restart
    /status
    /version
    ");
    assert_eq!(document, health::openapi());
}
