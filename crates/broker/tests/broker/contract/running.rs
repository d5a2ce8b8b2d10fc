//! What happens to a job that a worker has.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use broker::life::State;
use broker::{
    Broker, Cancel, Claim, Death, Heard, JobId, MAX_MESSAGE, MAX_PAYLOAD, Outcome, Rejection, Renewal,
    Replay, Ticket, Want,
};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{LONG, SHORT, claim, claim_one, failure, finish, job, state, submit, worker};

/// Claims with a lease that runs out soon.
async fn claim_briefly(broker: &impl Broker, name: &str) -> Claim {
    claim(broker, &worker(name), Want::now(1).wait(LONG).lease(SHORT)).await.remove(0)
}

pub async fn finishing_one_job_claims_the_next(broker: &impl Broker) {
    let jobs: Vec<_> = (0..3).map(|n| job().payload(json!(n))).collect();
    broker.submit(&jobs).await.unwrap();
    let first = claim_one(broker, &worker("w")).await;
    let done = vec![(first.ticket.clone(), Outcome::Success(json!("done")))];
    let told = broker.exchange(&worker("w"), done, Want::now(2)).await.unwrap();
    assert_eq!(told.done, [Ok(())]);
    assert_eq!(told.claims.iter().map(|it| &it.job.payload).collect::<Vec<_>>(), [&json!(1), &json!(2)]);
    assert!(told.claims.iter().all(|it| it.ticket.fence > first.ticket.fence));
    let status = broker.status(&jobs[0].id).await.unwrap().unwrap();
    assert_eq!((status.life.state, status.result), (State::Succeeded, Some(json!("done"))));
    assert!(status.finished.is_some());
}

pub async fn workers_that_ask_at_once_have_each_their_own(broker: &impl Broker) {
    let jobs: Vec<_> = (0..90).map(|_| job()).collect();
    broker.submit(&jobs).await.unwrap();
    let workers: Vec<_> = (0..30).map(|n| worker(&format!("w{n}"))).collect();
    let both = |of: &Claim, outcome| (of.ticket.clone(), outcome);
    let (mut has, mut seen) = (vec![vec![]; workers.len()], HashSet::new());
    // Some want one and some two; some succeed and some fail; one tells of a claim that it never had.
    for round in 0..2 {
        let asked = workers.iter().zip(&mut has).enumerate().map(|(n, (worker, has))| {
            let done: Vec<_> = std::mem::take(has)
                .iter()
                .map(|it| both(it, if n % 5 == 3 { failure(false) } else { Outcome::Success(json!(n)) }))
                .chain((n == 7).then(|| {
                    let id = jobs[0].id.clone();
                    (Ticket { id, fence: u64::MAX }, Outcome::Success(json!("never")))
                }))
                .collect();
            broker.exchange(worker, done, Want::now(1 + n % 2))
        });
        for (n, told) in join_all(asked).await.into_iter().map(Result::unwrap).enumerate() {
            assert_eq!(told.claims.len(), 1 + n % 2, "there are enough for all");
            let heard = if round == 0 { 0 } else { 1 + n % 2 };
            assert_eq!(told.done.iter().filter(|it| it.is_ok()).count(), heard);
            assert_eq!(told.done.iter().filter(|it| it.is_err()).count(), usize::from(n == 7));
            for claim in &told.claims {
                assert!(seen.insert(claim.ticket.clone()), "it is nobody else's");
                let State::Running { worker: by, .. } = state(broker, &claim.ticket.id).await else {
                    panic!("it runs")
                };
                assert_eq!(by, workers[n].id);
            }
            has[n] = told.claims;
        }
    }
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.running, counts.dead), (0, 45, 9));
}

pub async fn a_failed_job_is_tried_again_until_it_may_not(broker: &impl Broker) {
    let id = submit(broker, job().max_attempts(3)).await;
    for attempt in 0..3 {
        let claimed = claim_one(broker, &worker("w")).await;
        assert_eq!(claimed.attempts, attempt);
        assert!(finish(broker, &worker("w"), &claimed, failure(true)).await);
        let status = broker.status(&id).await.unwrap().unwrap();
        assert_eq!(status.life.attempts, attempt + 1);
        assert_eq!(status.error.as_deref(), Some("no such sampler"));
        assert_eq!(matches!(status.life.state, State::Delayed { .. }), attempt < 2, "{:?}", status.life);
    }
    let State::Dead(reason) = state(broker, &id).await else { panic!("it is dead") };
    assert_eq!((reason.kind, reason.message.as_str()), (Death::Attempts, "no such sampler"));
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.delayed, counts.running, counts.dead), (0, 0, 0, 1));
}

pub async fn a_permanent_failure_is_not_tried_again(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &claimed, failure(false)).await);
    assert!(matches!(state(broker, &id).await, State::Dead(it) if it.kind == Death::Permanent));
}

pub async fn a_job_handed_back_costs_nothing(broker: &impl Broker) {
    let id = submit(broker, job().max_attempts(1)).await;
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &claimed, Outcome::HandBack).await);
    assert_eq!(state(broker, &id).await, State::Waiting);
    let again = claim_one(broker, &worker("v")).await;
    assert_eq!((again.attempts, again.crashes), (0, 0));
    assert!(again.ticket.fence > claimed.ticket.fence);
}

pub async fn a_dead_job_is_replayed(broker: &impl Broker) {
    let id = submit(broker, job().max_attempts(1)).await;
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &claimed, failure(true)).await);
    assert_eq!(broker.counts().await.unwrap().bytes, 0);
    let replayed = broker.replay(&Replay::Job(id.clone())).await.unwrap();
    assert_eq!(replayed.first(), Some(&id));
    let status = broker.status(&id).await.unwrap().unwrap();
    assert_eq!((status.life.state, status.life.attempts, status.finished), (State::Waiting, 0, None));
    assert!(broker.counts().await.unwrap().bytes > 0);
    let again = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &again, Outcome::Success(json!(1))).await);
    assert_eq!(broker.replay(&Replay::All).await.unwrap(), []);
}

pub async fn replaying_by_kind_leaves_others(broker: &impl Broker) {
    broker.submit(&[job().max_attempts(1), job()]).await.unwrap();
    let claims = claim(broker, &worker("w"), Want::now(2)).await;
    assert!(finish(broker, &worker("w"), &claims[0], failure(true)).await);
    assert!(finish(broker, &worker("w"), &claims[1], failure(false)).await);
    let replayed = broker.replay(&Replay::Kind(Death::Permanent)).await.unwrap();
    assert_eq!(replayed, [claims[1].ticket.id.clone()]);
    assert!(matches!(state(broker, &claims[0].ticket.id).await, State::Dead(_)));
}

pub async fn a_waiting_job_is_cancelled_at_once(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let later = submit(broker, job().delay(LONG)).await;
    assert_eq!(broker.cancel(&id).await.unwrap(), Cancel::Cancelled);
    assert_eq!(broker.cancel(&later).await.unwrap(), Cancel::Cancelled);
    assert_eq!(state(broker, &id).await, State::Cancelled);
    assert_eq!(broker.cancel(&id).await.unwrap(), Cancel::Finished);
    assert_eq!(claim(broker, &worker("w"), Want::now(1)).await, []);
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.delayed, counts.bytes), (0, 0, 0));
}

pub async fn a_running_job_is_asked_to_stop(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let claimed = claim_one(broker, &worker("w")).await;
    let renewed = broker.renew(&worker("w"), std::slice::from_ref(&claimed.ticket), LONG).await.unwrap();
    assert!(matches!(renewed[..], [Renewal::Held { cancel: false, .. }]));
    assert_eq!(broker.cancel(&id).await.unwrap(), Cancel::Asked);
    let renewed = broker.renew(&worker("w"), std::slice::from_ref(&claimed.ticket), LONG).await.unwrap();
    assert!(matches!(renewed[..], [Renewal::Held { cancel: true, .. }]));
    assert!(finish(broker, &worker("w"), &claimed, Outcome::Stopped).await);
    assert_eq!(state(broker, &id).await, State::Cancelled);
    assert_eq!(broker.counts().await.unwrap().running, 0);
}

pub async fn who_listens_hears_at_once_of_a_wish_to_stop_a_job(broker: &impl Broker) {
    let mut cancels = pin!(broker.cancels());
    assert_eq!(cancels.next().await, Some(Ok(Heard::Listening)));
    let (runs, waits) = (submit(broker, job().priority(9)).await, submit(broker, job()).await);
    let claimed = claim_one(broker, &worker("w")).await;
    assert_eq!(claimed.ticket.id, runs);
    // One that waits is nobody's to stop.
    assert_eq!(broker.cancel(&waits).await.unwrap(), Cancel::Cancelled);
    assert_eq!(broker.cancel(&runs).await.unwrap(), Cancel::Asked);
    let heard = timeout(LONG, cancels.next()).await.expect("it is told");
    assert_eq!(heard, Some(Ok(Heard::Cancel(runs))));
}

pub async fn a_cancelled_job_that_succeeds_has_succeeded(broker: &impl Broker) {
    broker.submit(&[job(), job()]).await.unwrap();
    let claims = claim(broker, &worker("w"), Want::now(2)).await;
    for claim in &claims {
        assert_eq!(broker.cancel(&claim.ticket.id).await.unwrap(), Cancel::Asked);
    }
    assert!(finish(broker, &worker("w"), &claims[0], Outcome::Success(json!(1))).await);
    assert!(finish(broker, &worker("w"), &claims[1], failure(true)).await);
    assert_eq!(state(broker, &claims[0].ticket.id).await, State::Succeeded);
    assert_eq!(
        state(broker, &claims[1].ticket.id).await,
        State::Cancelled,
        "a stopped job is not tried again"
    );
}

pub async fn a_lost_lease_returns_the_job_and_silences_its_worker(broker: &impl Broker) {
    let id = submit(broker, job().max_attempts(1)).await;
    let lost = claim_briefly(broker, "w").await;
    let found = claim_one(broker, &worker("v")).await;
    assert_eq!((found.attempts, found.crashes), (0, 1), "a crash is not a failure");
    assert!(found.ticket.fence > lost.ticket.fence);

    // The first worker was only slow, and now believes to be done.
    assert!(!finish(broker, &worker("w"), &lost, Outcome::Success(json!("stale"))).await);
    let progress = broker::Progress { percent: 50, message: String::new() };
    assert_eq!(broker.progress(&lost.ticket, progress).await.unwrap(), Err(Rejection::Stale));
    let renewed =
        broker.renew(&worker("w"), &[lost.ticket.clone(), found.ticket.clone()], LONG).await.unwrap();
    assert!(matches!(renewed[..], [Renewal::Lost, Renewal::Held { .. }]));

    assert!(finish(broker, &worker("v"), &found, Outcome::Success(json!("fresh"))).await);
    assert_eq!(broker.status(&id).await.unwrap().unwrap().result, Some(json!("fresh")));
}

pub async fn a_job_that_loses_all_workers_is_dead(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    for crashes in 0..3 {
        assert_eq!(claim_briefly(broker, "w").await.crashes, crashes);
    }
    // Someone idle notices.
    assert_eq!(claim(broker, &worker("v"), Want::now(1).wait(SHORT * 3)).await, []);
    assert!(matches!(state(broker, &id).await, State::Dead(it) if it.kind == Death::Crashes));
}

pub async fn an_attempt_that_takes_too_long_is_a_failure(broker: &impl Broker) {
    let id = submit(broker, job().timeout(SHORT).max_attempts(2)).await;
    let first = claim(broker, &worker("w"), Want::now(1).lease(LONG)).await.remove(0);
    assert_eq!(first.until, first.deadline, "no lease is longer than the attempt may be");
    let second = claim_one(broker, &worker("v")).await;
    assert_eq!((second.attempts, second.crashes), (1, 0));
    // On a machine that stands still for long, a claim may end before it has looked again.
    for _ in 0..60 {
        assert_eq!(claim(broker, &worker("w"), Want::now(1).wait(SHORT)).await, []);
        if !matches!(state(broker, &id).await, State::Running { .. }) {
            break;
        }
    }
    assert!(matches!(state(broker, &id).await, State::Dead(it) if it.kind == Death::Attempts));
}

pub async fn a_renewed_lease_holds(broker: &impl Broker) {
    submit(broker, job()).await;
    let claimed = claim_briefly(broker, "w").await;
    let renewed = broker.renew(&worker("w"), std::slice::from_ref(&claimed.ticket), LONG).await.unwrap();
    let [Renewal::Held { until, .. }] = renewed[..] else { panic!("{renewed:?}") };
    assert!(until > claimed.until);
    assert_eq!(claim(broker, &worker("v"), Want::now(1).wait(SHORT * 2)).await, []);
    assert!(finish(broker, &worker("w"), &claimed, Outcome::Success(json!(1))).await);
}

pub async fn a_finished_ticket_is_stale(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let claimed = claim_one(broker, &worker("w")).await;
    assert!(finish(broker, &worker("w"), &claimed, Outcome::Success(json!(1))).await);
    for outcome in [Outcome::Success(json!(2)), failure(true), Outcome::HandBack, Outcome::Stopped] {
        assert!(!finish(broker, &worker("w"), &claimed, outcome).await);
    }
    assert_eq!(
        broker.renew(&worker("w"), &[claimed.ticket], Duration::from_secs(1)).await.unwrap(),
        [Renewal::Lost]
    );
    assert_eq!(broker.status(&id).await.unwrap().unwrap().result, Some(json!(1)));
}

pub async fn a_success_whose_answer_was_lost_can_be_told_again(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let claimed = claim_one(broker, &worker("w")).await;
    for _ in 0..3 {
        assert!(finish(broker, &worker("w"), &claimed, Outcome::Success(json!({ "image": 1 }))).await);
    }
    assert_eq!(state(broker, &id).await, State::Succeeded);
    assert_eq!(broker.counts().await.unwrap().bytes, 0);
    let news = broker.events(&id, None, Duration::ZERO).await.unwrap();
    assert_eq!(news.iter().filter(|it| it.news.is_last()).count(), 1);
}

pub async fn two_outcomes_of_one_claim_are_heard_once(broker: &impl Broker) {
    submit(broker, job()).await;
    let ticket = claim_one(broker, &worker("w")).await.ticket;
    let done = vec![(ticket.clone(), Outcome::Success(json!(1))), (ticket, failure(true))];
    let told = broker.exchange(&worker("w"), done, Want::NOTHING).await.unwrap();
    assert_eq!(told.done, [Ok(()), Err(Rejection::Stale)]);
}

pub async fn a_result_beyond_its_limit_is_a_failure_that_says_so(broker: &impl Broker) {
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    for (result, said) in [
        (json!("x".repeat(MAX_PAYLOAD)), "its result has 262146 bytes; 262144 is the limit"),
        (deep, "its result has more than 64 levels"),
    ] {
        let id = submit(broker, job()).await;
        let claimed = claim_one(broker, &worker("w")).await;
        assert!(finish(broker, &worker("w"), &claimed, Outcome::Success(result)).await);
        let State::Dead(reason) = state(broker, &id).await else { panic!("it is dead") };
        assert_eq!((reason.kind, reason.message.as_str()), (Death::Permanent, said));
    }
    submit(broker, job().max_attempts(1)).await;
    let claimed = claim_one(broker, &worker("w")).await;
    let long = Outcome::Failure { retryable: true, message: "\u{1F408}".repeat(9_999) };
    assert!(finish(broker, &worker("w"), &claimed, long).await);
    let error = broker.status(&claimed.ticket.id).await.unwrap().unwrap().error;
    assert_eq!(error.map(|it| it.len()), Some(MAX_MESSAGE));
}

/// Waits until a job is in a state, looking now and then.
async fn until(broker: &impl Broker, id: &JobId, wanted: &State, mut look: impl AsyncFnMut()) {
    let end = Instant::now() + LONG;
    while state(broker, id).await != *wanted {
        assert!(Instant::now() < end, "it is {wanted:?} in time");
        look().await;
        sleep(SHORT / 10).await;
    }
}

pub async fn a_lost_job_returns_though_every_worker_is_busy(broker: &impl Broker) {
    broker.submit(&[job(), job()]).await.unwrap();
    let lost = claim_briefly(broker, "lost").await;
    let busy = claim(broker, &worker("w"), Want::now(1).lease(LONG)).await.remove(0);
    let renew = async || {
        let told = broker.renew(&worker("w"), std::slice::from_ref(&busy.ticket), LONG).await.unwrap();
        assert!(matches!(told[..], [Renewal::Held { .. }]));
    };
    until(broker, &lost.ticket.id, &State::Waiting, renew).await;
}

pub async fn a_paused_queue_still_sweeps(broker: &impl Broker) {
    submit(broker, job()).await;
    let lost = claim_briefly(broker, "lost").await;
    let late = submit(broker, job().delay(SHORT)).await;
    broker.pause(true).await.unwrap();
    let look = async || assert_eq!(claim(broker, &worker("w"), Want::now(1)).await, []);
    until(broker, &lost.ticket.id, &State::Waiting, look).await;
    until(broker, &late, &State::Waiting, look).await;
    let counts = broker.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.paused), (2, true));
}
