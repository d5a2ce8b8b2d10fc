//! What changes of a job: its record. While the job has not ended it is a field of `j`, behind its line its message; of a job that
//! has ended it stands behind the document in `b:<job>`, and the line comes last. `queue.lua` reads and writes it too.

use super::wire::{foreign, parsed};
use crate::error::Error;
use crate::event::MAX_MESSAGE;
use crate::life::{Death, Life, Millis, Reason, State};

/// As many bytes of the end of `b:<job>` hold all but the result of a job that has ended: a line is shorter than 400 bytes.
pub(super) const SHORT: isize = 400 + MAX_MESSAGE.cast_signed();

/// `<state> <fence> <life of the result> <beside> <marks> <failed> <lost> <at> <deadline> <who> <message> <result>`; the last two are
/// lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record<'r> {
    /// `d` delayed, `w` waiting, `r` running, `S` succeeded, `C` cancelled, `X` dead.
    pub state: char,
    /// The number of its last claim, or 0.
    pub fence: u64,
    /// `e` if it has a message, `k` if it has a limit key and ran, `x` if it is asked to stop, `y` if it has a stream.
    marks: &'r str,
    /// Failed attempts, and lost workers.
    pub failed: u32,
    pub lost: u32,
    /// When it is due, when its lease runs out, or when it ended; 0 while it waits.
    pub at: Millis,
    /// When its attempt has taken too long.
    pub deadline: Millis,
    /// Its worker while it runs, the kind of its death if it is dead.
    pub who: &'r str,
    /// The message of its last failure.
    pub message: Option<&'r str>,
    /// Its result, JSON; `None` also where only the end of it was read.
    pub result: Option<&'r str>,
    /// The bytes of `b:<job>` that are not its document; `None` where only the head is not.
    pub beside: Option<usize>,
}

/// Of a job that has no record: it waits, and nobody has had it.
const FRESH: Record<'_> = Record {
    state: 'w',
    fence: 0,
    marks: "-",
    failed: 0,
    lost: 0,
    at: 0,
    deadline: 0,
    who: "-",
    message: None,
    result: None,
    beside: None,
};

impl<'r> Record<'r> {
    /// The record of a job of which `held` is its field of `j`, empty if it has none, and `body` the end of what `b:<job>`
    /// holds, at least the last [`SHORT`] bytes. `key` is named where one is no record.
    pub fn of(held: &'r str, body: &'r str, key: &str) -> Result<Self, Error> {
        if !held.is_empty() {
            let (line, message) = held.split_once('\n').unwrap_or((held, ""));
            return Self::line(line, key).map(|(it, said, _)| Self { message: said.map(|_| message), ..it });
        }
        // A document is an object on one line.
        let ended = body.rsplit_once('\n').filter(|(_, line)| line.starts_with(['S', 'C', 'X']));
        let Some((before, line)) = ended else { return Ok(FRESH) };
        let (record, said, told) = Self::line(line, key)?;
        let last = |text: &'r str, bytes: Option<usize>| {
            let at = text.len().checked_sub(bytes?)?;
            text.split_at_checked(at)
        };
        let (before, message) = last(before, said).map_or((before, None), |(rest, it)| (rest, Some(it)));
        let result = last(before, told).map(|(_, result)| result);
        let behind = line.len() + said.unwrap_or(0) + told.unwrap_or(0) + 2;
        Ok(Self { message, result, beside: record.beside.map(|it| it + behind), ..record })
    }

    /// Reads a line. With it the lengths of the message and of the result.
    fn line(line: &'r str, key: &str) -> Result<(Self, Option<usize>, Option<usize>), Error> {
        let words: Vec<_> = line.split(' ').collect();
        let &[state, fence, _, beside, marks, failed, lost, at, deadline, who, said, told] = &*words else {
            return Err(foreign(key));
        };
        let length = |word: &str| (word != "-").then(|| parsed(word, key)).transpose();
        let record = Self {
            state: parsed(state, key)?,
            fence: parsed(fence, key)?,
            marks,
            failed: parsed(failed, key)?,
            lost: parsed(lost, key)?,
            at: parsed(at, key)?,
            deadline: parsed(deadline, key)?,
            who,
            beside: Some(parsed(beside, key)?),
            ..FRESH
        };
        Ok((record, length(said)?, length(told)?))
    }

    /// The state and counters that it stands for.
    pub fn life(&self, key: &str) -> Result<Life, Error> {
        let state = match self.state {
            'd' => State::Delayed { due: self.at },
            'w' => State::Waiting,
            'r' => State::Running {
                worker: parsed(self.who, key)?,
                until: self.at,
                deadline: self.deadline,
                cancel: self.marks.contains('x'),
            },
            'S' => State::Succeeded,
            'C' => State::Cancelled,
            'X' => {
                let kind = Death::of(self.who).ok_or_else(|| foreign(key))?;
                let message = self.message.ok_or_else(|| foreign(key))?.into();
                State::Dead(Reason { kind, message })
            }
            _ => return Err(foreign(key)),
        };
        Ok(Life { state, attempts: self.failed, crashes: self.lost, fence: self.fence })
    }

    /// When it ended, if it has.
    pub fn ended(&self) -> Option<Millis> {
        matches!(self.state, 'S' | 'C' | 'X').then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_job_that_has_ended_are_told_apart_by_their_lengths() {
        let line = "S 9 86400000 88 y 1 0 7 0 -";
        for (text, lengths, message, result) in [
            ("", "- -", None, None),
            ("{}", "- 2", None, Some("{}")),
            ("a\nbc", "4 -", Some("a\nbc"), None),
            ("[]", "0 2", Some(""), Some("[]")),
            ("1é", "2 1", Some("é"), Some("1")),
            // Only the end was read.
            ("lt\"}yes", "3 900", Some("yes"), None),
        ] {
            // Before it is the document, and what an earlier end has left.
            let body = format!("1 2 3\n{{}}\n\"old\"\nX 1 1 1 - 0 0 0 0 - - 5\n{text}\n{line} {lengths}");
            let told = Record::of("", &body, "j").map(|it| (it.state, it.message, it.result));
            assert_eq!(told, Ok(('S', message, result)), "{text:?}");
        }
        for bad in ["S 9 86400000", "S 9 86400000 88 y 1 0 7 0 - x -", "X"] {
            assert!(Record::of("", &format!("1 2 3\n{{}}\n\n{bad}"), "j").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_of_its_own_goes_before_what_an_earlier_end_has_left() {
        let body = "1 2 3\n{}\n\"old\"\nX 1 1 1 - 0 0 0 0 attempts - 5";
        let told = |held: &'static str| {
            Record::of(held, body, "j").map(|it| (it.state, it.message)).map_err(|it| it.to_string())
        };
        assert_eq!(told(""), Ok(('X', None)));
        assert_eq!(told("w 1 1 6 e 0 0 0 0 - 3 -\na\nb"), Ok(('w', Some("a\nb"))));
        assert_eq!(Record::of("", "1 2 3\n{}", "j"), Ok(FRESH));
    }

    #[test]
    fn only_what_has_ended_says_when() {
        let ended = |state| {
            let line = format!("{state} 9 1 2 - 0 0 7 0 - - -");
            Record::line(&line, "j").unwrap().0.ended()
        };
        assert_eq!(['d', 'w', 'r', 'S', 'C', 'X'].map(ended), [None, None, None, Some(7), Some(7), Some(7)]);
    }
}
