//! What has to happen at once, and does not wait for the next renewal or the end of a wait.

use broker::{Exchange, Want};
use tokio::task::yield_now;

use super::*;

/// A worker that nobody drives, with a service that is well.
fn still() -> (Run<Memory>, UnboundedReceiver<News>) {
    let (mut run, events) = Run::new(runner(Scripted::new([]), 1, Arc::new(|_| {})));
    run.gates[0].looked(true, s(10), Time::ZERO);
    (run, events)
}

#[tokio::test(start_paused = true)]
async fn a_running_job_is_stopped_as_soon_as_somebody_wants_it() {
    let bench = Bench::with(Scripted::new([Act::Work { time: s(300), to_stop: s(0) }]), 1);
    let id = bench.submit(it()).await;
    bench.until(&id, is_running).await;
    // A second after a renewal: the next one is more than two seconds away.
    sleep(s(1)).await;
    let began = Instant::now();
    bench.broker.cancel(&id).await.unwrap();
    bench.until(&id, is_over).await;
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_comes_before_its_job_does_is_not_forgotten() {
    let (mut run, _events) = still();
    run.call();
    let job = it();
    run.it.broker.submit(std::slice::from_ref(&job)).await.unwrap();
    let worker = run.it.worker.clone();
    let claim = run.it.broker.exchange(&worker, vec![], Want::now(1)).await.unwrap().claims.remove(0);
    run.heard(Ok(Heard::Cancel(job.id)));
    run.heard(Ok(Heard::Cancel(it().id)));
    let now = run.now();
    run.begin(claim, now);
    assert_eq!(run.renew_at, Some(now));
}

#[tokio::test(start_paused = true)]
async fn without_a_job_nobody_listens_and_the_end_does_not_wait_for_a_claim() {
    let mut bench = Bench::with(Scripted::new([]), 1);
    sleep(s(45)).await;
    let began = Instant::now();
    assert_eq!(bench.end().await, Tally::default());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_claimed_in_the_instant_of_the_end_goes_back_at_no_cost() {
    let (mut run, events) = still();
    let (broker, worker, job) = (run.it.broker.clone(), run.it.worker.clone(), it());
    broker.submit(std::slice::from_ref(&job)).await.unwrap();
    let answer: Exchange = broker.exchange(&worker, vec![], Want::now(1)).await.unwrap();
    assert_eq!(answer.claims.len(), 1);
    let began = run.now();
    run.shut_down();
    run.reply(Reply::Claimed { reports: vec![], began, answer: Ok(answer) });
    let tally = run.drive(std::future::pending(), events).await;
    assert_eq!((tally.claimed, tally.handed_back), (1, 1));
    let life = broker.status(&job.id).await.unwrap().unwrap().life;
    assert_eq!((life.state, life.attempts, life.crashes), (broker::life::State::Waiting, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn whichever_comes_first_the_end_or_a_job_no_job_is_lost() {
    for turns in -10_i32..10 {
        let work = Act::Work { time: s(300), to_stop: s(0) };
        let mut bench = Bench::with(Scripted::new([work]), 1);
        sleep(s(1)).await;
        let turn = async |turns| {
            for _ in 0..turns {
                yield_now().await;
            }
        };
        let stop = bench.stop.take();
        let (id, ()) = tokio::join!(
            async {
                turn(turns).await;
                bench.submit(it()).await
            },
            async {
                turn(-turns).await;
                drop(stop);
            }
        );
        bench.end().await;
        let life = bench.broker.status(&id).await.unwrap().unwrap().life;
        let waits = (broker::life::State::Waiting, 0, 0);
        assert_eq!((life.state, life.attempts, life.crashes), waits, "{turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_came_after_a_long_wait_has_all_its_time() {
    let bench = Bench::with(Scripted::new([Act::Work { time: s(1), to_stop: s(0) }]), 1);
    sleep(s(20)).await;
    let id = bench.submit(it().timeout(s(2))).await;
    assert!(bench.until(&id, is_over).await.result.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_is_cut_short_when_the_service_becomes_ill() {
    let connector = Scripted::new([]);
    let ill = || Err(Failure::service("connection refused"));
    connector.looks.lock().unwrap().extend([Ok(()), ill(), ill(), ill()]);
    let mut bench = Bench::with(connector.clone(), 1);
    while connector.looked.load(Ordering::Relaxed) < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    let id = bench.submit(it()).await;
    bench.until(&id, is_over).await;
    let tally = bench.end().await;
    assert_eq!((tally.claimed, tally.succeeded), (1, 1), "it was not claimed before");
}
