//! Spans for OpenTelemetry.

use super::*;

/// What a collector was sent first, its head included.
#[cfg(feature = "otlp")]
fn collected(listener: &std::net::TcpListener) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut part).unwrap();
        all.extend(&part[..length]);
        let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
        let said = text.split_once("content-length: ").and_then(|it| it.1.split_once("\r\n"));
        let head = all.windows(4).position(|it| it == b"\r\n\r\n").map(|it| it + 4);
        if let (Some(head), Some((body, _))) = (head, said)
            && all.len() >= head + body.parse::<usize>().unwrap()
        {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            return all;
        }
        assert!(length > 0, "{text}");
    }
}

#[cfg(feature = "otlp")]
#[tokio::test]
async fn a_collector_is_sent_a_span_of_every_job() {
    let bench = Bench::begin().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut command = bench.command("w-0");
    let mut worker = Guarded(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).spawn().unwrap());
    let job = bench.submit(json!({ "duration_ms": 20 })).await;
    bench.until(&job, is_over).await;
    terminate(&worker);
    let sent = tokio::task::spawn_blocking(move || collected(&listener));
    let sent = tokio::time::timeout(PATIENCE, sent).await.expect("the collector is sent something").unwrap();
    let sent = String::from_utf8_lossy(&sent).into_owned();
    assert!(sent.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{sent}");
    for it in [job.as_str(), "roster-worker", "w-0", "simulation", "succeeded"] {
        assert!(sent.contains(it), "{it}: {sent}");
    }
    assert_eq!(worker.0.wait().unwrap().code(), Some(0));
}

#[cfg(not(feature = "otlp"))]
#[tokio::test]
async fn a_worker_that_cannot_send_spans_says_so_and_works() {
    use std::io::Read as _;

    let bench = Bench::begin().await;
    let mut command = bench.command("w-0");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").stderr(Stdio::piped());
    let mut worker = Guarded(command.spawn().unwrap());
    let job = bench.submit(json!({ "duration_ms": 20 })).await;
    assert!(bench.until(&job, is_over).await.result.is_some());
    terminate(&worker);
    let mut talk = String::new();
    worker.0.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert!(talk.contains("OTEL_EXPORTER_OTLP_ENDPOINT is set") && talk.contains("`otlp`"), "{talk}");
}
