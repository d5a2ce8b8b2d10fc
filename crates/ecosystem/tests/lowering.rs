//! What a plan becomes, in the seeds' own examples and for any plan.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ecosystem::{Ecosystem, Until, lower};
use insta::assert_snapshot;
use proptest::prelude::*;
use spec::ids::EnvKey;
use spec::model::{AllocationPlan, Hosting, InventoryOrigin, Isolation, PLACEHOLDERS, PlanParts};
use spec::source::SourceText;
use support::{comfyui, key, plan, template};

fn declared(roster: &str, cards: u16) -> AllocationPlan {
    plan("m1", "/workspace", roster, cards, InventoryOrigin::Declared)
}

fn public() -> BTreeMap<EnvKey, String> {
    [
        ("REDIS_URL", "redis://redis:6379"),
        ("LOG_LEVEL", "info"),
        ("COMFYUI_LOG_LEVEL", "INFO # \"1\""),
        ("OTHER", "x"),
    ]
    .map(|(name, value)| (key(name), value.to_owned()))
    .into()
}

/// One line a process: what tells it from the others.
fn brief(ecosystem: &Ecosystem) -> String {
    let mut text = String::new();
    for app in ecosystem.setup.iter().chain(&ecosystem.apps) {
        let role = &app.roster;
        let _ = write!(text, "{}: {} {}", app.name, app.script, app.args.join(" "));
        if let Some(gpu) = &role.gpu {
            let _ = write!(text, " on {} ({})", gpu.label, gpu.identity);
        }
        for name in ["CUDA_VISIBLE_DEVICES", "WORKER_GPU_ID", "SERVICE_URL", "SERVICE_URLS", "WORKER_IDS"] {
            if let Some(value) = app.env.get(name) {
                let _ = write!(text, " {name}={value:?}");
            }
        }
        for it in &role.depends_on {
            let _ = write!(text, " after {} {:?}", it.name, it.until);
        }
        text.push('\n');
    }
    text
}

macro_rules! check {
    ($plan:expr, @$expected:literal) => { assert_snapshot!(brief(&lower(&$plan, &public()).unwrap()), @$expected) };
}

#[test]
fn four_comfyui_workers_on_two_cards_take_turns() {
    check!(declared("comfyui:4", 2), @r#"
    comfyui-install: roster install apply comfyui
    comfyui-gpu0: python3 main.py --listen 127.0.0.1 --port 8188 on gpu0 (0) CUDA_VISIBLE_DEVICES="0" after comfyui-install Completed
    comfyui-gpu1: python3 main.py --listen 127.0.0.1 --port 8189 on gpu1 (GPU-0000-1) CUDA_VISIBLE_DEVICES="GPU-0000-1" after comfyui-install Completed
    comfyui-worker-0: roster worker WORKER_GPU_ID="0" SERVICE_URL="http://127.0.0.1:8188" after comfyui-gpu0 Healthy
    comfyui-worker-1: roster worker WORKER_GPU_ID="1" SERVICE_URL="http://127.0.0.1:8189" after comfyui-gpu1 Healthy
    comfyui-worker-2: roster worker WORKER_GPU_ID="0" SERVICE_URL="http://127.0.0.1:8188" after comfyui-gpu0 Healthy
    comfyui-worker-3: roster worker WORKER_GPU_ID="1" SERVICE_URL="http://127.0.0.1:8189" after comfyui-gpu1 Healthy
    "#);
}

#[test]
fn the_mixed_machine_of_the_seeds() {
    check!(declared("comfyui:2,openai:6,playwright:1", 2), @r#"
    comfyui-install: roster install apply comfyui
    comfyui-gpu0: python3 main.py --listen 127.0.0.1 --port 8188 on gpu0 (0) CUDA_VISIBLE_DEVICES="0" after comfyui-install Completed
    comfyui-gpu1: python3 main.py --listen 127.0.0.1 --port 8189 on gpu1 (GPU-0000-1) CUDA_VISIBLE_DEVICES="GPU-0000-1" after comfyui-install Completed
    playwright-service: playwright run-server --port=9190 --tools=9222
    comfyui-worker-0: roster worker WORKER_GPU_ID="0" SERVICE_URL="http://127.0.0.1:8188" after comfyui-gpu0 Healthy
    comfyui-worker-1: roster worker WORKER_GPU_ID="1" SERVICE_URL="http://127.0.0.1:8189" after comfyui-gpu1 Healthy
    openai-worker-0: roster worker
    openai-worker-1: roster worker
    openai-worker-2: roster worker
    openai-worker-3: roster worker
    openai-worker-4: roster worker
    openai-worker-5: roster worker
    playwright-worker-0: roster worker SERVICE_URL="http://127.0.0.1:9190" after playwright-service Healthy
    "#);
}

#[test]
fn workers_of_services_elsewhere_wait_for_nobody() {
    check!(declared("openai:2,replicate:1", 0), @r#"
    openai-worker-0: roster worker
    openai-worker-1: roster worker
    replicate-worker-0: roster worker
    "#);
}

#[test]
fn a_mock_machine_runs_gpu_services_on_the_processor() {
    check!(plan("m1", "/workspace", "comfyui:1", 1, InventoryOrigin::Mock), @r#"
    comfyui-install: roster install apply comfyui
    comfyui-gpu0: python3 main.py --listen 127.0.0.1 --port 8188 --cpu CUDA_VISIBLE_DEVICES="" after comfyui-install Completed
    comfyui-worker-0: roster worker WORKER_GPU_ID="0" SERVICE_URL="http://127.0.0.1:8188" after comfyui-gpu0 Healthy
    "#);
}

#[test]
fn workers_that_share_a_process_are_its_slots() {
    check!(declared("comfyui-pool:3,openai-shared:2", 2), @r#"
    comfyui-install: roster install apply comfyui
    comfyui-gpu0: python3 main.py --listen 127.0.0.1 --port 8188 on gpu0 (0) CUDA_VISIBLE_DEVICES="0" after comfyui-install Completed
    comfyui-gpu1: python3 main.py --listen 127.0.0.1 --port 8189 on gpu1 (GPU-0000-1) CUDA_VISIBLE_DEVICES="GPU-0000-1" after comfyui-install Completed
    comfyui-pool-worker: roster worker SERVICE_URLS="http://127.0.0.1:8188,http://127.0.0.1:8189,http://127.0.0.1:8188" WORKER_IDS="m1-worker-comfyui-pool-0,m1-worker-comfyui-pool-1,m1-worker-comfyui-pool-2" after comfyui-gpu0 Healthy after comfyui-gpu1 Healthy
    openai-shared-worker: roster worker WORKER_IDS="m1-worker-openai-shared-0,m1-worker-openai-shared-1"
    "#);
}

#[test]
fn the_whole_document_of_a_small_machine() {
    assert_snapshot!(lower(&declared("comfyui:1,openai:1", 1), &public()).unwrap().to_json());
}

#[test]
fn a_redis_url_that_is_not_public_is_named_as_a_secret() {
    let ecosystem = lower(&declared("openai:1", 0), &BTreeMap::new()).unwrap();
    let role = &ecosystem.apps[0].roster;
    let own: Vec<_> = role.secrets.iter().filter(|it| !it.as_str().starts_with("AWS_")).collect();
    assert_eq!(own, [&key("OPENAI_API_KEY"), &key("REDIS_URL")]);
    let url = key("REDIS_URL");
    assert!(lower(&declared("openai:1", 0), &public()).unwrap().apps[0].env.contains_key(&url));
}

#[test]
fn a_worker_is_given_what_every_worker_reads_and_what_its_entry_names() {
    let ecosystem = lower(&declared("openai:1", 0), &BTreeMap::new()).unwrap();
    let role = &ecosystem.apps[0].roster;
    let all = |secret: bool, own: &[&str]| {
        let wide =
            ecosystem::MACHINE_WIDE.iter().filter(|it| it.1 == secret && it.0 != "REDIS_URL").map(|it| it.0);
        wide.chain(own.iter().copied()).map(key).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(role.environment.iter().eq(&all(false, &["OPENAI_BASE_URL", "WORKER_POLL_MS"])));
    assert!(role.secrets.iter().eq(&all(true, &["OPENAI_API_KEY", "REDIS_URL"])));
}

#[test]
fn a_relative_working_directory_lies_in_the_workspace() {
    let ecosystem =
        lower(&plan("m1", "/w/", "playwright:1", 0, InventoryOrigin::Declared), &public()).unwrap();
    let app = &ecosystem.apps[0];
    assert_eq!(
        (app.cwd.as_str(), app.out_file.as_str()),
        ("/w/playwright", "/w/logs/playwright-service.log")
    );
}

#[test]
fn a_service_may_be_started_with_every_placeholder() {
    let wanted = PLACEHOLDERS.map(|it| format!("{it}=${{{it}}}")).join(" ");
    let ecosystem = lower(&started_by(&[&wanted, "${PORT_HTTP}"]), &public()).unwrap();
    assert_eq!(
        ecosystem.apps[0].script,
        "PORT=8188 INSTANCE=0 NAME=comfyui-gpu0 LISTEN=127.0.0.1 WORKSPACE=/workspace"
    );
    assert_eq!(ecosystem.apps[0].args, ["8188"]);
}

#[test]
fn what_a_service_cannot_be_started_with_is_told_in_full() {
    let plan = started_by(&["${PROGRAM}", "--port=${PORT_GRPC}"]);
    let faults = lower(&plan, &public()).unwrap_err();
    let told: Vec<_> = faults.iter().map(|it| format!("{} {}", it.code.id, it.message)).collect();
    assert_eq!(
        told,
        [
            "ECO007 `comfyui-gpu0` is started or probed with `${PROGRAM}`, which it does not have",
            "ECO007 `comfyui-gpu0` is started or probed with `${PORT_GRPC}`, which it does not have",
        ]
    );
}

/// `comfyui:1` with another command.
fn started_by(command: &[&str]) -> AllocationPlan {
    let mut service = comfyui();
    let Hosting::Local(local) = &mut service.hosting else { unreachable!() };
    local.start.command = command.iter().map(|it| template(it)).collect();
    let right = declared("comfyui:1", 1);
    let mut services = right.services().to_vec();
    services[0].service = service.into();
    let parts = PlanParts {
        machine: right.machine().clone(),
        inventory: right.inventory().clone(),
        workspace: right.workspace().into(),
        health_port: right.health_port(),
        published: false,
        stage: right.stage().clone(),
        services,
        workers: right.workers().to_vec(),
    };
    AllocationPlan::try_new(parts).unwrap()
}

fn rosters() -> impl Strategy<Value = String> {
    let names = ["comfyui", "openai", "openai-shared", "replicate", "playwright"];
    let counts: Vec<_> = names.iter().map(|_| 0..5_u16).collect();
    (counts, Just(names).prop_shuffle()).prop_map(|(counts, names)| {
        let entries = names.iter().zip(counts).filter(|(_, count)| *count > 0);
        entries.map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_plan_becomes_its_own_processes_and_nothing_else(
        roster in rosters(),
        cards in 1..4_u16,
        mock in any::<bool>(),
        machine in "[a-z][a-z0-9-]{0,62}",
    ) {
        let origin = if mock { InventoryOrigin::Mock } else { InventoryOrigin::Detected };
        let plan = plan(&machine, "/workspace", &roster, cards, origin);
        // The same canary as the value of every variable that anyone declares secret.
        let declares = ["HF_TOKEN", "OPENAI_API_KEY", "REPLICATE_API_KEY"];
        let mut environment = public();
        environment.extend(declares.map(|it| (key(it), "canary-7f3a".to_owned())));
        let ecosystem = lower(&plan, &environment).unwrap();

        let services = plan.services().iter().map(|it| it.name.to_string());
        let workers = plan.workers().iter().filter_map(|it| match it.worker.isolation {
            Isolation::Process => Some(it.name.to_string()),
            Isolation::SharedProcess => (it.index == 0).then(|| format!("{}-worker", it.worker.name)),
        });
        let planned: Vec<String> = services.chain(workers).collect();
        let names: Vec<String> = ecosystem.apps.iter().map(|it| it.name.to_string()).collect();
        prop_assert_eq!(names, planned);

        for worker in plan.workers().iter().filter(|it| it.worker.isolation == Isolation::Process) {
            let app = ecosystem.apps.iter().find(|it| it.name == worker.name).unwrap();
            let waits: Vec<_> = app.roster.depends_on.iter().map(|it| (&it.name, it.until)).collect();
            let instance = plan.instance_of(worker);
            prop_assert_eq!(waits, instance.map(|it| (&it.name, Until::Healthy)).into_iter().collect::<Vec<_>>());
            let url = instance.map(|it| format!("http://127.0.0.1:{}", it.ports["http"]));
            prop_assert_eq!(app.env.get("SERVICE_URL"), url.as_ref());
            prop_assert_eq!(&app.env["WORKER_ID"], worker.id.as_str());
            prop_assert!(!app.env.contains_key("CUDA_VISIBLE_DEVICES"));
        }
        let text = ecosystem.to_json();
        prop_assert!(!text.contains("canary"));
        for it in ecosystem.apps.iter().chain(&ecosystem.setup) {
            let named: BTreeSet<_> = it.roster.secrets.iter().collect();
            prop_assert!(it.env.keys().all(|key| !named.contains(key)));
        }
        // Reading holds that names and ports are unique, and that dependencies are there and have an order.
        let read = Ecosystem::read(&SourceText::open("ecosystem.json", text.as_str()));
        prop_assert_eq!(read.as_ref(), Ok(&ecosystem));
        prop_assert_eq!(read.unwrap().to_json(), text);
    }

    #[test]
    fn a_public_value_survives_byte_for_byte(value in any::<String>()) {
        let environment = BTreeMap::from([(key("COMFYUI_LOG_LEVEL"), value.clone())]);
        let text = lower(&declared("comfyui:1", 1), &environment).unwrap().to_json();
        let read = Ecosystem::read(&SourceText::open("ecosystem.json", text)).unwrap();
        prop_assert_eq!(&read.apps[0].env["COMFYUI_LOG_LEVEL"], &value);
    }
}
