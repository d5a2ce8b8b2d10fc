//! The way to Redis: whether it answers, and how fast. The workers have connections of their own; this one tells the
//! machine how it is with them.

use std::time::Duration;

use broker::Native;
use health::RedisLink;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::heart::now;
use crate::config::Guard;

/// Between two questions.
const PERIOD: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for as long as it is polled.
pub(crate) async fn watch(broker: &Native, guard: &Guard, link: &watch::Sender<RedisLink>) {
    loop {
        // It opens its connection again by itself; that may take longer than we wait to say so.
        match timeout(PATIENCE, broker.time()).await {
            Err(_) => lost(link, format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => lost(link, guard.text(&error.to_string())),
            Ok(Ok((_, latency))) => _ = link.send_replace(RedisLink::Connected { latency }),
        }
        sleep(PERIOD).await;
    }
}

/// It does not answer; since when it has not, is kept.
pub(crate) fn lost(link: &watch::Sender<RedisLink>, why: String) {
    link.send_modify(|it| {
        let since = match it {
            RedisLink::Lost { since, .. } => *since,
            RedisLink::Unneeded | RedisLink::Pending | RedisLink::Connected { .. } => now(),
        };
        *it = RedisLink::Lost { since, why };
    });
}
