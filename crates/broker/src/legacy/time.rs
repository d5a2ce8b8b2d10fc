//! The two forms of time on this wire: ISO 8601 in UTC with milliseconds, and seconds with microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::life::Millis;

const DAY: u64 = 86_400_000;

/// Now, by this machine's clock: who writes to this queue uses its own.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    crate::life::ms(since)
}

/// `2025-01-01T00:00:00.000Z`. The days are counted as in Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), from 0000-03-01.
pub(super) fn iso(at: Millis) -> String {
    let (days, ms) = (at / DAY + 719_468, at % DAY);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// A time in any form that is met in a job: ISO 8601 in UTC, `<seconds>.<microseconds>`, or milliseconds.
pub(super) fn read(text: &str) -> Option<Millis> {
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    micros(text).map(|it| it / 1000).or_else(|| read_iso(text))
}

/// `<seconds>.<microseconds>`, in microseconds: what a claim writes as `assigned_at`. Whoever wrote it may have left out the
/// zeros in front of the microseconds, so they are a number, not a fraction.
pub(super) fn micros(text: &str) -> Option<u64> {
    let (seconds, micros) = text.split_once('.')?;
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
    (micros < 1_000_000).then(|| seconds.checked_mul(1_000_000)?.checked_add(micros)).flatten()
}

/// The number of days before a date; `days_from_civil` of the page above.
fn read_iso(text: &str) -> Option<Millis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let parts = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let (time, ms) = time.split_once('.').unwrap_or((time, "0"));
    let ([year, month, day], [hour, minute, second]) = (parts(date, '-')?, parts(time, ':')?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let ms: u64 = format!("{ms:0<3}").get(..3)?.parse().ok()?;
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_and_read_as_the_other_side_does() {
        // `new Date(ms).toISOString()` of Node 20.
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!((iso(ms), read(text)), (text.to_owned(), Some(ms)));
        }
        assert_eq!(read("1735689600.123456"), Some(1_735_689_600_123));
        assert_eq!(micros("1735689600.000007"), micros("1735689600.7"));
        assert_eq!(read("1735689600123"), Some(1_735_689_600_123));
        for none in ["", "soon", "2025-13-01T00:00:00Z", "1.2.3", "1735689600.9999999"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_time_reads_as_it_is_written(ms in 0_u64..253_402_300_800_000) {
            prop_assert_eq!(read(&iso(ms)), Some(ms));
        }
    }
}
