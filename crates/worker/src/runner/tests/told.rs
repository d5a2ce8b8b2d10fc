//! What is told of a job beside its result: reports and spans.

use std::io::Write;

use insta::assert_snapshot;

use super::*;
use crate::report::{Current, End, Ended, Place, Report};

#[tokio::test(start_paused = true)]
async fn who_listens_is_told_what_a_worker_does_and_what_has_ended() {
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let told = reports.clone();
    let listener: Listener = Arc::new(move |it| {
        told.lock().unwrap().push(it.clone());
        true
    });
    let work = Act::Work { time: s(5), to_stop: s(0) };
    let mut bench = Bench::told(Scripted::new([work, Act::Succeed]), 2, Some(listener));
    sleep(s(1)).await;
    let id = bench.submit(it()).await;
    bench.until(&id, is_over).await;
    let quick = bench.submit(it().payload(json!({ "n": "one" }))).await;
    bench.until(&quick, is_over).await;
    bench.end().await;
    let reports = reports.lock().unwrap();
    let busy = reports.iter().find(|it| !it.jobs.is_empty()).unwrap();
    let job = Current { job: id.to_string(), ran_ms: busy.jobs[0].ran_ms, percent: None, message: None };
    assert_eq!((&busy.jobs, &busy.services), (&vec![job], &vec![Place { open: true, slots: 2, busy: 1 }]));
    assert_eq!((busy.worker.as_str(), busy.connector.as_str(), busy.gpu), ("m-worker-it-0", "it", Some(1)));
    let ended: Vec<Ended> = reports.iter().flat_map(|it| it.ended.clone()).collect();
    let ends: Vec<End> = ended.iter().map(|it| it.end).collect();
    assert_eq!(ends, [End::Succeeded, End::Failed]);
    assert_eq!((ended[0].ran_ms, ended[0].waited_ms), (5000, Some(0)));
    let last = reports.last().unwrap();
    assert_eq!((last.tally.succeeded, last.tally.failed, last.services[0].open), (1, 1, false));
    assert!(reports.len() < 25, "at most two a second: {}", reports.len());
}

/// What was logged, as lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn each_job_has_a_span_and_no_secret_is_in_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    let _guard = tracing::subscriber::set_default(log.with_writer(move || writer.clone()).finish());
    let bench = Bench::with(Scripted::new([Act::Fail(Failure::permanent("wrong key: canary"))]), 1);
    let id = bench.submit(it()).await;
    bench.until(&id, is_over).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap().replace(id.as_str(), "ID");
    let line = text.lines().find(|it| it.contains("has ended")).unwrap();
    assert_snapshot!(line, @r#" INFO job{id=ID connector="it" attempt=0 outcome="failed"}: a job has ended ran=0ns words="wrong key: [redacted]""#);
}
