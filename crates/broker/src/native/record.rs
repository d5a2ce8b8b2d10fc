//! What changes of a job: its record, `j:<job>`. `queue.lua` reads and writes it too.

use super::wire::{foreign, parsed};
use crate::error::Error;
use crate::event::MAX_MESSAGE;
use crate::life::{Death, Life, Millis, Reason, State};

/// The last byte that has to be read for all but the result: the first line is shorter than 400 bytes.
pub(super) const SHORT: usize = 400 + MAX_MESSAGE;

/// `<state> <fence> <life of the result> <bytes> <marks> <failed> <lost> <at> <deadline> <who> <length>`, where some text follows
/// a line feed: the message, of `length` bytes, and the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record<'r> {
    /// `d` delayed, `w` waiting, `r` running, `S` succeeded, `C` cancelled, `X` dead.
    pub state: char,
    /// The number of its last claim, or 0.
    pub fence: u64,
    /// The bytes of its document.
    pub bytes: u64,
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
    /// Its result, JSON; cut off where only the first [`SHORT`] bytes were read.
    pub result: Option<&'r str>,
}

/// Of a job that has no record: it waits, and nobody has had it.
const FRESH: Record<'_> = Record {
    state: 'w',
    fence: 0,
    bytes: 0,
    marks: "-",
    failed: 0,
    lost: 0,
    at: 0,
    deadline: 0,
    who: "-",
    message: None,
    result: None,
};

impl<'r> Record<'r> {
    /// Reads what `j:<job>` holds, nothing where there is none. `key` is named where it is not a record.
    pub fn of(text: &'r str, key: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(FRESH);
        }
        let (line, rest) = text.split_once('\n').map_or((text, None), |(line, rest)| (line, Some(rest)));
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| foreign(key));
        let state = parsed(word()?, key)?;
        let fence = parsed(word()?, key)?;
        word()?;
        let (bytes, marks) = (parsed(word()?, key)?, word()?);
        let (failed, lost) = (parsed(word()?, key)?, parsed(word()?, key)?);
        let (at, deadline, who) = (parsed(word()?, key)?, parsed(word()?, key)?, word()?);
        let (message, result) = match word()? {
            "-" => (None, rest),
            length => {
                let (length, rest): (usize, _) = (parsed(length, key)?, rest.unwrap_or_default());
                // Of a longer message than ours can be, only a part was read.
                let (message, result) = rest.split_at_checked(length).unwrap_or((rest, ""));
                (Some(message), Some(result))
            }
        };
        let result = result.filter(|it| !it.is_empty());
        Ok(Self { state, fence, bytes, marks, failed, lost, at, deadline, who, message, result })
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

    fn read(text: &str) -> Option<Record<'_>> {
        Record::of(text, "j").ok()
    }

    #[test]
    fn texts_are_told_apart_by_the_length_of_the_first() {
        let line = "S 9 86400000 160 y 1 0 7 0 - ";
        for (rest, message, result) in [
            ("-", None, None),
            ("-\n{}", None, Some("{}")),
            ("4\na\nbc", Some("a\nbc"), None),
            ("0\n[]", Some(""), Some("[]")),
            ("2\né1", Some("é"), Some("1")),
            ("9\nab", Some("ab"), None),
        ] {
            let text = format!("{line}{rest}");
            let told = read(&text).map(|it| (it.message, it.result));
            assert_eq!(told, Some((message, result)), "{text:?}");
        }
        assert_eq!([read("S 9 86400000 160 y 1 0 7 0 -"), read(&format!("{line}x\nab"))], [None, None]);
    }

    #[test]
    fn only_what_has_ended_says_when() {
        let ended = |state| read(&format!("{state} 9 1 2 - 0 0 7 0 - -")).unwrap().ended();
        assert_eq!(['d', 'w', 'r', 'S', 'C', 'X'].map(ended), [None, None, None, Some(7), Some(7), Some(7)]);
    }
}
