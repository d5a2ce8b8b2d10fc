//! What a doctor finds.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn check<'a>(reply: &'a Value, name: &str) -> &'a Value {
    let checks = reply["result"].as_array().unwrap();
    checks.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no check of {name}: {reply}"))
}

#[test]
fn what_stands_in_the_way_is_found_with_its_fix_before_anything_is_started() {
    let mut machine = Machine::new();
    machine.redis.start();
    let (out, talk, exit) = machine.ask("doctor --json");
    assert_eq!(exit, Some(0), "{out}{talk}");
    let reply: Value = serde_json::from_str(&out).unwrap();
    for name in ["ports", "secrets", "disk", "services"] {
        assert_eq!(check(&reply, name)["outcome"], "ok", "{reply}");
    }
    // How fast it answers is not ours to say here.
    let codes = check(&reply, "redis")["codes"].as_array().unwrap().clone();
    assert!(codes.iter().all(|it| it == "DOCTOR013"), "{reply}");
    assert!(
        check(&reply, "redis")["seen"].as_str().unwrap().contains("append-only file, noeviction"),
        "{reply}"
    );

    let _somebody = TcpListener::bind(("127.0.0.1", machine.base)).unwrap();
    let secrets = machine.path("config/environments/secrets/local.env");
    fs::create_dir_all(secrets.parent().unwrap()).unwrap();
    fs::write(&secrets, "OPENAI_API_KEY=canary-key\n").unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    machine.redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    machine.redis.cli(&["CONFIG", "SET", "appendonly", "no"]);
    let (out, talk, exit) = machine.ask("doctor");
    assert_eq!(exit, Some(1), "{out}{talk}");
    for expected in [
        format!("error[DOCTOR020]: port {}, which simulation-service-0 is to have, is in use", machine.base),
        "error[DOCTOR030]:".into(),
        "error[DOCTOR012]: Redis throws keys away when its memory is full: `maxmemory-policy` is `allkeys-lru`"
            .into(),
        "note[DOCTOR011]: Redis writes no append-only file".into(),
        format!("chmod 600 {}", secrets.display()),
    ] {
        assert!(talk.contains(&expected), "{expected}: {talk}");
    }
    assert!(!talk.contains("canary"), "{talk}");

    machine.redis.kill();
    let (_, talk, exit) = machine.ask("doctor");
    assert_eq!(exit, Some(1));
    assert!(talk.contains("error[BROKER"), "{talk}");
}
