use proptest::prelude::*;

use super::*;
use crate::notes::Fault;
use crate::source::Span;

type Components = BTreeMap<ComponentName, Vec<SectionName>>;

fn components(of: &[(&str, &[&str])]) -> Components {
    of.iter()
        .map(|(name, sections)| {
            (name.parse().unwrap(), sections.iter().map(|it| it.parse().unwrap()).collect())
        })
        .collect()
}

/// The value for a profile with `redis: local`, `worker: [default, gpu]` and `api: []`, or `column..column  message (fix)`.
fn told(text: &str) -> String {
    let source = SourceText::open("profile.json", text);
    let profile = components(&[("redis", &["local"]), ("worker", &["default", "gpu"]), ("api", &[])]);
    match Condition::parse(&source).and_then(|it| it.evaluate(&profile)) {
        Ok(value) => value.to_string(),
        Err(faults) => faults
            .into_iter()
            .map(|Located { fault, place }| {
                let Span { start, end } = place.unwrap().span;
                format!("{}..{}  {fault} ({})", start + 1, end + 1, fault.fix())
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

macro_rules! check {
    ($input:expr, @$expected:literal) => { insta::assert_snapshot!(told($input), @$expected) };
}

#[test]
fn a_component_is_compared_with_the_sections_that_the_profile_selects() {
    for (text, value) in [
        ("components.redis == 'local'", true),
        ("components.redis === \"local\"", true),
        ("components.redis=='production'", false),
        ("components.redis != 'local'", false),
        ("components.redis !== 'production'", true),
        ("components.worker == 'gpu'", false),
        ("components.worker includes 'gpu'", true),
        ("components.redis includes 'local'", true),
        ("components.api includes 'local'", false),
        ("components.api != 'local'", true),
        ("true", true),
        (" false ", false),
    ] {
        assert_eq!(told(text), value.to_string(), "{text}");
    }
}

#[test]
fn not_binds_tighter_than_and_and_and_than_or() {
    for (text, value) in [
        ("true || true && false", true),
        ("(true || true) && false", false),
        ("!false && false", false),
        ("!(false && false)", true),
        ("!!true", true),
        ("!components.redis == 'local'", false),
        ("false || false || true", true),
    ] {
        assert_eq!(told(text), value.to_string(), "{text}");
    }
}

#[test]
fn every_fault_is_told_with_its_place_and_a_fix() {
    check!("", @"1..1  a comparison such as `components.redis == 'local'` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)");
    check!("components.redis = 'local' & true", @r"
    18..19  `=` has no meaning in a condition (write `==`)
    28..29  `&` has no meaning in a condition (write `&&`)
    ");
    check!("components.redis == 'local", @"21..27  this text has no closing quote (close it with the quote that it began with)");
    check!("redis == 'local' || components.redis || 'local' == components.redis", @r"
    1..6  `components.NAME` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    38..40  `==`, `!=` or `includes` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    41..48  a comparison such as `components.redis == 'local'` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    ");
    check!("components.Redis == 'local' && components.redis == ''", @r"
    12..17  `Redis` is not the name of a component: 'R' cannot be in a name; use a-z, 0-9 and - (write the component's name, a space, and `==`, `!=` or `includes`)
    52..54  `''` is not the name of a section: the name is empty (write the section's name as the component's file has it)
    ");
    check!("components.worker.includes('gpu') && (true", @r"
    12..27  `worker.includes` is not the name of a component: '.' cannot be in a name; use a-z, 0-9 and - (write the component's name, a space, and `==`, `!=` or `includes`)
    43..43  `)` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    ");
    check!("true true) || process.exit(1); ()", @r"
    6..10  `&&`, `||` or the end is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    10..11  `&&`, `||` or the end is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    15..27  `components.NAME` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    30..31  `;` has no meaning in a condition (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    ");
    check!("components.redis == 'a' == 'b'", @"25..27  `&&`, `||` or the end is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)");
    check!("components.redis == local", @"21..26  a section's name in quotes is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)");
    check!("! && `x`", @r"
    3..5  a comparison such as `components.redis == 'local'` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    6..7  ``` has no meaning in a condition (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    7..8  `components.NAME` is expected here (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    8..9  ``` has no meaning in a condition (write `components.NAME == 'section'`, joined by `&&`, `||`, `!` and parentheses)
    ");
}

#[test]
fn an_unknown_component_is_told_whatever_the_other_side_says() {
    check!("true || components.reddis == 'local' || components.postgres == 'local'", @r"
    9..26  the profile has no component `reddis` (write `components.redis`)
    41..60  the profile has no component `postgres` (name one of its components (api, redis, worker), or add this one to the profile)
    ");
    let nothing =
        Condition::parse(&SourceText::open("p", "components.a == 'b'")).unwrap().evaluate(&Components::new());
    assert_eq!(nothing.unwrap_err()[0].fault.fix(), "add the component to the profile");
}

#[test]
fn nesting_has_a_limit_and_rows_have_none() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(told(&nested(64)), "true");
    check!(&nested(65), @"65..135  the condition is nested more than 64 deep (remove the parentheses that change nothing)");
    check!(&"!".repeat(100_000), @"65..100001  the condition is nested more than 64 deep (remove the parentheses that change nothing)");
    let row = vec!["true && false"; 100_000].join(" || ");
    assert_eq!(told(&row), "false");
}

#[test]
fn a_guarded_source_is_never_quoted() {
    let source = SourceText::guarded(
        "p",
        "components.CANARY == 'ca nary' && canary || components.canary == 'x' canary",
    );
    for Located { fault, .. } in Condition::parse(&source).unwrap_err() {
        assert!(!format!("{fault} {}", fault.fix()).to_lowercase().contains("nary"));
    }
}

#[test]
fn every_code_is_given_by_some_text() {
    let deep = "(".repeat(65);
    let given = ["#", "'", "", "components.A == 'b'", &deep, "components.a == 'b'"].map(|text| {
        let condition = Condition::parse(&SourceText::open("p", text));
        condition.and_then(|it| it.evaluate(&Components::new())).unwrap_err()[0].fault.code().id
    });
    assert_eq!(given.to_vec(), codes::ALL.iter().map(|it| it.id).collect::<Vec<_>>());
}

/// A condition to be printed, and to be evaluated naively.
#[derive(Clone, Debug)]
enum Tree {
    Constant(bool),
    Compare(usize, &'static str, usize),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

const NAMES: [&str; 3] = ["redis", "worker", "api-tokens"];
const SECTIONS: [&str; 3] = ["local", "gpu", "remote-dev"];

fn trees() -> impl Strategy<Value = Tree> {
    let operator = prop_oneof![Just("=="), Just("==="), Just("!="), Just("!=="), Just("includes")];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Tree::Constant),
        (0..3_usize, operator, 0..3_usize)
            .prop_map(|(name, operator, section)| Tree::Compare(name, operator, section)),
    ];
    leaf.prop_recursive(6, 40, 2, |inner| {
        let two = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.prop_map(|it| Tree::Not(Box::new(it))),
            two.clone().prop_map(|(a, b)| Tree::And(a, b)),
            two.prop_map(|(a, b)| Tree::Or(a, b)),
        ]
    })
}

/// With the fewest parentheses: `level` is 0 within `||`, 1 within `&&`, 2 under `!`.
fn print(tree: &Tree, level: usize) -> String {
    let (own, text) = match tree {
        Tree::Constant(value) => (3, value.to_string()),
        Tree::Compare(name, operator, section) => {
            (3, format!("components.{} {operator} '{}'", NAMES[*name], SECTIONS[*section]))
        }
        Tree::Not(inner) => (2, format!("!{}", print(inner, 2))),
        Tree::And(a, b) => (1, format!("{} && {}", print(a, 1), print(b, 1))),
        Tree::Or(a, b) => (0, format!("{}||{}", print(a, 0), print(b, 0))),
    };
    if own < level { format!("( {text})") } else { text }
}

fn value(tree: &Tree, selected: &[Vec<usize>]) -> bool {
    match tree {
        Tree::Constant(value) => *value,
        Tree::Compare(name, "includes", section) => selected[*name].contains(section),
        Tree::Compare(name, operator, section) => {
            (selected[*name] == [*section]) == operator.starts_with('=')
        }
        Tree::Not(inner) => !value(inner, selected),
        Tree::And(a, b) => value(a, selected) && value(b, selected),
        Tree::Or(a, b) => value(a, selected) || value(b, selected),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_condition_has_the_value_of_its_tree(
        tree in trees(),
        selected in proptest::collection::vec(proptest::collection::vec(0..3_usize, 0..3), 3),
    ) {
        let profile = NAMES.iter().zip(&selected).map(|(name, sections)| {
            (name.parse().unwrap(), sections.iter().map(|it| SECTIONS[*it].parse().unwrap()).collect())
        });
        let condition = Condition::parse(&SourceText::open("p", print(&tree, 0))).unwrap();
        prop_assert_eq!(condition.evaluate(&profile.collect()), Ok(value(&tree, &selected)));
    }

    #[test]
    fn any_text_is_answered_within_its_bounds(
        words in proptest::collection::vec(prop_oneof![
            Just("components.a"), Just("=="), Just("!"), Just("&&"), Just("||"), Just("("), Just(")"), Just("'x'"),
            Just("true"), Just("includes"), Just("\""), Just("="), Just("é"), Just(" "),
        ], 0..20),
        before in "\\PC{0,3}",
    ) {
        let text = words.concat();
        let source = SourceText::open("p", format!("{before}{text}'"));
        if let Err(faults) = Condition::parse_at(&source.at(before.len()..before.len() + text.len())) {
            prop_assert!(!faults.is_empty());
            for place in faults.into_iter().map(|it| it.place.unwrap()) {
                prop_assert!(before.len() <= place.span.start && place.span.end <= before.len() + text.len());
                prop_assert!(source.text().get(place.span).is_some());
            }
        }
    }
}
