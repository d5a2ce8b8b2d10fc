//! Ecosystems in all the forms that PM2 has for them, and what of them cannot be carried over.

use super::*;

fn import(name: &str, text: &str) -> Import {
    let source = SourceText::guarded(name, text);
    ecosystem(&source, &Wishes::default(), &offer()).unwrap_or_else(|it| panic!("{it:?}"))
}

fn roster(name: &str, text: &str) -> String {
    import(name, text).machines[0].roster.clone()
}

/// The items under an outcome, each in one line.
fn items(import: &Import, outcome: Outcome) -> Vec<String> {
    let of = import.items.iter().filter(|it| it.outcome == outcome);
    of.map(|it| format!("{} {}", it.code.unwrap_or("-"), it.what)).collect()
}

#[test]
fn every_form_that_pm2_has_is_read() {
    for text in [
        r#"{"apps": [{"name": "redis-worker-openai-0", "script": "x"}]}"#,
        r#"{"apps": {"name": "redis-worker-openai-0", "script": "x"}}"#,
        r#"[{"name": "redis-worker-openai-0", "script": "x"}]"#,
        r#"{"name": "redis-worker-openai-0", "script": "x"}"#,
        // What `pm2 save` keeps.
        r#"[{"name": "redis-worker-openai-0", "pm_exec_path": "/x.js", "env": {"redis-worker-openai-0": "{}", "A": {}, "unique_id": "u"}, "status": "online"}]"#,
        // What `pm2 jlist` prints.
        r#"[{"pid": 7, "name": "redis-worker-openai-0", "pm2_env": {"name": "redis-worker-openai-0", "pm_id": 0, "args": []}}]"#,
    ] {
        let import = import("a.json", text);
        assert_eq!((import.machines[0].roster.as_str(), import.open()), ("openai:1", 0), "{text}");
    }
    assert_eq!(
        roster("ecosystem.config.yml", "apps:\n  - name: worker-openai\n    instances: 3\n"),
        "openai:3"
    );
    let cluster = r#"[{"name": "worker-openai", "pm2_env": {"instances": 2}}, {"name": "worker-openai", "pm2_env": {"instances": 2}}]"#;
    assert_eq!(roster("a.json", cluster), "openai:2", "each instance that runs is listed");
}

#[test]
fn workers_are_known_by_all_names_that_they_have_had() {
    for (app, expected) in [
        (r#"{"name": "redis-worker-comfyui-gpu0"}"#, "comfyui:1"),
        (r#"{"name": "redis-worker-openai-3"}"#, "openai:1"),
        (r#"{"name": "comfyui-worker-0"}"#, "comfyui:1"),
        (r#"{"name": "worker-comfyui-0"}"#, "comfyui:1"),
        (
            r#"{"name": "box-1", "args": "redis-worker --index=1", "env": {"CONNECTORS": "openai"}}"#,
            "openai:1",
        ),
        (
            r#"{"name": "x", "script": "/bundled/redis-direct-worker.cjs", "env": {"WORKER_TYPE": "openai"}}"#,
            "openai:1",
        ),
        (r#"{"name": "redis-worker-simulation-websocket-gpu1"}"#, "simulation:1"),
    ] {
        assert_eq!(roster("a.json", &format!("[{app}]")), expected, "{app}");
    }
}

#[test]
fn settings_without_a_counterpart_are_left_to_decide() {
    let import = import(
        "a.json",
        r#"{"apps": [
            {"name": "worker-openai-0", "cron_restart": "0 3 * * *", "watch": true, "autorestart": false, "uid": "gpu"},
            {"name": "worker-openai-1", "instances": "max", "exec_mode": "cluster", "env_production": {"A": "b"}},
            {"name": "worker-openai-2", "cron_restart": "", "wath": true, "env": {"MY KEY": "x"}},
            {"name": "a1111-gpu0", "args": "--port 7860"},
            {"name": "metrics-exporter", "script": "x.js"},
            {"name": "redis-worker-gemini-0"}
        ], "deploy": {}, "more": 1}"#,
    );
    assert_eq!(
        items(&import, Outcome::Decide),
        [
            "IMP110 `env` of app `worker-openai-2`",
            "IMP112 worker `gemini:1`",
            "IMP113 app `metrics-exporter`",
            "IMP115 `autorestart` of app `worker-openai-0`",
            "IMP115 `cron_restart` of app `worker-openai-0`",
            "IMP115 `env_production` of app `worker-openai-1`",
            "IMP115 `instances` of app `worker-openai-1`",
            "IMP115 `more`",
            "IMP115 `uid` of app `worker-openai-0`",
            "IMP115 `wath` of app `worker-openai-2`",
            "IMP115 service `a1111`",
        ]
    );
    assert_eq!(import.machines[0].roster, "openai:auto");
    assert!(items(&import, Outcome::Dropped).contains(&"IMP102 `watch`".to_owned()));
}

#[test]
fn ports_are_a_base_and_an_increment_or_left_to_decide() {
    let ecosystem = |ports: [u16; 2], told: [u16; 2]| {
        let service =
            |it: usize| format!(r#"{{"name": "comfyui-gpu{it}", "args": ["--port={}"]}}"#, ports[it]);
        let worker = |it: usize| {
            format!(r#"{{"name": "redis-worker-comfyui-gpu{it}", "args": ["--service-port={}"]}}"#, told[it])
        };
        import("a.json", &format!("[{}, {}, {}, {}]", service(0), service(1), worker(0), worker(1)))
    };
    let base =
        |import: &Import| import.machines[0].files[0].shown.contains("\"COMFYUI_BASE_PORT\": \"9000\"");
    let usual = ecosystem([8188, 8189], [8188, 8189]);
    assert!(!base(&usual) && usual.open() == 0);
    let moved = ecosystem([9000, 9001], [9000, 9001]);
    assert!(base(&moved) && moved.open() == 0);
    assert_eq!(moved.machines[0].gpus, Some(2));
    let stray = ecosystem([9000, 9005], [9000, 9005]);
    assert_eq!(items(&stray, Outcome::Decide), ["IMP114 port of app `comfyui-gpu1`"]);
    // What one commit of the old system did: services at 8188, workers sent to 9000.
    let missed = ecosystem([8188, 8189], [9000, 9001]);
    let expected =
        ["IMP114 port of app `redis-worker-comfyui-gpu0`", "IMP114 port of app `redis-worker-comfyui-gpu1`"];
    assert_eq!(items(&missed, Outcome::Decide), expected);
}

#[test]
fn what_says_two_things_is_left_to_decide() {
    let app = |name: &str, env: &str| format!(r#"{{"name": "{name}", "env": {{{env}}}}}"#);
    let text = format!(
        "[{}, {}]",
        app(
            "worker-openai-0",
            r#""LOG_LEVEL": "info", "WORKERS": "openai:4", "COMFYUI_BASE_PORT": "1", "GPU_MODE": "actual""#
        ),
        app(
            "worker-openai-1",
            r#""LOG_LEVEL": "debug", "WORKERS": "openai:4", "MOCK_GPU": "true", "NUM_GPUS": "two""#
        )
    );
    let import = import("a.json", &text);
    assert_eq!(
        items(&import, Outcome::Decide),
        [
            "IMP111 `GPU_MODE`",
            "IMP111 `LOG_LEVEL`",
            "IMP111 `MOCK_GPU`",
            "IMP111 `NUM_GPUS`",
            "IMP111 the roster",
        ]
    );
    let text = "HUB_REDIS_URL=redis://one:6379\nREDIS_URL=redis://two:6379\nWORKERS=openai:1,comfyui:1:shared\nMACHINE_ID=a.b\n\
                COMFYUI_PORT_INCREMENT=2\nCOMFYUI_BASE_PORT=x\nOPENAI_BASE_URL=https://${HOST}/v1\nHF_TOKEN='${as it is}'\n";
    let import = env(&[SourceText::guarded(".env", text)], &Wishes::default(), &offer()).unwrap();
    assert_eq!(
        items(&import, Outcome::Decide),
        [
            "IMP111 `HUB_REDIS_URL`",
            "IMP111 `REDIS_URL`",
            "IMP111 `comfyui`",
            "IMP114 `COMFYUI_PORT_INCREMENT`",
            "IMP115 `COMFYUI_BASE_PORT`",
            "IMP115 `MACHINE_ID`",
            "IMP116 `OPENAI_BASE_URL`",
        ]
    );
    assert!(import.machines[0].files[1].text.expose().contains("HF_TOKEN='${as it is}'"));
}

#[test]
fn pretended_cards_are_in_the_profile() {
    let text = "WORKERS=comfyui:2\nGPU_MODE=mock\nMOCK_GPU_NUM=2\nREDIS_URL=redis://localhost:6379\n";
    let import = env(&[SourceText::guarded(".env", text)], &Wishes::default(), &offer()).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&import.machines[0].files[0].shown).unwrap();
    assert_eq!(profile["hardware"]["mock"], true);
    assert_eq!(profile["hardware"]["gpus"].as_array().unwrap().len(), 2);
    assert_eq!(profile["components"]["redis"], "host");
    assert_eq!(items(&import, Outcome::Decide), ["IMP115 `REDIS_URL`"], "localhost is the container itself");
}

#[test]
fn a_roster_on_the_command_line_replaces_one_that_cannot_be_read() {
    let file = SourceText::guarded(".env", "WORKERS=openai,gemini:x\nWORKER_CONNECTORS=other:1\n");
    let roster = |roster: Option<&str>| {
        let wishes = Wishes { roster: roster.map(|it| SourceText::open("--spec", it)), ..Wishes::default() };
        env(std::slice::from_ref(&file), &wishes, &offer())
    };
    assert!(roster(None).is_err());
    let import = roster(Some("openai:1")).unwrap();
    assert_eq!((import.machines[0].roster.as_str(), import.open()), ("openai:1", 0));
}

#[test]
fn secrets_of_a_compose_file_are_never_shown() {
    let text = "services:\n  m:\n    environment:\n      WORKERS: openai:1\n      OPENAI_API_KEY: sk-canary-${X}\n      \
                OPENAI_BASE_URL: https://u:canary@${HOST}/v1\n      REDIS_URL: redis://u:${PASSWORD:?say it}@hub:6379\n      \
                HF_TOKEN: canary\n  side:\n    image: x:1\n    command: [--password, canary]\n  other:\n    image: x:1\n    \
                environment: [A_TOKEN=canary]\n";
    let file = SourceText::guarded("c.yml", text);
    let import = compose(&file, &Beside("nowhere".into()), &Wishes::default(), &offer()).unwrap();
    assert!(
        !shown(&import).contains(CANARY) && !format!("{import:?}").contains(CANARY),
        "{}",
        shown(&import)
    );
    assert_eq!(
        items(&import, Outcome::Decide),
        [
            "IMP113 service `other`",
            "IMP113 service `side`",
            "IMP116 `OPENAI_API_KEY`",
            "IMP116 `OPENAI_BASE_URL`",
        ]
    );
    assert!(import.machines[0].files[0].shown.contains("redis://u:${PASSWORD:?say it}@hub:6379"));
}

#[test]
fn machines_of_a_compose_file_that_have_one_name_are_to_be_named_apart() {
    let machine = |service: &str, id: &str| {
        format!("  {service}:\n    environment: [WORKERS=simulation:1, MACHINE_ID={id}]\n")
    };
    let text = ["services:\n", &machine("a", "box"), &machine("b", "box"), &machine("c", "other")].concat();
    let file = SourceText::guarded("c.yml", &text);
    let imported = |service: Option<&str>| {
        let wishes = Wishes { service: service.map(str::to_owned), ..Wishes::default() };
        compose(&file, &Beside("nowhere".into()), &wishes, &offer()).unwrap()
    };
    let import = imported(None);
    assert_eq!(items(&import, Outcome::Decide), ["IMP115 `MACHINE_ID`"]);
    let places = import.items.iter().find(|it| it.outcome == Outcome::Decide).map(|it| it.count);
    assert_eq!(places, Some(2));
    let says = |at: usize| import.machines[at].files[0].shown.contains("MACHINE_ID");
    assert_eq!([says(0), says(1), says(2)], [false, false, true]);
    // One by itself has its name for itself.
    assert_eq!(imported(Some("a")).open(), 0);
}
