//! Twenty canaries, one in every place where a value can be written, looked for in everything that may be shown.

use spec::dotenv;
use spec::source::SourceText;

use crate::component;
use crate::interface;
use crate::take::{Derived, Need};
use crate::testing::{World, key, tell_all};

/// Where each canary sits: `canary-01-` and so on, in the order of the sources below.
const CANARIES: usize = 20;

fn need(name: &str, secret: bool) -> Need {
    Need { key: key(name), required: true, secret, claimant: "worker `a`".into() }
}

/// The numbers of the canaries that a text holds.
fn seen(text: &str) -> Vec<usize> {
    (1..=CANARIES).filter(|it| text.contains(&format!("canary-{it:02}-"))).collect()
}

fn sound_world() -> World {
    World::new("a: s t\nP_TOKEN=canary-01-\nP_LEVEL=x${A_TOKEN}${A_GONE:-canary-02-}\nP_URL=redis://u:canary-03-@h")
        .component(
            "a",
            "NAMESPACE=A\n[s]\nTOKEN=canary-04-\nCOPY='canary-05-'\nURL=amqp://u:canary-06-@h/v\nSHADOWED=canary-07-${PW}\n\
             [t]\nSHADOWED=plain\nOF_FILE=\"${PW}\\tcanary-08-\"\nDEEP=${A_OF_FILE:-canary-09-}\nHOST=${PLAIN_HOST:-h}\n",
        )
        .secrets("PW=canary-10-\nQUOTES=it's\"canary-11-\nUNASKED=canary-12-\n")
        .process("OUTSIDE", "canary-13-")
        .process("A_COPY", "")
        .interface("machine", r#"{"description": "d", "optional_secret": {"APP_COPY": "A_COPY"}, "defaults": {"MODE": "canary-14-"}}"#)
        .declared(&["P_TOKEN", "A_TOKEN", "A_GONE", "A_COPY", "OUTSIDE", "MODE", "QUOTES"])
        .wanted(&["OUTSIDE", "QUOTES"])
}

#[test]
fn secrets_are_in_the_secret_file_and_in_nothing_else() {
    let world = sound_world();
    // Its `Debug` has every value and every layer of every chain.
    let pool = world.resolve();
    let secret = ["P_TOKEN", "A_TOKEN", "OUTSIDE", "QUOTES"].map(|it| need(it, true));
    let public = ["P_LEVEL", "P_URL", "A_URL", "A_SHADOWED", "A_OF_FILE", "A_DEEP", "A_HOST"]
        .map(|it| need(it, false));
    let environment = world
        .take(&[&secret[..], &public[..]].concat(), &[("MACHINE_ID", Derived::Fact("m".into()))])
        .unwrap();

    let shown = [
        environment.public_file("header"),
        tell_all(pool.advice()),
        tell_all(environment.advice()),
        format!("{pool:?} {:?} {:?} {environment:?}", world.components, world.interfaces),
    ];
    assert_eq!(seen(&shown.concat()), [0_usize; 0], "{}", shown.concat());
    let public: Vec<_> = environment.public().keys().map(ToString::to_string).collect();
    assert_eq!(public, ["A_HOST", "A_SHADOWED", "MACHINE_ID"]);

    let file = environment.secret_file("header").unwrap();
    assert_eq!(seen(file.expose()), [1, 2, 3, 4, 6, 8, 10, 13, 14]);
    let values: String = environment.secret_values().map(|it| it.expose().as_str()).collect();
    assert_eq!(seen(&values), [1, 2, 3, 4, 6, 8, 10, 11, 13, 14], "what the redactor looks for");
}

#[test]
fn no_fault_shows_a_value() {
    let malformed = "NAMESPACE=canary-15-\nX=canary-16-\n[canary-17-.x]\n[s]\nbare canary-18-\ncanary-19-=x\nK='canary-20-' canary-01-\n\
                     K=\"canary-02-\nK=\"\\xcanary-03-\"\nL=${canary-04-}\nM=${X:canary-05-}\nN=canary-06-\nN=canary-07-\nO=${\ncanary-08-";
    let component =
        component::parse("a".parse().unwrap(), &SourceText::open("a.env", malformed)).unwrap_err();
    let secrets =
        "bare canary-09-\ncanary-10-=x\nK='canary-11-' canary-12-\nL=canary-13-\nL=canary-14-\nM='canary-15-";
    let secrets = dotenv::parse(&SourceText::guarded("secrets/local.env", secrets)).unwrap_err();
    let interface = r#"{"description": "d", "optional_secret": {"A": "A"}, "defaults": {"A": "canary-16-", "B": ["canary-17-"]}}"#;
    let interface =
        interface::read("machine".parse().unwrap(), &SourceText::guarded("machine.json", interface));
    let findings =
        [spec::notes::errors(component), spec::notes::errors(secrets), interface.unwrap_err()].concat();
    assert!(findings.len() > 15);

    let world = World::new("a: s none\nnone: x\nP=canary-01-${\nQ=canary-02-${GONE}\nA_C=${A_D}canary-03-\nR=canary-04-${E:?canary-05-}")
        .component(
            "a",
            "NAMESPACE=A\n[s]\nSELF=canary-06-${A_SELF}\nD=canary-07-${A_C}\nE=${GONE}canary-08-${GONE:-canary-09-}\nF=${A_T:-canary-10-}${GONE}\n\
             T=canary-11-\nASK=${E:?canary-12-}\n",
        )
        .component("b", "NAMESPACE=A\n[s]\nSELF=canary-13-\n")
        .interface("x", r#"{"description": "d", "defaults": {"DEF": "canary-14-"}}"#)
        .interface("y", r#"{"description": "d", "defaults": {"DEF": "canary-15-"}}"#)
        .secrets("LONG=canary-16-\nE=\n")
        .declared(&["A_T", "E", "R", "A_ASK"]);
    let unresolved = world.try_resolve().unwrap_err();

    let sound = sound_world().process("MACHINE_ID", "canary-17-").wanted(&["MACHINE_ID", "A_NEVER"]);
    let needs = [need("A_COPY", true), need("A_NEVER", true), need("P_TOKEN", true)];
    let taken = sound
        .take(&needs, &[("P_TOKEN", Derived::Fact("m".into())), ("A_URL", Derived::Fact("m".into()))])
        .unwrap_err();
    assert_eq!(taken.len(), 4, "{}", tell_all(&taken));

    let shown = [
        tell_all(&findings),
        tell_all(&unresolved.findings),
        tell_all(&taken),
        format!("{findings:?}{unresolved:?}{taken:?}"),
    ];
    assert_eq!(seen(&shown.concat()), [0_usize; 0], "{}", shown.concat());

    // A renderer quotes the lines of open sources: what those hold around a place must be no value.
    let places = findings.iter().chain(&unresolved.findings).chain(&taken).filter_map(|it| it.place.as_ref());
    for place in places.filter(|it| it.source.exposure() == spec::source::Exposure::Open) {
        let line = place.source.text().lines().nth(place.line_column().0 - 1).unwrap_or_default();
        assert_eq!(seen(line), [0_usize; 0], "{place}");
    }
}
