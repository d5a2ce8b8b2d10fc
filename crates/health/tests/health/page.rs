//! The page in a real Chromium, by its `DevTools` protocol.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use health::{Counts, Fleet, Limits, Member, Options, Phase, Queue, Server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{LONG, Place, health_now, killed, machine, process};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(30);

/// A browser with one tab. It ends with its test, and its profile with it.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    socket: WebSocketStream<TcpStream>,
    session: String,
    calls: u64,
    /// What the page's console said, and what it could not load.
    complaints: Vec<String>,
}

impl Browser {
    /// `None`, and a word about it, where there is no Chromium.
    async fn open(url: &str, width: u32, height: u32) -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.args(["--remote-debugging-port=0", "--disable-background-networking", "--hide-scrollbars"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        // What it leaves when it is killed goes with its profile.
        command.env("TMPDIR", profile.path());
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            let ci = std::env::var("CI").is_ok_and(|it| it == "true");
            assert!(!ci, "`chromium` is needed in CI: type `cargo xtask setup`");
            println!("not run: `chromium` is missing; `cargo xtask setup` installs it");
            return None;
        };
        let end = Instant::now() + LONG;
        let (port, path) = loop {
            let text = std::fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap_or_default();
            match text.split_once('\n') {
                Some((port, path)) if path.len() > 20 => break (port.to_owned(), path.to_owned()),
                _ => assert!(Instant::now() < end, "Chromium listens"),
            }
            tokio::time::sleep(LOOK).await;
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        let (socket, _) =
            tokio_tungstenite::client_async(format!("ws://127.0.0.1:{port}{path}"), stream).await.unwrap();
        let mut it =
            Self { child, _profile: profile, socket, session: String::new(), calls: 0, complaints: vec![] };
        let target = it.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        it.session = it.call("Target.attachToTarget", attach).await["sessionId"].as_str().unwrap().into();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            it.call(domain, json!({})).await;
        }
        it.size(width, height).await;
        it.call("Page.navigate", json!({ "url": url })).await;
        Some(it)
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let answer = self.socket.next().await.unwrap().unwrap();
            let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown" | "Log.entryAdded") => {
                    self.complaints.push(answer["params"].to_string());
                }
                _ if answer["id"] == self.calls => {
                    assert_eq!(answer["error"], Value::Null, "{method}");
                    return answer["result"].clone();
                }
                _ => {}
            }
        }
    }

    async fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    async fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn eval(&mut self, script: &str) -> Value {
        let asked = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked).await;
        assert_eq!(answer["exceptionDetails"], Value::Null, "{script}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true on the page.
    async fn until(&mut self, script: &str) {
        let end = Instant::now() + LONG;
        // The document may still be on its way.
        let script = format!("(() => {{ try {{ return {script} }} catch {{ return false }} }})()");
        while self.eval(&script).await != true {
            let text = self.eval("document.body?.innerText").await;
            assert!(Instant::now() < end, "{script}\n{text}\n{:?}", self.complaints);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn key(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut press = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                press["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", press).await;
        }
    }

    /// A picture for people, where `ROSTER_SCREENSHOTS` names a folder.
    async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("ROSTER_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let path = Path::new(&folder).join(name);
        let url = format!("data:image/png;base64,{}", shot["data"].as_str().unwrap());
        std::fs::write(path.with_extension("url"), url).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The state that a service's pill shows.
fn state(name: &str) -> String {
    format!("document.querySelector('#item-{name} .pill')?.dataset.state")
}

#[tokio::test]
async fn a_killed_service_turns_red_with_its_cause_and_back_to_green_without_a_reload() {
    let place = Place::new(machine());
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1280, 900).await else { return };
    browser.until(&format!("{} === 'healthy'", state("comfyui-gpu0"))).await;
    assert_eq!(browser.eval("document.getElementById('title').textContent").await, "gpu-box-1");
    for card in ["Machine", "GPUs", "Services", "Workers"] {
        browser.until(&format!("!!document.querySelector('section[aria-label=\"{card}\"]')")).await;
    }
    browser.until("document.querySelector('[aria-label=\"Memory of GPU 0\"]').getAttribute('aria-valuenow') === '58'").await;
    browser.until("document.querySelector('[aria-label=\"Progress of comfyui-worker-0\"]').getAttribute('aria-valuenow') === '55'").await;
    browser.picture("light").await;
    browser.scheme("dark").await;
    browser.picture("dark").await;
    browser.scheme("light").await;
    browser.eval("window.same = true").await;

    let mut facts = machine();
    killed(&mut facts, 0);
    place.board.publish(facts);
    place.board.journal.say(health_now(), "state", Some("comfyui-gpu0"), "exited 137");
    browser.until(&format!("{} === 'unhealthy'", state("comfyui-gpu0"))).await;
    browser.until("document.querySelector('#item-comfyui-gpu0 .why').innerText.includes('exited 137 (killed by the kernel: out of memory)')").await;
    browser.until("document.querySelector('#item-comfyui-worker-0 .why').innerText.includes('comfyui-gpu0 unhealthy')").await;
    let red = "getComputedStyle(document.querySelector('#item-comfyui-gpu0 .pill')).color";
    assert_eq!(browser.eval(red).await, "rgb(163, 36, 27)");
    browser.picture("unhealthy").await;

    let mut facts = machine();
    facts.services[0].process = Some(process(Phase::Started));
    place.board.publish(facts);
    browser.until(&format!("{} === 'starting'", state("comfyui-gpu0"))).await;
    place.board.publish(machine());
    browser.until(&format!("{} === 'healthy'", state("comfyui-gpu0"))).await;
    assert_eq!(browser.eval("window.same").await, true, "it was not loaded again");
    browser.until("document.querySelector('[aria-label=Events]').innerText.includes('exited 137')").await;

    browser.size(390, 844).await;
    browser.until("document.documentElement.scrollWidth <= 390").await;
    browser.picture("phone").await;
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[tokio::test]
async fn a_restart_asks_first_and_a_log_is_read_live_with_the_keyboard_alone() {
    let place = Place::new(machine());
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1100, 800).await else { return };
    browser.until("!!document.querySelector('[aria-label=\"Restart comfyui-gpu0\"]')").await;
    let orders = || place.hands.orders.lock().unwrap().clone();

    browser.eval("document.querySelector('[aria-label=\"Restart comfyui-gpu0\"]').focus()").await;
    browser.key("Enter", 13, "\r").await;
    browser.until("document.getElementById('ask').open").await;
    browser.picture("ask").await;
    browser.key("Escape", 27, "").await;
    browser.until("!document.getElementById('ask').open").await;
    assert_eq!(orders(), Vec::<String>::new());
    browser.until("document.activeElement.getAttribute('aria-label') === 'Restart comfyui-gpu0'").await;

    browser.key("Enter", 13, "\r").await;
    browser.until("document.getElementById('ask').open").await;
    // The first choice is to do nothing; the next one is the order.
    browser.key("Tab", 9, "").await;
    browser.key("Enter", 13, "\r").await;
    browser.until("document.getElementById('told').innerText.includes('is being restarted')").await;
    assert_eq!(orders(), ["restart comfyui-gpu0"]);

    browser.eval("document.querySelector('[aria-label=\"Log of comfyui-gpu0\"]').focus()").await;
    browser.key("Enter", 13, "\r").await;
    browser.until("document.getElementById('log-lines').innerText.includes('line 199')").await;
    place.hands.lines.send("<b>now</b>\u{1b}[31m".into()).unwrap();
    browser.until("document.getElementById('log-lines').innerText.includes('<b>now</b>\\\\u{1b}[31m')").await;
    browser.picture("log").await;
    browser.key("Escape", 27, "").await;
    browser.until("document.getElementById('log').hidden && document.activeElement.getAttribute('aria-label') === 'Log of comfyui-gpu0'").await;
}

#[tokio::test]
async fn a_restart_that_is_asked_for_again_at_once_is_ordered_and_the_first_is_not() {
    let place = Place::new(machine());
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1100, 800).await else { return };
    browser.until("!!document.querySelector('[aria-label=\"Restart comfyui-gpu0\"]')").await;
    // The browser tells that a dialog was closed with its next frame, which a quick hand or a slow machine does not wait for.
    let again = "const press = (it) => document.querySelector(`[aria-label=\"Restart ${it}\"]`).click();
        press('comfyui-gpu1'); document.getElementById('ask').close(); press('comfyui-gpu0');
        new Promise((it) => requestAnimationFrame(() => setTimeout(it, 50)))";
    browser.eval(again).await;
    browser.eval("document.querySelector('#ask [value=yes]').click()").await;
    browser.until("document.getElementById('told').innerText.includes('is being restarted')").await;
    assert_eq!(*place.hands.orders.lock().unwrap(), ["restart comfyui-gpu0"]);
}

#[tokio::test]
async fn the_focus_stays_where_it_is_while_others_come_and_go() {
    let place = Place::new(machine());
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1100, 800).await else { return };
    let button = "document.querySelector('[aria-label=\"Restart comfyui-gpu1\"]')";
    browser.until(&format!("!!{button}")).await;
    browser.eval(&format!("window.button = {button}; button.focus()")).await;
    let mut less = machine();
    less.services.remove(0);
    let mut turned = machine();
    turned.services.swap(0, 1);
    for (facts, first) in [(less, "comfyui-gpu1"), (machine(), "comfyui-gpu0"), (turned, "comfyui-gpu1")] {
        place.board.publish(facts);
        let shown = format!("document.querySelector('[aria-label=Services] li').id === 'item-{first}'");
        browser.until(&shown).await;
        assert_eq!(browser.eval("document.activeElement === button").await, true, "{first} is the first");
    }
}

#[tokio::test]
async fn the_page_comes_back_by_itself_when_the_server_does() {
    let place = Place::new(machine());
    let address = place.server.address();
    let Some(mut browser) = Browser::open(&format!("http://{address}/"), 1100, 800).await else { return };
    browser.until("document.getElementById('link').dataset.link === 'live'").await;
    drop(place);
    browser.until("document.getElementById('link').dataset.link === 'lost'").await;
    let mut facts = machine();
    facts.machine.profile = Some("another".parse().unwrap());
    let _place = Place::with(facts, |it| it.listen = address);
    browser.until("document.getElementById('link').dataset.link === 'live'").await;
    browser.until("document.querySelector('[aria-label=Machine]').innerText.includes('another')").await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_then_shows_everything() {
    let token = "0123456789abcdef";
    let place = Place::with(machine(), |it| it.token = Some(spec::env::Secret::new(token.to_owned())));
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1100, 800).await else { return };
    browser.until("document.getElementById('door').open").await;
    browser.call("Input.insertText", json!({ "text": "wrong" })).await;
    browser.key("Enter", 13, "\r").await;
    browser
        .until("document.getElementById('door').open && document.getElementById('token').value === ''")
        .await;
    browser.call("Input.insertText", json!({ "text": token })).await;
    browser.key("Enter", 13, "\r").await;
    browser.until(&format!("{} === 'healthy'", state("comfyui-gpu0"))).await;
}

/// WCAG 2.2, success criterion 1.4.3: the least contrast of all text on the page, and the text.
const CONTRAST: &str = r"(() => {
  const rgb = (it) => it.match(/[\d.]+/g).map(Number);
  const back = (it) => { for (; it; it = it.parentElement) { const c = rgb(getComputedStyle(it).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let least = [99, ''];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const it = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !it.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(it).color)), light(back(it))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, walk.currentNode.data];
  }
  return least;
})()";

#[tokio::test]
async fn everything_can_be_read_and_has_a_name() {
    let mut facts = machine();
    killed(&mut facts, 0);
    facts.services[1].install = health::Install::Missing { what: "main.py".into() };
    facts.workers[1].process = process(Phase::Stopped);
    facts.services[2].probe = health::Probe::Pending;
    let place = Place::new(facts);
    let url = format!("http://{}/", place.server.address());
    let Some(mut browser) = Browser::open(&url, 1280, 900).await else { return };
    browser.until(&format!("{} === 'not_installed'", state("comfyui-gpu1"))).await;
    browser.eval("document.querySelector('details').open = true").await;
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        let least = browser.eval(CONTRAST).await;
        assert!(least[0].as_f64().unwrap() >= 4.5, "{scheme}: {least}");
        browser.picture(&format!("states-{scheme}")).await;
    }
    // What the accessibility tree calls each thing that can be pressed.
    let tree = browser.call("Accessibility.getFullAXTree", json!({})).await;
    for node in tree["nodes"].as_array().unwrap() {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        if matches!(role, "button" | "link" | "meter" | "textbox") && node["ignored"] == false {
            assert_ne!(node["name"]["value"].as_str().unwrap_or_default(), "", "{node}");
        }
    }
}

#[tokio::test]
async fn a_fleet_is_shown_machine_by_machine() {
    let board = health::Board::new(machine());
    let mut member = Member { id: "gpu-box-1".into(), silent: false, status: Some(board.latest().status()) };
    let mut second = machine();
    second.machine.id = "gpu-box-2".parse().unwrap();
    killed(&mut second, 0);
    second.workers[0].job = None;
    second.workers[0].counts = Counts::default();
    let sick = Member {
        id: "gpu-box-2".into(),
        silent: false,
        status: Some(health::Board::new(second).latest().status()),
    };
    let gone = Member { id: "gpu-box-3".into(), silent: true, status: None };
    let queue = Queue {
        name: "jobs".into(),
        waiting: 1204,
        held: 3,
        delayed: 12,
        running: 1,
        dead: 2,
        paused: false,
    };
    let fleet = Fleet {
        schema_version: 1,
        at: health_now(),
        queue,
        machines: vec![member.clone(), sick, gone],
        error: None,
    };
    let (told, shown) = tokio::sync::watch::channel(fleet.clone());
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: None,
        hosts: vec![],
        limits: Limits::default(),
    };
    let server = Server::bind(options).unwrap().start(shown).unwrap();
    let Some(mut browser) = Browser::open(&format!("http://{}/", server.address()), 1280, 900).await else {
        return;
    };
    browser.until("document.querySelectorAll('.machines article').length === 3").await;
    assert_eq!(
        browser.eval("document.getElementById('subtitle').textContent").await,
        "1 of 3 machines healthy"
    );
    browser
        .until("document.querySelector('[aria-label=\"Jobs in flight\"]').innerText.includes('0199f2c1b7')")
        .await;
    browser.picture("fleet").await;
    browser.eval("document.querySelector('#machine-gpu-box-2 button').click()").await;
    browser.until(&format!("{} === 'unhealthy'", state("comfyui-gpu0"))).await;
    assert_eq!(
        browser.eval("!!document.querySelector('[aria-label^=Restart]')").await,
        false,
        "no orders from here"
    );
    member.silent = true;
    told.send_replace(Fleet { machines: vec![member], error: Some("Redis: no answer".into()), ..fleet });
    browser.until("document.querySelectorAll('.machines article').length === 1").await;
    browser.until("document.getElementById('subtitle').textContent.includes('Redis: no answer')").await;
}
