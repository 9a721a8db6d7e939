// The page's half of all live views; its other half is page.py, which says the messages.
//
// It runs once a kernel, as the `initialize` of an anywidget model (wire.py) that has no output of its own. It looks for elements
// of class "nbcontainers-live", asks the kernel that wrote them for a view, loads the view's module from that kernel and
// lets it draw over the static HTML. A module NAME.js exports mount(live), which may return a function that tidies up:
//
//   live.el               its element: empty, class "nbc nbc-KIND", styled by STYLE below and NAME.css; draw in it
//   live.drawn()          what is in live.el can be looked at: it takes the place of the picture before it, until then it is
//                         laid out but not seen. Again does nothing
//   live.facts(f)         f(facts) at once with the last facts, if there are any, and whenever they change
//   live.call(name, args) a Promise of what the @action of that name returns; a failure is shown and rejects. Where the
//                         kernel goes first it stays open for ever: the next kernel's view is mounted anew
//   live.on(f)            f(content, buffers) for what Live.send pushes
//   live.h(tag, attributes, ...children)  an element: strings become text, on… listeners, style an object or text;
//                         live.s the same for SVG
//   live.say(text, hint)  a line over the view (role alert); nothing takes it away
//   live.load("vendor/x.js")  a Promise of another module of nbcontainers/widgets, fetched once a kernel, with its .css
//   live.visible, live.onvisible(f)  whether the view can be seen, f(visible) when that changes
//   live.size(f)          f(width) at once and whenever the view's width changes
//   live.still()          shows the static HTML instead: there is nothing live about it any more
//   live.embed(el, kind, args)  another live view inside of this one; returns {remove()}
//   live.kind, live.args  the address;  live.state  an object that survives a restart of the kernel
//   live.signal           an AbortSignal that ends with the view: addEventListener(…, {signal: live.signal})

const PAGE = (globalThis[Symbol.for("nbcontainers.live.1")] ??= { hubs: [], views: new WeakMap(), settled: new Map(), watching: false });
const HOOK = "nbcontainers-live";
const BEAT_MS = 10000;
const SETTLING_MS = 700;

const STYLE = `
.nbc { --nbc-blue: var(--jp-brand-color1, var(--vscode-charts-blue, #4493f8));
  --nbc-green: var(--jp-success-color1, var(--vscode-charts-green, #2da44e));
  --nbc-amber: var(--jp-warn-color1, var(--vscode-charts-yellow, #d68f00));
  --nbc-red: var(--jp-error-color1, var(--vscode-charts-red, #e5484d)); --nbc-grey: #8b949e;
  --nbc-ink: var(--jp-content-font-color1, var(--vscode-editor-foreground, currentColor));
  --nbc-border: var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, .35)));
  --nbc-hover: color-mix(in srgb, currentColor 8%, transparent); --nbc-soft: color-mix(in srgb, currentColor 5%, transparent);
  --nbc-mono: var(--jp-code-font-family, var(--vscode-editor-font-family, ui-monospace, Menlo, Consolas, monospace));
  --nbc-back: var(--jp-layout-color0, var(--vscode-editor-background, Canvas));
  --nbc-front: var(--jp-content-font-color1, var(--vscode-editor-foreground, CanvasText));
  box-sizing: border-box; font-size: 13px; line-height: 1.5; position: relative; }
.nbc *, .nbc *::before { box-sizing: border-box; }
.nbc button, .nbc input, .nbc select { font: inherit; font-size: 12px; color: inherit; background: var(--nbc-soft);
  border: 1px solid var(--nbc-border); border-radius: 4px; padding: 1px 8px; min-height: 24px; }
.nbc button { cursor: pointer; }
.nbc button:hover:not(:disabled) { background: var(--nbc-hover); }
.nbc button:disabled { opacity: .45; cursor: default; }
.nbc :focus-visible { outline: 2px solid var(--nbc-blue); outline-offset: 1px; }
.nbc-stale > .nbc { opacity: .55; }
.nbcontainers-live { position: relative; }
.nbcontainers-live > .nbc-coming { position: absolute; top: 0; left: 0; right: 0; max-height: 100%; overflow: hidden; visibility: hidden; }
.nbc-says { display: flex; gap: 8px; align-items: baseline; font-size: 12px; padding: 2px 8px; margin: 2px 0;
  border-left: 3px solid var(--jp-warn-color1, var(--vscode-charts-yellow, #d68f00)); }
.nbc-says[role=alert] { border-color: var(--jp-error-color1, var(--vscode-charts-red, #e5484d)); }
.nbc-says code { font-size: 12px; background: none; }
.nbc-says button { margin-left: auto; border: 0; background: none; color: inherit; cursor: pointer; }
`;

/** An element of `space`: strings become text, never markup. */
function element(space, tag, attributes, children) {
  const made = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style" && typeof value === "object") Object.assign(made.style, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}
const h = (tag, attributes, ...children) => element("http://www.w3.org/1999/xhtml", tag, attributes, children);
const s = (tag, attributes, ...children) => element("http://www.w3.org/2000/svg", tag, attributes, children);

/** Put a style sheet into the page once; a newer one of that name takes its place. */
function dress(name, text) {
  const id = `nbcontainers-style-${name.replace(/\W/g, "-")}`;
  let sheet = document.getElementById(id);
  if (!sheet) document.head.append((sheet = h("style", { id })));
  if (sheet.textContent !== text) sheet.textContent = text;
}

/** Front ends give buffers as one or the other. */
function viewed(buffer) {
  return buffer instanceof ArrayBuffer ? new DataView(buffer) : buffer;
}

/** The channel to one kernel. */
class Hub {
  constructor(model) {
    this.model = model;
    this.manager = model.widget_manager;
    this.kernel = model.get("kernel");
    this.views = new Map();
    this.owned = new WeakMap();
    this.modules = new Map();
    this.waiting = new Map();
    this.count = 0;
    this.heard = 0;
    model.on("msg:custom", (content, buffers) => this.receive(content, (buffers ?? []).map(viewed)));
    model.on("comm_live_update", () => this.gone("the kernel was restarted"));
    model.on("comm:close", () => this.gone("the live views were unloaded"));
    try {
      model.send({ see: {} });
    } catch {
      // nobody is there, as below
    }
  }

  /** Only a kernel that answers has views: a model may also come from what a notebook saved of one that is gone. */
  meet() {
    this.beat = setInterval(() => this.tick(), BEAT_MS);
    PAGE.hubs.unshift(this);
    PAGE.adopt();
  }

  send(content, buffers) {
    if (!this.alive) return;
    try {
      this.model.send(content, undefined, buffers);
    } catch {
      this.gone("the kernel is another one"); // the front end restarted it by itself
    }
  }

  get alive() {
    return PAGE.hubs.includes(this);
  }

  /** A message with an answer; where the kernel goes before it answers, it never comes: the next one draws anew. */
  ask(content, buffers) {
    const reply = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(reply, { resolve, reject });
      this.send({ ...content, reply }, buffers);
    });
  }

  receive(content, buffers) {
    const first = !this.heard;
    this.heard = Date.now();
    if (first) this.meet();
    if (content.reply !== undefined) {
      const waiting = this.waiting.get(content.reply);
      this.waiting.delete(content.reply);
      if (content.error) waiting?.reject(Object.assign(new Error(content.error.message), { hint: content.error.hint }));
      else waiting?.resolve(content.source !== undefined ? content : buffers.length ? { value: content.value, buffers } : content.value);
    } else if (content.view) this.views.get(content.view)?.receive(content, buffers);
    else for (const view of this.views.values()) view.fresh();
  }

  /** The source of a module, as a module, once. */
  module(name) {
    if (!this.modules.has(name)) this.modules.set(name, this.fetch(name));
    return this.modules.get(name);
  }

  async fetch(name) {
    const { source, style } = await this.ask({ module: name });
    if (style) dress(name, style);
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      return await import(/* webpackIgnore: true */ /* @vite-ignore */ address);
    } finally {
      URL.revokeObjectURL(address);
    }
  }

  /** Whether that HTML is of this kernel, or of its notebook, which is trusted, and a kernel before it: what a stranger
   *  wrote may name any container, and is shown as it is. */
  owns(element, spec) {
    if (spec.kernel === this.kernel) return true;
    if (!this.owned.has(element)) this.owned.set(element, this.written(spec.id));
    return this.owned.get(element);
  }

  written(id) {
    const cells = this.manager?.context?.model?.cells;
    if (!cells) return PAGE.hubs.every((hub) => hub === this);
    return /^[0-9a-f]{32}$/.test(id) && Boolean(this.output(id)?.trusted); // a shorter one is in any HTML
  }

  /** The output of our notebook that holds that address: its area and its place there. */
  output(id) {
    const cells = this.manager?.context?.model?.cells;
    for (let c = 0; c < (cells?.length ?? 0); c++) {
      const outputs = cells.get(c).outputs;
      for (let o = 0; o < (outputs?.length ?? 0); o++) {
        const html = String(outputs.get(o).data?.["text/html"] ?? "");
        if (html.includes(id)) return { outputs, place: o, html, trusted: cells.get(c).trusted };
      }
    }
    return null;
  }

  /** Put a static picture that is final into the notebook, in the place of the one from when the cell ran. */
  settle(id, bundle) {
    const { outputs, place, html } = this.output(id) ?? {};
    if (!outputs || PAGE.settled.get(id) === bundle.moment) return;
    PAGE.settled.set(id, bundle.moment);
    const output = outputs.get(place).toJSON();
    const address = html.slice(0, html.indexOf(">") + 1);
    const data = { ...output.data, "text/plain": bundle["text/plain"], "text/html": `${address}${bundle["text/html"]}</div>` };
    if (data["text/html"] !== html) outputs.set(place, { ...output, data });
  }

  /** Every ten seconds; without a kernel only to let go of the pictures whose outputs were cleared. */
  tick() {
    const seen = {};
    for (const view of [...this.views.values()]) {
      if (view.visible) seen[view.id] = true;
      view.absent = view.host.isConnected ? 0 : (view.absent ?? 0) + 1;
      if (view.absent > 60) view.remove(); // its output was cleared; a cell scrolled far away is only taken out for a while
    }
    if (!this.alive && !this.views.size) clearInterval(this.beat);
    if (!this.alive || !Object.keys(seen).length) return;
    this.send({ see: seen });
    const silent = Date.now() - this.heard > 3 * BEAT_MS;
    if (silent && this.manager?.kernel?.status !== "busy") for (const view of this.views.values()) view.stale("the kernel does not answer");
  }

  /** The kernel is no more, or no longer ours: the last pictures stay until another comes. */
  gone(why) {
    PAGE.hubs = PAGE.hubs.filter((hub) => hub !== this);
    this.waiting.clear();
    for (const view of this.views.values()) view.stale(`${why}; this is the last picture`, "%load_ext nbcontainers");
  }
}

/** One live view in one place of the page. */
class View {
  constructor(host, spec) {
    this.host = host;
    this.spec = spec;
    this.state = {};
    this.visible = false;
    this.note = h("div", {});
    this.before = [...host.childNodes];
    this.intersecting = false;
    this.watch = new IntersectionObserver((entries) => {
      this.intersecting = entries.at(-1).isIntersecting;
      this.see();
    });
    this.watch.observe(host);
    this.onpage = () => this.see();
    document.addEventListener("visibilitychange", this.onpage);
  }

  /** Ask this kernel for the view; also when a kernel came in the place of another. */
  attach(hub) {
    this.hub?.views.delete(this.id);
    this.quiet = false;
    this.hub = hub;
    this.id = `${this.spec.id ?? "view"}-${Math.random().toString(36).slice(2)}`;
    this.opened = false;
    hub.views.set(this.id, this);
    if (this.visible) this.open();
  }

  /** Nothing is asked of the kernel before somebody can see it. */
  async open() {
    if (this.opened) return;
    this.opened = true;
    const { hub, id } = this;
    try {
      const module = await hub.module(`${this.spec.kind}.js`);
      if (this.id !== id) return; // another kernel came meanwhile
      this.unmount();
      this.fresh();
      this.last = undefined;
      this.listeners = { facts: [], on: [], visible: [] };
      this.ending = new AbortController();
      hub.send({ open: id, kind: this.spec.kind, with: this.spec.with ?? {}, visible: this.visible });
      this.stage();
      this.tidy = module.mount(this.face());
    } catch (error) {
      this.say(error.message, error.hint);
      console.error(error);
    }
  }

  /** An element to draw in, behind the picture that is seen: the static one, or that of the kernel before. */
  stage() {
    this.root = h("div", { class: `nbc nbc-${this.spec.kind} nbc-coming`, role: "group", "aria-label": this.spec.label ?? this.spec.kind,
      "data-jp-suppress-context-menu": "true" });
    // Keys are the view's. Lumino looks for this from what has the focus upwards, and takes what matches before it.
    this.root.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
    this.host.append(this.root);
  }

  /** The live picture in its place. */
  drawn() {
    if (!this.root.classList.contains("nbc-coming") || this.quiet) return;
    this.host.style.minHeight = `${this.host.offsetHeight}px`; // what is below waits with us for what comes later
    setTimeout(() => (this.host.style.minHeight = ""), SETTLING_MS);
    this.root.classList.remove("nbc-coming");
    for (const node of [...this.host.childNodes]) if (node !== this.note && node !== this.root) node.remove();
  }

  /** The static picture again: it is the truth where there is nothing to look at any more. */
  still() {
    this.quiet = true;
    this.host.replaceChildren(this.note, ...this.before);
  }

  /** What mount() gets; described at the top. */
  face() {
    const view = this;
    const { root } = this;
    return {
      el: root, h, s, kind: this.spec.kind, args: this.spec.with ?? {}, state: this.state, signal: this.ending.signal,
      get visible() { return view.visible; },
      drawn: () => root === view.root && view.drawn(),
      facts: (listener) => { view.listeners.facts.push(listener); if (view.last !== undefined) listener(view.last); },
      on: (listener) => view.listeners.on.push(listener),
      onvisible: (listener) => view.listeners.visible.push(listener),
      call: (name, args, buffers) => view.call(name, args, buffers),
      say: (text, hint) => view.say(text, hint),
      load: (name) => view.hub.module(name),
      size: (listener) => view.sized(listener),
      still: () => view.still(),
      embed: (el, kind, args) => view.embed(el, kind, args),
    };
  }

  async call(name, args, buffers) {
    if (this.hub.alive) this.say("");
    else this.say("no kernel is behind this picture", "%load_ext nbcontainers");
    try {
      return await this.hub.ask({ view: this.id, call: name, with: args ?? {} }, buffers);
    } catch (error) {
      this.say(error.message, error.hint);
      throw error;
    }
  }

  receive(content, buffers) {
    if (content.lost) return this.attach(this.hub);
    this.fresh();
    if ("facts" in content) {
      this.last = content.facts;
      for (const listener of this.listeners.facts) listener(content.facts);
    } else if ("trouble" in content) {
      this.stale(content.trouble.message, content.trouble.hint);
    } else if ("static" in content) this.settle(content.static);
    else if ("send" in content) for (const listener of this.listeners.on) listener(content.send, buffers);
  }

  /** What is final goes into the notebook; that draws the output anew, so not while somebody is busy in it. */
  settle(bundle) {
    if (this.embedded) return;
    const write = () => this.hub.settle(this.spec.id, bundle);
    if (!this.host.contains(document.activeElement)) write();
    else this.host.addEventListener("focusout", () => setTimeout(() => this.settle(bundle)), { once: true });
  }

  see() {
    const visible = this.intersecting && this.host.isConnected && document.visibilityState === "visible";
    if (visible === this.visible) return;
    this.visible = visible;
    if (visible && !this.opened && this.hub) this.open();
    else if (this.opened) this.hub.send({ see: { [this.id]: visible } });
    for (const listener of this.listeners?.visible ?? []) listener(visible);
  }

  sized(listener) {
    const { root } = this;
    const observer = new ResizeObserver(() => root.clientWidth && listener(root.clientWidth));
    observer.observe(root);
    this.ending.signal.addEventListener("abort", () => observer.disconnect());
  }

  embed(el, kind, args) {
    const inner = new View(el, { kind, with: args, id: this.spec.id, kernel: this.spec.kernel });
    inner.embedded = true; // the picture that the notebook keeps is ours
    PAGE.views.set(el, inner);
    inner.attach(this.hub);
    const gone = new AbortController(); // or all that were ever in here would be kept as long as this view
    const remove = () => { gone.abort(); inner.remove(); };
    this.ending.signal.addEventListener("abort", remove, { signal: gone.signal });
    return { remove };
  }

  /** A line over the view; an empty one takes it away. */
  say(text, hint, role = "alert") {
    this.note.replaceChildren();
    if (!text) return;
    if (!this.note.isConnected) this.host.prepend(this.note);
    this.note.append(h("div", { class: "nbc-says", role }, h("span", {}, text), hint ? h("code", {}, hint) : null,
      h("button", { "aria-label": "dismiss", onclick: () => this.note.replaceChildren() }, "×")));
  }

  stale(why, hint) {
    this.host.classList.add("nbc-stale");
    this.say(why, hint, "status");
  }

  fresh() {
    if (!this.host.classList.contains("nbc-stale")) return;
    this.host.classList.remove("nbc-stale");
    this.say("");
  }

  unmount() {
    this.ending?.abort();
    if (typeof this.tidy === "function") this.tidy();
    this.tidy = undefined;
    for (const coming of this.host.querySelectorAll(":scope > .nbc-coming")) coming.remove();
  }

  remove() {
    if (this.opened) this.hub.send({ close: this.id });
    this.hub?.views.delete(this.id);
    this.unmount();
    this.watch.disconnect();
    document.removeEventListener("visibilitychange", this.onpage);
    PAGE.views.delete(this.host);
    this.host.replaceChildren(...this.before);
  }
}

/** Give each address of the page that has none a view of its kernel. */
function adopt() {
  for (const host of document.getElementsByClassName(HOOK)) {
    const known = PAGE.views.get(host);
    if (known && PAGE.hubs.includes(known.hub)) continue;
    const spec = known?.spec ?? address(host);
    const hub = spec && PAGE.hubs.find((one) => one.owns(host, spec));
    if (!hub) continue;
    const view = known ?? new View(host, spec);
    PAGE.views.set(host, view);
    view.attach(hub);
  }
}

function address(host) {
  try {
    return JSON.parse(host.dataset.nbcontainers);
  } catch {
    return null; // not ours, or cut by a sanitizer: it stays static
  }
}

/** New outputs are noticed as they come; the look costs nothing where there is none of ours. */
function watch() {
  if (PAGE.watching) return;
  PAGE.watching = true;
  let planned = false;
  new MutationObserver(() => {
    if (planned) return;
    planned = true;
    setTimeout(() => { planned = false; PAGE.adopt(); }, 30);
  }).observe(document.body, { childList: true, subtree: true });
}

export default {
  initialize({ model }) {
    dress("live", STYLE);
    PAGE.adopt = adopt;
    watch();
    new Hub(model);
  },

  /** Of a model that has a widget view: its element is one more place with an address. */
  render({ model, el }) {
    const spec = model.get("spec");
    if (!spec) return undefined;
    el.classList.add(HOOK);
    el.dataset.nbcontainers = JSON.stringify(spec);
    adopt();
    return () => PAGE.views.get(el)?.remove();
  },
};
