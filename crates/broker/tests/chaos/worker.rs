//! The program that is killed: a worker with a few slots, which writes down all that it does and hears.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, Capabilities, Claim, Native, Outcome, Progress, Renewal, Ticket, Want, Worker};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plan::{Course, LEASE, settings};
use crate::record::{Log, What};

/// What a worker is started with.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    pub url: String,
    pub folder: PathBuf,
    /// Its id at the broker, that of its killed predecessor.
    pub id: String,
    /// Its own name, in its file and in its results.
    pub who: String,
    pub capabilities: Capabilities,
    pub slots: usize,
}

/// What the renewals say about a job.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Go,
    Stop,
    Lost,
}

type Held = Arc<Mutex<HashMap<Ticket, watch::Sender<Word>>>>;

struct Hand {
    broker: Native,
    worker: Worker,
    log: Log,
    who: String,
    held: Held,
    /// Its standard input has ended: it is to finish what it has and go.
    closing: AtomicBool,
}

/// Works until its standard input ends, as it does when whoever started it is gone.
pub fn main(orders: &str) {
    let orders: Orders = serde_json::from_str(orders).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work(orders));
}

async fn work(orders: Orders) {
    let log = Log::open(&orders.folder, &orders.who);
    let broker = loop {
        match Native::connect(&orders.url, settings()).await {
            Ok(broker) => break broker,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let worker = Worker::new(orders.id.parse().unwrap(), orders.capabilities);
    let (held, closing) = (Held::default(), AtomicBool::new(false));
    let hand = Arc::new(Hand { broker, worker, log, who: orders.who, held, closing });
    let of = hand.clone();
    std::thread::spawn(move || {
        _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        of.closing.store(true, Ordering::Relaxed);
    });
    tokio::spawn(hand.clone().renew());
    hand.exchange(orders.slots).await;
}

/// A number that looks like chance and is the same for the same claim.
fn chance(ticket: &Ticket, of: u64) -> u64 {
    let id: u64 = ticket.id.as_str().bytes().map(u64::from).sum();
    fastrand::Rng::with_seed(ticket.fence << 16 ^ id).u64(..of)
}

impl Hand {
    async fn exchange(self: Arc<Self>, slots: usize) {
        let mut running = JoinSet::new();
        let mut done: Vec<(Ticket, Outcome)> = Vec::new();
        loop {
            while let Some(ended) = running.try_join_next() {
                done.extend(ended.unwrap());
            }
            let closing = self.closing.load(Ordering::Relaxed);
            let free = if closing { 0 } else { slots - running.len() };
            if free == 0 && done.is_empty() {
                match running.join_next().await {
                    Some(ended) => done.extend(ended.unwrap()),
                    None => return,
                }
            }
            for (ticket, outcome) in &done {
                let (job, fence) = (ticket.id.to_string(), ticket.fence);
                self.log.write(What::Telling { job, fence, outcome: letter(outcome) });
            }
            let wait = Duration::from_millis(if running.is_empty() { 300 } else { 10 });
            let want = Want { most: free, lease: LEASE, wait };
            let told = self.broker.exchange(&self.worker, done.clone(), want).await;
            let heard = told.as_ref().map(|it| it.done.clone());
            for (at, (ticket, outcome)) in done.iter().enumerate() {
                let (job, fence, outcome) = (ticket.id.to_string(), ticket.fence, letter(outcome));
                self.log.write(match &heard {
                    Ok(heard) => What::Told { job, fence, outcome, heard: heard[at].is_ok() },
                    Err(_) => What::Unanswered { job, fence, outcome },
                });
            }
            // What may not have been heard is told again.
            let Ok(told) = told else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            for (ticket, _) in done.drain(..) {
                self.held.lock().unwrap().remove(&ticket);
            }
            for claim in told.claims {
                let (job, fence) = (claim.ticket.id.to_string(), claim.ticket.fence);
                let (attempts, crashes) = (claim.attempts, claim.crashes);
                self.log.write(What::Claimed { job, fence, attempts, crashes });
                let (sender, word) = watch::channel(Word::Go);
                self.held.lock().unwrap().insert(claim.ticket.clone(), sender);
                running.spawn(self.clone().attempt(claim, word));
            }
        }
    }

    /// Makes leases longer, and passes on what is said about them.
    async fn renew(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LEASE / 4);
        loop {
            tick.tick().await;
            let tickets: Vec<_> = self.held.lock().unwrap().keys().cloned().collect();
            // Of a call without an answer nothing is known; the next one will tell.
            let Ok(told) = self.broker.renew(&self.worker, &tickets, LEASE).await else { continue };
            for (ticket, renewal) in tickets.iter().zip(told) {
                if let Renewal::Held { until, .. } = renewal {
                    self.log.write(What::Renewed { job: ticket.id.to_string(), fence: ticket.fence, until });
                }
                let word = match renewal {
                    Renewal::Held { cancel: false, .. } => continue,
                    Renewal::Held { cancel: true, .. } => Word::Stop,
                    Renewal::Lost => Word::Lost,
                };
                let held = self.held.lock().unwrap();
                let Some(sender) = held.get(ticket).filter(|it| *it.borrow() != word) else { continue };
                sender.send_replace(word);
                if word == Word::Lost {
                    self.log.write(What::Lost { job: ticket.id.to_string(), fence: ticket.fence });
                }
            }
        }
    }

    /// One attempt. `None`: the job was lost, and this worker is one of those that believe it.
    async fn attempt(
        self: Arc<Self>,
        claim: Claim,
        mut word: watch::Receiver<Word>,
    ) -> Option<(Ticket, Outcome)> {
        let ticket = claim.ticket;
        let course: Course = serde_json::from_value(claim.job.payload["course"].clone()).unwrap();
        let time = Duration::from_millis(claim.job.payload["ms"].as_u64().unwrap());
        if chance(&ticket, 10) == 0 {
            let progress = Progress { percent: 50, message: self.who.clone() };
            _ = self.broker.progress(&ticket, progress).await;
        }
        // Every other worker does not listen: only the broker can keep it from ending what is no longer its own.
        let listens = chance(&ticket, 2) == 0;
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            word = word.wait_for(|it| *it != Word::Go), if listens => {
                if word.is_ok_and(|it| *it == Word::Stop) {
                    return Some((ticket, Outcome::Stopped));
                }
                self.held.lock().unwrap().remove(&ticket);
                return None;
            }
        }
        let message = format!("{} with fence {}", self.who, ticket.fence);
        let failure = |retryable| Outcome::Failure { retryable, message };
        let outcome = match (course, chance(&ticket, 40)) {
            (Course::Failing, _) | (Course::Plain, 0 | 1) => failure(true),
            (Course::Broken, _) => failure(false),
            (Course::Plain | Course::Long, 2) => Outcome::HandBack,
            _ => {
                self.log.write(What::Effect { job: ticket.id.to_string(), fence: ticket.fence });
                if course == Course::Poison {
                    kill_process(getpid(), Signal::KILL).unwrap();
                }
                Outcome::Success(json!({ "by": self.who, "fence": ticket.fence }))
            }
        };
        Some((ticket, outcome))
    }
}

/// The letter of an outcome in the workers' files.
fn letter(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Success(_) => 'S',
        Outcome::Failure { retryable: true, .. } => 'F',
        Outcome::Failure { retryable: false, .. } => 'P',
        Outcome::HandBack => 'H',
        Outcome::Stopped => 'X',
    }
}
