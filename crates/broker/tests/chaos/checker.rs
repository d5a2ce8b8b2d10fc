//! Whether a history is one that the broker may have. It shares no code with the broker: it knows the keys and fields of
//! `docs/broker.md`, and what that page promises.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::history::History;
use crate::life::{Claim, Exit, Life};
use crate::record::What;

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Jobs by the letter of their state; dead ones by kind.
    pub ends: BTreeMap<String, usize>,
    pub claims: usize,
    /// Claims that ended because their lease ran out.
    pub lost: usize,
    /// Ends that were told with a stale fence, and refused.
    pub stale: usize,
    /// Ends that were carried out though their worker never had an answer.
    pub unanswered: usize,
    /// Jobs that were done more than once, of which one time counts.
    pub done_again: usize,
    /// Submissions of a job that was there.
    pub known: usize,
    /// Wishes to stop a job that was not finished.
    pub cancels: usize,
}

/// The job, if it is of one, and what is wrong.
pub type Fault = (String, String);

/// What its worker says of one claim.
#[derive(Default)]
struct Account {
    by: BTreeSet<String>,
    before: Option<(u64, u64)>,
    effects: usize,
    /// When its lease was to run out, as it was told.
    renewed: BTreeSet<u64>,
    /// The letters of the ends that it told; that were heard; that were refused; of which it had no answer.
    telling: BTreeSet<char>,
    heard: Vec<char>,
    refused: Vec<char>,
    unanswered: BTreeSet<char>,
}

#[derive(Default)]
struct Checker {
    lives: BTreeMap<String, Life>,
    counts: Counts,
    faults: Vec<Fault>,
}

/// Every fault of a history.
pub fn check(history: &History) -> (Counts, Vec<Fault>) {
    let mut checker = Checker::default();
    for line in &history.lines {
        if let What::Submitted { is, terms, .. } = &line.what {
            let life = checker.lives.entry(is.clone()).or_insert_with(|| Life::new(terms));
            life.not_before = life.not_before.min(terms.not_before);
        }
    }
    let mut last_fence = 0;
    for write in &history.writes {
        let life = checker.lives.entry(write.job.clone()).or_default();
        let faults = life.take(write, &mut last_fence);
        checker.faults.extend(faults.into_iter().map(|it| (write.job.clone(), it)));
    }
    checker.claims(accounts(history));
    checker.clients(history);
    checker.end(history);
    (checker.counts, checker.faults)
}

fn accounts(history: &History) -> HashMap<(String, u64), Account> {
    let mut accounts = HashMap::<_, Account>::new();
    for line in &history.lines {
        let (What::Claimed { job, fence, .. }
        | What::Effect { job, fence }
        | What::Telling { job, fence, .. }
        | What::Told { job, fence, .. }
        | What::Unanswered { job, fence, .. }
        | What::Renewed { job, fence, .. }
        | What::Lost { job, fence }) = &line.what
        else {
            continue;
        };
        let account = accounts.entry((job.clone(), *fence)).or_default();
        account.by.insert(line.who.clone());
        match line.what {
            What::Claimed { attempts, crashes, .. } => {
                account.before = Some((attempts.into(), crashes.into()));
            }
            What::Effect { .. } => account.effects += 1,
            What::Renewed { until, .. } => drop(account.renewed.insert(until)),
            What::Telling { outcome, .. } => drop(account.telling.insert(outcome)),
            What::Told { outcome, heard: true, .. } => account.heard.push(outcome),
            What::Told { outcome, .. } => account.refused.push(outcome),
            What::Unanswered { outcome, .. } => drop(account.unanswered.insert(outcome)),
            _ => {}
        }
    }
    accounts
}

/// The letters of the ends of which a worker may have told this one. None: nobody told it.
fn letters(exit: Exit) -> &'static [char] {
    match exit {
        Exit::Succeeded => &['S'],
        Exit::Failed { dead: false } => &['F'],
        Exit::Failed { dead: true } => &['F', 'P'],
        Exit::HandedBack => &['H'],
        Exit::Cancelled => &['X', 'F', 'P', 'H'],
        Exit::Lost => &[],
    }
}

impl Checker {
    fn hold(&mut self, holds: bool, job: &str, law: impl Into<String>) {
        if !holds {
            self.faults.push((job.into(), law.into()));
        }
    }

    /// What workers did and heard, against what was written.
    fn claims(&mut self, mut accounts: HashMap<(String, u64), Account>) {
        let lives = std::mem::take(&mut self.lives);
        for (job, life) in &lives {
            let mut effects = 0;
            for claim in &life.claims {
                let account = accounts.remove(&(job.clone(), claim.fence)).unwrap_or_default();
                effects += account.effects;
                self.claim(job, claim, &account);
            }
            self.counts.done_again += usize::from(effects > 1);
        }
        for ((job, fence), _) in accounts {
            self.hold(false, &job, format!("Redis does not know the claim with fence {fence}"));
        }
        self.lives = lives;
    }

    fn claim(&mut self, job: &str, claim: &Claim, account: &Account) {
        let Some(exit) = claim.exit else {
            return self.hold(false, job, "it has a claim without an end");
        };
        let ours = |who: &String| who.rsplit_once('.').is_some_and(|(id, _)| id == claim.worker);
        let one = account.by.len() <= 1 && account.by.iter().all(ours);
        self.hold(one, job, format!("the claim with fence {} is of two workers", claim.fence));
        let same = account.before.is_none_or(|it| it == claim.before);
        self.hold(same, job, "its worker was told wrong counts");
        let renewed = account.renewed.is_subset(&claim.leases);
        self.hold(renewed, job, "a lease was made longer with a stale fence");
        self.hold(account.heard.len() <= 1, job, "its end was accepted twice");
        let fits = account.heard.iter().all(|it| letters(exit).contains(it));
        self.hold(
            fits,
            job,
            format!("its worker was heard and it went otherwise: {:?}, {exit:?}", account.heard),
        );
        let said = letters(exit).iter().any(|it| account.telling.contains(it));
        // Who is lost while someone wants the job stopped tells nothing, and it is stopped.
        let silent = matches!(exit, Exit::Lost | Exit::Cancelled);
        self.hold(said || silent, job, "an end was accepted that no worker told");
        let heard = |it: &char| account.heard.contains(it) || account.unanswered.contains(it);
        let refused = |it: &&char| account.refused.contains(it) && !heard(it);
        let refused = letters(exit).iter().find(refused).filter(|_| !silent);
        self.hold(refused.is_none(), job, "its end was accepted, and its worker told that it was not");
        if exit == Exit::Succeeded {
            self.hold(
                account.effects == 1,
                job,
                format!("it has succeeded with {} effects", account.effects),
            );
        }
        self.hold(account.effects <= 1, job, "one attempt has had two effects");
        self.counts.claims += 1;
        self.counts.lost += usize::from(exit == Exit::Lost);
        self.counts.stale += account.refused.iter().filter(|it| !account.unanswered.contains(it)).count();
        self.counts.unanswered += usize::from(!silent && account.heard.is_empty());
    }

    /// What clients were told, against what was written.
    fn clients(&mut self, history: &History) {
        let mut keys = BTreeMap::new();
        let mut submitted = HashSet::new();
        for line in &history.lines {
            match &line.what {
                What::Submitted { job, is, terms } => {
                    let there = self.lives.get(is).is_some_and(|it| it.state() != '-');
                    self.hold(there, is, "it was submitted and is not there");
                    let twice = job != is && self.lives.contains_key(job);
                    self.hold(!twice, job, "it is there beside the job that it is");
                    if let Some(key) = &terms.key {
                        let first = keys.entry(key).or_insert(is);
                        let same = *first == is && history.end.keys.get(key) == Some(is);
                        self.hold(same, is, format!("it is not the only one with key {key}"));
                    }
                    self.counts.known += usize::from(!submitted.insert(is));
                }
                What::Cancelled { job, answer } => {
                    let state = self.lives.get(job).map_or('-', Life::state);
                    let kept = match answer.as_str() {
                        "Cancelled" => state == 'C',
                        "Asked" => matches!(state, 'S' | 'C'),
                        "Finished" => true,
                        _ => false,
                    };
                    self.hold(kept, job, format!("a wish to stop it was answered {answer}; it is {state}"));
                    self.counts.cancels += usize::from(answer != "Finished");
                }
                _ => {}
            }
        }
        let jobs: Vec<_> = self.lives.keys().filter(|it| !submitted.contains(it)).cloned().collect();
        for job in jobs {
            self.hold(false, &job, "nobody was told that it was submitted");
        }
    }

    /// What Redis holds, against what was written.
    fn end(&mut self, history: &History) {
        let end = &history.end;
        let lives = std::mem::take(&mut self.lives);
        let dead = |key: &str, job: &String| {
            let kind = key.strip_prefix("x:");
            kind.is_some_and(|it| {
                lives.get(job).is_some_and(|life| life.state() == 'X' && life.fields["K"] == it)
            })
        };
        for (key, jobs) in &end.members {
            for job in jobs {
                self.hold(dead(key, job), job, format!("it is left in `{key}`"));
            }
        }
        for (job, life) in &lives {
            let state = life.state();
            self.hold(matches!(state, 'S' | 'C' | 'X'), job, format!("it is left in state {state}"));
            self.hold(
                end.jobs.get(job) == Some(&life.fields),
                job,
                "Redis holds something else than was written",
            );
            let ends = end.lives.get(job).is_some_and(|it| *it > 0);
            self.hold(ends, job, "it is finished and will not be forgotten");
            let mut name = state.to_string();
            if state == 'X' {
                name += life.fields.get("K").map_or("", String::as_str);
                let listed = |(key, jobs): (&String, &Vec<String>)| dead(key, job) && jobs.contains(job);
                self.hold(end.members.iter().any(listed), job, "it is dead and not listed");
            }
            *self.counts.ends.entry(name).or_default() += 1;
        }
        for job in end.jobs.keys() {
            self.hold(lives.contains_key(job), job, "Redis holds a job that nobody wrote");
        }
        for job in &end.held {
            self.hold(false, job, "it is left in `j`");
        }
        self.hold(end.bytes == 0, "", format!("{} bytes are left of finished jobs", end.bytes));
        self.lives = lives;
    }
}
