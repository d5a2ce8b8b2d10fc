//! What a queue does where others have changed or taken away its keys, and whom it leaves alone.

use std::time::Instant;

use broker::{Broker, Outcome, Submission, Want};
use serde_json::json;

use crate::contract::{LONG, SHORT, claim, failure, finish, job, settings, submit, worker, worker_with};
use crate::native::Server;

#[tokio::test]
async fn a_class_that_takes_nothing_of_a_line_is_not_woken() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("calm")).await;
    let (takes, other) = (worker("w"), worker_with("other", json!({ "services": ["openai"] })));
    submit(&broker, job()).await;
    for worker in [&takes, &other] {
        claim(&broker, worker, Want::now(1)).await;
    }
    let woken = async |worker: &broker::Worker| -> bool {
        server.ask(&["EXISTS", &format!("{{calm}}:wake:{}", worker.class())]).await
    };
    for worker in [&takes, &other] {
        let class = worker.class().to_string();
        server.ask::<redis::Value>(&["ZADD", "{calm}:idle", "9000000000000000", &class]).await;
    }
    assert!(!woken(&takes).await && !woken(&other).await);
    submit(&broker, job()).await;
    assert!(woken(&takes).await);
    assert!(!woken(&other).await);
}

#[tokio::test]
async fn the_end_of_a_job_whose_document_was_taken_away_leaves_nothing() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("gone")).await;
    let (me, jobs) = (worker("w"), [job(), job(), job()]);
    broker.submit(&jobs).await.unwrap();
    let claims = claim(&broker, &me, Want::now(2).lease(LONG)).await;
    claim(&broker, &me, Want::now(1).lease(SHORT)).await;
    for job in &jobs {
        server.ask::<redis::Value>(&["DEL", &format!("{{gone}}:b:{}", job.id)]).await;
    }
    assert!(finish(&broker, &me, &claims[0], Outcome::Success(json!(1))).await);
    assert!(finish(&broker, &me, &claims[1], failure(false)).await);
    let end = Instant::now() + LONG;
    while server.ask::<u64>(&["HLEN", "{gone}:j"]).await > 0 {
        assert!(Instant::now() < end, "the lost job is forgotten");
        broker.sweep().await.unwrap();
    }
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "{gone}:b:*"]).await, [""; 0]);
    let again = broker.submit(&jobs).await.unwrap();
    assert!(again.iter().all(|it| matches!(it, Submission::Accepted(_))), "{again:?}");
    let listed = broker.list(&broker::Filter::default(), None, 10).await.unwrap();
    assert_eq!(listed.jobs.len(), 3);
}

#[tokio::test]
async fn what_is_no_job_keeps_nobody_from_seeing_the_others() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("odd")).await;
    let id = submit(&broker, job()).await;
    let claims = claim(&broker, &worker("w"), Want::now(1)).await;
    assert!(finish(&broker, &worker("w"), &claims[0], Outcome::Success(json!(1))).await);
    server.ask::<redis::Value>(&["SET", "{odd}:b:mine", "what\nis\nthis"]).await;
    let finished = broker::Filter { stage: Some(broker::Stage::Succeeded), ..broker::Filter::default() };
    let mut page = broker.list(&finished, None, 10).await.unwrap();
    while let (true, Some(next)) = (page.jobs.is_empty(), page.next.clone()) {
        page = broker.list(&finished, Some(&next), 10).await.unwrap();
    }
    assert_eq!(page.jobs.iter().map(|it| &it.id).collect::<Vec<_>>(), [&id]);
}

#[tokio::test]
async fn a_batch_that_names_a_job_twice_counts_it_once() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("twice")).await;
    // As after the end of something that was never counted.
    server.ask::<redis::Value>(&["HSET", "{twice}:m", "bytes", "-1000"]).await;
    let twice = job();
    let told = broker.submit(&[twice.clone(), twice.clone()]).await.unwrap();
    assert_eq!(told, [Submission::Accepted(twice.id.clone()), Submission::Known(twice.id.clone())]);
    let bytes = i64::try_from(serde_json::to_string(&twice).unwrap().len()).unwrap();
    assert_eq!(server.ask::<i64>(&["HGET", "{twice}:m", "bytes"]).await, bytes - 1000);
}

#[tokio::test]
async fn dead_jobs_whose_time_is_over_do_not_keep_others_from_being_put_back() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("stale")).await;
    let jobs: Vec<_> = (0..40).map(|_| job()).collect();
    broker.submit(&jobs).await.unwrap();
    for _ in 0..2 {
        for claimed in claim(&broker, &worker("w"), Want::now(20)).await {
            assert!(finish(&broker, &worker("w"), &claimed, failure(false)).await);
        }
    }
    // As where nobody has swept for long.
    for job in &jobs[..18] {
        server.ask::<redis::Value>(&["DEL", &format!("{{stale}}:b:{}", job.id)]).await;
    }
    let replayed = broker.replay(&broker::Replay::All).await.unwrap();
    assert_eq!(replayed.len(), 22);
    assert_eq!(broker.counts().await.unwrap().dead, 0);
}
