//! What is said nowhere.

use std::sync::{Arc, PoisonError, RwLock};

use planner::Redactor;

/// Knows the secrets of a machine, and from each reload on those that came with it. Those from before stay: they are in
/// logs, and with processes that go on.
#[derive(Clone, Default)]
pub(crate) struct Guard(Arc<RwLock<Redactor>>);

impl Guard {
    /// Has from now on what `newer` knows too.
    pub(crate) fn learn(&self, newer: Redactor) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).merge(newer);
    }

    /// The text without any secret.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).text(text)
    }

    /// What it knows now.
    pub(crate) fn redactor(&self) -> Redactor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Redactor> for Guard {
    fn from(redactor: Redactor) -> Self {
        Self(Arc::new(RwLock::new(redactor)))
    }
}
