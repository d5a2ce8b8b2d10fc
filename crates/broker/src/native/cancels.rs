//! Hearing of wishes to stop running jobs: a subscription on a connection of its own, opened again when it breaks.

use std::time::Duration;

use futures_util::{Stream, stream};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, PushInfo, PushKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

use super::link::{Answers, Link, Pauses};
use crate::broker::Heard;
use crate::error::Error;
use crate::ids::JobId;

/// After so long a silence the server is asked whether it still is there: by subscribing again, which changes nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Who listens.
struct Ear {
    link: Link,
    channel: String,
    read: fn(&str) -> Option<JobId>,
    open: Option<(MultiplexedConnection, UnboundedReceiver<PushInfo>)>,
    pauses: Pauses,
}

/// What is published on `channel`; `read` finds the job in a message. Where that is not possible it is tried again, with growing
/// pauses.
pub(crate) fn cancels(
    link: Link,
    channel: String,
    read: fn(&str) -> Option<JobId>,
) -> impl Stream<Item = Result<Heard, Error>> + Send {
    let ear = Ear { link, channel, read, open: None, pauses: Pauses::default() };
    stream::unfold(ear, async |mut ear| {
        let heard = ear.hear().await;
        Some((heard, ear))
    })
}

impl Ear {
    async fn hear(&mut self) -> Result<Heard, Error> {
        loop {
            let Some((connection, pushes)) = &mut self.open else {
                self.pauses.wait(Instant::now() + SILENCE).await;
                return match self.listen().await {
                    Ok(open) => {
                        self.open = Some(open);
                        self.pauses = Pauses::default();
                        Ok(Heard::Listening)
                    }
                    Err(error) => {
                        self.pauses.grow();
                        Err(error)
                    }
                };
            };
            let Ok(push) = timeout(SILENCE, pushes.recv()).await else {
                if connection.subscribe(&self.channel).await.is_err() {
                    self.open = None;
                }
                continue;
            };
            match push {
                Some(PushInfo { kind: PushKind::Message, data }) => {
                    // Whoever may publish here may also publish what is no id.
                    let id = data.into_iter().nth(1).and_then(|it| String::from_redis_value(it).ok());
                    if let Some(id) = id.and_then(|it| (self.read)(&it)) {
                        return Ok(Heard::Cancel(id));
                    }
                }
                Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => self.open = None,
                Some(_) => {}
            }
        }
    }

    async fn listen(&self) -> Result<(MultiplexedConnection, UnboundedReceiver<PushInfo>), Error> {
        let (told, pushes) = unbounded_channel();
        let mut connection = self.link.own(&Answers::Pushed(told)).await?;
        let subscribed = connection.subscribe(&self.channel).await;
        subscribed.map_err(|it| self.link.answered(it, || "SUBSCRIBE".into()))?;
        Ok((connection, pushes))
    }
}
