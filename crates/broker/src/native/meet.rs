//! Exchanges that meet: what workers of one class ask of one `Native` while a call is on its way goes together in the next.
//!
//! A call costs Redis as much for itself as for a job, so workers that share calls are served more than twice as fast. Nobody
//! waits for company: a call leaves at once while fewer than [`FLYING`] are on their way, or if it is full, as no company could
//! come.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spec::ids::WorkerId;
use tokio::sync::oneshot;

use super::calls::Calls;
use super::exchange::TEXTS;
use super::link::Link;
use super::scripts::Call;
use super::wire;
use super::wire::{foreign, parsed};
use crate::broker::{MAX_BATCH, Ticket};
use crate::capabilities::ClassId;
use crate::error::Error;
use crate::life::Millis;

/// Calls of one class that are on their way before others wait: one that Redis works on, and one that it finds when it is done.
const FLYING: usize = 2;
/// Instead of whether one was woken or will wait: Redis is full, and what has ended is to be heard all the same.
const FULL: u8 = 4;

/// What one worker asks.
pub(super) struct Ask {
    pub worker: WorkerId,
    pub most: usize,
    /// Whether it was woken, and whether it will wait.
    pub woken: bool,
    pub waits: bool,
    /// Whether it may be carried out twice.
    pub twice: bool,
    /// Of each job done: its claim, the letter of its outcome, the text.
    pub done: Vec<(Ticket, char, String)>,
}

/// What it is told.
pub(super) struct Told {
    /// For each job done, whether it was heard.
    pub heard: Vec<bool>,
    /// Of each claim the id, the line of its record, and the document with its head.
    pub claims: Vec<String>,
    /// Signatures to judge: from which number, up to which; of each its id and a document.
    pub judge: Option<(String, String, Vec<String>)>,
    /// Milliseconds until something happens by itself, 0 to ask again at once, negative for nothing.
    pub next: i64,
}

/// Workers of one class that want leases of one length.
type Kind = (ClassId, Millis);
type Passenger = (Ask, oneshot::Sender<Result<Told, Error>>);

#[derive(Default)]
struct Line {
    flying: usize,
    waiting: VecDeque<Passenger>,
}

/// The exchanges of one `Native`.
pub(super) struct Meeting {
    calls: Arc<Calls>,
    link: Link,
    lines: Mutex<HashMap<Kind, Line>>,
}

/// A call that is on its way.
struct Flight(Arc<Meeting>, Kind);

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(line) = self.0.lines().get_mut(&self.1) {
            line.flying -= 1;
        }
    }
}

impl Line {
    /// Whether the next call may leave.
    fn may_leave(&self) -> bool {
        let mut jobs = 0;
        let mut full = || {
            self.waiting.iter().any(|(ask, _)| {
                jobs += ask.most.max(ask.done.len());
                jobs >= MAX_BATCH
            })
        };
        self.flying < FLYING || full()
    }

    /// Those that leave together: who came first, and whoever fits behind it. Who has gone away is left out.
    fn board(&mut self) -> Vec<Passenger> {
        let (mut aboard, mut twice) = (Vec::new(), true);
        let (mut most, mut done, mut bytes) = (0, 0, 0);
        while let Some((ask, answer)) = self.waiting.front() {
            if !answer.is_closed() {
                most += ask.most;
                done += ask.done.len();
                bytes += ask.done.iter().map(|(.., text)| text.len()).sum::<usize>();
                twice &= ask.twice;
                let fits = aboard.len() < MAX_BATCH && most.max(done) <= MAX_BATCH && bytes <= TEXTS && twice;
                if !aboard.is_empty() && !fits {
                    break;
                }
            }
            aboard.extend(self.waiting.pop_front().filter(|(_, answer)| !answer.is_closed()));
        }
        aboard
    }
}

impl Meeting {
    pub fn new(calls: Arc<Calls>, link: Link) -> Arc<Self> {
        Arc::new(Self { calls, link, lines: Mutex::default() })
    }

    /// One exchange. Who goes away before it has left has not asked.
    pub async fn exchange(self: &Arc<Self>, kind: Kind, ask: Ask) -> Result<Told, Error> {
        let (answer, told) = oneshot::channel();
        self.lines().entry(kind).or_default().waiting.push_back((ask, answer));
        self.depart(kind);
        let gone = |_| Err(Error::Unreachable("the runtime ended while a call was on its way".into()));
        told.await.unwrap_or_else(gone)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Kind, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets as many calls leave as may be on their way.
    fn depart(self: &Arc<Self>, kind: Kind) {
        loop {
            let aboard = {
                let mut lines = self.lines();
                let Some(line) = lines.get_mut(&kind).filter(|it| it.may_leave()) else { return };
                let aboard = line.board();
                if aboard.is_empty() {
                    if line.flying == 0 {
                        lines.remove(&kind);
                    }
                    return;
                }
                line.flying += 1;
                aboard
            };
            let flight = Flight(self.clone(), kind);
            // A task of its own: whoever began it may go away, and the others still want their answers.
            tokio::spawn(async move {
                flight.0.fly(kind, aboard).await;
                let meeting = flight.0.clone();
                drop(flight);
                meeting.depart(kind);
            });
        }
    }

    async fn fly(&self, (class, lease): Kind, aboard: Vec<Passenger>) {
        let asks = || aboard.iter().map(|(ask, _)| ask);
        let woken = u8::from(asks().any(|it| it.woken));
        let waits = u8::from(asks().any(|it| it.waits));
        let done: Vec<_> = asks().flat_map(|it| &it.done).collect();
        let call = |flags: u8, most: fn(&Ask) -> usize| {
            let call = Call::default().and(class).and(lease).and(flags).and(aboard.len());
            let call = asks().fold(call, |call, it| call.and(&it.worker).and(most(it)));
            let alike =
                done.chunk_by(|(one, how, _), (other, way, _)| one.fence == other.fence && how == way);
            alike.fold(call, |call, run| {
                let (ticket, letter, _) = &run[0];
                let call = call.and(ticket.fence).and(letter).and(run.len());
                run.iter().fold(call, |call, (ticket, _, text)| call.and(&ticket.id).and(text))
            })
        };
        let link = || if asks().all(|it| it.twice) { self.link.clone() } else { self.link.once() };
        let run = async |call| self.calls.run(link(), &self.calls.scripts.exchange, call).await;
        let mut told: Result<Vec<String>, Error> = run(call(woken + 2 * waits, |it| it.most)).await;
        // Nothing of a call that a full Redis refuses was carried out. What has ended is told without a claim, and heard.
        let full = matches!(told, Err(Error::NoMemory { .. })) && !done.is_empty();
        if full {
            told = run(call(FULL, |_| 0)).await;
        }
        let answers = told.and_then(|it| split(it, &asks().collect::<Vec<_>>()));
        match answers {
            Ok(answers) => {
                for ((ask, to), answer) in aboard.into_iter().zip(answers) {
                    // Who has told its ends asks again, and gets the error then.
                    let refused = full && ask.done.is_empty();
                    let answer = Told { next: if full { 0 } else { answer.next }, ..answer };
                    _ = to.send(if refused {
                        Err(Error::NoMemory { submitted: vec![] })
                    } else {
                        Ok(answer)
                    });
                }
            }
            Err(error) => {
                for (_, to) in aboard {
                    _ = to.send(Err(error.clone()));
                }
            }
        }
    }
}

/// To each what is its own: the script gives claims in the order of those who ask.
fn split(told: Vec<String>, asks: &[&Ask]) -> Result<Vec<Told>, Error> {
    let mut parts = told.into_iter();
    let line = parts.next().unwrap_or_default();
    let (next, heard, mut judge) = match &*line.split(' ').collect::<Vec<_>>() {
        [next, heard] => (*next, *heard, None),
        // One judges, and all ask again.
        [next, heard, from, upto] => {
            (*next, *heard, Some(((*from).into(), (*upto).into(), parts.by_ref().collect())))
        }
        _ => return Err(foreign("exchange")),
    };
    let (next, some): (i64, bool) = (parsed(next, "exchange")?, parts.len() > 0);
    let mut heard = heard.bytes().map(|it| it == b'1');
    let of = |ask: &&Ask| {
        let claims: Vec<_> = parts.by_ref().take(wire::CLAIM * ask.most).collect();
        // Who got none while others did knows nothing of what comes next.
        let next = if some && claims.is_empty() { 0 } else { next };
        Told { heard: heard.by_ref().take(ask.done.len()).collect(), claims, judge: judge.take(), next }
    };
    Ok(asks.iter().map(of).collect())
}
