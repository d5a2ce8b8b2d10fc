use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use object_store::memory::InMemory;
use tokio::net::TcpListener;

use super::*;
use crate::settings::Settings;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn outputs(limit: u64) -> (Arc<InMemory>, Outputs) {
    let objects = Arc::new(InMemory::new());
    let store = Store::new(objects.clone(), "https://cdn.example.com/{path}?v=1", limit);
    (objects, store.of(&"job-1".parse().unwrap(), "job-1-7"))
}

#[tokio::test]
async fn a_file_is_stored_with_what_its_bytes_say_of_it() {
    let (objects, outputs) = outputs(1 << 20);
    let mut file = outputs.file("../cat 1.png");
    for part in PNG.chunks(3) {
        file.write(part).await.unwrap();
    }
    let stored = file.finish().await.unwrap();
    assert_eq!(stored.name, "_cat_1.png");
    assert_eq!(stored.url, "https://cdn.example.com/job-1/job-1-7/_cat_1.png?v=1");
    assert_eq!((stored.bytes, stored.content_type.as_str()), (PNG.len() as u64, "image/png"));
    assert_eq!(stored.sha256, hexadecimal(&Sha256::digest(PNG)));
    let got = objects.get(&Path::from("job-1/job-1-7/_cat_1.png")).await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), PNG);
    let empty = outputs.file("").finish().await.unwrap();
    assert_eq!((empty.name.as_str(), empty.bytes), ("output", 0));
    assert_eq!(empty.content_type, "application/octet-stream");
}

#[tokio::test]
async fn all_files_of_a_job_together_have_a_limit_and_nobody_sees_a_part_of_one() {
    let (objects, outputs) = outputs(100);
    outputs.put("a", &[1; 60]).await.unwrap();
    let mut file = outputs.file("b");
    file.write(&[1; 30]).await.unwrap();
    let failure = file.write(&[1; 30]).await.unwrap_err();
    assert_eq!(failure, Failure::permanent("the outputs of the job have more than 100 bytes"));
    drop(file);
    assert!(objects.get(&Path::from("job-1/job-1-7/b")).await.is_err());
}

#[tokio::test]
async fn a_large_result_becomes_a_file() {
    let (_, outputs) = outputs(1 << 20);
    let small = json!({ "text": "a cat" });
    assert_eq!(outputs.fit(small.clone(), "result.json").await.unwrap(), small);
    let large = outputs.fit(json!({ "text": "a cat ".repeat(20_000) }), "result.json").await.unwrap();
    assert_eq!(large["stored"]["content_type"], "application/json");
    assert!(large.to_string().len() < 1_000);
}

/// As much of S3 as an upload in parts needs: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
#[derive(Clone, Default)]
struct Bucket {
    parts: Arc<Mutex<BTreeMap<u32, Bytes>>>,
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

async fn s3(
    State(bucket): State<Bucket>,
    Segments(path): Segments<String>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<_, _> = query.into_owned().collect();
    let signed = headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=key-of-a-bucket/") {
        return StatusCode::FORBIDDEN.into_response();
    }
    if method == Method::POST && query.contains_key("uploads") {
        let told = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
        return told.into_response();
    }
    if let (true, Some(number)) = (method == Method::PUT, query.get("partNumber")) {
        bucket.parts.lock().unwrap().insert(number.parse().unwrap(), body);
        return [("etag", format!("\"{number}\""))].into_response();
    }
    if method == Method::POST && query.get("uploadId").is_some_and(|it| it == "u1") {
        let whole = std::mem::take(&mut *bucket.parts.lock().unwrap()).into_values().flatten().collect();
        bucket.objects.lock().unwrap().insert(path, whole);
        return "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
            .into_response();
    }
    (StatusCode::BAD_REQUEST, format!("{method} {path} {query:?}")).into_response()
}

#[tokio::test]
async fn a_bucket_takes_a_file_in_parts() {
    let bucket = Bucket::default();
    let routes = Router::new().route("/{*path}", any(s3)).with_state(bucket.clone());
    let routes = routes.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, routes).await });
    let variables: BTreeMap<spec::ids::EnvKey, String> = [
        ("REDIS_URL", "redis://hub"),
        ("ACCEPTS", "simulation"),
        ("CONNECTOR", "simulation"),
        ("WORKER_ID", "m-worker-simulation-0"),
        ("OUTPUT_URL", "s3://outputs/of/jobs"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ACCESS_KEY_ID", "key-of-a-bucket"),
        ("AWS_SECRET_ACCESS_KEY", "canary"),
    ]
    .map(|(key, value)| (key.parse().unwrap(), value.to_owned()))
    .into();
    let settings = Settings::read(&variables).unwrap_or_else(|it| panic!("{it:?}"));
    assert!(!format!("{:?}", settings.store).contains("canary"));
    let mut file = settings.store.of(&"job-1".parse().unwrap(), "job-1-7").file("big.bin");
    let part = vec![7; 1 << 20];
    for _ in 0..12 {
        file.write(&part).await.unwrap();
    }
    let stored = file.finish().await.unwrap();
    assert_eq!(stored.url, "s3://outputs/of/jobs/job-1/job-1-7/big.bin");
    let objects = bucket.objects.lock().unwrap();
    let (path, content) = objects.first_key_value().unwrap();
    assert_eq!((path.as_str(), content.len()), ("outputs/of/jobs/job-1/job-1-7/big.bin", 12 << 20));
    assert_eq!(stored.sha256, hexadecimal(&Sha256::digest(content)));
}
