//! Sections 3.3, 8.4 and 13: jobs that are cancelled, come back, or are nobody's.

use broker::legacy::Settings;
use broker::life::State;
use broker::{Broker, Cancel, Heard as CancelHeard, Outcome, Renewal, Replay, Want};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::ending::went_idle;
use crate::server::{Server, claim, failure, finish, settings, worker};
use crate::sheet::Sheet;

pub async fn a_job_that_waits_is_cancelled(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear) = (server.legacy().await, server.listen().await);
    server.submit("a", &json!({})).await;
    let told = broker.cancel(&"a".parse().unwrap()).await.unwrap();
    sheet.eq("8.4", "it is cancelled at once", &told, &Cancel::Cancelled);
    let job = server.hash("job:a").await;
    let fields = ["status", "error"].map(|it| job[it].as_str());
    sheet.eq("8.4", "the fields", &fields, &["failed", "Job cancelled by user"]);
    sheet.form("8.4", "`failed_at`", &json!(job["failed_at"]), &json!("<iso>"));
    let kept = json!({ "error": "Job cancelled by user", "failed_at": "<iso>", "cancelled": true });
    sheet.form("8.4", "`jobs:failed`", &server.member("jobs:failed", "a").await, &kept);
    sheet.eq("2", "which the API lets last", &server.ttl("jobs:failed").await, &-1);
    sheet.eq("8.4", "the line is empty", &server.keys("jobs:pending").await, &vec![]);
    sheet.eq("8.4", "nobody is told", &ear.heard().await.0.len(), &0);
    let state = broker.status(&"a".parse().unwrap()).await.unwrap().unwrap().life.state;
    sheet.eq("3.3", "a `failed` of this kind is cancelled", &state, &State::Cancelled);
    sheet.eq("8.4", "a second time", &broker.cancel(&"a".parse().unwrap()).await.unwrap(), &Cancel::Finished);
    sheet.eq("8.4", "an unknown one", &broker.cancel(&"x".parse().unwrap()).await.unwrap(), &Cancel::Unknown);
    Some(())
}

pub async fn a_job_that_runs_is_cancelled_and_not_overwritten(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me, ear) = (server.legacy().await, worker("w-0"), server.listen().await);
    let mut cancels = std::pin::pin!(broker.cancels());
    let listening = cancels.next().await.unwrap();
    sheet.eq("14", "a worker listens on `cancel_job`", &listening, &Ok(CancelHeard::Listening));
    for (round, by_api) in [true, false].into_iter().enumerate() {
        let id = format!("a-{round}");
        server.submit(&id, &json!({})).await;
        let claim = claim(&broker, &me).await.unwrap();
        ear.heard().await;
        if by_api {
            server.api_cancels(&id).await;
        } else {
            let told = broker.cancel(&claim.ticket.id).await.unwrap();
            sheet.eq("8.4", "its worker is asked", &told, &Cancel::Asked);
            let message = json!({
                "job_id": id, "worker_id": "w-0", "reason": "Job cancelled by user", "timestamp": "<ms>",
            });
            sheet.form("8.4", "`cancel_job`", &ear.heard().await.one("cancel_job"), &message);
        }
        let told = cancels.next().await.unwrap();
        sheet.eq("14", "and hears of it at once", &told, &Ok(CancelHeard::Cancel(claim.ticket.id.clone())));
        sheet.eq("8.4", "`jobs:active` is empty", &server.keys("jobs:active:*").await, &vec![]);
        let tickets = [claim.ticket.clone()];
        let told = broker.renew(&me, &tickets, std::time::Duration::from_secs(10)).await.unwrap();
        let asked = matches!(told[0], Renewal::Held { cancel: true, .. });
        sheet.is("14", "the worker hears of it when it renews", asked);
        ear.heard().await;
        let late = finish(&broker, &me, &claim, Outcome::Success(json!(1))).await;
        sheet.is("13.2", "a result that comes too late is not heard", !late);
        let heard = ear.heard().await;
        sheet.eq("13.2", "nor told", &heard.on("complete_job").len(), &0);
        went_idle(sheet, &heard);
        sheet.eq(
            "14",
            "the job stays cancelled",
            &server.hash(&format!("job:{id}")).await["status"],
            &"failed".into(),
        );
        sheet.eq("13.2", "it has no result", &server.keys("jobs:completed").await, &vec![]);
        sheet.is("14", "to have stopped is heard", finish(&broker, &me, &claim, Outcome::Stopped).await);
    }
    Some(())
}

pub async fn a_job_handed_back_costs_nothing(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me, ear) = (server.legacy().await, worker("w-0"), server.listen().await);
    server.submit("a", &json!({ "retry_count": "2" })).await;
    let before: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    let first = claim(&broker, &me).await.unwrap();
    ear.heard().await;
    sheet.is("14", "it is heard", finish(&broker, &me, &first, Outcome::HandBack).await);
    let heard = ear.heard().await;
    let job = server.hash("job:a").await;
    let fields = ["status", "worker_id", "assigned_at", "retry_count"].map(|it| job[it].as_str());
    sheet.eq("14", "it waits as before", &fields, &["pending", "", "", "2"]);
    let after: f64 = server.ask(&["ZSCORE", "jobs:pending", "a"]).await;
    sheet.eq("14", "at its place", &after.to_bits(), &before.to_bits());
    sheet.eq("14", "no failure is told", &heard.on("job_failed").len(), &0);
    sheet.eq("14", "or kept", &server.keys("worker:failure:*").await, &vec![]);
    went_idle(sheet, &heard);
    Some(())
}

pub async fn a_late_worker_is_not_heard(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, elsewhere) = (server.legacy().await, server.legacy().await);
    let (me, other) = (worker("w-0"), worker("w-1"));
    server.submit("a", &json!({})).await;
    let first = claim(&broker, &me).await.unwrap();
    // As the API deletes a machine: the job goes back over its worker's head.
    server.ask::<()>(&["HMSET", "job:a", "status", "pending", "worker_id", "", "assigned_at", ""]).await;
    server.ask::<()>(&["ZADD", "jobs:pending", "1", "a"]).await;
    let second = claim(&elsewhere, &other).await.unwrap();
    let outcomes =
        [Outcome::Success(json!(1)), failure(true), failure(false), Outcome::HandBack, Outcome::Stopped];
    let before = server.fields("job:a").await;
    for outcome in outcomes {
        let what = format!("{outcome:?}");
        sheet.is("13.2", &what, !finish(&broker, &me, &first, outcome).await);
    }
    let tickets = [first.ticket.clone()];
    let told = broker.renew(&me, &tickets, std::time::Duration::from_secs(10)).await.unwrap();
    sheet.eq("13.2", "it has lost the job", &told, &vec![Renewal::Lost]);
    sheet.form("13.2", "the job is as it was", &server.fields("job:a").await, &before);
    sheet.eq("13.2", "and no longer among its jobs", &server.keys("jobs:active:w-0").await, &vec![]);
    let done = Outcome::Success(json!(1));
    sheet.is("13.2", "who has it is heard", finish(&elsewhere, &other, &second, done.clone()).await);
    sheet.is("13.2", "and again, if the answer was lost", finish(&elsewhere, &other, &second, done).await);
    Some(())
}

pub async fn a_dead_job_is_replayed(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, me) = (server.legacy().await, worker("w-0"));
    server.submit("a", &json!({})).await;
    server.submit("b", &json!({})).await;
    broker.cancel(&"b".parse().unwrap()).await.unwrap();
    let first = claim(&broker, &me).await.unwrap();
    finish(&broker, &me, &first, failure(false)).await;
    let told = broker.replay(&Replay::All).await.unwrap();
    sheet.eq("3.3", "the dead return, the cancelled do not", &told, &vec!["a".parse().unwrap()]);
    let job = server.hash("job:a").await;
    let fields = ["status", "retry_count"].map(|it| job[it].as_str());
    sheet.eq("3.3", "as new", &(fields, job.get("error")), &(["pending", "0"], None));
    let again = claim(&broker, &me).await.unwrap();
    sheet.eq("3.3", "and can be claimed", &again.ticket.id, &first.ticket.id);
    Some(())
}

pub async fn the_reaper_returns_the_jobs_of_the_dead_and_of_nobody_else(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let now = std::time::Duration::ZERO;
    let reaper = server.legacy_with(Settings { reap_after: Some(now), ..settings() }).await;
    let (broker, dead, live) = (server.legacy().await, worker("dead"), worker("live"));
    for id in ["a", "b", "c"] {
        server.submit(id, &json!({ "retry_count": if id == "c" { "2" } else { "0" } })).await;
    }
    let mut claims = Vec::new();
    for worker in [&dead, &live, &dead] {
        claims.push((worker, claim(&broker, worker).await.unwrap()));
    }
    let state = async |id: &str| server.hash(&format!("job:{id}")).await["status"].clone();
    sheet.eq("13.1", "it is off unless it is wanted", &broker.sweep().await.unwrap().expired, &0);
    sheet.eq("13.1", "nobody is dead yet", &reaper.sweep().await.unwrap().expired, &0);
    server.ask::<()>(&["DEL", "worker:dead:heartbeat"]).await;
    let ear = server.listen().await;
    sheet.eq("13.1", "those of the dead return", &reaper.sweep().await.unwrap().expired, &2);
    let of = |id: &str| claims.iter().find(|(_, it)| it.ticket.id.as_str() == id).unwrap();
    let mut returned = Vec::new();
    for id in ["a", "b", "c"] {
        let (worker, _) = of(id);
        let expected = match (worker.id.as_str(), id) {
            ("live", _) => "in_progress",
            (_, "c") => "failed",
            _ => {
                returned.push(id);
                "pending"
            }
        };
        sheet.eq("13.1", id, &state(id).await, &expected.to_owned());
    }
    for id in &returned {
        let job = server.hash(&format!("job:{id}")).await;
        let fields = ["retry_count", "last_failed_worker", "worker_id"].map(|it| job[it].as_str());
        sheet.eq("3.4", "a run that was lost is a run", &fields, &["1", "dead", ""]);
    }
    let failed: Vec<Value> = ear.heard().await.on("job_failed");
    let lost = claims.iter().any(|(worker, it)| worker.id.as_str() == "dead" && it.ticket.id.as_str() == "c");
    sheet.eq("14", "only what is for good is told", &failed.len(), &usize::from(lost));
    let gone = claims.iter().find(|(worker, _)| worker.id.as_str() == "dead").unwrap();
    sheet.is(
        "13.2",
        "the dead are not heard",
        !finish(&broker, gone.0, &gone.1, Outcome::Success(json!(1))).await,
    );

    // Between the two commands of a retry: in no line, but still among its worker's jobs.
    server.submit("d", &json!({})).await;
    server.ask::<()>(&["ZREM", "jobs:pending", "d"]).await;
    server.ask::<()>(&["HSET", "jobs:active:gone", "d", "{}"]).await;
    sheet.eq("13.3", "what was lost on its way back returns", &reaper.sweep().await.unwrap().expired, &1);
    let queued: Option<f64> = server.ask(&["ZSCORE", "jobs:pending", "d"]).await;
    sheet.is("13.3", "to the line", queued.is_some());
    sheet.eq("13.3", "and no list has it", &server.keys("jobs:active:gone").await, &vec![]);
    let _ = broker.exchange(&live, vec![], Want::NOTHING).await.unwrap();
    Some(())
}
