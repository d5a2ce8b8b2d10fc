//! The audit on a real Redis: a busy queue is sound, and every kind of damage is found and named. And a watch over a
//! connection that is cut.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Audit, Broker, Cancel, Job, Limit, Native, News, Outcome, Settings, Want};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::contract::{LONG, claim, failure, finish, job, requirements, settings, submit, worker};
use crate::native::Server;

/// What an audit tells, with ids as numbers in the order in which they are given.
fn told(audit: &Audit, ids: &[broker::JobId]) -> String {
    let mut lines: Vec<String> = audit.damage.iter().map(ToString::to_string).collect();
    for (at, id) in ids.iter().enumerate() {
        for line in &mut lines {
            *line = line.replace(id.as_str(), &format!("#{at}"));
        }
    }
    lines.sort();
    assert_eq!(audit.damaged, lines.len() as u64);
    lines.join("\n")
}

async fn audit(broker: &Native) -> Audit {
    broker.audit(|_| {}).await.unwrap()
}

/// A queue with one job of each kind: waiting twice, delayed, held by a limit, running, running under a limit, dead,
/// succeeded.
async fn one_of_each(name: &str) -> Option<(Native, Server, Vec<broker::JobId>)> {
    let server = Server::start().await?;
    let broker = server.broker(settings(name)).await;
    let (me, big) = (worker("w"), requirements(&json!({ "hardware": { "gpu_memory_gb": 80 } })));
    let mut ids = vec![
        submit(&broker, job().requirements(big.clone())).await,
        submit(&broker, job().requirements(big)).await,
        submit(&broker, job().delay(LONG)).await,
    ];
    let limit = Limit { concurrency: NonZeroU32::new(1), rate: None };
    broker.limit(&"key".parse().unwrap(), Some(limit)).await.unwrap();
    let limited = || job().limit_key("key".parse().unwrap());
    broker.submit(&[job(), limited(), job(), job()]).await.unwrap();
    let claims = claim(&broker, &me, Want::now(4).lease(LONG)).await;
    assert!(finish(&broker, &me, &claims[2], failure(false)).await);
    assert!(finish(&broker, &me, &claims[3], Outcome::Success(json!(1))).await);
    ids.push(submit(&broker, limited()).await);
    ids.extend(claims.into_iter().map(|it| it.ticket.id));
    Some((broker, server, ids))
}

#[tokio::test]
async fn every_kind_of_damage_is_found_and_named() {
    let Some((broker, server, ids)) = one_of_each("hurt").await else { return };
    let sound = audit(&broker).await;
    assert_eq!((sound.jobs, sound.entries, sound.damage), (8, 8, vec![]));

    let line: Vec<String> = server.ask(&["KEYS", "{hurt}:w:*"]).await;
    let [line] = &line[..] else { panic!("{line:?}") };
    let [lost, moved, delayed, held, running, limited, dead, done] = &ids[..] else { panic!("{ids:?}") };
    let key = |rest: &str| format!("{{hurt}}:{rest}");
    let of = |kind: &str, id: &broker::JobId| key(&format!("{kind}:{id}"));
    for command in [
        vec!["ZREM", line, lost.as_str()],
        vec!["ZADD", &key("w:0123"), "1", moved.as_str()],
        vec!["ZADD", &key("l"), "1", delayed.as_str()],
        vec!["ZADD", &key("l"), "1", running.as_str()],
        vec!["ZADD", line, "1", held.as_str()],
        vec!["SREM", &key("r:key"), limited.as_str()],
        vec!["SADD", &key("r:key"), dead.as_str()],
        vec!["ZREM", &key("x:permanent"), dead.as_str()],
        vec!["ZADD", &key("x:crashes"), "1", dead.as_str()],
        vec!["PERSIST", &of("b", done)],
        vec!["ZADD", &key("d"), "1", "ghost"],
        vec!["SET", &key("b:odd"), "{}"],
        vec!["HSET", &key("j"), "orphan", "w 0 1 1 - 0 0 0 0 - - -"],
        vec!["PEXPIRE", &of("b", running), "1000000"],
        vec!["HINCRBY", &key("m"), "bytes", "7"],
    ] {
        server.ask::<redis::Value>(&command).await;
    }
    let bytes: u64 = server.ask(&["HGET", &key("m"), "bytes"]).await;
    let found = told(&audit(&broker).await, &ids);
    let signature = line.rsplit(':').next().unwrap();
    let found = found.replace(signature, "SIG").replace(job().signature().id().to_string().as_str(), "SIG2");
    let found = found.replace(&format!("says {bytes}"), "says N+7");
    let found = found.replace(&format!("have {}", bytes - 7), "have N");
    let record: String = server.ask(&["HGET", &key("j"), running.as_str()]).await;
    let lease = record.split(' ').nth(7).unwrap();
    insta::assert_snapshot!(found.replace(lease, "LEASE"), @r"
    job `#0` is waiting by its record and belongs in `w:SIG`, but is in none
    job `#1` is waiting by its record and belongs in `w:SIG`, but is in `w:SIG` and `w:0123`
    job `#2` is delayed by its record and belongs in `d`, but is in `l` and `d`
    job `#3` is waiting by its record and belongs in `g:key:SIG2`, but is in `g:key:SIG2` and `w:SIG`
    job `#4` is in `l` at 1, but its record says LEASE
    job `#4` is running, but its document expires
    job `#5` is running by its record and belongs in `l` and `r:key`, but is in `l`
    job `#6` is dead by its record and belongs in `x:permanent`, but is in `x:crashes` and `r:key`
    job `#7` is succeeded, but its record does not expire
    job `ghost` has no document, but is in `d`
    job `odd` has no state or no head that this version knows
    job `orphan` has a record, but no document
    unfinished jobs have N bytes, but `m` says N+7
    ");
}

#[tokio::test]
async fn a_busy_queue_is_sound() {
    let Some(server) = Server::start().await else { return };
    let settings = Settings { byte_budget: 1 << 30, ..settings("busy") };
    let broker = server.broker(settings.clone()).await;
    let limit = Limit { concurrency: NonZeroU32::new(2), rate: None };
    broker.limit(&"key".parse().unwrap(), Some(limit)).await.unwrap();
    let over = AtomicBool::new(false);
    let client = async {
        let other = server.broker(settings.clone()).await;
        let mut rounds = 0_i16;
        while !over.load(Ordering::Relaxed) {
            let key = || "key".parse().unwrap();
            let limited = |n, job: Job| if n % 3 == 0 { job.limit_key(key()) } else { job };
            let jobs: Vec<_> = (0..10).map(|n| limited(n, job()).priority(n).delay(delay(n))).collect();
            other.submit(&jobs).await.unwrap();
            assert_ne!(other.cancel(&jobs[3].id).await.unwrap(), Cancel::Unknown);
            other.replay(&broker::Replay::All).await.unwrap();
            rounds += 1;
        }
        rounds
    };
    let work = async {
        let (other, me, mut done) = (server.broker(settings.clone()).await, worker("w"), Vec::new());
        let mut n = 0_u64;
        while !over.load(Ordering::Relaxed) {
            let told = other.exchange(&me, std::mem::take(&mut done), Want::now(7)).await.unwrap();
            for claim in told.claims {
                n += 1;
                let outcome = match n % 5 {
                    0 => failure(true),
                    1 => failure(false),
                    2 => Outcome::HandBack,
                    _ => Outcome::Success(json!(n)),
                };
                done.push((claim.ticket, outcome));
            }
        }
    };
    let audits = async {
        let mut seen = 0;
        while seen < 5_000 {
            let found = audit(&broker).await;
            assert_eq!(found.damage, []);
            seen += found.jobs;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (rounds, (), ()) = tokio::join!(client, work, audits);
    assert!(rounds > 1);
}

fn delay(n: i16) -> Duration {
    if n % 4 == 0 { Duration::from_millis(5) } else { Duration::ZERO }
}

#[tokio::test]
async fn a_watch_outlives_its_connection() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker(settings("cut")).await;
    let other = server.broker(settings("cut")).await;
    let id = submit(&broker, job()).await;
    let watch = async {
        let watch = std::pin::pin!(broker.watch(id.clone(), None));
        watch.map(|it| it.unwrap().news).collect::<Vec<_>>().await
    };
    let work = async {
        for _ in 0..3 {
            server.waited_on(1).await;
            // Every connection but the one that says so.
            server.ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        }
        server.waited_on(1).await;
        // The connection that was cut is noticed by the first call, which is not repeated.
        while other.cancel(&id).await.is_err() {}
    };
    let (news, ()) = tokio::join!(watch, work);
    assert_eq!(news, [News::Cancelled]);
}
