//! `/events`: what happens, and the status whenever it changes (server-sent events, HTML Living Standard 9.2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use crate::board::{Board, Snapshot};
use crate::documents::{Happened, Page};
use crate::events::Event;

/// The status is told at most this often; what changed between is told together.
const GAP: Duration = Duration::from_millis(200);

/// What one listener has yet to hear.
struct Feed {
    board: Arc<Board>,
    missed: VecDeque<Event>,
    told: broadcast::Receiver<Event>,
    /// The number of the last event that was sent.
    last: u64,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The next status is not sent before.
    not_before: Instant,
    stop: watch::Receiver<bool>,
    _stream: OwnedSemaphorePermit,
}

/// Everything after event `after`, and the present status first.
pub(super) fn feed(
    shared: &Shared<Arc<Board>>,
    after: u64,
    stream: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    let board = shared.shown.clone();
    let (missed, told) = board.journal.after(after);
    let mut snapshots = board.watch();
    snapshots.mark_changed();
    let feed = Feed {
        missed: missed.into(),
        told,
        last: after,
        snapshots,
        not_before: Instant::now(),
        stop: shared.stop.clone(),
        board,
        _stream: stream,
    };
    let events = unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok(event), feed))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(shared.limits.heartbeat))
}

impl Feed {
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.missed.pop_front() {
                // Told twice: when it was kept, and when it happened.
                if event.id <= self.last {
                    continue;
                }
                self.last = event.id;
                return Some(sent(event));
            }
            let (not_before, snapshots) = (self.not_before, &mut self.snapshots);
            let changed = async move {
                sleep_until(not_before).await;
                snapshots.changed().await
            };
            tokio::select! {
                _ = self.stop.wait_for(|it| *it) => return None,
                told = self.told.recv() => match told {
                    Ok(event) => self.missed.push_back(event),
                    Err(RecvError::Lagged(_)) => {
                        let (missed, told) = self.board.journal.after(self.last);
                        (self.missed, self.told) = (missed.into(), told);
                    }
                    Err(RecvError::Closed) => return None,
                },
                changed = changed => {
                    changed.ok()?;
                    self.not_before = Instant::now() + GAP;
                    let snapshot = self.snapshots.borrow_and_update().clone();
                    let page = snapshot.pages.status.get_or_init(|| Page::of(&snapshot.status()));
                    let text = std::str::from_utf8(&page.body).unwrap_or_default();
                    return Some(Sent::default().event("status").data(text));
                }
            }
        }
    }
}

fn sent(event: Event) -> Sent {
    let Event { id, at, kind, subject, message } = event;
    let happened = Happened { at, kind: kind.into(), subject, message };
    let text = serde_json::to_string(&happened).unwrap_or_default();
    Sent::default().event("happened").id(id.to_string()).data(text)
}
