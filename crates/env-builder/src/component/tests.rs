use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;
use spec::notes::Fault;

use super::*;

fn read(text: &str) -> Result<Component, Vec<Located<ComponentFault>>> {
    parse("redis".parse().unwrap(), &SourceText::open("redis.env", text))
}

fn tell(located: &Located<ComponentFault>) -> String {
    let place = located.place.as_ref().unwrap();
    let (code, fault) = (located.fault.code().id, &located.fault);
    format!("{place} {code} {fault} [{}]\n", place.source.text()[place.span.clone()].escape_debug())
}

fn render(read: Result<Component, Vec<Located<ComponentFault>>>) -> String {
    match read {
        Ok(component) => {
            let mut told = format!("{} as {}\n", component.name, component.namespace);
            for (section, variables) in &component.sections {
                told.extend(["[", section.as_str(), "]\n"]);
                for it in variables {
                    let value = match it.value.segments() {
                        [spec::template::Segment::Literal(text)] => format!("{text:?}"),
                        segments => format!("{segments:?}"),
                    };
                    writeln!(told, "{} {} = {value}", it.place, it.key).unwrap();
                }
            }
            told + &component.advice.iter().map(tell).collect::<String>()
        }
        Err(faults) => faults.iter().map(tell).collect(),
    }
}

macro_rules! check {
    ($input:expr, @$expected:literal) => { assert_snapshot!(render(read($input)), @$expected) };
}

#[test]
fn an_unquoted_value_goes_to_the_end_of_its_line_as_it_stands() {
    check!("# about\nNAMESPACE = REDIS\n\n; more\n[local]\nURL=redis://h:1/0?a=b#c;d\n PW = p$a$$'\"# =\t\r\n[remote]\nEMPTY=\n", @r##"
    redis as REDIS
    [local]
    redis.env:6:1 REDIS_URL = "redis://h:1/0?a=b#c;d"
    redis.env:7:2 REDIS_PW = "p$a$$'\"# ="
    [remote]
    redis.env:9:1 REDIS_EMPTY = []
    "##);
}

#[test]
fn single_quotes_are_literal_and_double_quotes_have_escapes() {
    check!("NAMESPACE=A\n[s]\nA='  ${B} \\n # \"x\" $${ '\nB=\"a\\n\\t\\\"\\\\ \\${C} \\$ #\"\nC=\"\"\n", @r##"
    redis as A
    [s]
    redis.env:3:1 A_A = "  ${B} \\n # \"x\" $${ "
    redis.env:4:1 A_B = "a\n\t\"\\ ${C} $ #"
    redis.env:5:1 A_C = []
    "##);
}

#[test]
fn a_reference_is_found_in_unquoted_and_double_quoted_values() {
    check!("NAMESPACE=A\n[s]\nA=x${B:-}\nB=\"${C}\"", @r#"
    redis as A
    [s]
    redis.env:3:1 A_A = [Literal("x"), Reference { name: "B", otherwise: Default(Template { segments: [] }), span: 1..7 }]
    redis.env:4:1 A_B = [Reference { name: "C", otherwise: Required, span: 0..4 }]
    "#);
}

#[test]
fn what_looks_like_a_comment_is_a_part_of_the_value_and_advice() {
    check!("NAMESPACE=A\n[s]\nA=info # or debug\nB=a#b\nC='a # b'", @r#"
    redis as A
    [s]
    redis.env:3:1 A_A = "info # or debug"
    redis.env:4:1 A_B = "a#b"
    redis.env:5:1 A_C = "a # b"
    redis.env:3:8 ENV008 this looks like a comment, and is a part of the value [# or debug]
    "#);
}

#[test]
fn all_faults_of_a_file_are_told_at_once_and_none_hides_the_next() {
    check!(
        "KEY=x\nNAMESPACE=A\n[a.b]\nunder=faulty\n[s]\nstray line\nlower=x\n=x\nA='open\nB='it's'\nC=\"C:\\data\"\nD=${\nE=\"\\n${1}\"\nK=1\nK=2\n[s]\nK=3\n[t] # x\nexport X=1\n[u]\nK=1",
        @r"
    redis.env:1:1 ENV002 only `NAMESPACE` may stand before the first section [KEY]
    redis.env:3:1 ENV005 this is not a section [[a.b]]
    redis.env:4:1 ENV004 what stands before `=` is not a key [under]
    redis.env:6:1 ENV003 this line is neither a comment, a `[section]` nor `KEY=value` [stray line]
    redis.env:7:1 ENV004 what stands before `=` is not a key [lower]
    redis.env:8:1 ENV004 what stands before `=` is not a key [=x]
    redis.env:9:3 ENV007 the quote that opens here is not closed on this line [\'open]
    redis.env:10:7 ENV007 there is text after the closing quote [s\']
    redis.env:11:6 ENV007 this is not an escape [\\d]
    redis.env:12:3 TPL001 this `${` has no closing `}` [${]
    redis.env:13:4 TPL002 this reference does not name a variable [\\n${1}]
    redis.env:15:1 ENV006 the key `K` is given again; the first is in line 14 [K]
    redis.env:16:1 ENV006 the section `s` is given again; the first is in line 5 [[s]]
    redis.env:18:1 ENV005 this is not a section [[t] # x]
    redis.env:19:1 ENV004 what stands before `=` is not a key [export X]
    "
    );
}

#[test]
fn a_namespace_is_there_once_and_is_a_name() {
    check!("", @"redis.env:1:1 ENV001 the component has no namespace []");
    check!("[s]\nNAMESPACE=A\n", @"redis.env:1:1 ENV001 the component has no namespace []");
    check!("NAMESPACE=A\nNAMESPACE=B\n", @"redis.env:2:1 ENV006 the key `NAMESPACE` is given again; the first is in line 1 [NAMESPACE]");
    check!("NAMESPACE=\n[s]\nA=1", @"redis.env:1:1 ENV004 what stands before `=` is not a key [NAMESPACE]");
    check!("NAMESPACE=redis\n", @"redis.env:1:11 ENV004 what stands before `=` is not a key [redis]");
}

#[test]
fn a_published_name_fits_into_a_variable() {
    let text = format!("NAMESPACE=REDIS\n[s]\n{}=1", "K".repeat(58));
    assert_eq!(read(&text).unwrap_err()[0].fault, ComponentFault::LongKey);
    assert!(read(&text.replacen('K', "", 1)).is_ok());
}

#[test]
fn a_dollar_directly_before_a_reference_cannot_be_said() {
    check!("NAMESPACE=A\n[s]\nA=\"\\$${B}\"", @r"redis.env:3:4 ENV007 this is not an escape [\\$]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_value_can_be_written_in_double_quotes(value in "([a-z#;='\"$\\\\{}\t\r\n ]|\\PC){0,24}") {
        let mut quoted = String::new();
        for it in value.chars() {
            match it {
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                '"' | '\\' | '$' => quoted.extend(['\\', it]),
                _ => quoted.push(it),
            }
        }
        // `\$${` is the one thing that cannot be said, and nothing here says it: every `$` has its own backslash.
        let component = read(&format!("NAMESPACE=A\n[s]\nK=\"{quoted}\"\r\n")).unwrap();
        let mut nothing = |_: &EnvKey| Ok::<_, std::convert::Infallible>(None);
        let variable = &component.sections["s"][0];
        prop_assert_eq!(variable.value.expand(&mut nothing).unwrap(), value);
        prop_assert_eq!(variable.value_place.text(), quoted);
    }

    #[test]
    fn no_text_makes_the_parser_panic_or_point_outside(text in "(\\[|\\]|=|'|\"|\\$|\\{|\\}|\\\\|#|\n|\r|NAMESPACE=A\n|[A-Za]|\\PC){0,60}") {
        match read(&text) {
            Ok(component) => prop_assert!(component.advice.iter().all(|it| it.place.is_some())),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for it in faults {
                    let place = it.place.unwrap();
                    prop_assert!(place.source.text().get(place.span.clone()).is_some());
                }
            }
        }
    }
}
