use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::*;
use crate::ids::WorkerName;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Sample {
    #[serde(rename = "$schema")]
    schema: Option<String>,
    name: String,
    #[schemars(range(min = 1, max = 8))]
    count: u8,
    memory: Option<u32>,
    workers: Option<BTreeMap<WorkerName, Probe>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code)]
enum Probe {
    Process,
    Tcp { port: u16 },
}

fn told(text: &str) -> String {
    match read::<Sample>(&SourceText::open("a.json", text)) {
        Ok(document) => format!("{:?}", document.value.name),
        Err(faults) => faults.into_iter().fold(String::new(), |mut told, it| {
            let place = it.place.map_or_else(|| "nowhere".to_owned(), |it| it.to_string());
            let _ = writeln!(told, "{place} {} {}; {}", it.fault.code().id, it.fault, it.fault.fix());
            told
        }),
    }
}

macro_rules! check {
    ($text:literal, @$expected:literal) => {
        insta::assert_snapshot!(told($text), @$expected)
    };
}

#[test]
fn a_document_that_is_right_is_read() {
    check!(r#"{"$schema": "x", "name": "n", "count": 1, "workers": {"comfyui": {"tcp": {"port": 1}}}}"#, @r#""n""#);
}

#[test]
fn every_fault_has_its_path_and_place() {
    check!(r#"{
  "nam": "x",
  "count": 9,
  "memory": "8 GiB",
  "workers": { "a": {"tcp": {"port": "x"}}, "b": {"tpc": {}}, "c": "no", "D": "process" }
}"#, @r#"
    a.json:1:1 DOC002 field `name` is missing in the document; add `name`
    a.json:2:3 DOC001 unknown field `nam` in the document; did you mean `name`?
    a.json:3:12 DOC003 `count` must be 8 or less; write 8 or less
    a.json:4:13 DOC003 `memory` must be a whole number; write a whole number
    a.json:5:38 DOC003 `workers.a.tcp.port` must be a whole number; write a whole number
    a.json:5:50 DOC003 `workers.b` must be process or {"tcp": …}; write process or {"tcp": …}
    a.json:5:68 DOC003 `workers.c` must be process or {"tcp": …}; write process or {"tcp": …}
    a.json:5:74 DOC003 the name `D` in `workers` must be a name that matches ^[a-z0-9][a-z0-9-]*$; write a name that matches ^[a-z0-9][a-z0-9-]*$
    "#);
}

#[test]
fn a_text_that_is_no_json_is_pointed_at() {
    check!("{\"name\": \"n\",\n \"count\": }", @"a.json:2:11 JSON001 a value is missing; write the value");
    check!(r#"{"name": "n", "count": 1, "name": "m"}"#, @"a.json:1:27 JSON002 the key `name` is given again; the first is in line 1; keep one of them");
}

#[test]
fn no_value_is_quoted() {
    let text =
        r#"{"name": {"canary": "canary"}, "count": "canary", "memory": ["canary"], "workers": "canary"}"#;
    assert!(!told(text).contains("canary"), "{}", told(text));
}
