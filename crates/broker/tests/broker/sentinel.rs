//! A master that dies under its sentinels.

use std::time::Duration;

use broker::life::State;
use broker::{Broker, Error, Job, Native, Outcome, Want};
use serde_json::json;

use crate::acl::{rules, user};
use crate::contract::{job, settings, state, worker};
use crate::servers::{REDIS, Server, until};

/// A master with a replica, and three sentinels that agree about them.
async fn guarded() -> Option<(Server, Server, Vec<Server>)> {
    let master = Server::start(REDIS, &[]).await?;
    let replica = Server::start(REDIS, &[&format!("replicaof 127.0.0.1 {}", master.port)]).await?;
    until("the replica follows", async || {
        replica.ask::<String>(&["INFO", "replication"]).await.contains("master_link_status:up")
    })
    .await;
    let monitor = format!("sentinel monitor main 127.0.0.1 {} 2", master.port);
    let quick = ["sentinel down-after-milliseconds main 300", "sentinel failover-timeout main 2000"];
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        let secret = "requirepass sentinel-canary";
        let secret_of_others = "sentinel sentinel-pass sentinel-canary";
        sentinels
            .push(Server::start(REDIS, &[&monitor, quick[0], quick[1], secret, secret_of_others]).await?);
    }
    for sentinel in &sentinels {
        let knows = async || {
            let mut connection = sentinel.connect("sentinel-canary").await;
            let mut question = redis::cmd("SENTINEL");
            let told: std::collections::HashMap<String, String> =
                question.arg("MASTER").arg("main").query_async(&mut connection).await.unwrap();
            told["num-other-sentinels"] == "2" && told["num-slaves"] == "1" && told["flags"] == "master"
        };
        until("the sentinels know each other", knows).await;
    }
    Some((master, replica, sentinels))
}

#[tokio::test]
async fn after_a_failover_workers_go_on_and_what_was_replicated_is_there() {
    let Some((mut master, replica, sentinels)) = guarded().await else { return };
    // What docs/broker.md says that users need here.
    for server in [&master, &replica] {
        user(server, "operator", &[rules("operator"), vec!["+role"]].concat()).await;
    }
    for sentinel in &sentinels {
        let mut connection = sentinel.connect("sentinel-canary").await;
        let mut asks = redis::cmd("ACL");
        asks.arg(&["SETUSER", "asks", "on", ">canary", "+sentinel|get-master-addr-by-name"]);
        asks.query_async::<redis::Value>(&mut connection).await.unwrap();
    }
    let hosts: Vec<_> = sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
    // The first of them is nobody.
    let url = format!(
        "redis-sentinel://operator:canary@127.0.0.1:1,{}/main?timeout=300&sentinel-user=asks&sentinel-password=canary",
        hosts.join(",")
    );
    let broker = Native::connect(&url, settings("jobs")).await.unwrap();
    let jobs: Vec<Job> = (0..20).map(|_| job()).collect();
    broker.submit(&jobs).await.unwrap();
    // A write that a replica has means that it has all before it.
    let mut connection = master.connect("").await;
    let written: (redis::Value, u8) = redis::pipe()
        .cmd("SET")
        .arg("mark")
        .arg(1)
        .cmd("WAIT")
        .arg(1)
        .arg(0)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(written.1, 1);

    let works = async {
        let (mut done, mut failed) = (0, false);
        let w = worker("w");
        while done < jobs.len() {
            let want = Want::now(1).wait(Duration::from_millis(100));
            let Ok(told) = broker.exchange(&w, vec![], want).await else {
                failed = true;
                continue;
            };
            for claim in told.claims {
                if done == 5 && !failed {
                    master.kill();
                }
                let outcome = vec![(claim.ticket, Outcome::Success(json!(1)))];
                until("it is finished", async || {
                    matches!(broker.exchange(&w, outcome.clone(), Want::NOTHING).await, Ok(it) if it.done == [Ok(())])
                })
                .await;
                done += 1;
            }
        }
    };
    works.await;
    for job in &jobs {
        assert_eq!(state(&broker, &job.id).await, State::Succeeded);
    }
    assert_eq!(
        replica.ask::<Vec<redis::Value>>(&["ROLE"]).await[0],
        redis::Value::BulkString(b"master".into())
    );
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_told() {
    let Some(sentinel) = Server::start(REDIS, &["sentinel monitor main 127.0.0.1 1 2"]).await else { return };
    let url = format!("redis-sentinel://127.0.0.1:{}/elsewhere", sentinel.port);
    let Err(Error::Unreachable(told)) = Native::connect(&url, settings("nowhere")).await.map(drop) else {
        panic!("there is none")
    };
    let expected = format!("{url}: 127.0.0.1:{}: this sentinel knows no master `elsewhere`", sentinel.port);
    assert_eq!(told, expected);
}
