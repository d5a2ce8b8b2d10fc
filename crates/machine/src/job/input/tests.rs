use insta::assert_snapshot;

use super::*;

fn service() -> Flags {
    Flags { service: Some("comfyui".parse().unwrap()), ..Flags::default() }
}

/// The jobs without their ids, or everything that is wrong, one a line.
fn told(text: &str, flags: &Flags) -> String {
    let lines: Vec<String> = match jobs(&SourceText::guarded("jobs.json", text), flags) {
        Ok(jobs) => {
            jobs.into_iter().map(|it| serde_json::to_string(&it.id("ID".parse().unwrap())).unwrap()).collect()
        }
        Err(findings) => findings
            .into_iter()
            .map(|it| format!("{} {} {}", it.place.unwrap(), it.code.id, it.message))
            .collect(),
    };
    lines.join("\n")
}

#[test]
fn one_document_an_array_and_lines_are_the_same_jobs() {
    let (one, other) = (r#"{"service_required": "a"}"#, r#"{"service_required": "b", "payload": [1]}"#);
    let array = told(&format!("[{one},\n{other}]"), &Flags::default());
    assert_snapshot!(array, @r#"
    {"version":1,"id":"ID","service_required":"a"}
    {"version":1,"id":"ID","service_required":"b","payload":[1]}
    "#);
    assert_eq!(told(&format!("{one}\n\n{other}\n"), &Flags::default()), array);
}

#[test]
fn a_payload_is_whatever_is_json() {
    for payload in [r#"{"prompt": "a } cat"}"#, "\"text\"", "null", "[[1]]", "7"] {
        let job = told(payload, &service());
        let inner = payload.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(payload);
        let inner: Value = serde_json::from_str(inner).unwrap();
        assert!(job.ends_with(&format!(r#""service_required":"comfyui","payload":{inner}}}"#)), "{job}");
    }
}

#[test]
fn wrong_flags_are_told_once_beside_what_is_wrong_with_the_documents() {
    let flags = Flags { priority: Some(2_000), attempts: Some(0), ..Flags::default() };
    let text = r#"{"service_required": "a"} {"service_required": "b"} {"service_required": 7}"#;
    assert_snapshot!(told(text, &flags), @r"
    the flags:1:1 BROKER004 priority: 2000 is not from -1000 to 1000
    the flags:1:1 BROKER004 max_attempts: 0 is not from 1 to 100
    jobs.json:1:53 BROKER001 service_required: has to be a text, not a number
    ");
}

#[test]
fn flags_win_over_documents() {
    let flags = Flags {
        priority: Some(7),
        delay: Some(Duration::from_secs(5)),
        customer: Some("anna".parse().unwrap()),
        ..Flags::default()
    };
    assert_snapshot!(told(r#"{"service_required": "a", "priority": 1, "timeout_ms": 2000}"#, &flags), @r#"{"version":1,"id":"ID","service_required":"a","priority":7,"customer":"anna","timeout_ms":2000,"delay_ms":5000}"#);
}

#[test]
fn every_reason_of_every_document_is_told_with_its_place_and_no_value() {
    let text = r#"{"service_required": "a", "requirements": null, "id": "canary:1"}
{"service_required": "a", "requirements": {"hardware": {"gpu_memory_gb": "canary"}}, "timeout_minutes": 3}
7
{"priority": 5000}
"#;
    assert_snapshot!(told(text, &Flags::default()), @r"
    jobs.json:1:1 BROKER001 requirements: has to be an object, not null
    jobs.json:1:1 BROKER003 id: ':' cannot be in a name; use letters, digits and _-.
    jobs.json:2:1 BROKER002 timeout_minutes: is not a field here
    jobs.json:2:1 BROKER001 requirements.hardware.gpu_memory_gb: has to be a number, not a text
    jobs.json:3:1 BROKER001 the document: has to be an object, not a number
    jobs.json:4:1 BROKER001 service_required: is missing
    jobs.json:4:1 BROKER004 priority: 5000 is not from -1000 to 1000
    ");
}

#[test]
fn an_input_that_is_no_jobs_is_refused_as_a_whole() {
    let id = Flags { id: Some("x".parse().unwrap()), ..service() };
    let told: Vec<String> = [
        told("", &service()),
        told("[]", &Flags::default()),
        told("{\"a\": 1} nonsense", &service()),
        told("1\n2", &id),
        told("{\"payload\": 1}", &Flags { priority: Some(5_000), ..Flags::default() }),
        told("\n\n{\"service_required\": \"a\"}", &service()),
    ]
    .into();
    assert_snapshot!(told.join("\n"), @r"
    jobs.json:1:1 JOB002 the input holds no job
    jobs.json:1:1 JOB002 the input holds no job
    jobs.json:1:1 JOB002 the input is not JSON: expected ident at line 1 column 11
    jobs.json:1:1 JOB002 `--id` names one job, but the input has 2
    the flags:1:1 BROKER004 priority: 5000 is not from -1000 to 1000
    jobs.json:1:1 BROKER001 service_required: is missing
    jobs.json:3:1 JOB002 this is a job document, for it has `service_required`, but `--service` says that it is a payload
    ");
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    assert_snapshot!(told(&format!("\"{}\"", "x".repeat(10 << 20)), &service()), @"jobs.json:1:1 BROKER004 the document: has 10485803 bytes; 524288 is the limit");
    assert_snapshot!(told(&format!("{}1{}", "[".repeat(100), "]".repeat(100)), &service()), @"jobs.json:1:2 BROKER004 payload: has 65 levels; 64 is the limit");
    assert_snapshot!(told(&format!("{}1{}", "[".repeat(300), "]".repeat(300)), &service()), @"jobs.json:1:2 BROKER001 the document: is not JSON: recursion limit exceeded at line 1 column 167");
}

#[test]
fn a_time_has_a_unit() {
    let told = ["250ms", "90s", "5m", "2h", "1d"].map(|it| duration(it).unwrap().as_millis());
    assert_eq!(told, [250, 90_000, 300_000, 7_200_000, 86_400_000]);
    for text in ["", "5", "m", "5 m", "-5m", "1.5h", "99999999999999999999d", "5w"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
