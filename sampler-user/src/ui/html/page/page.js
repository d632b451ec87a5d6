function head() {
  const { head, cards } = recording;
  byId("where").textContent = safe([recording.host, recording.kernel && `kernel ${recording.kernel}`].filter(Boolean).join(", "));
  const box = make("div", null, `hero ${head.tone}`);
  const time = recording.span_us ? `${iso(recording.span_us[0]).slice(0, 16).replace("T", " ")} to ${iso(recording.span_us[1]).slice(sameDay() ? 11 : 0, 16).replace("T", " ")} UTC, ${span((recording.span_us[1] - recording.span_us[0]) / 1e6)}` : "";
  box.append(make("p", null, "over", make("span", head.label, `chip ${head.tone}`), make("span", time)));
  box.append(rich(head.sentence, "h1"));
  if (head.advice) {
    const advice = make("div", null, "todo", make("p", "What to do", "label"), make("p", head.advice));
    if (head.setting) advice.append(make("pre", head.setting));
    box.append(advice);
  }
  const links = head.links.map((one) => [one.text, target(one.to)]).filter(([, to]) => byId(to) || to.startsWith("incident-"));
  if (links.length) box.append(make("p", null, "links", ...links.map(([text, to]) => link(text, to))));
  put("head", box);
  put("cards", ...cards.map((card) => {
    const to = target(card.to);
    const one = to ? link(null, to, `card ${card.tone}`) : make("div", null, `card ${card.tone}`);
    one.append(make("span", card.title, "title"), make("span", card.value, "value"), make("span", card.words, "words"));
    return one;
  }));
}

function pressure() {
  byId("pressure").hidden = !recording.pressure.length;
  if (!recording.pressure.length) return;
  put("pressed", table("Times of pressure", [
    ["When", (p) => p.time_us, (p) => clock(p.time_us)],
    ["Who", (p) => p.name],
    ["Lasted", (p) => p.duration_s, (p) => span(p.duration_s), true],
    ["Waited", (p) => p.stall_s, (p) => span(p.stall_s), true],
    ["How", (p) => p.words],
  ], recording.pressure));
}

function events() {
  const all = recording.marks, own = all.filter((mark) => mark.is_incident);
  byId("events").hidden = !all.length;
  if (!all.length) return;
  const tableOf = (some) => table("Events", [
    ["When", (m) => m.time_us, (m) => clock(m.time_us)],
    ["Who", (m) => m.name],
    ["What", (m) => m.words, (m) => m.words + (m.count > 1 ? `, and ${m.count - 1} more until ${clock(m.until_us)}` : "")],
  ], some);
  let shown = view.events ? tableOf(all) : own.length ? tableOf(own) : make("p", "No event belongs to an incident.", "soft");
  const box = byId("eventlist");
  box.replaceChildren();
  if (own.length < all.length) {
    box.append(make("p", null, "tools", toggle(`Show all ${all.length} events`, view.events, (on) => {
      view.events = on;
      const next = on ? tableOf(all) : own.length ? tableOf(own) : make("p", "No event belongs to an incident.", "soft");
      shown.replaceWith(next);
      shown = next;
      draw();
    }), make("span", own.length ? `${own.length} of them belong to an incident` : null, "soft")));
  }
  box.append(shown);
}

function contents() {
  const sections = [["now", "Now"], ["memory", "Memory"], ["containers", "Containers"], ["incidents", "Incidents"], ["pressure", "Pressure"], ["events", "Events"], ["advice", "Advice"], ["notes", "Notes"], ["exports", "Export"]];
  put("contents", ...sections.filter(([id]) => byId(id) && !byId(id).hidden).map(([id, title]) => link(title, id)));
}

// On paper everything is open, and light.
function paper(on) {
  document.documentElement.classList.toggle("paper", on);
  document.querySelectorAll("details").forEach((details) => {
    if (on && !details.open) { details.open = true; details.dataset.closed = ""; }
    if (!on && "closed" in details.dataset) { details.open = false; delete details.dataset.closed; }
  });
  draw();
}

// What is shown of a recording; again when it changed.
function render() {
  incidents();
  containers();
  pressure();
  events();
  byId("notes").hidden = !recording.notes.length;
  put("notelist", list(recording.notes));
  byId("memory").hidden = !recording.sets.length;
  head();
  contents();
}

function listen() {
  if (location.hash) go(location.hash.slice(1));
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
