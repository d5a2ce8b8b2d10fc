//! Cuts a condition into tokens.

use super::ConditionFault;
use crate::notes::Located;
use crate::source::{Place, Span};

/// A token of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// `components.redis`, `includes`, `true`: whatever is made of letters, digits, `_`, `-` and `.`.
    Word(&'a str),
    /// What stands between two quotes.
    Text(&'a str),
    /// `==` or `===`.
    Is,
    /// `!=` or `!==`.
    IsNot,
    And,
    Or,
    Not,
    Open,
    Close,
}

/// Longer signs stand before those that begin them.
const SIGNS: [(&str, Token<'static>); 9] = [
    ("===", Token::Is),
    ("==", Token::Is),
    ("!==", Token::IsNot),
    ("!=", Token::IsNot),
    ("!", Token::Not),
    ("&&", Token::And),
    ("||", Token::Or),
    ("(", Token::Open),
    (")", Token::Close),
];

/// The tokens of `place`'s text with their spans in it. Faults are told, and skipped.
pub(super) fn tokens<'a>(
    place: &'a Place,
    faults: &mut Vec<Located<ConditionFault>>,
) -> Vec<(Span, Token<'a>)> {
    let text = place.text();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let (start, rest) = (at, &text[at..]);
        let (length, token) = if next.is_ascii_whitespace() {
            (1, None)
        } else if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            (sign.len(), Some(*token))
        } else if next == '\'' || next == '"' {
            if let Some(length) = rest[1..].find(next) {
                (length + 2, Some(Token::Text(&rest[1..=length])))
            } else {
                faults.push(Located::at(place.inner(start..text.len()), ConditionFault::OpenString));
                // Read as a text nevertheless, so that one slip is one fault.
                (rest.len(), Some(Token::Text("x")))
            }
        } else if is_word(next) {
            let length = rest.find(|it| !is_word(it)).unwrap_or(rest.len());
            (length, Some(Token::Word(&rest[..length])))
        } else {
            let (meant, token) = match next {
                '=' => (Some("=="), Some(Token::Is)),
                '&' => (Some("&&"), Some(Token::And)),
                '|' => (Some("||"), Some(Token::Or)),
                _ => (None, None),
            };
            let found = place.source.quote(&rest[..next.len_utf8()]);
            let fault = ConditionFault::Stray { found, meant };
            faults.push(Located::at(place.inner(start..start + next.len_utf8()), fault));
            (next.len_utf8(), token)
        };
        at += length;
        tokens.extend(token.map(|it| (start..at, it)));
    }
    tokens
}

fn is_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.')
}
