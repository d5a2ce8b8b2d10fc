//! What a compose file cannot say, and the numbers it derives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use compose_gen::{Additional, ComposeFault, Project, codes, lower};
use spec::model::Isolation;
use spec::notes::{Fault, Located};

mod fixtures;

use fixtures::{DIGEST, Wanted, card, image, machine, place, project, volume};

fn render(project: &Project) -> String {
    let mut shown = String::new();
    for Located { fault, place } in lower(project).expect_err("something is wrong") {
        let place = place.map_or_else(|| "nowhere".to_owned(), |it| it.to_string());
        writeln!(shown, "{} {place}: {fault}\n  fix: {}", fault.code().id, fault.fix())
            .expect("a String takes it");
    }
    shown
}

fn tool(reference: &str, command: &[&str]) -> Additional {
    let command = command.iter().map(|it| (*it).to_owned()).collect();
    Additional { image: image(reference), command, environment: BTreeMap::new(), place: place("") }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let published = Wanted {
        gpus: vec![card(0, None)],
        comfyui: vec![0],
        published: true,
        workspace: "/workspace/models/".into(),
        ..Wanted::default()
    };
    let also = Wanted { published: true, workspace: "/tmp".into(), ..Wanted::default() };
    let good = format!("x@{DIGEST}");
    let wrong = Project {
        redis_image: Some(image("redis:latest")),
        additional: BTreeMap::from([
            ("redis".parse().unwrap(), tool(&good, &[])),
            ("b".parse().unwrap(), tool("registry.example:5000/tool", &["a", "secret\0"])),
        ]),
        ..project([
            (None, machine(None, &published, &["MACHINE_HEALTH_TOKEN"], true)),
            (Some("b"), machine(Some("b"), &also, &["MACHINE_HEALTH_TOKEN"], false)),
            (Some("machine-2"), machine(Some("machine-2"), &Wanted::default(), &[], false)),
        ])
    };
    insta::assert_snapshot!(render(&wrong), @r#"
    COMPOSE001 config/environments/profiles/test.json:1:1: `redis` is the name of the Redis of this project
      fix: choose another name, `redis-2` say
    COMPOSE002 config/environments/profiles/test.json:1:1: a compose profile and an additional service are both named `b`
      fix: give one of them another name
    COMPOSE003 config/environments/profiles/test.json:1:1: the image of `redis`, "redis:latest", has neither a digest nor a tag that stays
      fix: write the image as `name@sha256:…`, or at least `name:1.2.3`
    COMPOSE003 config/environments/profiles/test.json:1:1: the image of `b`, "registry.example:5000/tool", has neither a digest nor a tag that stays
      fix: write the image as `name@sha256:…`, or at least `name:1.2.3`
    COMPOSE004 nowhere: `machine` publishes port 9090 (the health server), which `b` publishes too (the health server)
      fix: publish only one of `b` and `machine`, or give one of them other ports
    COMPOSE005 nowhere: `b` has its temporary folder and the volume `b.workspace` both at "/tmp"
      fix: move one of them to another path
    COMPOSE005 nowhere: `machine` has the volume `machine.workspace` and the volume `models` both at "/workspace/models"
      fix: move one of them to another path
    COMPOSE006 config/environments/profiles/test.json:1:1: the text at `services.b.command.1` holds a NUL character
      fix: remove the character; no environment or command can hold it
    "#);
}

#[test]
fn a_nul_is_told_by_its_place_and_never_shown() {
    let wrong = Project {
        additional: BTreeMap::from([(
            "t".parse().unwrap(),
            tool(&format!("x@{DIGEST}"), &["a", "secret\0"]),
        )]),
        ..project([])
    };
    insta::assert_snapshot!(render(&wrong), @r"
    COMPOSE006 config/environments/profiles/test.json:1:1: the text at `services.t.command.1` holds a NUL character
      fix: remove the character; no environment or command can hold it
    ");
}

#[test]
fn a_profile_cannot_be_named_like_the_machine_that_is_always_started() {
    let wrong = project([(Some("machine"), machine(Some("machine"), &Wanted::default(), &[], false))]);
    insta::assert_snapshot!(render(&wrong), @r"
    COMPOSE001 nowhere: `machine` is the name of the machine that is always started
      fix: choose another name, `machine-2` say
    ");
}

#[test]
fn an_image_needs_a_digest_or_a_tag_that_stays() {
    let accepted = |reference: &str| {
        let additional = BTreeMap::from([("t".parse().unwrap(), tool(reference, &[]))]);
        lower(&Project { additional, ..project([]) }).is_ok()
    };
    let digested = |name: &str| format!("{name}@{DIGEST}");
    for good in [
        "redis:7",
        "a.example:5000/b/c_d:v1.2-x",
        &digested("redis"),
        &digested("redis:latest"),
        "r.example/x:1",
    ] {
        assert!(accepted(good), "{good}");
    }
    for bad in [
        "",
        "redis",
        "redis:",
        "redis:latest",
        "a.example:5000/redis",
        "${IMAGE}",
        "$IMAGE:1",
        "a b:1",
        "a//b:1",
        ":1",
        "redis@sha256:12",
        "redis:1@",
        "redis:1@sha512:00",
        "redis:-1",
        "redis:1:2",
        "/redis:1",
        "a:1\0",
    ] {
        assert!(!accepted(bad), "{bad}");
    }
}

#[test]
fn memory_is_left_to_the_host_and_to_redis() {
    let limit = |memory_mib: u32, redis: bool| {
        let wanted = Wanted { memory_mib, ..Wanted::default() };
        let text = lower(&project([(None, machine(None, &wanted, &[], redis))])).unwrap();
        let at = text.find("memory: '").unwrap() + "memory: '".len();
        text[at..].split('\'').next().unwrap().to_owned()
    };
    let gib = |it: u32| it * 1024;
    assert_eq!(limit(gib(8), false), format!("{}M", gib(7)));
    assert_eq!(limit(gib(8), true), format!("{}M", gib(6)));
    assert_eq!(limit(gib(512), false), format!("{}M", gib(508)));
    // However small, a machine keeps half.
    assert_eq!(limit(gib(1), true), "512M");
    assert_eq!(limit(1, true), "1M");
}

#[test]
fn pids_follow_the_processes_and_not_the_slots() {
    let limit = |openai: u16, openai_isolation: Isolation| {
        let wanted = Wanted { openai, openai_isolation, cpu_cores: 16, ..Wanted::default() };
        let text = lower(&project([(None, machine(None, &wanted, &[], false))])).unwrap();
        let at = text.find("pids: ").unwrap() + "pids: ".len();
        text[at..].lines().next().unwrap().parse::<u64>().unwrap()
    };
    let each = 512 + 4 * 16;
    assert_eq!(limit(0, Isolation::Process), each);
    assert_eq!(limit(10, Isolation::Process), 11 * each);
    assert_eq!(limit(10, Isolation::SharedProcess), 2 * each);
    assert_eq!(limit(10_000, Isolation::Process), 4_194_304, "the kernel counts no further");
}

#[test]
fn a_volume_is_writable_when_one_of_its_users_writes() {
    let told = |read_only| {
        let models = |read_only| volume("models", "/workspace/models", read_only);
        let volumes = vec![models(true), models(read_only)];
        let wanted = Wanted { gpus: vec![card(0, None)], comfyui: vec![0], volumes, ..Wanted::default() };
        lower(&project([(None, machine(None, &wanted, &[], false))])).unwrap()
    };
    let mounts = |text: &str| text.matches("target: /workspace/models").count();
    assert!(told(true).contains("target: /workspace/models\n        read_only: true"));
    assert!(!told(false).contains("target: /workspace/models\n        read_only: true"));
    assert_eq!((mounts(&told(true)), mounts(&told(false))), (1, 1));
}

#[test]
fn every_fault_has_its_code_and_every_code_is_explained() {
    let text = String::new;
    let faults = [
        ComposeFault::ReservedName { name: text(), owner: "" },
        ComposeFault::DuplicateName { name: text() },
        ComposeFault::UnpinnedImage { service: text(), image: text() },
        ComposeFault::SharedPort {
            port: 1,
            first: text(),
            first_for: text(),
            second: text(),
            second_for: text(),
        },
        ComposeFault::SharedPath { machine: text(), path: text(), first: text(), second: text() },
        ComposeFault::Nul { key: text() },
    ];
    let used: BTreeSet<&str> = faults.iter().map(|it| it.code().id).collect();
    let all: BTreeSet<&str> = codes::ALL.iter().map(|it| it.id).collect();
    assert_eq!(used, all);
    for code in codes::ALL {
        assert!((3..=8).contains(&code.explanation.lines().count()), "{}", code.id);
    }
}
