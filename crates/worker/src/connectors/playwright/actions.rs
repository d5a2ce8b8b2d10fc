//! The actions that a job may list, done one after the other on one page.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::page::Page;
use crate::connector::Task;
use crate::failure::Failure;

/// One action, as in `{"open": {"url": "https://example.com"}}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Open {
        url: String,
    },
    Click {
        selector: String,
    },
    Fill {
        selector: String,
        text: String,
    },
    Wait(Wait),
    Screenshot {
        name: String,
        #[serde(default)]
        full_page: bool,
    },
    Pdf {
        name: String,
    },
    Extract {
        selector: String,
        attribute: Option<String>,
        #[serde(default)]
        all: bool,
    },
}

/// What is waited for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wait {
    /// Something that matches is visible.
    Selector(String),
    /// Time, in milliseconds.
    Ms(u64),
    /// Everything of the page is there.
    #[expect(dead_code, reason = "it can only be `true`")]
    Load(bool),
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Click { .. } => "click",
            Self::Fill { .. } => "fill",
            Self::Wait(_) => "wait",
            Self::Screenshot { .. } => "screenshot",
            Self::Pdf { .. } => "pdf",
            Self::Extract { .. } => "extract",
        }
    }

    /// The name of the file that it makes, if it makes one.
    pub(super) fn output(&self) -> Option<&str> {
        match self {
            Self::Screenshot { name, .. } | Self::Pdf { name } => Some(name),
            _ => None,
        }
    }

    async fn perform(&self, page: &mut Page<'_>, until: Instant) -> Result<Value, Failure> {
        let nothing = |()| Value::Null;
        match self {
            Self::Open { url } => page.open(url, until).await,
            Self::Click { selector } => page.click(selector, until).await.map(nothing),
            Self::Fill { selector, text } => page.fill(selector, text, until).await.map(nothing),
            Self::Wait(Wait::Selector(selector)) => page.done("wait", selector, &Value::Null, until).await,
            Self::Wait(Wait::Ms(ms)) => {
                page.pass(Instant::now() + Duration::from_millis(*ms)).await.map(nothing)
            }
            Self::Wait(Wait::Load(_)) => page.loaded(until).await.map(nothing),
            Self::Screenshot { name, full_page } => {
                page.screenshot(name, *full_page, until).await.map(|it| json!(it))
            }
            Self::Pdf { name } => page.pdf(name, until).await.map(|it| json!(it)),
            Self::Extract { selector, attribute, all } => {
                let wish = json!({ "attribute": attribute, "all": all });
                page.done("extract", selector, &wish, until).await
            }
        }
    }
}

/// Performs them, each within `time`, and returns what each gave, in their order.
pub(super) async fn perform(
    task: &Task,
    page: &mut Page<'_>,
    actions: &[Action],
    time: Duration,
) -> Result<Value, Failure> {
    let mut results = Vec::new();
    for (at, action) in actions.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a list has few actions")]
        task.progress(100.0 * at as f64 / actions.len() as f64, action.name());
        let done = action.perform(page, Instant::now() + time).await.map_err(|it| Failure {
            // Neither a selector nor an address is told: either may hold a secret.
            message: format!("action {} of {}, `{}`: {}", at + 1, actions.len(), action.name(), it.message),
            ..it
        });
        results.push(done?);
    }
    Ok(json!({ "results": results }))
}
