//! Documents of others: what would silently become something else is refused, and every reason has its place.

use broker::{Job, Requirements};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

/// `line:column  reason`, one a line.
fn told(text: &str) -> String {
    let refusals = Job::read(text).map(drop).unwrap_err().into_iter();
    let line = |it: spec::notes::Located<broker::Refusal>| {
        let (line, column) = it.place.unwrap().line_column();
        format!("{line}:{column}  {}", it.fault)
    };
    refusals.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_reason_points_at_its_member() {
    let text = r#"{
  "payload": {"requirements": {}},
  "priority": 5000, "unknwon": 1,
  "requirements": {
    "hardware": {"gpu_memory_gb": "16"},
    "any": [{"models": ["a", 7]}, {}],
    "has": {"a.b/c~[0]": null, "cuda": {">": 1}}
  },
  "workflow": {"step": 0}
}"#;
    assert_snapshot!(told(text), @r"
    1:1  service_required: is missing
    3:15  priority: 5000 is not from -1000 to 1000
    3:21  unknwon: is not a field here
    5:35  requirements.hardware.gpu_memory_gb: has to be a number, not a text
    6:30  requirements.any[0].models[1]: has to be a text, not a number
    6:35  requirements.any[1]: is empty; leave it out if nothing is asked for
    7:26  requirements.has.a.b/c~[0]: has to be a text, a number, true or false, not null
    7:41  requirements.has.cuda.>: is not a field here; did you mean `>=`?
    9:15  workflow.id: is missing
    9:24  workflow.step: 0 is not from 1 to 1000000
    ");
    let large = format!("{{\"service_required\": \"a\",\n\"payload\": \"{}\"}}", "x".repeat(300_000));
    assert_snapshot!(told(&large), @"2:12  payload: has 300002 bytes; 262144 is the limit");
}

#[test]
fn a_member_that_is_there_twice_is_refused_wherever_it_stands() {
    let text = r#"{
  "service_required": "a", "priority": 1, "priority": 2,
  "requirements": {"hardware": {"ram_gb": 1, "ram_gb": 2}, "models": ["a"], "mod\u0065ls": ["b"]},
  "workflow": {"id": "w", "id": "v"},
  "payload": {"a": {"b": 1, "b": 1}},
  "payload": {}
}"#;
    assert_snapshot!(told(text), @r"
    2:43  the key `priority` is given again; the first is in line 2
    3:46  the key `ram_gb` is given again; the first is in line 3
    3:77  the key `models` is given again; the first is in line 3
    4:27  the key `id` is given again; the first is in line 4
    5:29  the key `b` is given again; the first is in line 5
    6:3  the key `payload` is given again; the first is in line 5
    ");
}

#[test]
fn a_number_that_would_become_another_one_is_refused() {
    let text = r#"{
  "service_required": "a", "priority": 12345678901234567890123, "max_attempts": 3.0000000000000000001, "delay_ms": 1e3,
  "timeout_ms": 9007199254740993,
  "requirements": {"hardware": {"ram_gb": 18446744073709551616}, "has": {"x": 9007199254740993, "y": 9007199254740994}},
  "payload": {"seed": [-9223372036854775809, 18446744073709551615]}
}"#;
    assert_snapshot!(told(text), @r"
    2:40  priority: is a number that would be rounded: whole numbers have 64 bits, others are doubles
    2:81  max_attempts: has to be a whole number, not one with a point or an exponent
    2:116  delay_ms: has to be a whole number, not one with a point or an exponent
    3:17  timeout_ms: 9007199254740993 is not from 1 to 31536000000
    4:43  requirements.hardware.ram_gb: is a number that would be rounded: whole numbers have 64 bits, others are doubles
    4:79  requirements.has.x: is a number that would be rounded: requirements are compared as doubles, which are exact up to 2^53
    5:24  payload.seed[0]: is a number that would be rounded: whole numbers have 64 bits, others are doubles
    ");
    assert_snapshot!(told(r#"{"service_required": "a", "payload": 1e400}"#), @"1:38  payload: is a number that would be rounded: whole numbers have 64 bits, others are doubles");
    let refused = Requirements::read(&json!({ "has": { "x": u64::MAX } })).unwrap_err();
    assert_snapshot!(refused[0], @"has.x: is a number that would be rounded: requirements are compared as doubles, which are exact up to 2^53");
}

#[test]
fn what_is_no_json_or_too_deep_is_called_what_it_is() {
    assert_snapshot!(told("{"), @"1:2  a key is expected here");
    assert_snapshot!(told("{\"service_required\": \"a\",\n}"), @"2:1  a comma stands before `}`");
    let nested = |depth: usize| {
        format!("{{\"service_required\": \"a\",\n\"payload\": {}{}}}", "[".repeat(depth), "]".repeat(depth))
    };
    assert_snapshot!(told(&nested(100)), @"2:12  payload: has 65 levels; 64 is the limit");
    assert_snapshot!(told(&nested(200)), @"2:138  arrays and objects are nested more than 127 deep");
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter_map("finite", serde_json::Number::from_f64).prop_map(Value::Number),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "(\\PC|\u{0}){0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c.~/\u{0}]{0,2}", inner, 0..4)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_payload_that_is_taken_arrives_as_the_same_value(payload in values()) {
        let text = json!({ "service_required": "a", "payload": payload }).to_string();
        let job = Job::read(&text).unwrap();
        prop_assert_eq!(&job.payload, &payload);
        let again = Job::read(&serde_json::to_string(&job).unwrap()).unwrap();
        prop_assert_eq!(again, job);
    }

    /// The oracle: the digits, as a decimal number.
    #[test]
    fn a_whole_number_is_kept_to_its_last_digit_or_refused(digits in "-?[1-9][0-9]{0,24}") {
        match Job::read(&format!("{{\"service_required\": \"a\", \"payload\": {digits}}}")) {
            Ok(job) => prop_assert_eq!(job.payload.to_string(), digits),
            Err(_) => prop_assert!(digits.parse::<i128>().is_ok_and(|it| i64::try_from(it).is_err() && u64::try_from(it).is_err())),
        }
    }
}
