// The page of a machine, and of a fleet: which of the two, the server's events say.

const $ = (id) => document.getElementById(id);
const words = (it) => it.replaceAll("_", " ");

// --- A small virtual tree: elements stay where they are, so focus, selection and open details do too. ---

const h = (tag, props, ...children) => ({ tag, props: props || {}, children: children.flat(9).filter((it) => it != null && it !== false) });

function make(node) {
  if (typeof node !== "object") return document.createTextNode(String(node));
  const it = document.createElement(node.tag);
  patch(it, node);
  return it;
}

function patch(it, node) {
  const { vars = {}, key, ...props } = node.props;
  it.__key = key;
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) it[name] = value;
    else if (value == null || value === false) it.removeAttribute(name);
    else if (it.getAttribute(name) !== String(value)) it.setAttribute(name, value);
  }
  for (const name of it.__names || []) if (!(name in props)) it.removeAttribute(name);
  it.__names = Object.keys(props).filter((name) => !name.startsWith("on"));
  for (const [name, value] of Object.entries(vars)) it.style.setProperty(name, value);
  fill(it, node.children);
}

function fill(parent, nodes) {
  const keyed = new Map();
  for (const it of parent.childNodes) if (it.__key != null) keyed.set(it.__key, it);
  // First, so that what was behind them need not be moved: a browser takes the focus from what is moved.
  const stay = new Set(nodes.map((node) => node.props?.key));
  for (const [key, it] of keyed) if (!stay.has(key)) it.remove();
  nodes.forEach((node, at) => {
    const here = parent.childNodes[at];
    const wanted = typeof node === "object" && node.props.key != null ? keyed.get(node.props.key) : here;
    if (typeof node !== "object") {
      if (here && here.nodeType === 3) { if (here.data !== String(node)) here.data = String(node); }
      else parent.insertBefore(make(node), here || null);
    } else if (wanted && wanted.nodeType === 1 && wanted.localName === node.tag && wanted.__key === node.props.key) {
      if (wanted !== here) parent.insertBefore(wanted, here || null);
      patch(wanted, node);
    } else parent.insertBefore(make(node), here || null);
  });
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
}

// --- Numbers for people. ---

const bytes = (it) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (it >= 1024 && at < units.length - 1) { it /= 1024; at++; }
  return `${at && it < 100 ? it.toFixed(1) : Math.round(it)} ${units[at]}`;
};
const span = (seconds) => {
  const it = Math.max(0, Math.round(seconds));
  if (it < 60) return `${it} s`;
  if (it < 3600) return `${Math.floor(it / 60)} min`;
  if (it < 86400) return `${Math.floor(it / 3600)} h ${Math.floor(it / 60) % 60} min`;
  return `${Math.floor(it / 86400)} d ${Math.floor(it / 3600) % 24} h`;
};
// The machine's clock, as its answer told: this one may be wrong.
let skew = 0;
const now = () => Date.now() + skew;
const since = (ms) => span((now() - ms) / 1000);
const clock = (ms) => new Date(ms).toLocaleTimeString();

// --- Parts. ---

const pill = (state, text) => h("span", { class: "pill", "data-state": state }, text || words(state));
const bar = (percent, label) => h("div", { class: "bar", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
  "aria-valuenow": Math.round(percent), "data-full": percent >= 92, vars: { "--value": `${percent}%` } }, h("i"));
const fact = (name, value) => (value == null || value === "" ? null : [h("dt", {}, name), h("dd", {}, value)]);

const gpu = (it) => {
  const used = it.memory_used_bytes;
  const percent = used == null ? 0 : (100 * used) / Math.max(1, it.memory_total_bytes);
  const number = (value, unit) => (value == null ? null : h("span", {}, h("b", {}, value), unit));
  return h("div", { class: "measure", key: it.index },
    h("p", {}, h("b", {}, `GPU ${it.index}`), h("span", {}, it.name)),
    used == null ? h("p", {}, `${bytes(it.memory_total_bytes)}, not measured`)
      : [bar(percent, `Memory of GPU ${it.index}`), h("p", {}, h("span", {}, `${bytes(used)} of ${bytes(it.memory_total_bytes)}`), h("span", {}, `${Math.round(percent)} %`))],
    used == null ? null : h("div", { class: "numbers" }, number(it.utilisation_percent, " % busy"), number(it.temperature_celsius, " °C"),
      number(it.power_watts == null ? null : Math.round(it.power_watts), " W"), it.xid_errors ? number(it.xid_errors, " XID errors") : null),
    it.fault ? h("p", { class: "fault" }, it.fault) : null);
};
const gpus = (all) => all.length === 0 ? null : h("section", { class: "card", key: "gpus", "aria-label": "GPUs" }, h("h2", {}, "GPUs"), h("div", { class: "gpus" }, all.map(gpu)));

const machine = (it, status) => h("section", { class: "card", key: "machine", "aria-label": "Machine" },
  h("div", { class: "big" }, h("h2", {}, "Machine"), pill(it.state)),
  it.stage === "running" ? null : h("div", { class: "measure job" }, h("p", {}, h("b", {}, words(it.stage)), h("span", {}, it.doing || "")),
    it.percent == null ? null : bar(it.percent, "Start-up")),
  it.blockers.length ? h("ul", { class: "blockers", "aria-label": "What is in the way" }, it.blockers.slice(0, 8).map((is) => h("li", { "data-state": is.state }, is.why)),
    it.blockers.length > 8 ? h("li", { "data-state": "stopped" }, `and ${it.blockers.length - 8} more`) : null) : null,
  h("dl", { class: "facts" }, fact("Ready", it.ready ? "yes" : "no"), fact("State for", since(it.since)), fact("Up for", since(it.started)), fact("Profile", it.profile),
    fact("Recovery", it.recovery === "healthy" ? null : `${words(it.recovery)}${it.recovery_cause ? `: ${it.recovery_cause}` : ""}`),
    fact("Redis", status.redis.connected == null ? null : status.redis.connected ? `${(1000 * status.redis.latency_seconds).toFixed(1)} ms` : "does not answer"),
    status.disks.map((is) => fact(is.path, `${bytes(is.free_bytes)} free of ${bytes(is.total_bytes)}`)),
    fact("Generation", it.generation && h("span", { class: "mono" }, it.generation.slice(0, 12))), fact("Roster", it.version)));

const why = (it) => it.cause.length === 0 ? null : h("p", { class: "why", "data-state": it.state },
  it.cause.map((is, at) => [h("i", { "aria-label": "because" }, at ? "←" : "because"), h("span", {}, is)]));
const job = (it) => !it.job ? null : h("div", { class: "job measure" },
  h("p", {}, h("span", {}, h("span", { class: "mono" }, it.job.id), it.job.message ? ` · ${it.job.message}` : ""), h("span", {}, it.job.percent == null ? since(it.job.since) : `${it.job.percent} %`)),
  it.job.percent == null ? null : bar(it.job.percent, `Progress of ${it.name}`));

const item = (it, orders) => h("li", { key: it.name, id: `item-${it.name}`, "data-state": it.state },
  h("div", { class: "row-head" }, h("h3", {}, it.name), pill(it.state)),
  orders && it.process ? h("div", { class: "row-do" },
    h("button", { type: "button", "aria-label": `Log of ${it.name}`, onclick: () => log(it.name) }, "Log"),
    h("button", { type: "button", "aria-label": `Restart ${it.name}`, onclick: () => restart(it.name) }, "Restart")) : null,
  h("p", { class: "detail" }, [it.kind, it.port && `port ${it.port}`, it.gpus.length && `GPU ${it.gpus.join(", ")}`, it.state !== "not_configured" && `for ${since(it.since)}`,
    it.usage && bytes(it.usage.memory_bytes), it.usage && it.usage.cpu_percent != null && `${Math.round(it.usage.cpu_percent)} % CPU`,
    it.restarts && `${it.restarts} ${it.restarts === 1 ? "restart" : "restarts"}`,
    it.counts && it.counts.claimed && `${it.counts.succeeded} done${it.counts.failed ? `, ${it.counts.failed} failed` : ""}`]
    .filter(Boolean).map((is) => h("span", {}, is))),
  why(it), it.next && it.next !== "Wait." ? h("p", { class: "next" }, it.next.split("`").map((is, at) => (at % 2 ? h("code", {}, is) : is))) : null, job(it));

const healthy = (all) => `${all.filter((it) => it.state === "healthy").length} of ${all.length} healthy`;
const items = (title, all, orders) => {
  const [on, off] = [all.filter((it) => it.state !== "not_configured"), all.filter((it) => it.state === "not_configured")];
  if (all.length === 0) return null;
  return h("section", { class: "card", key: title, "aria-label": title }, h("h2", {}, title, h("span", {}, on.length ? healthy(on) : "")),
    on.length ? h("ul", { class: "rows" }, on.map((it) => item(it, orders))) : h("p", { class: "empty" }, "None is configured."),
    off.length ? h("details", { key: "off" }, h("summary", {}, `${off.length} not configured`), h("ul", { class: "rows" }, off.map((it) => item(it, false)))) : null);
};

const happened = [];
const events = () => happened.length === 0 ? null : h("section", { class: "card", key: "events", "aria-label": "Events" }, h("h2", {}, "Events"),
  h("ol", { class: "happened", tabindex: 0, "aria-label": "What happened, latest first" }, happened.map((it) => h("li", { key: it.id }, h("time", { datetime: new Date(it.at).toISOString() }, clock(it.at)),
    h("span", {}, it.subject ? h("b", {}, `${it.subject} `) : null, it.message)))));

const whole = (status, orders) => [
  h("div", { class: "column", key: "left" }, machine(status.machine, status), gpus(status.gpus), orders ? events() : null),
  h("div", { class: "column", key: "right" }, items("Services", status.services, orders), items("Workers", status.workers, orders))];

// --- A fleet. ---

let chosen = null;
const member = (it) => {
  const { machine: is, workers, gpus: cards } = it.status || { machine: {}, workers: [], gpus: [] };
  const busy = workers.filter((one) => one.job).length;
  return h("article", { class: "card", key: it.id, id: `machine-${it.id}` },
    h("div", { class: "big" }, h("h3", {}, it.id), pill(it.silent ? "unhealthy" : is.state, it.silent ? "silent" : null)),
    !it.status ? null : h("div", { class: "numbers" }, h("span", {}, h("b", {}, workers.length), " workers"), h("span", {}, h("b", {}, busy), " busy"), is.profile ? h("span", {}, is.profile) : null),
    cards.map((one) => one.memory_used_bytes == null ? null : h("div", { class: "measure", key: one.index },
      bar((100 * one.memory_used_bytes) / Math.max(1, one.memory_total_bytes), `Memory of GPU ${one.index} of ${it.id}`),
      h("p", {}, h("span", {}, `GPU ${one.index}`), h("span", {}, `${bytes(one.memory_used_bytes)} of ${bytes(one.memory_total_bytes)}`)))),
    (is.blockers || []).slice(0, 2).map((one) => h("p", { class: "why", key: one.name, "data-state": one.state }, h("span", {}, one.why))),
    h("div", { class: "foot" }, h("span", {}, it.status ? `heard of ${since(it.status.at)} ago` : it.silent ? "its lease has run out" : "it speaks another version"),
      it.status ? h("button", { type: "button", "aria-expanded": chosen === it.id, onclick: () => { chosen = chosen === it.id ? null : it.id; draw(); } }, "Details") : null));
};
const fleet = (it) => {
  const running = it.machines.flatMap((one) => (one.status ? one.status.workers : []).filter((worker) => worker.job).map((worker) => ({ machine: one.id, worker })));
  const open = it.machines.find((one) => one.id === chosen && one.status);
  const depth = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value.toLocaleString()));
  return [
    h("section", { class: "card wide", key: "queue", "aria-label": "Queue" }, h("h2", {}, "Queue", h("span", {}, it.queue.name + (it.queue.paused ? ", paused" : ""))),
      h("dl", { class: "depths" }, depth("waiting", it.queue.waiting), depth("held", it.queue.held), depth("delayed", it.queue.delayed), depth("running", it.queue.running), depth("dead", it.queue.dead))),
    h("section", { class: "wide machines", key: "machines", "aria-label": "Machines" }, it.machines.length ? it.machines.map(member) : h("p", { class: "empty" }, "No machine is registered.")),
    open ? whole(open.status, false) : null,
    h("section", { class: "card wide", key: "jobs", "aria-label": "Jobs in flight" }, h("h2", {}, "Jobs in flight", h("span", {}, running.length)),
      running.length ? h("ul", { class: "rows" }, running.map(({ machine: on, worker }) => h("li", { key: worker.job.id }, h("div", { class: "row-head" }, h("h3", {}, worker.name), h("span", { class: "detail" }, on)), job(worker)))) : h("p", { class: "empty" }, "None.")),
  ].flat();
};

// --- What is shown now. ---

let shown = null;
function draw() {
  if (!shown) return;
  const focused = document.activeElement;
  put();
  // Others have changed places with it.
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
function put() {
  if (shown.kind === "status") {
    const it = shown.data.machine;
    $("title").textContent = it.id;
    $("subtitle").textContent = it.ready ? "ready for jobs" : it.stage === "running" ? "not ready" : words(it.stage);
    document.title = `${it.state === "healthy" ? "" : "● "}${it.id} · ${words(it.state)}`;
    fill($("main"), whole(shown.data, true).filter(Boolean));
  } else {
    const all = shown.data.machines;
    const well = all.filter((it) => !it.silent && it.status && it.status.machine.state === "healthy").length;
    $("title").textContent = "Fleet";
    $("subtitle").textContent = shown.data.error ? `not up to date: ${shown.data.error}` : `${well} of ${all.length} machines healthy`;
    document.title = `${well === all.length ? "" : "● "}Fleet · ${well}/${all.length}`;
    fill($("main"), fleet(shown.data).filter(Boolean));
  }
}
setInterval(draw, 1000);

// --- Speaking with the server. ---

const link = (state, text) => { $("link").dataset.link = state; if ($("link").textContent !== text) $("link").textContent = text; };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const headers = () => { const token = sessionStorage.getItem("token"); return token ? { Authorization: `Bearer ${token}` } : {}; };

// What a dialog is closed with. The browser tells that it was closed with its next frame: who opens it again before that has
// the answer of the time before, and an event that finds it open is not of this one.
function modal(dialog) {
  if (dialog.__answer) dialog.__answer();
  return new Promise((done) => {
    dialog.__answer = () => { dialog.__answer = null; done(dialog.returnValue); };
    dialog.onclose = () => { if (!dialog.open && dialog.__answer) dialog.__answer(); };
    dialog.returnValue = "";
    dialog.showModal();
  });
}
let asking = null;
function door() {
  asking ||= modal($("door")).then(() => { sessionStorage.setItem("token", $("token").value); $("token").value = ""; asking = null; });
  return asking;
}
async function ask(path, options = {}) {
  for (;;) {
    const answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers }, cache: "no-store" });
    if (answer.status !== 401) return answer;
    await door();
  }
}
async function* lines(answer, alive) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    if (alive) alive();
    const found = (rest + value).split("\n");
    rest = found.pop();
    yield found;
  }
}

let last = 0;
function hear(event, id, data) {
  if (event === "status" || event === "fleet") {
    const it = JSON.parse(data);
    shown = { kind: event, data: it };
    draw();
  } else if (event === "happened") {
    last = Number(id);
    happened.unshift({ id: last, ...JSON.parse(data) });
    happened.length = Math.min(happened.length, 100);
    draw();
  }
}
async function listen() {
  for (let wait = 250; ; wait = Math.min(wait * 2, 5000)) {
    // A connection over which nothing comes, not even a sign of life, is dead.
    const cut = new AbortController();
    let timer;
    const alive = () => { clearTimeout(timer); timer = setTimeout(() => cut.abort(), 40000); };
    try {
      alive();
      const answer = await ask("/events", { headers: { "Last-Event-ID": String(last) }, signal: cut.signal });
      if (!answer.ok) throw new Error(answer.status);
      skew = (Date.parse(answer.headers.get("date")) || Date.now()) - Date.now();
      let [event, id, data] = ["", "", []];
      for await (const some of lines(answer, alive)) {
        link("live", "live");
        wait = 250;
        for (const line of some) {
          if (line === "") { if (data.length) hear(event, id, data.join("\n")); [event, data] = ["", []]; }
          else if (line.startsWith("event:")) event = line.slice(6).trim();
          else if (line.startsWith("id:")) id = line.slice(3).trim();
          else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        }
      }
    } catch { /* It is tried again. */ }
    clearTimeout(timer);
    link("lost", "reconnecting");
    await pause(wait);
  }
}

// --- Orders. ---

let telling;
function tell(text) {
  clearTimeout(telling);
  $("told").textContent = text;
  $("told").hidden = false;
  telling = setTimeout(() => { $("told").hidden = true; }, 6000);
}
async function detail(answer) {
  try { return (await answer.json()).detail; } catch { return `the server answered ${answer.status}`; }
}
async function restart(name) {
  $("ask-title").textContent = `Restart ${name}?`;
  $("ask-text").textContent = "What it is doing now is cut off. Jobs that its worker has are tried again.";
  if (await modal($("ask")) !== "yes") return;
  try {
    const answer = await ask(`/services/${encodeURIComponent(name)}/restart`, { method: "POST" });
    tell(answer.ok ? `${name} is being restarted.` : `${name}: ${await detail(answer)}`);
  } catch { tell("The machine does not answer."); }
}

// --- The log. ---

const MOST = 2000;
let reading = null;
let from = null;
async function log(name) {
  if (reading) reading.abort();
  const cut = reading = new AbortController();
  from = document.activeElement;
  const box = $("log-lines");
  box.replaceChildren();
  $("log-title").textContent = `Log of ${name}`;
  $("log").hidden = false;
  document.body.classList.add("logging");
  box.focus();
  const say = (text) => { if (!cut.signal.aborted) $("log-state").textContent = text; };
  for (let count = 200; !cut.signal.aborted; count = 0) {
    try {
      const answer = await ask(`/services/${encodeURIComponent(name)}/logs?lines=${count}&follow=true`, { signal: cut.signal });
      if (!answer.ok) { say(await detail(answer)); return; }
      say("live");
      for await (const some of lines(answer)) {
        const low = box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
        box.append(...some.map((line) => document.createTextNode(`${line}\n`)));
        while (box.childNodes.length > MOST) box.firstChild.remove();
        if (low) box.scrollTop = box.scrollHeight;
      }
    } catch { /* It is tried again. */ }
    say("reconnecting");
    await pause(1000);
  }
}
function close() {
  if (!reading) return;
  reading.abort();
  reading = null;
  $("log").hidden = true;
  document.body.classList.remove("logging");
  if (from && from.isConnected) from.focus();
}
$("log-close").onclick = close;
addEventListener("keydown", (event) => { if (event.key === "Escape" && !document.querySelector("dialog[open]")) close(); });

// --- Light and dark. ---

const themes = ["auto", "light", "dark"];
function theme(it) {
  if (it === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = it;
  $("theme").textContent = `Theme: ${it}`;
  localStorage.setItem("theme", it);
}
$("theme").onclick = () => theme(themes[(themes.indexOf(localStorage.getItem("theme") || "auto") + 1) % 3]);
theme(themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");

listen();
