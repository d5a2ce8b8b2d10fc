use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::Value;

use super::super::tests::values;
use super::*;

/// What each document is or what is wrong with it, one a line, with its place.
fn told(text: &str) -> String {
    let source = SourceText::open("a", text);
    let lines = documents(&source).map(|it| match it {
        Ok(index) => index.value("").map(|it| format!("{it} {}", it.text())).unwrap_or_default(),
        Err(faults) => {
            let told = faults.iter().map(|it| format!("{} {}", it.place.as_ref().unwrap(), it.fault));
            told.collect::<Vec<_>>().join(", ")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn documents_stand_behind_each_other_or_in_one_array() {
    assert_snapshot!(told(" \r\n\t"), @"");
    assert_snapshot!(told("[ ]\n"), @"");
    assert_snapshot!(told("{\"a\": 1}\r\n\r\n2 \"x\"[3]{}"), @r#"
    a:1:1 {"a": 1}
    a:3:1 2
    a:3:3 "x"
    a:3:6 [3]
    a:3:9 {}
    "#);
    assert_snapshot!(told("\n[{\"a\": \"]\\\"]\"},\n [2] ]\n"), @r#"
    a:2:2 {"a": "]\"]"}
    a:3:2 [2]
    "#);
    assert_snapshot!(told("[1, 2]\n[3]"), @r"
    a:1:1 [1, 2]
    a:2:1 [3]
    ");
}

#[test]
fn a_broken_document_does_not_hide_the_lines_behind_it() {
    assert_snapshot!(told("{\"a\": 1,}\n{\"a\": 1, \"a\": 2}\nnonsense\n{\n \"a\": [\n}\n{\"b\": 1\n{}"), @r"
    a:1:9 a comma stands before `}`
    a:2:10 the key `a` is given again; the first is in line 2
    a:3:1 this is not a value
    a:6:1 a value is missing
    a:8:1 `,` or `}` is expected here
    a:8:1 {}
    ");
    assert_snapshot!(told("{\"a\": 1},\n{\"b\": 2}"), @r#"
    a:1:1 {"a": 1}
    a:1:9 a comma stands between two documents
    a:2:1 {"b": 2}
    "#);
    assert_snapshot!(told("1 nulltrue"), @r"
    a:1:1 1
    a:1:7 a space is missing before this
    ");
}

#[test]
fn nothing_is_read_behind_what_breaks_an_array() {
    assert_snapshot!(told("[{\"a\": 1, \"a\": 2},\n {},\n {\"b\"},\n {}]"), @r#"
    a:1:11 the key `a` is given again; the first is in line 1
    a:2:2 {}
    a:3:6 `:` is expected here
    "#);
    assert_snapshot!(told("[{},]"), @r"
    a:1:2 {}
    a:1:5 a comma stands before `]`
    ");
    assert_snapshot!(told("[1 2]"), @r"
    a:1:2 1
    a:1:4 `,` or `]` is expected here
    ");
    assert_snapshot!(told("[\"]"), @"a:1:2 this text has no closing quote");
    let deep = format!("[{}]", "[".repeat(200) + &"]".repeat(200));
    assert_snapshot!(told(&deep), @"a:1:128 arrays and objects are nested more than 127 deep");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The oracle: what was written.
    #[test]
    fn every_document_is_found_where_it_stands(values in proptest::collection::vec(values(), 1..5), pretty in any::<bool>()) {
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let texts: Vec<String> = values.iter().map(|it| write(it).unwrap()).collect();
        let array = format!("[{}]", texts.join(","));
        let mut forms = vec![array];
        if texts.len() > 1 || !texts[0].starts_with('[') {
            forms.push(texts.join("\n"));
        }
        for text in forms {
            let source = SourceText::open("a", text.as_str());
            let read = documents(&source).map(|it| {
                let place = it.unwrap().value("").unwrap();
                serde_json::from_str::<Value>(place.text()).unwrap()
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), values.clone());
        }
    }

    #[test]
    fn nothing_makes_it_stumble_or_stand_still(text in "[\\[\\]{}\",:a1\\\\\né ]{0,40}") {
        let source = SourceText::open("a", text.as_str());
        let read: Result<Vec<_>, _> = documents(&source).collect();
        let count = documents(&source).count();
        prop_assert!(count <= text.len());
        if let Ok(documents) = read {
            let bare = text.trim();
            let inner = bare.strip_prefix('[').filter(|_| is_one_array(&text)).map_or(bare, |it| &it[..it.len() - 1]);
            let length: usize = documents.iter().map(|it| it.value("").unwrap().span.len()).sum();
            prop_assert!(length <= inner.len());
        }
    }
}
