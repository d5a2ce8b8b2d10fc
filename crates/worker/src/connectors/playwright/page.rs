//! One page of a job's context, and what can be asked of it before a deadline.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Viewport;
use super::cdp::{Cdp, PROMPT};
use super::guard::Guard;
use crate::failure::{Failure, Symptom};
use crate::outputs::{Outputs, Stored};

/// Between two tries of what cannot be done yet.
const TRY: Duration = Duration::from_millis(50);
/// Of a PDF, read at once.
const PART: u64 = 1 << 20;
/// The longest side of a screenshot, in pixels: beyond it, Chromium repeats what it has drawn already.
const SIDE: f64 = 16_384.0;
/// What is done within pages.
const WITHIN: &str = include_str!("page.js");

/// A page.
pub(super) struct Page<'a> {
    browser: &'a mut Cdp,
    session: String,
    guard: &'a Guard<'a>,
    outputs: &'a Outputs,
}

impl<'a> Page<'a> {
    /// A new page of a context.
    pub(super) async fn new(
        browser: &'a mut Cdp,
        context: &str,
        viewport: Viewport,
        guard: &'a Guard<'a>,
        outputs: &'a Outputs,
    ) -> Result<Self, Failure> {
        let until = Instant::now() + PROMPT;
        let wish = json!({ "url": "about:blank", "browserContextId": context });
        let target = browser.call(None, "Target.createTarget", wish, until).await?["targetId"].take();
        let wish = json!({ "targetId": target, "flatten": true });
        let session = browser.call(None, "Target.attachToTarget", wish, until).await?["sessionId"].take();
        // The main frame of a page has the id of the page.
        target.as_str().unwrap_or_default().clone_into(&mut browser.heard.frame);
        let session = session.as_str().unwrap_or_default().to_owned();
        let mut page = Self { browser, session, guard, outputs };
        page.call("Inspector.enable", json!({}), until).await?;
        page.call("Page.enable", json!({}), until).await?;
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }), until).await?;
        let Viewport { width, height } = viewport;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        page.call("Emulation.setDeviceMetricsOverride", size, until).await?;
        page.call("Emulation.setScrollbarsHidden", json!({ "hidden": true }), until).await?;
        page.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }), until).await?;
        Ok(page)
    }

    async fn call(&mut self, method: &str, parameters: Value, until: Instant) -> Result<Value, Failure> {
        self.browser.call(Some(&self.session), method, parameters, until).await
    }

    /// Goes to an address and waits until everything there is loaded: where it is, what it is called, and the HTTP status.
    pub(super) async fn open(&mut self, url: &str, until: Instant) -> Result<Value, Failure> {
        self.guard.judge(url)?;
        self.guard.refused();
        let (before, wish) = (self.browser.heard.shown.clone(), json!({ "url": url }));
        let gone = self.call("Page.navigate", wish, until).await;
        let gone = gone.map_err(|failure| self.guard.refused().unwrap_or(failure))?;
        if let Some(error) = gone["errorText"].as_str().filter(|it| !it.is_empty()) {
            let failure = || Failure::of(Symptom::Failed, format!("the page was not opened: {error}"));
            return Err(self.guard.refused().unwrap_or_else(failure));
        }
        // The answer may come before the word that the page is shown; by then it may also have led on to another.
        if let Some(loader) = gone["loaderId"].as_str().filter(|_| self.browser.heard.shown == before) {
            loader.clone_into(&mut self.browser.heard.shown);
        }
        self.loaded(until).await?;
        self.done("look", "", &Value::Null, until).await
    }

    /// Waits until everything of the page is loaded.
    pub(super) async fn loaded(&mut self, until: Instant) -> Result<(), Failure> {
        while !self.browser.heard.is_loaded() {
            if !self.browser.listen(until).await? {
                return Err(Failure::of(Symptom::Timeout, "the page is not completely loaded in time"));
            }
        }
        Ok(())
    }

    /// Listens until then.
    pub(super) async fn pass(&mut self, until: Instant) -> Result<(), Failure> {
        while self.browser.listen(until).await? {}
        Ok(())
    }

    /// Does something within the page as soon as it can be done.
    pub(super) async fn done(
        &mut self,
        operation: &str,
        selector: &str,
        wish: &Value,
        until: Instant,
    ) -> Result<Value, Failure> {
        let mut why = "the page is not there yet".to_owned();
        loop {
            // Asked of a page that is about to be another, it fails; the other may do it.
            let (asked, tried) = (self.within(operation, selector, wish, until).await, Instant::now() + TRY);
            match asked {
                Ok(mut found) => {
                    if let Some(words) = found["refused"].as_str() {
                        return Err(Failure::of(Symptom::Invalid, words));
                    }
                    match found["waiting"].as_str() {
                        Some(words) => words.clone_into(&mut why),
                        None => return Ok(found["value"].take()),
                    }
                }
                Err(failure) if failure.suspect => return Err(failure),
                // That time ran out says less than what it ran out for.
                Err(failure) if Instant::now() < until => why = failure.message,
                Err(_) => {}
            }
            self.pass(tried.min(until)).await?;
            if Instant::now() >= until {
                return Err(Failure::of(Symptom::Timeout, format!("not done in time: {why}")));
            }
        }
    }

    async fn within(
        &mut self,
        operation: &str,
        selector: &str,
        wish: &Value,
        until: Instant,
    ) -> Result<Value, Failure> {
        let world = json!({ "frameId": self.browser.heard.frame, "worldName": "roster" });
        let world = self.call("Page.createIsolatedWorld", world, until).await?;
        let wish = json!({
            "functionDeclaration": WITHIN,
            "arguments": [{ "value": operation }, { "value": selector }, { "value": wish }],
            "executionContextId": world["executionContextId"],
            "returnByValue": true,
        });
        let mut found = self.call("Runtime.callFunctionOn", wish, until).await?;
        match found["exceptionDetails"]["exception"]["description"].as_str() {
            Some(words) => Err(Failure::of(Symptom::Failed, format!("the page cannot be asked: {words}"))),
            None => Ok(found["result"]["value"].take()),
        }
    }

    /// Clicks in the middle of what matches, and waits for the page that this leads to, if it does.
    pub(super) async fn click(&mut self, selector: &str, until: Instant) -> Result<(), Failure> {
        let mut at = self.done("click", selector, &Value::Null, until).await?;
        loop {
            self.pass(Instant::now() + TRY).await?;
            let then = self.done("click", selector, &Value::Null, until).await?;
            // What moves would be missed.
            if at == then {
                break;
            }
            at = then;
        }
        for (kind, button, count) in
            [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 1)]
        {
            let event =
                json!({ "type": kind, "x": at["x"], "y": at["y"], "button": button, "clickCount": count });
            self.call("Input.dispatchMouseEvent", event, until).await?;
        }
        // By its answer, what the page was told by the click has been told to us.
        self.call("Page.enable", json!({}), until).await?;
        self.loaded(until).await
    }

    /// Writes a text into a field, in place of what is in it.
    pub(super) async fn fill(&mut self, selector: &str, text: &str, until: Instant) -> Result<(), Failure> {
        let found = self.done("fill", selector, &json!({ "text": text }), until).await?;
        if found == "selected" {
            self.call("Input.insertText", json!({ "text": text }), until).await?;
        }
        Ok(())
    }

    /// A PNG of what is in view, or of the whole page.
    pub(super) async fn screenshot(
        &mut self,
        name: &str,
        full_page: bool,
        until: Instant,
    ) -> Result<Stored, Failure> {
        let mut wish = json!({ "format": "png" });
        if full_page {
            let sizes = self.call("Page.getLayoutMetrics", json!({}), until).await?;
            let side = |name: &str| sizes["cssContentSize"][name].as_f64().unwrap_or_default();
            let (width, height) = (side("width"), side("height"));
            if width > SIDE || height > SIDE {
                let words =
                    format!("the page is {width} by {height} pixels, more than {SIDE}: take a PDF of it");
                return Err(Failure::of(Symptom::Invalid, words));
            }
            wish["captureBeyondViewport"] = true.into();
            wish["clip"] = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        }
        let taken = self.call("Page.captureScreenshot", wish, until).await?;
        self.outputs.put(name, &data(&taken)?).await
    }

    /// The page as a PDF, with its backgrounds, on the paper that its style sheets name.
    pub(super) async fn pdf(&mut self, name: &str, until: Instant) -> Result<Stored, Failure> {
        let wish =
            json!({ "transferMode": "ReturnAsStream", "printBackground": true, "preferCSSPageSize": true });
        let printed = self.call("Page.printToPDF", wish, until).await?;
        let stream = &printed["stream"];
        let mut file = self.outputs.file(name);
        loop {
            let part = self.call("IO.read", json!({ "handle": stream, "size": PART }), until).await?;
            file.write(&data(&part)?).await?;
            if part["eof"] == true {
                break;
            }
        }
        self.call("IO.close", json!({ "handle": stream }), until).await?;
        file.finish().await
    }
}

fn data(answer: &Value) -> Result<Vec<u8>, Failure> {
    let text = answer["data"].as_str();
    // Of a stream, a part may be text as it is.
    if answer["base64Encoded"] == false {
        return Ok(text.unwrap_or_default().into());
    }
    text.and_then(|it| BASE64_STANDARD.decode(it).ok())
        .ok_or_else(|| Failure::of(Symptom::Malformed, "the browser's data are not base64"))
}
