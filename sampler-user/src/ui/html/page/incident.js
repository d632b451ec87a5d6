const KINDS = { "oom-kill": "OOM kill", death: "No OOM kill", "abrupt-end": "Abrupt end" };
const ENDS = { "oom-kill": "OOM kill", other: "not seen", runs: "it runs" };
const LIVES = 12;

function part(id, title, ...children) {
  const box = make("section", null, null, make("h4", title), ...children);
  box.id = id;
  return box;
}

// The lives of a restart loop side by side, the last ones up to its kill.
function livesOf(one) {
  let until = 0;
  one.lives.forEach((life, i) => { if (one.time_us && life.from_us <= one.time_us) until = i; });
  const first = Math.max(0, until + 1 - LIVES), lives = one.lives.slice(first, until + 1);
  const columns = [
    ["Start", (l) => l.from_us, (l) => clock(l.from_us)],
    ["Lived", (l) => l.to_us - l.from_us, (l) => span((l.to_us - l.from_us) / 1e6), true],
    ["From", (l) => l.start_bytes, (l) => size(l.start_bytes), true],
    ["To", (l) => l.end_bytes, (l) => size(l.end_bytes), true],
    ["Growth a minute", (l) => l.rate_bytes_per_s, (l) => (l.rate_bytes_per_s > 0 ? size(l.rate_bytes_per_s * 60) : "–"), true],
    ["Ended by", (l) => l.ended, (l) => ENDS[l.ended] || l.ended],
  ];
  const out = [table("Lives", columns, lives)];
  if (first > 0) out.push(make("p", `${first} earlier lives are left out; sampler postmortem --json has them`, "hint"));
  return out;
}

function memoryOf(one) {
  const out = [], is = (key) => one.memory.some((m) => m[key]);
  const parts = [["anon", "Anonymous"], ["shmem", "Shared"], ["file", "File cache"], ["kernel", "Kernel"], ["pagetables", "Page tables"], ["sock", "Sockets"], ["swap", "Swap"]].filter(([key]) => is(key));
  const columns = [["Cgroup", (m) => called(m.path), (m) => { const name = make("span", called(m.path), m.path === one.suspect ? "suspect" : ""); name.title = safe(m.path); return name; }]];
  for (const [key, title] of [["current", "Total"], ["limit", "Limit"], ...parts]) columns.push([title, (m) => m[key], (m) => size(m[key]), true]);
  if (one.memory.length) out.push(table("Memory by cgroup", columns, one.memory));
  const processes = [
    ["Process", (p) => p.comm, (p) => (p.killed ? make("strong", `${p.comm}, killed`) : p.comm)],
    ["Pid", (p) => p.pid, null, true],
    ["Resident", (p) => p.rss, (p) => size(p.rss), true],
    ["Swap", (p) => p.swap, (p) => size(p.swap), true],
  ];
  if (one.processes.length) out.push(table("Processes", processes, one.processes));
  const m = one.machine;
  if (m.total && m.available !== undefined && m.available !== null) out.push(make("p", `The machine: ${size(m.available)} of ${size(m.total)} available${m.swap_total === 0 ? ", no swap" : m.swap_total ? `, ${size(m.swap_free)} of ${size(m.swap_total)} swap free` : ""}.`));
  return out;
}

function causesOf(one) {
  return one.causes.map((cause) => {
    const is = cause.class === one.cause;
    const head = make("summary", null, null, make("strong", cause.class), ` ${Math.round(cause.score * 100)} %${is ? ", the most likely" : ""}`);
    const details = make("details", null, "cause", head, list(cause.for, "for"), list(cause.against, "against"));
    details.open = is;
    return details;
  });
}

function incident(one, at) {
  const id = `incident-${at}`, has = (key) => one[key].length > 0;
  const what = KINDS[one.kind] || one.kind;
  const time = one.time_us ? clock(one.time_us) : one.time || "time unknown";
  const summary = make("summary", null, null, make("span", what, `chip ${one.kind === "death" ? "warn" : "bad"}`), make("span", time, "when"), make("span", whoOf(one), "who"));
  const box = make("details", null, "incident", summary);
  box.id = id;
  box.open = at === 0;
  box.append(rich(one.verdict, "p", "verdict"));
  const facts = make("p", null, "soft", `Cause: ${one.cause}${one.contributing.length ? `, also ${one.contributing.join(", ")}` : ""}; confidence ${Math.round(one.confidence * 100)} %.`);
  if (one.witnesses.length) facts.append(` Seen by ${one.witnesses.join(", ")}.`);
  box.append(facts);
  const parts = [];
  const add = (key, title, children) => { if (children.length) parts.push([`${id}-${key}`, title, part(`${id}-${key}`, title, ...children)]); };
  add("change", "What to change", one.advice.map((advice) => {
    const item = make("div", null, "advice", make("p", advice.what));
    if (advice.setting) item.append(make("pre", advice.setting));
    item.append(make("p", `Because ${advice.because}.`, "soft"));
    return item;
  }));
  if (one.loop && has("lives")) add("lives", "Lives", livesOf(one));
  add("memory", "Memory then", memoryOf(one));
  add("causes", "Causes, and what speaks for and against each", causesOf(one));
  const moments = one.timeline.moments;
  if (moments.length) {
    add("timeline", "What happened", [table("Timeline", [
      ["When", (m) => -m.before_s, (m) => (Math.abs(m.before_s) < 0.05 ? "0 s" : `${m.before_s > 0 ? "−" : "+"}${span(Math.abs(m.before_s))}`)],
      ["Who", (m) => called(m.cgroup)],
      ["What", (m) => m.what],
    ], moments)]);
  }
  add("unknown", "What is not known", has("unknown") ? [list(one.unknown)] : []);
  const jump = make("p", null, "links", ...parts.map(([to, title]) => link(title.split(",")[0], to)));
  if (one.time_us && recording.sets.length) jump.prepend(button("In the chart", "", () => show("", one.time_us / 1e6)));
  box.append(jump, ...parts.map(([, , element]) => element));
  return box;
}

function whoOf(one) {
  const victim = one.victims[0], more = one.victims.length + (one.more_victims || 0) - 1;
  if (one.death) return `${one.death.comm || "a process"}${one.death.cgroup ? ` in ${called(one.death.cgroup)}` : ""}`;
  if (!victim) return one.kind === "abrupt-end" ? "the recording" : "";
  return `${victim.comm || "a process"}${victim.cgroup ? ` in ${called(victim.cgroup)}` : ""}${more > 0 ? ` and ${more} more` : ""}`;
}

function incidents() {
  byId("incidents").hidden = !recording.incidents.length && !recording.list.length;
  put("list");
  put("pages", ...recording.incidents.map(incident));
  if (recording.list.length > recording.incidents.length || recording.list.length > 1) {
    put("list", table("All incidents", [
      ["Time", (i) => i.time_us, (i) => clock(i.time_us)],
      ["Kind", (i) => KINDS[i.kind] || i.kind],
      ["Who", (i) => i.who, (i) => (i.page === null ? i.who.replaceAll("`", "") : link(i.who.replaceAll("`", ""), `incident-${i.page}`))],
      ["How", (i) => i.how, (i) => (i.how || "").replaceAll("`", "")],
    ], recording.list));
  }
}
