//! Times, jobs and tables as people read them. Texts of others are shown on one line and without control characters, so
//! that no message of a worker can move the cursor.

use broker::life::State;
use broker::{Death, Millis, Summary};

/// A time span in its two largest units: `1h59m`.
pub(super) fn span(ms: Millis) -> String {
    let seconds = ms / 1000;
    let units =
        [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let parts = units.iter().skip_while(|(_, number)| *number == 0).take(2).filter(|(_, number)| *number > 0);
    let told: String = parts.map(|(unit, number)| number.to_string() + unit).collect();
    if told.is_empty() { "0s".into() } else { told }
}

/// A time of the day, in UTC, to the second: `2026-11-21 07:59:08Z`. The calendar is Howard Hinnant's `civil_from_days`.
pub(super) fn date(at: Millis) -> String {
    let (days, seconds) = (at / 86_400_000, at / 1000 % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// When something was or will be, beside now.
pub(super) fn when(at: Millis, now: Millis) -> String {
    if at > now { format!("in {}", span(at - now)) } else { format!("{} ago", span(now - at)) }
}

/// A text of somebody else: one line, nothing that a terminal obeys, at most `most` characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    let shown = |it: char| if it.is_control() { it.escape_default().to_string() } else { it.to_string() };
    let mut cleaned: String = text.chars().take(most).map(shown).collect();
    if text.chars().nth(most).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// What a kind of death means.
pub(super) fn death(kind: Death) -> &'static str {
    match kind {
        Death::Permanent => "failed for good",
        Death::Attempts => "failed as often as it may",
        Death::Crashes => "its workers were lost",
    }
}

/// In a few words, why a job is where it is.
pub(super) fn reason(it: &Summary) -> String {
    let failed = it.error.as_deref().map(|error| format!("last error: {}", clean(error, 200)));
    let held = it.limit_key.as_ref().map(|key| format!("limit key {key}"));
    let now = it.now;
    let parts: Vec<String> = match &it.life.state {
        State::Running { until, cancel, .. } => {
            let lease = if *until > now {
                format!("lease for {}", span(until - now))
            } else {
                "lease is over".into()
            };
            cancel.then(|| "asked to stop".into()).into_iter().chain([lease]).collect()
        }
        State::Waiting => held.into_iter().chain(failed).collect(),
        State::Delayed { due } => {
            let due = if *due > now { format!("due in {}", span(due - now)) } else { "due".into() };
            [due].into_iter().chain(failed).collect()
        }
        State::Dead(reason) => vec![format!("{}: {}", death(reason.kind), clean(&reason.message, 200))],
        State::Succeeded | State::Cancelled => {
            it.finished.map(|at| format!("ended {}", when(at, now))).into_iter().collect()
        }
    };
    parts.join("; ")
}

/// Rows below a head, each column as wide as its widest cell; the last one is not filled up.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |at: usize| rows.iter().map(|it| it[at].chars().count()).chain([head[at].len()]).max();
    let widths: Vec<usize> = (0..N).map(|at| width(at).unwrap_or_default()).collect();
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let body = rows.iter().map(|it| line(it.each_ref().map(String::as_str)));
    std::iter::once(line(head)).chain(body).collect()
}

/// `1 job`, `2 jobs`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00Z");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(date(1_709_251_199_999), "2024-02-29 23:59:59Z");
        assert_eq!(date(4_107_542_400_000), "2100-03-01 00:00:00Z");
    }

    #[test]
    fn a_message_of_others_stays_on_its_line_and_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\nc", 50), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("äöü", 2), "äö…");
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [["a".into(), "long".into()], ["bcd".into(), String::new()]];
        assert_eq!(table(["X", "Y"], &rows), "X    Y\na    long\nbcd\n");
    }

    #[test]
    fn a_span_is_in_its_two_largest_units() {
        let told = [0, 999, 59_000, 61_000, 7_199_999, 7_200_000, 200_000_000].map(span);
        assert_eq!(told, ["0s", "0s", "59s", "1m1s", "1h59m", "2h", "2d7h"]);
    }
}
