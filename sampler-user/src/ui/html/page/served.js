// The page of a server: what it shows it asks for, and asks for more when one looks closer.
const API = "/api/v1/";
const asked = new URLSearchParams(location.search);
const served = { id: asked.get("recording"), begin: asked.has("from") && asked.has("to") ? [+asked.get("from"), +asked.get("to")] : null, last: 0, loaded: null, turn: 0, timer: 0, live: false, read: 0, stream: null, report: null, drawnAt: 0 };
const EMPTY_PAGE = { host: "", kernel: "", span_us: null, head: { tone: "calm", label: "", sentence: "", advice: null, setting: null, links: [], is_sum: false }, cards: [], sets: [], marks: [], incidents: [], list: [], findings: [], folded: null, pressure: [], together: [], notes: [] };
const RANGES = [["5 min", 300], ["1 h", 3600], ["6 h", 21600], ["1 d", 86400]];

function address(path, parameters) {
  const query = new URLSearchParams();
  if (served.id) query.set("recording", served.id);
  for (const [name, value] of parameters) query.append(name, value);
  return `${API}${path}${query.size ? `?${query}` : ""}`;
}

async function fetched(path, parameters = []) {
  const answer = await fetch(address(path, parameters));
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

// The time that the chart is to show, microseconds; none for the whole.
function range() {
  const set = recording.sets[0];
  if (view.zoom && set) {
    const from = set.from_us / 1e6, long = (set.step_us * (set.points - 1)) / 1e6, [a, b] = view.zoom;
    if (Math.abs(a - from) > 0.01 * long || Math.abs(b - from - long) > 0.01 * long) return { from: Math.round(a * 1e6), to: Math.round(b * 1e6), last: 0 };
  }
  return served.wanted;
}

function parameters() {
  const { from, to, last } = served.wanted, out = [];
  if (last && recording.span_us) out.push(["from", Math.round(recording.span_us[1] - last * 1e6)]);
  else if (from !== undefined) out.push(["from", from], ["to", to]);
  if (view.subject) out.push(["cgroup", view.subject]);
  else for (const finding of recording.findings.filter((one) => one.shown).slice(0, 10)) out.push(["first", finding.path]);
  return out;
}

// Asks for what the chart is to show; an answer that comes after a later question is not taken.
async function load() {
  const turn = ++served.turn, key = JSON.stringify([served.wanted, view.subject]);
  served.loaded = key;
  try {
    const doc = await fetched("plots", parameters());
    if (turn !== served.turn) return;
    const set = unpackSet(doc.set), fixed = served.wanted.from !== undefined;
    recording.sets = [set];
    Object.assign(recording, { span_us: doc.span_us, host: doc.host, kernel: doc.kernel });
    if (!served.report) recording.notes = doc.notes;
    served.read = doc.read;
    for (const c of set.cgroups) names.set(c.path, c.name);
    view.zoom = fixed ? [served.wanted.from / 1e6, served.wanted.to / 1e6] : null;
    byId("memory").hidden = false;
    if (byId("modes").children.length) { choices(); draw(); } else { chartTools(); rangeTools(); }
    served.drawnAt = performance.now();
    // The small charts, where the cards came before the plots.
    if (served.report && !document.querySelector(".spark") && !view.subject && !fixed) containers();
    byId("where").textContent = safe([recording.host, recording.kernel && `kernel ${recording.kernel}`].filter(Boolean).join(", "));
    contents();
    share();
    wait();
  } catch (error) {
    if (turn === served.turn) wait(error.message);
    if (!recording.sets.length) setTimeout(() => { if (turn === served.turn) load(); }, 1000);
  }
}

function again() {
  clearTimeout(served.timer);
  served.timer = setTimeout(() => {
    served.wanted = range();
    if (JSON.stringify([served.wanted, view.subject]) !== served.loaded) load();
  }, 150);
}

// The address names what is looked at, so that it can be shared; the files are of the same.
function share() {
  const { from, to } = served.wanted, query = new URLSearchParams();
  if (served.id) query.set("recording", served.id);
  if (view.subject) query.set("cgroup", view.subject);
  if (from !== undefined) { query.set("from", from); query.set("to", to); }
  history.replaceState(null, "", `/${query.size ? `?${query}` : ""}${location.hash}`);
  const part = from !== undefined ? [["from", from], ["to", to]] : served.wanted.last && recording.span_us ? [["from", Math.round(recording.span_us[1] - served.wanted.last * 1e6)]] : [];
  if (view.subject) part.push(["cgroup", view.subject]);
  put("files", ...[["CSV", "csv"], ["JSON lines", "jsonl"], ["Parquet", "parquet"], ["Offline page (HTML)", "html"]].map(([text, format]) => {
    const one = make("a", text);
    one.href = address("export", [["format", format], ...part]);
    one.download = `sampler.${format}`;
    return one;
  }));
}

function wait(trouble) {
  const reading = served.read < 1 && recording.sets.length ? `The past is being read: ${Math.round(served.read * 100)} %. Until then something may be missing.` : "";
  write(byId("wait"), trouble || reading || (served.report ? "" : "Incidents, verdicts and advice are being made."));
}

function rangeTools() {
  const box = make("span", null, "ranges"), whole = byId("whole");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Time that is shown");
  box.append(...RANGES.map(([text, seconds]) => button(`Last ${text}`, "", () => { served.wanted = { last: seconds }; view.zoom = null; load(); })));
  whole.before(box);
}

async function loadReport() {
  const id = served.id;
  try {
    const doc = await fetched("report");
    if (id !== served.id) return;
    const sets = recording.sets, mode = served.report ? view.mode : doc.head.is_sum ? "sum" : "each";
    doc.span_us = recording.span_us || doc.span_us;
    doc.sets = sets;
    served.report = doc;
    const open = [...document.querySelectorAll(".incident")].map((one) => [one.id, one.open]);
    take(doc);
    view.mode = mode;
    render();
    for (const [one, is] of open) if (byId(one)) byId(one).open = is;
    document.title = safe(`${doc.head.label ? doc.head.label + ", " : ""}${doc.host || "sampler"}: sampler`);
    byId("title").hidden = !!doc.head.sentence;
    if (location.hash) go(location.hash.slice(1));
    load();
    wait();
    fetched("advice").then((advice) => { if (id === served.id) { showAdvice(advice); contents(); } }, (error) => wait(error.message));
  } catch (error) { wait(error.message); }
}

// Once a second; the browser comes again by itself when the server does.
function watch() {
  if (served.stream) served.stream.close();
  const stream = (served.stream = new EventSource(address("live", [])));
  const state = (text, cls) => write(byId("state"), text, `chip ${cls}`);
  stream.addEventListener("history", (event) => { present.past = new Map(Object.entries(JSON.parse(event.data)).map(([path, points]) => [path, points.slice(-POINTS)])); });
  stream.addEventListener("now", (event) => { showNow(JSON.parse(event.data)); });
  stream.addEventListener("progress", (event) => {
    const progress = JSON.parse(event.data), begins = progress.is_recording && !served.live;
    const finished = served.read < 1 && progress.read === 1;
    served.live = progress.is_recording;
    served.read = progress.read;
    state(progress.trouble || (served.live ? "recording" : "not recording now"), progress.trouble ? "bad" : served.live ? "live" : "");
    if (progress.span_us) recording.span_us = progress.span_us;
    const age = performance.now() - served.drawnAt, moving = served.wanted.from === undefined, dragging = plots[0] && plots[0].select.width > 0;
    if (moving && !dragging && (finished || begins || (served.live || served.read < 1) && age > (served.wanted.last === 300 ? 2000 : 10000))) load();
    wait();
    contents();
  });
  stream.onerror = () => state("no answer; trying again", "warn");
}

async function recordings() {
  try {
    const all = await fetched("recordings"), select = byId("recordings");
    byId("choose").hidden = all.length < 2;
    select.replaceChildren(...all.map((one) => { const option = make("option", one.name + (one.is_recording ? " (recording)" : "")); option.value = one.id; return option; }));
    select.value = served.id === null ? all[0].id : served.id;
    select.addEventListener("change", () => { location.href = `/?recording=${encodeURIComponent(select.value)}`; });
  } catch (error) { wait(error.message); }
}

function begin() {
  take(structuredClone(EMPTY_PAGE));
  served.wanted = served.begin ? { from: served.begin[0], to: served.begin[1], last: 0 } : { last: 0 };
  view.subject = asked.get("cgroup") || "";
  // Its overview has no account of the machine.
  view.machine = false;
  view.seen = again;
  view.whole = () => { served.wanted = { last: 0 }; view.zoom = null; load(); };
  view.reach = (x) => (recording.span_us ? recording.span_us.map((us) => us / 1e6) : [x[0], x[x.length - 1]]);
  nowTools();
  recordings();
  watch();
  load();
  loadReport();
  setInterval(() => { if (served.live) loadReport(); }, 60000);
  listen();
}
begin();
