//! A checker is worth something only if it finds what is there: faults are planted into the history of a small run.

use libtest_mimic::Failed;

use crate::checker::check;
use crate::history::{History, Write};
use crate::plan::Size;
use crate::record::{Line, Terms, What};

type Plant = fn(&mut History);

/// What is planted, and what the checker says of it.
const FAULTS: &[(Plant, &str)] = &[
    (|it| forget(it), "it was submitted and is not there"),
    (|it| again(it, &[("s", "S")]), "a write that changes it in state S"),
    (|it| again(it, &[("s", "w")]), "it went from state S to w"),
    (|it| again(it, &[("s", "r"), ("f", "1")]), "it went from state S to r"),
    (|it| drop(it.writes.remove(ending(it))), "it has a claim without an end"),
    (
        |it| at(it, ending, &[("R", r#"{"by":"chaos-worker-0.0","fence":1}"#)]),
        "a result was accepted with a stale fence",
    ),
    (|it| at(it, ending, &[("s", "C")]), "it was stopped though nobody had asked"),
    (|it| at(it, ending, &[("s", "w")]), "an end was accepted that no worker told"),
    (|it| at(it, claiming, &[("f", "1")]), "a claim has a fence that is not above all before"),
    (|it| at(it, claiming, &[("o", "another")]), "is of two workers"),
    (|it| it.writes.insert(claiming(it), it.writes[claiming(it)].clone()), "it was claimed while it ran"),
    (|it| at(it, failing, &[("u", "9999999999999")]), "it was claimed before its date or while a lease held"),
    (|it| at(it, failing, &[("a", "7")]), "failed attempts are not counted right"),
    (|it| at(it, failing, &[("E", "by another with fence 1")]), "a failure was accepted with a stale fence"),
    (|it| at(it, crashing, &[("c", "7")]), "lost workers are not counted right"),
    (|it| allow(it, 100), "it is dead of attempts that it still had"),
    (|it| allow(it, 1), "it has more attempts than it may have"),
    (|it| flip(it, &effect(it), telling(it, 'S')), "it has succeeded with 0 effects"),
    (|it| say(it, effect(it)), "one attempt has had two effects"),
    (|it| say(it, renewed(it)), "a lease was made longer with a stale fence"),
    (|it| say(it, told(it, true)), "its end was accepted twice"),
    (
        |it| flip(it, &told(it, true), told(it, false)),
        "its end was accepted, and its worker told that it was not",
    ),
    (|it| flip(it, &telling(it, 'S'), telling(it, 'F')), "an end was accepted that no worker told"),
    (|it| say(it, What::Effect { job: done(it).0, fence: 999_999 }), "Redis does not know the claim"),
    (
        |it| say(it, What::Cancelled { job: done(it).0, answer: "Cancelled".into() }),
        "was answered Cancelled; it is S",
    ),
    (|it| say(it, submitted("job-1", "job-0")), "it is there beside the job that it is"),
    (
        |it| it.lines.retain(|it| !matches!(it.what, What::Submitted { .. })),
        "nobody was told that it was submitted",
    ),
    (|it| it.end.keys.clear(), "it is not the only one with key"),
    (|it| drop(it.end.members.insert("l".into(), vec![done(it).0])), "it is left in `l`"),
    (|it| it.end.held.push(done(it).0), "it is left in `j`"),
    (|it| it.end.members.clear(), "it is dead and not listed"),
    (|it| drop(it.end.jobs.remove(&done(it).0)), "Redis holds something else than was written"),
    (|it| drop(it.end.jobs.insert("other".into(), [].into())), "Redis holds a job that nobody wrote"),
    (|it| it.end.lives.clear(), "it is finished and will not be forgotten"),
    (|it| it.end.bytes = 1, "1 bytes are left of finished jobs"),
];

pub fn every_fault_is_found() -> Result<(), Failed> {
    let Some((mut folder, _, history)) = crate::played(5, Size::TINY) else { return Ok(()) };
    assert_eq!(check(&history).1, []);
    folder.disable_cleanup(false);
    for (number, (plant, law)) in FAULTS.iter().enumerate() {
        let mut history = history.clone();
        plant(&mut history);
        let faults = check(&history).1;
        if !faults.iter().any(|(_, fault)| fault.contains(law)) {
            return Err(format!("fault {number} is not found: {law}; found: {faults:?}").into());
        }
    }
    Ok(())
}

/// A write that holds this field with one of these values.
fn find(history: &History, field: &str, values: &[&str]) -> usize {
    let holds =
        |it: &Write| it.fields.get(field).is_some_and(|it| values.contains(&it.as_deref().unwrap_or("-")));
    history.writes.iter().rposition(holds).unwrap()
}

/// The end of the last job that succeeded, and whose worker knows.
fn ending(history: &History) -> usize {
    let knows = |write: &Write| {
        let heard = |it: &&Line| matches!(&it.what, What::Told { job, outcome: 'S', heard: true, .. } if *job == write.job);
        write.fields.get("s") == Some(&Some("S".into())) && history.lines.iter().any(|it| heard(&it))
    };
    history.writes.iter().rposition(knows).unwrap()
}

/// The last claim of that job.
fn claiming(history: &History) -> usize {
    let (job, end) = (&history.writes[ending(history)].job, ending(history));
    let claims = |it: &Write| it.job == *job && it.fields.contains_key("f");
    history.writes[..end].iter().rposition(claims).unwrap()
}

/// The first failure of a job whose attempts were spent.
fn failing(history: &History) -> usize {
    let job = &history.writes[find(history, "K", &["attempts"])].job;
    history.writes.iter().position(|it| it.job == *job && it.fields.contains_key("a")).unwrap()
}

/// A worker that was lost.
fn crashing(history: &History) -> usize {
    find(history, "c", &["1"])
}

/// The job of [`ending`], and its fence.
fn done(history: &History) -> (String, u64) {
    let claim = &history.writes[claiming(history)];
    (claim.job.clone(), claim.fields["f"].as_ref().unwrap().parse().unwrap())
}

/// Every job was to have so many attempts.
fn allow(history: &mut History, most: u64) {
    for line in &mut history.lines {
        if let What::Submitted { terms, .. } = &mut line.what {
            terms.attempts = most;
        }
    }
}

/// Redis has lost a job.
fn forget(history: &mut History) {
    let (job, _) = done(history);
    history.writes.retain(|it| it.job != job);
}

/// Writes other values there.
fn at(history: &mut History, place: fn(&History) -> usize, values: &[(&str, &str)]) {
    let place = place(history);
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    history.writes[place].fields.extend(values);
}

/// One more write to the job that is done.
fn again(history: &mut History, values: &[(&str, &str)]) {
    let fields = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    history.writes.push(Write { job: done(history).0, fields, deleted: false });
}

fn effect(history: &History) -> What {
    let (job, fence) = done(history);
    What::Effect { job, fence }
}

fn renewed(history: &History) -> What {
    let (job, fence) = done(history);
    What::Renewed { job, fence, until: 1 }
}

fn telling(history: &History, outcome: char) -> What {
    let (job, fence) = done(history);
    What::Telling { job, fence, outcome }
}

fn told(history: &History, heard: bool) -> What {
    let (job, fence) = done(history);
    What::Told { job, fence, outcome: 'S', heard }
}

fn submitted(job: &str, is: &str) -> What {
    What::Submitted { job: job.into(), is: is.into(), terms: Terms::default() }
}

/// One more line, by whoever wrote of the same claim.
fn say(history: &mut History, what: What) {
    let who = history.lines.iter().find(|it| it.what == what).map(|it| it.who.clone());
    history.lines.push(Line { at: 0, who: who.unwrap_or_default(), what });
}

/// Another line instead of this one.
fn flip(history: &mut History, from: &What, to: What) {
    history.lines.iter_mut().find(|it| it.what == *from).unwrap().what = to;
}
