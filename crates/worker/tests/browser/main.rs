//! A real Chromium does jobs on a site of the test; nothing of them is left in it.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod actions;
mod chromium;
mod ending;
mod scripts;
mod site;

use std::net::Ipv4Addr;
use std::sync::Arc;

use chromium::{Chromium, LONG};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use serde_json::Value;
use site::Site;
use worker::connectors::playwright::{Playwright, Runtime};
use worker::{Connector as _, Egress, Failure, Hands, Inside, Rules, Store, Task};

/// A browser, a site that the worker may reach, and one that it may not.
struct Place {
    chromium: Chromium,
    site: Site,
    inner: Site,
    connector: Arc<Playwright>,
    outputs: Arc<InMemory>,
}

impl Place {
    /// Without scripts; `None` where there is no browser.
    async fn new() -> Option<Self> {
        Self::with(None).await
    }

    /// With scripts; `None` where there is no Playwright.
    async fn for_scripts() -> Option<Self> {
        let modules = chromium::modules()?;
        let path = std::env::var("PATH").unwrap();
        Self::with(Some(Runtime { node: "node".into(), modules, path })).await
    }

    async fn with(scripts: Option<Runtime>) -> Option<Self> {
        let inner = Site::start(Ipv4Addr::new(127, 0, 0, 2).into(), "").await;
        let site = Site::start(Ipv4Addr::LOCALHOST.into(), &inner.at).await;
        let inside = vec![Inside::Net("127.0.0.1/32".parse().unwrap())];
        let egress = Egress::new(Rules { http: true, inside, ..Rules::default() });
        let chromium = Chromium::start().await?;
        let connector = Arc::new(Playwright::new(chromium.url(), egress, scripts));
        Some(Self { chromium, site, inner, connector, outputs: Arc::default() })
    }

    fn task(&self, payload: Value) -> (Task, Hands) {
        self.connector.payload("playwright").unwrap().check(&payload).unwrap();
        let job = broker::Job::new("playwright".parse().unwrap()).payload(payload);
        let store = Store::new(self.outputs.clone(), "memory:///{path}", 64 << 20);
        let attempt = format!("{:016x}", fastrand::u64(..));
        let outputs = store.of(&job.id, &attempt);
        Task::new(job, 0, attempt, LONG, outputs)
    }

    /// Does a job, of which nothing is left then.
    async fn run(&self, payload: Value) -> Result<Value, Failure> {
        let (task, _hands) = self.task(payload);
        let result = self.connector.run(&task).await;
        assert_eq!(self.chromium.contexts().await, 0);
        result
    }

    /// The bytes of a stored output.
    async fn bytes(&self, stored: &Value) -> Vec<u8> {
        let path = stored["url"].as_str().unwrap().strip_prefix("memory:///").unwrap();
        let found = self.outputs.get(&path.into()).await.unwrap();
        found.bytes().await.unwrap().to_vec()
    }
}
