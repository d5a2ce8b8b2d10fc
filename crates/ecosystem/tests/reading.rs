//! What is wrong with a document, all at once, each with its place.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ecosystem::{Ecosystem, codes, lower};
use insta::assert_snapshot;
use serde_json::{Value, json};
use spec::model::InventoryOrigin;
use spec::source::SourceText;

fn right() -> Value {
    let plan = support::plan("m1", "/workspace", "comfyui:2,openai:1", 2, InventoryOrigin::Declared);
    serde_json::from_str(&lower(&plan, &BTreeMap::new()).unwrap().to_json()).unwrap()
}

/// Every fault of the right document after `edit`: place, code, message and fix.
fn told(edit: impl FnOnce(&mut Value)) -> String {
    let mut value = right();
    edit(&mut value);
    let source = SourceText::open("e.json", serde_json::to_string_pretty(&value).unwrap());
    let mut text = String::new();
    for it in Ecosystem::read(&source).unwrap_err() {
        let place = it.place.expect("every fault of a document has a place");
        writeln!(text, "{place} {} {} [{}]", it.code.id, it.message, it.fix).unwrap();
    }
    text
}

#[test]
fn all_faults_of_form_are_told_at_once() {
    assert_snapshot!(told(|it| {
        it["schema_version"] = json!(2);
        it["apps"][0]["instances"] = json!(4);
        it["apps"][0]["interpreter"] = json!("node");
        it["apps"][0]["cwd"] = json!("ComfyUI");
        it["apps"][1]["kill_timeout"] = json!("15s");
        it["apps"][1]["roster"]["depends_on"][0]["untill"] = json!("ready");
        it["apps"][2]["roster"]["kind"] = json!("cron");
        it["apps"][3]["script"] = json!("");
        it["apps"][0]["roster"]["probes"]["health"] = json!({ "http": { "uri": "http://127.0.0.1:1" } });
        it["setup"][0]["merge_logs"] = json!(false);
    }), @r#"
    e.json:12:14 DOC003 `apps[0].cwd` must be a text that matches ^/ [write a text that matches ^/]
    e.json:21:7 DOC001 unknown field `instances` in `apps[0]` [remove it, or use one of: args, autorestart, cwd, env, error_file, exec_mode, exp_backoff_restart_delay, interpreter, kill_timeout, max_memory_restart, max_restarts, merge_logs, min_uptime, name, out_file, roster, script, vizion]
    e.json:22:22 DOC003 `apps[0].interpreter` must be none [write none]
    e.json:55:21 DOC002 field `url` is missing in `apps[0].roster.probes.health.http` [add `url`]
    e.json:56:15 DOC001 unknown field `uri` in `apps[0].roster.probes.health.http` [did you mean `url`?]
    e.json:99:23 DOC003 `apps[1].kill_timeout` must be a whole number [write a whole number]
    e.json:114:13 DOC001 unknown field `untill` in `apps[1].roster.depends_on[0]` [did you mean `until`?]
    e.json:212:17 DOC003 `apps[2].roster.kind` must be service, worker or installer [write service, worker or installer]
    e.json:296:17 DOC003 `apps[3].script` must be a text of at least 1 characters [write a text of at least 1 characters]
    e.json:387:21 DOC003 `schema_version` must be 1 [write 1]
    e.json:406:21 DOC003 `setup[0].merge_logs` must be true [write true]
    "#);
}

#[test]
fn all_broken_rules_are_told_at_once() {
    assert_snapshot!(told(|it| {
        it["apps"][1]["name"] = json!("comfyui-gpu0");
        it["apps"][0]["roster"]["ports"]["http"] = json!(9090);
        it["apps"][2]["roster"]["depends_on"] = json!([{ "name": "comfyui-gpu3", "until": "healthy" }]);
        it["apps"][3]["roster"]["depends_on"] = json!([{ "name": "comfyui-install", "until": "ready" }]);
        it["apps"][4]["roster"]["depends_on"] = json!([{ "name": "comfyui-gpu0", "until": "completed" }]);
        it["apps"][4]["env"]["OPENAI_API_KEY"] = json!("sk-canary");
        it["setup"][0]["autorestart"] = json!(true);
    }), @r#"
    e.json:50:19 ECO005 `comfyui-gpu0` has port 9090, which the health server has too [give one of them another port in the service mapping]
    e.json:103:15 ECO001 two processes are named `comfyui-gpu0` [give one of them another name]
    e.json:191:21 ECO002 `comfyui-worker-0` waits for `comfyui-gpu3`, which is no process of this document [did you mean `comfyui-gpu0`?]
    e.json:263:22 ECO004 `comfyui-worker-1` waits until `comfyui-install` is ready, which is in `setup` [wait until it is `completed`]
    e.json:307:27 ECO006 `openai-worker-0` has the value of `OPENAI_API_KEY` in `env` although it is one of its secrets [remove `OPENAI_API_KEY` from `env`, and replace the secret if others have seen this file]
    e.json:332:22 ECO004 `openai-worker-0` waits until `comfyui-gpu0` is completed, which is not in `setup` [wait until it is `started`, `ready` or `healthy`]
    e.json:400:22 ECO004 `comfyui-install` is in `setup` but is started again whenever it ends [set `autorestart` to false, or move it to `apps`]
    "#);
}

#[test]
fn every_cycle_is_told_with_its_path() {
    let on = |name: &str| json!([{ "name": name, "until": "started" }]);
    assert_snapshot!(told(|it| {
        it["apps"][0]["roster"]["depends_on"] = on("comfyui-gpu0");
        it["apps"][1]["roster"]["depends_on"] = on("comfyui-worker-0");
        it["apps"][2]["roster"]["depends_on"] = on("openai-worker-0");
        it["apps"][4]["roster"]["depends_on"] = on("comfyui-gpu1");
    }), @r#"
    e.json:33:23 ECO003 `comfyui-gpu0` → `comfyui-gpu0` wait for each other [remove one of these dependencies]
    e.json:109:23 ECO003 `comfyui-gpu1` → `comfyui-worker-0` → `openai-worker-0` → `comfyui-gpu1` wait for each other [remove one of these dependencies]
    "#);
}

#[test]
fn what_is_no_json_is_told_where_it_ends_to_be() {
    let faults = Ecosystem::read(&SourceText::open("e.json", "{ \"apps\": [ }")).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].place.as_ref().unwrap().to_string(), "e.json:1:13");
}

#[test]
fn the_schema_has_a_title_and_is_closed() {
    let schema = ecosystem::schema();
    assert_eq!(
        (&schema["title"], &schema["additionalProperties"]),
        (&json!("Roster ecosystem"), &json!(false))
    );
}

#[test]
fn codes_are_numbered_in_order() {
    for (code, number) in codes::ALL.iter().zip(1..) {
        assert_eq!(code.id, format!("ECO{number:03}"));
    }
}
