//! What happens at the door.

use std::time::Duration;

use broker::life::State;
use broker::{Broker, Error, MAX_PAYLOAD, Submission, Want};
use serde_json::json;

use super::{LONG, claim, claim_one, finish, job, requirements, state, submit, worker};

pub async fn a_submitted_job_waits_with_what_it_was_given(broker: &impl Broker) {
    let job = job()
        .requirements(requirements(&json!({ "hardware": { "gpu_memory_gb": 16 } })))
        .payload(json!({ "prompt": "a \"cat\" {}:\n\u{1F408}" }))
        .customer("anna@example.org".parse().unwrap())
        .priority(3)
        .max_attempts(2)
        .timeout(Duration::from_secs(90));
    let id = submit(broker, job.clone()).await;
    let status = broker.status(&id).await.unwrap().unwrap();
    assert_eq!((&status.job, &status.life.state), (&job, &State::Waiting));
    assert_eq!((status.life.attempts, status.life.crashes, status.finished), (0, 0, None));
    assert_eq!(broker.counts().await.unwrap().waiting, 1);
    assert_eq!(claim_one(broker, &worker("w")).await.job, job);
}

pub async fn a_known_id_is_not_doubled(broker: &impl Broker) {
    let first = job();
    submit(broker, first.clone()).await;
    let again = first.clone().payload(json!("other"));
    assert_eq!(broker.submit(&[again]).await.unwrap(), [Submission::Known(first.id.clone())]);
    assert_eq!(broker.counts().await.unwrap().waiting, 1);
    assert_eq!(broker.status(&first.id).await.unwrap().unwrap().job, first);
}

pub async fn a_known_key_is_not_doubled(broker: &impl Broker) {
    let key = || "order-7/step-1".parse().unwrap();
    let id = submit(broker, job().idempotency_key(key())).await;
    let told = broker.submit(&[job().idempotency_key(key()), job()]).await.unwrap();
    assert_eq!(told[0], Submission::Known(id));
    assert!(matches!(told[1], Submission::Accepted(_)));
    assert_eq!(broker.counts().await.unwrap().waiting, 2);
}

pub async fn a_batch_is_submitted_and_claimed_in_order(broker: &impl Broker) {
    let jobs: Vec<_> = (0..120).map(|n| job().payload(json!(n))).collect();
    let told = broker.submit(&jobs).await.unwrap();
    assert!(told.iter().zip(&jobs).all(|(it, job)| *it == Submission::Accepted(job.id.clone())));
    let mut seen = Vec::new();
    loop {
        let claims = claim(broker, &worker("w"), Want::now(usize::MAX)).await;
        if claims.is_empty() {
            break;
        }
        seen.extend(claims.into_iter().map(|it| it.job.payload));
    }
    assert_eq!(seen, (0..120).map(|it| json!(it)).collect::<Vec<_>>());
}

pub async fn a_poisoned_job_is_refused_with_every_reason(broker: &impl Broker) {
    let poisoned = job().payload(json!("x".repeat(MAX_PAYLOAD))).priority(i16::MAX).max_attempts(0);
    let id = poisoned.id.clone();
    let Error::Refused { id: named, refusals } = broker.submit(&[job(), poisoned]).await.unwrap_err() else {
        panic!("a refusal");
    };
    assert_eq!(named, id);
    let at: Vec<_> = refusals.iter().map(|it| it.at.as_str()).collect();
    assert_eq!(at, ["/payload", "/priority", "/max_attempts"]);
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!({ "a": deep });
    }
    let refused = broker.submit(&[job().payload(deep)]).await.unwrap_err();
    assert!(refused.to_string().contains("payload: has 65 levels; 64 is the limit"), "{refused}");
    assert_eq!(broker.counts().await.unwrap().waiting, 0, "nothing of the call was submitted");
}

pub async fn a_full_queue_refuses_and_takes_again(broker: &impl Broker) {
    let large = || job().payload(json!("x".repeat(20_000)));
    let first = large();
    submit(broker, first.clone()).await;
    let one = serde_json::to_string(&first).unwrap().len() as u64;
    assert_eq!(broker.counts().await.unwrap().bytes, one);
    // The test's queue has 64 KiB.
    submit(broker, large()).await;
    submit(broker, large()).await;
    let refused = broker.submit(&[first.clone(), large(), large()]).await.unwrap_err();
    let submitted = vec![Submission::Known(first.id)];
    assert_eq!(refused, Error::Full { used: 3 * one, budget: 64 * 1024, submitted });
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(broker.submit(&[large()]).await.is_err(), "a running job still has its bytes");
    assert!(finish(broker, &worker("w"), &claimed, broker::Outcome::Success(json!(1))).await);
    submit(broker, large()).await;
}

pub async fn a_delayed_job_waits_for_its_time(broker: &impl Broker) {
    let id = submit(broker, job().delay(Duration::from_millis(150))).await;
    let told = broker.status(&id).await.unwrap().unwrap();
    let State::Delayed { due } = told.life.state else { panic!("{:?}", told.life.state) };
    assert_eq!(due, told.submitted + 150);
    assert_eq!(claim(broker, &worker("w"), Want::now(1)).await, []);
    assert_eq!(broker.counts().await.unwrap().delayed, 1);
    let claimed = claim(broker, &worker("w"), Want::now(1).wait(LONG).lease(LONG)).await.remove(0);
    let lease = u64::try_from(LONG.as_millis()).unwrap();
    assert!(claimed.until - lease >= due, "it was not claimed before its time");
}

pub async fn a_higher_priority_goes_first(broker: &impl Broker) {
    for priority in [0, 5, -5, 10] {
        submit(broker, job().priority(priority)).await;
    }
    let claims = claim(broker, &worker("w"), Want::now(4)).await;
    assert_eq!(claims.iter().map(|it| it.job.priority).collect::<Vec<_>>(), [10, 5, 0, -5]);
}

pub async fn a_result_is_forgotten_after_its_time(broker: &impl Broker) {
    let id = submit(broker, job().result_ttl(Duration::ZERO)).await;
    let kept = submit(broker, job()).await;
    for _ in 0..2 {
        let claimed = claim_one(broker, &worker("w")).await;
        assert!(finish(broker, &worker("w"), &claimed, broker::Outcome::Success(json!([1, 2]))).await);
    }
    assert_eq!(broker.status(&id).await.unwrap(), None);
    assert_eq!(state(broker, &kept).await, State::Succeeded);
    assert_eq!(broker.status(&kept).await.unwrap().unwrap().result, Some(json!([1, 2])));
}
