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
        let inner: serde_json::Value = serde_json::from_str(inner).unwrap();
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
    jobs.json:1:74 BROKER001 service_required: has to be a text, not a number
    ");
    let large = Flags { priority: Some(-99_999), ..service() };
    assert_snapshot!(told("{}", &large), @"the flags:1:1 BROKER004 priority: -99999 is not from -1000 to 1000");
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
    jobs.json:1:43 BROKER001 requirements: has to be an object, not null
    jobs.json:1:55 BROKER003 id: ':' cannot be in a name; use letters, digits and _-.
    jobs.json:2:74 BROKER001 requirements.hardware.gpu_memory_gb: has to be a number, not a text
    jobs.json:2:86 BROKER002 timeout_minutes: is not a field here
    jobs.json:3:1 BROKER001 the document: has to be an object, not a number
    jobs.json:4:1 BROKER001 service_required: is missing
    jobs.json:4:14 BROKER004 priority: 5000 is not from -1000 to 1000
    ");
}

#[test]
fn every_fault_has_its_line_in_an_array_and_in_lines_and_behind_what_is_not_json() {
    let lines = "{\"service_required\": \"a\", \"priority\": 1, \"priority\": 2}\r\n{\"service_required\": \"a\",}\r\n{}\r\n";
    assert_snapshot!(told(lines, &Flags::default()), @r"
    jobs.json:1:42 JSON002 the key `priority` is given again; the first is in line 1
    jobs.json:2:26 JSON001 a comma stands before `}`
    jobs.json:3:1 BROKER001 service_required: is missing
    ");
    let array =
        "[{\"service_required\": \"a\", \"payload\": 1e400},\n  {\"service_required\": 7},\n  {\"b\": 'c'}]";
    assert_snapshot!(told(array, &Flags::default()), @r"
    jobs.json:1:39 BROKER004 payload: is a number that would be rounded: whole numbers have 64 bits, others are doubles
    jobs.json:2:24 BROKER001 service_required: has to be a text, not a number
    jobs.json:3:9 JSON001 this is not a value
    ");
    assert_snapshot!(told("[{\"service_required\": \"a\"},]", &Flags::default()), @"jobs.json:1:28 JSON001 a comma stands before `]`");
    assert_snapshot!(told("{\"n\": 1}\n{\"n\": 1, \"n\": 2}\n{\"n\": 12345678901234567890123}", &service()), @r"
    jobs.json:2:10 JSON002 the key `n` is given again; the first is in line 2
    jobs.json:3:7 BROKER004 payload.n: is a number that would be rounded: whole numbers have 64 bits, others are doubles
    ");
}

#[test]
fn two_different_jobs_with_one_id_or_key_are_refused_and_one_job_twice_is_one() {
    let text = r#"{"service_required": "a", "id": "x", "payload": 1}
{"service_required": "a", "idempotency_key": "k"}
{"service_required": "a", "id": "x", "payload": 2}
{"service_required": "b", "idempotency_key": "k"}
"#;
    assert_snapshot!(told(text, &Flags::default()), @r"
    jobs.json:3:33 JOB002 the id is that of another job of the input, in line 1, which is not the same job
    jobs.json:4:46 JOB002 the idempotency key is that of another job of the input, in line 2, which is not the same job
    ");
    let twice = r#"{"service_required": "a", "id": "x", "idempotency_key": "k"}"#;
    assert_eq!(told(&format!("{twice}\n{twice}"), &Flags::default()).lines().count(), 2);
    // They are nothing in a payload.
    assert_eq!(told("{\"id\": \"x\"}\n{\"id\": \"x\", \"a\": 1}", &service()).lines().count(), 2);
}

#[test]
fn of_very_many_faults_the_first_are_told() {
    let told = told(&"{\"priority\": \"x\"}\n".repeat(100_000), &Flags::default());
    assert_eq!(told.lines().count(), MOST + 1);
    assert_snapshot!(told.lines().last().unwrap(), @"jobs.json:50:14 JOB002 the input is read only this far, for more than 100 things are wrong with it");
}

#[test]
fn what_a_legacy_queue_cannot_say_is_told_of_every_job_with_its_place() {
    let told = |text: &str, flags: &Flags| {
        let source = SourceText::guarded("jobs.json", text);
        let jobs = jobs(&source, flags).unwrap();
        let findings = unsayable(&source, flags, &jobs).into_iter();
        findings.map(|it| format!("{} {}", it.place.unwrap(), it.message)).collect::<Vec<_>>().join("\n")
    };
    let text = r#"[{"service_required": "a", "payload": 1},
 {"service_required": "a", "delay_ms": 5, "requirements": {"all": [{"has": {"x": {"any": [1, 2]}}}]}},
 {"service_required": "a", "limit_key": "k"}]"#;
    assert_snapshot!(told(text, &Flags::default()), @r"
    jobs.json:2:40 delay_ms: cannot be said on the legacy wire: a job is in the line at once
    jobs.json:2:59 requirements.has.x: cannot be said on the legacy wire: a list there asks for all of its values
    jobs.json:3:41 limit_key: cannot be said on the legacy wire: there are no limits
    ");
    let flags = Flags { delay: Some(Duration::from_secs(5)), ..service() };
    assert_snapshot!(told("{}\n{\"delay_ms\": 1}", &flags), @r"
    jobs.json:1:1 delay_ms: cannot be said on the legacy wire: a job is in the line at once
    jobs.json:2:1 delay_ms: cannot be said on the legacy wire: a job is in the line at once
    ");
    assert_eq!(told(&"{}\n".repeat(1_000), &flags).lines().count(), MOST + 1);
}

#[test]
fn what_is_no_text_is_told_where_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let told = |bytes: &[u8]| {
        let path = folder.path().join("jobs.json");
        std::fs::write(&path, bytes).unwrap();
        let read = read(&path).and_then(|it| jobs(&it, &service())).unwrap_err();
        let (line, column) = read[0].place.as_ref().unwrap().line_column();
        format!("{line}:{column} {}; {}", read[0].message, read[0].fix)
    };
    assert_snapshot!(told(b"{}\n{\"a\": \"\xc3\xa9\xff\"}"), @"2:9 the input is not UTF-8 from here on; save it as UTF-8");
    assert_snapshot!(told("\u{feff}{}".as_bytes()), @"1:1 a byte order mark stands here; save the file as UTF-8 without one");
    assert_snapshot!(told(b"{\"a\": \"\0\"}"), @r"1:8 a text cannot hold this character as it is; write it as an escape: `\n`, `\t`, `\u0000`");
    assert!(read(folder.path()).unwrap_err()[0].message.contains("directory"));
}

#[test]
fn requirements_in_a_file_are_read_as_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("needs.json");
    let flags = Flags { requirements: Some(path.clone()), ..service() };
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        told("{}", &flags).replace(&path.display().to_string(), "needs.json")
    };
    assert_snapshot!(told("{\"models\": [\"a\"]}"), @r#"{"version":1,"id":"ID","service_required":"comfyui","requirements":{"models":["a"]}}"#);
    assert_snapshot!(told("{\n \"models\": [\"a\", 7], \"hardware\": {\"ram_gb\": 1e400}}"), @"needs.json:2:45 BROKER004 hardware.ram_gb: is a number that would be rounded: whole numbers have 64 bits, others are doubles");
    assert_snapshot!(told("{\"models\": [\"a\"],\n \"models\": [\"b\"]}"), @"needs.json:2:2 JSON002 the key `models` is given again; the first is in line 1");
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
    jobs.json:1:10 JSON001 this is not a value
    jobs.json:1:1 JOB002 `--id` names one job, but the input has several
    the flags:1:1 BROKER004 priority: 5000 is not from -1000 to 1000
    jobs.json:1:1 BROKER001 service_required: is missing
    jobs.json:3:2 JOB002 this is a job document, for it has `service_required`, but `--service` says that it is a payload
    ");
}

#[test]
fn standard_input_is_either_the_jobs_or_their_requirements() {
    let flags = Flags { requirements: Some("-".into()), ..service() };
    let refused = flags.beside(Path::new("-")).unwrap_err();
    assert_eq!(refused[0].message, "standard input cannot be the jobs and their requirements");
    assert!(flags.beside(Path::new("jobs.json")).is_ok() && service().beside(Path::new("-")).is_ok());
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    assert_snapshot!(told(&format!("\"{}\"", "x".repeat(10 << 20)), &service()), @"jobs.json:1:1 BROKER004 payload: has 10485762 bytes; 262144 is the limit");
    assert_snapshot!(told(&format!("{}1{}", "[".repeat(100), "]".repeat(100)), &service()), @"jobs.json:1:2 BROKER004 payload: has 65 levels; 64 is the limit");
    assert_snapshot!(told(&format!("{}1{}", "[".repeat(300), "]".repeat(300)), &service()), @"jobs.json:1:128 JSON003 arrays and objects are nested more than 127 deep");
}

#[test]
fn a_time_has_a_unit() {
    let told = ["250ms", "90s", "5m", "2h", "1d"].map(|it| duration(it).unwrap().as_millis());
    assert_eq!(told, [250, 90_000, 300_000, 7_200_000, 86_400_000]);
    for text in ["", "5", "m", "5 m", "-5m", "1.5h", "99999999999999999999d", "5w"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
