// The explorer of an image's layers: a list of layers, the files that one of them changes, and what is wasted.
//
// Of the tree only the rows in sight are in the page; the others are asked for when they are scrolled to.

const ROW = 20;
const AHEAD = 30;
const KEPT = 3000;
const CHANGES = ["added", "changed", "attributes", "again", "removed", "unchanged"];
const SIGNS = { added: "+", changed: "~", attributes: "@", again: "=", removed: "-", unchanged: "·" };
const TITLES = { added: "added", changed: "changed", attributes: "other owner, mode or attributes only",
  again: "stored again without a difference", removed: "removed", unchanged: "as below" };
const NARROW = 720;

export function mount(live) {
  const { h, state } = live;
  state.layer ??= 0;
  state.mode ??= "layer";
  state.shown ??= CHANGES.slice();
  state.path ??= "";
  state.sort ??= "size";
  const opened = (state.opened ??= new Set());
  const id = `layers-${Math.random().toString(36).slice(2)}`;
  let facts = null;
  let total = 0;
  let cache = new Map(); // index -> row
  let asked = 0; // counts what is asked for: an older answer is not drawn
  let at = 0; // the row that has the keyboard

  const verdict = h("span", { class: "verdict" });
  const heading = h("div", { class: "head" }, h("b", {}, live.args.name || live.args.image), verdict);
  const list = h("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": "layers", onkeydown: pickByKey, onclick: pickByClick });
  const modes = ["layer", "together"].map((mode) => h("button", { type: "button", "data-mode": mode, onclick: () => set("mode", mode),
    title: mode === "layer" ? "what this layer does (l)" : "all that is there with this layer on top (a)" }, mode === "layer" ? "this layer" : "up to here"));
  const toggles = CHANGES.map((change) => h("button", { type: "button", class: change, "data-change": change, title: TITLES[change],
    "aria-label": TITLES[change], onclick: () => toggle(change) }, SIGNS[change]));
  const filter = h("input", { type: "search", placeholder: "path ( / )", "aria-label": "part of a path", value: state.path,
    oninput: () => later("filter", () => set("path", filter.value), 150), onkeydown: leave });
  const sort = h("select", { "aria-label": "sort by", onchange: () => set("sort", sort.value) },
    ["size", "name", "files"].map((key) => h("option", { value: key }, key)));
  sort.value = state.sort;
  const sum = h("span", { class: "sum", role: "status" });
  const rows = h("div", { class: "rows" });
  const tall = h("div", { class: "tall" }, rows);
  const tree = h("div", { class: "tree", role: "tree", tabindex: "0", "aria-label": "files", onscroll: () => draw(), onkeydown: walk, onclick: clicked }, tall);
  const waste = h("div", { class: "waste", role: "list", "aria-label": "wasted bytes", onclick: find });
  const wasted = h("details", { open: true }, h("summary", {}, "wasted"), waste);
  const notes = h("div", { class: "faint" });
  const panes = h("div", { class: "panes" },
    h("div", { class: "left" }, list, wasted),
    h("div", { class: "right" }, h("div", { class: "bar", role: "toolbar", "aria-label": "files" }, modes, h("span", { class: "toggles" }, toggles), filter, sort), tree, sum));
  const box = h("div", { class: "box mathjax_ignore tex2jax_ignore" }, heading, panes, notes);
  const card = h("div", { class: "card" });
  live.el.append(card, box);
  box.addEventListener("keydown", shortcut);
  live.size((width) => { box.classList.toggle("narrow", width < NARROW); draw(); });
  if (live.args.card) show();
  else start();

  /** The image's card; its layers are looked into when somebody asks. */
  async function show() {
    box.hidden = !state.looking;
    let got;
    try {
      got = await live.call("card");
    } catch {
      return; // it is shown
    }
    const whole = Math.max(1, ...got.layers.map(([, , together]) => together ?? 0));
    const lines = got.layers.map(([text, size, together, isBase, said, all]) => h("tr", {},
      h("td", { class: "text" }, text),
      h("td", { class: "span" }, h("div", { class: "track" }, h("span", { class: isBase ? "fill shared" : "fill",
        style: { left: `${(100 * ((together ?? 0) - (size ?? 0))) / whole}%`, width: `${(100 * (size ?? 0)) / whole}%` } }))),
      h("td", { class: "figure" }, said), h("td", { class: "figure faint" }, all)));
    const look = h("button", { type: "button", "aria-expanded": String(Boolean(state.looking)), onclick: () => {
      state.looking = !state.looking;
      box.hidden = !state.looking;
      look.setAttribute("aria-expanded", String(state.looking));
      if (state.looking && !facts) start();
    } }, "files of the layers");
    card.replaceChildren(
      h("div", { class: "head" }, h("b", {}, got.name), h("code", {}, got.id), h("span", { class: "faint" }, got.about)),
      ...got.facts.map(([label, value]) => h("div", {}, h("span", { class: "label" }, label), h("code", {}, value))),
      lines.length ? h("table", {}, h("tbody", {}, lines)) : "", lines.length ? look : "");
    live.drawn();
    if (state.looking) start();
  }

  async function start() {
    verdict.textContent = "reading…";
    try {
      facts = await live.call("facts");
    } catch {
      verdict.textContent = "";
      return; // it is shown
    }
    const [name, ...rest] = facts.heading.split(" · ");
    heading.replaceChildren(h("b", {}, name), h("span", {}, rest.join(" · ")), meter(facts.efficiency), verdict);
    verdict.textContent = facts.verdict;
    notes.textContent = facts.notes.join("; ");
    if (!facts.layers.length) { panes.remove(); live.drawn(); return; }
    state.layer = facts.layers.some((one) => one.number === state.layer) ? state.layer : widest().number;
    list.replaceChildren(...facts.layers.map(layer));
    waste.replaceChildren(...facts.waste.map(hidden));
    if (facts.wasteful > facts.waste.length) waste.append(h("div", { class: "faint" }, `… ${facts.wasteful - facts.waste.length} more`));
    wasted.hidden = !facts.waste.length;
    renew();
  }

  /** The layer to begin with: the topmost that changes a file. */
  function widest() {
    const changed = facts.layers.filter((one) => one.counts.some(Boolean));
    return changed.at(-1) ?? facts.layers.at(-1);
  }

  // The layers

  function layer(one) {
    const whole = Math.max(1, facts.stored);
    const fill = h("span", { class: one.shared ? "fill shared" : "fill", style: { left: `${(100 * (one.total - one.size)) / whole}%`, width: `${(100 * one.size) / whole}%` } });
    const counts = one.counts.map((count, change) => count ? h("span", { class: CHANGES[change] }, `${SIGNS[CHANGES[change]]}${number(count)} `) : null);
    const more = [one.digest, `${bytes(one.total)} together`, one.hides ? `hides ${bytes(one.hides)}` : "", one.shared].filter(Boolean).join(" · ");
    return h("div", { class: "layer", role: "option", id: `${id}-${one.number}`, "data-layer": one.number, title: one.instruction },
      h("div", { class: "first" }, h("span", { class: "number" }, one.number), h("span", { class: "size" }, bytes(one.size)),
        h("span", { class: "track" }, fill), h("span", { class: "counts" }, counts)),
      h("div", { class: "instruction" }, one.instruction), h("div", { class: "faint" }, more));
  }

  function pickByClick(event) {
    const picked = event.target.closest(".layer");
    if (picked) set("layer", Number(picked.dataset.layer));
  }

  function pickByKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" || event.key === "ArrowRight") { event.preventDefault(); tree.focus(); }
    if (!step || !facts) return;
    event.preventDefault();
    const next = Math.min(facts.layers.length, Math.max(1, state.layer + step));
    if (next !== state.layer) set("layer", next);
  }

  // The tree

  function set(key, value) {
    if (state[key] === value) return;
    state[key] = value;
    renew();
  }

  function toggle(change) {
    state.shown = state.shown.includes(change) ? state.shown.filter((one) => one !== change) : [...state.shown, change];
    renew();
  }

  /** Another tree: its first rows are asked for, what was known is forgotten. */
  function renew() {
    for (const one of list.children) one.setAttribute("aria-selected", String(Number(one.dataset.layer) === state.layer));
    const chosen = list.querySelector("[aria-selected=true]");
    if (chosen) { list.setAttribute("aria-activedescendant", chosen.id); near(list, chosen); }
    for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === state.mode));
    for (const button of toggles) button.setAttribute("aria-pressed", String(state.shown.includes(button.dataset.change)));
    at = 0;
    tree.scrollTop = 0;
    ask(0, window_(), true);
  }

  const window_ = () => Math.ceil((tree.clientHeight || 400) / ROW) + 2 * AHEAD;

  async function ask(start, count, anew) {
    const mine = ++asked;
    const wanted = { layer: state.layer, mode: state.mode, shown: state.shown, path: state.path, sort: state.sort };
    let got;
    try {
      got = await live.call("rows", { ...wanted, opened: [...opened], start, count });
    } catch {
      return; // it is shown
    }
    if (mine !== asked) return;
    if (anew || got.total !== total || cache.size > KEPT) cache = new Map();
    total = got.total;
    got.rows.forEach((row, index) => cache.set(got.start + index, row));
    tall.style.height = `${total * ROW}px`;
    at = Math.min(at, Math.max(0, total - 1));
    const gone = got.gone ? `, ${bytes(got.gone)} removed` : "";
    sum.textContent = total ? `${number(got.files)} file${got.files === 1 ? "" : "s"}, ${bytes(got.held)}${gone}` : "nothing like that";
    draw();
    live.drawn();
  }

  function draw() {
    if (!facts) return;
    const first = Math.max(0, Math.floor(tree.scrollTop / ROW) - 2);
    const last = Math.min(total, first + Math.ceil(tree.clientHeight / ROW) + 4);
    const shown = [];
    for (let index = first; index < last; index++) shown.push(cache.has(index) ? line(index, cache.get(index)) : h("div", { class: "row" }, "…"));
    rows.style.transform = `translateY(${first * ROW}px)`;
    rows.replaceChildren(...shown);
    tree.setAttribute("aria-activedescendant", `${id}-row-${at}`);
    let missing = first;
    while (missing < last && cache.has(missing)) missing++;
    if (missing < last) later("rows", () => ask(Math.max(0, missing - AHEAD), window_(), false), 60);
  }

  function line(index, [depth, path, name, kind, change, held, gone, counts, note, isOpen]) {
    const size = gone && !held ? `-${bytes(gone)}` : bytes(held);
    const said = kind === "d" ? [spell(counts), gone && held ? `-${bytes(gone)}` : "", note].filter(Boolean).join("  ") : note;
    const twist = isOpen === null ? " " : isOpen ? "▾" : "▸";
    return h("div", { class: `row ${change || "unchanged"}${index === at ? " at" : ""}`, role: "treeitem", id: `${id}-row-${index}`,
      "data-index": index, "aria-level": depth + 1, "aria-expanded": isOpen === null ? null : String(isOpen), "aria-selected": String(index === at),
      title: `${path}${change ? ` (${TITLES[change]})` : ""}` },
      h("span", { class: "size" }, size), h("span", { class: "sign" }, change ? SIGNS[change] : " "),
      h("span", { class: "name", style: { paddingLeft: `${Math.min(depth, 40) * 14}px` } }, h("span", { class: "twist", "aria-hidden": "true" }, twist),
        kind === "d" ? `${name}/` : name), h("span", { class: "said" }, said));
  }

  function spell(counts) {
    const words = counts.slice(0, 5).map((count, change) => (count ? `${SIGNS[CHANGES[change]]}${number(count)}` : "")).filter(Boolean);
    if (counts[5]) words.push(`${number(counts[5])} file${counts[5] === 1 ? "" : "s"}`);
    return words.join(" ");
  }

  function clicked(event) {
    const row = event.target.closest(".row");
    if (!row?.dataset.index) return;
    at = Number(row.dataset.index);
    if (!turn(at)) draw();
  }

  /** Open or close a folder; whether it was one. */
  function turn(index, wanted) {
    const row = cache.get(index);
    const isOpen = row?.[9];
    if (row === undefined || isOpen === null || isOpen === wanted) return false;
    if (isOpen) opened.delete(row[1]);
    else opened.add(row[1]);
    row[9] = !isOpen;
    ask(Math.max(0, Math.floor(tree.scrollTop / ROW) - AHEAD), window_(), true);
    return true;
  }

  function walk(event) {
    const page = Math.max(1, Math.floor(tree.clientHeight / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (step) move(at + step);
    else if (event.key === "Enter" || event.key === " ") turn(at);
    else if (event.key === "ArrowRight") turn(at, true) || (cache.get(at)?.[9] && move(at + 1));
    else if (event.key === "ArrowLeft") turn(at, false) || move(above(at));
    else return;
    event.preventDefault();
  }

  /** The folder that a row is in. */
  function above(index) {
    const depth = cache.get(index)?.[0] ?? 0;
    let found = index;
    while (found > 0 && (cache.get(found)?.[0] ?? depth) >= depth) found--;
    return found;
  }

  function move(index) {
    at = Math.min(Math.max(0, index), Math.max(0, total - 1));
    const top = at * ROW;
    if (top < tree.scrollTop) tree.scrollTop = top;
    else if (top + ROW > tree.scrollTop + tree.clientHeight) tree.scrollTop = top + ROW - tree.clientHeight;
    draw();
    return true;
  }

  // The filter, and what is wasted

  function shortcut(event) {
    if (event.target === filter || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") filter.focus();
    else if (event.key === "l") set("mode", "layer");
    else if (event.key === "a") set("mode", "together");
    else return;
    event.preventDefault();
  }

  function leave(event) {
    if (event.key === "Escape" && filter.value) { filter.value = ""; set("path", ""); event.preventDefault(); }
    else if (event.key === "Escape" || event.key === "Enter" || event.key === "ArrowDown") { tree.focus(); event.preventDefault(); }
  }

  function hidden([path, copies, lost, there]) {
    const words = `${copies} cop${copies === 1 ? "y" : "ies"}${there ? "" : ", removed"}`;
    return h("div", { role: "listitem" }, h("button", { type: "button", class: "path", "data-path": path, title: `look for ${path}` },
      h("span", { class: "size" }, bytes(lost)), h("span", { class: "copies" }, words), h("span", { class: "name" }, path)));
  }

  function find(event) {
    const path = event.target.closest(".path")?.dataset.path;
    if (!path) return;
    filter.value = path;
    set("path", path);
  }

  const timers = {};
  function later(name, act, after) {
    clearTimeout(timers[name]);
    timers[name] = setTimeout(act, after);
  }

  function near(box, item) {
    if (item.offsetTop < box.scrollTop) box.scrollTop = item.offsetTop;
    else if (item.offsetTop + item.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = item.offsetTop + item.offsetHeight - box.clientHeight;
  }

  function meter(part) {
    return h("span", { class: "meter", role: "img", "aria-label": `efficiency ${(100 * part).toFixed(1)} %` }, h("span", { style: { width: `${100 * part}%` } }));
  }

  return () => Object.values(timers).forEach(clearTimeout);
}

const number = (value) => value.toLocaleString("en");

/** What lies on a disk: powers of 1000, three digits, as table.py has them. */
function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit++; }
  return `${Number(value.toPrecision(3))}${units[unit]}`;
}
