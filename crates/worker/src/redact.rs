//! The last gate before anything leaves: a service may repeat a key in its error message.

use spec::env::Secret;

/// Shorter values are not searched for: they would redact common words, and they guard nothing.
const SHORTEST: usize = 6;

/// Knows the secret values of one worker.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    values: Vec<Secret<String>>,
}

impl Redactor {
    /// Knows these values.
    pub fn new(values: impl IntoIterator<Item = Secret<String>>) -> Self {
        let mut values: Vec<_> = values.into_iter().filter(|it| it.expose().len() >= SHORTEST).collect();
        // The longest first, so that a value within another leaves no rest of it.
        values.sort_by_key(|it| std::cmp::Reverse(it.expose().len()));
        Self { values }
    }

    /// The text without any of them.
    pub fn text(&self, text: String) -> String {
        self.values.iter().fold(text, |text, value| {
            if text.contains(value.expose()) { text.replace(value.expose(), "[redacted]") } else { text }
        })
    }
}
