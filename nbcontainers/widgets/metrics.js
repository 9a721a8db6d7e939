// What containers use: a table with Docker's columns that goes on, and charts of those that are chosen.

export function mount(live) {
  const { h } = live;
  const drawn = (live.state.drawn ??= new Set()); // ids with a line in the charts; chosen by hand where `picked`
  const lines = new Map(); // id -> {row, line, cells}
  let chart = null;
  let past = null;
  let rows = [];
  const asked = new Set(); // ids whose past was asked for

  const head = h("tr", {});
  const body = h("tbody", { onclick: clicked, onkeydown: typed });
  const more = h("div", { class: "nbc-metrics-more" });
  const none = h("div", { class: "nbc-metrics-more", hidden: true }, "no container runs");
  const place = h("div", {});
  live.el.append(
    h("div", { class: "nbc-metrics-box" }, h("table", { class: "mathjax_ignore tex2jax_ignore" }, h("thead", {}, head), body)),
    more, none, place);

  const loaded = live.load("chart.js").then((module) => {
    past = module.pasts(live.state);
    chart = { ...module, board: module.charts(live) };
    live.size((width) => {
      chart.board.across(width > 900 ? 3 : width > 560 ? 2 : 1);
      draw();
    });
    place.append(chart.board.el);
    draw();
  });

  live.facts((facts) => {
    rows = facts.rows;
    titles(facts.columns);
    const there = new Set(rows.map((row) => row.id));
    for (const [id, one] of lines) if (!there.has(id)) { one.line.remove(); lines.delete(id); drawn.delete(id); asked.delete(id); }
    rows.forEach((row, at) => fill(row, at, facts.columns));
    none.hidden = rows.length > 0;
    more.textContent = facts.more ? `… ${facts.more} more; container stats has all` : "";
    choose().then(live.drawn);
    if (!past) return;
    past.keep(there);
    for (const row of rows) if (row.point) past.add(row.id, row.point);
    draw();
  });

  function titles(columns) {
    if (head.children.length === columns.length + 1) return;
    head.replaceChildren(h("th", { class: "pick" }), ...columns.map(([title, right]) => h("th", { scope: "col", class: right ? "right" : null }, title.replace(/ (?=%)|(?<=\(OF) /g, "\u00a0"))));
  }

  function fill(row, at, columns) {
    let one = lines.get(row.id);
    if (!one) {
      const cells = columns.map(([, right]) => h("td", { class: right ? "right" : null }));
      const line = h("tr", { tabindex: 0, "data-id": row.id, "data-name": row.name, title: "click: draw it, or not" },
        h("td", { class: "pick" }, h("span", { class: "swatch" })), cells);
      lines.set(row.id, (one = { line, cells }));
    }
    one.row = row;
    one.line.dataset.state = row.state;
    one.cells.forEach((cell, number) => {
      const shown = !row.point && columns[number][0] === "NAME" ? `${row.name} (${row.state})` : row.cells[number];
      if (cell.textContent !== shown) cell.textContent = shown;
    });
    if (body.children[at] !== one.line) body.insertBefore(one.line, body.children[at] ?? null);
  }

  /** Unless somebody chose, the first few are drawn, and stay when they end; done once their past is. */
  function choose() {
    if (!live.state.picked) {
      drawn.clear();
      for (const row of rows.filter((row) => row.point || past?.of(row.id).length).slice(0, 8)) drawn.add(row.id);
    }
    for (const [id, { line }] of lines) {
      const shown = drawn.has(id);
      line.setAttribute("aria-selected", shown);
      line.querySelector(".swatch").style.background = shown && chart ? colour(id) : "transparent";
    }
    const missing = [...drawn].filter((id) => !asked.has(id));
    return missing.length ? ask(missing) : loaded;
  }

  /** The past of those that are drawn, once. */
  async function ask(ids) {
    for (const id of ids) asked.add(id);
    const found = await live.call("history", { ids }).catch(() => ({})); // why is shown over the table
    await loaded;
    for (const [id, points] of Object.entries(found)) past.put(id, points);
    draw();
  }

  function toggle(id) {
    live.state.picked = true;
    if (!drawn.delete(id)) drawn.add(id);
    choose();
    draw();
  }

  function clicked(event) {
    const line = event.target.closest("tr");
    if (line && !String(getSelection())) toggle(line.dataset.id);
  }

  function typed(event) {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    toggle(event.target.closest("tr").dataset.id);
  }

  const colour = (id) => chart.COLOURS[[...drawn].indexOf(id) % chart.COLOURS.length];

  function draw() {
    if (!chart) return;
    const chosen = rows.filter((row) => drawn.has(row.id));
    place.hidden = !chosen.length;
    for (const { id } of chosen) lines.get(id).line.querySelector(".swatch").style.background = colour(id);
    const series = chosen.map((row) => ({ ...row, colour: colour(row.id), points: past.of(row.id) }));
    const end = Math.max(0, ...series.map((one) => one.points.at(-1)?.[0] ?? 0));
    if (end) chart.board.draw({ begin: end - chart.SPAN_S, end, over: !chosen.some((row) => row.point) }, series);
  }
}
