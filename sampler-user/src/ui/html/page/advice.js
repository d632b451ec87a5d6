// What the limits should be, as `advise` has it, and what changes them.
function showAdvice(doc) {
  byId("advice").hidden = false;
  const children = [table("What the limits should be", [
    ["Container", (c) => c.title],
    ["State", (c) => c.state, (c) => c.state.replaceAll("-", " ")],
    ["Limit", (c) => c.limit, (c) => size(c.limit), true],
    ["Advised", (c) => c.after, (c) => size(c.after), true],
    ["Peak", (c) => c.peak, (c) => size(c.peak), true],
    ["Confidence", (c) => c.confidence],
    ["Why", (c) => c.reasons[0], (c) => c.reasons.join("; ") || "–"],
  ], doc.containers)];
  const text = doc.compose ? doc.compose.text : doc.docker_update.join("\n");
  if (text) {
    const status = make("span", null, "soft"), file = doc.compose ? "sampler.override.yml" : "docker-update.sh";
    status.setAttribute("role", "status");
    const copy = button("Copy", "", () => navigator.clipboard.writeText(text).then(() => write(status, "copied"), () => write(status, "the browser does not allow it")));
    const save = make("a", `Download ${file}`);
    save.href = "#advice";
    save.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([text], { type: "text/plain" })), one = make("a");
      one.href = address;
      one.download = file;
      one.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
    children.push(make("h3", doc.compose ? "Override of the Compose file" : "The commands that change them"), make("pre", null, null, safeLines(text)), make("p", null, "links", copy, save, status));
  }
  if (!doc.containers.length) children.splice(0, 1, make("p", "There is no container to advise a limit of.", "soft"));
  const said = doc.checks.map((check) => `${check.who.length ? check.who.join(", ") : "the machine"}: ${check.evidence}; ${check.change.join("; ")}`);
  if (said.length) children.push(list(said));
  put("advised", ...children);
}
// Of several lines.
const safeLines = (text) => text.split("\n").map(safe).join("\n");
