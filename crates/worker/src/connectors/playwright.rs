//! Browsers: actions on a page, or a script of Playwright, in a context of its own of a Chromium on this machine.
//!
//! A context ends with the connection that made it, so that nothing of a job stays whatever becomes of the worker; where
//! the worker lives on it is disposed of and looked for. Pages reach the network through a guard with the worker's rules.
//! A script is a program: it can do whatever the worker may, so scripts have to be enabled.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Host;

use crate::connector::{Connector, Task};
use crate::egress::Egress;
use crate::failure::{Failure, Kind, Symptom};
use crate::http;
use crate::payload::Payload;
use crate::vars::Vars;

mod actions;
mod cdp;
mod folder;
mod group;
mod guard;
mod page;
mod script;

use actions::Action;
use cdp::Cdp;
use guard::Guard;
use page::Page;
pub use script::Runtime;
use script::Script;

/// The longest silence of the browser's HTTP side.
const IDLE: Duration = Duration::from_secs(5);
/// What one action may take, unless the job says otherwise.
const TIMEOUT_MS: u64 = 30_000;

/// The connector.
#[derive(Debug)]
pub struct Playwright {
    client: Client,
    base: Url,
    egress: Egress,
    scripts: Option<Runtime>,
    payload: Payload,
}

/// What a payload asks for.
#[derive(Debug, Deserialize)]
struct Wish {
    #[serde(flatten)]
    what: What,
    #[serde(default)]
    input: Value,
    #[serde(default = "timeout_ms")]
    timeout_ms: u64,
    #[serde(default)]
    viewport: Viewport,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Actions(Vec<Action>),
    Script(String),
}

/// The size of a page, in CSS pixels.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize)]
struct Viewport {
    width: u32,
    height: u32,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { width: 1280, height: 720 }
    }
}

fn timeout_ms() -> u64 {
    TIMEOUT_MS
}

impl Playwright {
    /// The Chromium whose remote debugging is at `base`, on this machine. Scripts are run only if they have a runtime.
    pub fn new(base: Url, egress: Egress, scripts: Option<Runtime>) -> Self {
        Self { client: http::client(IDLE), base: http::folder(base), egress, scripts, payload: payload() }
    }

    pub(crate) fn build(url: Option<Url>, vars: &mut Vars<'_>, egress: Egress) -> Option<Self> {
        let mut scripts = None;
        if vars.parsed("PLAYWRIGHT_SCRIPTS", "`true` or `false`").unwrap_or(false) {
            let node = vars.text("PLAYWRIGHT_NODE").unwrap_or_else(|| "node".into());
            let modules =
                vars.required("PLAYWRIGHT_MODULES", "a folder `node_modules` with `playwright-core`");
            let core = std::path::Path::new(&modules).join("playwright-core/package.json");
            if !modules.is_empty() && !core.is_file() {
                let why = "there is no `playwright-core` in it".into();
                vars.wrong("PLAYWRIGHT_MODULES", "the path of a folder `node_modules`", why);
            }
            let path = vars.text("PATH").unwrap_or_default();
            scripts = Some(Runtime { node, modules: modules.into(), path });
        }
        let Some(url) = url else {
            vars.required("SERVICE_URL", "the address of its Chromium's remote debugging");
            return None;
        };
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(it)) => it.is_loopback(),
            Some(Host::Ipv6(it)) => it.is_loopback(),
            None => false,
        };
        if url.scheme() != "http" || !here {
            // Chromium listens nowhere else, and the guard of its pages is reached only from this machine.
            let why = "it is not `http` on this machine".into();
            vars.wrong("SERVICE_URL", "an address as in `http://127.0.0.1:9190`", why);
        }
        Some(Self::new(url, egress, scripts))
    }

    async fn work(&self, task: &Task) -> Result<Value, Failure> {
        let wish = Wish::deserialize(&task.job.payload)
            .map_err(|_| Failure::permanent("the payload is not of the form that the connector takes"))?;
        let guard = Guard::new(&self.egress).await?;
        let result = match &wish.what {
            What::Actions(list) => self.actions(task, &wish, list, &guard).await?,
            What::Script(text) => self.script(task, &wish, text, &guard).await?,
        };
        task.outputs.fit(result, "result.json").await
    }

    async fn actions(
        &self,
        task: &Task,
        wish: &Wish,
        list: &[Action],
        guard: &Guard<'_>,
    ) -> Result<Value, Failure> {
        let mut names = HashSet::new();
        if let Some(twice) = list.iter().filter_map(Action::output).find(|it| !names.insert(*it)) {
            return Err(Failure::of(Symptom::Invalid, format!("two actions make a file `{twice}`")));
        }
        let mut browser = task.unless_stopped(self.connect()).await??;
        let context = browser.context(&guard.address()).await?;
        let work = async {
            let mut page = Page::new(&mut browser, &context, wish.viewport, guard, &task.outputs).await?;
            actions::perform(task, &mut page, list, Duration::from_millis(wish.timeout_ms)).await
        };
        let result = tokio::select! {
            why = task.stopped() => Err(why.into()),
            result = work => result,
            never = guard.serve() => match never {},
        };
        ended(result, browser.dispose(&context).await)
    }

    async fn script(
        &self,
        task: &Task,
        wish: &Wish,
        text: &str,
        guard: &Guard<'_>,
    ) -> Result<Value, Failure> {
        let Some(runtime) = &self.scripts else {
            return Err(Failure::permanent(
                "the job has a script, and scripts are not enabled here: its operator has to set `PLAYWRIGHT_SCRIPTS` to `true`",
            ));
        };
        let browser = task.unless_stopped(self.endpoint()).await??;
        let wish = json!({
            "browser": browser.as_str(),
            "proxy": guard.address(),
            "input": wish.input,
            "timeout_ms": wish.timeout_ms,
            "viewport": wish.viewport,
        });
        let mut script = Script::start(runtime, task, text, &wish).await?;
        let mut result = tokio::select! {
            why = task.stopped() => Err(why.into()),
            result = script.result() => result,
            never = guard.serve() => match never {},
        };
        let mut done = Ok(());
        if !script.end().await {
            done = Err(Failure::retryable("processes of the script do not end"));
        }
        if let Some(context) = &script.context {
            let gone = async { Cdp::connect(&browser).await?.dispose(context).await };
            done = done.and(gone.await);
        }
        if let Err(failure) = &mut result
            && failure.kind != Kind::Stopped
        {
            if let Some(why) = guard.refused().filter(|_| failure.message.contains("net::ERR_SOCKS")) {
                failure.kind = why.kind;
                failure.message = format!("{}: {}", why.message, failure.message);
            }
            let said = script.said().await;
            if !said.is_empty() {
                failure.message = format!("{}\nit wrote: {said}", failure.message);
            }
        }
        ended(result, done)
    }

    async fn connect(&self) -> Result<Cdp, Failure> {
        Cdp::connect(&self.endpoint().await?).await
    }

    /// Where the browser speaks, which has a part that changes with each start of it.
    async fn endpoint(&self) -> Result<Url, Failure> {
        let doing = "asking Chromium for its version";
        let url = self.base.join("json/version").map_err(|it| Failure::permanent(it.to_string()))?;
        let answer = self.client.get(url).send().await.map_err(|it| http::failed(it, doing))?;
        let found: Value = http::json(http::accepted(answer, doing).await?, doing).await?;
        let malformed = || Failure::of(Symptom::Malformed, format!("{doing}: it names no address"));
        let mut url: Url =
            found["webSocketDebuggerUrl"].as_str().and_then(|it| it.parse().ok()).ok_or_else(malformed)?;
        // It names itself as it was called; where it is, we know.
        url.set_host(self.base.host_str()).map_err(|_| malformed())?;
        url.set_port(self.base.port_or_known_default()).map_err(|()| malformed())?;
        Ok(url)
    }
}

/// How a job ended of which nothing should be left.
fn ended(result: Result<Value, Failure>, gone: Result<(), Failure>) -> Result<Value, Failure> {
    match (result, gone) {
        (Err(failure), Err(_)) => Err(failure.suspect()),
        (Ok(done), Err(left)) => {
            tracing::warn!(%left, "a job is done, and something of it may be left");
            Ok(done)
        }
        (result, Ok(())) => result,
    }
}

fn payload() -> Payload {
    let selector =
        json!({ "type": "string", "minLength": 1, "description": "of CSS; the first that matches" });
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$" });
    let truth = json!({ "type": "boolean" });
    let time = json!({ "type": "integer", "minimum": 1, "maximum": 600_000 });
    let side = json!({ "type": "integer", "minimum": 1, "maximum": 8192 });
    let one = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false });
    let action = json!({
        "open": one(&["url"], json!({ "url": { "type": "string" } })),
        "click": one(&["selector"], json!({ "selector": selector })),
        "fill": one(&["selector", "text"], json!({ "selector": selector, "text": { "type": "string" } })),
        "wait": {
            "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
            "properties": { "selector": selector, "ms": time, "load": { "const": true } }
        },
        "screenshot": one(&["name"], json!({ "name": name, "full_page": truth })),
        "pdf": one(&["name"], json!({ "name": name })),
        "extract": one(
            &["selector"],
            json!({ "selector": selector, "attribute": { "type": "string", "minLength": 1 }, "all": truth }),
        ),
    });
    Payload::new(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Work for a browser: a list of actions on one page, or a script of Playwright",
        "type": "object",
        // One or the other; said like this, its faults can be understood.
        "if": { "required": ["script"] },
        "then": { "properties": { "actions": false } },
        "else": { "required": ["actions"], "properties": { "input": false } },
        "properties": {
            "actions": {
                "type": "array", "minItems": 1, "maxItems": 1000,
                "items": {
                    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
                    "properties": action
                }
            },
            "script": {
                "type": "string", "minLength": 1, "maxLength": 1 << 20,
                "description": "a module: export default async ({ page, context, browser, input, progress, output }) => result"
            },
            "input": { "description": "what the script is given" },
            "timeout_ms": time,
            "viewport": one(&["width", "height"], json!({ "width": side, "height": side }))
        },
        "additionalProperties": false
    }))
}

impl Connector for Playwright {
    fn payload(&self, service_required: &str) -> Option<&Payload> {
        (service_required == "playwright").then_some(&self.payload)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        async { self.endpoint().await.map(drop) }.boxed()
    }

    fn run<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Value, Failure>> {
        self.work(task).boxed()
    }
}
