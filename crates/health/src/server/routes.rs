//! What is answered to what.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use serde::Deserialize;
use spec::ids::ProcessName;
use spec::notes::did_you_mean;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::{Shared, events, logs, openapi, page};
use crate::board::{Board, Snapshot};
use crate::control::{Control, Refused};
use crate::documents::{
    Health, Item, ItemHealth, Live, Page, Problem, Ready, Services, Status, Taken, Version,
};
use crate::metrics;
use crate::state::State as Is;

pub(super) type Answer = Response<Body>;
type Machine = Shared<Arc<Board>>;
type Everything = State<Arc<Machine>>;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// The text format of Prometheus, version 0.0.4.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// It may be kept, and has to be asked after before it is used again.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The most lines of a log in one answer, and the most bytes.
const MAX_LINES: usize = 10_000;
const MAX_LOG: usize = 4 << 20;

pub(super) fn router(shared: Arc<Machine>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/status", get(status))
        .route("/version", get(version))
        .route("/services", get(services))
        .route("/services/{service}", get(service))
        .route("/services/{service}/health", get(service_health))
        .route("/services/{service}/logs", get(service_logs))
        .route("/services/{service}/restart", post(restart))
        .route("/drain", post(drain))
        .route("/metrics", get(all_metrics))
        .route("/events", get(all_events))
        .route(
            "/openapi.json",
            get(|headers: HeaderMap| async move { send(StatusCode::OK, openapi::page(), &headers) }),
        )
        .merge(page::router())
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "nothing is here; `/openapi.json` lists what is", None)
        })
        .with_state(shared)
}

/// Whether what is asked for is a stream, which may stay.
pub(super) fn streams(uri: &Uri) -> bool {
    uri.path() == "/events"
        || (uri.path().ends_with("/logs") && uri.query().is_some_and(|it| it.contains("follow")))
}

pub(super) fn response(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    answer
}

/// A document, or word that the asker's copy is still good.
pub(super) fn send(status: StatusCode, page: &Page, headers: &HeaderMap) -> Answer {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    let mut known = known.flat_map(|it| it.split(',')).map(|it| it.trim().trim_start_matches("W/"));
    let mut answer =
        if status == StatusCode::OK && known.any(|it| it == "*" || it.as_bytes() == page.etag.as_bytes()) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            response(status, JSON, page.body.clone())
        };
    answer.headers_mut().insert(ETAG, page.etag.clone());
    answer
}

/// Why there is no answer.
pub(super) fn problem(status: StatusCode, detail: &str, nearest: Option<&str>) -> Answer {
    let problem = Problem {
        status: status.as_u16(),
        title: status.canonical_reason().unwrap_or("Error").into(),
        detail: detail.into(),
        nearest: nearest.map(Into::into),
    };
    response(status, PROBLEM, Page::of(&problem).body)
}

/// 200 for yes, 503 for no: what probes and load balancers go by.
fn well(yes: bool) -> StatusCode {
    if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The machine in a few words
#[utoipa::path(get, path = "/health", responses(
    (status = 200, description = "Everything that is enabled is healthy", body = Health),
    (status = 503, description = "It is not, or the machine starts", body = Health)))]
pub(super) async fn health(State(it): Everything, headers: HeaderMap) -> Answer {
    let now = it.shown.latest();
    let page = now.pages.health.get_or_init(|| Page::of(&now.health()));
    send(well(now.verdicts.machine.state == Is::Healthy), page, &headers)
}

/// Whether the program answers
#[utoipa::path(get, path = "/live", responses((status = 200, description = "It does", body = Live)))]
pub(super) async fn live() -> Answer {
    response(StatusCode::OK, JSON, Page::of(&Live { live: true }).body)
}

/// Whether jobs can be done, and if not, why not
#[utoipa::path(get, path = "/ready", responses(
    (status = 200, description = "They can", body = Ready),
    (status = 503, description = "They cannot; the blockers are listed", body = Ready)))]
pub(super) async fn ready(State(it): Everything, headers: HeaderMap) -> Answer {
    let now = it.shown.latest();
    let page = now.pages.ready.get_or_init(|| Page::of(&now.ready()));
    send(well(now.verdicts.machine.ready()), page, &headers)
}

/// Everything about the machine
#[utoipa::path(get, path = "/status", responses((status = 200, description = "Everything", body = Status)))]
pub(super) async fn status(State(it): Everything, headers: HeaderMap) -> Answer {
    let now = it.shown.latest();
    send(StatusCode::OK, now.pages.status.get_or_init(|| Page::of(&now.status())), &headers)
}

/// What runs
#[utoipa::path(get, path = "/version", responses((status = 200, description = "What runs", body = Version)))]
pub(super) async fn version(State(it): Everything, headers: HeaderMap) -> Answer {
    let now = it.shown.latest();
    send(StatusCode::OK, now.pages.version.get_or_init(|| Page::of(&now.what_runs())), &headers)
}

/// Every service and worker
#[utoipa::path(get, path = "/services", responses((status = 200, description = "All of them", body = Services)))]
pub(super) async fn services(State(it): Everything, headers: HeaderMap) -> Answer {
    let now = it.shown.latest();
    send(StatusCode::OK, now.pages.services.get_or_init(|| Page::of(&now.services())), &headers)
}

/// One service or worker, or the answer that there is none of this name.
fn find(now: &Snapshot, name: Result<Path<String>, PathRejection>) -> Result<Item, Box<Answer>> {
    let Ok(Path(name)) = name else {
        return Err(Box::new(problem(StatusCode::BAD_REQUEST, "the name is not text", None)));
    };
    now.item(&name).ok_or_else(|| {
        let services = now.facts.services.iter().map(|it| &it.name);
        let names = services.chain(now.facts.workers.iter().map(|it| &it.name)).map(ProcessName::as_str);
        // Measuring distances takes time, and no name is that long.
        let nearest = if name.len() > spec::ids::MAX_BUILT_NAME { None } else { did_you_mean(&name, names) };
        Box::new(problem(StatusCode::NOT_FOUND, "no service or worker has this name", nearest))
    })
}

/// One service or worker
#[utoipa::path(get, path = "/services/{service}", params(("service" = String, Path, description = "Its name")), responses(
    (status = 200, description = "What is known of it", body = Item),
    (status = 400, description = "The name is not text", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none; with the nearest name", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn service(
    State(it): Everything,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    match find(&it.shown.latest(), name) {
        Ok(item) => send(StatusCode::OK, &Page::of(&item), &headers),
        Err(answer) => *answer,
    }
}

/// One service or worker in a few words
#[utoipa::path(get, path = "/services/{service}/health", params(("service" = String, Path, description = "Its name")), responses(
    (status = 200, description = "It is healthy", body = ItemHealth),
    (status = 400, description = "The name is not text", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none; with the nearest name", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "It is not healthy: also if it is not configured", body = ItemHealth)))]
pub(super) async fn service_health(
    State(it): Everything,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    match find(&it.shown.latest(), name) {
        Ok(item) => send(well(item.state == Is::Healthy), &Page::of(&item.health()), &headers),
        Err(answer) => *answer,
    }
}

/// How much of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Tail {
    /// The last so many lines
    #[serde(default = "hundred")]
    #[param(default = 100, minimum = 0, maximum = 10_000)]
    lines: usize,
    /// And then what is written from now on, until the asker hangs up
    #[serde(default)]
    follow: bool,
}

fn hundred() -> usize {
    100
}

/// What a service or worker has written, its control characters escaped
#[utoipa::path(get, path = "/services/{service}/logs", params(("service" = String, Path, description = "Its name"), Tail), responses(
    (status = 200, description = "The lines, oldest first", body = String, content_type = "text/plain"),
    (status = 400, description = "The question cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none of this name", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is no process of this machine", body = Problem, content_type = "application/problem+json"),
    (status = 500, description = "Its log cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "The machine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn service_logs(
    State(it): Everything,
    name: Result<Path<String>, PathRejection>,
    tail: Result<Query<Tail>, QueryRejection>,
) -> Answer {
    let Tail { lines, follow } = match tail {
        Ok(Query(tail)) if tail.lines <= MAX_LINES => tail,
        Ok(_) => return problem(StatusCode::BAD_REQUEST, "`lines` is at most 10000", None),
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.body_text(), None),
    };
    let (control, name) = match whom(&it, name) {
        Ok(found) => found,
        Err(answer) => return *answer,
    };
    let stream = if follow {
        match it.streams.clone().try_acquire_owned() {
            Ok(stream) => Some(stream),
            Err(_) => return problem(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open", None),
        }
    } else {
        None
    };
    let read = async {
        let mut found = control.logs(&name, lines, follow).await?;
        if follow {
            let mut stop = it.stop.clone();
            let ended = async move { drop(stop.wait_for(|it| *it).await) };
            let lines = found.map(move |line| {
                // Held for as long as the stream is.
                let _ = &stream;
                Ok::<_, std::convert::Infallible>(logs::shown(&line))
            });
            return Ok(Body::from_stream(lines.take_until(Box::pin(ended))));
        }
        let mut text = String::new();
        while let Some(line) = found.next().await {
            if text.len() > MAX_LOG {
                text.push_str("… more was written than one answer holds\n");
                break;
            }
            text.push_str(&logs::shown(&line));
        }
        Ok(Body::from(text))
    };
    match timeout(it.limits.order, read).await {
        Ok(Ok(body)) => response(StatusCode::OK, TEXT, body),
        Ok(Err(refused)) => refusal(&refused),
        Err(_) => late(it.limits.order),
    }
}

/// Stop a service or worker and start it anew
#[utoipa::path(post, path = "/services/{service}/restart", params(("service" = String, Path, description = "Its name")), responses(
    (status = 202, description = "It is being restarted", body = Taken),
    (status = 400, description = "The name is not text", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The order comes from a page of another site", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none of this name", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is no process of this machine", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
    (status = 500, description = "It was tried in vain", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "The machine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn restart(State(it): Everything, name: Result<Path<String>, PathRejection>) -> Answer {
    let (control, name) = match whom(&it, name) {
        Ok(found) => found,
        Err(answer) => return *answer,
    };
    taken(timeout(it.limits.order, control.restart(&name)).await, it.limits.order, format!("restarts {name}"))
}

/// Claim nothing more, finish what is at hand, and end the machine
#[utoipa::path(post, path = "/drain", responses(
    (status = 202, description = "The machine drains", body = Taken),
    (status = 403, description = "The order comes from a page of another site", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "There is nothing to drain", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
    (status = 500, description = "It was tried in vain", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "The machine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drain(State(it): Everything) -> Answer {
    let Some(control) = it.shown.control() else { return refusal(&Refused::NotNow { doing: "starting" }) };
    taken(timeout(it.limits.order, control.drain()).await, it.limits.order, "drains".into())
}

/// Who carries out an order, and about whom it is.
fn whom(
    it: &Machine,
    name: Result<Path<String>, PathRejection>,
) -> Result<(Arc<dyn Control>, ProcessName), Box<Answer>> {
    let item = find(&it.shown.latest(), name)?;
    let Ok(name) = item.name.parse::<ProcessName>() else {
        return Err(Box::new(problem(StatusCode::NOT_FOUND, "no service or worker has this name", None)));
    };
    match (it.shown.control(), item.process) {
        (None, _) => Err(Box::new(refusal(&Refused::NotNow { doing: "starting" }))),
        (_, None) => Err(Box::new(refusal(&Refused::NoProcess { name }))),
        (Some(control), Some(_)) => Ok((control.clone(), name)),
    }
}

fn taken<E>(done: Result<Result<(), Refused>, E>, within: Duration, doing: String) -> Answer {
    match done {
        Ok(Ok(())) => response(StatusCode::ACCEPTED, JSON, Page::of(&Taken { doing }).body),
        Ok(Err(refused)) => refusal(&refused),
        Err(_) => late(within),
    }
}

fn refusal(refused: &Refused) -> Answer {
    let status = match refused {
        Refused::NoProcess { .. } => StatusCode::CONFLICT,
        Refused::NotNow { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &refused.to_string(), None)
}

fn late(within: Duration) -> Answer {
    let told = format!("the machine has not answered within {} s", within.as_secs_f64());
    problem(StatusCode::GATEWAY_TIMEOUT, &told, None)
}

/// Numbers for Prometheus
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "The text format, version 0.0.4", body = String, content_type = "text/plain")))]
pub(super) async fn all_metrics(State(it): Everything) -> Answer {
    response(StatusCode::OK, METRICS, metrics::text(&it.shown.latest(), &it.shown.meters))
}

/// What happens, as it happens: events `status` (the document of `/status`, whenever it changes) and `happened`
#[utoipa::path(get, path = "/events", params(
    ("Last-Event-ID" = Option<u64>, Header, description = "The last event `happened` that was received; 0 for all that are kept")),
    responses(
    (status = 200, description = "Server-sent events", body = String, content_type = "text/event-stream"),
    (status = 503, description = "Too many streams are open", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn all_events(State(it): Everything, headers: HeaderMap) -> Answer {
    let Ok(stream) = it.streams.clone().try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open", None);
    };
    let latest = it.shown.journal.latest();
    let after = headers.get(LAST_EVENT_ID).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    // A number that has not been reached is of an earlier run.
    let after = after.map_or(latest, |it| if it > latest { 0 } else { it });
    events::feed(&it, after, stream).into_response()
}
