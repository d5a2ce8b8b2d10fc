//! What the inspection finds, and what it says to do.

use broker::legacy::{Issue, inspect};
use broker::{Broker, Outcome};
use serde_json::json;
use spec::notes::Fault as _;

use crate::server::{Server, claim, finish, settings, worker};
use crate::sheet::Sheet;

pub async fn everything_that_is_wrong_is_named_with_its_cure(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    server.submit("poison", &json!({ "requirements": "{\"hardware\":{\"gpu_memory_gb\":\"16\"}}" })).await;
    server.submit("ended", &json!({ "status": "completed" })).await;
    server.ask::<()>(&["ZADD", "jobs:pending", "1", "ghost"]).await;
    server.submit("nobody", &json!({ "requirements": "{\"component\":\"all\"}" })).await;
    let (broker, me) = (server.legacy().await, worker("w-live"));
    broker.join(&me).await.unwrap();
    server.ask::<()>(&["SADD", "workers:active", "w-silent"]).await;
    server.ask::<()>(&["HSET", "worker:w-mute", "last_heartbeat", "2025-01-01T00:00:00.000Z"]).await;
    server.ask::<()>(&["SET", "worker:completion:step-id:x:attempt:1", "{}"]).await;
    server.submit("orphan", &json!({ "status": "in_progress", "worker_id": "w-gone" })).await;
    server.submit("nowhere", &json!({})).await;
    for id in ["orphan", "nowhere"] {
        server.ask::<()>(&["HSET", "jobs:active:w-gone", id, "{}"]).await;
        server.ask::<()>(&["ZREM", "jobs:pending", id]).await;
    }
    let found = inspect(&server.url(), settings()).await.unwrap();
    let mut told: Vec<String> = found.issues.iter().map(ToString::to_string).collect();
    told.sort();
    let mut expected = vec![
        "the Redis Function `findMatchingJob` is not installed; the TypeScript workers are idle for ever without it",
        "job `poison` stops every TypeScript worker for `comfyui`: `requirements.hardware.gpu_memory_gb` is a text, which cannot be compared with a number",
        "`ghost` is in the line, and there is no such job",
        "job `ended` is in the line although it is completed; it would run again",
        "no live worker that says what it has takes job `nobody`",
        "worker `w-silent` is registered and has no heartbeat",
        "worker `w-mute` is registered and has no heartbeat",
        "job `orphan` is in_progress by `w-gone`, which has no heartbeat; nobody gives it back",
        "job `nowhere` is pending and not in the line; its worker was lost between the two",
    ];
    expected.sort_unstable();
    sheet.eq("13", "everything that is wrong", &told, &expected.into_iter().map(String::from).collect());
    let fixes = found.issues.iter().all(|it| !it.fix().is_empty());
    sheet.is("13", "has a cure", fixes);
    let depth = (found.waiting, found.running, found.workers.clone());
    sheet.eq("13", "how deep the line is", &depth, &(4, 2, vec!["w-live".to_owned()]));
    sheet.eq("13", "for which service", &found.services.get("comfyui"), &Some(&3));

    server.ask::<()>(&["FUNCTION", "LOAD", crate::server::LIBRARY]).await;
    server.ask::<()>(&["SET", "function:checksum:jobMatching", "0a"]).await;
    for n in 0..101 {
        server.submit(&format!("o-{n}"), &json!({ "service_required": "openai", "priority": "90" })).await;
    }
    let found = inspect(&server.url(), settings()).await.unwrap();
    let wrong = found.issues.iter().any(|it| matches!(it, Issue::Checksum { noted, .. } if noted == "0a"));
    sheet.is("5.4", "a function that is another than was installed", wrong);
    let hidden = Issue::Hidden { service: "comfyui".into(), jobs: 3 };
    sheet.is("5.3", "a service behind the window", found.issues.contains(&hidden));

    // The cures work.
    let cancelled = broker.cancel(&"poison".parse().unwrap()).await.unwrap();
    sheet.eq("5.3", "a poison job can be cancelled", &cancelled, &broker::Cancel::Cancelled);
    for id in ["ghost", "ended"] {
        server.ask::<()>(&["ZREM", "jobs:pending", id]).await;
    }
    let reap_after = Some(std::time::Duration::ZERO);
    let reaper = server.legacy_with(broker::legacy::Settings { reap_after, ..settings() }).await;
    sheet.eq("13.1", "the reaper returns what nobody has", &reaper.sweep().await.unwrap().expired, &2);
    let left = inspect(&server.url(), settings()).await.unwrap().issues;
    let cured = |it: &Issue| {
        matches!(
            it,
            Issue::Checksum { .. } | Issue::Unmatched { .. } | Issue::Silent { .. } | Issue::Hidden { .. }
        )
    };
    sheet.is("13", "and the issues are gone", left.iter().all(cured));
    Some(())
}

pub async fn a_sound_queue_has_no_issues(sheet: &Sheet) -> Option<()> {
    let server = Server::with_function().await?;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    for id in ["a", "b", "c"] {
        server.submit(id, &json!({})).await;
    }
    let first = claim(&broker, &me).await.unwrap();
    finish(&broker, &me, &first, Outcome::Success(json!(1))).await;
    claim(&broker, &me).await.unwrap();
    let found = inspect(&server.url(), settings()).await.unwrap();
    sheet.eq("13", "nothing is wrong", &found.issues, &vec![]);
    sheet.eq("13", "what there is", &(found.function, found.waiting, found.running), &(true, 1, 1));
    let sum = found.checksum.unwrap_or_default();
    sheet.eq("2", "the checksum is a SHA-256", &sum.len(), &64);
    server.ask::<()>(&["SET", "function:checksum:jobMatching", &sum]).await;
    let again = inspect(&server.url(), settings()).await.unwrap();
    sheet.eq("5.4", "the checksum that was noted is that of the source", &again.issues, &vec![]);
    Some(())
}
