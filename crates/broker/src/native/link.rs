//! The connection over which calls go that do not wait.
//!
//! It opens itself again with growing pauses, asking anew which server is the right one. A call that was not carried
//! out is sent again; one whose answer was lost too, if it may be carried out twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::Error;

mod address;
mod fault;
mod open;

pub use address::Address;
pub use fault::AddressFault;
pub use open::Answers;
use open::{Opener, hopeless, told, words};

/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A connection that opens itself again. Clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    /// Whether a call may be carried out twice.
    twice: bool,
}

struct Shared {
    opener: Opener,
    /// The present connection, if it is thought to be alive, and its number.
    present: Mutex<(u64, Option<MultiplexedConnection>)>,
    /// One opens, and the others wait for it.
    opening: Turn<Pauses>,
}

/// Growing pauses: each is twice as long as the one before, and half of it is chance.
#[derive(Default)]
pub(super) struct Pauses {
    tries: u32,
    /// No try before this.
    until: Option<Instant>,
}

impl Pauses {
    pub fn grow(&mut self) {
        let whole = PAUSES.0.saturating_mul(1 << self.tries.min(16)).min(PAUSES.1);
        self.tries += 1;
        self.until = Some(Instant::now() + whole.mul_f64(f64::midpoint(1.0, fastrand::f64())));
    }

    /// Waits for the time of the next try. Whether it comes before `end`.
    pub async fn wait(&self, end: Instant) -> bool {
        let Some(until) = self.until else { return true };
        sleep_until(until.min(end)).await;
        until <= end
    }
}

/// What an error means for the call.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// It is the answer.
    Answer,
    /// Nobody knows whether it was carried out.
    Lost,
    /// It was not: this server is no longer the right one.
    Elsewhere,
    /// It was not: the server cannot now.
    Later,
}

impl Verdict {
    pub fn of(error: &RedisError) -> Self {
        let Some(errors) = error.clone().into_server_errors() else {
            // An answer that cannot be read leaves the next one unreadable too.
            let dead = error.is_io_error() || error.kind() == ErrorKind::Parse;
            return if dead { Verdict::Lost } else { Verdict::Answer };
        };
        let said = |words: &[&str]| errors.iter().any(|(_, it)| words.contains(&it.code()));
        // 6.2 wraps what a script ran into.
        let wrapped =
            || errors.iter().any(|(_, it)| it.details().is_some_and(|it| it.contains("-READONLY ")));
        if said(&["MOVED", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED"]) || wrapped() {
            Verdict::Elsewhere
        } else if said(&["LOADING", "BUSY", "TRYAGAIN", "ASK"]) {
            // ASK is not followed. It says that the queue's slot is being moved, key by key: a script that ran now, there or
            // here, would see half of the queue.
            Verdict::Later
        } else {
            Verdict::Answer
        }
    }
}

impl Link {
    /// Opens the first connection: this once a server that is not there is an error at once.
    pub async fn open(address: Address, probe: String) -> Result<Self, Error> {
        let opener = Opener::new(address, probe)?;
        let shared = Shared { opener, present: Mutex::default(), opening: Turn::default() };
        let link = Self { shared: Arc::new(shared), twice: true };
        link.connection(Instant::now()).await?;
        Ok(link)
    }

    /// For a call that must not be carried out twice.
    pub fn once(&self) -> Self {
        Self { twice: false, ..self.clone() }
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.shared.opener.address.timeout
    }

    /// A connection of its own, to the server that this one is connected to.
    pub async fn own(&self, answers: &Answers) -> RedisResult<MultiplexedConnection> {
        let end = Instant::now() + 2 * self.timeout();
        let mut pauses = Pauses::default();
        loop {
            self.connection(end).await?;
            let error = match self.shared.opener.open(answers).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            pauses.grow();
            if hopeless(&error) || !pauses.wait(end).await {
                return Err(self.named(&error));
            }
            self.doubt();
        }
    }

    /// Another connection has seen that this server is no longer the right one.
    pub fn doubt(&self) {
        self.present().1 = None;
    }

    fn present(&self) -> std::sync::MutexGuard<'_, (u64, Option<MultiplexedConnection>)> {
        self.shared.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Option<(u64, MultiplexedConnection)> {
        let present = self.present();
        Some((present.0, present.1.clone()?))
    }

    /// The present connection, or a new one: tries until `end`, and at least once.
    async fn connection(&self, end: Instant) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(alive) = self.alive() {
            return Ok(alive);
        }
        let silent = || self.named(&told("no connection in time".into()));
        let Ok(mut pauses) = timeout_at(end, self.shared.opening.lock()).await else { return Err(silent()) };
        let mut failed = None;
        loop {
            if let Some(alive) = self.alive() {
                return Ok(alive);
            }
            if !pauses.wait(end).await {
                return Err(failed.unwrap_or_else(silent));
            }
            match self.shared.opener.open(&Answers::Soon).await {
                Ok(connection) => {
                    *pauses = Pauses::default();
                    let mut present = self.present();
                    present.0 += 1;
                    present.1 = Some(connection.clone());
                    return Ok((present.0, connection));
                }
                Err(error) => {
                    pauses.grow();
                    let named = self.named(&error);
                    if hopeless(&error) || Instant::now() >= end {
                        return Err(named);
                    }
                    failed = Some(named);
                }
            }
        }
    }

    /// Sends until there is an answer, for twice the time that one may take; a call that hangs may take one more.
    async fn send<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: impl Fn(MultiplexedConnection) -> F,
        name: impl Fn() -> String,
    ) -> RedisResult<T> {
        let end = Instant::now() + 2 * self.timeout();
        let mut pauses = Pauses::default();
        loop {
            let (number, connection) = self.connection(end).await?;
            let error = match call(connection).await {
                Err(error) => error,
                answer => return answer,
            };
            let verdict = Verdict::of(&error);
            if matches!(verdict, Verdict::Lost | Verdict::Elsewhere) {
                let mut present = self.present();
                if present.0 == number {
                    present.1 = None;
                }
            }
            pauses.grow();
            let again = verdict != Verdict::Answer && (self.twice || verdict != Verdict::Lost);
            if !again || !pauses.wait(end).await {
                return Err(match verdict {
                    Verdict::Answer => self.answered(error, name),
                    _ => self.named(&error),
                });
            }
        }
    }

    /// The error with the address that it is about.
    fn named(&self, error: &RedisError) -> RedisError {
        let address = &self.shared.opener.address;
        if error.kind() == ErrorKind::AuthenticationFailed {
            return told(format!("{address}: the user or the password is wrong"));
        }
        told(format!("{address}: {}", words(error)))
    }

    /// The error that is an answer; with who may not do what, if that is it.
    pub fn answered(&self, error: RedisError, call: impl Fn() -> String) -> RedisError {
        if !is_denial(&error) {
            return error;
        }
        let login = self.shared.opener.address.login.as_ref();
        let user = login.and_then(|it| it.user.as_deref()).unwrap_or("default");
        let words =
            format!("the user `{user}` may not call `{}`: {}", call(), error.detail().unwrap_or_default());
        redis::make_extension_error("NOPERM".into(), Some(words))
    }
}

/// Whether the ACL refuses the call itself, or what a script of it does: that has another code, and other words in each
/// version.
fn is_denial(error: &RedisError) -> bool {
    let inside = ["The user executing the script can't", "ACL failure in script"];
    let said = error.detail().unwrap_or_default();
    error.code() == Some("NOPERM") || inside.iter().any(|it| said.contains(it))
}

/// What a call is called: a script by its door, which is its second key; else the command.
pub(super) fn name(command: &Cmd) -> String {
    let words: Vec<_> = command
        .args_iter()
        .take(5)
        .map(|it| if let Arg::Simple(it) = it { String::from_utf8_lossy(it) } else { "".into() })
        .collect();
    match &words[..] {
        [first, _, _, _, door] if first == "EVALSHA" => door.rsplit(':').next().unwrap_or(door).to_owned(),
        [first, ..] => first.to_string(),
        [] => String::new(),
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let send = move |mut it: MultiplexedConnection| async move {
            match it.send_packed_command(command).await {
                Ok(Value::ServerError(error)) => Err(error.into()),
                answer => answer,
            }
        };
        Box::pin(self.send(send, move || name(command)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let send = move |mut it: MultiplexedConnection| async move {
            let answers = it.send_packed_commands(commands, offset, count).await?;
            // A script that the server has forgotten is its caller's to load: the other calls were carried out.
            let told = |it: &Value| match it {
                Value::ServerError(error) => Some(RedisError::from(error.clone())),
                _ => None,
            };
            let forgotten = ErrorKind::Server(ServerErrorKind::NoScript);
            match answers.iter().filter_map(told).find(|it| it.kind() != forgotten) {
                Some(error) => Err(error),
                None => Ok(answers),
            }
        };
        Box::pin(self.send(send, move || commands.cmd_iter().next().map(name).unwrap_or_default()))
    }

    fn get_db(&self) -> i64 {
        self.shared.opener.address.database.into()
    }
}
