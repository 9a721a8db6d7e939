// The log viewer: draws the lines that can be seen, and asks for no others.
//
// A place in the log is a number of lines with a fraction; the scroll bar beside is a native one of the same length up to
// TALLEST pixels, and stands for proportions above: no browser knows elements of a million lines' height.

const LINE = 18;
const TALL = 320;
const TALLEST = 6e6;
const KEPT = 4000;
const COPIED = 10000;

export function mount(live) {
  const { h, state } = live;
  state.follow ??= true;
  let facts = { first: 0, end: 0, bytes: 0, running: true, name: live.args.container };
  let told = false; // whether those are the log's
  let running = true;
  let at = state.at ?? 0; // the first line shown, as an index into what is shown
  let found = null; // numbers of the lines that match; null: all lines
  let search = 0; // counts searches: an older one stops
  let searched = 0; // up to which number
  const cache = new Map(); // number -> [stream, time, text]
  let asked = "";
  let drawn = null;

  const text = h("input", { type: "search", placeholder: "filter", "aria-label": "filter lines", value: state.text ?? "", oninput: () => later(refind) });
  const toggle = (key, label, title, change) => {
    const button = h("button", { type: "button", title, "aria-pressed": String(Boolean(state[key])), onclick: () => {
      state[key] = !state[key];
      button.setAttribute("aria-pressed", String(state[key]));
      change();
    } }, label);
    return button;
  };
  const follow = toggle("follow", "follow", "stay at the end (f)", () => draw());
  const wrap = toggle("wrap", "wrap", "break long lines (w)", () => draw());
  const times = toggle("times", "times", "when each line was written, UTC (t)", () => draw());
  const regex = toggle("regex", ".*", "the filter is a regular expression (Python's)", () => refind());
  const letters = toggle("letters", "Aa", "small and capital letters differ", () => refind());
  const stream = h("select", { "aria-label": "stream", onchange: () => { state.stream = stream.value; refind(); } },
    h("option", { value: "" }, "all"), h("option", { value: "stdout" }, "stdout"), h("option", { value: "stderr" }, "stderr"));
  stream.value = state.stream ?? "";
  const copy = h("button", { type: "button", title: "what is selected, or the lines shown by the filter", onclick: copied }, "copy");
  const count = h("span", { class: "nbc-logs-count", role: "status" });
  const lines = h("div", { class: "nbc-logs-lines" });
  const view = h("div", { class: "nbc-logs-view mathjax_ignore tex2jax_ignore", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "log" }, lines);
  const none = h("div", { class: "line time" }, "no lines");
  const tall = h("div", {});
  const bar = h("div", { class: "nbc-logs-scroll", tabindex: "-1", "aria-hidden": "true" }, tall);
  const box = h("div", { class: "nbc-logs-box" }, view, bar);
  live.el.append(h("div", { class: "nbc-logs-bar", role: "toolbar", "aria-label": "log" }, text, regex, letters, stream, follow, wrap, times, copy, count), box);

  const length = () => (found ? found.length : facts.end - facts.first);
  const numberAt = (index) => (found ? found.at(index) : facts.first + index);
  const rows = () => Math.max(1, view.clientHeight / LINE);
  const last = () => Math.max(0, length() - rows());

  live.facts((now) => {
    const gone = now.first - facts.first;
    facts = now;
    if (!told && !facts.running) box.style.height = `${Math.min(TALL, (facts.end - facts.first + 1) * LINE)}px`; // it grows no more
    else if (facts.running && !running) box.style.height = "";
    [told, running] = [true, facts.running];
    if (gone > 0) forget(gone);
    view.setAttribute("aria-label", `log of ${facts.name}`);
    if (found && searched < facts.end && !searching) seek(search);
    draw();
  });
  live.size(() => draw());
  const resized = new ResizeObserver(() => draw());
  resized.observe(box);

  /** Rotation took the oldest away: what is looked at stays where it is. */
  function forget(gone) {
    for (const number of cache.keys()) if (number < facts.first) cache.delete(number);
    if (found) {
      const before = found.length;
      found.dropBelow(facts.first);
      at -= before - found.length;
    } else at -= gone;
  }

  function draw() {
    if (!view.clientHeight) return;
    const most = last();
    if (state.follow) at = most;
    at = Math.min(Math.max(0, at), most);
    state.at = at;
    const ending = at >= most - 0.01 && most > 0;
    const begin = Math.floor(ending ? Math.max(0, length() - Math.ceil(rows()) - 1) : at);
    const end = Math.min(length(), begin + Math.ceil(rows()) + 2);
    const numbers = [];
    for (let index = begin; index < end; index++) numbers.push(numberAt(index));
    lines.classList.toggle("wrap", Boolean(state.wrap));
    lines.classList.toggle("ending", ending);
    const picture = `${told} ${state.times} ${numbers.map((number) => `${number}${cache.has(number) ? "" : "?"}`).join()}`;
    const missing = numbers.filter((number) => !cache.has(number));
    const early = state.follow && missing.length && drawn; // what is followed stays until the next lines are there
    if (picture !== drawn && !early) { // or a selection would be lost
      lines.replaceChildren(...(told && !numbers.length ? [none] : numbers.map(line)));
      drawn = picture;
    }
    lines.style.transform = ending ? "" : `translateY(${-(at - begin) * (lines.firstChild?.offsetHeight || LINE)}px)`;
    tall.style.height = `${Math.min(TALLEST, length() * LINE)}px`;
    const reach = bar.scrollHeight - bar.clientHeight;
    const place = Math.round(most ? (reach * at) / most : 0);
    if (Math.abs(bar.scrollTop - place) > 1) { bar.scrollTop = place; ours = bar.scrollTop; }
    follow.setAttribute("aria-pressed", String(Boolean(state.follow)));
    tell();
    want(missing);
    if (told && !missing.length) live.drawn();
  }

  function line(number) {
    const known = cache.get(number);
    if (!known) return h("div", { class: "line", "data-line": number }, "\u00a0");
    const [which, time, content] = known;
    return h("div", { class: which ? "line stderr" : "line", "data-line": number, title: `${time} ${which ? "stderr" : "stdout"}` },
      state.times ? h("span", { class: "time" }, `${time.slice(11, 23)} `) : null, coloured(h, content));
  }

  function tell() {
    const all = facts.end - facts.first;
    const part = found ? `${found.length.toLocaleString("en")} of ` : "";
    const progress = searching ? `, searching ${Math.floor((100 * (searched - facts.first)) / Math.max(1, all))} %` : "";
    const line = `${part}${counted(all)}${facts.first ? " kept" : ""}${progress}${facts.running ? "" : ", ended"}`;
    if (count.textContent !== line) count.textContent = line;
  }

  /** Ask for lines that are not there; while an answer is on its way, only what is wanted then. */
  let waiting = false;
  async function want(numbers) {
    const key = numbers.join();
    if (!numbers.length || waiting || key === asked) return;
    waiting = true;
    asked = key;
    try {
      const got = await live.call("lines", { numbers });
      keep(got);
      if (got.length) asked = "";
    } catch {
      return; // it is shown
    } finally {
      waiting = false;
    }
    draw();
  }

  function keep(got) {
    for (const [number, ...content] of got) cache.set(number, content);
    const seen = numberAt(Math.floor(at)) ?? 0;
    if (cache.size > KEPT) for (const number of [...cache.keys()]) if (Math.abs(number - seen) > KEPT / 4) cache.delete(number);
  }

  // The filter

  let searching = false;
  function refind() {
    state.text = text.value;
    search++;
    searched = facts.first;
    found = text.value || stream.value ? new Numbers() : null;
    asked = "";
    if (found) seek(search);
    else searching = false;
    if (!state.follow) at = 0;
    draw();
  }

  async function seek(mine) {
    searching = true;
    try {
      while (mine === search && found) {
        const args = { text: text.value, first: searched, fixed: !state.regex, ignore_case: !state.letters, stream: stream.value };
        const { value, buffers } = await live.call("find", args);
        if (mine !== search) return;
        const [bytes] = buffers;
        found.add(new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
        searched = value.next ?? value.end;
        draw();
        if (value.next === null) break;
      }
    } catch {
      return; // a bad expression is shown over the lines
    } finally {
      if (mine === search) searching = false;
    }
    draw();
  }

  let timer = 0;
  function later(work) {
    clearTimeout(timer);
    timer = setTimeout(work, 200);
  }

  // Moving

  let ours = -1;
  bar.addEventListener("scroll", () => {
    if (Math.abs(bar.scrollTop - ours) <= 1) return;
    ours = -1;
    const reach = bar.scrollHeight - bar.clientHeight;
    go(reach ? (bar.scrollTop / reach) * last() : 0);
  });
  view.addEventListener("wheel", (event) => {
    if (event.ctrlKey || Math.abs(event.deltaY) < Math.abs(event.deltaX)) return;
    const before = at;
    go(at + event.deltaY / (event.deltaMode ? 1 : LINE));
    if (at !== before) event.preventDefault();
  }, { passive: false });
  let touched = 0;
  view.addEventListener("touchstart", (event) => (touched = event.touches[0].clientY), { passive: true });
  view.addEventListener("touchmove", (event) => {
    const y = event.touches[0].clientY;
    go(at + (touched - y) / LINE);
    touched = y;
    event.preventDefault();
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(rows()) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, " ": page, Home: -Infinity, End: Infinity }[event.key];
    if (step) go(at + step);
    else if (event.key === "f") follow.click();
    else if (event.key === "w") wrap.click();
    else if (event.key === "t") times.click();
    else if (event.key === "/") text.focus();
    else return;
    event.preventDefault();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    text.value = "";
    refind();
    view.focus();
  });

  function go(place) {
    const most = last();
    at = Math.min(Math.max(0, place), most);
    state.follow = at >= most;
    draw();
  }

  async function copied() {
    const selection = document.getSelection();
    const chosen = view.contains(selection.anchorNode) ? selection.toString() : "";
    const all = Math.min(length(), COPIED);
    let said = "";
    try {
      const content = chosen || (await whole(length() - all, all));
      await write(h, content);
      said = chosen ? "copied" : `copied ${all < length() ? "the last " : ""}${counted(all)}`;
    } catch (error) {
      said = `not copied: ${error.message}`;
    }
    copy.textContent = said;
    setTimeout(() => (copy.textContent = "copy"), 2000);
  }

  async function whole(begin, many) {
    const numbers = Array.from({ length: many }, (_, index) => numberAt(begin + index));
    const parts = [];
    while (numbers.length) {
      const got = await live.call("lines", { numbers: numbers.slice(0, 1000) });
      if (!got.length) break;
      parts.push(...got.map(([, , , content]) => plain(content)));
      const upTo = got.at(-1)[0];
      while (numbers.length && numbers[0] <= upTo) numbers.shift();
    }
    return parts.join("\n");
  }

  if (text.value || stream.value) refind();
  return () => { search++; resized.disconnect(); clearTimeout(timer); };
}

function counted(many) {
  return many === 1 ? "1 line" : `${many.toLocaleString("en")} lines`;
}

/** Browsers have a clipboard for pages from afar only over TLS. */
async function write(h, content) {
  if (navigator.clipboard) return navigator.clipboard.writeText(content);
  const area = h("textarea", { style: { position: "fixed", opacity: "0" } });
  area.value = content;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not let us");
  return undefined;
}

/** Rising numbers, of which there may be a million: a typed array that grows. */
class Numbers {
  constructor() {
    this.content = new Uint32Array(1024);
    this.begin = this.stop = 0;
  }

  get length() {
    return this.stop - this.begin;
  }

  at(index) {
    return this.content[this.begin + index];
  }

  add(more) {
    if (this.stop + more.length > this.content.length) {
      const larger = new Uint32Array(2 * (this.length + more.length));
      larger.set(this.content.subarray(this.begin, this.stop));
      this.stop -= this.begin;
      this.begin = 0;
      this.content = larger;
    }
    this.content.set(more, this.stop);
    this.stop += more.length;
  }

  dropBelow(first) {
    while (this.begin < this.stop && this.content[this.begin] < first) this.begin++;
  }
}

const ESCAPES = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?/g;

/** What a terminal would show of a line in the end: a carriage return begins it anew. */
function overwritten(content) {
  const trimmed = content.replace(/\r+$/, "");
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

function plain(content) {
  return overwritten(content).replace(ESCAPES, "");
}

/** A line as spans, coloured by ECMA-48 SGR; all other escapes are dropped, control characters are shown as such. */
function coloured(h, content) {
  content = overwritten(content);
  const parts = [];
  let look = {};
  let from = 0;
  const put = (piece) => {
    if (!piece) return;
    const shown = piece.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\x${c.codePointAt(0).toString(16).padStart(2, "0")}`);
    parts.push(Object.keys(look).length ? h("span", styled(look), shown) : shown);
  };
  for (const match of content.matchAll(ESCAPES)) {
    put(content.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[1] !== undefined) look = changed(look, match[1]);
  }
  put(content.slice(from));
  return parts.length ? parts : "\u00a0";
}

function changed(look, codes) {
  const now = { ...look };
  const numbers = codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at];
    if (code === 0) for (const key of Object.keys(now)) delete now[key];
    else if (code === 1) now.bold = true;
    else if (code === 2) now.dim = true;
    else if (code === 3) now.italic = true;
    else if (code === 4) now.underline = true;
    else if (code === 7) now.inverse = true;
    else if (code === 22) { delete now.bold; delete now.dim; }
    else if (code === 23) delete now.italic;
    else if (code === 24) delete now.underline;
    else if (code === 27) delete now.inverse;
    else if (code === 39) delete now.colour;
    else if (code === 49) delete now.ground;
    else if (code === 38 || code === 48) {
      const key = code === 38 ? "colour" : "ground";
      if (numbers[at + 1] === 5) { now[key] = indexed(numbers[at + 2]); at += 2; }
      else if (numbers[at + 1] === 2) { now[key] = nearest(numbers.slice(at + 2, at + 5)); at += 4; }
    } else if ([3, 9].includes(Math.floor(code / 10)) && code % 10 < 8) now.colour = code % 10;
    else if ([4, 10].includes(Math.floor(code / 10)) && code % 10 < 8) now.ground = code % 10;
  }
  return now;
}

// The eight colours of container/ansi.py, which also says why there are no others: no text can be hidden. White is the theme's.
const NAMED = ["#8b949e", "#d1434b", "#2a9d4a", "#b58900", "#4493f8", "#b55fcf", "#1b9aaa", ""];

function indexed(number) {
  if (number < 16) return number % 8;
  if (!(number <= 231)) return undefined;
  const level = (n) => (n ? 55 + 40 * n : 0);
  number -= 16;
  return nearest([Math.floor(number / 36), Math.floor(number / 6) % 6, number % 6].map(level));
}

/** Which parts are strong; of a grey none. */
function nearest(parts) {
  const [low, high] = [Math.min(...parts), Math.max(...parts)];
  if (!(high - low >= 48)) return undefined;
  return parts.reduce((sum, part, bit) => sum + (part > (low + high) / 2 ? 1 << bit : 0), 0);
}

function styled({ colour, ground, inverse, bold, dim, italic, underline }) {
  const style = {};
  const [ink, paper] = inverse ? [ground, NAMED[colour] || "color-mix(in srgb, currentColor 18%, transparent)"] : [colour, NAMED[ground]];
  if (paper) style.background = paper;
  if (paper?.startsWith("#")) style.color = "#000";
  else if (NAMED[ink]) style.color = `color-mix(in srgb, ${NAMED[ink]} 60%, currentColor)`;
  if (bold) style.fontWeight = "bold";
  if (dim) style.opacity = ".7";
  if (italic) style.fontStyle = "italic";
  if (underline) style.textDecoration = "underline";
  return { style };
}
