// The networks, live: the static drawing, redrawn when they change, with rates between changes.
//
// Click or Tab and Enter on a thing: its facts. + - 0 and arrows, or drag and Ctrl+wheel: look closer.

const STEP = 1.25;
const CLOSEST = 6;
const THICKEST = 7;

/** 1.2M, 340k, 12: bytes a second in few characters. */
export function brief(value) {
  let unit = 0;
  while (value >= 999.5 && unit < 4) { value /= 1000; unit++; }
  return `${value < 9.95 && unit ? value.toFixed(1) : Math.round(value)}${["", "k", "M", "G", "T"][unit]}`;
}
const spoken = ([inward, outward]) => `now ${brief(inward)}B/s in, ${brief(outward)}B/s out`;

/** Thicker by the tenfold: a line at rest is 1.8. */
export const thickness = (rate) => Math.min(THICKEST, 1.8 + Math.log10(1 + rate / 1000) * 0.9);

export async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

export function mount(live) {
  const { h, state } = live;
  let shown = ""; // versions of the picture
  let wanted = "";
  let asking = false;
  let rates = {};
  let svg = null;
  let whole = null; // the drawing's own width and height
  const view = (state.view ??= { x: 0, y: 0, scale: 1 });

  const heading = h("span", { class: "heading" });
  const button = (label, title, act) => h("button", { type: "button", title, "aria-label": title, onclick: act }, label);
  const tools = h("span", { class: "tools" }, button("−", "smaller (-)", () => zoom(1 / STEP)), button("+", "larger (+)", () => zoom(STEP)),
    button("all", "all of it (0)", reset));
  const way = h("ol", { class: "way" });
  const title = h("div", { class: "title" });
  const stage = h("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "drawing of the networks" });
  const panel = h("div", { class: "panel", role: "status" });
  live.el.append(h("div", { class: "box mathjax_ignore tex2jax_ignore" },
    h("div", { class: "head" }, h("b", {}, "networks"), heading, tools), title, way, stage, panel));

  live.facts((facts) => {
    rates = facts.rates;
    wanted = facts.version;
    if (wanted === shown) flow();
    else if (!asking) redraw();
  });

  /** Until the picture is that of the last facts; it may be newer. */
  async function redraw() {
    asking = true;
    try {
      for (let last = null; shown !== wanted && last !== wanted; ) {
        last = wanted;
        const answer = await live.call("picture").catch(() => null); // why is shown over the drawing
        if (!answer?.value?.version || answer.value.version === shown) break; // without a picture there are no bytes, and no value beside them
        const { value, buffers } = answer;
        const text = await inflated(buffers[0]);
        shown = value.version;
        heading.textContent = [value.heading, `on ${value.host}`, value.left].filter(Boolean).join(" · ");
        title.textContent = value.title;
        way.replaceChildren(...value.way.map((step) => h("li", {}, step)));
        draw(new DOMParser().parseFromString(text, "image/svg+xml").documentElement);
        live.drawn();
      }
    } finally {
      asking = false;
    }
  }

  function draw(parsed) {
    const before = svg ? new Set(keys()) : null;
    const focused = stage.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    svg = document.importNode(parsed, true);
    whole = { width: Number(svg.getAttribute("width")), height: Number(svg.getAttribute("height")) };
    stage.replaceChildren(svg);
    for (const box of svg.querySelectorAll("g[role=img]")) {
      box.setAttribute("role", "button");
      box.setAttribute("tabindex", "0");
      if (before && !before.has(box.dataset.key)) box.classList.add("fresh");
    }
    look();
    flow();
    choose(state.chosen);
    if (focused) at(focused)?.focus({ preventScroll: true });
  }

  const keys = () => [...svg.querySelectorAll("[data-key]")].map((one) => one.dataset.key);
  const at = (key) => svg?.querySelector(`[data-key="${CSS.escape(key)}"]`);

  /** Lines as thick as what runs over them, and how much it is where there is room for that. */
  function flow() {
    if (!svg) return;
    for (const one of svg.querySelectorAll("[data-flow]")) {
      one.removeAttribute("data-flow");
      one.style.strokeWidth = "";
    }
    for (const one of svg.querySelectorAll("[data-rate]")) one.textContent = "";
    for (const [key, rate] of Object.entries(rates)) {
      const place = svg.querySelector(`[data-rate="${CSS.escape(key)}"]`);
      if (place) place.textContent = `↓${brief(rate[0])} ↑${brief(rate[1])}`;
      for (const line of lines(key)) {
        line.setAttribute("data-flow", "");
        line.style.strokeWidth = thickness(rate[0] + rate[1]);
      }
    }
    tell();
  }

  /** The line of a cable; of an interface those that lead to it. */
  function lines(key) {
    const name = key.startsWith("if ") ? key.slice(3) : "";
    const found = name ? [at(`routing ${name}`), at(`outside ${name}`)] : key.startsWith("cable ") ? [at(key)] : [];
    return found.filter(Boolean).map((one) => (one.matches(".nbc-line") ? one : one.querySelector(".nbc-line"))).filter(Boolean);
  }

  // What is chosen

  function choose(key) {
    for (const one of stage.querySelectorAll(".chosen")) one.classList.remove("chosen");
    const found = key && at(key);
    state.chosen = found ? key : undefined;
    found?.classList.add("chosen");
    tell();
  }

  function tell() {
    const found = state.chosen && at(state.chosen);
    if (!found) return panel.replaceChildren();
    const [head, ...facts] = (found.querySelector("title")?.textContent ?? "").split("\n");
    const link = found.querySelector("a")?.getAttribute("href");
    const of = state.chosen.startsWith("container ") ? Object.keys(rates).filter((key) => key.startsWith(`cable ${state.chosen.slice(10)} `)) : [state.chosen];
    const now = of.filter((key) => rates[key]).map((key) => spoken(rates[key]));
    panel.replaceChildren(h("b", {}, head), ...[...facts, ...now].map((fact) => h("span", {}, fact)),
      ...(link ? [h("a", { href: link, target: "_blank", rel: "noopener" }, link)] : []),
      h("button", { type: "button", "aria-label": "close", onclick: () => choose() }, "×"));
  }

  stage.addEventListener("click", (event) => {
    if (event.target.closest("a") && !event.ctrlKey && !event.metaKey) event.preventDefault(); // it is in the panel
    if (moved) return;
    choose(event.target.closest("[data-key]")?.dataset.key);
  });

  stage.addEventListener("keydown", (event) => {
    const key = event.target.closest?.("[data-key]")?.dataset.key;
    const step = 40 / view.scale;
    const act = {
      Enter: () => key && choose(key), " ": () => key && choose(key), Escape: () => choose(),
      "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: reset,
      ArrowLeft: () => pan(-step, 0), ArrowRight: () => pan(step, 0), ArrowUp: () => pan(0, -step), ArrowDown: () => pan(0, step),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  // Looking closer: the part of the drawing that is in the picture

  function look() {
    if (!svg) return;
    const width = whole.width / view.scale;
    const height = whole.height / view.scale;
    view.x = Math.max(0, Math.min(view.x, whole.width - width));
    view.y = Math.max(0, Math.min(view.y, whole.height - height));
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${width} ${height}`);
  }

  /** By so much, around a point of the drawing or its middle. */
  function zoom(by, point) {
    if (!svg) return;
    const scale = Math.max(1, Math.min(CLOSEST, view.scale * by));
    const about = point ?? { x: view.x + whole.width / view.scale / 2, y: view.y + whole.height / view.scale / 2 };
    view.x = about.x - (about.x - view.x) * (view.scale / scale);
    view.y = about.y - (about.y - view.y) * (view.scale / scale);
    view.scale = scale;
    look();
  }

  function pan(x, y) {
    if (view.scale === 1) return stage.scrollBy(x, y);
    view.x += x;
    view.y += y;
    look();
  }

  function reset() {
    Object.assign(view, { x: 0, y: 0, scale: 1 });
    look();
  }

  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !svg) return;
    event.preventDefault();
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, point);
  }, { passive: false });

  let held = null;
  let moved = false;
  stage.addEventListener("pointerdown", (event) => {
    moved = false;
    if (event.button === 0 && view.scale > 1 && !event.target.closest("text")) held = { x: event.clientX, y: event.clientY };
  });
  addEventListener("pointermove", (event) => {
    if (!held || !svg) return;
    const scale = svg.getScreenCTM().a;
    const [x, y] = [(held.x - event.clientX) / scale, (held.y - event.clientY) / scale];
    if (Math.abs(x) + Math.abs(y) < 3 && !moved) return;
    moved = true;
    held = { x: event.clientX, y: event.clientY };
    view.x += x;
    view.y += y;
    look();
  }, { signal: live.signal });
  addEventListener("pointerup", () => (held = null), { signal: live.signal });
}
