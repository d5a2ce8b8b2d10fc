//! Jobs that end before their time.

use std::time::Instant;

use serde_json::json;
use worker::{Connector as _, Kind, Stop};

use crate::Place;
use crate::chromium::{LONG, runs, until};

/// A script whose child stays in its group and ignores a request to end, and has one more that leaves the group. Tells
/// its process, theirs, and its folder.
const STUBBORN: &str = "
    import { spawn } from 'node:child_process';
    export default async ({ page, input, progress }) => {
        await page.goto(input);
        const shell = ['-c', 'trap \"\" TERM; while :; do sleep 1; done'];
        const left = [spawn('sh', shell), spawn('sh', shell, { detached: true, stdio: 'ignore' })];
        await progress(1, [process.pid, ...left.map((it) => it.pid), process.cwd()].join(' '));
        await new Promise(() => {});
    }";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_answers_ends_with_its_deadline() {
    let Some(place) = Place::new().await else { return };
    let actions = json!([{ "open": { "url": place.site.url("/silence") } }]);
    let began = Instant::now();
    let failure = place.run(json!({ "actions": actions, "timeout_ms": 2000 })).await.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false));
    assert!(began.elapsed() < LONG && place.site.was_asked("/silence"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stopped_leaves_no_page() {
    let Some(place) = Place::new().await else { return };
    let (task, hands) = place.task(json!({ "actions": [{ "open": { "url": place.site.url("/silence") } }] }));
    let stop = async {
        until("the page is asked for", || place.site.was_asked("/silence")).await;
        assert!(place.chromium.contexts().await > 0);
        hands.stop.stop(Stop::Cancelled);
    };
    let (result, ()) = tokio::join!(place.connector.run(&task), stop);
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false));
    assert_eq!(place.chromium.contexts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_browser_fails_the_job_at_once() {
    let Some(mut place) = Place::new().await else { return };
    let (task, _hands) =
        place.task(json!({ "actions": [{ "open": { "url": place.site.url("/silence") } }] }));
    let connector = place.connector.clone();
    let job = tokio::spawn(async move { connector.run(&task).await });
    until("the page is asked for", || place.site.was_asked("/silence")).await;
    place.chromium.kill();
    let began = Instant::now();
    let failure = job.await.unwrap().unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
    assert!(began.elapsed() < LONG);
    assert_eq!(place.connector.check().await.unwrap_err().kind, Kind::Service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_crashes_fails_the_job_and_spares_the_browser() {
    let Some(place) = Place::new().await else { return };
    let actions =
        json!([{ "open": { "url": place.site.url("/form") } }, { "wait": { "selector": "#never" } }]);
    let (task, hands) = place.task(json!({ "actions": actions }));
    let crash = async {
        until("the page is there", || {
            hands.progress.borrow().as_ref().is_some_and(|it| it.message == "wait")
        })
        .await;
        place.chromium.kill_renderers();
    };
    let (result, ()) = tokio::join!(place.connector.run(&task), crash);
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, false), "{failure}");
    assert!(failure.message.contains("the page crashed"), "{failure}");
    assert_eq!(place.chromium.contexts().await, 0);
    place.connector.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_browser_fails_the_script_at_once() {
    let Some(mut place) = Place::for_scripts().await else { return };
    let script = "export default async ({ page, input }) => { await page.goto(input); await new Promise(() => setTimeout(() => {}, 60000)) }";
    let (task, _hands) = place.task(json!({ "script": script, "input": place.site.url("/form") }));
    let connector = place.connector.clone();
    let job = tokio::spawn(async move { connector.run(&task).await });
    until("the page is asked for", || place.site.was_asked("/form")).await;
    place.chromium.kill();
    let began = Instant::now();
    let failure = job.await.unwrap().unwrap_err();
    assert_eq!((failure.kind, failure.suspect), (Kind::Retryable, true), "{failure}");
    assert!(began.elapsed() < LONG);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_stopped_leaves_no_process_no_folder_and_no_page() {
    for cut_off in [false, true] {
        let Some(place) = Place::for_scripts().await else { return };
        let (task, hands) = place.task(json!({ "script": STUBBORN, "input": place.site.url("/form") }));
        let connector = place.connector.clone();
        let job = tokio::spawn(async move { connector.run(&task).await });
        until("it tells what it started", || hands.progress.borrow().is_some()).await;
        let told = hands.progress.borrow().clone().unwrap().message;
        let told: Vec<&str> = told.split(' ').collect();
        let pids: Vec<i64> = told[..3].iter().map(|it| it.parse().unwrap()).collect();
        assert!(pids.iter().all(|it| runs(*it)) && std::path::Path::new(told[3]).is_dir());
        if cut_off {
            job.abort();
            assert!(job.await.unwrap_err().is_cancelled());
            until("no process is left", || !pids.iter().any(|it| runs(*it))).await;
        } else {
            hands.stop.stop(Stop::Cancelled);
            let failure = job.await.unwrap().unwrap_err();
            assert_eq!((failure.kind, failure.suspect), (Kind::Stopped, false), "{failure}");
            assert_eq!(place.chromium.contexts().await, 0);
        }
        assert!(!pids.iter().any(|it| runs(*it)) && !std::path::Path::new(told[3]).exists());
        place.chromium.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_that_are_cut_off_leave_no_page() {
    let Some(place) = Place::new().await else { return };
    let (task, _hands) =
        place.task(json!({ "actions": [{ "open": { "url": place.site.url("/silence") } }] }));
    let connector = place.connector.clone();
    let job = tokio::spawn(async move { connector.run(&task).await });
    until("the page is asked for", || place.site.was_asked("/silence")).await;
    job.abort();
    place.chromium.empty().await;
}
