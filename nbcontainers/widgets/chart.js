// Charts over the last minute, or over a run that has ended: SVG that follows the theme by itself.
//
//   const past = pasts(live.state);              // what was heard so far, by id; survives a restart of the kernel
//   const board = charts(live, names?);          // several charts with one cursor; board.el
//   board.draw({begin, end}, [{id, name, colour, points, memory, cpus}, …])   // ended: all of a run; over: end is not now
//
// A point is an array in the order of FIELDS (nbcontainers.container.points.FIELDS); null is what was not counted.

export const FIELDS = ["time", "cpu", "throttled", "memory", "pids", "net_rx", "net_tx", "io_read", "io_write",
  "psi_cpu", "psi_memory", "psi_io", "oom_kills"];
const AT = Object.fromEntries(FIELDS.map((name, at) => [name, at]));
export const SPAN_S = 60;
export const COLOURS = ["var(--nbc-blue)", "var(--nbc-green)", "#a371f7", "#db6d9b", "#1b9e9e", "#c2762d", "#7d8b99", "#8f9a1b"];
const HEIGHT = 84;
const DASHES = ["", "5 3", "1.5 2.5"];
const GAP_S = 25; // the monitor of an idle container samples every ten seconds; a longer silence is a gap

/** 1.25 GiB, 231 kB: what nbcontainers.table shows. */
function scaled(value, base, units, digits) {
  let unit = 0;
  while (Math.abs(value) >= (base === 1000 ? 999.5 : base) && unit < units.length - 1) { value /= base; unit++; }
  return `${Number(value.toPrecision(digits))} ${units[unit]}`;
}
export const bytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4);
export const speed = (value) => `${scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"], 3)}/s`;
const cores = (value) => `${Number(value.toPrecision(2))}`;
const part = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const whole = (value) => `${Math.round(value)}`;

/** What each chart shows: its fields with a word for each where there are several; `least` is the lowest top. */
export const CHARTS = {
  cpu: { title: "CPU", note: "processors in use: 0.5 is half of one", fields: [["cpu", ""]], form: cores, least: 0.1, limit: (line) => line.cpus, shaded: "throttled" },
  memory: { title: "memory", fields: [["memory", ""]], form: bytes, least: 1 << 20, base: 2, limit: (line) => (line.memory > 0 ? line.memory : null), marked: "oom_kills" },
  network: { title: "network", fields: [["net_rx", "in"], ["net_tx", "out"]], form: speed, least: 1000 },
  io: { title: "block I/O", fields: [["io_read", "read"], ["io_write", "written"]], form: speed, least: 1000 },
  psi: { title: "pressure", fields: [["psi_cpu", "cpu"], ["psi_memory", "memory"], ["psi_io", "I/O"]], form: part, least: 0.01,
    note: "part of the time in which something waited for it (PSI)" },
  pids: { title: "processes", fields: [["pids", ""]], form: whole, least: 4 },
};

/** By id the points heard so far, the oldest first, of a little more than the last minute. */
export function pasts(state) {
  const known = (state.past ??= new Map());
  return {
    of: (id) => known.get(id) ?? [],
    add(id, point) {
      const points = known.get(id) ?? [];
      if (!points.length || point[0] > points.at(-1)[0]) points.push(point);
      while (points.length > 2 && points[1][0] < point[0] - SPAN_S) points.shift();
      known.set(id, points);
    },
    /** What was before the first point that was heard; of a run that has ended all of it. */
    put(id, points, { all = false } = {}) {
      const heard = all ? [] : known.get(id) ?? [];
      const first = heard.length ? heard[0][0] : Infinity;
      known.set(id, [...points.filter((point) => point[0] < first), ...heard]);
    },
    keep: (ids) => { for (const id of [...known.keys()]) if (!ids.has(id)) known.delete(id); },
  };
}

/** A round number at or above `value`: 1, 2 or 5 times a power of ten, of bytes times a power of two. */
function round(value, base) {
  if (base === 2) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

export function charts(live, names = Object.keys(CHARTS)) {
  const cursor = { at: null, chart: null };
  const made = names.map((name) => chart(live, name, CHARTS[name], (at, one) => {
    cursor.at = at;
    cursor.chart = one;
    for (const each of made) each.point(at, each === one);
  }));
  const el = live.h("div", { class: "nbc-charts" }, made.map((one) => one.el));
  return {
    el,
    draw(frame, lines) {
      for (const one of made) {
        one.draw(frame, lines);
        if (cursor.at !== null) one.point(cursor.at, one === cursor.chart);
      }
    },
    /** How many stand side by side. */
    across: (count) => el.style.setProperty("--nbc-across", count),
  };
}

function chart(live, name, spec, moved) {
  const { h, s } = live;
  const now = h("span", { class: "now" });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  const shades = s("g", {}), grid = s("g", { class: "grid" }), drawn = s("g", {}), limits = s("g", {}), marks = s("g", {});
  const hair = s("line", { class: "hair", y1: 0, y2: HEIGHT, hidden: true });
  const svg = s("svg", { height: HEIGHT, role: "img", tabindex: 0, preserveAspectRatio: "none" }, shades, grid, drawn, limits, marks, hair);
  const top = h("span", { class: "top" }), from = h("span", {}), to = h("span", {});
  const el = h("div", { class: "nbc-chart", "data-chart": name },
    h("div", { class: "head" }, h("b", { title: spec.note }, spec.title), now),
    h("div", { class: "plot" }, svg, top, tip), h("div", { class: "axis" }, from, key(), to));
  let width = 300, frame = { begin: 0, end: 1 }, lines = [], at = null;

  function key() {
    if (spec.fields.length < 2) return null;
    return h("span", { class: "key" }, spec.fields.map(([, word], number) => h("span", {}, s("svg", { width: 18, height: 8 },
      s("line", { x1: 0, x2: 18, y1: 4, y2: 4, "stroke-dasharray": DASHES[number], stroke: "currentColor" })), word)));
  }
  const x = (time) => (width * (time - frame.begin)) / (frame.end - frame.begin || 1);

  function draw(given, several) {
    [frame, lines] = [given, several];
    width = svg.clientWidth || width;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const fields = spec.fields.map(([field]) => AT[field]);
    const highest = Math.max(spec.least, ...lines.flatMap((line) => line.points.filter((point) => point[0] >= frame.begin - 1)
      .flatMap((point) => fields.map((field) => point[field] ?? 0))), ...lines.map((line) => spec.limit?.(line) ?? 0));
    const limited = lines.some((line) => spec.limit?.(line) >= highest);
    const ceiling = limited ? highest * 1.06 : round(highest, spec.base);
    const y = (value) => HEIGHT - 1 - (HEIGHT - 3) * Math.min(value / ceiling, 1);
    top.textContent = spec.form(limited ? highest : ceiling);
    top.style.top = `${y(limited ? highest : ceiling)}px`;
    grid.replaceChildren(...[0, 0.5].map((one) => s("line", { x1: 0, x2: width, y1: y(one * ceiling), y2: y(one * ceiling) })));
    drawn.replaceChildren(...lines.flatMap((line) => fields.flatMap((field, number) => strokes(line, field, number, y))));
    limits.replaceChildren(...lines.filter((line) => spec.limit?.(line)).map((line) => s("line", { class: "limit", x1: 0, x2: width,
      y1: y(spec.limit(line)), y2: y(spec.limit(line)), style: `stroke: ${lines.length > 1 ? line.colour : "var(--nbc-red)"}` })));
    shades.replaceChildren(...(spec.shaded ? lines.flatMap(held) : []));
    marks.replaceChildren(...(spec.marked ? lines.flatMap(kills) : []));
    const span = frame.end - frame.begin;
    from.textContent = frame.ended ? "0 s" : `${Math.round(span)} s ${frame.over ? "before" : "ago"}`;
    to.textContent = frame.ended ? `${Number(span.toPrecision(3))} s` : frame.over ? "the end" : "now";
    say();
  }

  /** The strokes of one field of one container, with a gap where nothing was known for long: a first look has no rates. */
  function strokes(line, field, number, y) {
    const found = [];
    let stretch = [];
    const end = () => {
      if (stretch.length) found.push(stretch);
      stretch = [];
    };
    let before = null;
    for (const point of line.points) {
      if (point[field] === null) continue;
      if (before !== null && !frame.ended && point[0] - before > GAP_S) end();
      before = point[0];
      stretch.push(`${x(point[0]).toFixed(1)},${y(point[field]).toFixed(1)}`);
    }
    end();
    const style = `stroke: ${line.colour}; stroke-dasharray: ${DASHES[number] || "none"}`;
    const filled = lines.length === 1 && number === 0;
    return found.flatMap((places) => [
      filled && places.length > 1 ? s("polygon", { class: "area", style: `fill: ${line.colour}`, points:
        `${places[0].split(",")[0]},${HEIGHT} ${places.join(" ")} ${places.at(-1).split(",")[0]},${HEIGHT}` }) : null,
      s("polyline", { class: "line", style, points: places.length > 1 ? places.join(" ") : `${places[0]} ${places[0]}` }),
    ]).filter(Boolean);
  }

  /** Where --cpus held it back. */
  function held(line) {
    return pairs(line.points).filter(([, next]) => next[AT[spec.shaded]] > 0.001).map(([one, next]) => s("rect", { class: "held",
      x: x(one[0]), width: Math.max(x(next[0]) - x(one[0]), 1), y: 0, height: HEIGHT,
      style: `opacity: ${(0.12 + 0.4 * Math.min(next[AT[spec.shaded]], 1)).toFixed(2)}` }));
  }

  function kills(line) {
    const counted = pairs(line.points).filter(([one, next]) => next[AT.oom_kills] > (one[AT.oom_kills] ?? 0)).map(([, next]) => next[0]);
    if (frame.oom && !counted.length) counted.push(frame.end);
    return counted.map((time) => s("line", { class: "kill", x1: Math.min(x(time), width - 1), x2: Math.min(x(time), width - 1), y1: 0, y2: HEIGHT },
      s("title", {}, `OOM kill${lines.length > 1 ? ` in ${line.name}` : ""}`)));
  }

  /** The figures at a time, or the last ones; of a run that has ended the highest, for its last is one of its end. */
  function figures(line, time) {
    const known = line.points.filter((point) => point[0] <= (time ?? Infinity) + 0.01);
    const last = known.at(-1);
    if (!last || (time !== null && time - last[0] > GAP_S && !frame.ended)) return "";
    const highest = time === null && frame.ended;
    const words = spec.fields.flatMap(([field, word]) => {
      const values = known.map((point) => point[AT[field]]).filter((value) => value !== null);
      if (!values.length) return [];
      return [`${word ? `${word} ` : ""}${spec.form(highest ? Math.max(...values) : values.at(-1))}`];
    });
    const limit = spec.limit?.(line);
    if (highest && words.length) words[0] = `max ${words[0]}`;
    else if (limit && words.length) words[0] += ` of ${spec.form(limit)}`;
    if (spec.shaded && last[AT[spec.shaded]] > 0.001) words.push(`throttled ${part(Math.min(last[AT[spec.shaded]], 1))}`);
    if (spec.marked && last[AT.oom_kills]) words.push(`${last[AT.oom_kills]} OOM kill${last[AT.oom_kills] > 1 ? "s" : ""}`);
    return words.join(", ");
  }

  function say() {
    const said = lines.map((line) => `${lines.length > 1 ? `${line.name} ` : ""}${figures(line, null)}`).filter((one) => one.trim());
    now.textContent = now.title = lines.length === 1 ? figures(lines[0], null) || "not counted here" : "";
    svg.setAttribute("aria-label", `${spec.title}: ${said.join("; ") || "nothing"}`);
  }

  /** The cursor at a part of the width; null takes it away. */
  function point(part, told) {
    at = part;
    const none = part === null || !lines.length;
    hair.toggleAttribute("hidden", none);
    tip.hidden = none || !told;
    if (none) return;
    const time = frame.begin + part * (frame.end - frame.begin);
    hair.setAttribute("x1", part * width);
    hair.setAttribute("x2", part * width);
    if (!told) return;
    const when = frame.ended ? `after ${Number((time - frame.begin).toPrecision(3))} s` : `${Math.round(frame.end - time)} s ${frame.over ? "before" : "ago"}`;
    const rows = lines.map((line) => [line, figures(line, time)]).filter(([, words]) => words);
    tip.replaceChildren(h("div", { class: "when" }, when), ...(rows.length ? rows : [[null, "not known"]]).map(([line, words]) => h("div", {},
      lines.length > 1 && line ? h("span", { class: "swatch", style: { background: line.colour } }) : null,
      lines.length > 1 && line ? `${line.name} ` : null, words)));
    tip.style.left = part < 0.5 ? `${part * 100}%` : "auto";
    tip.style.right = part < 0.5 ? "auto" : `${(1 - part) * 100}%`;
  }

  const where = (event) => Math.min(Math.max(event.offsetX / (svg.clientWidth || 1), 0), 1);
  svg.addEventListener("pointermove", (event) => moved(where(event), self));
  svg.addEventListener("pointerleave", () => moved(null, self));
  svg.addEventListener("blur", () => moved(null, self));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1 / SPAN_S, ArrowRight: 1 / SPAN_S }[event.key];
    if (!step) return;
    event.preventDefault();
    moved(Math.min(Math.max((at ?? 1) + step, 0), 1), self);
  });
  const self = { el, draw, point };
  return self;
}

const pairs = (points) => points.slice(1).map((point, number) => [points[number], point]);
