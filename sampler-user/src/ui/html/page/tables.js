// A table that sorts by its columns: [title, value of a row, cell of a row, is it a number].
function table(caption, columns, rows, options = {}) {
  const box = make("div", null, "scroll");
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption);
  const head = make("tr"), body = make("tbody"), order = rows.slice();
  let by = null, down = false;
  const fill = () => body.replaceChildren(...order.map((row) => {
    const line = make("tr");
    if (options.row) options.row(line, row);
    columns.forEach(([, value, cell, number], i) => {
      const shown = cell ? cell(row) : value(row);
      const one = make(i === 0 ? "th" : "td", shown instanceof Node ? null : shown === null || shown === undefined ? "–" : shown, number ? "n" : "");
      if (i === 0) one.scope = "row";
      if (shown instanceof Node) one.append(shown);
      line.append(one);
    });
    return line;
  }));
  const heads = columns.map(([title, value, , number], i) => {
    const th = make("th", null, number ? "n" : "");
    th.scope = "col";
    if (options.fixed) { th.textContent = title; return th; }
    const sort = button(title, "sort", () => {
      down = by === i ? !down : !!number;
      by = i;
      order.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        // What is not known comes last, either way.
        if (x === null || x === undefined || y === null || y === undefined) return (x === null || x === undefined) - (y === null || y === undefined);
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
      heads.forEach((other, j) => (j === i ? other.setAttribute("aria-sort", down ? "descending" : "ascending") : other.removeAttribute("aria-sort")));
      fill();
    });
    th.append(sort);
    return th;
  });
  head.append(...heads);
  fill();
  box.append(make("table", null, null, make("caption", caption, "quiet"), make("thead", null, null, head), body));
  return box;
}
