use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use insta::assert_snapshot;
use spec::ids::EnvKey;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let source: BTreeMap<EnvKey, String> =
        variables.iter().map(|(key, value)| (key.parse().unwrap(), (*value).to_owned())).collect();
    Settings::read(&source).map_err(|findings| {
        let told = findings.iter().map(|it| format!("{} {}; {}\n", it.code.id, it.message, it.fix));
        told.collect()
    })
}

const WHOLE: [(&str, &str); 6] = [
    ("REDIS_URL", "redis://:canary@hub:6379/0"),
    ("ACCEPTS", "simulation"),
    ("CONNECTOR", "simulation"),
    ("SERVICE", "simulation"),
    ("WORKER_ID", "m-worker-simulation-0"),
    ("OUTPUT_URL", "file:///tmp"),
];

fn with(more: &[(&str, &str)]) -> Result<Settings, String> {
    read(&[&WHOLE[..], more].concat())
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    assert_snapshot!(read(&[]).err().unwrap(), @r"
    WORKER001 `REDIS_URL` is not set: the broker's address; set `REDIS_URL`, or `REDIS_URL_FILE` to a file that holds it
    WORKER001 `WORKER_ID` is not set: the name of this worker; set `WORKER_ID`, or `WORKER_ID_FILE` to a file that holds it
    WORKER001 `ACCEPTS` is not set: the kinds of jobs that this worker takes; set `ACCEPTS`, or `ACCEPTS_FILE` to a file that holds it
    WORKER001 `CONNECTOR` is not set: the protocol of its service; set `CONNECTOR`, or `CONNECTOR_FILE` to a file that holds it
    ");
}

#[test]
fn nothing_is_made_before_all_settings_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/outputs/jobs", folder.path().display());
    let (output, outputs) = (("OUTPUT_URL", &*url), folder.path().join("outputs"));
    assert!(read(&[output]).is_err() && with(&[output, ("WORKER_GRACE_S", "-1")]).is_err());
    assert!(!outputs.exists());
    assert!(with(&[output]).is_ok());
    assert!(outputs.join("jobs").is_dir());
    // An address that is no folder's is told with all the rest.
    let told = with(&[("OUTPUT_URL", "file://host/outputs"), ("WORKER_GRACE_S", "-1")]).err().unwrap();
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_no_value_is() {
    let told = with(&[
        ("WORKER_LEASE_S", "canary"),
        ("WORKER_GRACE_S", "-1"),
        ("WORKER_IDS", "a,b"),
        ("SERVICE_URL", "canary:8188"),
        ("OUTPUT_URL", "ftp://canary"),
        ("WORKER_CAPABILITIES", "{\"model\": 1}"),
        ("WORKER_CONCURRENCY", "0"),
        ("JOB_QUEUE", "a:b"),
    ]);
    assert_snapshot!(told.err().unwrap(), @r#"
    WORKER002 `JOB_QUEUE` is not the name of a queue: ':' cannot be in a name; use letters, digits and _-.; set `JOB_QUEUE` to the name of a queue
    WORKER003 `WORKER_ID` and `WORKER_IDS` do not go together: a process is one worker or several; unset `WORKER_ID` or `WORKER_IDS`
    WORKER002 `WORKER_CAPABILITIES` is not a JSON document as in `{"hardware": {"gpu_memory_gb": 24}, "models": {"comfyui": ["sdxl"]}}`: unknown field `model`, expected one of `services`, `hardware`, `models`, `components`, `isolated`, `allowed_customers`, `denied_customers`, `workflow`, `has` at line 1 column 8; set `WORKER_CAPABILITIES` to a JSON document as in `{"hardware": {"gpu_memory_gb": 24}, "models": {"comfyui": ["sdxl"]}}`
    WORKER002 `SERVICE_URL` is not an address as in `http://127.0.0.1:8188`: its scheme is not `http` or `https`, or it has no host; set `SERVICE_URL` to an address as in `http://127.0.0.1:8188`
    WORKER002 `WORKER_CONCURRENCY` is not a number of jobs above 0: number would be zero for non-zero type; set `WORKER_CONCURRENCY` to a number of jobs above 0
    WORKER002 `WORKER_LEASE_S` is not a number of seconds above 0 and at most 86400: invalid float literal; set `WORKER_LEASE_S` to a number of seconds above 0 and at most 86400
    WORKER002 `WORKER_GRACE_S` is not a number of seconds above 0 and at most 86400: it is beyond its limits; set `WORKER_GRACE_S` to a number of seconds above 0 and at most 86400
    WORKER002 `OUTPUT_URL` is not `file:///folder` or `s3://bucket/prefix`: its scheme is neither; set `OUTPUT_URL` to `file:///folder` or `s3://bucket/prefix`
    "#);
}

#[test]
fn workers_that_share_a_process_are_spread_over_the_instances() {
    let variables: Vec<_> = WHOLE.into_iter().filter(|it| it.0 != "WORKER_ID").collect();
    let shared = [
        ("WORKER_IDS", "w-0,w-1,w-2"),
        ("SERVICE_URLS", "http://a:1,http://b:2,http://a:1"),
        ("WORKER_CONCURRENCY", "2"),
    ];
    let settings = read(&[&variables[..], &shared].concat()).unwrap_or_else(|it| panic!("{it}"));
    let slots: Vec<usize> = settings.connectors.iter().map(|it| it.1).collect();
    assert_eq!((settings.ids.len(), slots), (3, vec![4, 2]));
}

#[test]
fn what_the_machine_tells_its_worker_is_kept_and_one_health_speaks_for_one_service() {
    let told = [
        ("SERVICE_URL", "http://127.0.0.1:8188"),
        ("SERVICE_INSTANCE", "comfyui-gpu1"),
        ("SERVICE_HEALTH_URL", "http://127.0.0.1:9090/services/comfyui-gpu1/health"),
        ("ROSTER_SOCKET", "/run/roster/m1.sock"),
        ("WORKER_REPORT", "/run/roster/m1.reports"),
        ("WORKER_GPU_ID", "1"),
    ];
    let settings = with(&told).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!((settings.instance.unwrap().as_str(), settings.gpu), ("comfyui-gpu1", Some(1)));
    assert_eq!(settings.supervisor.unwrap().to_str(), Some("/run/roster/m1.sock"));
    assert_eq!(settings.report.unwrap().to_str(), Some("/run/roster/m1.reports"));
    let variables: Vec<_> = WHOLE.into_iter().filter(|it| it.0 != "WORKER_ID").collect();
    let several = [
        ("WORKER_IDS", "w-0,w-1"),
        ("SERVICE_URLS", "http://a:1,http://b:2"),
        ("SERVICE_HEALTH_URL", "http://127.0.0.1:9090/services/a/health"),
    ];
    let told = read(&[&variables[..], &several].concat()).err().unwrap();
    assert_snapshot!(told, @"WORKER003 `SERVICE_URLS` and `SERVICE_HEALTH_URL` do not go together: there are several services, and the health of one; unset `SERVICE_URLS` or `SERVICE_HEALTH_URL`");
}

/// Notes what is asked for.
struct Asked(BTreeMap<EnvKey, String>, Mutex<BTreeSet<String>>);

impl EnvSource for Asked {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, spec::env::NotUnicode> {
        self.1.lock().unwrap().insert(key.as_str().to_owned());
        Ok(self.0.get(key).cloned())
    }
}

#[test]
fn every_variable_that_is_read_is_in_the_documents() {
    let pages = [include_str!("../../../../docs/worker.md"), include_str!("../../../../docs/connectors.md")];
    let connectors = [
        "simulation",
        "comfyui",
        "comfyui-remote",
        "a1111",
        "openai",
        "replicate",
        "runpod",
        "ollama",
        "playwright",
    ];
    for connector in connectors {
        for (name, value) in [("OUTPUT_URL", "s3://bucket"), ("PLAYWRIGHT_SCRIPTS", "true")] {
            let mut variables: BTreeMap<EnvKey, String> =
                WHOLE.into_iter().map(|(key, value)| (key.parse().unwrap(), value.to_owned())).collect();
            for (key, value) in
                [("CONNECTOR", connector), (name, value), ("SERVICE_URL", "http://127.0.0.1:1")]
            {
                variables.insert(key.parse().unwrap(), value.to_owned());
            }
            let asked = Asked(variables, Mutex::default());
            _ = Settings::read(&asked);
            for name in asked.1.into_inner().unwrap() {
                let name = name.strip_suffix("_FILE").unwrap_or(&name);
                let named = [format!("`{name}`"), format!("`{name}=")];
                // The script's own environment, not the worker's.
                let known = |page: &&str| named.iter().any(|it| page.contains(it));
                assert!(name == "PATH" || pages.iter().any(known), "{connector} reads `{name}`");
            }
        }
    }
}

#[test]
fn a_secret_may_come_from_a_file_and_is_redacted_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("REDIS_URL");
    std::fs::write(&path, "redis://:canary@hub:6379/0\n").unwrap();
    let variables: Vec<_> = WHOLE.into_iter().filter(|it| it.0 != "REDIS_URL").collect();
    let settings = read(&[&variables[..], &[("REDIS_URL_FILE", path.to_str().unwrap())]].concat());
    let settings = settings.unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(settings.redis.expose(), "redis://:canary@hub:6379/0");
    assert_eq!(settings.redactor.text("at redis://:canary@hub:6379/0".into()), "at [redacted]");
}

#[test]
fn capabilities_are_what_is_accepted_and_what_else_is_said() {
    let settings = with(&[(
        "WORKER_CAPABILITIES",
        r#"{"hardware": {"gpu_memory_gb": 24}, "models": {"simulation": "any"}}"#,
    )]);
    let settings = settings.unwrap_or_else(|it| panic!("{it}"));
    assert_snapshot!(
        serde_json::to_string(&settings.capabilities).unwrap(),
        @r#"{"services":["simulation"],"hardware":{"gpu_memory_gb":24},"models":{"simulation":"any"}}"#
    );
}

const LEGACY: [(&str, &str); 5] = [
    ("BROKER", "legacy"),
    ("HUB_REDIS_URL", "redis://:canary@hub:6379/0"),
    ("MACHINE_ID", "m1"),
    ("WORKER_ID", "m1-worker-comfyui-1"),
    ("OUTPUT_URL", "file:///tmp"),
];

fn legacy(more: &[(&str, &str)]) -> Result<Settings, String> {
    read(&[&LEGACY[..], more].concat())
}

#[test]
fn a_worker_of_the_typescript_system_is_replaced_in_its_own_environment() {
    let settings = legacy(&[
        ("CONNECTORS", "comfyui"),
        ("WORKER_BASE_COMFYUI_PORT", "9000"),
        ("CUDA_VISIBLE_DEVICES", "1"),
        ("WORKER_RAM_GB", "64"),
        ("WORKER_GPU_MEMORY_GB", "24"),
        ("WORKER_WORKFLOW_ID", "wf"),
        ("JOB_TIMEOUT_MINUTES", "5"),
        ("WORKER_POLL_INTERVAL_MS", "250"),
        ("LEGACY_REAP_AFTER_S", "90"),
    ]);
    let settings = settings.unwrap_or_else(|it| panic!("{it}"));
    let told = serde_json::to_string(&settings.capabilities).unwrap();
    assert_snapshot!(told, @r#"{"services":["comfyui"],"hardware":{"gpu_memory_gb":24,"ram_gb":64},"workflow":"wf"}"#);
    let numbers = settings.legacy.unwrap();
    let seconds = std::time::Duration::from_secs;
    assert_eq!((numbers.machine.as_str(), numbers.timeout), ("m1", seconds(300)));
    assert_eq!((numbers.poll_every.as_millis(), numbers.reap_after), (250, Some(seconds(90))));
    assert_eq!(settings.redis.expose(), "redis://:canary@hub:6379/0");

    // Ours stand above theirs.
    let own = [
        ("CONNECTORS", "comfyui"),
        ("ACCEPTS", "simulation"),
        ("CONNECTOR", "simulation"),
        ("REDIS_URL", "redis://own"),
    ];
    let settings = legacy(&own).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!((settings.redis.expose().as_str(), settings.connectors.len()), ("redis://own", 1));
    assert!(settings.capabilities.services.contains("simulation"));
}

#[test]
fn a_comfyui_elsewhere_is_found_by_its_old_names() {
    let own = [
        ("WORKER_SERVICES", "comfyui-remote:1"),
        ("WORKER_COMFYUI_REMOTE_HOST", "gpu-box"),
        ("WORKER_COMFYUI_REMOTE_PORT", "8443"),
        ("WORKER_COMFYUI_REMOTE_SECURE", "true"),
        ("WORKER_COMFYUI_REMOTE_USERNAME", "user"),
        ("WORKER_COMFYUI_REMOTE_PASSWORD", "can@ary"),
    ];
    let settings = legacy(&own).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(settings.connector, "comfyui-remote");
    assert_eq!(
        settings.redactor.text("https://user:can%40ary@gpu-box:8443".into()),
        "https://user:[redacted]@gpu-box:8443"
    );
    let twice = [&own[..], &[("WORKER_COMFYUI_REMOTE_API_KEY", "canary")]].concat();
    assert_snapshot!(legacy(&twice).err().unwrap(), @"WORKER003 `COMFYUI_REMOTE_URL` and `COMFYUI_REMOTE_TOKEN` do not go together: the address names a user already; unset `COMFYUI_REMOTE_URL` or `COMFYUI_REMOTE_TOKEN`");
}

#[test]
fn only_a_comfyui_that_is_named_as_of_old_is_taken_for_their_fork() {
    let dialect = |variables: &[(&str, &str)]| {
        let source: BTreeMap<EnvKey, String> =
            variables.iter().map(|(key, value)| (key.parse().unwrap(), (*value).to_owned())).collect();
        old::Old(&source).get(&"COMFYUI_DIALECT".parse().unwrap()).unwrap()
    };
    assert_eq!(dialect(&[("WORKERS", "comfyui:2")]).as_deref(), Some("fork"));
    assert_eq!(dialect(&[("WORKERS", "comfyui:2"), ("COMFYUI_DIALECT", "stock")]).as_deref(), Some("stock"));
    assert_eq!(dialect(&[("WORKERS", "comfyui:2"), ("CONNECTOR", "comfyui")]), None);
    assert_eq!(dialect(&[("WORKERS", "a1111:1")]), None);
}

#[test]
fn an_old_host_is_an_address_and_an_address_may_say_its_wire() {
    let rest =
        [("CONNECTORS", "mock"), ("MACHINE_ID", "m1"), ("WORKER_ID", "w"), ("OUTPUT_URL", "file:///tmp")];
    let host = [&rest[..], &[("BROKER", "legacy"), ("WORKER_REDIS_API_HOST", "hub")]].concat();
    assert_eq!(read(&host).unwrap_or_else(|it| panic!("{it}")).redis.expose(), "redis://hub:6379");
    let address = [&rest[..], &[("REDIS_URL", "legacy+redis://hub")]].concat();
    let settings = read(&address).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!((settings.redis.expose().as_str(), settings.legacy.is_some()), ("redis://hub", true));
    assert!(with(&[]).unwrap_or_else(|it| panic!("{it}")).legacy.is_none());
}

#[test]
fn what_contradicts_itself_about_the_wire_is_told() {
    let both = [("BROKER", "native"), ("REDIS_URL", "legacy+redis://hub")];
    let rest: Vec<_> = WHOLE.into_iter().filter(|it| it.0 != "REDIS_URL").collect();
    assert_snapshot!(read(&[&rest[..], &both].concat()).err().unwrap(), @"WORKER003 `BROKER` and `REDIS_URL` do not go together: the address says `legacy+`; unset `BROKER` or `REDIS_URL`");
    assert_snapshot!(with(&[("BROKER", "legacy"), ("JOB_TIMEOUT_MINUTES", "0")]).err().unwrap(), @r"
    WORKER001 `MACHINE_ID` is not set: the machine that this worker is of; set `MACHINE_ID`, or `MACHINE_ID_FILE` to a file that holds it
    WORKER002 `JOB_TIMEOUT_MINUTES` is not a number of minutes above 0: number would be zero for non-zero type; set `JOB_TIMEOUT_MINUTES` to a number of minutes above 0
    ");
    assert_snapshot!(with(&[("BROKER", "redis")]).err().unwrap(), @"WORKER002 `BROKER` is not `native` or `legacy`: there are `native` and `legacy`; set `BROKER` to `native` or `legacy`");
}
