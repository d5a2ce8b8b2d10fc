use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn of(text: &str) -> Result<JsonIndex, Vec<Located<JsonFault>>> {
    index(&SourceText::open("a.json", text))
}

/// `line:column  message (fix)`, one a line.
fn told(text: &str) -> String {
    let faults = of(text).unwrap_err().into_iter();
    let line = |Located { fault, place }: Located<JsonFault>| {
        let (line, column) = place.unwrap().line_column();
        format!("{line}:{column}  {fault} ({})", fault.fix())
    };
    faults.map(line).collect::<Vec<_>>().join("\n")
}

macro_rules! check {
    ($input:expr, @$expected:literal) => { insta::assert_snapshot!(told($input), @$expected) };
}

#[test]
fn a_pointer_finds_its_value_its_key_and_its_string() {
    let text = r#"{ "a/b": { "m~n": [10, "x y", "\n"] }, "": null }"#;
    let index = of(text).unwrap();
    let at = |place: Option<Place>| place.map(|it| text[it.span].to_owned());
    assert_eq!(at(index.value("")).as_deref(), Some(text));
    assert_eq!(at(index.value("/a~1b/m~0n/0")).as_deref(), Some("10"));
    assert_eq!(at(index.key("/a~1b/m~0n")).as_deref(), Some("\"m~n\""));
    assert_eq!(at(index.value("/")).as_deref(), Some("null"));
    assert_eq!(at(index.string_place("/a~1b/m~0n/1")).as_deref(), Some("x y"));
    let nothing = [
        index.value("/a~1b/m~0n/3"),
        index.value("/a~1b/m~0n/01"),
        index.value("/a~1b/m~0n/+1"),
        index.value("/a~1b/m~0n/-"),
        index.value("/x"),
        index.value("a"),
        index.key(""),
        index.key("/a~1b/m~0n/0"),
        index.string_place("/a~1b/m~0n/2"),
        index.string_place("/a~1b/m~0n/0"),
    ];
    assert_eq!(nothing.map(at), [const { None }; 10]);
}

#[test]
fn every_key_given_again_is_told_however_it_is_written() {
    check!("{\n  \"a\": 1,\n  \"b\": {\"c\": 1, \"c\": 2},\n  \"\\u0061\": 3, \"a\": 4\n}", @r"
    3:17  the key `c` is given again; the first is in line 3 (keep one of them)
    4:3  the key `a` is given again; the first is in line 2 (keep one of them)
    4:16  the key `a` is given again; the first is in line 2 (keep one of them)
    ");
    check!("{\"a\": 1, \"a\": 2, }", @r"
    1:10  the key `a` is given again; the first is in line 1 (keep one of them)
    1:18  a comma stands before `}` (remove the comma)
    ");
}

#[test]
fn a_fault_of_syntax_is_told_where_it_is() {
    check!("", @"1:1  the document ends where a value should be (write the rest of the document)");
    check!("{\n  \"a\": 1,\n}", @"3:1  a comma stands before `}` (remove the comma)");
    check!("[1, 2,]", @"1:7  a comma stands before `]` (remove the comma)");
    check!("[,]", @"1:2  this is not a value (write a text in double quotes, a number, `true`, `false` or `null`)");
    check!("{'a': 1}", @"1:2  a key is expected here (write a key in double quotes)");
    check!("{\"a\" 1}", @"1:6  `:` is expected here (put a `:` between key and value)");
    check!("{\"a\": 1 \"b\": 2}", @"1:9  `,` or `}` is expected here (separate members with a `,`, and close the object with a `}`)");
    check!("[1 2]", @"1:4  `,` or `]` is expected here (separate items with a `,`, and close the array with a `]`)");
    check!("{\"a\": // one", @"1:7  JSON has no comments (remove the comment)");
    check!("{\"a\": }", @"1:7  a value is missing (write the value)");
    check!("[01]", @"1:2  this is not a number (write it like `-1.5e3`: no zero before other digits, digits on both sides of the point)");
    check!("[1.]", @"1:2  this is not a number (write it like `-1.5e3`: no zero before other digits, digits on both sides of the point)");
    check!("\"a\tb\"", @r"1:3  a text cannot hold this character as it is (write it as an escape: `\n`, `\t`, `\u0000`)");
    check!("\"a\\é\"", @r#"1:3  this is not an escape (write `\\` for a backslash, or one of `\" \/ \b \f \n \r \t \uXXXX`)"#);
    check!("\"\\ud800\"", @r#"1:2  this is not an escape (write `\\` for a backslash, or one of `\" \/ \b \f \n \r \t \uXXXX`)"#);
    check!("[\"abc", @r#"1:2  this text has no closing quote (close it with a `"`)"#);
    check!("{} é", @"1:4  the document goes on after its end (remove what follows, or what closed it early)");
    check!("\u{feff}{}", @"1:1  a byte order mark stands here (save the file as UTF-8 without one)");
    check!("[tru]", @"1:2  this is not a value (write a text in double quotes, a number, `true`, `false` or `null`)");
}

#[test]
fn nesting_is_as_deep_as_serde_json_reads() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(of(&nested(MAX_DEPTH)).is_ok() && serde_json::from_str::<Value>(&nested(MAX_DEPTH)).is_ok());
    assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH + 1)).is_err());
    check!(&nested(100_000), @"1:128  arrays and objects are nested more than 127 deep (flatten the document)");
}

#[test]
fn a_guarded_source_is_never_quoted() {
    let faults = index(&SourceText::guarded("a.json", r#"{"canary": 1, "canary": "canary"#)).unwrap_err();
    assert!(faults.iter().all(|it| !it.fault.to_string().contains("canary")));
}

#[test]
fn every_code_is_given_by_some_text() {
    let given = ["", "{\"a\":1,\"a\":1}", &"[".repeat(200)].map(|it| of(it).unwrap_err()[0].fault.code().id);
    assert_eq!(given.to_vec(), codes::ALL.iter().map(|it| it.id).collect::<Vec<_>>());
}

#[test]
fn numbers_that_64_bits_do_not_hold_are_found() {
    let text = r#"{
        "held": [18446744073709551615, -9223372036854775808, 0, -0, 0.0e99, 1.10, 3.14159265358979323846, 5e-324, "1e400"],
        "a/b": [18446744073709551616, -9223372036854775809, {"x": 1e400}, -1E-400, 12345678901234567890123, true]
    }"#;
    assert_eq!(of(text).unwrap().unheld(), ["/a~1b/0", "/a~1b/1", "/a~1b/2/x", "/a~1b/3", "/a~1b/4"]);
    assert_eq!(of("1e999").unwrap().unheld(), [""]);
}

pub(super) fn values() -> impl Strategy<Value = Value> {
    let text = "([~/\"\\\\]|[a-z0-9]|\\PC|\u{0}|\n){0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Halves: they survive printing whatever the reader's precision.
        any::<i32>().prop_map(|it| Value::from(f64::from(it) / 2.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(text, inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

/// Every pointer into a value, with what it points at.
fn pointers<'a>(value: &'a Value, pointer: &str, all: &mut Vec<(String, &'a Value)>) {
    all.push((pointer.to_owned(), value));
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{pointer}/{index}"), all);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                pointers(member, &format!("{pointer}/{}", token(key)), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_pointer_leads_to_its_value(value in values(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let index = of(&text).unwrap();
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        for (pointer, value) in all {
            let place = index.value(&pointer).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(place.text()).unwrap(), value);
            if let Some(key) = index.key(&pointer) {
                let key: String = serde_json::from_str(key.text()).unwrap();
                let last = pointer.rsplit('/').next().unwrap();
                prop_assert_eq!(key, last.replace("~1", "/").replace("~0", "~"));
            }
            if let Some(content) = index.string_place(&pointer) {
                prop_assert_eq!(Some(content.text()), value.as_str());
            }
        }
    }

    /// The oracle: `serde_json` accepts what the index accepts, and the index refuses only duplicates more.
    #[test]
    fn what_is_json_is_what_serde_json_says(
        pieces in proptest::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\""), Just("\"a\""), Just("\"b\":"),
            Just("1"), Just("0"), Just("-"), Just("."), Just("e"), Just("+"), Just("true"), Just("null"), Just(" "),
            Just("\\"), Just("\\n"), Just("\\ud83d"), Just("\\ude00"), Just("u00e9"), Just("é"), Just("\n"),
        ], 0..12),
    ) {
        let text = pieces.concat();
        match (of(&text), serde_json::from_str::<Value>(&text)) {
            (Ok(_), read) => prop_assert!(read.is_ok(), "{text:?} is none: {read:?}"),
            (Err(faults), read) => {
                for it in &faults {
                    prop_assert!(text.get(it.place.clone().unwrap().span).is_some());
                }
                let syntax = faults.iter().any(|it| !matches!(it.fault, JsonFault::DuplicateKey { .. }));
                prop_assert_eq!(syntax, read.is_err(), "{:?}", text);
            }
        }
    }
}
