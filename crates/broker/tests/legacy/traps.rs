//! Section 5.3, and what else lies in wait in a line: each trap is set, with the function and without, and a good job behind it.

use broker::legacy::{Legacy, Trouble};
use broker::{Broker, Outcome};
use serde_json::{Value, json};

use crate::server::{Server, claim, finish, settings_with_troubles, worker, worker_with};
use crate::sheet::Sheet;

/// Both ways to claim.
async fn servers() -> Option<[Server; 2]> {
    Some([Server::start().await?, Server::with_function().await?])
}

/// The ids that a worker gets, in its order.
async fn all(broker: &Legacy) -> Vec<String> {
    let me = worker("w-0");
    let mut ids = Vec::new();
    while let Some(claim) = claim(broker, &me).await {
        ids.push(claim.ticket.id.to_string());
    }
    ids
}

pub async fn documented_fields_make_jobs_unmatchable(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        let traps = [
            json!({ "component": "all" }),
            json!({ "workflow": "all" }),
            json!({ "timeout_minutes": 30 }),
            json!({ "quality_level": "high" }),
            json!({ "geographic_region": "eu" }),
            json!({ "compliance": ["gdpr"] }),
            json!({ "x": null }),
            json!({ "x": {} }),
            json!({ "hardware": { "cpu_cores": 4 } }),
        ];
        for (n, trap) in traps.iter().enumerate() {
            let fields = json!({ "priority": "90", "requirements": trap.to_string() });
            server.submit(&format!("trap-{n}"), &fields).await;
        }
        server.submit("good", &json!({})).await;
        let (settings, troubles) = settings_with_troubles();
        let broker = server.legacy_with(settings).await;
        sheet.eq("5.3", "they wait, and stop nobody", &all(&broker).await, &vec!["good".to_owned()]);
        sheet.eq("5.3", "that is no error", &troubles.lock().unwrap().len(), &0);
        let waiting = broker.unmatchable().await.unwrap().iter().map(|(_, jobs)| jobs).sum::<u64>();
        sheet.eq("5.3", "they are told of when asked", &waiting, &(traps.len() as u64));
    }
    Some(())
}

pub async fn negative_requirements_alone_never_match(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        let alone = json!({ "negative_requirements": { "slow": true } });
        let beside = json!({ "positive_requirements": {}, "negative_requirements": { "slow": true } });
        server.submit("alone", &json!({ "requirements": alone.to_string() })).await;
        server.submit("beside", &json!({ "requirements": beside.to_string() })).await;
        let broker = server.legacy().await;
        sheet.eq("5.3", "only with a positive set", &all(&broker).await, &vec!["beside".to_owned()]);
        // Which is how we submit them.
        let needs = broker::Requirements::read(&json!({ "not": [{ "has": { "slow": true } }] })).unwrap();
        let job = broker::Job::new("comfyui".parse().unwrap()).requirements(needs);
        let id = broker.submit(&[job]).await.unwrap()[0].id().to_string();
        sheet.eq("5.3", "as ours have it", &all(&broker).await, &vec![id]);
    }
    Some(())
}

pub async fn poison_jobs_stop_nobody_and_are_told_once(sheet: &Sheet) -> Option<()> {
    let poison = [
        ("null", "`requirements` is null, not an object"),
        (r#"{"hardware":null}"#, "`requirements.hardware` is null, not an object"),
        (
            r#"{"hardware":{"gpu_memory_gb":"16"}}"#,
            "`requirements.hardware.gpu_memory_gb` is a text, which cannot be compared with a number",
        ),
        ("5", "`requirements` is a number, not an object"),
        (r#"{"positive_requirements":null}"#, "`requirements.positive_requirements` is null, not an object"),
        (
            r#"{"positive_requirements":{},"negative_requirements":null}"#,
            "`requirements.negative_requirements` is null, not an object",
        ),
    ];
    for (installed, server) in servers().await?.into_iter().enumerate() {
        for (n, (text, _)) in poison.iter().enumerate() {
            let fields = json!({ "priority": "90", "requirements": text });
            server.submit(&format!("poison-{n}"), &fields).await;
        }
        for n in 0..3 {
            server.submit(&format!("good-{n}"), &json!({})).await;
        }
        let (settings, troubles) = settings_with_troubles();
        let broker = server.legacy_with(settings).await;
        if installed == 1 {
            let has = broker.capabilities(&worker("w-0")).to_string();
            let called =
                server.try_ask::<Option<String>>(&["FCALL", "findMatchingJob", "0", &has, "100"]).await;
            sheet.is("5.3", "the function stops at them", called.is_err());
        }
        let good: Vec<String> = ["good-2", "good-1", "good-0"].map(String::from).to_vec();
        sheet.eq("5.3", "our workers do not", &all(&broker).await, &good);
        sheet.eq("5.3", "however often they look", &all(&broker).await, &vec![]);
        let mut told = troubles.lock().unwrap().clone();
        told.sort_by_key(ToString::to_string);
        let expected = poison
            .iter()
            .enumerate()
            .map(|(n, (_, reason))| Trouble::Poison { id: format!("poison-{n}"), reason: (*reason).into() });
        sheet.eq("5.3", "each is told of once, with its reason", &told, &expected.collect());
        let left: Vec<String> = server.ask(&["ZRANGE", "jobs:pending", "0", "-1"]).await;
        sheet.eq("5.3", "and left for whoever mends it", &left.len(), &poison.len());

        // Workers for another service look at none of it.
        let (settings, troubles) = settings_with_troubles();
        let broker = server.legacy_with(settings).await;
        server.submit("other", &json!({ "service_required": "openai" })).await;
        let other = worker_with("w-9", &json!({ "services": ["openai"] }));
        let got = claim(&broker, &other).await.map(|it| it.ticket.id.to_string());
        sheet.eq("5.3", "workers of other services do not meet them", &got, &Some("other".into()));
        sheet.eq("5.3", "nor hear of them", &troubles.lock().unwrap().len(), &0);
    }
    Some(())
}

pub async fn no_null_is_in_what_a_worker_says(sheet: &Sheet) -> Option<()> {
    let server = Server::with_function().await?;
    let broker = server.legacy().await;
    let isolated = json!({ "positive_requirements": { "customer_isolation": "strict" } }).to_string();
    let hardware = json!({ "hardware": { "gpu_memory_gb": 1 } }).to_string();
    server.submit("isolated", &json!({ "requirements": isolated })).await;
    server.submit("hardware", &json!({ "requirements": hardware })).await;
    server.submit("plain", &json!({})).await;
    // The least that a worker can say, and everything.
    let least = worker_with("least", &json!({ "services": ["comfyui"] }));
    let most = json!({
        "services": ["comfyui"], "hardware": { "gpu_memory_gb": 24 }, "models": { "comfyui": ["a"], "b": "any" },
        "components": ["c"], "isolated": true, "allowed_customers": ["anna"], "denied_customers": ["bob"],
        "workflow": "wf", "has": { "gpu.vendor": "nvidia", "tags": ["x"], "cuda": 12.1 },
    });
    for (worker, got) in [(least, Some("plain")), (worker_with("most", &most), None)] {
        let document = broker.capabilities(&worker);
        sheet.is("5.3", "nothing is null", !has_null(&document));
        let id = claim(&broker, &worker).await.map(|it| it.ticket.id.to_string());
        sheet.eq("5.3", "and the function bears it", &id.as_deref(), &got);
    }
    let document = broker.capabilities(&worker_with("most", &most));
    let said = ["gpu", "components", "workflow_id", "cuda"].map(|it| document[it].clone());
    let expected = [json!({ "vendor": "nvidia" }), json!(["c"]), json!("wf"), json!(12.1)];
    sheet.eq("6.2", "capabilities of one's own are at the top", &said, &expected);
    Some(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(them) => them.iter().any(has_null),
        Value::Object(them) => them.values().any(has_null),
        _ => false,
    }
}

pub async fn jobs_for_others_hide_nothing(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        let others = json!({ "priority": "90", "service_required": "openai" });
        for n in 0..150 {
            server.submit(&format!("other-{n}"), &others).await;
        }
        server.submit("mine", &json!({})).await;
        let broker = server.legacy().await;
        sheet.eq("5.3", "at place 151", &all(&broker).await, &vec!["mine".to_owned()]);
    }
    // Far beyond what one attempt looks at.
    let server = Server::with_function().await?;
    let load = "for n = 1, 9000 do redis.call('HSET', 'job:o' .. n, 'id', 'o' .. n, 'service_required', 'openai') \
                redis.call('ZADD', 'jobs:pending', 9e16, 'o' .. n) end";
    server.ask::<()>(&["EVAL", load, "0"]).await;
    server.submit("deep", &json!({})).await;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    let want = broker::Want::now(1).wait(crate::server::LONG);
    let claims = broker.exchange(&me, vec![], want).await.unwrap().claims;
    let ids: Vec<&str> = claims.iter().map(|it| it.ticket.id.as_str()).collect();
    sheet.eq("5.3", "at place 9001", &ids, &vec!["deep"]);
    Some(())
}

pub async fn ghosts_are_passed_by(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        for n in 0..120 {
            server.ask::<()>(&["ZADD", "jobs:pending", "9e16", &format!("ghost-{n}")]).await;
        }
        server.submit("good", &json!({})).await;
        let broker = server.legacy().await;
        sheet.eq("5.1", "behind 120 ghosts", &all(&broker).await, &vec!["good".to_owned()]);
        let left: u64 = server.ask(&["ZCARD", "jobs:pending"]).await;
        sheet.eq("5.1", "which stay", &left, &120);
        sheet.eq("5.1", "and become no jobs", &server.keys("job:ghost-*").await, &vec![]);
    }
    Some(())
}

pub async fn a_job_that_ended_in_the_line_does_not_run_again(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        // The API has written the one state and not yet taken it off the line; a late worker has completed the other.
        let failed = json!({ "status": "failed", "error": "Job cancelled by user", "failed_at": "2025-01-01T00:01:00.000Z" });
        server.submit("cancelled", &failed).await;
        server.submit("completed", &json!({ "status": "completed", "worker_id": "late" })).await;
        server.submit("again", &json!({ "status": "in_progress", "worker_id": "late" })).await;
        let broker = server.legacy().await;
        sheet.eq("8.4", "only what is to run", &all(&broker).await, &vec!["again".to_owned()]);
        for (id, owner) in [("cancelled", ""), ("completed", "late")] {
            let job = server.hash(&format!("job:{id}")).await;
            let found = (job["status"].as_str(), job.get("worker_id").map_or("", String::as_str));
            let expected = (if id == "cancelled" { "failed" } else { id }, owner);
            sheet.eq("8.4", "the others are as they were", &found, &expected);
        }
        sheet.is("8.4", "and nobody's", !server.keys("jobs:active:*").await.is_empty());
        let active: Vec<String> = server.ask(&["HKEYS", "jobs:active:w-0"]).await;
        sheet.eq("8.4", "of ours", &active, &vec!["again".to_owned()]);
    }
    Some(())
}

pub async fn a_key_of_another_type_loses_no_job(sheet: &Sheet) -> Option<()> {
    for (installed, server) in servers().await?.into_iter().enumerate() {
        server.submit("a", &json!({})).await;
        server.ask::<()>(&["SET", "worker:w-0", "of another type"]).await;
        let broker = server.legacy().await;
        let told = broker.exchange(&worker("w-0"), vec![], broker::Want::now(1)).await;
        let foreign = matches!(&told, Err(broker::Error::Foreign { key }) if key == "worker:w-0");
        sheet.is("5.1", "a worker that could lose jobs does not begin", foreign);
        sheet.eq("5.1", "and they wait", &server.hash("job:a").await["status"], &"pending".into());

        // The stream of a job is written last.
        server.ask::<()>(&["DEL", "worker:w-0"]).await;
        server.ask::<()>(&["SET", "progress:a", "of another type"]).await;
        let (settings, troubles) = settings_with_troubles();
        let broker = server.legacy_with(settings).await;
        server.submit("b", &json!({ "priority": "1" })).await;
        sheet.is("5.1", "others are claimed", all(&broker).await.contains(&"b".to_owned()));
        let _ = all(&broker).await;
        let state = server.hash("job:a").await["status"].clone();
        sheet.eq("5.1", "and this one waits", &state, &"pending".into());
        let queued: Option<f64> = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
        sheet.is("5.1", "in the line", queued.is_some());
        let told = troubles.lock().unwrap().iter().any(|it| it.to_string().contains("`progress:a`"));
        sheet.is("5.1", "which is told", told || installed == 1);
    }
    Some(())
}

pub async fn ids_that_are_not_ours_are_left_to_others(sheet: &Sheet) -> Option<()> {
    for server in servers().await? {
        server.submit("user:7", &json!({ "priority": "90", "retry_count": "1" })).await;
        server.submit("broken", &json!({ "priority": "80", "payload": "{" })).await;
        server.submit("good", &json!({})).await;
        let (settings, troubles) = settings_with_troubles();
        let broker = server.legacy_with(settings).await;
        sheet.eq("3.1", "the good one is claimed", &all(&broker).await, &vec!["good".to_owned()]);
        let job = server.hash("job:user:7").await;
        let fields = ["status", "retry_count"].map(|it| job[it].as_str());
        sheet.eq("3.1", "an id with a colon waits for others", &fields, &["pending", "1"]);
        let broken = server.hash("job:broken").await;
        sheet.eq("3.4", "a payload that is no JSON fails", &broken["status"], &"failed".into());
        let mut told: Vec<String> = troubles.lock().unwrap().iter().map(|it| format!("{it}")).collect();
        told.sort();
        sheet.eq("5.3", "both are told of", &told.len(), &2);
    }
    Some(())
}

pub async fn a_function_that_goes_missing_is_done_without(sheet: &Sheet) -> Option<()> {
    let server = Server::with_function().await?;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    for id in ["a", "b", "c"] {
        server.submit(id, &json!({})).await;
    }
    let first = claim(&broker, &me).await.unwrap();
    sheet.is("5.4", "with it", finish(&broker, &me, &first, Outcome::Success(json!(1))).await);
    // Its installer deletes it before it loads it again.
    server.ask::<()>(&["FUNCTION", "DELETE", "jobMatching"]).await;
    let second = claim(&broker, &me).await;
    sheet.is("5.4", "while it is away", second.is_some());
    server.ask::<()>(&["FUNCTION", "LOAD", crate::server::LIBRARY]).await;
    finish(&broker, &me, &second.unwrap(), Outcome::Success(json!(1))).await;
    let before: String = server.ask(&["INFO", "commandstats"]).await;
    let later = server.legacy().await;
    sheet.is("5.4", "and with it again", claim(&later, &me).await.is_some());
    let calls = |text: &str| {
        text.split("cmdstat_fcall:calls=").nth(1).map(|it| it.split(',').next().map(str::to_owned))
    };
    let after: String = server.ask(&["INFO", "commandstats"]).await;
    sheet.is("5.4", "by those who look", calls(&before) != calls(&after));
    Some(())
}
