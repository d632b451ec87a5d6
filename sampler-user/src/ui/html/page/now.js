// The present: the machine, and a line for each cgroup. A line stays the same element, so that who looks at it or has its focus
// does not lose it once a second.
const present = { doc: null, rows: new Map(), past: new Map(), all: false, order: "matters", wanted: "", tints: new Map() };
const POINTS = 120;
const percent = (value) => (value === null || value === undefined ? "–" : `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`);
const ORDERS = [
  ["matters", "what matters"], ["memory", "memory", (l) => l.current], ["used", "% of the limit", (l) => l.used], ["growth", "growth", (l) => l.growth_per_min],
  ["time", "time to the limit", (l) => (l.time_to_limit_s === null ? null : -l.time_to_limit_s)], ["pressure", "pressure", (l) => l.pressure], ["kills", "OOM kills", (l) => l.oom_kills], ["name", "name"],
];

function remember(path, kib) {
  let points = present.past.get(path);
  if (!points) present.past.set(path, (points = []));
  points.push(kib);
  if (points.length > POINTS) points.shift();
}

// Memory of the last two minutes; how it moves is more than how much it is.
function trace(path) {
  const points = present.past.get(path) || [], known = points.filter((v) => v !== null);
  if (known.length < 2) return "";
  const low = Math.min(...known), room = Math.max(Math.max(...known) - low, low * 0.02, 1);
  let line = "", pen = false;
  points.forEach((v, i) => {
    if (v === null) { pen = false; return; }
    line += `${pen ? "L" : "M"}${((i + POINTS - points.length) * 120 / (POINTS - 1)).toFixed(1)} ${(22 - ((v - low) / room) * 20).toFixed(1)}`;
    pen = true;
  });
  return line;
}

const HEADS = [["Container", ""], ["Memory", "n"], ["Of its limit", "n"], ["Not reclaimable", "n less"], ["Growth a minute", "n less"], ["Full in", "n"], ["Pressure", "n less"], ["Kills", "n"], ["Last two minutes", "less"]];

function row(path) {
  const line = make("tr"), name = button("", "inline", () => show(path)), head = make("th", null, null, name);
  head.scope = "row";
  const cells = HEADS.slice(1).map(([, cls]) => make("td", null, cls));
  const fill = make("i"), bar = make("span", null, "fill", fill), limit = make("span");
  cells[1].append(limit, bar);
  const svg = document.createElementNS(SVG, "svg"), path_ = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 120 24");
  svg.setAttribute("class", "tiny");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path_);
  cells[7].append(svg);
  line.append(head, ...cells);
  return { line, name, cells, fill, bar, limit, path: path_ };
}

const write = (element, text, cls) => { const shown = safe(text); if (element.textContent !== shown) element.textContent = shown; if (cls !== undefined && element.className !== cls) element.className = cls; };

function fillRow(one, l) {
  write(one.name, l.name);
  one.name.title = safe(l.path);
  one.line.className = l.gone ? "gone" : "";
  const used = l.unreclaimable_used ?? l.firm_used ?? l.used, tone = used > 0.95 ? "bad" : used > 0.8 ? "warn" : "";
  write(one.cells[0], size(l.current));
  write(one.limit, l.limit ? `${percent(l.used)} of ${size(l.limit)}` : l.own_limit === false ? "no limit" : "–");
  one.bar.className = `fill ${tone}`;
  one.bar.hidden = !l.limit;
  one.fill.style.width = `${Math.min(100, 100 * (l.used || 0))}%`;
  write(one.cells[2], size(l.firm));
  write(one.cells[3], l.growth_per_min > 0 ? size(l.growth_per_min) : l.growth_per_min === null ? "–" : "0", `n less ${l.leaks ? "bad" : ""}`);
  write(one.cells[4], l.time_to_limit_s === null ? "–" : span(l.time_to_limit_s) + (l.machine_first ? " (machine)" : ""), `n ${l.time_to_limit_s !== null && l.time_to_limit_s < 1800 ? "bad" : ""}`);
  write(one.cells[5], percent(l.pressure), `n less ${l.pressure > 0.1 ? "warn" : ""}`);
  write(one.cells[6], l.oom_kills || "–", `n ${l.oom_kills ? "bad" : ""}`);
  one.path.setAttribute("d", trace(l.path));
}

const LINES = 20;

function chosen(all) {
  const wanted = present.wanted.toLowerCase(), has = (l) => l.name.toLowerCase().includes(wanted) || l.path.toLowerCase().includes(wanted);
  let lines = wanted ? all.filter(has) : all;
  const containers = lines.filter((l) => l.container);
  if (!present.all && !wanted && containers.length) lines = containers;
  const key = (ORDERS.find(([name]) => name === present.order) || [])[2];
  if (key) lines = lines.slice().sort((a, b) => (key(b) ?? -Infinity) - (key(a) ?? -Infinity));
  if (present.order === "name") lines = lines.slice().sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return present.all || wanted ? lines : lines.slice(0, LINES);
}

function fillLines() {
  if (!present.doc) return;
  const all = present.doc.cgroups, lines = chosen(all), body = byId("lines").querySelector("tbody");
  const there = new Set(all.map((l) => l.path));
  for (const path of present.past.keys()) if (!there.has(path)) { present.past.delete(path); present.rows.delete(path); }
  const order = lines.map((l) => {
    let one = present.rows.get(l.path);
    if (!one) present.rows.set(l.path, (one = row(l.path)));
    fillRow(one, l);
    return one.line;
  });
  const now = [...body.children];
  if (now.length !== order.length || now.some((line, i) => line !== order[i])) {
    const focused = document.activeElement;
    body.replaceChildren(...order);
    if (focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true });
  }
  write(byId("counted"), lines.length < all.length ? `${lines.length} of ${all.length} cgroups` : `${all.length} cgroups`);
}

function fillMachine(m) {
  const box = byId("machine");
  if (!box.children.length) box.append(make("div", null, "figuresbar"), make("div", null, "account"), make("ul", null, "kinds"));
  const [figures, bar, kinds] = box.children;
  const card = (title, value, words, tone) => { const one = make("div", null, `card ${tone || ""}`, make("span", title, "title"), make("span", value, "value"), make("span", words, "words")); return one; };
  const left = m.total && m.used !== null ? m.total - m.used : null, free = left === null ? null : left / m.total;
  figures.replaceChildren(
    card("Used", size(m.used), m.total ? `of ${size(m.total)}` : "", ""),
    card("Available", size(left), free === null ? "" : percent(free), free !== null && free < 0.1 ? "bad" : free !== null && free < 0.2 ? "warn" : ""),
    card("Swap", size(m.swap_used), m.swap_total ? `of ${size(m.swap_total)}` : m.swap_total === 0 ? "there is none" : "", ""),
    card("Pressure", percent(m.pressure), "of the last ten seconds", m.pressure > 0.1 ? "warn" : ""),
    card("Limits of the containers", size(m.limits), m.unlimited ? `${m.unlimited} without a limit` : m.limits ? "all have one" : "there are no containers", ""),
  );
  const parts = (m.account ? m.account.parts : []).slice().sort((a, b) => b.bytes - a.bytes), shown = parts.slice(0, 7);
  const rest = parts.slice(7).reduce((sum, one) => sum + one.bytes, 0);
  if (rest) shown.push({ kind: "other kinds", bytes: rest });
  // Each kind keeps its colour while the order changes.
  const own = (kind) => { if (!present.tints.has(kind)) present.tints.set(kind, present.tints.size); return colour(present.tints.get(kind)); };
  const tint = (one) => (String(one.kind).startsWith("free") ? css("--line") : one.kind === "other kinds" ? css("--others") : own(one.kind));
  bar.replaceChildren(...shown.map((one) => { const piece = make("i"); piece.style.width = `${100 * one.bytes / m.account.total}%`; piece.style.background = tint(one); return piece; }));
  kinds.replaceChildren(...shown.map((one) => { const dot = make("i"); dot.style.background = tint(one); return make("li", null, null, dot, `${safe(String(one.kind).replaceAll(/[-_]/g, " "))} ${size(one.bytes)}`); }));
}

function showNow(doc) {
  present.doc = doc;
  byId("now").hidden = !doc.cgroups.length;
  if (!doc.cgroups.length) return;
  for (const l of doc.cgroups) remember(l.path, l.current === null || l.gone ? null : l.current / 1024);
  fillMachine(doc.machine);
  fillLines();
}

function nowTools() {
  const head = make("tr");
  head.append(...HEADS.map(([title, cls]) => { const th = make("th", title, cls); th.scope = "col"; return th; }));
  const box = make("div", null, "scroll", make("table", null, null, make("caption", "Containers now", "quiet"), make("thead", null, null, head), make("tbody")));
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Containers now");
  put("lines", box);
  byId("order").append(...ORDERS.map(([value, text]) => { const one = make("option", text); one.value = value; return one; }));
  byId("order").addEventListener("change", () => { present.order = byId("order").value; fillLines(); });
  byId("filter").addEventListener("input", () => { present.wanted = byId("filter").value; fillLines(); });
  byId("more").addEventListener("click", () => { present.all = !present.all; byId("more").setAttribute("aria-pressed", present.all); fillLines(); });
}
