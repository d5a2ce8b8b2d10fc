use proptest::prelude::*;
use serde_json::{Value as Json, json};
use spec::notes::Fault as _;

use super::*;

/// A document as JSON.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(it) => json!(it),
        Value::Number(it) => serde_json::from_str(it).unwrap_or_else(|_| json!(it)),
        Value::Text(it) => json!(it),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(members) => members.iter().map(|it| (it.key.clone(), plain(&it.value))).collect(),
    }
}

fn check(text: &str, expected: &str) {
    let source = SourceText::guarded("a.yml", text);
    let shown = match read(&source) {
        Ok(node) => plain(&node).to_string(),
        Err(faults) => {
            let told = faults.iter().map(|it| {
                let place = it.place.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{place} {}", it.fault.code().id)
            });
            told.collect::<Vec<_>>().join(", ")
        }
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn scalars_are_those_of_the_core_schema() {
    check(
        "[a, 'true', true, no, 7, 1.5, ~, '', 8188:8188, 0x1f, nan]",
        r#"["a","true",true,"no",7,1.5,null,"","8188:8188","0x1f","nan"]"#,
    );
    check("", "null");
}

#[test]
fn aliases_are_written_out_and_merged_keys_give_way_to_own_ones() {
    check("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", r#"{"a":{"x":1,"y":2},"b":{"x":1,"y":3}}"#);
    check(
        "a: &a {x: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b]}",
        r#"{"a":{"x":1},"b":{"x":2,"z":2},"c":{"x":1,"z":2}}"#,
    );
    check("- &a [1]\n- *a\n- &a 2\n- *a", "[[1],[1],2,2]");
}

#[test]
fn what_is_wrong_is_told_at_once() {
    check(
        "a: 1\na: 2\nb: *none\n? [k]\n: 1\nc: {<<: 7}",
        "a.yml:2:1 IMP004, a.yml:3:4 IMP002, a.yml:4:3 IMP002, a.yml:6:9 IMP002",
    );
    check("a: &a [*a]", "a.yml:1:8 IMP003");
    check("a: 1\n---\nb: 1", "a.yml:2:1 IMP002");
    check("a:\n\tb: 2", "a.yml:2:2 IMP002");
    check("a: [1", "a.yml:1:4 IMP002");
}

#[test]
fn what_has_no_measure_is_refused() {
    let deep = format!("{}1{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    assert!(read(&SourceText::guarded("a", deep)).is_err());
    // Each is shallow, and all of them together are deep.
    let mut stairs = format!("- &a0 {}1{}\n", "[".repeat(20), "]".repeat(20));
    for it in 1..5 {
        stairs.extend([
            "- &a",
            &it.to_string(),
            " ",
            &"[".repeat(20),
            "*a",
            &(it - 1).to_string(),
            &"]".repeat(20),
            "\n",
        ]);
    }
    let faults = read(&SourceText::guarded("a", stairs)).err().unwrap();
    assert_eq!(faults[0].fault, ImportFault::Endless { what: format!("{MAX_DEPTH} levels") });
    let wide = format!("[{}]", "1,".repeat(MAX_VALUES + 1));
    let faults = read(&SourceText::guarded("a", wide)).err().unwrap();
    assert_eq!(faults[0].fault, ImportFault::Endless { what: format!("{MAX_VALUES} values") });
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[ -~é\n]{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-zA-Z_][ -~]{0,6}", inner, 0..4)
                .prop_map(|it| Json::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    /// JSON is YAML, so both readers say the same of it, and so does another reader of YAML.
    #[test]
    fn a_document_is_what_others_read(document in value()) {
        let text = serde_json::to_string_pretty(&document).unwrap();
        let source = SourceText::guarded("a", text.as_str());
        prop_assert_eq!(plain(&read(&source).map_err(|it| TestCaseError::fail(format!("{it:?}")))?), document.clone());
        let by_json = crate::json::read(&source).map_err(|it| TestCaseError::fail(format!("{it:?}")))?;
        prop_assert_eq!(plain(&by_json), document.clone());
        let other: Json = serde_saphyr::from_str(&text).unwrap();
        prop_assert_eq!(other, document);
    }

    /// Nothing that people paste makes it panic, and a place is within the text.
    #[test]
    fn any_text_is_a_document_or_a_fault(text in "([ -~é\n\t]|[-:*&<{}\\[\\],?'\"#|>%@!]){0,60}") {
        let source = SourceText::guarded("a", text.as_str());
        for fault in read(&source).err().into_iter().flatten() {
            let place = fault.place.unwrap();
            prop_assert!(place.span.end <= text.len() && text.is_char_boundary(place.span.start));
        }
    }
}
