//! A network that cuts, swallows and delays, and servers that come back as others: calls go on, and nothing is done twice.

use std::time::Duration;

use broker::life::State;
use broker::{Broker, Error, Native, News, Outcome, Progress, Settings, Submission, Want};
use serde_json::json;

use crate::contract::{LONG, claim, claim_one, failure, finish, job, settings, state, submit, worker};
use crate::proxy::Proxy;
use crate::servers::{REDIS, REDIS_6_2, Server, until};

/// A broker behind a proxy, and one that is not.
async fn behind_proxy(settings: Settings, timeout: u32) -> Option<(Native, Proxy, Native, Server)> {
    let server = Server::start(REDIS, &[]).await?;
    let proxy = Proxy::to(server.port).await;
    let url = format!("redis://default:canary@127.0.0.1:{}?timeout={timeout}", proxy.port);
    let behind = Native::connect(&url, settings.clone()).await.unwrap();
    Some((behind, proxy, server.broker(settings).await, server))
}

/// Waits until a worker waits.
async fn waited_on(server: &Server) {
    until("a worker waits", async || {
        server.ask::<String>(&["INFO", "clients"]).await.contains("blocked_clients:1\r")
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_opens_itself_again() {
    let Some((broker, proxy, _direct, _server)) = behind_proxy(settings("cut"), 3_000).await else { return };
    for _ in 0..3 {
        submit(&broker, job()).await;
        proxy.cut();
        let claimed = claim_one(&broker, &worker("w")).await;
        proxy.cut();
        assert!(finish(&broker, &worker("w"), &claimed, Outcome::Success(json!(1))).await);
    }
}

#[tokio::test]
async fn a_slow_server_is_no_dead_one() {
    let Some((broker, proxy, _direct, _server)) = behind_proxy(settings("slow"), 3_000).await else { return };
    proxy.change(|it| it.late = Duration::from_millis(30));
    submit(&broker, job()).await;
    claim_one(&broker, &worker("w")).await;
    assert_eq!(proxy.count(), 1);
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_sent_again_and_done_once() {
    let Some((broker, proxy, direct, _server)) = behind_proxy(settings("lost"), 10_000).await else { return };
    // The server has the scripts before: what follows is one question.
    let before = submit(&broker, job()).await;
    proxy.deafen();
    let jobs = [job().priority(1)];
    let id = &jobs[0].id;
    let (submitted, ()) = tokio::join!(broker.submit(&jobs), async {
        until("it is in the queue", async || direct.status(id).await.unwrap().is_some()).await;
        proxy.cut();
    });
    assert_eq!(submitted, Ok(vec![Submission::Known(id.clone())]));
    assert_eq!(direct.counts().await.unwrap().waiting, 2);

    let claimed = claim_one(&broker, &worker("w")).await;
    proxy.deafen();
    let finishes =
        async { finish(&broker, &worker("w"), &claimed, Outcome::Success(json!("cat.png"))).await };
    let (heard, ()) = tokio::join!(finishes, async {
        until("it is done", async || state(&direct, id).await == State::Succeeded).await;
        proxy.cut();
    });
    assert!(heard, "its worker is not told that it has lost what it did");
    assert_eq!(state(&direct, &before).await, State::Waiting);
}

#[tokio::test]
async fn a_failure_whose_answer_was_lost_is_an_error_and_counts_once() {
    let Some((broker, proxy, direct, _server)) = behind_proxy(settings("failed"), 10_000).await else {
        return;
    };
    let id = submit(&broker, job()).await;
    let ticket = claim_one(&broker, &worker("w")).await.ticket;
    proxy.deafen();
    let (w, failed) = (worker("w"), vec![(ticket, failure(true))]);
    let heals = async {
        until("it failed", async || direct.status(&id).await.unwrap().unwrap().life.attempts > 0).await;
        proxy.cut();
    };
    let (told, ()) = tokio::join!(broker.exchange(&w, failed, Want::NOTHING), heals);
    assert!(matches!(told, Err(Error::Unreachable(_))), "{told:?}");
    // And the next call finds a connection.
    assert_eq!(broker.status(&id).await.unwrap().unwrap().life.attempts, 1);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_comes_back_after_its_lease() {
    let Some((broker, proxy, direct, _server)) = behind_proxy(settings("unheard"), 10_000).await else {
        return;
    };
    let id = submit(&direct, job()).await;
    // The class judges the signature before: what follows is one call.
    let first = claim_one(&direct, &worker("w")).await;
    assert!(finish(&direct, &worker("w"), &first, Outcome::HandBack).await);
    proxy.deafen();
    let want = Want::now(1).lease(Duration::from_millis(50)).wait(LONG);
    let (worker, heal) = (worker("w"), async {
        until("it was given", async || matches!(state(&direct, &id).await, State::Running { .. })).await;
        proxy.cut();
    });
    let (claims, ()) = tokio::join!(claim(&broker, &worker, want), heal);
    assert_eq!((claims[0].ticket.id.clone(), claims[0].crashes), (id, 1));
}

#[tokio::test]
async fn a_worker_that_waits_on_a_dead_connection_finds_its_job_all_the_same() {
    let mut patient = settings("dead");
    patient.sweep_every = Duration::from_millis(200);
    let Some((broker, proxy, direct, server)) = behind_proxy(patient, 100).await else { return };
    let (worker, cuts) = (worker("w"), async {
        waited_on(&server).await;
        proxy.stall();
        submit(&direct, job()).await
    });
    let (claimed, id) = tokio::join!(claim_one(&broker, &worker), cuts);
    assert_eq!(claimed.ticket.id, id);
    // Both that were dead are dropped: the one that waited, and the one of the other calls.
    until("the dead are dropped", async || proxy.count() >= 3 && proxy.open() <= 2).await;
}

#[tokio::test]
async fn a_watch_goes_on_after_a_cut() {
    let Some((broker, proxy, direct, server)) = behind_proxy(settings("watched"), 1_000).await else {
        return;
    };
    let id = submit(&direct, job()).await;
    let claimed = claim_one(&direct, &worker("w")).await;
    let tells = async {
        for _ in 0..2 {
            waited_on(&server).await;
            proxy.cut();
            until("it is noticed", async || {
                server.ask::<String>(&["INFO", "clients"]).await.contains("blocked_clients:0\r")
            })
            .await;
        }
        waited_on(&server).await;
        let progress = Progress { percent: 50, message: "half".into() };
        direct.progress(&claimed.ticket, progress).await.unwrap().unwrap();
    };
    let (events, ()) = tokio::join!(broker.events(&id, None, LONG), tells);
    assert!(matches!(&events.unwrap()[0].news, News::Progress(it) if it.percent == 50));
}

#[tokio::test]
async fn a_silent_network_is_an_error_in_time_that_names_the_address_and_no_password() {
    let Some((broker, proxy, _direct, _server)) = behind_proxy(settings("silent"), 50).await else { return };
    proxy.stall_all();
    let Err(Error::Unreachable(told)) = broker.submit(&[job()]).await else { panic!("it is not there") };
    assert!(told.starts_with(&format!("redis://default@127.0.0.1:{}: ", proxy.port)), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test]
async fn pauses_between_tries_grow() {
    let Some((broker, proxy, _direct, _server)) = behind_proxy(settings("refused"), 500).await else {
        return;
    };
    let before = proxy.count();
    proxy.change(|it| it.closed = true);
    proxy.cut();
    assert!(matches!(broker.counts().await, Err(Error::Unreachable(_))));
    // In 1 s: after 20, 40, 80, 160, 320 and 640 ms, or half of each.
    let tries = proxy.count() - before;
    assert!((3..=9).contains(&tries), "{tries} tries");
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left_and_the_call_sent_again() {
    for name in [REDIS, REDIS_6_2] {
        let Some(server) = Server::start(name, &[]).await else { continue };
        let broker = Native::connect(&server.url(), settings("demoted")).await.unwrap();
        submit(&broker, job()).await;
        let nobody = crate::servers::free_port().to_string();
        server.ask::<redis::Value>(&["REPLICAOF", "127.0.0.1", &nobody]).await;
        let promotes = async {
            until("it refused", async || {
                !server.ask::<String>(&["INFO", "stats"]).await.contains("total_error_replies:0\r")
            })
            .await;
            server.ask::<redis::Value>(&["REPLICAOF", "NO", "ONE"]).await;
        };
        server.ask::<redis::Value>(&["CONFIG", "RESETSTAT"]).await;
        tokio::join!(submit(&broker, job()), promotes);
        assert_eq!(broker.counts().await.unwrap().waiting, 2);
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let Some(server) = Server::start(REDIS, &["requirepass canary"]).await else { return };
    let url = format!("redis://:wrong-canary@127.0.0.1:{}", server.port);
    let Err(Error::Unreachable(told)) = Native::connect(&url, settings("wrong")).await.map(drop) else {
        panic!("it is not let in")
    };
    assert_eq!(told, format!("redis://127.0.0.1:{}: the user or the password is wrong", server.port));
}
