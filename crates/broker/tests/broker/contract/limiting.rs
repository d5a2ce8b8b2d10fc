//! What limits of keys hold back, and what they let go.

use std::num::NonZeroU32;
use std::time::Duration;

use broker::life::State;
use broker::{Broker, Cancel, Claim, Held, Job, Limit, LimitKey, Outcome, Rate, Want};
use serde_json::json;

use super::{LONG, SHORT, claim, claim_one, failure, finish, job, requirements, state, submit, worker};

fn key() -> LimitKey {
    "anna@example.org".parse().unwrap()
}

fn keyed() -> Job {
    job().limit_key(key())
}

pub fn at_once(jobs: u32) -> Limit {
    Limit { concurrency: NonZeroU32::new(jobs), rate: None }
}

pub fn rate(jobs: u32, per: Duration) -> Limit {
    let rate = NonZeroU32::new(jobs).map(|jobs| Rate { jobs, per });
    Limit { concurrency: None, rate }
}

/// When a claim was made, by the queue's clock.
fn start(claim: &Claim) -> u64 {
    claim.deadline - u64::try_from(claim.job.timeout.as_millis()).unwrap()
}

async fn done(broker: &impl Broker, claim: &Claim) {
    assert!(finish(broker, &worker("w"), claim, Outcome::Success(json!(1))).await);
}

pub async fn no_more_jobs_of_a_key_run_than_its_limit(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(2))).await.unwrap();
    broker.submit(&[keyed(), keyed(), keyed(), keyed(), job()]).await.unwrap();
    let claims = claim(broker, &worker("w"), Want::now(10)).await;
    assert_eq!(claims.iter().filter(|it| it.job.limit_key.is_some()).count(), 2);
    assert_eq!(claims.len(), 3);
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.held, counts.running), (0, 2, 3));
    assert_eq!(claim(broker, &worker("v"), Want::now(10).wait(SHORT)).await, []);

    let late = submit(broker, keyed()).await;
    let told = broker.explain(&late).await.unwrap().unwrap();
    assert_eq!(told.held, Some(Held { key: key(), limit: at_once(2), running: 2, until: None }));
    let first = claims.iter().find(|it| it.job.limit_key.is_some()).unwrap();
    done(broker, first).await;
    assert_eq!(broker.counts().await.unwrap().waiting, 3);
    assert_eq!(broker.explain(&late).await.unwrap().unwrap().held, None);
    assert_eq!(claim(broker, &worker("v"), Want::now(10)).await.len(), 1);
}

pub async fn every_end_of_a_job_frees_its_slot(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    let jobs: Vec<_> = (0..6).map(|_| keyed().max_attempts(1)).collect();
    broker.submit(&jobs).await.unwrap();
    for outcome in [failure(true), failure(false), Outcome::Stopped] {
        let claimed = claim_one(broker, &worker("w")).await;
        assert_eq!(claim(broker, &worker("v"), Want::now(9)).await, []);
        assert!(finish(broker, &worker("w"), &claimed, outcome).await);
    }
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &claimed, Outcome::HandBack).await);
    let again = claim(broker, &worker("w"), Want::now(1).lease(SHORT)).await.remove(0);
    assert_eq!(again.ticket.id, claimed.ticket.id);
    // A lost worker frees it too, and cannot free it again.
    let third = claim_one(broker, &worker("v")).await;
    assert_eq!(third.ticket.id, claimed.ticket.id);
    assert!(!finish(broker, &worker("w"), &again, Outcome::Success(json!(1))).await);
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await, []);
    done(broker, &third).await;
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await.len(), 1);
}

pub async fn jobs_of_a_key_start_no_faster_than_its_rate(broker: &impl Broker) {
    broker.limit(&key(), Some(rate(3, SHORT))).await.unwrap();
    let jobs: Vec<_> = (0..8).map(|_| keyed()).collect();
    broker.submit(&jobs).await.unwrap();
    let mut starts = Vec::new();
    while starts.len() < jobs.len() {
        for claimed in claim(broker, &worker("w"), Want::now(9).wait(LONG)).await {
            starts.push(start(&claimed));
            done(broker, &claimed).await;
        }
        if starts.len() == 3 {
            let held = broker.explain(&jobs[7].id).await.unwrap().unwrap().held.unwrap();
            assert!(held.until.unwrap() > starts[2]);
        }
    }
    assert!(starts[2] - starts[0] < 100, "the first come at once: {starts:?}");
    for (first, from) in starts.iter().enumerate() {
        for (last, to) in starts.iter().enumerate().skip(first) {
            assert!((last - first) as u64 <= 2 + (to - from) / 100, "{starts:?}");
        }
    }
}

pub async fn a_limit_is_changed_and_lifted_while_jobs_wait(broker: &impl Broker) {
    let jobs: Vec<_> = (0..8).map(|_| keyed()).collect();
    broker.submit(&jobs).await.unwrap();
    assert_eq!(claim(broker, &worker("w"), Want::now(2)).await.len(), 2);
    // It counts those that run already.
    broker.limit(&key(), Some(at_once(3))).await.unwrap();
    assert_eq!(broker.limits().await.unwrap(), [(key(), at_once(3))]);
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await.len(), 1);
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await, []);
    assert_eq!(broker.counts().await.unwrap().held, 5);
    let me = worker("w");
    let waits = claim(broker, &me, Want::now(9).wait(LONG));
    let key = key();
    let (claims, lifted) = tokio::join!(waits, broker.limit(&key, None));
    lifted.unwrap();
    assert_eq!(claims.len(), 5);
    assert_eq!(broker.limits().await.unwrap(), []);
}

pub async fn a_key_that_a_slow_rate_holds_goes_on_at_a_faster_one(broker: &impl Broker) {
    broker.limit(&key(), Some(rate(1, 1000 * LONG))).await.unwrap();
    broker.submit(&[keyed(), keyed(), keyed()]).await.unwrap();
    let first = claim_one(broker, &worker("w")).await;
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await, []);
    broker.limit(&key(), Some(rate(1, SHORT))).await.unwrap();
    let second = claim_one(broker, &worker("w")).await;
    // It is the new rate from the first start on.
    assert!(start(&second) > start(&first));
    // And none, if that is lifted, also where another limit stays.
    broker.limit(&key(), Some(rate(1, 1000 * LONG))).await.unwrap();
    broker.limit(&key(), Some(at_once(3))).await.unwrap();
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await.len(), 1);
}

pub async fn a_held_job_is_cancelled(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    let (first, second, third) = (keyed(), keyed(), keyed());
    broker.submit(&[first.clone(), second.clone(), third.clone()]).await.unwrap();
    let claimed = claim_one(broker, &worker("w")).await;
    assert_eq!(claimed.ticket.id, first.id);
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await, []);
    assert_eq!(broker.cancel(&second.id).await.unwrap(), Cancel::Cancelled);
    assert_eq!(state(broker, &second.id).await, State::Cancelled);
    assert_eq!(broker.counts().await.unwrap().held, 1);
    done(broker, &claimed).await;
    assert_eq!(claim_one(broker, &worker("w")).await.ticket.id, third.id);
}

pub async fn a_key_with_many_signatures_drains(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    let jobs = (0..40_u8).map(|n| {
        // Some of them need more than any worker has.
        let gb = if n % 3 == 0 { 80 + n % 20 } else { n % 20 + 1 };
        keyed().requirements(requirements(&json!({ "hardware": { "gpu_memory_gb": gb } })))
    });
    let jobs: Vec<_> = jobs.collect();
    broker.submit(&jobs).await.unwrap();
    for _ in 0..26 {
        let claimed = claim_one(broker, &worker("w")).await;
        done(broker, &claimed).await;
    }
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.held, counts.running), (14, 0, 0));
    assert_eq!(broker.unmatchable().await.unwrap().iter().map(|it| it.1).sum::<u64>(), 14);
}

pub async fn held_jobs_hold_nobody_else(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    let mut jobs: Vec<_> = (0..60).map(|_| keyed()).collect();
    let keys = (0..60).map(|n| format!("key-{n}").parse::<LimitKey>().unwrap());
    for key in keys {
        broker.limit(&key, Some(at_once(1))).await.unwrap();
        jobs.extend([job().limit_key(key.clone()), job().limit_key(key)]);
    }
    broker.submit(&jobs).await.unwrap();
    let last = submit(broker, job()).await;
    let mut seen = Vec::new();
    while seen.len() < 62 {
        let claims = claim(broker, &worker("w"), Want::now(9).wait(LONG)).await;
        assert!(!claims.is_empty(), "one of each key and the last");
        seen.extend(claims.into_iter().map(|it| it.ticket.id));
    }
    assert!(seen.contains(&last));
    assert_eq!(claim(broker, &worker("w"), Want::now(9)).await, []);
    assert_eq!(broker.counts().await.unwrap().held, 119);
}

pub async fn the_best_job_of_a_key_goes_first(broker: &impl Broker) {
    broker.limit(&key(), Some(at_once(1))).await.unwrap();
    let mut ids = Vec::new();
    for priority in [0, 5, -5, 10] {
        ids.push(submit(broker, keyed().priority(priority)).await);
    }
    let other = submit(broker, job().priority(7)).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let claimed = claim_one(broker, &worker("w")).await;
        done(broker, &claimed).await;
        seen.push(claimed.ticket.id);
    }
    assert_eq!(seen, [&ids[3], &other, &ids[1], &ids[0], &ids[2]].map(Clone::clone));
}
