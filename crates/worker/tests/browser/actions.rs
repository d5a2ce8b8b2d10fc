//! Built-in actions.

use insta::assert_snapshot;
use serde_json::json;
use worker::{Connector as _, Kind};

use crate::Place;

/// Width and height, as the header of a PNG has them.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_gives_what_it_is_for() {
    let Some(place) = Place::new().await else { return };
    let url = place.site.url("/form");
    let done = place.run(json!({
        "viewport": { "width": 640, "height": 480 },
        "actions": [
            { "open": { "url": url } },
            { "screenshot": { "name": "view.png" } },
            { "screenshot": { "name": "page.png", "full_page": true } },
            { "pdf": { "name": "page.pdf" } },
            { "extract": { "selector": "li" } },
            { "extract": { "selector": "li", "attribute": "data-id", "all": true } },
            { "extract": { "selector": "table", "all": true } },
            { "wait": { "selector": "#later" } },
            { "fill": { "selector": "input", "text": "a b&c" } },
            { "extract": { "selector": "input", "attribute": "value" } },
            { "fill": { "selector": "textarea", "text": "x" } },
            { "fill": { "selector": "textarea", "text": "" } },
            { "fill": { "selector": "[type=date]", "text": "2026-02-03" } },
            { "fill": { "selector": "select", "text": "Large" } },
            { "wait": { "ms": 1 } },
            { "click": { "selector": "#send" } },
            { "wait": { "load": true } },
            { "extract": { "selector": "#query" } },
            { "open": { "url": place.site.url("/missing") } },
        ]
    }));
    let mut results = done.await.unwrap()["results"].as_array().unwrap().clone();
    assert_eq!(size(&place.bytes(&results[1]).await), (640, 480));
    assert_eq!(size(&place.bytes(&results[2]).await), (640, 2000));
    assert!(place.bytes(&results[3]).await.starts_with(b"%PDF-"));
    for (at, kind) in [(1, "image/png"), (2, "image/png"), (3, "application/pdf")] {
        assert_eq!(results[at].take()["content_type"], kind);
    }
    let told: Vec<String> = results.iter().map(|it| it.to_string().replace(&place.site.at, "SITE")).collect();
    assert_snapshot!(told.join("\n"), @r#"
    {"status":200,"title":"Form","url":"http://SITE/form"}
    null
    null
    null
    "One"
    ["1","2"]
    []
    null
    null
    "a b&c"
    null
    null
    null
    null
    null
    null
    null
    "/done?name=a+b%26c&text=&day=2026-02-03&size=l"
    {"status":404,"title":"Missing","url":"http://SITE/missing"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_waits_for_where_it_leads() {
    let Some(place) = Place::new().await else { return };
    let open = json!({ "open": { "url": place.site.url("/links") } });
    for (link, heading) in [
        ("fragment", "Links"),
        ("file", "Links"),
        ("nothing", "Links"),
        ("window", "Links"),
        ("late", "Done"),
    ] {
        let actions = json!([
            open,
            { "click": { "selector": format!("#{link}") } },
            { "wait": { "selector": if heading == "Done" { "#query" } else { "#below" } } },
            { "extract": { "selector": "title" } },
        ]);
        let done = place.run(json!({ "actions": actions })).await.unwrap();
        assert_eq!(done["results"][3], heading, "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_says_which_action_and_why() {
    let Some(place) = Place::new().await else { return };
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut told = Vec::new();
    for action in [
        json!({ "click": { "selector": "#nowhere" } }),
        json!({ "click": { "selector": "[[" } }),
        json!({ "fill": { "selector": "li", "text": "canary" } }),
        json!({ "fill": { "selector": "[type=date]", "text": "canary" } }),
        json!({ "open": { "url": "file:///etc/passwd" } }),
        json!({ "open": { "url": format!("http://{closed}/") } }),
    ] {
        let actions = json!([{ "open": { "url": place.site.url("/form") } }, action]);
        let failure = place.run(json!({ "actions": actions, "timeout_ms": 3000 })).await.unwrap_err();
        assert!(!failure.suspect && !failure.message.contains("canary"));
        told.push(format!("{:?}: {failure}", failure.kind));
    }
    assert_snapshot!(told.join("\n"), @r#"
    Retryable: action 2 of 2, `click`: not done in time: nothing matches the selector
    Permanent: action 2 of 2, `click`: the selector is not one of CSS
    Permanent: action 2 of 2, `fill`: what matches the selector takes no text
    Permanent: action 2 of 2, `fill`: the text is not of the form that the field takes
    Permanent: action 2 of 2, `open`: an address of the job is not opened: its scheme `file` is not allowed
    Retryable: action 2 of 2, `open`: no connection to a host: Connection refused (os error 111)
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_told_what_is_wrong_with_it() {
    let Some(place) = Place::new().await else { return };
    let (task, _hands) = place.task(json!({ "script": "export default () => {}" }));
    let payload = place.connector.payload("playwright").unwrap();
    let mut told = Vec::new();
    for wrong in [
        json!({}),
        json!({ "actions": [{ "open": {} }, { "jump": {} }, { "wait": { "ms": 1, "load": true } }] }),
        json!({ "actions": [{ "pdf": { "name": "../a" } }], "input": 1 }),
        json!({ "actions": [], "script": "x" }),
    ] {
        told.push(payload.check(&wrong).unwrap_err().message);
    }
    told.push(place.connector.run(&task).await.unwrap_err().message);
    let twice = json!({ "actions": [{ "pdf": { "name": "a" } }, { "screenshot": { "name": "a" } }] });
    told.push(place.run(twice).await.unwrap_err().message);
    assert_snapshot!(told.join("\n"), @r#"
    the payload is not of the form that the connector takes: the payload: "actions" is a required property
    the payload is not of the form that the connector takes: `/actions/0/open`: "url" is a required property; `/actions/1`: Additional properties are not allowed ('jump' was unexpected); `/actions/2/wait`: the value has more than 1 property
    the payload is not of the form that the connector takes: `/actions/0/pdf/name`: the value does not match "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"; `/input`: False schema does not allow the value
    the payload is not of the form that the connector takes: `/actions`: the value has less than 1 item; `/actions`: False schema does not allow the value
    the job has a script, and scripts are not enabled here: its operator has to set `PLAYWRIGHT_SCRIPTS` to `true`
    two actions make a file `a`
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_hold_nothing_up() {
    let Some(place) = Place::new().await else { return };
    let done = place.run(json!({ "actions": [
        { "open": { "url": place.site.url("/dialogs") } },
        { "click": { "selector": "#ask" } },
        { "extract": { "selector": "#answer" } },
        { "open": { "url": place.site.url("/done") } },
        { "extract": { "selector": "title" } },
    ] }));
    let done = done.await.unwrap();
    assert_eq!((&done["results"][2], &done["results"][4]), (&json!("false"), &json!("Done")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reaches_what_the_worker_may_not() {
    let Some(place) = Place::new().await else { return };
    let open = |url: String| json!({ "actions": [{ "open": { "url": url } }] });
    let mut told = Vec::new();
    for url in [place.site.url("/away"), place.inner.url("/secret")] {
        let failure = place.run(open(url)).await.unwrap_err();
        assert_eq!((failure.kind, failure.suspect), (Kind::Permanent, false));
        told.push(failure.message);
    }
    assert_snapshot!(told.join("\n"), @r#"
    action 1 of 1, `open`: an address of the job is not opened: its host is at 127.0.0.2, which is not a public address
    action 1 of 1, `open`: an address of the job is not opened: its host is at 127.0.0.2, which is not a public address
    "#);
    // The page is there, and a picture of it is not.
    let done = place.run(open(place.site.url("/picture"))).await.unwrap();
    assert_eq!(done["results"][0]["title"], "Picture");
    assert!(place.site.was_asked("/away") && place.inner.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_sends_what_no_guard_sees() {
    let Some(place) = Place::new().await else { return };
    // What the mapping's command keeps the browser from, since a proxy carries no datagrams.
    let inner = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let url = place.site.url(&format!("/calls?{}", inner.local_addr().unwrap()));
    place
        .run(json!({ "actions": [{ "open": { "url": url } }, { "wait": { "selector": "#over" } }] }))
        .await
        .unwrap();
    assert_eq!(inner.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sees_no_cookie_of_another() {
    let Some(place) = Place::new().await else { return };
    let open = json!({ "open": { "url": place.site.url("/cookie") } });
    let actions = json!([open, { "extract": { "selector": "p" } }, open, { "extract": { "selector": "p" } }]);
    for _ in 0..2 {
        let done = place.run(json!({ "actions": actions })).await.unwrap();
        assert_eq!((&done["results"][1], &done["results"][3]), (&json!("none"), &json!("job=1")));
    }
}
