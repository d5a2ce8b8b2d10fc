use std::collections::BTreeMap;
use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::ids::EnvKey;
use crate::notes::Fault;
use crate::source::SourceText;

fn key(text: &str) -> EnvKey {
    text.parse().unwrap()
}

/// What `write` puts after `KEY=`, or why it refuses.
fn encoded(value: &str) -> String {
    match encode(value) {
        Ok(text) => text.into_owned(),
        Err(fault) => format!("{} {fault}\n  {}", fault.code().id, fault.fix()),
    }
}

/// Entries as `line:column KEY value`, or faults as `line:column CODE message`, fix below.
fn read(text: &str) -> String {
    let mut told = String::new();
    match parse(&SourceText::guarded("local.env", text)) {
        Ok(entries) => {
            for it in entries {
                let (line, column) = it.value_place.line_column();
                writeln!(told, "{} {line}:{column} {} {:?}", it.place, it.key, it.value).unwrap();
            }
        }
        Err(faults) => {
            for it in faults {
                let (place, fault) = (it.place.unwrap(), it.fault);
                writeln!(told, "{place} {} {fault}\n  {}", fault.code().id, fault.fix()).unwrap();
            }
        }
    }
    told
}

#[test]
fn a_value_is_written_in_the_plainest_form_that_all_readers_share() {
    let values = [
        "",
        "redis://hub:6379/0",
        "a b",
        r#"{"a": "$HOME"}"#,
        "two\nlines",
        "it's",
        "it's 5$, \\d",
        r"\\hub\x",
        r"\\hub\\",
        "é",
    ];
    let told: Vec<String> = values.into_iter().map(encoded).collect();
    assert_snapshot!(told.join("\n"), @r#"

    redis://hub:6379/0
    'a b'
    '{"a": "$HOME"}'
    'two
    lines'
    "it's"
    "it's 5$, \d"
    '\\hub\x'
    '\\hub\\' # this isn't an escaped quote
    'é'
    "#);
}

#[test]
fn a_value_without_a_common_form_is_refused_with_the_reason_and_the_way_out() {
    let values = ["\0", "a\r\nb", r#"{"a": "it's"}"#, "it's `a`", "it's $A", r"it's \n", r"'\", r"C:\temp\"];
    let told: Vec<String> = values.into_iter().map(encoded).collect();
    assert_snapshot!(told.join("\n"), @r"
    DOTENV001 the value holds a NUL character, which no environment variable can
      remove it, or declare the value as a secret: secrets travel as files, byte for byte
    DOTENV002 the value holds a carriage return, which does not survive in an env file
      save the file it comes from with LF line ends, or declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value holds both an apostrophe and a double quote: no quoting of that means the same to Docker Compose, sh and Node
      if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value holds both an apostrophe and a backquote: no quoting of that means the same to Docker Compose, sh and Node
      if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value holds both an apostrophe and a `$` that begins an expansion: no quoting of that means the same to Docker Compose, sh and Node
      if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value holds both an apostrophe and a backslash that begins an escape: no quoting of that means the same to Docker Compose, sh and Node
      if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value holds both an apostrophe and a backslash that begins an escape: no quoting of that means the same to Docker Compose, sh and Node
      if the value itself is JSON, write its apostrophes as `\u0027`; if not, declare the value as a secret: secrets travel as files, byte for byte
    DOTENV003 the value ends in an odd number of backslashes: no quoting of that means the same to Docker Compose, sh and Node
      end the value in something else, or declare the value as a secret: secrets travel as files, byte for byte
    ");
}

#[test]
fn every_value_that_cannot_be_written_is_reported_with_its_key() {
    let (a, b, c) = (key("A"), key("B"), key("C"));
    let refused = write([(&a, "\0"), (&b, "fine"), (&c, "\r")]).unwrap_err();
    assert_eq!(refused, [(a, Unencodable::Nul), (c, Unencodable::CarriageReturn)]);
}

#[test]
fn a_file_written_by_hand_is_read_with_its_places() {
    let file = "\u{feff}# comment\r
export A = plain # not a comment; x=$y\r
\tB='single $x \\n
second'   # a comment\n
C=\"dou\\\"ble\\n\\t\\\\\\$\\d$x\"
export=1
D=\nE=it's\nF=''";
    assert_snapshot!(read(file), @r#"
    local.env:2:8 2:12 A "plain # not a comment; x=$y"
    local.env:3:2 3:5 B "single $x \\n\nsecond"
    local.env:6:1 6:4 C "dou\"ble\n\t\\$\\d$x"
    local.env:7:1 7:8 export "1"
    local.env:8:1 8:3 D ""
    local.env:9:1 9:3 E "it's"
    local.env:10:1 10:4 F ""
    "#);
}

#[test]
fn all_faults_are_reported_at_once_and_never_quote_the_file() {
    let file = "canary\n1canary=x\nA=1\n=canary\nB='it's canary'\nA='canary'x\nC='canary'#canary\nD=\"canary\\\"\nE=fine\n";
    assert_snapshot!(read(file), @"
    local.env:1:1 DOTENV004 this line is neither `KEY=value` nor a comment
      write `KEY=value`, begin the line with `#`, or put a value of several lines in single quotes
    local.env:2:1 DOTENV005 what stands before `=` is not the name of a variable
      use letters, digits and _, no digit first, and 63 characters at most
    local.env:4:1 DOTENV005 what stands before `=` is not the name of a variable
      use letters, digits and _, no digit first, and 63 characters at most
    local.env:5:7 DOTENV007 there is text after the closing quote
      put the whole value in one pair of quotes, or a space before the `#` of a comment
    local.env:6:1 DOTENV008 `A` was already set in line 3
      keep one `A` and remove the other
    local.env:6:11 DOTENV007 there is text after the closing quote
      put the whole value in one pair of quotes, or a space before the `#` of a comment
    local.env:7:11 DOTENV007 there is text after the closing quote
      put the whole value in one pair of quotes, or a space before the `#` of a comment
    local.env:8:3 DOTENV006 the quote that opens here is never closed
      close the quote, or put the whole value in quotes of the other kind
    ");
    assert!(!read(file).contains("canary"));
    let entries = parse(&SourceText::guarded("local.env", "A=canary"));
    assert!(!format!("{entries:?}").contains("canary"));
}

#[test]
fn a_faulty_value_is_told_once_and_its_variable_is_not_missed_as_well() {
    let source = SourceText::guarded(".env", "A=1\nB=\"canary\nno line\nC='c' d\nD=2");
    let (entries, faults) = super::read(&source);
    let understood: Vec<_> = entries.iter().map(|it| (it.key.as_str(), it.value.as_str())).collect();
    assert_eq!(understood, [("A", "1"), ("B", "\"canary"), ("C", "'c' d"), ("D", "2")]);
    assert_eq!(faults.len(), 3);
    assert!(!format!("{entries:?} {faults:?}").contains("canary"));
}

#[test]
fn a_bad_key_does_not_turn_its_quoted_value_into_lines() {
    assert_snapshot!(read("a.b='one\ntwo\nthree'\nC=1\nnothing"), @"
    local.env:1:1 DOTENV005 what stands before `=` is not the name of a variable
      use letters, digits and _, no digit first, and 63 characters at most
    local.env:5:1 DOTENV004 this line is neither `KEY=value` nor a comment
      write `KEY=value`, begin the line with `#`, or put a value of several lines in single quotes
    ");
}

/// Values in which the characters that some reader treats apart are common.
fn value() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        6 => prop::sample::select(r#"#;='"$\ `!"#.chars().chain(['\n', '\r', '\t']).collect::<Vec<_>>()),
        4 => prop::char::range('!', '~'),
        2 => any::<char>(),
    ];
    prop::collection::vec(character, 0..16).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_read_back_and_a_refusal_has_its_reason(values in prop::collection::vec(value(), 1..8)) {
        let keys: Vec<EnvKey> = (0..values.len()).map(|it| key(&format!("K{it}"))).collect();
        let entries = || keys.iter().zip(values.iter().map(String::as_str));
        match write(entries()) {
            Ok(file) => {
                let read = parse(&SourceText::guarded(".env", file)).unwrap();
                let read: Vec<_> = read.iter().map(|it| (&it.key, it.value.as_str())).collect();
                prop_assert_eq!(read, entries().collect::<Vec<_>>());
            }
            Err(refused) => {
                let values: BTreeMap<_, _> = entries().collect();
                for (key, fault) in refused {
                    let value = values[&key];
                    prop_assert!(value.contains(['\0', '\r', '\'']) || value.ends_with('\\'), "{}: {}", key, fault);
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(A|export|=|'|\"|\\\\|#|\n|\r|é|\u{feff}| |x){0,30}") {
        let _ = parse(&SourceText::guarded(".env", text));
    }
}
