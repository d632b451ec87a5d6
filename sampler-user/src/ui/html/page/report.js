// The page of a file: what it shows stands in it.
function begin() {
  const shown = JSON.parse(byId("recording").textContent);
  shown.sets.forEach(unpackSet);
  take(shown);
  view.mode = recording.head.is_sum ? "sum" : "each";
  render();
  chartTools();
  document.title = safe(`${recording.head.label ? recording.head.label + ", " : ""}${recording.host || "sampler"}: sampler report`);
  listen();
}
begin();
