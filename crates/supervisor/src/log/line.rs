//! A stream as lines with a time, in the two forms that collectors of container logs read.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// What a line in a log file looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As it was written, byte for byte.
    #[default]
    Plain,
    /// After its time, its stream, and `F` for a whole line or `P` for a piece of one: the format that Kubernetes'
    /// container runtime interface gives to logs. `2026-01-31T09:30:00.000000001Z stdout F the line`. Its bytes stay as
    /// they are.
    Cri,
    /// As an object with the fields of Docker's `json-file` (`log`, which ends in a newline if the line does, `stream`,
    /// `time`), and `process`. What is no UTF-8 becomes U+FFFD.
    Json,
}

/// Where a process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    /// To its standard output.
    Stdout,
    /// To its standard error.
    Stderr,
}

/// A longer line is written in pieces: as long as Docker's and containerd's.
const PIECE: usize = 16 << 10;

/// A stream that becomes lines.
pub(super) struct Lines {
    json: bool,
    process: Box<str>,
    stream: Stream,
    /// The line that has no end yet.
    begun: Vec<u8>,
}

#[derive(Serialize)]
struct Record<'a> {
    log: &'a str,
    stream: Stream,
    time: &'a str,
    process: &'a str,
}

impl Lines {
    /// `None` for the plain form, which knows no lines.
    pub(super) fn new(form: Form, process: &str, stream: Stream) -> Option<Self> {
        let json = match form {
            Form::Plain => return None,
            Form::Cri => false,
            Form::Json => true,
        };
        Some(Self { json, process: process.into(), stream, begun: Vec::new() })
    }

    /// Appends to `out` the lines that end in `bytes`, and pieces of those that are too long.
    pub(super) fn pass(&mut self, mut bytes: &[u8], now: SystemTime, out: &mut Vec<u8>) {
        let time = rfc3339(now);
        while !bytes.is_empty() {
            let room = PIECE - self.begun.len();
            let (part, ends) = match bytes.iter().take(room).position(|it| *it == b'\n') {
                Some(end) => (&bytes[..end], true),
                None => (&bytes[..room.min(bytes.len())], false),
            };
            bytes = &bytes[part.len() + usize::from(ends)..];
            if ends && self.begun.is_empty() {
                self.emit(part, true, &time, out);
                continue;
            }
            self.begun.extend_from_slice(part);
            if ends || self.begun.len() == PIECE {
                // An idle stream holds no memory.
                let begun = std::mem::take(&mut self.begun);
                self.emit(&begun, ends, &time, out);
            }
        }
    }

    /// The line that has begun ends here, because its process has.
    pub(super) fn settle(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        if !self.begun.is_empty() {
            self.pass(b"\n", now, out);
        }
    }

    fn emit(&self, line: &[u8], ends: bool, time: &str, out: &mut Vec<u8>) {
        // Writing into memory does not fail, and a text is always JSON.
        if self.json {
            let mut log = String::from_utf8_lossy(line);
            if ends {
                log.to_mut().push('\n');
            }
            let record = Record { log: &log, stream: self.stream, time, process: &self.process };
            let _ = serde_json::to_writer(&mut *out, &record);
        } else {
            let (stream, tag) = (
                if self.stream == Stream::Stdout { "stdout" } else { "stderr" },
                if ends { 'F' } else { 'P' },
            );
            let _ = write!(out, "{time} {stream} {tag} ");
            out.extend_from_slice(line);
        }
        out.push(b'\n');
    }
}

/// In UTC, to the nanosecond: `2026-01-31T09:30:00.000000001Z`. The date is Howard Hinnant's `civil_from_days`
/// (chrono-Compatible Low-Level Date Algorithms), for days since 1970.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(30);
    let nanos = since.subsec_nanos();
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, parts: &[&[u8]]) -> String {
        let mut lines = Lines::new(form, "web", Stream::Stderr).unwrap();
        let (now, mut out) = (UNIX_EPOCH + Duration::from_secs(1), Vec::new());
        for it in parts {
            lines.pass(it, now, &mut out);
        }
        lines.settle(now, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_gets_its_time_once_wherever_the_stream_is_cut() {
        insta::assert_snapshot!(written(Form::Cri, &[b"a\nb", b"c\n", b"d"]), @r"
        1970-01-01T00:00:01.000000000Z stderr F a
        1970-01-01T00:00:01.000000000Z stderr F bc
        1970-01-01T00:00:01.000000000Z stderr F d
        ");
        insta::assert_snapshot!(written(Form::Json, &[b"\"a\"\xFF\n"]), @r#"{"log":"\"a\"�\n","stream":"stderr","time":"1970-01-01T00:00:01.000000000Z","process":"web"}"#);
    }

    #[test]
    fn a_line_without_end_is_written_in_pieces() {
        let long = "x".repeat(2 * PIECE + 5);
        for parts in
            [vec![long.as_bytes(), b"\n"], long.as_bytes().chunks(1000).chain([&b"\n"[..]]).collect()]
        {
            let text = written(Form::Cri, &parts);
            let tags: Vec<_> = text.lines().map(|it| (&it[38..39], it.len() - 40)).collect();
            assert_eq!(tags, [("P", PIECE), ("P", PIECE), ("F", 5)]);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds, nanos| rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(951_782_399, 0), "2000-02-28T23:59:59.000000000Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(at(1_767_225_599, 999_999_999), "2025-12-31T23:59:59.999999999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
    }
}
