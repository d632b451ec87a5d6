// A page that can ask for more has its own of the last three: another time or cgroup is looked at, the whole time is wanted, and
// how far one can zoom out, seconds.
const view = { set: 0, subject: "", mode: "each", hidden: new Set(), zoom: null, events: false, machine: true, seen: () => {}, whole: () => { view.zoom = null; draw(); }, reach: (x) => [x[0], x[x.length - 1]] };
let plots = [], layersNow = { list: [], limits: [] };

// What is drawn: of the cgroups that matter each one's memory and the others as one, of one cgroup its parts.
function layers(current) {
  if (view.subject === MACHINE) return partsOfMachine(current.host);
  if (view.subject !== "") return partsOf(current.cgroups.find((c) => c.path === view.subject));
  const charted = current.cgroups.slice(0, current.charted).map((c, i) => ({ ...c, colour: i }));
  const shown = charted.filter((c) => c.columns.current && (view.mode === "each" || !c.is_above));
  const list = shown.map((c) => ({ key: c.path, name: c.name, colour: c.colour, values: c.columns.current, max: c.columns.max }));
  const top = (values) => values.reduce((most, v) => Math.max(most, v || 0), 0);
  const highest = Math.max(1, ...list.filter((l) => !view.hidden.has(l.key)).map((l) => top(l.values)));
  if (current.others) {
    const layer = { key: "others", name: `${current.others.count} ${current.others.count === 1 ? "other" : "others"}`, colour: -1, values: current.others.current };
    // Beside what dwarfs them the others would be lines on the floor.
    layer.dwarfs = view.mode === "each" && top(layer.values) > 4 * highest;
    // In a sum they lie on top: below them is what a limit holds.
    view.mode === "each" ? list.unshift(layer) : list.push(layer);
  }
  const limits = [];
  const add = (name, values, colour, most) => {
    if (values && values.some((v) => v !== null && v <= most)) limits.push({ name, values: values.map((v) => (v !== null && v <= most ? v : null)), colour });
  };
  if (view.mode === "each") list.forEach((l) => { if (l.max && !view.hidden.has(l.key)) add(`limit of ${l.name}`, l.max, l.colour, 1.6 * Math.max(highest, 1)); });
  else charted.filter((c) => c.is_above).forEach((c) => add(`limit of ${c.name}`, c.columns.max, c.colour, Infinity));
  if (view.mode === "sum" && !limits.length) {
    const sum = list.reduce((all, l) => all.map((v, i) => v + (l.values[i] || 0)), new Array(current.points).fill(0));
    add("the machine", current.host.mem_total, -2, 2.5 * Math.max(...sum));
  }
  return { list, limits };
}

// No path of a cgroup.
const MACHINE = "machine";
const MACHINE_PARTS = [["processes", "processes"], ["shared", "tmpfs, shared"], ["kernel", "kernel"], ["huge", "huge pages"], ["unexplained", "not explained"], ["kernel_caches", "kernel caches"], ["cache", "page cache"], ["free", "free"]];
const hasAccount = (host) => !!host[`machine_${MACHINE_PARTS[0][0]}`];

// Where all of the machine's memory was.
function partsOfMachine(host) {
  const list = MACHINE_PARTS.map(([key, name], i) => ({ key, name, colour: key === "free" ? -1 : i, values: host[`machine_${key}`] })).filter((l) => l.values && l.values.some((v) => v));
  return { list, limits: [{ name: "all memory", values: host.mem_total, colour: -2 }].filter((l) => l.values) };
}

function partsOf(one) {
  if (!one) return { list: [], limits: [] };
  const columns = one.columns, list = [];
  [["anon", "anonymous"], ["shmem", "shared, tmpfs"], ["cache", "page cache"], ["kernel", "kernel"], ["swap", "swap"]].forEach(([key, name], i) => {
    if (columns[key]) list.push({ key, name, colour: i, values: columns[key] });
  });
  if (!list.length && columns.current) list.push({ key: "current", name: one.name, colour: 0, values: columns.current });
  const limits = [{ name: "limit", values: columns.max, colour: -2 }];
  if (columns.anon && columns.current) limits.push({ name: "usage", values: columns.current, colour: -3 });
  return { list, limits: limits.filter((l) => l.values && l.values.some((v) => v !== null)) };
}

const isOff = (layer) => view.hidden.has(layer.key) !== !!layer.dwarfs;
const paint = (i) => (i === -1 ? css("--others") : i === -2 ? css("--hot") : i === -3 ? css("--ink") : colour(i));
const isSum = () => view.subject !== "" || view.mode === "sum";

function heights(list) {
  if (!isSum()) return list.map((layer) => (isOff(layer) ? layer.values.map(() => null) : layer.values));
  let below = null;
  return list.map((layer) => {
    const off = isOff(layer);
    below = layer.values.map((v, i) => (below ? below[i] : 0) + (off || v === null ? 0 : v));
    const sum = below;
    return layer.values.map((v, i) => (off || v === null ? null : sum[i]));
  });
}

// Incidents, and events where they are asked for, over every plot.
const marks = { hooks: { draw: [(u) => {
  const ctx = u.ctx, box = u.bbox, dot = devicePixelRatio;
  let written = -Infinity;
  ctx.save();
  ctx.font = `${12 * dot}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  const visible = recording.marks.filter((mark) => mark.kind === "oom_kill" || view.events);
  for (const incident of recording.incidents) if (incident.kind !== "oom-kill" && incident.time_us) visible.push({ time_us: incident.time_us, until_us: incident.time_us, kind: "end", name: incident.kind === "death" ? "ended" : "the end", count: 1 });
  for (const mark of visible.sort((a, b) => a.time_us - b.time_us)) {
    const from = mark.time_us / 1e6, to = mark.until_us / 1e6, strong = mark.kind === "oom_kill";
    if (to < u.scales.x.min || from > u.scales.x.max) continue;
    const x = Math.max(u.valToPos(from, "x", true), box.left), end = Math.min(u.valToPos(to, "x", true), box.left + box.width);
    if (end - x > 2) { ctx.globalAlpha = 0.07; ctx.fillStyle = css("--hot"); ctx.fillRect(x, box.top, end - x, box.height); ctx.globalAlpha = 1; }
    ctx.strokeStyle = ctx.fillStyle = strong ? css("--hot") : css("--soft");
    ctx.lineWidth = (strong ? 1.5 : 1) * dot;
    ctx.setLineDash(strong ? [] : [3 * dot, 3 * dot]);
    ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
    if (strong) { ctx.beginPath(); ctx.moveTo(x - 5 * dot, box.top); ctx.lineTo(x + 5 * dot, box.top); ctx.lineTo(x, box.top + 8 * dot); ctx.fill(); }
    if (u !== plots[0] || !(strong || mark.kind === "end")) continue;
    const text = safe(mark.name + (mark.count > 1 ? ` ×${mark.count}` : "")), wide = ctx.measureText(text).width;
    const left = x + 6 * dot + wide > box.left + box.width ? x - 6 * dot - wide : x + 6 * dot;
    if (left > written + 8 * dot) { ctx.fillText(text, left, box.top + 12 * dot); written = left + wide; }
  }
  ctx.restore();
}] } };

function axes(show, incrs) {
  const axis = { stroke: css("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
  const time = (ts, incr) => { const at = new Date(ts * 1e3).toISOString(); return incr >= 86400 ? at.slice(5, 10) : incr >= 60 ? at.slice(11, 16) : at.slice(11, incr < 1 ? 23 : 19); };
  return [{ ...axis, space: 90, values: (u, ticks, at, room, incr) => ticks.map((ts) => time(ts, incr)) }, { ...axis, size: 72, ...(incrs ? { incrs } : {}), values: (u, ticks) => ticks.map(show) }];
}

function follow(u, key) {
  if (key !== "x") return;
  view.zoom = [u.scales.x.min, u.scales.x.max];
  for (const other of plots) if (other !== u && (other.scales.x.min !== view.zoom[0] || other.scales.x.max !== view.zoom[1])) other.setScale("x", { min: view.zoom[0], max: view.zoom[1] });
  view.seen();
}

function draw() {
  // A new plot has its whole range at first.
  const keep = view.zoom;
  plots.forEach((plot) => plot.destroy());
  plots = [];
  const current = recording.sets[view.set];
  if (!current) return;
  const x = Array.from({ length: current.points }, (_, i) => (current.from_us + i * current.step_us) / 1e6);
  const width = byId("chart").clientWidth, phone = width < 600;
  const { list, limits } = (layersNow = layers(current));
  const values = heights(list), sum = isSum();
  const common = { width, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"), cursor: { sync: { key: "time" }, drag: { x: true, y: false }, points: { show: false } }, plugins: [marks], hooks: { setScale: [follow] }, legend: { show: false } };
  const filled = (layer) => sum || layer.key === "others";
  plots.push(new uPlot({
    ...common, height: phone ? 260 : 360, axes: axes((v) => kib(v), Array.from({ length: 40 }, (_, i) => 2 ** i)),
    scales: { y: { range: (u, low, high) => [0, (high || 1) * 1.1] } },
    series: [{}, ...list.map((layer, i) => ({ label: safe(layer.name), stroke: paint(layer.colour), width: filled(layer) ? 1 : 2, fill: filled(layer) && !(sum && i) ? paint(layer.colour) + (sum ? "cc" : "40") : undefined, points: { show: false } })),
      ...limits.map((limit) => ({ label: safe(limit.name), stroke: paint(limit.colour), width: 1.5, dash: [6, 4], points: { show: false } }))],
    bands: sum ? list.slice(1).map((layer, i) => ({ series: [i + 2, i + 1], fill: paint(layer.colour) + "cc" })) : [],
  }, [x, ...values, ...limits.map((limit) => limit.values)], byId("chart")));
  const source = view.subject === "" || view.subject === MACHINE ? current.host : (current.cgroups.find((c) => c.path === view.subject) || { columns: {} }).columns;
  const rows = [["psi_some", "some task waits for memory, % of time", 1e4], ["psi_full", "all tasks wait, % of time", 1e4], ["hits", "limit hits in a second", 1], ["throttles", "throttled by memory.high in a second", 1]].filter(([key]) => source[key] && source[key].some((v) => v));
  if (rows.length) {
    plots.push(new uPlot({
      ...common, title: "Pressure: " + rows.map((r) => r[1]).join("; "), height: phone ? 140 : 150, axes: axes((v) => String(Math.round(v * 100) / 100)),
      scales: { y: { range: (u, low, high) => [0, Math.max(high || 0, 1) * 1.1] } },
      series: [{}, ...rows.map(([key, name], i) => ({ label: name, stroke: colour(i * 3 + 1), width: 1.5, points: { show: false } }))],
    }, [x, ...rows.map(([key, , by]) => source[key].map((v) => (v === null ? null : v / by)))], byId("waits")));
  }
  if (keep) plots[0].setScale("x", { min: keep[0], max: keep[1] });
  legend(list, limits);
}

function legend(list, limits) {
  const outputs = [];
  const entry = (item, name, layer, values, dashed) => {
    const swatch = make("i", null, dashed ? "dashed" : ""), value = make("span", null, "value");
    swatch.style[dashed ? "borderColor" : "background"] = paint(layer.colour);
    item.append(swatch, make("span", name), value);
    outputs.push([value, values]);
    return item;
  };
  const items = list.map((layer) => {
    const item = button(null, "", () => {
      view.hidden.has(layer.key) ? view.hidden.delete(layer.key) : view.hidden.add(layer.key);
      const at = [...byId("legend").children].indexOf(item);
      draw();
      byId("legend").children[at].focus();
    });
    item.setAttribute("aria-pressed", !isOff(layer));
    item.title = safe(layer.key);
    return entry(item, layer.name, layer, layer.values);
  });
  // Each limit has the colour of its cgroup; only one that is no cgroup's of the chart needs its name.
  const own = limits.filter((limit) => limit.colour >= 0 && !isSum());
  if (own.length) items.push(entry(make("span", null, "limit"), own.length === 1 ? own[0].name : "their limits", { colour: own.length === 1 ? own[0].colour : -3 }, [], true));
  items.push(...limits.filter((limit) => !own.includes(limit)).map((limit) => entry(make("span", null, "limit"), limit.name, limit, limit.values, true)));
  const time = make("span", null, "time");
  put("legend", ...items, time);
  const show = (u) => {
    const at = u.cursor.idx, none = at === null || at === undefined;
    outputs.forEach(([output, values]) => { output.textContent = none || !values.length ? "" : kib(values[at]); });
    time.textContent = none ? "" : new Date(u.data[0][at] * 1000).toISOString().slice(11, 23) + " UTC";
  };
  plots.forEach((plot) => (plot.hooks.setCursor = [...(plot.hooks.setCursor || []), show]));
}

// The chart by the keyboard: a pointer that moves, and zoom around it.
function chartKey(event) {
  const u = plots[0];
  if (!u || event.ctrlKey || event.metaKey || event.altKey) return;
  const width = u.over.clientWidth, at = u.cursor.left >= 0 ? u.cursor.left : width / 2;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) {
    const left = Math.min(Math.max(at + step * width / (event.shiftKey ? 20 : 100), 0), width - 1);
    u.setCursor({ left, top: u.over.clientHeight / 2 });
  } else if (event.key === "+" || event.key === "=" || event.key === "-") {
    const middle = u.posToVal(at, "x"), { min, max } = u.scales.x, by = event.key === "-" ? 2 : 0.5, [first, last] = view.reach(u.data[0]);
    u.setScale("x", { min: Math.max(middle - (middle - min) * by, first), max: Math.min(middle + (max - middle) * by, last) });
  } else if (event.key === "Escape") {
    wholeTime();
  } else return;
  event.preventDefault();
}
const wholeTime = () => view.whole();

// Shows one cgroup, or all; `at` is the time to look at, seconds.
function show(path, at) {
  view.subject = path;
  view.hidden = new Set();
  view.zoom = at ? [at - 60, at + 10] : view.zoom;
  byId("subject").value = path;
  draw();
  view.seen();
  byId("memory").scrollIntoView();
  byId("chart").focus({ preventScroll: true });
}

// The choices of the chart: its cgroups and its times.
function choices() {
  const option = (text, value) => { const one = make("option", text); one.value = value; return one; };
  const { cgroups, charted } = recording.sets[0];
  const group = (label, some) => { const one = make("optgroup"); one.label = label; one.append(...some.map((c) => option(c.name === called(c.path) ? c.name : `${c.name} (${c.path})`, c.path))); return one; };
  const subject = byId("subject"), rest = cgroups.slice(charted);
  subject.replaceChildren(option(charted ? "all that matter" : "all", ""));
  const { host } = recording.sets[0];
  if (view.machine && hasAccount(host)) subject.append(option("the machine, by kind of memory", MACHINE));
  if (charted) subject.append(group("one of them", cgroups.slice(0, charted)));
  if (rest.length) subject.append(group("others", rest));
  if (view.subject && view.subject !== MACHINE && !cgroups.some((c) => c.path === view.subject)) subject.append(option(called(view.subject), view.subject));
  subject.value = view.subject;
  byId("set").replaceChildren(...recording.sets.map((one, i) => option(one.name, i)));
  byId("set").value = view.set;
}

function chartTools() {
  if (!recording.sets.length) return;
  choices();
  const subject = byId("subject"), set = byId("set");
  subject.addEventListener("change", () => { view.subject = subject.value; view.hidden = new Set(); draw(); view.seen(); });
  set.addEventListener("change", () => { view.set = +set.value; view.zoom = null; draw(); });
  const modes = [["each", "Each"], ["sum", "Sum"]].map(([mode, text]) => {
    const one = button(text, "", () => { view.mode = mode; view.hidden = new Set(); modes.forEach((m, i) => m.setAttribute("aria-pressed", ["each", "sum"][i] === mode)); draw(); });
    one.setAttribute("aria-pressed", view.mode === mode);
    return one;
  });
  put("modes", ...modes);
  byId("whole").addEventListener("click", wholeTime);
  byId("chart").addEventListener("keydown", chartKey);
  byId("chart").addEventListener("dblclick", wholeTime);
  draw();
}
