//! What a queue does where Redis has used up its memory.

use broker::{Broker, Cancel, Error, Outcome, Renewal, Submission, Want};
use serde_json::json;

use crate::contract::{LONG, claim, failure, finish, job, settings, state, submit, worker};
use crate::servers::{REDIS, REDIS_6_2, Server, VALKEY};

async fn memory(server: &Server, most: &str) {
    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory", most]).await;
}

#[tokio::test]
async fn what_runs_goes_on_and_ends_though_redis_is_full() {
    for name in [REDIS, REDIS_6_2, VALKEY] {
        let Some(server) = Server::start(name, &[]).await else { return };
        let (broker, me) = (server.broker(settings("full")).await, worker("w"));
        let jobs: Vec<_> = (0..7).map(|_| job()).collect();
        broker.submit(&jobs).await.unwrap();
        let claims = claim(&broker, &me, Want::now(5).lease(LONG)).await;
        memory(&server, "1").await;

        let tickets: Vec<_> = claims.iter().map(|it| it.ticket.clone()).collect();
        let renewed = broker.renew(&me, &tickets, LONG).await.unwrap();
        assert!(renewed.iter().all(|it| matches!(it, Renewal::Held { .. })), "{name}: {renewed:?}");
        assert!(finish(&broker, &me, &claims[0], Outcome::Success(json!("done"))).await);
        assert!(finish(&broker, &me, &claims[1], failure(true)).await);
        assert!(finish(&broker, &me, &claims[2], Outcome::HandBack).await);
        assert_eq!(broker.cancel(&claims[3].ticket.id).await, Ok(Cancel::Asked));
        // Those that ask for jobs besides are told how it was with theirs.
        let done = vec![
            (tickets[3].clone(), Outcome::Stopped),
            (tickets[4].clone(), Outcome::Success(json!(1))),
            (tickets[0].clone(), Outcome::HandBack),
        ];
        let told = broker.exchange(&me, done, Want::now(1).wait(LONG)).await.unwrap();
        let heard: Vec<_> = told.done.iter().map(Result::is_ok).collect();
        assert_eq!(heard, [true, true, false], "{name}");
        assert_eq!(broker.cancel(&jobs[6].id).await, Ok(Cancel::Cancelled));
        broker.pause(true).await.unwrap();
        broker.pause(false).await.unwrap();

        memory(&server, "0").await;
        let counts = broker.counts().await.unwrap();
        assert_eq!(counts.running + told.claims.len() as u64, 2 * told.claims.len() as u64);
        assert_eq!(state(&broker, &jobs[0].id).await, broker::life::State::Succeeded);
        assert_eq!(state(&broker, &jobs[3].id).await, broker::life::State::Cancelled);
        let audit = broker.audit(|_| ()).await.unwrap();
        assert_eq!(audit.damage, [], "{name}");
    }
}

#[tokio::test]
async fn whoever_submits_to_a_full_redis_is_told_so_and_what_is_in_the_queue() {
    for name in [REDIS, REDIS_6_2, VALKEY] {
        let Some(server) = Server::start(name, &[]).await else { return };
        let broker = server.broker(settings("full")).await;
        submit(&broker, job()).await;
        memory(&server, "1").await;
        let told = broker.submit(&[job(), job()]).await;
        assert_eq!(told, Err(Error::NoMemory { submitted: vec![] }), "{name}");

        // It is full half way.
        let used: String = server.ask(&["INFO", "memory"]).await;
        let used = used.lines().find_map(|it| it.strip_prefix("used_memory:")).unwrap();
        memory(&server, &(used.parse::<u64>().unwrap() + 400_000).to_string()).await;
        let jobs: Vec<_> = (0..60).map(|_| job().payload(json!("x".repeat(20_000)))).collect();
        let broker = server.broker(broker::Settings { byte_budget: 1 << 30, ..settings("full") }).await;
        let Err(Error::NoMemory { submitted }) = broker.submit(&jobs).await else { panic!("{name}") };
        assert!((1..60).contains(&submitted.len()), "{name}: {}", submitted.len());
        memory(&server, "0").await;
        assert_eq!(broker.counts().await.unwrap().waiting, 1 + submitted.len() as u64);
        let again = broker.submit(&jobs).await.unwrap();
        let known = again.iter().filter(|it| matches!(it, Submission::Known(_))).count();
        assert_eq!(known, submitted.len(), "{name}");
    }
}
