// The namespace, without its address: nothing of the page looks like a request.
const SVG = Object.assign(document.createElement("div"), { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;

// A small chart: its memory over the time it was there, its limit and its kills.
function spark(columns, set, kills) {
  const W = 300, H = 64, values = columns.current, svg = document.createElementNS(SVG, "svg");
  const known = values.map((v, i) => (v === null ? -1 : i)).filter((i) => i >= 0);
  let from = known[0] || 0, to = known[known.length - 1] || 1;
  // What lived for a moment fills its chart.
  const brief = to - from < 0.25 * values.length;
  if (!brief) { from = 0; to = values.length - 1; }
  const most = Math.max(1, ...known.map((i) => values[i])), limits = columns.max || [];
  const limit = limits.slice(from, to + 1).reduce((last, v) => (v === null ? last : v), null);
  const top = Math.max(most, limit !== null && limit < 1.7 * most ? limit : 0) * 1.1;
  const x = (i) => ((i - from) / Math.max(to - from, 1)) * W, y = (v) => H - (v / top) * H;
  const draw = (tag, attributes) => { const one = document.createElementNS(svg.namespaceURI, tag); for (const key in attributes) one.setAttribute(key, attributes[key]); svg.append(one); };
  let line = "", area = "", pen = false, begin = 0, last = 0;
  const close = () => { if (pen) area += `V${H}H${begin}Z`; pen = false; };
  for (let i = from; i <= to; i++) {
    const v = values[i];
    if (v === null) { close(); continue; }
    const at = `${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    if (!pen) { begin = x(i).toFixed(1); line += `M${at}`; area += `M${at}`; } else { line += `L${at}`; area += `L${at}`; }
    pen = true;
    last = i;
  }
  close();
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  draw("path", { d: area, class: "area" });
  draw("path", { d: line, class: "line" });
  if (limit !== null && limit <= top) draw("path", { d: `M0 ${y(limit)}H${W}`, class: "limit" });
  for (const kill of kills) {
    const at = (kill - set.from_us) / set.step_us;
    if (at >= from - 2 && at <= to + 2) draw("path", { d: `M${Math.min(x(at), W - 1).toFixed(1)} 0V${H}`, class: "kill" });
  }
  const time = (i) => clock(set.from_us + i * set.step_us);
  return { svg, words: brief ? `${time(from)} to ${time(last)}` : null };
}

function multiple(finding, id, set) {
  const card = make("article", null, `multiple ${finding.tone}`);
  card.id = id;
  card.tabIndex = -1;
  const head = make("h3", null, null, make("span", finding.name, "who"), make("span", finding.state, `chip ${finding.tone}`));
  const figures = make("p", null, "figures", make("strong", size(finding.size)), make("span", finding.limit ? `of ${size(finding.limit)}` : "no limit of its own"));
  card.append(head, figures);
  const plot = set && set.cgroups.find((c) => c.path === finding.path);
  if (plot && plot.columns.current && plot.columns.current.some((v) => v !== null)) {
    const kills = recording.marks.filter((m) => m.kind === "oom_kill" && m.cgroup === finding.path).map((m) => m.time_us);
    const { svg, words } = spark(plot.columns, set, kills);
    const open = button(null, "spark", () => show(finding.path));
    open.setAttribute("aria-label", safe(`Memory of ${finding.name} in the chart`));
    open.append(svg);
    card.append(open);
    if (words) card.append(make("p", words, "hint"));
  }
  card.append(make("p", finding.remarks.length ? finding.remarks.join("; ") : "nothing to report", "remarks"));
  const pages = recording.incidents.map((incident, i) => [incident, i]).filter(([incident]) => incident.victims.some((v) => v.cgroup === finding.path) || incident.suspect === finding.path);
  const more = make("p", null, "links", ...pages.slice(0, 2).map(([incident, i]) => link(`${incident.kind === "oom-kill" ? "kill" : "end"} at ${clock(incident.time_us)}`, `incident-${i}`)));
  if (pages.length) card.append(more);
  if (finding.evidence.length) {
    const details = make("details", null, null, make("summary", "Evidence"), list(finding.evidence), make("p", finding.path, "path"));
    card.append(details);
  }
  return card;
}

function containers() {
  const all = recording.findings;
  byId("containers").hidden = !all.length;
  if (!all.length) return;
  const set = recording.sets[0];
  put("multiples", ...all.map((finding, i) => [finding, i]).filter(([finding]) => finding.shown).map(([finding, i]) => multiple(finding, `container-${i}`, set)));
  const chip = (finding) => make("span", finding.state, `chip ${finding.tone}`);
  const who = (finding) => button(finding.name, "inline", () => show(finding.path));
  const has = (value) => all.some((finding) => value(finding));
  const columns = [
    ["Name", (f) => f.name, who],
    ["State", (f) => f.state, chip],
    ["Size", (f) => f.size, (f) => size(f.size), true],
    ["Peak", (f) => f.peak, (f) => size(f.peak), true],
    ["Limit", (f) => f.limit, (f) => size(f.limit), true],
    ["Growth a minute", (f) => f.pace, (f) => size(f.pace), true],
    ["Full in", (f) => f.left_s, (f) => span(f.left_s), true],
    ["Waited", (f) => f.stalled_s || null, (f) => span(f.stalled_s || null), true],
    ["Kills", (f) => f.kills || null, (f) => f.kills || "–", true],
  ].filter(([title, value]) => title === "Name" || has(value));
  const draw = (full) => table("Containers and other cgroups", columns, full ? all : all.filter((finding) => finding.shown));
  let shown = draw(false);
  const box = byId("all");
  box.replaceChildren();
  if (recording.folded) {
    box.append(make("p", null, "tools", toggle(`Show all ${all.length}`, false, (on) => { const next = draw(on); shown.replaceWith(next); shown = next; }), make("span", recording.folded, "soft")));
  }
  box.append(shown);
  if (recording.together.length) {
    const details = make("details", null, null, make("summary", `What rises together (${recording.together.length})`), list(recording.together.slice(0, 20)));
    box.append(details);
  }
}
