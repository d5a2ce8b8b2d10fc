//! Section 5.2: our reading of the rules against the function's, on thousands of jobs that chance makes.

use broker::{Broker, Want};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::server::{Server, settings_with_troubles, worker_with};
use crate::sheet::Sheet;

const CASES: usize = 2_000;

pub async fn our_rules_are_those_of_the_function(sheet: &Sheet) -> Option<()> {
    let (theirs, ours) = (Server::with_function().await?, Server::start().await?);
    let workers = [
        json!({ "services": ["comfyui"] }),
        json!({
            "services": ["comfyui", "openai"], "hardware": { "gpu_memory_gb": 24, "ram_gb": 64 },
            "models": { "comfyui": ["sdxl", "flux"] }, "isolated": true, "denied_customers": ["bob"],
            "has": { "region": "eu", "tags": ["x", "y", 3], "cuda": 12, "gpu.vendor": "nvidia", "fast": true },
        }),
        json!({
            "services": ["comfyui"], "hardware": { "gpu_memory_gb": 80, "cpu_cores": 8, "ram_gb": 16 },
            "allowed_customers": ["anna"], "workflow": "wf", "components": ["c"], "has": { "region": "us", "x": 1 },
        }),
    ];
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let (mut takes, mut poison, mut leaves) = (0, 0, 0);
    for case in 0..CASES {
        let job = job().new_tree(&mut runner).unwrap().current();
        let has = &workers[case % workers.len()];
        let me = worker_with("w-0", has);
        for server in [&theirs, &ours] {
            server.ask::<()>(&["FLUSHDB"]).await;
            server.submit("a", &job).await;
        }
        let (settings, troubles) = settings_with_troubles();
        let broker = ours.legacy_with(settings).await;
        let document = broker.capabilities(&me).to_string();
        let called: redis::RedisResult<Option<String>> =
            theirs.try_ask(&["FCALL", "findMatchingJob", "0", &document, "100"]).await;
        let claimed = broker.exchange(&me, vec![], Want::now(1)).await.unwrap().claims.len() == 1;
        let told = troubles.lock().unwrap().len() == 1;
        let (theirs, ours) = match (&called, told, claimed) {
            (Ok(Some(_)), told, claimed) => {
                takes += 1;
                ("takes", if claimed && !told { "takes" } else { "differs" })
            }
            (Ok(None), told, claimed) => {
                leaves += 1;
                ("leaves", if claimed || told { "differs" } else { "leaves" })
            }
            (Err(_), told, claimed) => {
                poison += 1;
                ("raises", if told && !claimed { "raises" } else { "differs" })
            }
        };
        if theirs != ours {
            sheet.is("5.2", &format!("{theirs}: {job} for {has}"), false);
        }
    }
    let seen = format!("{takes} taken, {leaves} left, {poison} poison");
    sheet.is("5.2", &format!("{CASES} jobs are judged alike ({seen})"), true);
    sheet.is("5.2", &format!("of each kind enough: {seen}"), takes > 300 && leaves > 300 && poison > 50);
    Some(())
}

/// Fields of a job, with requirements of every sort, sound and not.
fn job() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        8 => requirements().prop_map(|it| it.to_string()),
        1 => Just(String::new()),
        1 => Just("{not json".to_owned()),
        2 => any_value().prop_map(|it| it.to_string()),
    ];
    let service = prop_oneof![6 => Just("comfyui"), 1 => Just("openai")];
    let customer = prop_oneof![Just(""), Just("anna"), Just("bob")];
    (text, service, customer, prop_oneof![Just(""), Just("wf")]).prop_map(|(text, service, customer, workflow)| {
        json!({ "requirements": text, "service_required": service, "customer_id": customer, "workflow_id": workflow })
    })
}

fn requirements() -> impl Strategy<Value = Value> {
    let set = || prop::collection::btree_map(name(), value(), 0..3).prop_map(|it| json!(it));
    prop_oneof![
        4 => set(),
        3 => (set(), set()).prop_map(|(positive, negative)| {
            json!({ "positive_requirements": positive, "negative_requirements": negative })
        }),
        1 => set().prop_map(|it| json!({ "negative_requirements": it })),
        1 => (any_value(), any_value()).prop_map(|(positive, negative)| {
            json!({ "positive_requirements": positive, "negative_requirements": negative })
        }),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "hardware",
        "hardware",
        "models",
        "customer_isolation",
        "service_type",
        "region",
        "tags",
        "cuda",
        "gpu.vendor",
        "gpu",
        "hardware.gpu_memory_gb",
        "fast",
        "x",
        "components",
        "metadata",
        "component",
    ])
}

fn value() -> impl Strategy<Value = Value> {
    let amounts = prop::collection::btree_map(
        prop::sample::select(vec!["gpu_memory_gb", "cpu_cores", "ram_gb", "disk_gb"]),
        prop_oneof![
            6 => prop::sample::select(vec![1, 8, 16, 24, 64, 80]).prop_map(Value::from),
            1 => Just(json!("all")), 1 => Just(json!("16")), 1 => scalar(),
        ],
        0..3,
    );
    prop_oneof![
        3 => amounts.prop_map(|it| json!(it)),
        3 => scalar(),
        2 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        1 => any_value(),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("eu"),
        json!("us"),
        json!("x"),
        json!("y"),
        json!("sdxl"),
        json!("flux"),
        json!("strict"),
        json!("loose"),
        json!("all"),
        json!("nvidia"),
        json!("c"),
        json!(3),
        json!(11),
        json!(12),
        json!(12.5),
        json!(true),
        json!(false),
        Value::Null,
    ])
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar(),
        Just(json!({})),
        Just(json!([])),
        Just(json!([{}])),
        Just(json!({ "vendor": "nvidia" })),
        Just(json!({ "vendor": ["nvidia"], "y": {} })),
        Just(json!({ "version": "1.2.3" })),
    ]
}
