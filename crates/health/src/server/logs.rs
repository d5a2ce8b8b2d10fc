//! Log lines as they may be shown: one line each, without anything that a terminal or a page would obey.

use std::fmt::Write as _;

/// The longest line that is shown, in bytes of what was written; the rest is cut off.
const MAX_LINE: usize = 16 * 1024;

/// A line that can do no harm, with its line end. Control characters become `\u{1b}`, and so do those that change the
/// direction of writing, which could make a line look like another.
pub(super) fn shown(line: &str) -> String {
    let end = line.floor_char_boundary(MAX_LINE);
    let mut shown = String::with_capacity(end + 1);
    for it in line[..end].chars() {
        let turns = matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (it.is_control() && it != '\t') || turns || matches!(it, '\u{2028}' | '\u{2029}') {
            // Writing to a text cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(it));
        } else {
            shown.push(it);
        }
    }
    if end < line.len() {
        let _ = write!(shown, " … {} bytes more", line.len() - end);
    }
    shown.push('\n');
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_LINE, shown};

    #[test]
    fn a_terminal_obeys_nothing_in_a_line() {
        assert_eq!(shown("\u{1b}[2Jgone\r\nnew: line"), "\\u{1b}[2Jgone\\u{d}\\u{a}new: line\n");
        assert_eq!(shown("a\tb ← ü"), "a\tb ← ü\n");
        assert_eq!(shown("\u{202e}txt.exe"), "\\u{202e}txt.exe\n");
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let line = "ü".repeat(MAX_LINE);
        let cut = shown(&line);
        assert!(cut.ends_with(&format!(" … {MAX_LINE} bytes more\n")), "{}", &cut[cut.len() - 40..]);
    }

    proptest! {
        #[test]
        fn a_line_stays_one_line(line in any::<String>()) {
            let shown = shown(&line);
            prop_assert_eq!(shown.lines().count(), 1);
            prop_assert!(shown.strip_suffix('\n').unwrap().chars().all(|it| !it.is_control() || it == '\t'));
        }
    }
}
