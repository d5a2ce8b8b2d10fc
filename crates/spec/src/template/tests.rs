use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// Expands with `SET=value`, `EMPTY=` and nothing else; errors and faults one a line, after what they point at.
fn told(text: &str) -> String {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(faults) => {
            let lines = faults.into_iter().map(|(span, it)| format!("{}  {it}", &text[span]));
            return lines.collect::<Vec<_>>().join("\n");
        }
    };
    let mut lookup = |name: &EnvKey| {
        Ok::<_, &str>(match name.as_str() {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "BROKEN" => return Err("the lookup failed"),
            _ => None,
        })
    };
    match template.expand(&mut lookup) {
        Ok(text) => format!("<{text}>"),
        Err(errors) => errors
            .into_iter()
            .map(|error| match &error {
                ExpandError::Missing { span, .. } | ExpandError::Asked { span, .. } => {
                    format!("{}  {error}", &text[span.clone()])
                }
                ExpandError::Lookup(_) => format!("{error}"),
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

macro_rules! check {
    ($input:literal, @$expected:literal) => { insta::assert_snapshot!(told($input), @$expected) };
}

#[test]
fn a_reference_gives_the_value_the_default_or_the_message() {
    check!("redis://${SET}:6379", @"<redis://value:6379>");
    check!("a${EMPTY}b", @"<ab>");
    check!("${SET:-other}${EMPTY:-other}${ABSENT:-other}${ABSENT:-}", @"<valueotherother>");
    check!("${SET:?why}", @"<value>");
    check!("${ABSENT} ${EMPTY:?say it} ${ABSENT:?} ${BROKEN}", @r"
    ${ABSENT}  `ABSENT` is not set
    ${EMPTY:?say it}  `EMPTY` is empty or not set: say it
    ${ABSENT:?}  `ABSENT` is empty or not set
    the lookup failed
    ");
}

#[test]
fn defaults_nest_and_hold_braces_in_pairs() {
    check!("${ABSENT:-${EMPTY:-a${SET}b}c}", @"<avaluebc>");
    check!("${ABSENT:-{\"a\":{\"b\":\"${SET}\"}}}}", @r#"<{"a":{"b":"value"}}}>"#);
    check!("${ABSENT:-$${SET}}", @"<${SET}>");
    check!("${EMPTY:?needs {this} and ${SET}}", @"${EMPTY:?needs {this} and ${SET}}  `EMPTY` is empty or not set: needs {this} and ${SET}");
    check!("${SET:-${ABSENT}}", @"<value>");
}

#[test]
fn a_dollar_alone_stands_for_itself() {
    check!("$ $$ $A $(b) a$ 100$} { }", @"<$ $$ $A $(b) a$ 100$} { }>");
    check!("$${SET} $$${SET} $$$${SET}", @"<${SET} $${SET} $$${SET}>");
}

#[test]
fn every_fault_is_told_with_its_span() {
    check!("${A-b} ${} ${A B} ${1A} ${a.b} ${A:x} ${:-x} ${SET}", @r"
    -b}  after the variable's name comes neither `}` nor `:-` nor `:?`
    ${}  this reference does not name a variable
    ${A B}  this reference does not name a variable
    ${1A}  this reference does not name a variable
    ${a.b}  this reference does not name a variable
    :x}  after the variable's name comes neither `}` nor `:-` nor `:?`
    ${:-x}  this reference does not name a variable
    ");
    check!("x${A ${B}", @"${A ${B}  this `${` has no closing `}`");
    check!("${A:-${B:-c}", @"${A:-${B:-c}  this `${` has no closing `}`");
    check!("${A:-{}", @"${A:-{}  this `${` has no closing `}`");
    check!("${ABSENT:-${B-c} ${}}${", @r"
    -c}  after the variable's name comes neither `}` nor `:-` nor `:?`
    ${}  this reference does not name a variable
    ${  this `${` has no closing `}`
    ");
}

#[test]
fn sixteen_defaults_nest_and_seventeen_are_a_fault() {
    let nested = |depth: usize| format!("{}x{}", "${A:-".repeat(depth), "}".repeat(depth));
    assert_eq!(Template::parse(&nested(16)).unwrap().references().count(), 16);
    assert_eq!(Template::parse(&nested(17)).unwrap_err(), [(80..87, TemplateFault::TooDeep)]);
    let hostile = Template::parse(&"${A:-".repeat(100_000)).unwrap_err();
    assert_eq!(hostile.len(), 17);
}

#[test]
fn references_are_all_names_in_the_order_written() {
    let template = Template::parse("${A}x${B:-${C:-${D}}${A}}${E:?${F}}").unwrap();
    assert_eq!(template.references().map(EnvKey::as_str).collect::<String>(), "ABCDAE");
    assert!(!template.is_literal());
    assert!(Template::parse("$${A} $").unwrap().is_literal());
}

#[test]
fn every_code_is_given_by_some_text() {
    let deep = "${A:-".repeat(17) + &"}".repeat(17);
    let faults = ["${", "${}", "${A-}", &deep].map(|it| Template::parse(it).unwrap_err());
    let mut given: Vec<_> = faults.iter().map(|it| it.last().unwrap().1.code().id).collect();
    for text in ["${A}", "${A:?}"] {
        let errors =
            Template::parse(text).unwrap().expand(&mut |_| Ok::<_, TemplateFault>(None)).unwrap_err();
        given.push(errors[0].code().id);
    }
    assert_eq!(given, codes::ALL.iter().map(|it| it.id).collect::<Vec<_>>());
}

#[test]
fn no_fault_quotes_the_text() {
    for text in ["${canary", "${ca nary}", "${canary-canary}", "${1canary}"] {
        for (_, fault) in Template::parse(text).unwrap_err() {
            assert!(!format!("{fault} {}", fault.fix()).contains("canary"));
        }
    }
}

/// What stands in a template, to be printed and to be evaluated naively.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Plain(String),
    Default(String, Vec<Piece>),
}

fn print(pieces: &[Piece]) -> String {
    let one = |it: &Piece| match it {
        Piece::Text(text) => escape(text),
        Piece::Plain(name) => format!("${{{name}}}"),
        Piece::Default(name, default) => format!("${{{name}:-{}}}", print(default)),
    };
    pieces.iter().map(one).collect()
}

fn value(pieces: &[Piece], set: &BTreeMap<String, String>) -> Option<String> {
    let one = |it: &Piece| match it {
        Piece::Text(text) => Some(text.clone()),
        Piece::Plain(name) => set.get(name).cloned(),
        Piece::Default(name, default) => match set.get(name) {
            Some(value) if !value.is_empty() => Some(value.clone()),
            _ => value(default, set),
        },
    };
    pieces.iter().map(one).collect()
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    // Braces in pairs, and no `$` at the end: it would make an escape of the reference that follows.
    let text = "([^${}]|\\$\\{A\\}|\\{[a-z$]{0,3}\\}|\\$[a-z]){0,5}".prop_map(Piece::Text);
    let leaf = proptest::collection::vec(prop_oneof![text.clone(), "[A-D]".prop_map(Piece::Plain)], 0..4);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        let default = ("[A-D]", inner).prop_map(|(name, default)| Piece::Default(name, default));
        proptest::collection::vec(prop_oneof![text.clone(), default], 0..4)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_escaped_expands_to_itself(text in "([${}:?A-]|\\PC){0,30}") {
        let template = Template::parse(&escape(&text)).unwrap();
        prop_assert!(template.is_literal());
        let expanded = template.expand(&mut |_| Ok::<_, Infallible>(None)).unwrap();
        prop_assert_eq!(&expanded, &text);
        if !text.contains("${") {
            prop_assert_eq!(Template::parse(&text).unwrap(), template);
        }
    }

    #[test]
    fn a_template_expands_as_its_pieces_say(
        pieces in pieces(),
        set in proptest::collection::btree_map("[A-D]", "[a-z${}]{0,4}", 0..4),
    ) {
        let template = Template::parse(&print(&pieces)).unwrap();
        let expanded = template.expand(&mut |name| Ok::<_, Infallible>(set.get(name.as_str()).cloned()));
        prop_assert_eq!(expanded.ok(), value(&pieces, &set));
    }

    #[test]
    fn any_text_is_answered_within_its_bounds(text in "(\\$\\{|[A-C{}$:?-]|:-|\\PC){0,40}") {
        match Template::parse(&text) {
            Ok(template) => for segment in template.segments() {
                if let Segment::Reference { span, .. } = segment {
                    let it = &text[span.clone()];
                    prop_assert!(it.starts_with("${") && it.ends_with('}'), "{}", it);
                }
            },
            Err(faults) => for (span, _) in faults {
                prop_assert!(text.get(span).is_some());
            },
        }
    }
}
