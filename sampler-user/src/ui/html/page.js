"use strict";
const recording = JSON.parse(document.getElementById("recording").textContent);
// Names come from a machine that may be hostile: they are only ever set as text, without what steers the direction of it.
const safe = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) => "\\u{" + c.charCodeAt(0).toString(16) + "}");
function make(tag, text, cls) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = safe(text);
  if (cls) element.className = cls;
  return element;
}
const put = (id, ...children) => { const home = document.getElementById(id); home.replaceChildren(...children); return home; };
// A column: the unit of its values, then steps: a rise, no value, or as before so many times.
function unpack([unit, steps]) {
  const out = [];
  let value = 0, last = null;
  for (const step of steps) {
    if (Array.isArray(step)) { for (let i = 0; i < step[0]; i++) out.push(last); continue; }
    if (step !== null) value += step;
    last = step === null ? null : value * unit;
    out.push(last);
  }
  return out;
}
for (const one of recording.sets)
  for (const columns of [one.host, ...one.cgroups.map((c) => c.columns)])
    for (const key in columns) columns[key] = unpack(columns[key]);
function bytes(kib) {
  if (kib === null || kib === undefined) return "–";
  let value = Math.abs(kib), unit = 0;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  while (value >= 1023.95 && unit < 4) { value /= 1024; unit++; }
  return (kib < 0 ? "-" : "") + value.toFixed(value < 10 && value % 1 ? 1 : 0) + " " + units[unit];
}
const size = (value) => value === undefined || value === null ? "–" : bytes(value / 1024);
const colour = (i) => `hsl(${(i * 137.5 + 210) % 360} 60% ${i % 2 ? 58 : 46}%)`;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let set = 0, subject = "", hidden = new Set(), plots = [], zoom = null;
const MOST = 14;

// What is drawn: of all cgroups each one's memory, of one cgroup its parts.
function layers(current) {
  const zeros = () => new Array(current.points).fill(0);
  const add = (a, b) => a.map((v, i) => v + (b[i] || 0));
  if (subject !== "") {
    const one = current.cgroups.find((c) => c.path === subject);
    if (!one) return { list: [], limits: [] };
    const columns = one.columns, parts = [];
    for (const [key, name] of [["anon", "anonymous"], ["shmem", "shared, tmpfs"], ["cache", "page cache"], ["kernel", "kernel"], ["swap", "swap"]])
      if (columns[key]) parts.push({ name, values: columns[key] });
    const list = parts.length ? parts : [{ name: one.name, values: columns.current || zeros() }];
    const limits = [{ name: "limit", values: columns.max }];
    if (parts.length && columns.current) limits.push({ name: "usage", values: columns.current });
    return { list, limits: limits.filter((l) => l.values && l.values.some((v) => v !== null)) };
  }
  const leaves = current.cgroups.filter((c) => !c.has_children && c.columns.current);
  const list = leaves.slice(0, MOST).map((c) => ({ name: c.name, title: c.path, values: c.columns.current }));
  const rest = leaves.slice(MOST);
  if (rest.length) list.push({ name: `${rest.length} others`, values: rest.reduce((sum, c) => add(sum, c.columns.current), zeros()) });
  const limits = [];
  const incident = recording.incidents.find((i) => i.limit && i.limit.cgroup && leaves.length !== 1);
  const owner = incident && current.cgroups.find((c) => c.path === incident.limit.cgroup && c.has_children);
  if (owner && owner.columns.max) limits.push({ name: "limit of " + owner.name, values: owner.columns.max });
  const total = current.host.mem_total;
  const highest = Math.max(...leaves.map((c) => Math.max(...c.columns.current.map((v) => v || 0))), 1);
  if (total && !limits.length && total.some((v) => v && v < highest * 8)) limits.push({ name: "the machine", values: total });
  if (leaves.length === 1 && leaves[0].columns.max) limits.push({ name: "limit", values: leaves[0].columns.max });
  return { list, limits };
}

function stacked(list) {
  const sums = [];
  let below = null;
  list.forEach((layer) => {
    const off = hidden.has(layer.name);
    below = layer.values.map((v, i) => (below ? below[i] : 0) + (off || v === null ? 0 : v));
    sums.push(below.map((v, i) => (off || layer.values[i] === null ? null : v)));
  });
  return sums;
}

// Incidents and events as lines over every plot.
function marks() {
  return { hooks: { draw: [(u) => {
    const ctx = u.ctx, box = u.bbox, lines = [];
    for (const mark of recording.marks) lines.push([mark.time_us / 1e6, mark.kind === "oom_kill" ? css("--hot") : css("--line"), mark.kind === "oom_kill"]);
    for (const incident of recording.incidents) lines.push([incident.time_us / 1e6, css("--hot"), true]);
    ctx.save();
    for (const [time, stroke, strong] of lines) {
      if (time < u.scales.x.min || time > u.scales.x.max) continue;
      const x = u.valToPos(time, "x", true);
      ctx.strokeStyle = stroke; ctx.lineWidth = (strong ? 2 : 1) * devicePixelRatio; ctx.setLineDash(strong ? [] : [3, 3]);
      ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
      if (strong) { ctx.fillStyle = stroke; ctx.beginPath(); ctx.moveTo(x - 6, box.top); ctx.lineTo(x + 6, box.top); ctx.lineTo(x, box.top + 9); ctx.fill(); }
    }
    ctx.restore();
  }] } };
}

function axes(show, incrs) {
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
  return [axis, { ...axis, size: 74, ...(incrs ? { incrs } : {}), values: (u, ticks) => ticks.map(show) }];
}

function follow(u, key) {
  if (key !== "x") return;
  zoom = [u.scales.x.min, u.scales.x.max];
  for (const other of plots) if (other !== u && (other.scales.x.min !== zoom[0] || other.scales.x.max !== zoom[1])) other.setScale("x", { min: zoom[0], max: zoom[1] });
}

function draw() {
  // A new plot tells its whole range first.
  const keep = zoom;
  plots.forEach((plot) => plot.destroy());
  plots = [];
  const current = recording.sets[set];
  if (!current) return;
  const x = Array.from({ length: current.points }, (_, i) => (current.from_us + i * current.step_us) / 1e6);
  const width = document.getElementById("memory").clientWidth, phone = width < 600;
  const { list, limits } = layers(current);
  const sums = stacked(list);
  const common = { width, cursor: { sync: { key: "time" }, drag: { x: true, y: false }, points: { show: false } }, plugins: [marks()], hooks: { setScale: [follow] } };
  const lines = ["--hot", "--ink"];
  const memory = new uPlot({
    ...common, title: subject === "" ? "Memory of all cgroups" : "Memory of " + safe(subject), height: phone ? 260 : 340, axes: axes((v) => bytes(v), Array.from({ length: 40 }, (_, i) => 2 ** i)),
    scales: { y: { range: (u, low, high) => [0, (high || 1) * 1.08] } },
    series: [{}, ...sums.map((_, i) => ({ label: safe(list[i].name), stroke: colour(i), width: 1, fill: i ? undefined : colour(i) + "", points: { show: false } })),
      ...limits.map((limit, i) => ({ label: safe(limit.name), stroke: css(lines[i % 2]), width: 2, dash: [6, 4], points: { show: false } }))],
    bands: sums.slice(1).map((_, i) => ({ series: [i + 2, i + 1], fill: colour(i + 1) })),
    legend: { show: false },
  }, [x, ...sums, ...limits.map((limit) => limit.values)], document.getElementById("memory"));
  plots.push(memory);
  const source = subject === "" ? current.host : (current.cgroups.find((c) => c.path === subject) || { columns: {} }).columns;
  const rows = [["psi_some", "some task waits for memory, % of time", 1e4], ["psi_full", "all tasks wait, % of time", 1e4], ["hits", "limit hits in a second", 1], ["throttles", "throttled by memory.high in a second", 1]].filter(([key]) => source[key]);
  if (rows.length) {
    plots.push(new uPlot({
      ...common, title: "Pressure: " + rows.map((r) => r[1]).join("; "), height: phone ? 150 : 170, axes: axes((v) => String(Math.round(v * 100) / 100)),
      scales: { y: { range: (u, low, high) => [0, Math.max(high || 0, 1) * 1.1] } },
      series: [{}, ...rows.map(([key, name], i) => ({ label: name, stroke: colour(i * 3 + 1), width: 1.5, points: { show: false } }))], legend: { show: false },
    }, [x, ...rows.map(([key, , by]) => source[key].map((v) => (v === null ? null : v / by)))], document.getElementById("pressure")));
  }
  if (keep) plots[0].setScale("x", { min: keep[0], max: keep[1] });
  legend(list, limits, memory);
}

function legend(list, limits, memory) {
  const outputs = [];
  const buttons = list.map((layer, i) => {
    const button = make("button", undefined, hidden.has(layer.name) ? "off" : "");
    const dot = make("i"), value = make("output");
    dot.style.background = colour(i);
    button.append(dot, make("span", layer.name), value);
    button.title = safe(layer.title || layer.name);
    button.addEventListener("click", () => { hidden.has(layer.name) ? hidden.delete(layer.name) : hidden.add(layer.name); draw(); });
    outputs.push([value, layer.values]);
    return button;
  });
  limits.forEach((limit) => {
    const item = make("button"), value = make("output");
    item.append(make("span", "╌ " + limit.name), value);
    outputs.push([value, limit.values]);
    buttons.push(item);
  });
  const clock = make("output");
  put("legend", ...buttons, clock);
  const show = (u) => {
    const at = u.cursor.idx;
    outputs.forEach(([output, values]) => { output.textContent = at === null || at === undefined ? "" : bytes(values[at]); });
    clock.textContent = at === null || at === undefined ? "" : new Date(u.data[0][at] * 1000).toISOString().slice(11, 23) + " UTC";
  };
  plots.forEach((plot) => (plot.hooks.setCursor = [...(plot.hooks.setCursor || []), show]));
}

function list(items, cls) { const ul = make("ul"); items.forEach((item) => ul.append(make("li", item, cls))); return ul; }
function table(head, rows) {
  const box = make("div", undefined, "scroll"), t = make("table"), tr = make("tr");
  head.forEach((h, i) => tr.append(make("th", h, i ? "n" : "")));
  t.append(tr);
  rows.forEach((row) => { const line = make("tr"); row.forEach((cell, i) => line.append(make("td", cell, i ? "n" : ""))); t.append(line); });
  box.append(t);
  return box;
}

function incident(one) {
  const box = make("div");
  box.append(make("h2", ({ "oom-kill": "OOM kill, ", death: "Death, no OOM kill, " }[one.kind] || "Abrupt end, ") + one.time), make("p", one.verdict));
  box.append(make("h3", "What to change"));
  one.advice.forEach((advice) => {
    const p = make("p", advice.what + " ");
    if (advice.setting) p.append(make("code", advice.setting));
    p.append(make("span", " " + advice.because, "soft"));
    box.append(p);
  });
  box.append(make("h3", "Memory then"));
  box.append(table(["cgroup", "total", "limit", "anon", "shmem", "file", "kernel", "swap"], one.memory.map((m) => [m.path, size(m.current), size(m.limit), size(m.anon), size(m.shmem), size(m.file), size(m.kernel), size(m.swap)])));
  if (one.processes.length) box.append(table(["process", "pid", "resident", "swap"], one.processes.map((p) => [p.comm + (p.killed ? " (killed)" : ""), p.pid, size(p.rss), size(p.swap)])));
  box.append(make("h3", "Causes, and what speaks for and against each"));
  one.causes.forEach((cause) => {
    const details = make("details");
    details.open = cause.class === one.cause;
    details.append(make("summary", `${cause.class} ${Math.round(cause.score * 100)} %`), list(cause.for, "for"), list(cause.against, "against"));
    box.append(details);
  });
  box.append(make("h3", "What happened"));
  box.append(table(["when", "who", "what"], one.timeline.moments.map((m) => [m.time.slice(11, 23), m.cgroup || "the machine", m.what])));
  if (one.unknown.length) box.append(make("h3", "What is not known"), list(one.unknown));
  return box;
}

function begin() {
  put("where").textContent = safe(`${recording.host}, kernel ${recording.kernel}`);
  put("verdicts", ...recording.incidents.map((one) => {
    const box = make("div", one.verdict, "verdict");
    box.append(make("small", `cause: ${one.cause}; confidence ${Math.round(one.confidence * 100)} %`));
    box.addEventListener("click", () => {
      zoom = [one.time_us / 1e6 - 60, one.time_us / 1e6 + 10];
      draw();
      document.getElementById("plots").scrollIntoView();
    });
    return box;
  }));
  const buttons = recording.sets.map((one, i) => {
    const button = make("button", one.name, i === set ? "on" : "");
    button.addEventListener("click", () => { set = i; zoom = null; buttons.forEach((b, j) => (b.className = j === i ? "on" : "")); draw(); });
    return button;
  });
  put("sets", ...buttons);
  const choose = document.getElementById("subject"), all = make("option", "all cgroups, stacked");
  all.value = "";
  const first = recording.sets[0];
  choose.append(all, ...(first ? first.cgroups : []).map((c) => { const option = make("option", c.path); option.value = c.path; return option; }));
  choose.addEventListener("change", () => { subject = choose.value; hidden = new Set(); draw(); });
  document.getElementById("whole").addEventListener("click", () => { zoom = null; draw(); });
  put("incidents", ...recording.incidents.map(incident));
  if (recording.findings.length) {
    put("findings", make("h2", "Findings"), ...recording.findings.map((finding) => {
      const details = make("details"), summary = make("summary", `${finding.class}: ${finding.path} ${finding.words} `), show = make("button", "plot");
      show.addEventListener("click", (event) => { event.preventDefault(); choose.value = subject = finding.path; hidden = new Set(); draw(); document.getElementById("plots").scrollIntoView(); });
      summary.append(show);
      details.open = finding.class === "leak";
      details.append(summary, list(finding.evidence));
      return details;
    }));
  }
  if (recording.marks.length) put("events", make("h2", "Events"), table(["when", "who", "what"], recording.marks.map((m) => [new Date(m.time_us / 1000).toISOString().slice(0, 23), m.cgroup || "the machine", m.words])));
  if (recording.notes.length) put("notes", make("h2", "Notes"), list(recording.notes));
  draw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
begin();
