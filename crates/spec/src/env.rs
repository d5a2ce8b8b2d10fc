//! The seam through which environment variables come in, and the wrapper that keeps secrets out of every output.

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::EnvKey;

/// An environment variable whose value is not UTF-8. The value is not kept: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{key}` is not valid UTF-8")]
pub struct NotUnicode {
    /// Its name.
    pub key: EnvKey,
}

/// Where environment variables come from: the process in the binary, a map in a test.
pub trait EnvSource {
    /// The value of `key`; `None` when it is not set. Set to nothing is `Some("")`.
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode>;
}

impl EnvSource for BTreeMap<EnvKey, String> {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        Ok(BTreeMap::get(self, key).cloned())
    }
}

/// A value that prints as `[redacted]`, wherever it is printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call is a place to review: it may go to a secret file or to a process, nowhere else.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_redacted_in_every_form() {
        let secret = Secret::new("canary".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)).matches("canary").count(), 0);
        assert_eq!(secret.expose(), "canary");
    }
}
