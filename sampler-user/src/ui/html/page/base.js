"use strict";
let recording = null;
// Names come from a machine that may be hostile: they are only ever set as text, without what steers the direction of it.
const safe = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) => "\\u{" + c.charCodeAt(0).toString(16) + "}").replace(/[\u{10ff80}-\u{10ffff}]/gu, (c) => "\\x" + (c.codePointAt(0) & 255).toString(16));
const byId = (id) => document.getElementById(id);
function make(tag, text, cls, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = safe(text);
  if (cls) element.className = cls;
  element.append(...children);
  return element;
}
const put = (id, ...children) => { byId(id).replaceChildren(...children); };
function button(text, cls, act) {
  const element = make("button", text, cls);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}
// A switch: a button that is on or off.
function toggle(text, on, act) {
  const element = button(text, "", () => { on = !on; element.setAttribute("aria-pressed", on); act(on); });
  element.setAttribute("aria-pressed", on);
  return element;
}
const list = (items, cls) => make("ul", null, null, ...items.map((item) => make("li", item, cls)));
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
function unpackSet(one) {
  for (const columns of [one.host, ...one.cgroups.map((c) => c.columns)])
    for (const key in columns) columns[key] = unpack(columns[key]);
  if (one.others) one.others.current = unpack(one.others.current);
  return one;
}
function kib(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  let size = Math.abs(value), unit = 0;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  while (size >= 1023.95 && unit < 4) { size /= 1024; unit++; }
  return (value < 0 ? "−" : "") + size.toFixed(size < 100 && size % 1 ? 1 : 0) + " " + units[unit];
}
const size = (bytes) => (bytes === undefined || bytes === null ? "–" : kib(bytes / 1024));
function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1 && seconds > 0) return Math.round(seconds * 1000) + " ms";
  if (seconds < 120) return +seconds.toFixed(seconds < 10 ? 1 : 0) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return seconds < 172800 ? +(seconds / 3600).toFixed(1) + " h" : +(seconds / 86400).toFixed(1) + " d";
}
const iso = (us) => new Date(us / 1000).toISOString();
// Of a recording of one day the date is shown once.
const sameDay = () => !!recording.span_us && iso(recording.span_us[0]).slice(0, 10) === iso(recording.span_us[1]).slice(0, 10);
const clock = (us) => (sameDay() ? iso(us).slice(11, 19) : iso(us).slice(5, 19).replace("T", " "));
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = 10;
const colour = (i) => css(`--c${i % COLOURS}`);

// What a path is called on this page, and where its card is.
const names = new Map();
const places = new Map();
const called = (path) => (path ? names.get(path) || path.replace(/\/+$/, "").split("/").pop() || "/" : "the machine");
const byName = new Map();
// Takes what the page shows; its sets are unpacked.
function take(shown) {
  recording = shown;
  [names, places, byName].forEach((map) => map.clear());
  for (const one of recording.sets) for (const c of one.cgroups) names.set(c.path, c.name);
  for (const incident of recording.incidents) for (const path in incident.names) names.set(path, incident.names[path]);
  recording.findings.forEach((finding, i) => { names.set(finding.path, finding.name); if (finding.shown) places.set(finding.path, `container-${i}`); });
  for (const [path, id] of places) if (!byName.has(called(path))) byName.set(called(path), id);
}

// A link within the page: it opens what it leads to.
function go(id) {
  const target = byId(id);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
}
function link(text, id, cls) {
  const element = make("a", text, cls);
  element.href = "#" + id;
  element.addEventListener("click", () => go(id));
  return element;
}
function target(to) {
  if (!to) return null;
  if (to.section !== undefined) return to.section;
  if (to.incident !== undefined) return `incident-${to.incident}`;
  return places.get(to.cgroup) || "containers";
}
// Text in which a name in backticks leads to its container.
function rich(text, tag, cls) {
  const element = make(tag, null, cls);
  String(text).split("`").forEach((part, i) => {
    if (i % 2 === 0) element.append(safe(part));
    else element.append(byName.has(part) ? link(part, byName.get(part), "name") : make("code", part));
  });
  return element;
}
