//! Short names for contents.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The first 16 hexadecimal digits of the SHA-256 of all parts, one after the other.
pub(crate) fn short<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_are_hashed_as_one_text() {
        let whole = super::short([b"ab".as_slice()]);
        assert_eq!(super::short([b"a".as_slice(), b"b"]), whole);
        assert_eq!(whole, "fb8e20fc2e4c3f24");
    }
}
