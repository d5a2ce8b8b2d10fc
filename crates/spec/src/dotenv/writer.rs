//! Values into env files.

use std::borrow::Cow;

use super::fault::{Clash, Unencodable};
use crate::ids::EnvKey;

/// Follows a value that ends in an even number of backslashes. Node's `dotenv` lets `\'` end a value only if the next
/// `'` in the file, wherever that is, cannot: this one cannot, as text follows it.
const GUARD: &str = " # this isn't an escaped quote";

/// The file with these entries, one `KEY=value` each, in the given order; or every value that no env file can hold.
pub fn write<'a>(
    entries: impl IntoIterator<Item = (&'a EnvKey, &'a str)>,
) -> Result<String, Vec<(EnvKey, Unencodable)>> {
    let (mut file, mut refused) = (String::new(), Vec::new());
    for (key, value) in entries {
        match encode(value) {
            Ok(text) => file.extend([key.as_str(), "=", &text, "\n"]),
            Err(fault) => refused.push((key.clone(), fault)),
        }
    }
    if refused.is_empty() { Ok(file) } else { Err(refused) }
}

/// What to write between `KEY=` and the line end: the plainest form that all readers give back as `value`.
pub fn encode(value: &str) -> Result<Cow<'_, str>, Unencodable> {
    if value.contains('\0') {
        return Err(Unencodable::Nul);
    }
    if value.contains('\r') {
        return Err(Unencodable::CarriageReturn);
    }
    if value.chars().all(is_plain) {
        return Ok(Cow::Borrowed(value));
    }
    if value.contains('\'') {
        return match clash_in_double_quotes(value) {
            None => Ok(Cow::Owned(format!("\"{value}\""))),
            Some(clash) => Err(Unencodable::NoCommonQuoting { clash }),
        };
    }
    match value.len() - value.trim_end_matches('\\').len() {
        0 => Ok(Cow::Owned(format!("'{value}'"))),
        even if even % 2 == 0 => Ok(Cow::Owned(format!("'{value}'{GUARD}"))),
        _ => Err(Unencodable::NoCommonQuoting { clash: Clash::FinalBackslash }),
    }
}

/// Fewer than the readers would take: without `~ * ? [ {` and the like, a person need not ask what a shell makes of it.
fn is_plain(it: char) -> bool {
    it.is_ascii_alphanumeric() || "%+,-./:=@_".contains(it)
}

/// The first thing in `value` that some reader would not give back from double quotes as it stands.
fn clash_in_double_quotes(value: &str) -> Option<Clash> {
    let mut chars = value.chars().peekable();
    while let Some(it) = chars.next() {
        let next = chars.peek().copied();
        match it {
            '"' => return Some(Clash::DoubleQuote),
            '`' => return Some(Clash::Backquote),
            '$' if next.is_some_and(begins_expansion) => return Some(Clash::Dollar),
            '\\' if next.is_none_or(is_escapable) => return Some(Clash::Backslash),
            _ => {}
        }
    }
    None
}

/// Whether `$` before this character means something: a name, `${`, `$(`, a special parameter; bash's `$[`. Compose
/// compares names by Unicode case folding, in which `ſ` is an `s`, so no foreign letter is safe.
fn begins_expansion(it: char) -> bool {
    it.is_ascii_alphanumeric() || !it.is_ascii() || "!#$(*-?@[_{".contains(it)
}

/// Whether `\` before this character means something to `sh` (`$`, quotes, `\`, line feed), to Compose (Go's escapes,
/// `\0`) or to Node (`\n`, `\r`).
fn is_escapable(it: char) -> bool {
    "\n\"$0\\`abfnrtv".contains(it)
}
