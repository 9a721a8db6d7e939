// A terminal: xterm.js over the bytes that widgets/terminal.py sends, and keys the other way.
//
// xterm.js is fetched once a page. What a terminal shows outlives its element for a while (PAGE.screens, by the
// terminal's key): a front end that draws an output again makes another element, which takes the screen over as it is.

const PAGE = (globalThis[Symbol.for("nbcontainers.terminal.xterm-6.0.0")] ??= { kit: null, screens: new Map() });
const KEPT_MS = 60000;
const BEGUN_MS = 1500;
const LARGEST_PASTE = 1 << 20;
const PIECE = 1 << 15;
const UNSAID = 16000;
// Each 4.5 : 1 at least on the backgrounds of JupyterLab and VS Code (WCAG 2.2 1.4.3). xterm.js could see to that, but makes
// reversed text grey then.
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const LIGHT = ["#1b1f24", "#b3261e", "#1e6b2e", "#7a5200", "#1a4fa3", "#7d3aa8", "#0f6570", "#5a626b",
  "#454c54", "#9b1c14", "#17662a", "#6b4800", "#2a62c4", "#8f4bbd", "#157884", "#30363d"];
const DARK = ["#868e97", "#ff7b72", "#6fce7e", "#e0b04c", "#79b0ff", "#cf9bf5", "#5fcfdb", "#d5dae0",
  "#8d959e", "#ffa198", "#8fe39c", "#f2cc73", "#a5cbff", "#dfb8ff", "#8fe6ef", "#ffffff"];

/** xterm.js and its addon, from the kernel that is asked first. */
function kit(live) {
  PAGE.kit ??= fetchKit(live).catch((error) => {
    PAGE.kit = null;
    throw error;
  });
  return PAGE.kit;
}

async function fetchKit(live) {
  const { buffers } = await live.call("load");
  const [xterm, fit, style] = await Promise.all(buffers.map(unpacked));
  const [{ Terminal }, { FitAddon }] = await Promise.all([xterm, fit].map(module));
  document.head.append(live.h("style", {}, await style.text()));
  return { Terminal, FitAddon };
}

function unpacked(buffer) {
  return new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}

async function module(source) {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Widths as wcwidth(3) has them today: those of xterm.js are of Unicode 6, before emoji. */
function widths(term) {
  const six = term._core.unicodeService._providers["6"];
  const emoji = /^\p{Emoji_Presentation}$/u;
  const wcwidth = (code) => (code > 0x2300 && emoji.test(String.fromCodePoint(code)) ? 2 : six.wcwidth(code));
  term.unicode.register({
    version: "nbcontainers",
    wcwidth,
    charProperties(code, preceding) {
      const joins = wcwidth(code) === 0 && preceding !== 0 && ((preceding >> 1) & 3) !== 0;
      return ((joins ? (preceding >> 1) & 3 : wcwidth(code)) << 1) | (joins ? 1 : 0);
    },
  });
  term.unicode.activeVersion = "nbcontainers";
}

/** Red, green, blue and opacity of any colour that CSS can say. */
function parts(colour) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}

const hex = (numbers) => `#${numbers.slice(0, 3).map((number) => number.toString(16).padStart(2, "0")).join("")}`;

/** The colour behind an element: that of the first ancestor that has one. */
function backdrop(element) {
  for (let node = element; node; node = node.parentElement) {
    const found = parts(getComputedStyle(node).backgroundColor);
    if (found[3] === 255) return found;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? [17, 17, 17, 255] : [255, 255, 255, 255];
}

function theme(element) {
  const behind = backdrop(element);
  const dark = 0.2126 * behind[0] + 0.7152 * behind[1] + 0.0722 * behind[2] < 128;
  const [background, foreground] = [hex(behind), hex(parts(getComputedStyle(element).color))];
  const slider = (part) => (dark ? `rgba(255, 255, 255, ${part})` : `rgba(0, 0, 0, ${part})`);
  const found = { background, foreground, cursor: foreground, cursorAccent: background,
    selectionBackground: dark ? "rgba(110, 160, 255, 0.4)" : "rgba(60, 120, 230, 0.3)",
    scrollbarSliderBackground: slider(0.2), scrollbarSliderHoverBackground: slider(0.35),
    scrollbarSliderActiveBackground: slider(0.5) };
  (dark ? DARK : LIGHT).forEach((colour, n) => {
    found[n < 8 ? NAMES[n] : `bright${NAMES[n - 8][0].toUpperCase()}${NAMES[n - 8].slice(1)}`] = colour;
  });
  return found;
}

/** Text to the clipboard, also where the page may not ask for it (http, no permission). */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text });
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    focused?.focus();
  }
}

/** One terminal's picture: xterm.js, how far it is, and the place that shows it now. */
class Screen {
  constructor(live, { Terminal, FitAddon }) {
    this.live = live;
    this.stream = "";
    this.at = 0;
    this.said = 0;
    this.silent = this.over = this.opening = this.ready = false;
    this.early = "";
    this.node = live.h("div", { class: "nbc-terminal-screen" });
    live.el.append(this.node);
    this.term = new Terminal({ allowProposedApi: true, fontFamily: getComputedStyle(this.node).fontFamily, fontSize: 13,
      scrollback: 5000, cursorInactiveStyle: "outline", theme: theme(this.node) });
    this.fit = new FitAddon();
    this.term.loadAddon(this.fit);
    widths(this.term);
    for (const code of [0, 1, 2, 8, 52]) this.term.parser.registerOscHandler(code, () => true);
    this.term.attachCustomKeyEventHandler((event) => this.key(event));
    this.term.open(this.node);
    this.term.onData((text) => this.type(text, false));
    this.term.onBinary((text) => this.type(text, true));
    this.term.onResize(({ rows, cols }) => this.call("size", { rows, columns: cols }));
    this.term.textarea.addEventListener("focus", () => this.live.el.classList.add("nbc-terminal-focus"));
    this.term.textarea.addEventListener("blur", () => {
      this.live.el.classList.remove("nbc-terminal-focus");
      this.call("left");
    });
  }

  call(name, args) {
    return this.live.call(name, args).catch(() => {}); // what failed is shown over the view
  }

  /** Whether xterm.js is to have the key. */
  key(event) {
    if (event.type !== "keydown") return true;
    if (event.key === "Escape" && event.shiftKey) {
      event.preventDefault();
      this.leave();
      return false;
    }
    const letter = event.ctrlKey && event.shiftKey && !event.altKey ? event.key.toLowerCase() : "";
    if (letter === "c") {
      event.preventDefault();
      if (this.term.hasSelection()) copy(this.term.getSelection());
    }
    return letter !== "c" && letter !== "v"; // the browser itself pastes, and asks nobody
  }

  leave() {
    this.term.blur();
    this.live.el.closest(".jp-Cell, [tabindex]")?.focus();
  }

  type(text, binary) {
    if (this.silent || this.over) return;
    if (text.length > LARGEST_PASTE) {
      this.live.say(`${text.length} letters are too many to paste: at most ${LARGEST_PASTE} at once`);
      return;
    }
    if (!this.ready) {
      this.early = (this.early + text).slice(0, PIECE); // typed before the kernel was found
      return;
    }
    const letters = text.length > PIECE ? Array.from(text) : null;
    if (!letters) this.call("type", { text, binary });
    else for (let n = 0; n < letters.length; n += PIECE) this.call("type", { text: letters.slice(n, n + PIECE).join(""), binary });
  }

  /** A piece of output. What follows no longer on what is here is asked for again. */
  draw({ out, reset, replay, skipped }, buffers) {
    const data = buffers.length ? new Uint8Array(buffers[0].buffer, buffers[0].byteOffset, buffers[0].byteLength) : new Uint8Array();
    if (reset) this.term.write("\x1bc");
    else if (skipped) this.term.write(`\x1b[0m\r\n[${Math.ceil(skipped / 1024)} KiB not shown]\r\n`);
    else if (out !== this.at) {
      if (out > this.at && !this.opening) this.open().catch(() => {});
      return;
    }
    this.at = out + data.length;
    const drawn = this.at;
    if (replay) this.term.write("", () => { this.silent = true; });
    this.term.write(data, () => {
      if (replay) this.silent = false;
      this.live.drawn();
      if (drawn - this.said >= UNSAID || reset) {
        this.said = drawn;
        this.call("drawn", { at: drawn });
      }
    });
  }

  /** Say where we are, and get what is missing. */
  async open() {
    const { term, at, stream } = this;
    const fits = this.fit.proposeDimensions(); // NaN while the page's styles are being exchanged
    const { rows, cols: columns } = fits && fits.rows > 0 && fits.cols > 0 ? fits : term;
    this.opening = true;
    try {
      const found = await this.live.call("open", { at, stream, rows, columns });
      this.stream = found.stream;
      this.ready = true;
      const early = this.early;
      this.early = "";
      if (early) this.type(early, false);
      return found;
    } finally {
      this.opening = false;
    }
  }

  /** The program's end: nothing is typed any more. */
  end() {
    this.over = true;
    this.term.options.disableStdin = true;
    this.term.write("\x1b[?25l");
    this.term.blur();
  }

  dispose() {
    this.term.dispose();
    this.node.remove();
  }
}

/** The screen of an element that is no longer there is now this place's; at once, so that nothing jumps. */
function adopted(live) {
  const kept = PAGE.screens.get(live.args.key);
  if (!kept || (kept.node.isConnected && !kept.live.signal.aborted)) return null;
  clearTimeout(kept.leaving);
  if (!kept.live.signal.aborted) kept.call("drop");
  kept.live = live;
  kept.ready = false;
  live.el.append(kept.node);
  live.drawn();
  return kept;
}

async function made(live, place) {
  const tools = await kit(live);
  place.remove();
  const found = new Screen(live, tools);
  if (!PAGE.screens.has(live.args.key)) PAGE.screens.set(live.args.key, found);
  return found;
}

/** Follow the front end's colours and the size of the element. */
function follow(live, shown) {
  const dress = () => { shown.term.options.theme = theme(shown.node); };
  const themes = new MutationObserver(() => [0, 100, 400, 1500].forEach((ms) => setTimeout(dress, ms))); // a style may come late
  for (const element of [document.documentElement, document.body]) themes.observe(element, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress, { signal: live.signal });
  let planned = 0;
  const sizes = new ResizeObserver(() => {
    clearTimeout(planned);
    planned = setTimeout(() => shown.node.clientWidth && shown.fit.fit(), 60);
  });
  sizes.observe(shown.node);
  live.signal.addEventListener("abort", () => { themes.disconnect(); sizes.disconnect(); clearTimeout(planned); });
}

async function begin(live, head, kept, place) {
  const { known, why } = await live.call("find");
  if (!known && !kept) {
    live.still();
    return live.say(why);
  }
  const shown = kept ?? (await made(live, place));
  if (live.signal.aborted) return;
  follow(live, shown);
  live.on((content, buffers) => {
    if (shown.live !== live) return;
    if ("out" in content) shown.draw(content, buffers);
    else tell(live, head, shown, content);
  });
  live.onvisible((visible) => shown.live === live && shown.call("show", { visible }));
  live.signal.addEventListener("abort", () => {
    if (shown.live === live) shown.leaving = setTimeout(() => {
      if (PAGE.screens.get(live.args.key) === shown) PAGE.screens.delete(live.args.key);
      shown.dispose();
    }, KEPT_MS);
  });
  // Nobody may ever type: the notebook keeps how it began. Typing comes first, for the picture draws the output anew.
  const began = setTimeout(() => live.el.classList.contains("nbc-terminal-focus") || shown.call("left"), BEGUN_MS);
  live.signal.addEventListener("abort", () => clearTimeout(began));
  shown.fit.fit();
  tell(live, head, shown, known ? await shown.open() : { state: why || "it has ended", over: true });
}

/** The line over the screen. */
function tell(live, head, shown, { state, over, deaf, title, ends }) {
  if (title) head.title.textContent = title;
  head.state.textContent = state;
  if (ends !== undefined) head.button.textContent = ends ? "end" : "detach";
  live.el.classList.toggle("nbc-terminal-over", Boolean(over));
  if (over) shown.end();
  if (deaf) shown.over = true;
}

export function mount(live) {
  const { h, el, args } = live;
  const head = { title: h("b", {}, args.title), state: h("span", { role: "status" }, "…"),
    button: h("button", { title: "hang up, as closing the window of a terminal does",
      onclick: () => live.call("hang_up").catch(() => {}) }, "end") };
  el.append(h("div", { class: "nbc-terminal-head" }, head.title, head.state,
    h("span", { class: "nbc-terminal-hint" }, "Shift+Esc leaves the terminal"), head.button));
  for (const kind of ["keydown", "keypress", "keyup"]) el.addEventListener(kind, (event) => event.stopPropagation());
  const kept = adopted(live);
  const place = h("div", { class: "nbc-terminal-screen" });
  if (!kept) el.append(place);
  Promise.resolve().then(() => begin(live, head, kept, place)).catch((error) => live.say(error.message, error.hint));
}
