//! What `spec::dotenv` writes, read by the programs that will read it.

mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use readers::{READERS, Tools};
use spec::dotenv::{Unencodable, encode, parse, write};
use spec::ids::EnvKey;
use spec::source::SourceText;

/// How many files are written and read; each takes every reader some 40 ms.
const BATCHES: usize = 10;
/// How many values each of them has.
const BATCH: usize = 200;

fn keys(count: usize) -> Vec<EnvKey> {
    (0..count).map(|it| format!("K{it}").parse().expect("a key")).collect()
}

/// Values like those that people have, and values in which the characters that some reader treats apart are common.
fn value() -> impl Strategy<Value = String> {
    let special =
        prop::sample::select(r#"#;='"$\ `!:{}()&~*"#.chars().chain(['\n', '\r', '\t']).collect::<Vec<_>>());
    let foreign =
        prop::sample::select(vec!['é', '漢', '😀', '\u{85}', '\u{a0}', '\u{2028}', '\u{feff}', 'ſ', '\u{1}']);
    let character = prop_oneof![
        6 => special,
        1 => foreign,
        4 => prop::char::range('!', '~'),
        1 => any::<char>(),
    ];
    let piece = prop::sample::select(vec![
        "it's",
        "{\"a\": \"b\"}",
        "$HOME",
        "${A:-b}",
        "$(id)",
        "$5",
        "$ſ",
        " # c",
        "C:\\dir\\",
        "\\\\",
        "\\n",
        "\\d",
        "\n",
        "export ",
        "K1=x",
        "postgres://u:p@h/d?x=1&y",
        "-----BEGIN KEY-----",
        "caf\u{e9}",
        "'",
        "\"",
        " ",
        "$",
    ]);
    prop_oneof![
        prop::collection::vec(character, 0..20).prop_map(String::from_iter),
        prop::collection::vec(piece, 1..5).prop_map(|it| it.concat()),
    ]
}

#[test]
fn every_reader_gives_back_the_bytes_that_were_written() {
    let Some(tools) = Tools::find() else { return };
    let mut runner = TestRunner::deterministic();
    let (mut forms, mut refused) = (BTreeMap::<&str, usize>::new(), BTreeMap::<String, usize>::new());
    for batch in 0..BATCHES {
        let mut values = Vec::new();
        while values.len() < BATCH {
            let value = value().new_tree(&mut runner).expect("a value").current();
            match encode(&value) {
                Ok(text) => *forms.entry(form(&text)).or_default() += 1,
                Err(fault) => {
                    *refused.entry(fault.to_string()).or_default() += 1;
                    continue;
                }
            }
            values.push(value);
        }
        let keys = keys(BATCH);
        let file =
            write(keys.iter().zip(values.iter().map(String::as_str))).expect("only what can be written");
        let ours = parse(&SourceText::guarded(".env", &*file)).expect("our own reader reads it");
        assert!(ours.iter().map(|it| &it.value).eq(&values), "our own reader, batch {batch}");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(".env"), file).expect("the folder can be written to");
        for (name, read) in READERS {
            let read = read(&tools, folder.path(), &keys)
                .unwrap_or_else(|it| panic!("{name} cannot read batch {batch}: {it}"));
            for (key, value) in keys.iter().zip(&values) {
                assert_eq!(&read[key.as_str()], value, "{name}, batch {batch}, {key}");
            }
        }
    }
    // The generator is worth its name only if it reaches every form and every refusal.
    println!("written: {forms:#?}\nrefused: {refused:#?}");
    assert_eq!(forms.keys().copied().collect::<Vec<_>>(), ["double", "plain", "single", "single, guarded"]);
    assert!(forms.values().all(|count| *count >= 20), "{forms:?}");
    assert_eq!(refused.len(), 7, "{refused:?}");
}

/// Which form a written value has.
fn form(text: &str) -> &'static str {
    match (text.chars().next(), text.chars().next_back()) {
        (Some('\''), Some('\'')) => "single",
        (Some('\''), _) => "single, guarded",
        (Some('"'), _) => "double",
        _ => "plain",
    }
}

#[test]
fn a_refused_value_has_no_form_that_all_readers_share() {
    let Some(tools) = Tools::find() else { return };
    let values = [
        r#"{"a": "it's"}"#,
        "it's `id`",
        "it's $A",
        "it's ${A}",
        r"it's \n",
        r"it's \\d",
        r"it's \",
        r"C:\dir\",
    ];
    let keys = keys(1);
    let mut clashes = BTreeSet::new();
    for value in values {
        let Err(Unencodable::NoCommonQuoting { clash }) = encode(value) else {
            panic!("{value} is not refused")
        };
        clashes.insert(clash.to_string());
        for text in [value.to_owned(), format!("'{value}'"), format!("\"{value}\""), format!("`{value}`")] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join(".env"), format!("K0={text}\n"))
                .expect("the folder can be written to");
            let agree = READERS
                .iter()
                .all(|(_, read)| read(&tools, folder.path(), &keys).is_ok_and(|read| read["K0"] == *value));
            assert!(!agree, "every reader takes {text} for {value}");
        }
    }
    assert_eq!(clashes.len(), 5, "{clashes:?}");
}
