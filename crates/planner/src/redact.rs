//! The last gate before any output: whatever slipped through, a known secret value is replaced.

use spec::notes::Finding;
use spec::source::{Place, SourceText};

/// Shorter values are not searched for: they would redact common words, and they guard nothing.
const SHORTEST: usize = 6;

/// Knows the secret values of one run.
#[derive(Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
}

impl Redactor {
    /// Whether a value is searched for.
    pub fn guards(value: &str) -> bool {
        value.len() >= SHORTEST
    }

    /// Learns a secret value, and the form in which it stands in JSON.
    pub fn learn(&mut self, value: &str) {
        if !Self::guards(value) {
            return;
        }
        let json = serde_json::Value::from(value).to_string();
        for form in [value, json.trim_matches('"')] {
            if !self.values.iter().any(|it| it == form) {
                self.values.push(form.to_owned());
            }
        }
        // The longest first, so that a value within another leaves no rest of it.
        self.values.sort_by_key(|it| std::cmp::Reverse(it.len()));
    }

    /// Learns what another one knows.
    pub fn merge(&mut self, other: Self) {
        for value in other.values {
            if !self.values.contains(&value) {
                self.values.push(value);
            }
        }
        self.values.sort_by_key(|it| std::cmp::Reverse(it.len()));
    }

    /// The text without any known value.
    pub fn text(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| {
            if text.contains(value.as_str()) { text.replace(value.as_str(), "[redacted]") } else { text }
        })
    }

    /// The finding without any known value.
    pub fn finding(&self, finding: &Finding) -> Finding {
        let mut finding = finding.clone();
        finding.message = self.text(&finding.message);
        finding.label = self.text(&finding.label);
        finding.fix = self.text(&finding.fix);
        finding.place = finding.place.map(|place| self.place(place));
        finding
    }

    /// A source that holds a known value is no longer quoted.
    fn place(&self, place: Place) -> Place {
        let text = place.source.text();
        if !self.values.iter().any(|it| text.contains(it.as_str())) {
            return place;
        }
        SourceText::guarded(place.source.name(), text).at(place.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_raw_and_in_its_json_form() {
        let mut redactor = Redactor::default();
        redactor.learn("can\"ary-1");
        redactor.learn("can\"ary-1-longer");
        assert_eq!(redactor.text("x can\"ary-1 y"), "x [redacted] y");
        assert_eq!(redactor.text(r#"{"a": "can\"ary-1-longer"}"#), r#"{"a": "[redacted]"}"#);
    }

    #[test]
    fn common_short_values_redact_nothing() {
        let mut redactor = Redactor::default();
        redactor.learn("true");
        assert_eq!(redactor.text("true"), "true");
    }
}
