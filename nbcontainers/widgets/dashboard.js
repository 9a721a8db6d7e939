// The dashboard: a table of all containers; what was selected can be started, stopped, looked at.

const COLUMNS = [
  { key: "name", title: "name" },
  { key: "state", title: "status" },
  { key: "image", title: "image" },
  { key: "addresses", title: "IP and ports" },
  { key: "cpu", title: "CPU %", note: "of one processor", number: true },
  { key: "memory", title: "memory", note: "without file pages the kernel could drop; the line is the limit", number: true },
  { key: "net_received", title: "net in", number: true },
  { key: "net_sent", title: "net out", number: true },
  { key: "pids", title: "pids", note: "processes and threads", number: true },
];
const FIGURES = ["cpu", "memory", "net_received", "net_sent", "pids"];
const LIVING = ["running", "paused", "restarting", "stopping"];
const VERBS = {
  start: (row) => !LIVING.includes(row.state),
  stop: (row) => LIVING.includes(row.state),
  restart: (row) => row.state !== "dead",
  pause: (row) => row.state === "running",
  unpause: (row) => row.state === "paused",
  kill: (row) => ["running", "paused"].includes(row.state),
  rm: () => true,
};
const SURE_MS = 5000;

export function mount(live) {
  const { h, state } = live;
  const rows = new Map(); // id -> {row, figures, cells, line}
  const chosen = (state.chosen ??= new Set());
  state.sort ??= { key: "", down: true };
  let order = [];
  let sure = 0;
  let opened = null;

  const search = h("input", { type: "search", placeholder: "filter", "aria-label": "filter containers", value: state.filter ?? "",
    oninput: () => { state.filter = search.value; arrange(); } });
  const buttons = Object.fromEntries(Object.keys(VERBS).map((verb) => [verb, h("button", { type: "button", onclick: () => act(verb) }, verb)]));
  const logs = h("button", { type: "button", onclick: () => look("logs") }, "logs");
  const terminal = h("button", { type: "button", onclick: () => look("terminal") }, "terminal");
  const count = h("span", { class: "nbc-dashboard-count", role: "status" });
  const heads = COLUMNS.map((column) => h("th", { scope: "col", class: column.number ? "right" : null, title: column.note },
    h("button", { type: "button", onclick: () => sort(column) }, column.title, h("span", { class: "arrow", "aria-hidden": "true" }))));
  const all = h("input", { type: "checkbox", "aria-label": "select all that are shown", onchange: () => selectAll(all.checked) });
  const body = h("tbody", { onclick: clicked, onkeydown: typed });
  const more = h("div", { class: "nbc-dashboard-more" });
  const panel = h("div", { class: "nbc-dashboard-panel" });
  live.el.append(
    h("div", { class: "nbc-dashboard-bar", role: "toolbar", "aria-label": "containers" }, search, Object.values(buttons), logs, terminal, count),
    h("div", { class: "nbc-dashboard-box" }, h("table", { class: "mathjax_ignore tex2jax_ignore" },
      h("thead", {}, h("tr", {}, h("th", { class: "pick" }, all), heads)), body)),
    more, panel,
  );

  live.facts((facts) => {
    const there = new Set(facts.rows.map((row) => row.id));
    for (const [id, one] of rows) if (!there.has(id)) { one.line.remove(); rows.delete(id); chosen.delete(id); }
    facts.rows.forEach((row, at) => {
      const one = rows.get(row.id) ?? create(row.id);
      one.row = row;
      one.at = at;
      if (!LIVING.includes(row.state)) one.figures = {};
      draw(one);
    });
    more.textContent = !facts.rows.length ? "no containers" : facts.more ? `… ${facts.more} more that have ended; container ps --all has them` : "";
    if (opened && !there.has(opened.id)) close();
    arrange();
    live.drawn();
  });
  live.on(({ figures }) => {
    for (const [id, one] of rows) {
      one.figures = figures[id] ? Object.fromEntries(FIGURES.map((name, at) => [name, figures[id][at]])) : {};
      draw(one);
    }
    state.figures = figures;
    if (FIGURES.includes(state.sort.key)) arrange();
  });
  const clock = setInterval(() => live.visible && !live.el.closest(".nbc-stale") && rows.forEach(draw), 5000); // ages

  function create(id) {
    const pick = h("input", { type: "checkbox", tabindex: "-1" });
    const cells = Object.fromEntries(COLUMNS.map((column) => [column.key, h("td", { class: column.number ? "right" : null, "data-column": column.key })]));
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    const name = h("span", { class: "name" });
    cells.name.append(dot, name);
    for (const key of ["cpu", "memory"]) cells[key].append(h("span", { class: "value" }), h("span", { class: "track" }, h("span", { class: "fill" })));
    const line = h("tr", { "data-id": id, tabindex: "-1" }, h("td", { class: "pick" }, pick), Object.values(cells));
    const one = { id, line, cells, pick, dot, name, row: {}, figures: {} };
    const known = state.figures?.[id];
    if (known) one.figures = Object.fromEntries(FIGURES.map((key, at) => [key, known[at]]));
    rows.set(id, one);
    return one;
  }

  function draw(one) {
    const { row, figures, cells } = one;
    set(one.name, row.name);
    one.line.dataset.state = colour(row);
    cells.name.title = `${row.name} ${row.id}`;
    set(cells.state, words(row));
    set(cells.image, row.image);
    place(cells.addresses, row);
    measure(cells.cpu, figures.cpu == null ? "" : figures.cpu.toFixed(1), figures.cpu == null ? null : figures.cpu / 100);
    const limit = row.memory_limit;
    measure(cells.memory, figures.memory == null ? "" : `${bytes(figures.memory)}${limit ? ` / ${bytes(limit)}` : ""}`,
      figures.memory == null || !limit ? null : figures.memory / limit);
    set(cells.net_received, rate(figures.net_received));
    set(cells.net_sent, rate(figures.net_sent));
    set(cells.pids, figures.pids == null ? "" : String(figures.pids));
    one.pick.checked = chosen.has(one.id);
    one.pick.setAttribute("aria-label", `select ${row.name}`);
  }

  /** Filtered and sorted; the lines are moved only where the order changed. */
  function arrange() {
    const wanted = (state.filter ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...rows.values()].filter((one) => wanted.every((word) => text(one.row).includes(word)));
    found.sort((a, b) => compare(a, b) || a.at - b.at);
    if (found.length !== order.length || found.some((one, at) => one !== order[at])) {
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      order = found;
      body.replaceChildren(...order.map((one) => one.line));
      focused?.focus({ preventScroll: true });
    }
    if (order.length && !body.querySelector("tr[tabindex='0']")) order[0].line.tabIndex = 0;
    heads.forEach((head, at) => {
      const mine = COLUMNS[at].key === state.sort.key;
      head.setAttribute("aria-sort", mine ? (state.sort.down ? "descending" : "ascending") : "none");
      head.querySelector(".arrow").textContent = mine ? (state.sort.down ? " ▾" : " ▴") : "";
    });
    offer();
  }

  function compare(a, b) {
    const { key, down } = state.sort;
    if (!key) return 0;
    const [x, y] = [value(a, key), value(b, key)];
    if (x == null || y == null) return (x == null) - (y == null);
    const by = typeof x === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return down ? -by : by;
  }

  function sort(column) {
    const first = Boolean(column.number);
    const { key, down } = state.sort;
    if (key !== column.key) state.sort = { key: column.key, down: first };
    else state.sort = down === first ? { key, down: !first } : { key: "", down: true };
    arrange();
  }

  /** Which buttons mean something for what is selected. */
  function offer() {
    const several = selected();
    for (const [verb, button] of Object.entries(buttons)) {
      button.disabled = !several.some((one) => VERBS[verb](one.row));
      if (verb === "rm") button.textContent = sure ? `really remove ${several.length}?` : "rm";
    }
    logs.disabled = several.length !== 1;
    terminal.disabled = several.length !== 1 || several[0].row.state !== "running";
    all.checked = order.length > 0 && order.every((one) => chosen.has(one.id));
    all.indeterminate = !all.checked && several.length > 0;
    const run = [...rows.values()].filter((one) => LIVING.includes(one.row.state)).length;
    const parts = [several.length && `${several.length} selected`, `${run} of ${rows.size} running`];
    if (order.length !== rows.size) parts.push(`${order.length} shown`);
    set(count, parts.filter(Boolean).join(", "));
  }

  /** What is selected and can be seen: nothing is done to what a filter hides. */
  function selected() {
    return order.filter((one) => chosen.has(one.id));
  }

  function select(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    calm();
    draw(rows.get(id));
    offer();
  }

  /** Addresses, and ports as links where a browser gets there. */
  function place(cell, row) {
    const shown = JSON.stringify([row.addresses, row.ports, row.links]);
    if (cell.dataset.shown === shown) return;
    cell.dataset.shown = shown;
    const ports = (row.ports ?? []).map((port, at) => {
      const link = row.links?.[at];
      return link ? h("a", { href: opens(link, port), target: "_blank", rel: "noopener", tabindex: "-1" }, port) : port;
    });
    cell.replaceChildren(...[...(row.addresses ?? []), ...ports].flatMap((one) => [one, " "]));
  }

  function selectAll(on) {
    for (const one of order) select(one.id, on);
  }

  function clicked(event) {
    const line = event.target.closest("tr");
    if (!line || event.target.matches("a")) return;
    const id = line.dataset.id;
    if (event.target.matches("input")) return select(id, event.target.checked);
    const only = chosen.size === 1 && chosen.has(id);
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) for (const other of [...chosen]) if (rows.has(other)) select(other, false);
    select(id, !only);
    reach(line);
  }

  function typed(event) {
    const line = event.target.closest("tr");
    const at = order.findIndex((one) => one.line === line);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -order.length, End: order.length }[event.key];
    if (step) reach(order[Math.min(Math.max(at + step, 0), order.length - 1)].line);
    else if (event.key === " " && !event.target.matches("input")) select(line.dataset.id, !chosen.has(line.dataset.id));
    else if (event.key === "Enter") { only(line.dataset.id); look("logs"); }
    else if (event.key === "Escape") { calm(); offer(); }
    else return;
    event.preventDefault();
  }

  function only(id) {
    for (const other of [...chosen]) if (rows.has(other)) select(other, false);
    select(id, true);
  }

  function reach(line) {
    for (const other of body.querySelectorAll("tr[tabindex='0']")) other.tabIndex = -1;
    line.tabIndex = 0;
    line.focus();
  }

  function calm() {
    clearTimeout(sure);
    sure = 0;
  }

  /** rm asks again: the same button, within a few seconds. */
  async function act(verb) {
    const several = selected().filter((one) => VERBS[verb](one.row));
    if (verb === "rm" && !sure) {
      sure = setTimeout(() => { calm(); offer(); }, SURE_MS);
      return offer();
    }
    calm();
    for (const one of several) one.line.setAttribute("aria-busy", "true");
    try {
      await live.call("do", { verb, ids: several.map((one) => one.id) });
    } catch {
      // it is shown over the table
    } finally {
      for (const one of several) one.line.removeAttribute("aria-busy");
      offer();
    }
  }

  /** The log of what is selected, or a shell in it, below the table. */
  async function look(kind) {
    const [one] = selected();
    if (!one) return;
    const again = opened?.id === one.id && opened.kind === kind;
    close();
    if (again) return;
    const where = h("div", {});
    const mine = (opened = { id: one.id, kind });
    panel.append(h("div", { class: "nbc-dashboard-title" }, h("b", {}, `${kind} of ${one.row.name}`),
      h("button", { type: "button", "aria-label": `close ${kind}`, onclick: close }, "×")), where);
    try {
      const args = kind === "logs" ? { container: one.id } : await live.call("terminal", { id: one.id });
      mine.key = args.key;
      if (opened === mine) mine.view = live.embed(where, kind, args);
      else hangUp(mine);
    } catch {
      if (opened === mine) close(); // why is shown over the table
    }
  }

  function hangUp({ key }) {
    if (key) live.call("hang_up", { key }).catch(() => {});
  }

  function close() {
    opened?.view?.remove();
    if (opened) hangUp(opened);
    opened = null;
    panel.replaceChildren();
  }

  return () => clearInterval(clock);
}

function value({ row, figures }, key) {
  if (FIGURES.includes(key)) return figures[key];
  if (key === "addresses") return row.addresses?.[0] ?? row.ports?.[0];
  if (key === "state") return `${LIVING.includes(row.state) ? 0 : 1} ${row.state} ${String(1e11 - (row.since ?? 0)).padStart(20, "0")}`;
  return row[key];
}

/** A port of all addresses is opened where the page comes from. */
function opens(link, port) {
  const far = link.startsWith("http://127.0.0.1:") && port.startsWith("0.0.0.0:") && !["localhost", "127.0.0.1"].includes(location.hostname);
  return far ? link.replace("127.0.0.1", location.hostname) : link;
}

function text(row) {
  return [row.name, row.id, row.image, words(row), ...(row.addresses ?? []), ...(row.ports ?? [])].join(" ").toLowerCase();
}

function set(node, shown) {
  if (node.textContent !== shown) node.textContent = shown ?? "";
}

function measure(cell, shown, part) {
  set(cell.firstChild, shown);
  const [track] = cell.getElementsByClassName("track");
  track.hidden = part === null;
  if (part === null) return;
  track.firstChild.style.width = `${Math.min(100, Math.max(0, 100 * part)).toFixed(0)}%`;
  track.firstChild.dataset.full = part > 0.9;
}

/** The rules of container/shade.py. */
function colour(row) {
  if (row.state === "running") return row.health === "unhealthy" ? "bad" : row.health === "starting" ? "so-so" : "good";
  if (["paused", "restarting", "stopping"].includes(row.state)) return "so-so";
  if (row.state === "exited") return row.exit_code === 0 ? "" : "bad";
  return row.state === "dead" ? "bad" : "";
}

/** As `container dashboard` says it in Python (container/overview.py, words). */
function words(row) {
  const length = row.since == null ? "" : age(Date.now() / 1000 - row.since);
  if (["exited", "restarting"].includes(row.state)) {
    return `${row.state} (${row.exit_code})${length ? ` ${length} ago` : ""}${row.oom_killed ? " (out of memory)" : ""}`;
  }
  return `${row.state}${length && LIVING.includes(row.state) ? ` for ${length}` : ""}${row.health ? ` (${row.health})` : ""}`;
}

function age(seconds) {
  if (seconds < 1) return "less than a second";
  const steps = [["second", 1, 60], ["minute", 60, 60], ["hour", 3600, 48], ["day", 86400, 14], ["week", 604800, 9],
    ["month", 2592000, 24], ["year", 31536000, Infinity]];
  const [unit, length] = steps.find(([, length, most]) => seconds / length < most);
  const number = Math.floor(seconds / length);
  if (number === 1 && (unit === "minute" || unit === "hour")) return `about ${unit === "hour" ? "an" : "a"} ${unit}`;
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  for (; number >= 1024 && at < units.length - 1; at++) number /= 1024;
  return `${Number(number.toPrecision(4))}${units[at]}`;
}

function rate(number) {
  if (number == null) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; number >= 999.5 && at < units.length - 1; at++) number /= 1000;
  return `${Number(number.toPrecision(3))}${units[at]}/s`;
}
