//! That no call of a script grows with what there is to do.

use std::time::Duration;

use broker::{Broker, Settings, Want};
use serde_json::json;

use crate::contract::limiting::at_once;
use crate::contract::{LONG, claim, failure, job, requirements, settings, worker};
use crate::native::Server;
use crate::servers::until;

/// Commands of one call: see Scripts in docs/broker.md.
const COMMANDS: u64 = 450;

/// How often scripts were called, and the commands that all of them ran.
async fn commands(server: &Server) -> (u64, u64) {
    let told: String = server.ask(&["INFO", "commandstats"]).await;
    let (mut scripts, mut all) = (0, 0);
    for line in told.lines().filter_map(|it| it.strip_prefix("cmdstat_")) {
        let (name, rest) = line.split_once(":calls=").unwrap();
        let calls: u64 = rest.split(',').next().unwrap().parse().unwrap();
        if name == "evalsha" {
            scripts = calls;
        } else {
            all += calls;
        }
    }
    (scripts, all)
}

#[tokio::test]
async fn ends_a_sweep_and_claims_that_are_too_many_for_one_call_are_made_in_several() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(Settings { byte_budget: 1 << 30, ..settings("caps") }).await;
    let me = worker("w");
    let needs: Vec<_> =
        (1..9).map(|gb| requirements(&json!({ "hardware": { "gpu_memory_gb": gb } }))).collect();
    let mut jobs = Vec::new();
    for key in 0..40 {
        let key: broker::LimitKey = format!("key-{key}").parse().unwrap();
        broker.limit(&key, Some(at_once(1))).await.unwrap();
        jobs.extend(needs.iter().map(|it| job().requirements(it.clone()).limit_key(key.clone())));
        jobs.push(job().limit_key(key).delay(Duration::from_millis(500)));
    }
    broker.submit(&jobs).await.unwrap();
    let mut claims = Vec::new();
    while claims.len() < 20 {
        claims.extend(claim(&broker, &me, Want::now(20 - claims.len()).lease(LONG).wait(LONG)).await);
    }
    until("what is delayed is due", async || {
        let now: Vec<u64> = server.ask(&["TIME"]).await;
        let last: Vec<(String, u64)> = server.ask(&["ZRANGE", "{caps}:d", "-1", "-1", "WITHSCORES"]).await;
        last.iter().all(|(_, due)| *due < now[0] * 1000)
    })
    .await;
    server.ask::<redis::Value>(&["CONFIG", "RESETSTAT"]).await;
    let done = claims.iter().map(|it| (it.ticket.clone(), failure(true))).collect();
    let told = broker.exchange(&me, done, Want::now(20)).await.unwrap();
    assert!(told.done.len() == 20 && told.done.iter().all(Result::is_ok), "{told:?}");
    assert!(!told.claims.is_empty());
    let (scripts, all) = commands(&server).await;
    assert!(all <= COMMANDS * scripts, "{all} commands in {scripts} calls");
}
