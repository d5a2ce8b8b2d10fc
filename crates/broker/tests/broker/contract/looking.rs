//! Lists, and watching a job to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{
    Broker, Cancel, Cursor, Error, EventId, Filter, Happened, Job, JobId, News, Outcome, Progress, Replay,
    Stage, Summary, Want,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::join;

use super::{LONG, claim, claim_one, failure, finish, job, requirements, submit, worker};

/// Every page of a list, one behind the other.
async fn listed(broker: &impl Broker, filter: &Filter, most: usize) -> Vec<Summary> {
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let page = broker.list(filter, after.as_ref(), most).await.unwrap();
        assert!(page.jobs.len() <= most);
        jobs.extend(page.jobs);
        // What a client writes down is what it goes on with.
        after = page.next.map(|it| it.to_string().parse::<Cursor>().unwrap());
        if after.is_none() {
            return jobs;
        }
    }
}

fn of(stage: Stage) -> Filter {
    Filter { stage: Some(stage), ..Filter::default() }
}

fn ids(jobs: &[Summary]) -> Vec<JobId> {
    jobs.iter().map(|it| it.id.clone()).collect()
}

pub async fn a_list_shows_every_job_once(broker: &impl Broker) {
    let me = worker("w");
    let mut expected = BTreeMap::new();
    let mut running = Vec::new();
    // Of one lease and of one millisecond many, which only their names tell apart.
    broker.submit(&(0..12).map(|_| job()).collect::<Vec<_>>()).await.unwrap();
    for claimed in claim(broker, &me, Want::now(12)).await {
        expected.insert(claimed.ticket.id.clone(), Stage::Running);
        running.push(claimed);
    }
    for claimed in running.drain(..3) {
        assert!(finish(broker, &me, &claimed, failure(false)).await);
        expected.insert(claimed.ticket.id, Stage::Dead);
    }
    for n in 1..=4 {
        let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": 90 + n } }));
        for _ in 0..n {
            let id = submit(broker, job().requirements(needs.clone())).await;
            expected.insert(id, Stage::Waiting);
        }
    }
    for n in 0..4_u16 {
        expected.insert(submit(broker, job().delay(LONG)).await, Stage::Delayed);
        // In groups of two limit keys, whether or not these have a limit.
        for key in ["one", "two"] {
            let needs = requirements(&json!({ "hardware": { "gpu_memory_gb": 90 + n % 2 } }));
            let held = job().requirements(needs).limit_key(key.parse().unwrap());
            expected.insert(submit(broker, held).await, Stage::Waiting);
        }
    }
    for most in [1, 2, 5, 100] {
        let jobs = listed(broker, &Filter::default(), most).await;
        let stages: Vec<_> = jobs.iter().map(|it| it.life.state.stage()).collect();
        assert!(stages.is_sorted(), "{stages:?}");
        let found: BTreeMap<_, _> = jobs.into_iter().map(|it| (it.id, it.life.state.stage())).collect();
        assert_eq!((found.len(), stages.len()), (expected.len(), expected.len()));
        assert_eq!(found, expected, "{most} a page");
    }
}

pub async fn a_page_goes_on_where_the_last_one_ended(broker: &impl Broker) {
    let jobs: Vec<_> = (0..9).map(|_| job()).collect();
    broker.submit(&jobs).await.unwrap();
    let first = broker.list(&of(Stage::Waiting), None, 4).await.unwrap();
    assert_eq!(ids(&first.jobs), jobs[..4].iter().map(|it| it.id.clone()).collect::<Vec<_>>());
    // Whatever happens in front of the place, nothing behind it is hidden or shown twice.
    for job in &jobs[1..5] {
        assert_eq!(broker.cancel(&job.id).await.unwrap(), Cancel::Cancelled);
    }
    let urgent = submit(broker, job().priority(500)).await;
    let second = broker.list(&of(Stage::Waiting), first.next.as_ref(), 100).await.unwrap();
    assert_eq!(ids(&second.jobs), jobs[5..].iter().map(|it| it.id.clone()).collect::<Vec<_>>());
    assert_eq!(listed(broker, &of(Stage::Waiting), 100).await[0].id, urgent, "the best first");
}

pub async fn a_list_is_filtered(broker: &impl Broker) {
    let other = Job::new("openai".parse().unwrap());
    let hers = job().customer("anna".parse().unwrap());
    let plain = job();
    let all = [other.clone(), hers.clone(), plain.clone()];
    broker.submit(&all).await.unwrap();
    let by = async |filter: Filter| ids(&listed(broker, &filter, 2).await);
    let service = Filter { service: Some("openai".parse().unwrap()), ..Filter::default() };
    assert_eq!(by(service).await, std::slice::from_ref(&other.id));
    let customer = Filter { customer: Some("anna".parse().unwrap()), ..Filter::default() };
    assert_eq!(by(customer).await, std::slice::from_ref(&hers.id));
    let signature = Filter { signature: Some(plain.signature().id()), ..Filter::default() };
    assert_eq!(by(signature.clone()).await, std::slice::from_ref(&plain.id));
    assert_eq!(by(Filter { stage: Some(Stage::Dead), ..signature }).await, []);

    let claimed = claim_one(broker, &worker("w")).await;
    let running = listed(broker, &of(Stage::Running), 100).await;
    let [it] = &running[..] else { panic!("{running:?}") };
    assert_eq!((&it.id, it.max_attempts, it.finished), (&claimed.ticket.id, 3, None));
    assert!(it.submitted <= it.now && it.now < claimed.until);
}

pub async fn finished_jobs_are_listed_if_asked_for(broker: &impl Broker) {
    let (done, stopped) = (submit(broker, job()).await, submit(broker, job()).await);
    let me = worker("w");
    let claimed = claim_one(broker, &me).await;
    assert_eq!(claimed.ticket.id, done);
    assert!(finish(broker, &me, &claimed, Outcome::Success(json!(1))).await);
    broker.cancel(&stopped).await.unwrap();
    assert_eq!(listed(broker, &Filter::default(), 100).await, []);
    assert_eq!(ids(&listed(broker, &of(Stage::Succeeded), 1).await), [done]);
    assert_eq!(ids(&listed(broker, &of(Stage::Cancelled), 1).await), [stopped]);
}

async fn told(watch: impl Stream<Item = Result<Happened, Error>>) -> Result<Vec<News>, Error> {
    watch.map_ok(|it| it.news).try_collect().await
}

pub async fn a_watch_ends_with_its_job(broker: &impl Broker) {
    let (id, me) = (submit(broker, job()).await, worker("w"));
    let half = Progress { percent: 50, message: "step 10 of 20".into() };
    let work = async {
        let first = claim_one(broker, &me).await;
        assert!(finish(broker, &me, &first, failure(true)).await);
        let second = claim_one(broker, &me).await;
        broker.progress(&second.ticket, half.clone()).await.unwrap().unwrap();
        assert!(finish(broker, &me, &second, Outcome::Success(json!(1))).await);
    };
    let mut watch = std::pin::pin!(broker.watch(id.clone(), None));
    let mut seen = Vec::new();
    let watched = async {
        while let Some(event) = watch.next().await {
            seen.push(event.unwrap());
        }
    };
    // The watch has to begin before the work, or it would see the end alone.
    join!(watched, async {
        assert_eq!(broker.events(&id, None, Duration::ZERO).await.unwrap(), []);
        work.await;
    });
    let news: Vec<_> = seen.iter().map(|it| it.news.clone()).collect();
    assert_eq!(news, [News::Returned, News::Progress(half), News::Succeeded]);
    assert!(seen.is_sorted_by_key(|it| it.at));
    // From any place of it on, the rest of the same.
    for (at, event) in seen.iter().enumerate() {
        let place: EventId = event.id.to_string().parse().unwrap();
        assert_eq!(told(broker.watch(id.clone(), Some(place))).await.unwrap(), news[at + 1..]);
    }
}

pub async fn a_watch_that_begins_while_a_job_waits_hears_of_its_success(broker: &impl Broker) {
    let (id, me) = (submit(broker, job()).await, worker("w"));
    // What the watch does first.
    assert_eq!(broker.events(&id, None, Duration::ZERO).await.unwrap(), []);
    let claim = claim_one(broker, &me).await;
    assert!(finish(broker, &me, &claim, Outcome::Success(json!(1))).await);
    assert_eq!(told(broker.watch(id, None)).await.unwrap(), [News::Succeeded]);
}

pub async fn a_watch_of_what_is_over_ends_at_once(broker: &impl Broker) {
    let id = submit(broker, job()).await;
    broker.cancel(&id).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(told(broker.watch(id, None)).await.unwrap(), [News::Cancelled]);
    assert!(began.elapsed() < LONG / 4);
}

pub async fn a_watch_goes_on_past_a_replay(broker: &impl Broker) {
    let (id, me) = (submit(broker, job()).await, worker("w"));
    broker.events(&id, None, Duration::ZERO).await.unwrap();
    let first = claim_one(broker, &me).await;
    assert!(finish(broker, &me, &first, failure(false)).await);
    assert_eq!(broker.replay(&Replay::Job(id.clone())).await.unwrap(), std::slice::from_ref(&id));
    let mut watch = std::pin::pin!(broker.watch(id, None));
    assert_eq!(watch.try_next().await.unwrap().unwrap().news, News::Dead);
    // It lives again, so its death was not the end.
    let (rest, ()) = join!(told(watch), async {
        let second = claim_one(broker, &me).await;
        assert!(finish(broker, &me, &second, Outcome::Success(json!(1))).await);
    });
    assert_eq!(rest.unwrap(), [News::Succeeded]);
}

pub async fn a_watch_of_nobody_is_an_error(broker: &impl Broker) {
    let id: JobId = "nobody".parse().unwrap();
    assert_eq!(told(broker.watch(id.clone(), None)).await, Err(Error::Unknown { id }));
}
