// One container's card: its facts, three charts, and buttons for what may be done to it.

export function mount(live) {
  const { h, s } = live;
  const dot = h("span", { class: "dot", "aria-hidden": "true" }, "●");
  const name = h("b", {}), id = h("code", {}), image = h("span", { class: "faint" });
  const verdict = h("b", {}), elapsed = h("span", {});
  const command = h("div", { class: "command" });
  const why = h("div", { class: "why" });
  const meters = h("tbody", {});
  const charts = h("div", {});
  const reached = h("div", { class: "foot" }), limits = h("div", { class: "foot" });
  const bar = h("div", { class: "bar", role: "toolbar", "aria-label": "container" });
  const panel = h("div", {});
  live.el.append(h("div", { class: "nbc-card-box mathjax_ignore tex2jax_ignore" },
    h("div", { class: "head" }, dot, name, id, image, h("span", { class: "verdict" }, verdict, elapsed)),
    command, why, h("table", {}, meters), charts, reached, limits, bar, panel));

  let facts = null, board = null, past = null, module = null, opened = null, ended = null;
  live.load("chart.js").then((loaded) => {
    module = loaded;
    past = module.pasts(live.state);
    board = module.charts(live, ["cpu", "memory", "network"]);
    charts.append(board.el);
    live.size((width) => { board.across(width > 560 ? 3 : 1); draw(); });
    history();
  });

  live.facts((found) => {
    const before = facts;
    facts = found;
    show();
    past?.keep(new Set([facts.id]));
    if (past && facts.point) past.add(facts.id, facts.point);
    if (before?.status !== facts.status || before.id !== facts.id) history();
    draw();
  });

  function show() {
    live.el.dataset.state = facts.status;
    dot.style.color = facts.colour;
    name.textContent = facts.name;
    id.textContent = facts.id.slice(0, 12);
    image.textContent = facts.image;
    verdict.textContent = facts.verdict;
    verdict.style.color = `color-mix(in srgb, ${facts.colour} 60%, currentColor)`;
    elapsed.textContent = facts.elapsed ? ` · ${facts.elapsed}` : "";
    command.replaceChildren(...(facts.line ? [h("span", { class: "faint" }, "$ "), facts.line] : []));
    why.textContent = facts.why;
    meters.replaceChildren(...facts.meters.map(meter));
    reached.replaceChildren(...(facts.reached.length ? ["reached at ", ...facts.reached.flatMap(way)] : []));
    limits.replaceChildren(...(facts.limits.length ? ["limits in force ", ...facts.limits.flatMap((one) => [h("code", {}, one), " "])] : []));
    const wanted = [...facts.verbs, "logs"];
    if (bar.dataset.verbs !== wanted.join()) {
      bar.dataset.verbs = wanted.join();
      bar.replaceChildren(...wanted.map((verb) => h("button", { type: "button", onclick: (event) => act(verb, event.target) }, verb)));
    }
  }

  function meter(one) {
    const full = one.part === null ? null : h("div", { class: "track", title: `${Math.round(100 * one.part)} %` },
      h("div", { style: { width: `${Math.max(100 * one.part, 1)}%`, background: one.colour } }));
    return h("tr", {}, h("td", { class: "faint" }, one.label), h("td", {}, full),
      h("td", {}, one.value, one.note ? h("span", { class: "faint" }, ` · ${one.note}`) : null));
  }

  /** An address, and what opens it here: on a hub only what the page itself is served from leads to the machine. */
  function way([word, ...links]) {
    const port = facts.ports.find((number) => word.includes(`:${number} `));
    const proxied = facts.proxy && port && !links.some((link) => link.includes("/proxy/")) ? [`${base()}proxy/${port}/`] : [];
    return [h("code", {}, word), ...[...links, ...proxied].flatMap((link) => [" ", h("a", { href: link, target: "_blank", rel: "noopener" }, link)]), " "];
  }

  function base() {
    try {
      return JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl ?? "/";
    } catch {
      return "/";
    }
  }

  async function act(verb, button) {
    if (verb === "logs") return look();
    button.disabled = true;
    try {
      await live.call("do", { verb });
    } catch {
      // it is shown over the card
    } finally {
      button.disabled = false;
    }
  }

  /** Its log, below; once more closes it. */
  function look() {
    opened?.remove();
    panel.replaceChildren();
    if (opened) return (opened = null);
    const el = h("div", {});
    panel.append(el);
    opened = live.embed(el, "logs", { container: facts.id });
  }

  async function history() {
    if (!facts || !past) return;
    const { id, status } = facts;
    const points = await live.call("history").catch(() => null); // why is shown over the card
    const over = !["running", "paused", "stopping"].includes(status);
    if (points) past.put(id, points, { all: over });
    ended = points && over ? id : null;
    draw();
    live.drawn();
  }

  function draw() {
    if (!board || !facts) return;
    const points = past.of(facts.id);
    charts.hidden = points.length < 2;
    if (charts.hidden) return;
    const over = ended === facts.id && !facts.point;
    const end = points.at(-1)[0];
    const begin = over ? points[0][0] : end - module.SPAN_S;
    const oom = over && facts.verdict.includes("out of memory");
    board.draw({ begin, end, ended: over, oom }, [{ ...facts, colour: module.COLOURS[0], points }]);
  }
}
