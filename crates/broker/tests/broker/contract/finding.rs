//! Which job a worker gets, and what people can find out.

use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

use broker::life::State;
use broker::{Broker, Cancel, JobId, MAX_BATCH, News, Outcome, Progress, Want};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::join;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{LONG, SHORT, claim, claim_one, failure, finish, job, requirements, submit, worker, worker_with};

pub async fn a_worker_gets_only_what_it_can_run(broker: &impl Broker) {
    let large = requirements(&json!({ "hardware": { "gpu_memory_gb": 80 } }));
    for _ in 0..150 {
        submit(broker, job().requirements(large.clone())).await;
    }
    let small = submit(broker, job()).await;
    assert_eq!(claim_one(broker, &worker("w")).await.ticket.id, small);
    assert_eq!(claim(broker, &worker("w"), Want::now(MAX_BATCH)).await, []);
    let other = worker_with("x", json!({ "services": ["openai"], "hardware": { "gpu_memory_gb": 96 } }));
    assert_eq!(claim(broker, &other, Want::now(MAX_BATCH)).await, []);
    let better = worker_with("y", json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": 96 } }));
    assert_eq!(claim(broker, &better, Want::now(MAX_BATCH)).await.len(), MAX_BATCH);
}

pub async fn many_signatures_are_claimed_by_priority_and_age(broker: &impl Broker) {
    let mut expected = Vec::new();
    for n in 0..40_i16 {
        let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": n % 20 + 1 } }));
        let priority = n * 7 % 40;
        let id = submit(broker, job().requirements(needs).priority(priority)).await;
        expected.push((priority, id));
    }
    expected.sort_by_key(|(priority, _)| -priority);
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(claim_one(broker, &worker("w")).await.ticket.id);
    }
    assert_eq!(seen, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

pub async fn a_worker_learns_of_new_signatures(broker: &impl Broker) {
    for n in 1..=12 {
        assert_eq!(claim(broker, &worker("w"), Want::now(1)).await, []);
        let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": n } }));
        let id = submit(broker, job().requirements(needs)).await;
        assert_eq!(claim_one(broker, &worker("w")).await.ticket.id, id);
    }
}

pub async fn an_idle_worker_is_woken(broker: &impl Broker) {
    let me = worker("w");
    for n in 1..=5 {
        let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": n } }));
        let waits = claim(broker, &me, Want::now(1).wait(LONG));
        let ((claims, waited), id) = join!(timed(waits), submit(broker, job().requirements(needs)));
        assert_eq!(claims[0].ticket.id, id);
        assert!(waited < LONG / 4, "it took {waited:?}");
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = tokio::time::Instant::now();
    let done = work.await;
    (done, start.elapsed())
}

pub async fn a_waiting_claim_ends_empty(broker: &impl Broker) {
    let (claims, waited) = timed(claim(broker, &worker("w"), Want::now(1).wait(SHORT))).await;
    assert_eq!(claims, []);
    assert!(waited >= SHORT && waited < LONG / 2, "it took {waited:?}");
}

pub async fn a_waiting_claim_is_cut_short_and_loses_nothing(broker: &impl Broker) {
    let (me, want) = (worker("w"), Want::now(1).wait(LONG));
    let (told, waited) = timed(broker.exchange_until(&me, vec![], want, ready(()))).await;
    assert_eq!(told.unwrap().claims, []);
    assert!(waited < LONG / 2, "it took {waited:?}");
    // A job comes in the same instant, a little sooner or later: it is in the answer, or it waits for the next.
    for turns in 0..40 {
        let (cut, enough) = oneshot::channel::<()>();
        let waits = broker.exchange_until(&me, vec![], want, enough.map(drop));
        let comes = async {
            for _ in 0..turns % 10 {
                yield_now().await;
            }
            let comes = job();
            let submits = std::slice::from_ref(&comes);
            let late = async {
                for _ in 0..turns / 10 {
                    yield_now().await;
                }
                drop(cut);
            };
            _ = join!(broker.submit(submits), late);
            comes.id
        };
        let (told, id) = join!(waits, comes);
        for claim in told.unwrap().claims {
            assert!(finish(broker, &me, &claim, Outcome::HandBack).await);
        }
        let again = claim_one(broker, &worker("v")).await;
        assert_eq!((&again.ticket.id, again.attempts, again.crashes), (&id, 0, 0));
        assert!(finish(broker, &worker("v"), &again, Outcome::Stopped).await);
    }
}

pub async fn a_claim_says_how_long_it_waited_and_when_its_job_came(broker: &impl Broker) {
    let me = worker("w");
    let waits = broker.exchange(&me, vec![], Want::now(1).wait(LONG));
    let comes = async {
        sleep(SHORT).await;
        submit(broker, job()).await
    };
    let (told, id) = join!(waits, comes);
    let told = told.unwrap();
    assert!(told.waited >= SHORT && told.waited < LONG, "{:?}", told.waited);
    let status = broker.status(&id).await.unwrap().unwrap();
    assert_eq!(told.claims[0].submitted, status.submitted);
}

pub async fn a_paused_queue_gives_nothing(broker: &impl Broker) {
    broker.pause(true).await.unwrap();
    let id = submit(broker, job()).await;
    assert!(broker.counts().await.unwrap().paused);
    assert_eq!(claim(broker, &worker("w"), Want::now(1).wait(SHORT)).await, []);
    let me = worker("w");
    let waits = claim(broker, &me, Want::now(1).wait(LONG));
    let (claims, resumed) = join!(waits, broker.pause(false));
    resumed.unwrap();
    assert_eq!(claims[0].ticket.id, id);
}

pub async fn an_unmatchable_job_is_told_of(broker: &impl Broker) {
    let large = requirements(&json!({ "hardware": { "gpu_memory_gb": 80 } }));
    broker
        .submit(&[job(), job().requirements(large.clone()), job().requirements(large.clone())])
        .await
        .unwrap();
    claim_one(broker, &worker("w")).await;
    let told = broker.unmatchable().await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].0.requirements, told[0].1), (&large, 2));
}

pub async fn a_waiting_job_is_explained(broker: &impl Broker) {
    let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": 80 }, "models": ["flux"] }));
    let id = submit(broker, job().requirements(needs)).await;
    assert_eq!(claim(broker, &worker("w"), Want::now(1)).await, []);
    let able = json!({
        "services": ["comfyui"], "hardware": { "gpu_memory_gb": 96 }, "models": { "comfyui": "any" },
    });
    let able = worker_with("v", able);
    let told = broker.explain(&id).await.unwrap().unwrap();
    assert_eq!((told.status.life.state, told.paused), (State::Waiting, false));
    let [(has, unmet)] = &told.classes[..] else { panic!("{:?}", told.classes) };
    assert_eq!(has, worker("w").capabilities());
    assert_eq!(has.to_string(), "comfyui; gpu_memory_gb 24");
    let unmet: Vec<_> = unmet.iter().map(ToString::to_string).collect();
    assert_eq!(
        unmet,
        [
            r#"it does not satisfy {"hardware":{"gpu_memory_gb":80}}"#,
            r#"it does not satisfy {"models":["flux"]}"#,
        ]
    );
    claim_one(broker, &able).await;
    let told = broker.explain(&id).await.unwrap().unwrap();
    assert!(told.classes.iter().any(|(has, unmet)| has == able.capabilities() && unmet.is_empty()));
}

pub async fn progress_is_seen_by_those_who_watch(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    let claimed = claim_one(broker, &worker("w")).await;
    let half = Progress { percent: 50, message: "step 10 of 20".into() };
    assert_eq!(broker.progress(&claimed.ticket, half.clone()).await.unwrap(), Ok(()));
    let first = broker.events(&id, None, LONG).await.unwrap();
    assert_eq!(first.iter().map(|it| &it.news).collect::<Vec<_>>(), [&News::Progress(half)]);
    let last = async {
        let events = broker.events(&id, Some(&first[0].id), LONG);
        events.await.unwrap()
    };
    let me = worker("w");
    let (last, heard) = join!(last, finish(broker, &me, &claimed, Outcome::Success(json!(1))));
    assert!(heard);
    assert_eq!(last.iter().map(|it| &it.news).collect::<Vec<_>>(), [&News::Succeeded]);
}

pub async fn a_watch_goes_on_where_it_was(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    // Whoever watches before anything happened still sees the end.
    assert_eq!(broker.events(&id, None, Duration::ZERO).await.unwrap(), []);
    for _ in 0..2 {
        let claimed = claim_one(broker, &worker("w")).await;
        assert!(finish(broker, &worker("w"), &claimed, failure(true)).await);
    }
    assert_eq!(broker.cancel(&id).await.unwrap(), Cancel::Cancelled);
    let mut seen = Vec::new();
    let mut after = None;
    while seen.last().is_none_or(|it: &News| !it.is_last()) {
        let events = broker.events(&id, after.as_ref(), LONG).await.unwrap();
        let first = events.into_iter().next().expect("an event follows");
        after = Some(first.id);
        seen.push(first.news);
    }
    assert_eq!(seen, [News::Returned, News::Returned, News::Cancelled]);
}

pub async fn an_unknown_job_is_unknown(broker: &impl Broker) {
    let id: JobId = "nobody".parse().unwrap();
    assert_eq!(broker.status(&id).await.unwrap(), None);
    assert_eq!(broker.explain(&id).await.unwrap(), None);
    assert_eq!(broker.cancel(&id).await.unwrap(), Cancel::Unknown);
    assert_eq!(broker.events(&id, None, Duration::ZERO).await.unwrap(), []);
}

pub async fn no_job_is_claimed_twice(broker: &impl Broker) {
    let jobs: Vec<_> = (0..200).map(|_| job()).collect();
    broker.submit(&jobs).await.unwrap();
    let work = async |name: &str| {
        let (me, mut mine, mut done) = (worker(name), Vec::new(), Vec::new());
        loop {
            let told = broker.exchange(&me, std::mem::take(&mut done), Want::now(3)).await.unwrap();
            assert!(told.done.iter().all(Result::is_ok));
            if told.claims.is_empty() {
                return mine;
            }
            mine.extend(told.claims.iter().map(|it| it.ticket.id.clone()));
            done = told.claims.into_iter().map(|it| (it.ticket, Outcome::Success(json!(1)))).collect();
        }
    };
    let (a, b, c, d) = join!(work("a"), work("b"), work("c"), work("d"));
    let all: Vec<_> = [a, b, c, d].concat();
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 200);
}
