//! One job: handed over, followed to its end through whatever happens to the connection, and stopped if it has to be.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::events::{self, Event};
use super::files::{self, Pictures};
use super::history::Entry;
use super::payload::Wish;
use super::progress::Overall;
use super::server::Place;
use super::socket::{Heard, Socket};
use super::{ComfyUi, Dialect, fork};
use crate::connector::Task;
use crate::failure::{Failure, Kind, Symptom};

/// The pause before the server is asked again; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(2);
/// So often a prompt is looked for before it counts as lost: a server that is busy may not have written down yet what it
/// has read or done.
const LOOKS: u32 = 3;
/// So often a prompt is handed over whose answer was lost.
const POSTS: u32 = 3;

/// Does the job.
pub(super) async fn run(it: &ComfyUi, task: &Task) -> Result<Value, Failure> {
    let mut work = Work::new(it, task)?;
    let done = match task.unless_stopped(work.done()).await {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(failure)) => failure,
        Err(why) => why.into(),
    };
    // It may be that the server took the prompt; then it is the server that has to say that the prompt is gone.
    let stopped = if work.is_there() { work.stop().await } else { Failure::stopped() };
    let kind = if done.kind == Kind::Service && work.posts > 0 { Kind::Retryable } else { done.kind };
    Err(Failure { kind, suspect: done.suspect || stopped.suspect, ..done })
}

/// What is known of a prompt.
pub(super) enum Look {
    Over(Entry),
    At(Place),
}

/// What there is after a connection was lost.
enum Again {
    Over(Entry),
    Live(Box<Socket>),
}

/// One job under way.
pub(super) struct Work<'a> {
    pub(super) it: &'a ComfyUi,
    pub(super) task: &'a Task,
    pub(super) wish: Wish,
    /// The name of the prompt.
    pub(super) id: String,
    /// How often the prompt was handed over, as far as we know.
    pub(super) posts: u32,
    /// The server has said that it took the prompt.
    pub(super) taken: bool,
    /// The prompt is no more at the server.
    pub(super) over: bool,
    overall: Overall,
    pictures: Pictures,
}

impl<'a> Work<'a> {
    fn new(it: &'a ComfyUi, task: &'a Task) -> Result<Self, Failure> {
        let wish = Wish::read(&task.job.payload)?;
        let overall = Overall::new(&wish.workflow);
        let pictures = Pictures::new(&wish.workflow, wish.previews.unwrap_or(it.previews));
        let id = uuid(&task.attempt_id);
        Ok(Self { it, task, wish, id, posts: 0, taken: false, over: false, overall, pictures })
    }

    fn is_there(&self) -> bool {
        self.posts > 0 && !self.over
    }

    async fn done(&mut self) -> Result<Value, Failure> {
        files::upload(self.it, &mut self.wish).await?;
        // Before the prompt: of a client that is not there, nobody is told anything.
        let mut socket = Socket::open(&self.it.server, &self.task.attempt_id).await?;
        if self.it.dialect == Dialect::Fork {
            return fork::done(self, socket).await;
        }
        // As the first message it says what we understand: then previews name their prompt.
        socket.say(&flags()).await?;
        self.submit().await?;
        self.task.progress(0.0, "queued");
        let entry = self.follow(socket).await?;
        if self.posts > 1 {
            // The server may have it twice; nobody wants the second.
            self.stop().await;
        }
        self.over = true;
        entry.judge()?;
        let cached = entry.cached();
        let (sent, preview) = self.pictures.stored(self.task).await?;
        let (mut files, values) = files::stored(self.it, self.task, entry.outputs).await?;
        files.extend(sent);
        let mut result = json!({ "prompt_id": self.id, "files": files, "values": values, "cached": cached });
        if let Some(preview) = preview {
            result["preview"] = preview;
        }
        self.task.outputs.fit(result, "result.json").await
    }

    /// Hands the prompt over. If the answer does not come, the prompt is looked for; only if it is not there, it is handed
    /// over again.
    async fn submit(&mut self) -> Result<(), Failure> {
        let body = json!({
            "prompt": self.wish.workflow, "prompt_id": self.id, "client_id": self.task.attempt_id,
            "extra_data": self.wish.extra_data
        });
        let mut tried = 0;
        loop {
            tried += 1;
            self.posts += 1;
            let Err(failure) = self.it.server.submit(&body).await else {
                self.taken = true;
                return Ok(());
            };
            match failure.kind {
                Kind::Permanent => {
                    // The server has answered: what it took of the prompt, if anything, is in its queue by now.
                    self.taken = true;
                    return Err(failure);
                }
                // Nothing was sent.
                Kind::Service => self.posts -= 1,
                Kind::Retryable | Kind::Stopped => {}
            }
            if self.posts == 0 {
                return Err(failure);
            }
            if self.is_known().await? {
                self.taken = true;
                return Ok(());
            }
            if tried == POSTS {
                self.over = true;
                return Err(failure);
            }
        }
    }

    /// Whether the server has the prompt, after it was looked for several times.
    async fn is_known(&mut self) -> Result<bool, Failure> {
        let mut pause = PAUSE;
        for _ in 0..LOOKS {
            sleep(pause).await;
            pause *= 2;
            if !matches!(self.look().await?, Look::At(Place::Absent)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Follows the prompt to its end.
    async fn follow(&mut self, mut socket: Socket) -> Result<Entry, Failure> {
        let silence = self.it.times.silence;
        let mut heard_at = Instant::now();
        loop {
            let event = match socket.hear(silence).await {
                Heard::Text(message) => events::text(&message, &self.id),
                Heard::Binary(message) => events::binary(&message, &self.id),
                Heard::Silence => Event::Other,
                Heard::Cut => {
                    self.pictures.cut(&self.overall);
                    match self.again(true).await? {
                        Again::Over(entry) => return Ok(entry),
                        Again::Live(other) => socket = *other,
                    }
                    heard_at = Instant::now();
                    continue;
                }
            };
            match event {
                // The history may be written a moment later.
                Event::Over => return self.ended().await,
                // What others do is told all the time. Of a prompt that somebody took out of the queue, nothing is told.
                Event::Other if heard_at.elapsed() < silence => continue,
                Event::Other => match self.look().await {
                    Ok(Look::Over(entry)) => return Ok(entry),
                    Ok(Look::At(Place::Absent)) => return self.ended().await,
                    Ok(Look::At(Place::Queued(before))) => {
                        self.task.progress(0.0, format!("queued behind {before}"));
                    }
                    // If the server is not there, the WebSocket will say so.
                    Ok(Look::At(Place::Running)) | Err(_) => {}
                },
                Event::Image { node, bytes } => {
                    let node = node.as_deref().or(self.overall.current());
                    self.pictures.take(self.task, node, bytes).await?;
                }
                event => {
                    if let Some((percent, words)) = self.overall.apply(&event) {
                        self.task.progress(percent, words);
                    }
                }
            }
            heard_at = Instant::now();
        }
    }

    /// The history of a prompt that is over or lost.
    pub(super) async fn ended(&mut self) -> Result<Entry, Failure> {
        loop {
            if let Again::Over(entry) = self.again(false).await? {
                return Ok(entry);
            }
        }
    }

    /// Asks until the prompt is over, or, with `reopen`, until there is a WebSocket again. Nothing that was missed is
    /// repeated there, so the history is asked after it is open.
    async fn again(&mut self, reopen: bool) -> Result<Again, Failure> {
        let (mut pause, mut absent, mut gone_at) = (PAUSE, 0, None);
        loop {
            let socket =
                if reopen { Socket::open(&self.it.server, &self.task.attempt_id).await.ok() } else { None };
            match self.look().await {
                Ok(Look::Over(entry)) => return Ok(Again::Over(entry)),
                Ok(Look::At(Place::Absent)) => {
                    absent += 1;
                    gone_at = None;
                    if absent == LOOKS {
                        self.over = true;
                        return Err(Failure::of(
                            Symptom::Forgotten,
                            "ComfyUI does not know the job any more: it was started again, or its queue was cleared",
                        ));
                    }
                }
                Ok(Look::At(_)) => {
                    absent = 0;
                    gone_at = None;
                    if let Some(mut socket) = socket {
                        socket.say(&flags()).await.ok();
                        return Ok(Again::Live(Box::new(socket)));
                    }
                }
                Err(failure) if failure.kind == Kind::Permanent => return Err(failure),
                // One that is there and slow has not forgotten anything.
                Err(failure) if !failure.suspect => gone_at = None,
                Err(failure) => {
                    if gone_at.get_or_insert_with(Instant::now).elapsed() >= self.it.times.gone {
                        self.over = true;
                        return Err(Failure::of(
                            Symptom::Cut,
                            format!("ComfyUI is gone, and the job with it: {failure}"),
                        ));
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Where the prompt is. Between two questions it may move from the queue to the history.
    async fn look(&self) -> Result<Look, Failure> {
        let server = &self.it.server;
        if let Some(entry) = server.history(&self.id).await? {
            return Ok(Look::Over(entry));
        }
        let place = server.place(&self.id).await?;
        if place == Place::Absent
            && let Some(entry) = server.history(&self.id).await?
        {
            return Ok(Look::Over(entry));
        }
        Ok(Look::At(place))
    }

    /// Ends the prompt, and returns when the queue says that it is gone. A server that cannot be asked is in doubt.
    async fn stop(&mut self) -> Failure {
        if self.it.dialect == Dialect::Fork && !self.taken {
            // It has a name that we have not heard.
            return Failure::stopped().suspect();
        }
        let (mut pause, mut absent, mut gone_at) = (PAUSE, 0, None);
        loop {
            let server = &self.it.server;
            let asked = match server.place(&self.id).await {
                Ok(Place::Absent) => {
                    absent += 1;
                    // What was sent and not answered may not have come to the queue yet.
                    if self.taken || absent == LOOKS {
                        self.over = true;
                        self.it.stuck.store(false, Ordering::Relaxed);
                        return Failure::stopped();
                    }
                    Ok(())
                }
                Ok(Place::Queued(_)) => server.delete(&self.id).await,
                Ok(Place::Running) => {
                    let asked = server.interrupt(&self.id).await;
                    self.it.stuck.store(true, Ordering::Relaxed);
                    asked
                }
                Err(failure) => Err(failure),
            };
            match asked {
                Ok(()) => gone_at = None,
                Err(failure) => {
                    let gone_at = gone_at.get_or_insert_with(Instant::now);
                    if failure.kind == Kind::Permanent || gone_at.elapsed() >= self.it.times.gone {
                        return Failure::stopped().suspect();
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST / 4);
        }
    }
}

/// What this client understands: previews that name their prompt.
fn flags() -> Value {
    json!({ "type": "feature_flags", "data": { "supports_preview_metadata": true } })
}

/// The name of an attempt in the form of a UUID, version 8 (RFC 9562, 5.8): other tools that look at a server's history
/// take nothing else.
fn uuid(attempt_id: &str) -> String {
    let mut bytes: [u8; 32] = Sha256::digest(attempt_id).into();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = bytes[..16].iter().fold(String::new(), |text, it| text + &format!("{it:02x}"));
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_prompt_is_a_uuid_that_no_other_attempt_has() {
        insta::assert_snapshot!(uuid("job-1"), @"026ab639-c21d-88aa-80e5-789370a9db1b");
        assert_ne!(uuid("job-1"), uuid("job-2"));
    }
}
