//! The life of a job as the writes tell it, and whether each step of it is allowed.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Write;
use crate::record::Terms;

/// Lost workers until a job is dead: the default of a queue.
const MAX_CRASHES: u64 = 3;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exit {
    Succeeded,
    /// A failure was told: again, or dead.
    Failed {
        dead: bool,
    },
    HandedBack,
    /// Its worker was lost, or took too long.
    Lost,
    /// Stopped, after someone asked; by its worker or because that was lost.
    Cancelled,
}

/// A claim.
#[derive(Debug)]
pub struct Claim {
    pub fence: u64,
    pub worker: String,
    /// Failed attempts and lost workers before it.
    pub before: (u64, u64),
    /// When its lease was to run out, as it was written.
    pub leases: BTreeSet<u64>,
    pub exit: Option<Exit>,
}

/// What is known of a job after some writes.
#[derive(Debug, Default)]
pub struct Life {
    pub fields: BTreeMap<String, String>,
    pub claims: Vec<Claim>,
    /// No claim may be earlier, by the queue's clock: its date, or the end of a lease that ran out.
    pub not_before: u64,
    /// Attempts that it may have, and ms for one.
    terms: (u64, u64),
    failures: u64,
    crashes: u64,
    /// Someone has asked its worker to stop it.
    asked: bool,
}

impl Life {
    /// Of a job that nobody has written yet.
    pub fn new(terms: &Terms) -> Self {
        Self { not_before: terms.not_before, terms: (terms.attempts, terms.timeout), ..Self::default() }
    }

    /// The letter of its state; `-` before it has one.
    pub fn state(&self) -> char {
        self.fields.get("s").and_then(|it| it.chars().next()).unwrap_or('-')
    }

    fn number(&self, field: &str) -> u64 {
        self.fields.get(field).and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    fn text(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// Whether a message or a result is of the present claim; those of workers say which claim they are of.
    fn is_of_claim(&self, field: &str) -> Option<bool> {
        let (_, fence) = self.text(field).rsplit_once("fence")?;
        let digits: String = fence.chars().filter(char::is_ascii_digit).collect();
        Some(digits == self.text("f"))
    }

    /// One more write. `last_fence` is the last that the queue has given.
    pub fn take(&mut self, write: &Write, last_fence: &mut u64) -> Vec<String> {
        let (from, dated) = (self.state(), self.fields.contains_key("u"));
        let lease = self.number("u");
        for (name, value) in &write.fields {
            match value {
                Some(value) => drop(self.fields.insert(name.clone(), value.clone())),
                None => drop(self.fields.remove(name)),
            }
        }
        let mut faults = Vec::new();
        let mut hold = |holds: bool, law: &str| {
            if !holds {
                faults.push(law.to_owned());
            }
        };
        hold(!write.deleted, "it was forgotten before its time");
        match (from, self.state()) {
            ('-' | 'd', 'w') | ('-' | 'w' | 'd', 'C') | ('-', 'd') => {}
            ('d', 'd') if !dated => {}
            // One that was never claimed may have no state.
            ('-' | 'w', 'r') => {
                let (fence, at) = (self.number("f"), self.number("e").saturating_sub(self.terms.1));
                // The claims of one call have one fence.
                let above = fence >= *last_fence && self.claims.last().is_none_or(|it| fence > it.fence);
                hold(above, "a claim has a fence that is not above all before");
                hold(at >= self.not_before, "it was claimed before its date or while a lease held");
                *last_fence = fence;
                let (worker, before) = (self.text("o").to_owned(), (self.failures, self.crashes));
                let leases = [self.number("u")].into();
                self.claims.push(Claim { fence, worker, before, leases, exit: None });
                (self.asked, self.not_before) = (false, 0);
            }
            ('r', 'r') => {
                hold(!write.fields.contains_key("f"), "it was claimed while it ran");
                let until = self.number("u");
                self.claims.last_mut().map(|it| it.leases.insert(until));
                self.asked |= write.fields.get("x").is_some_and(|it| it.as_deref() == Some("1"));
            }
            ('r', to) => {
                let exit = self.exit(to, write, lease, &mut hold);
                let fence = self.number("f");
                match self.claims.last_mut() {
                    Some(claim) if claim.fence == fence => claim.exit = Some(exit),
                    _ => hold(false, "the end of a claim that is not its last"),
                }
            }
            (from, to) if from == to => {
                hold(
                    write.fields.keys().all(|it| it == "y"),
                    &format!("a write that changes it in state {from}"),
                );
            }
            (from, to) => hold(false, &format!("it went from state {from} to {to}")),
        }
        faults
    }

    /// The end of a claim, whose lease was to run out then.
    fn exit(&mut self, to: char, write: &Write, lease: u64, hold: &mut impl FnMut(bool, &str)) -> Exit {
        hold(!self.asked || matches!(to, 'S' | 'C'), "it went on though someone had asked to stop it");
        let told = write.fields.contains_key("E").then(|| self.is_of_claim("E")).flatten();
        hold(told != Some(false), "a failure was accepted with a stale fence");
        let crashed = self.number("c") > self.crashes;
        let exit = match (to, self.text("K")) {
            ('S', _) => {
                hold(self.is_of_claim("R") == Some(true), "a result was accepted with a stale fence");
                Exit::Succeeded
            }
            ('C', _) => {
                hold(self.asked, "it was stopped though nobody had asked");
                Exit::Cancelled
            }
            ('w', _) if !crashed => Exit::HandedBack,
            ('w', _) | ('X', "crashes") => {
                self.crashes += 1;
                self.not_before = lease;
                Exit::Lost
            }
            ('d', _) | ('X', "attempts" | "permanent") => {
                self.failures += 1;
                if to == 'd' {
                    self.not_before = self.number("u");
                }
                if told == Some(true) { Exit::Failed { dead: to == 'X' } } else { Exit::Lost }
            }
            (to, _) => {
                hold(false, &format!("it went from state r to {to}"));
                Exit::Lost
            }
        };
        let spent = self.failures >= self.terms.0;
        hold(self.number("a") == self.failures, "failed attempts are not counted right");
        hold(self.number("c") == self.crashes, "lost workers are not counted right");
        match (to, self.text("K")) {
            ('X', "attempts") => hold(spent, "it is dead of attempts that it still had"),
            ('X', "crashes") => hold(self.crashes >= MAX_CRASHES, "it is dead of too few lost workers"),
            ('d', _) => hold(!spent, "it has more attempts than it may have"),
            ('w', _) => hold(self.crashes < MAX_CRASHES, "it has lost more workers than it may"),
            _ => {}
        }
        exit
    }
}
