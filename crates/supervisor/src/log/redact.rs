//! Secrets taken out of a stream, also where a read ends in the middle of one.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

/// Shorter values are too common to be told from other text.
const SHORTEST: usize = 7;

/// What stands where a secret was: as [`Secret`](spec::env::Secret) prints itself.
const REDACTED: &[u8] = b"[redacted]";

/// The values that may appear in no file.
#[derive(Default)]
pub(super) struct Redactor {
    secrets: BTreeSet<Vec<u8>>,
    automaton: Option<AhoCorasick>,
    longest: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// One that knows these secrets as well; `None` if there is nothing new among them.
    pub(super) fn with<'a>(&self, more: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Option<Self>> {
        let mut secrets = self.secrets.clone();
        secrets.extend(more.into_iter().filter(|it| it.len() >= SHORTEST).map(<[u8]>::to_vec));
        if secrets.len() == self.secrets.len() {
            return Ok(None);
        }
        // This kind is small even for keys of several kilobytes; the search for the first bytes is what has to be fast.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::LeftmostLongest)
            .build(&secrets)
            .map_err(io::Error::other)?;
        let longest = secrets.iter().map(Vec::len).max().unwrap_or_default();
        Ok(Some(Self { secrets, automaton: Some(automaton), longest }))
    }

    /// The most bytes that it holds back.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Hands on `bytes` without the secrets in them, and returns where the end begins that it holds back: the beginning
    /// of a secret, perhaps. Those bytes have to come again, with what follows them.
    pub(super) fn pass(&self, bytes: &[u8], mut hand_on: impl FnMut(&[u8])) -> usize {
        let Some(automaton) = &self.automaton else {
            hand_on(bytes);
            return bytes.len();
        };
        let mut done = 0;
        loop {
            let open = self.open_end(bytes, done);
            match automaton.find(Input::new(bytes).range(done..)) {
                // It is decided: nothing that begins before or with it can become longer.
                Some(found) if found.start() < open => {
                    hand_on(&bytes[done..found.start()]);
                    hand_on(REDACTED);
                    done = found.end();
                }
                _ => {
                    hand_on(&bytes[done..open]);
                    return open;
                }
            }
        }
    }

    /// Where the first beginning of a secret starts that the end of `bytes` cuts off.
    fn open_end(&self, bytes: &[u8], from: usize) -> usize {
        let first = from.max(bytes.len().saturating_sub(self.longest - 1));
        let is_beginning = |at: &usize| {
            let end = &bytes[*at..];
            let next = self.secrets.range::<[u8], _>((Excluded(end), Unbounded)).next();
            next.is_some_and(|it| it.starts_with(end))
        };
        (first..bytes.len()).find(is_beginning).unwrap_or(bytes.len())
    }
}

/// What takes the place of what was held back when nothing follows it any more.
pub(super) fn settled(held: &[u8]) -> &[u8] {
    // As much of a secret is as good as one.
    if held.len() >= SHORTEST { REDACTED } else { held }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_parts(secrets: &[&[u8]], parts: &[&[u8]]) -> Vec<u8> {
        let redactor = Redactor::default().with(secrets.iter().copied()).unwrap().unwrap_or_default();
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for it in parts {
            held.extend_from_slice(it);
            let open = redactor.pass(&held, |it| out.extend_from_slice(it));
            held.drain(..open);
            assert!(held.len() < redactor.longest().max(1));
        }
        out.extend_from_slice(settled(&held));
        out
    }

    /// At each place the longest secret that begins there goes.
    fn oracle(secrets: &[&[u8]], mut text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(first) = text.first() {
            let found = secrets
                .iter()
                .filter(|it| it.len() >= SHORTEST && text.starts_with(it))
                .map(|it| it.len())
                .max();
            out.extend_from_slice(if found.is_some() { REDACTED } else { std::slice::from_ref(first) });
            text = &text[found.unwrap_or(1)..];
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_does_not_matter_where_the_stream_is_cut(
            secrets in prop::collection::vec(prop::collection::vec(0_u8..2, 5..12), 0..4),
            text in prop::collection::vec(0_u8..2, 0..80),
            cut in 1_usize..20,
        ) {
            let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
            // The mark is the beginning of no secret: nothing is held back at the end.
            let text = [&text[..], b"."].concat();
            let parts: Vec<&[u8]> = text.chunks(cut).collect();
            prop_assert_eq!(in_parts(&secrets, &parts), oracle(&secrets, &text));
        }
    }

    #[test]
    fn what_is_short_stays_and_most_of_a_secret_goes() {
        let secrets: &[&[u8]] = &[b"short!", b"sk-0123456789"];
        let told = |parts: &[&[u8]]| String::from_utf8(in_parts(secrets, parts)).unwrap();
        assert_eq!(told(&[b"short! sk-01", b"23456789\n"]), "short! [redacted]\n");
        assert_eq!(told(&[b"sk-0123", b"4567"]), "[redacted]");
        assert_eq!(told(&[b"sk-01"]), "sk-01");
    }
}
