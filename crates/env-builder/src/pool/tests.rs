use insta::assert_snapshot;
use spec::grammar;
use spec::source::Exposure;

use super::*;
use crate::testing::{World, key, tell_all};

fn value(pool: &Pool, name: &str) -> String {
    match pool.get(&key(name)) {
        Some(it) => format!("{}{}", if it.is_secret() { "secret " } else { "" }, it.value().expose()),
        None => "-".to_owned(),
    }
}

fn chain(pool: &Pool, name: &str) -> String {
    let told = |it: &Layer| {
        let place = it.place.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        format!("{} {}{place}: {}\n", if it.wins { '*' } else { ' ' }, it.rank, it.value)
    };
    pool.chain(&key(name)).iter().map(told).collect()
}

#[test]
fn whatever_sources_set_a_variable_the_highest_one_wins() {
    // One bit a source, the lowest source first.
    for sources in 0_u8..64 {
        let has = |bit: u8| sources & (1 << bit) != 0;
        let section = |bit: u8, value: &str| if has(bit) { format!("X={value}\n") } else { String::new() };
        let (first, second) = (section(1, "first"), section(2, "second"));
        // The order of the components in the profile says nothing.
        let order = if has(0) { "other: s\na: one two" } else { "a: one two\nother: s" };
        let mut world = World::new(&format!("{order}\n{}", if has(3) { "A_X=profile" } else { "" }))
            .component("a", &format!("NAMESPACE=A\n[one]\n{first}[two]\n{second}"))
            .component("other", "NAMESPACE=OTHER\n[s]\nX=other\n")
            .wanted(&["A_X"]);
        if has(0) {
            world = world.interface("machine", r#"{"description": "d", "defaults": {"A_X": "default"}}"#);
        }
        if has(4) {
            world = world.secrets("A_X=secrets");
        }
        if has(5) {
            world = world.process("A_X", "process");
        }
        let names = ["default", "first", "second", "profile", "secret secrets", "process"];
        let winner = (0..6).rev().find(|bit| has(*bit)).map_or("-", |bit| names[usize::from(bit)]);
        let pool = world.resolve();
        assert_eq!(value(&pool, "A_X"), winner, "sources {sources:06b}");
        assert_eq!(pool.chain(&key("A_X")).len(), usize::try_from(sources.count_ones()).unwrap());
    }
}

#[test]
fn the_chain_shows_every_layer_and_which_one_wins() {
    let world = World::new("worker: default mixed\nWORKER_CONNECTORS=openai:${COUNT:-4}")
        .component(
            "worker",
            "NAMESPACE=WORKER\n[default]\nCONNECTORS=simulation:1\n[mixed]\nCONNECTORS=comfyui:${N:-2}\n",
        )
        .interface(
            "machine",
            r#"{"description": "d", "optional": {"W": "WORKER_CONNECTORS"}, "defaults": {"W": "none"}}"#,
        );
    assert_snapshot!(chain(&world.resolve(), "WORKER_CONNECTORS"), @r"
    * profile profile.json:2:19: openai:4
      component `worker`, section [mixed] worker.env:5:1: comfyui:${N:-2}
      component `worker`, section [default] worker.env:3:1: simulation:1
      default of service interface `machine` machine.json:1:80: none
    ");
}

#[test]
fn a_chain_shows_nothing_secret() {
    let pool = World::new("redis: a b\nLEVEL=x${PW:-canary}\nPLAIN=y\nPLAIN_URL=redis://u:canary@h")
        .component(
            "redis",
            "NAMESPACE=REDIS\n[a]\nURL=redis://${PW:-canary}@h\n[b]\nURL=redis://h\nKEY=canary",
        )
        .secrets("PW=canary\nPLAIN=canary\n")
        .declared(&["REDIS_KEY"])
        .resolve();
    let chains: Vec<_> =
        ["REDIS_URL", "REDIS_KEY", "LEVEL", "PLAIN", "PLAIN_URL"].map(|it| chain(&pool, it)).into();
    assert_snapshot!(chains.concat(), @r"
    * component `redis`, section [b] redis.env:5:1: redis://h
      component `redis`, section [a] redis.env:3:1: [redacted]
    * component `redis`, section [b] redis.env:6:1: [redacted]
    * profile profile.json:2:7: [redacted]
    * secrets file secrets/local.env:2:1: [redacted]
      profile profile.json:3:7: [redacted]
    * profile profile.json:4:11: [redacted]
    ");
}

#[test]
fn references_go_through_the_same_chain() {
    let pool = World::new("a: s\nP=${A_X}!")
        .component(
            "a",
            "NAMESPACE=A\n[s]\nX=${B}-${OUTSIDE}-${NOWHERE:-${A_Y}}\nY='${B}'\nZ=${EMPTY:-full}${EMPTY}\n",
        )
        .secrets("B=secret-b\n")
        .process("OUTSIDE", "${B}")
        .process("EMPTY", "")
        .resolve();
    assert_eq!(value(&pool, "P"), "secret secret-b-${B}-${B}!");
    assert_eq!(value(&pool, "A_Y"), "${B}");
    assert_eq!(value(&pool, "A_Z"), "full");
    assert_eq!(value(&pool, "OUTSIDE"), "${B}", "a variable that a reference asked for is in the pool");
}

#[test]
fn only_process_variables_that_something_names_are_read() {
    struct Asked(std::cell::RefCell<Vec<String>>);
    impl EnvSource for Asked {
        fn get(&self, key: &EnvKey) -> Result<Option<String>, spec::env::NotUnicode> {
            self.0.borrow_mut().push(key.to_string());
            Ok(None)
        }
    }
    let world = World::new("a: s").component("a", "NAMESPACE=A\n[s]\nX=${B:-}\n[t]\nUNUSED=${C}\n");
    let process = Asked(std::cell::RefCell::default());
    let selection = Selection {
        components: vec![(
            "a".parse().unwrap(),
            vec![("s".parse().unwrap(), SourceText::open("p", "").whole())],
            SourceText::open("p", "").whole(),
        )],
        overrides: vec![],
    };
    let sources = Sources {
        components: &world.components,
        unreadable: &BTreeSet::new(),
        secrets: &[],
        secrets_file: "secrets/local.env",
        process: &process,
        interfaces: &[],
        declared_secret: &BTreeSet::new(),
        wanted: &[key("W")].into(),
    };
    resolve(&selection, &sources).unwrap();
    let mut asked = process.0.into_inner();
    asked.sort();
    assert_eq!(asked, ["A_X", "B", "W"], "each once");
}

#[test]
fn a_secret_taints_whatever_it_goes_into() {
    let pool = World::new("a: s\nFROM_PROFILE=${A_DEEP}")
        .component(
            "a",
            "NAMESPACE=A\n[s]\nDECLARED=x\nOF_DECLARED=${A_DECLARED}\nDEEP=-${A_OF_DECLARED}-\nOF_FILE=${TOKEN}\n\
             FALLBACK=${ABSENT_SECRET:-x}\nPLAIN=${HOST:-h}\nLITERAL='${TOKEN}'\nUNTAKEN=${HOST2:-${A_PLAIN}}\n\
             URL=redis://default:pa/ss@h:1\nNO_PASSWORD=redis://user@h:1/0\nPORT=http://h:8188/x\n",
        )
        .secrets("TOKEN=t\nUNASKED=u\n")
        .process("HOST2", "h2")
        .declared(&["A_DECLARED", "ABSENT_SECRET"])
        .resolve();
    let secret = |it: &&str| pool.get(&key(it)).unwrap().is_secret();
    let all = [
        "A_DECLARED",
        "A_OF_DECLARED",
        "A_DEEP",
        "FROM_PROFILE",
        "A_OF_FILE",
        "A_FALLBACK",
        "TOKEN",
        "A_URL",
        "A_PLAIN",
        "A_LITERAL",
        "A_UNTAKEN",
        "A_NO_PASSWORD",
        "A_PORT",
    ];
    assert_eq!(all.into_iter().filter(secret).collect::<Vec<_>>(), all[..8]);
    assert!(all[..8].iter().all(|it| pool.get(&key(it)).unwrap().public().is_none()));
    assert_eq!(pool.secret_values().count(), 8, "a secret that nobody asked for is not in the pool");
}

#[test]
fn every_fault_of_a_selection_is_told_in_one_run() {
    let mut world = World::new("reddis: local\nredis: locl remote\nx: s\na: s\nb: s\nWORD=${\nLEVEL=${B_LOOP}")
        .component("redis", "NAMESPACE=REDIS\n[local]\nURL=x\n[remote]\nURL=${HUB:?the hub}\nKEY=${HUB:?canary}\nOTHER=${REDIS_URL}\n")
        .component("a", "NAMESPACE=A\n[s]\nHOST=${REDIS_PORT}${X_Y}\nTYPO=\"\\t${A_HOTS}\"\nLOOP=a${B_LOOP}\n")
        .component("b", "NAMESPACE=B\n[s]\nLOOP=${A_LOOP:-x}\nONE=${NOWHERE} ${EITHER}\n")
        .declared(&["REDIS_KEY"]);
    world.unreadable.insert("x".parse().unwrap());
    assert_snapshot!(world.faults(), @r"
    profile.json:6:6 TPL001 this `${` has no closing `}`; close the brace; write `$${` where `${` itself is meant
    profile.json:1:1 ENV010 there is no component `reddis`; did you mean `redis`? There are: a, b, redis, x
    profile.json:2:8 ENV011 component `redis` has no section [locl]; did you mean `local`? There are: local, remote
    a.env:5:1 ENV023 variables refer to each other in a circle: `A_LOOP` (a.env:5:1) -> `B_LOOP` (b.env:3:1) -> `A_LOOP`; give one of them a value of its own
    a.env:4:7 ENV020 `A_TYPO` (component `a`, section [s]) needs `A_HOTS`, which nothing sets; did you mean `${A_HOST}`?
    b.env:4:5 ENV020 `B_ONE` (component `b`, section [s]) needs `NOWHERE`, which nothing sets; set `NOWHERE` in the process environment or in secrets/local.env, or give it a default: `${NOWHERE:-default}`
    b.env:4:16 ENV020 `B_ONE` (component `b`, section [s]) needs `EITHER`, which nothing sets; set `EITHER` in the process environment or in secrets/local.env, or give it a default: `${EITHER:-default}`
    redis.env:6:5 ENV021 `REDIS_KEY` (component `redis`, section [remote]) insists on `HUB`, which has no value; set `HUB` in the process environment or in secrets/local.env
    redis.env:5:5 ENV021 `REDIS_URL` (component `redis`, section [remote]) insists on `HUB`, which has no value: the hub; set `HUB` in the process environment or in secrets/local.env
    ");
}

#[test]
fn a_circle_is_named_whole_and_once() {
    let world = World::new("a: s\nP=${A_Y}\nQ=${P}")
        .component("a", "NAMESPACE=A\n[s]\nX=${A_Y}\nY=${A_Z:-default}\nZ=${A_X}${A_X}\nOUT=${A_X}\n");
    assert_snapshot!(world.faults(), @r"a.env:3:1 ENV023 variables refer to each other in a circle: `A_X` (a.env:3:1) -> `A_Y` (a.env:4:1) -> `A_Z` (a.env:5:1) -> `A_X`; give one of them a value of its own");
    let broken = world.process("A_Z", "z").resolve();
    assert_eq!(value(&broken, "Q"), "z", "a member that comes from outside breaks the circle");
}

#[test]
fn a_variable_that_refers_to_itself_comes_from_outside() {
    let text = "NAMESPACE=A\n[s]\nKEY=${A_KEY}\nASK=${A_ASK:?see the wiki}\nSOFT=${A_SOFT:-soft}\n";
    let world = World::new("a: s").component("a", text);
    assert_snapshot!(world.faults(), @r"
    a.env:4:5 ENV022 `A_ASK` (component `a`, section [s]) must come from outside, where nothing sets it: see the wiki; set `A_ASK` in the process environment or in secrets/local.env
    a.env:3:5 ENV022 `A_KEY` (component `a`, section [s]) must come from outside, where nothing sets it; set `A_KEY` in the process environment or in secrets/local.env
    ");
    let pool = world.secrets("A_KEY=k\nA_ASK=\n").resolve();
    assert_eq!(["A_KEY", "A_ASK", "A_SOFT"].map(|it| value(&pool, it)), ["secret k", "secret ", "soft"]);
}

#[test]
fn two_components_publish_one_variable_only_if_both_are_selected() {
    let world = |profile| {
        World::new(profile)
            .component("api", "NAMESPACE=API\n[s]\nTOKENS_KEY=1\nTOKENS_B=1\n[t]\nTOKENS_KEY=1\n")
            .component("tokens", "NAMESPACE=API_TOKENS\n[s]\nKEY=2\n[t]\nKEY=2\n")
    };
    assert_eq!(value(&world("tokens: s").resolve(), "API_TOKENS_KEY"), "2");
    assert_snapshot!(world("api: s t\ntokens: s t").faults(), @r"tokens.env:5:1 ENV012 components `api` (api.env:6:1) and `tokens` both publish `API_TOKENS_KEY`; rename one of the keys, or give one component another namespace");
}

#[test]
fn interfaces_agree_on_defaults() {
    let interface =
        |text| format!(r#"{{"description": "d", "defaults": {{"LEVEL": "{text}", "SAME": "x"}}}}"#);
    let world = World::new("").interface("api", &interface("info")).interface("machine", &interface("debug"));
    assert_snapshot!(world.faults(), @r"machine.json:1:44 ENV013 service interfaces `api` and `machine` give `LEVEL` different defaults; give both the same default, or let one of them have none");
}

#[test]
fn a_long_chain_that_doubles_at_every_step_ends_in_a_fault() {
    let link = |it: u8| format!("X{it}=${{A_X{next}}}${{A_X{next}}}\n", next = it + 1);
    let chain: String = (0..200).map(link).collect();
    let deep = World::new("a: s").component("a", &format!("NAMESPACE=A\n[s]\n{chain}X200=x\n"));
    let told = deep.try_resolve().unwrap_err().findings;
    assert!(told.iter().all(|it| ["ENV024", "ENV025"].contains(&it.code.id)), "{}", tell_all(&told));
}

#[test]
fn a_process_variable_that_is_not_text_is_a_fault() {
    struct Binary;
    impl EnvSource for Binary {
        fn get(&self, key: &EnvKey) -> Result<Option<String>, spec::env::NotUnicode> {
            Err(spec::env::NotUnicode { key: key.clone() })
        }
    }
    let (selection, wanted) = (Selection { components: vec![], overrides: vec![] }, [key("X")].into());
    let sources = Sources {
        components: &[],
        unreadable: &BTreeSet::new(),
        secrets: &[],
        secrets_file: "secrets/local.env",
        process: &Binary,
        interfaces: &[],
        declared_secret: &BTreeSet::new(),
        wanted: &wanted,
    };
    assert_snapshot!(tell_all(&resolve(&selection, &sources).unwrap_err().findings), @r"ENV026 the environment variable `X` is not valid UTF-8; set `X` to UTF-8 text, or unset it");
}

#[test]
fn a_secret_in_a_file_that_is_committed_is_advice() {
    let pool = World::new("a: s\nTOKEN=canary")
        .component("a", "NAMESPACE=A\n[s]\nKEY=canary\nREF=${OTHER:-}\nNONE=\n")
        .interface("machine", r#"{"description": "d", "defaults": {"MODE": "canary"}}"#)
        .declared(&["A_KEY", "A_REF", "A_NONE", "TOKEN", "MODE"])
        .resolve();
    assert_snapshot!(tell_all(pool.advice()), @r"
    a.env:3:1 ENV027 the secret `A_KEY` is written out in the component `a`, section [s]; move `A_KEY` to secrets/local.env
    machine.json:1:43 ENV027 the secret `MODE` is written out in the default of service interface `machine`; move `MODE` to secrets/local.env
    profile.json:2:7 ENV027 the secret `TOKEN` is written out in the profile; move `TOKEN` to secrets/local.env
    ");
}

#[test]
fn a_public_value_is_read_at_its_own_place_and_shows_nothing_else_of_the_file() {
    let file = "NAMESPACE=WORKER\n[s]\nTOKEN=canary\nCONNECTORS = comfyiu:0\nQUOTED=\"a:1\"\nMADE=${N:-a:1}\nEMPTY=\n";
    let pool =
        World::new("worker: s\nP=b:2").component("worker", file).process("W", "c:3").wanted(&["W"]).resolve();
    let reading = |name: &str| pool.get(&key(name)).unwrap().reading(&key(name));

    let place = reading("WORKER_CONNECTORS");
    assert_eq!((place.to_string().as_str(), place.text()), ("worker.env:4:14", "comfyiu:0"));
    assert_eq!(place.source.exposure(), Exposure::Open);
    assert_eq!(place.source.text().trim_start(), "CONNECTORS = comfyiu:0");
    let fault = &grammar::parse_at(&place).unwrap_err().faults[0];
    assert_eq!(fault.place.as_ref().unwrap().to_string(), "worker.env:4:22");

    let told = ["WORKER_QUOTED", "WORKER_MADE", "WORKER_EMPTY", "P", "W"].map(|it| {
        let place = reading(it);
        format!("{place} `{}`\n", place.text())
    });
    assert_snapshot!(told.concat(), @r"
    worker.env:5:9 `a:1`
    WORKER_MADE (component `worker`, section [s]):1:1 `a:1`
    WORKER_EMPTY (component `worker`, section [s]):1:1 ``
    profile.json:2:3 `b:2`
    W (process environment):1:1 `c:3`
    ");
}

#[test]
fn the_reading_of_a_secret_is_guarded() {
    let pool = World::new("").secrets("ROSTER=a:1").wanted(&["ROSTER"]).resolve();
    let place = pool.get(&key("ROSTER")).unwrap().reading(&key("ROSTER"));
    assert_eq!((place.text(), place.source.exposure()), ("a:1", Exposure::Guarded));
}
