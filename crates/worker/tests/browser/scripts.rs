//! Scripts of Playwright.

use insta::assert_snapshot;
use serde_json::json;
use worker::{Connector as _, Kind};

use crate::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_works_on_a_page_and_gives_a_result_and_files() {
    let Some(place) = Place::for_scripts().await else { return };
    let script = "
        import { writeFile } from 'node:fs/promises';
        export default async ({ page, context, browser, input, progress, output }) => {
            await page.goto(input.url);
            await page.fill('input', input.name);
            await progress(50, 'half');
            const shot = output('view.png', await page.screenshot());
            await writeFile('notes.txt', 'noted');
            await output('notes.txt', 'notes.txt');
            await page.click('#send');
            const variables = Object.keys(process.env).sort();
            const pages = context.pages().length;
            return { query: await page.textContent('#query'), variables, pages, sha256: (await shot).sha256 };
        }";
    let payload = json!({
        "script": script,
        "input": { "url": place.site.url("/form"), "name": "Ada" },
        "viewport": { "width": 640, "height": 480 },
    });
    let (task, hands) = place.task(payload);
    let done = place.connector.run(&task).await.unwrap();
    assert_eq!(place.chromium.contexts().await, 0);
    let (result, outputs) = (&done["result"], &done["outputs"]);
    assert_eq!(
        hands.progress.borrow().as_ref().map(|it| (it.percent, it.message.clone())),
        Some((50, "half".into()))
    );
    assert_eq!(result["query"], "/done?name=Ada&text=&day=&size=s");
    // Nothing of the worker's own environment but where programs are.
    assert_eq!(result["variables"], json!(["HOME", "LANG", "PATH", "ROSTER_ATTEMPT", "TMPDIR"]));
    assert_eq!((&result["pages"], &result["sha256"]), (&json!(1), &outputs[0]["sha256"]));
    assert_eq!((&outputs[0]["name"], &outputs[0]["content_type"]), (&json!("view.png"), &json!("image/png")));
    assert_eq!(place.bytes(&outputs[1]).await, b"noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_tells_why() {
    let Some(place) = Place::for_scripts().await else { return };
    let mut told = Vec::new();
    for (script, kind) in [
        ("export default async () => { console.log('before'); throw new Error('broken') }", Kind::Retryable),
        (
            "export default () => { throw Object.assign(new Error('never'), { permanent: true }) }",
            Kind::Permanent,
        ),
        ("export default 1", Kind::Permanent),
        ("export default (", Kind::Permanent),
        ("import 'no-such-module'; export default () => {}", Kind::Permanent),
        (
            "export default async () => { await new Promise((written) => process.stderr.write('x'.repeat(1e6) + '\\nlast', written)); process.exit(3) }",
            Kind::Retryable,
        ),
        ("export default ({ output }) => output('a', '/etc/passwd')", Kind::Permanent),
        (
            "export default async ({ output }) => { await output('a', Buffer.from('1')); await output('a', Buffer.from('2')) }",
            Kind::Permanent,
        ),
        ("export default () => 'x'.repeat(17 << 20)", Kind::Permanent),
        ("export default ({ page, input }) => page.goto(input)", Kind::Permanent),
        ("export default ({ page }) => page.waitForSelector('#never', { timeout: 100 })", Kind::Retryable),
    ] {
        let payload = json!({ "script": script, "input": place.site.url("/away") });
        let failure = place.run(payload).await.unwrap_err();
        assert_eq!((failure.kind, failure.suspect), (kind, false), "{failure}");
        let message = failure.message.replace(&place.site.at, "SITE");
        // Not where in which version of what.
        let message = message.replace("xx", "");
        let lines = message.lines().map(|it| it.split(" imported from").next().unwrap());
        let told_of = lines.filter(|it| !it.trim_start().starts_with("at "));
        told.push(told_of.collect::<Vec<_>>().join(" | ").trim_end_matches([' ', '|']).to_owned());
    }
    assert!(place.inner.asked.lock().unwrap().is_empty());
    assert_snapshot!(told.join("\n"), @r#"
    the script failed: Error: broken | it wrote: before
    the script failed: Error: never
    the script failed: TypeError: the script has no default export that is a function
    the script failed: SyntaxError: Unexpected end of input
    the script failed: Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'no-such-module'
    the script ended without a result (exit status: 3) | it wrote: x | last
    the script's output `a` is not in the folder that it runs in
    the script has two outputs `a`
    the script's result is longer than 16777216 bytes: make it an output
    an address of the job is not opened: its host is at 127.0.0.2, which is not a public address: the script failed: page.goto: net::ERR_SOCKS_CONNECTION_FAILED at http://SITE/away | Call log: |   - navigating to "http://SITE/away", waiting until "load"
    the script failed: page.waitForSelector: Timeout 100ms exceeded. | Call log: |   - waiting for locator('#never') to be visible
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_share_a_browser_and_nothing_in_it() {
    let Some(place) = Place::for_scripts().await else { return };
    let script = "export default async ({ page, input }) => {
        await page.goto(input);
        await page.reload();
        return page.textContent('p');
    }";
    let url = place.site.url("/cookie");
    let open = json!({ "open": { "url": url } });
    let jobs = (0..6).map(|at| {
        let payload = if at % 2 == 0 {
            json!({ "script": script, "input": url })
        } else {
            json!({ "actions": [open, open, { "extract": { "selector": "p" } }] })
        };
        let (task, hands) = place.task(payload);
        let connector = place.connector.clone();
        tokio::spawn(async move {
            let done = connector.run(&task).await;
            drop(hands);
            done
        })
    });
    for job in jobs.collect::<Vec<_>>() {
        let done = job.await.unwrap().unwrap();
        assert!(done["result"] == "job=1" || done["results"][2] == "job=1", "{done}");
    }
    assert_eq!(place.chromium.contexts().await, 0);
}
