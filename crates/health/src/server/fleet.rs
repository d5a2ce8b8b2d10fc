//! The page of a fleet: the same files, and a document of all machines instead of one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::routes::{Answer, live, problem, send};
use super::{Shared, page};
use crate::documents::Page;
use crate::fleet::Fleet;

type Everything = State<Arc<Shared<watch::Receiver<Fleet>>>>;

pub(super) fn router(shared: Arc<Shared<watch::Receiver<Fleet>>>) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/fleet", get(fleet))
        .route("/events", get(events))
        .merge(page::router())
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "nothing is here", None) })
        .with_state(shared)
}

async fn fleet(State(it): Everything, headers: HeaderMap) -> Answer {
    let page = Page::of(&*it.shown.borrow());
    send(StatusCode::OK, &page, &headers)
}

/// The document of `/fleet`, whenever it changes.
async fn events(State(it): Everything) -> Answer {
    let Ok(stream) = it.streams.clone().try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open", None);
    };
    let (mut shown, stop) = (it.shown.clone(), it.stop.clone());
    shown.mark_changed();
    let events = unfold((shown, stop, stream), |(mut shown, mut stop, stream)| async move {
        tokio::select! {
            _ = stop.wait_for(|it| *it) => return None,
            changed = shown.changed() => changed.ok()?,
        }
        let text = serde_json::to_string(&*shown.borrow_and_update()).unwrap_or_default();
        let event = Sent::default().event("fleet").data(text);
        Some((Ok::<_, Infallible>(event), (shown, stop, stream)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(it.limits.heartbeat)).into_response()
}
