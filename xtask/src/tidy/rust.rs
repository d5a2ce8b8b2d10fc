//! As much of Rust's grammar as the laws need: tokens without comments and literals, code apart from tests, and the paths
//! into the standard library.

/// An identifier, a number, `::` or one other character.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub text: &'a str,
    /// From 1.
    pub line: usize,
}

/// The tokens of a source file. Comments, strings, characters, lifetimes and white space are left out.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while !rest.is_empty() {
        let length = ignored(rest).unwrap_or_else(|| {
            let raw = if rest.starts_with("r#") { 2 } else { 0 };
            let length = match word(&rest[raw..]) {
                0 if rest.starts_with("::") => 2,
                0 => rest.chars().next().map_or(1, char::len_utf8),
                word => raw + word,
            };
            tokens.push(Token { text: &rest[raw.min(length)..length], line });
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of the word at the start of `text`; 0 when there is none.
fn word(text: &str) -> usize {
    text.find(|it: char| it != '_' && !it.is_alphanumeric()).unwrap_or(text.len())
}

/// The length of what is no token at the start of `rest`, if that is what is there.
fn ignored(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = prefix + 1 + hashes + 1;
            return Some(rest[inside..].find(&end).map_or(rest.len(), |at| inside + at + end.len()));
        }
    }
    match unprefixed.chars().next()? {
        '"' => Some(prefix + quoted(unprefixed)),
        '\'' => Some(prefix + character_or_lifetime(unprefixed)),
        _ => None,
    }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let step = match &rest[at..] {
            it if it.starts_with("/*") => {
                depth += 1;
                2
            }
            it if it.starts_with("*/") => {
                depth -= 1;
                2
            }
            it => it.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string that starts with its quote.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, it) in rest.char_indices().skip(1) {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'`, `'\n'` or `'static`.
fn character_or_lifetime(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    let first = inside.next().map_or(0, char::len_utf8);
    if rest[1..].starts_with('\\') {
        let escaped = 2 + inside.next().map_or(0, char::len_utf8);
        return rest[escaped..].find('\'').map_or(rest.len(), |at| escaped + at + 1);
    }
    if inside.next() == Some('\'') {
        return 1 + first + 1;
    }
    1 + word(&rest[1..])
}

/// Splits a file into what is compiled for users and the items under `#[cfg(test)]`.
pub(super) fn split_tests<'a>(all: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<Token<'a>>) {
    let (mut code, mut tests, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        let start = at;
        if is(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = item_end(all, at);
            tests.extend_from_slice(&all[start..at]);
        } else {
            code.push(all[at]);
            at += 1;
        }
    }
    (code, tests)
}

/// Whether `tokens` begin with `texts`.
pub(super) fn is(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// Where the item ends whose attributes start at `at`: after its `;` or its closing `}`.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    let (mut depth, mut in_attribute) = (0_usize, false);
    while let Some(token) = tokens.get(at) {
        match token.text {
            "#" if depth == 0 => in_attribute = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        match token.text {
            "]" if depth == 0 && in_attribute => in_attribute = false,
            ";" | "}" if depth == 0 => break,
            _ => {}
        }
    }
    at
}

/// Every path into the standard library that the tokens spell, groups unfolded: `use std::{fs, io::Read}` is `std::fs` and
/// `std::io::Read`. A renamed root (`use std as s`) is the path `std`, since it opens all of it.
pub(super) fn std_paths(tokens: &[Token<'_>]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let relative = at >= 2 && tokens[at - 1].text == "::" && word(tokens[at - 2].text) > 0;
        if token.text == "std" && !relative {
            unfold(tokens, at, "", &mut found);
        }
    }
    found.retain(|(path, line)| path != "std" || renames_root(tokens, *line));
    found
}

fn renames_root(tokens: &[Token<'_>], line: usize) -> bool {
    let here: Vec<_> = tokens.iter().filter(|it| it.line == line).copied().collect();
    here.windows(2).any(|pair| is(pair, &["std", "as"]) || is(pair, &["self", "as"]))
}

/// Reads one branch of a use tree (or a plain path) from `at`; returns where it ends.
fn unfold(tokens: &[Token<'_>], mut at: usize, prefix: &str, found: &mut Vec<(String, usize)>) -> usize {
    let Some(first) = tokens.get(at) else { return at };
    let mut path = match (prefix, first.text) {
        (_, "self") => prefix.to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    at += 1;
    while is(&tokens[at.min(tokens.len())..], &["::"]) {
        match tokens.get(at + 1) {
            Some(group) if group.text == "{" => {
                at += 2;
                while tokens.get(at).is_some_and(|it| it.text != "}") {
                    at = unfold(tokens, at, &path, found);
                    while tokens.get(at).is_some_and(|it| it.text != "," && it.text != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|it| it.text == ","));
                }
                return at + 1;
            }
            Some(next) if next.text == "*" || word(next.text) > 0 => {
                path = format!("{path}::{}", next.text);
                at += 2;
            }
            _ => break,
        }
    }
    found.push((path, first.line));
    at
}

#[cfg(test)]
mod tests {
    use super::{split_tests, std_paths, tokens};

    fn texts(source: &str) -> String {
        tokens(source).iter().map(|it| it.text).collect::<Vec<_>>().join(" ")
    }

    fn paths(source: &str) -> Vec<String> {
        std_paths(&tokens(source)).into_iter().map(|(path, line)| format!("{line} {path}")).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = r##"a /* x /* y */ z */ b // c
            "d \" e" 'f' '\'' '\u{61}' b'g' r#"h " i"# br"j" c"k" 'life l::r#m é"##;
        assert_eq!(texts(source), "a b l :: m é");
    }

    #[test]
    fn lines_are_counted_through_literals() {
        assert_eq!(tokens("\"\n\n\" /*\n*/ a").last().map(|it| it.line), Some(4));
    }

    #[test]
    fn test_items_are_told_from_code() {
        let source = "#[cfg(test)] #[path = \"x\"] mod tests; fn a(b: [u8; 3]) {} \
            #[cfg(test)] mod c { fn d() { e; } } #[cfg(test)] use f::{g}; struct H;";
        let all = tokens(source);
        let (code, _) = split_tests(&all);
        let code = code.iter().map(|it| it.text).collect::<Vec<_>>().join(" ");
        assert_eq!(code, "fn a ( b : [ u8 ; 3 ] ) { } ; struct H ;");
    }

    #[test]
    fn use_trees_are_unfolded() {
        let source = "use std::{\n  fs,\n  io::{self, Read as R},\n  time::*,\n};\nlet x = ::std::env::var();\nmine::std::net::x();";
        assert_eq!(
            paths(source),
            ["2 std::fs", "3 std::io", "3 std::io::Read", "4 std::time::*", "6 std::env::var"]
        );
        assert_eq!(paths("use std::{self as s};\nuse std as t;\nlet std = 1;"), ["1 std", "2 std"]);
        assert_eq!(
            paths("std::mem::take::<T>(x); a::<std::process::Command>()"),
            ["1 std::mem::take", "1 std::process::Command"]
        );
    }
}
