use insta::assert_snapshot;

use super::*;
use crate::testing::{World, key, tell_all};

fn need(name: &str, required: bool, secret: bool, claimant: &str) -> Need {
    Need { key: key(name), required, secret, claimant: claimant.to_owned() }
}

const MACHINE: &str = r#"{
  "description": "d",
  "required": {"REDIS_URL": "REDIS_URL"},
  "optional": {"LOG_LEVEL": "MACHINE_LOG_LEVEL", "NOTE": "NOTE"},
  "optional_secret": {"TOKEN": "TOKEN"},
  "defaults": {"LOG_LEVEL": "info"}
}"#;

#[test]
fn an_environment_is_what_somebody_takes_split_into_public_and_secret() {
    let world = World::new("redis: s\nNOTE=it's # 1\nUNUSED=x")
        .component("redis", "NAMESPACE=REDIS\n[s]\nURL=redis://:${PW}@h\nPORT=6379\n")
        .interface("machine", MACHINE)
        .secrets("PW=pass'word\nOPENAI_API_KEY=sk-1\nUNUSED_SECRET=x\n")
        .declared(&["OPENAI_API_KEY"])
        .wanted(&["OPENAI_API_KEY", "OPENAI_BASE_URL"]);
    let needs = [
        need("OPENAI_API_KEY", true, true, "worker `openai`"),
        need("OPENAI_BASE_URL", false, false, "worker `openai`"),
        need("REDIS_URL", true, false, "worker `openai`"),
    ];
    let environment = world.take(&needs, &[("MACHINE_ID", Derived::Fact("gpu-1".into()))]).unwrap();
    assert_snapshot!(environment.public_file("Generated.\n\nDo not edit."), @r##"
    # Generated.
    #
    # Do not edit.
    LOG_LEVEL=info
    MACHINE_ID=gpu-1
    NOTE="it's # 1"
    "##);
    assert_snapshot!(environment.secret_file("Secret.").unwrap().expose(), @r##"
    # Secret.
    OPENAI_API_KEY=sk-1
    REDIS_URL="redis://:pass'word@h"
    "##);
    assert_eq!(
        environment.secret_values().map(|it| it.expose().as_str()).collect::<Vec<_>>(),
        ["pass'word", "redis://:pass'word@h", "sk-1"]
    );
    let from = |claimants: &[&str], name: &str| {
        Some(Provenance::Pool {
            key: key(name),
            claimants: claimants.iter().map(ToString::to_string).collect(),
        })
    };
    assert_eq!(
        environment.provenance(&key("REDIS_URL")).cloned(),
        from(&["service interface `machine`", "worker `openai`"], "REDIS_URL")
    );
    assert_eq!(
        environment.provenance(&key("LOG_LEVEL")).cloned(),
        from(&["service interface `machine`"], "MACHINE_LOG_LEVEL")
    );
    assert_eq!(environment.provenance(&key("MACHINE_ID")), Some(&Provenance::Plan));
    assert_eq!(environment.provenance(&key("UNUSED")), None);
}

#[test]
fn an_environment_without_secrets_has_no_secret_file() {
    let environment = World::new("").take(&[], &[]).unwrap();
    assert!(environment.secret_file("Secret.").is_none());
    assert_eq!(environment.public_file(""), "");
}

#[test]
fn everything_missing_is_told_at_once_with_everyone_who_needs_it() {
    let world = World::new("a: s")
        .component("a", "NAMESPACE=A\n[s]\nEMPTY=\n")
        .interface("machine", MACHINE)
        .secrets("EMPTY_SECRET=\n")
        .declared(&["KEY", "EMPTY_SECRET"])
        .wanted(&["KEY", "URL", "EMPTY_SECRET", "OPTIONAL", "OUTSIDE"])
        .process("OUTSIDE", "");
    let needs = [
        need("KEY", true, true, "worker `openai`"),
        need("KEY", true, true, "service `openai`"),
        need("URL", true, false, "worker `remote`"),
        need("A_EMPTY", true, false, "worker `remote`"),
        need("EMPTY_SECRET", true, true, "worker `remote`"),
        need("OUTSIDE", true, false, "worker `remote`"),
        need("OPTIONAL", false, false, "worker `remote`"),
    ];
    let findings = world.take(&needs, &[]).unwrap_err();
    assert!(findings.iter().all(|it| it.code.exit == spec::notes::Exit::MissingValue));
    assert_snapshot!(tell_all(&findings), @r"
    a.env:3:7 ENV042 the variable `A_EMPTY` is empty in the component `a`, section [s], and is needed by worker `remote`; give `A_EMPTY` a value there, or remove it there so that another source is asked
    secrets/local.env:1:14 ENV042 the secret `EMPTY_SECRET` is empty in the secrets file, and is needed by worker `remote`; give `EMPTY_SECRET` a value there, or remove it there so that another source is asked
    ENV040 the secret `KEY` is not set, and is needed by service `openai`, worker `openai`; set `KEY` in secrets/local.env or in the process environment
    ENV042 the variable `OUTSIDE` is empty in the process environment, and is needed by worker `remote`; give `OUTSIDE` a value there, or remove it there so that another source is asked
    machine.json:3:29 ENV041 the variable `REDIS_URL` is not set, and is needed by service interface `machine`; set `REDIS_URL` in a component's section, in the profile's `environment` or in the process environment
    ENV041 the variable `URL` is not set, and is needed by worker `remote`; set `URL` in a component's section, in the profile's `environment` or in the process environment
    ");
}

#[test]
fn a_variable_whose_fault_is_told_is_not_missing_as_well() {
    let world = World::new("redis: locl\nUSED=${GONE}")
        .component("redis", "NAMESPACE=REDIS\n[local]\nURL=x\n")
        .interface("machine", MACHINE)
        .wanted(&["USED"]);
    let unresolved = world.try_resolve().unwrap_err();
    assert_eq!(unresolved.findings.len(), 2, "{unresolved:?}");
    let needs = [need("USED", true, false, "worker `a`")];
    assert!(take(&unresolved.understood, &world.interfaces, &needs, &BTreeMap::new()).is_ok());
}

#[test]
fn services_agree_on_where_a_variable_comes_from() {
    let interface =
        |name, from| (name, format!(r#"{{"description": "d", "optional": {{"X": "{from}", "Y": "Y"}}}}"#));
    let [(a, first), (b, second)] = [interface("a", "ONE"), interface("b", "TWO")];
    let world = World::new("").interface(a, &first).interface(b, &second);
    assert_snapshot!(tell_all(&world.take(&[], &[]).unwrap_err()), @r"b.json:1:40 ENV043 `X` is taken from `ONE` by service interface `a` and from `TWO` by service interface `b`; let both take it from the same variable");
    let world = World::new("TWO=2").interface(b, &second);
    let environment = world.take(&[need("X", true, false, "worker `a`")], &[]).unwrap();
    assert_eq!(environment.public_file(""), "X=2\n", "a need takes what the interface says");
}

#[test]
fn a_source_does_not_contradict_a_fact_of_the_plan() {
    let world = World::new("machine: s\nWORKER_CONNECTORS=openai:1 , a:1")
        .component("machine", "NAMESPACE=MACHINE\n[s]\nGPU_COUNT=3\nHAS_GPU=true\n")
        .process("MACHINE_ID", "other")
        .wanted(&["MACHINE_ID"]);
    let derived = [
        ("MACHINE_GPU_COUNT", Derived::Fact("2".into())),
        ("MACHINE_HAS_GPU", Derived::Fact("true".into())),
        ("MACHINE_ID", Derived::Fact("gpu-1".into())),
        ("WORKER_CONNECTORS", Derived::Form("openai:1,a:1".into())),
    ];
    let findings = world.take(&[], &derived).unwrap_err();
    assert_snapshot!(tell_all(&findings), @r"
    machine.env:3:11 ENV044 `MACHINE_GPU_COUNT` is set by the component `machine`, section [s] to something else than the plan's `2`; remove `MACHINE_GPU_COUNT` there, set it to `2`, or change what the plan is made from
    ENV044 `MACHINE_ID` is set by the process environment to something else than the plan's `gpu-1`; remove `MACHINE_ID` there, set it to `gpu-1`, or change what the plan is made from
    ");
    let shown = findings[0].place.as_ref().unwrap().source.text().trim();
    assert_eq!(shown, "GPU_COUNT=3", "only the line in question may be quoted");
}

#[test]
fn a_value_that_no_env_file_can_hold_is_refused_if_public_and_travels_as_a_file_if_secret() {
    let world =
        World::new("PUBLIC=it's \"x\"").secrets("SECRET=it's \"x\"\nPLAIN=p\n").wanted(&["SECRET", "PLAIN"]);
    let findings = world.take(&[need("PUBLIC", false, false, "worker `a`")], &[]).unwrap_err();
    assert_snapshot!(tell_all(&findings), @r"profile.json:1:8 DOTENV003 `PUBLIC`: the value holds both an apostrophe and a double quote: no quoting of that means the same to Docker Compose, sh and Node; if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte");
    let needs = [need("SECRET", true, true, "worker `a`"), need("PLAIN", true, true, "worker `a`")];
    let environment = world.take(&needs, &[]).unwrap();
    assert_snapshot!(tell_all(environment.advice()), @r"ENV045 the secret `SECRET` is not in `.env.secret`: the value holds both an apostrophe and a double quote: no quoting of that means the same to Docker Compose, sh and Node; read it from `/run/secrets/SECRET`, or encode the value (base64)");
    assert_snapshot!(environment.secret_file("").unwrap().expose(), @r"
    PLAIN=p
    # SECRET is in a file of its own only: the value holds both an apostrophe and a double quote: no quoting of that means the same to Docker Compose, sh and Node
    ");
    assert_eq!(environment.secrets().count(), 2);
}

#[test]
fn a_key_that_anyone_calls_secret_is_secret_for_everyone() {
    let interface = r#"{"description": "d", "optional": {"PUBLIC_NAME": "KEY"}, "optional_secret": {"SECRET_NAME": "KEY"}}"#;
    let world = World::new("KEY=x\nCOPY=${KEY}").interface("machine", interface);
    let environment = world.take(&[need("COPY", false, false, "worker `a`")], &[]).unwrap();
    assert_eq!(environment.public_file(""), "");
    assert_eq!(environment.secrets().count(), 3);
}
