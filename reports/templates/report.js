"use strict";
// What the page can do beside being read: colours of the reader's choice, the present section
// marked in the contents, and figures that one can ask. Bokeh draws; this sets what it shows.
(() => {
  const root = document.documentElement;

  // Dark or light: the system's choice, until the reader makes another.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* not kept */ } } };
  const switcher = document.createElement("button");
  switcher.type = "button";
  switcher.id = "theme";
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const named = () => { switcher.textContent = isDark() ? "Light page" : "Dark page"; };
  if (["dark", "light"].includes(kept.get())) root.dataset.theme = kept.get();
  switcher.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.set(root.dataset.theme);
    named();
    figures.forEach((figure) => figure.paint());
  });
  dark.addEventListener("change", () => { named(); figures.forEach((figure) => figure.paint()); });
  named();
  document.querySelector("header").append(switcher);

  // The section that is being read, in the contents.
  const links = [...document.querySelectorAll("#contents a")];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const toggle = document.getElementById("contents-open");
  links.forEach((link) => link.addEventListener("click", () => { toggle.checked = false; }));
  let marked = null;
  const mark = () => {
    let place = -1;
    headings.forEach((heading, k) => { if (heading && heading.getBoundingClientRect().top < 120) place = k; });
    if (marked === place) return;
    marked = place;
    links.forEach((link, k) => { if (k === place) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
    const contents = document.getElementById("contents");
    if (place >= 0 && getComputedStyle(contents).position === "fixed") {
      const at = links[place].offsetTop;
      if (at < contents.scrollTop + 40 || at > contents.scrollTop + contents.clientHeight - 60)
        contents.scrollTop = at - contents.clientHeight / 2;
    }
  };
  if (links.length) { addEventListener("scroll", mark, { passive: true }); mark(); }

  // Colours by the names that the page's style gives them.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };

  const LOGARITHMIC = { LinearScale: "LogScale", LinearAxis: "LogAxis", BasicTicker: "LogTicker",
    BasicTickFormatter: "LogTickFormatter" };

  // A copy of Bokeh's document in which the named axes are logarithmic.
  const scaled = (node, names) => {
    if (Array.isArray(node)) return node.map((item) => scaled(item, names));
    if (node === null || typeof node !== "object") return node;
    const copy = {};
    for (const key of Object.keys(node)) copy[key] = scaled(node[key], names);
    if (node.type === "object" && names.includes(node.attributes?.name))
      copy.name = LOGARITHMIC[node.name] ?? node.name;
    return copy;
  };

  class Figure {
    constructor(block) {
      this.block = block;
      this.form = block.querySelector("form");
      this.target = block.querySelector(".plot");
      this.data = JSON.parse(block.querySelector("script").textContent);
      this.scales = "";
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("change", (event) => this.changed(event));
    }

    checked(key) {
      return [...this.form.querySelectorAll(`[data-key="${key}"] input:checked`)].map((box) => box.value);
    }

    async changed(event) {
      const scale = event.target.dataset.scale;
      if (scale) {
        const box = this.form.querySelector(`[data-key="y-scale"] input[value="${scale}"]`);
        if (box) box.checked = true;
      }
      await this.show();
    }

    // Draw, or where it is drawn, let be seen what is chosen.
    show() {
      this.last = (this.last ?? Promise.resolve()).then(() => this.drawn());
      return this.last;
    }

    async drawn() {
      const names = ["x-scale", "y-scale"].filter((key) => this.checked(key)[0] === "log");
      if (!this.plot || this.scales !== names.join()) {
        this.scales = names.join();
        if (this.views) this.views.clear();
        this.target.replaceChildren();
        const doc = scaled(this.data.document, names);
        this.views = await Bokeh.embed.embed_item({ doc, root_id: this.data.root, target_id: this.target.id });
        const top = Bokeh.documents[Bokeh.documents.length - 1].roots()[0];
        this.plots = top.children ?? [top];
        this.plot = this.plots[0];
        this.prepare();
      }
      this.choose();
      this.paint();
    }

    prepare() {
      const { plot } = this;
      if (matchMedia("(pointer: fine)").matches) {
        const box = plot.toolbar.tools.find((tool) => tool.type === "BoxZoomTool");
        plot.toolbar.active_drag = box;
      }
      this.tags = new Map();
      const columns = new Map();
      for (const renderer of this.plots.flatMap((one) => one.renderers)) {
        if (!renderer.tags.length) continue;
        const tags = JSON.parse(renderer.tags[0]);
        this.tags.set(renderer, tags);
        columns.set(renderer.data_source, tags.same);
      }
      for (const [source, same] of columns) {
        const data = source.data instanceof Map ? Object.fromEntries(source.data) : { ...source.data };
        const length = Object.values(data)[0].length;
        for (const [name, text] of Object.entries(same)) data[name] = new Array(length).fill(text);
        source.data = data;
      }
    }

    choose() {
      const keys = [...this.form.querySelectorAll("[data-key]")].map((field) => field.dataset.key);
      const chosen = Object.fromEntries(keys.map((key) => [key, new Set(this.checked(key))]));
      for (const [renderer, { on }] of this.tags)
        renderer.visible = Object.entries(on).every(([key, value]) => !chosen[key] || chosen[key].has(value));
      const named = this.form.querySelector("[data-names-axis] input:checked");
      if (named) this.plot.left[0].axis_label = named.parentElement.textContent;
    }

    // The page's colours.
    paint() {
      if (!this.plot) return;
      const [ink, soft, line, paper] = ["ink", "soft", "line", "paper"].map(colour);
      for (const plot of this.plots) {
        // Where nothing is filled, Bokeh draws the lines painted last once more with the outline.
        if (plot.background_fill_color !== "white") plot.background_fill_color = paper;
        for (const axis of [...plot.left, ...plot.below]) {
          if (axis.type === "ColorBar")
            axis.setv({ title_text_color: soft, major_label_text_color: soft });
          else
            axis.setv({ axis_label_text_color: ink, major_label_text_color: soft, axis_line_color: soft, major_tick_line_color: soft });
        }
        for (const item of plot.center) if (item.type === "Grid" && item.level !== "overlay") item.grid_line_color = line;
        plot.outline_line_color = line;
      }
      for (const [renderer, tags] of this.tags) {
        if (!tags.ink) continue;
        const inked = { line_color: colour(tags.ink) };
        if (tags.fill) inked.fill_color = colour(tags.fill);
        const { glyph } = renderer;
        glyph.setv(Object.fromEntries(Object.entries(inked).filter(([name]) => name in glyph.properties)));
      }
    }
  }

  const raised = (digits) => [...digits].map((digit) => digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[+digit]).join("");
  const short = (value) => {
    if (Number.isNaN(value)) return "not a number";
    if (!Number.isFinite(value)) return "infinite";
    if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5)) return String(+value.toPrecision(4));
    const [digits, power] = value.toExponential(3).split("e");
    return `${digits} × 10${raised(power.replace("+", ""))}`;
  };
  const portion = (share) => {
    if (!Number.isFinite(share)) return "beyond it";
    return share > 1 ? `${short(share)} times the bound` : `${+(100 * share).toPrecision(3)}%`;
  };
  const element = (name, text, attributes = {}) => {
    const made = Object.assign(document.createElement(name), attributes);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // The map of the comparisons: a training, a kind of comparison, a site and a step are chosen.
  class ParityMap extends Figure {
    constructor(block) {
      super(block);
      const { groups } = this.data.map;
      this.fields = this.form.elements;
      const trainings = [...new Set(groups.map((group) => group.training))];
      trainings.forEach((name, k) => this.fields.training.append(element("option", name, { value: k })));
      this.trainings = trainings;
      // It opens where a number is followed in the text.
      const [first] = this.data.map.followed;
      if (first) this.fields.training.value = trainings.indexOf(first.training);
      this.kinds();
      this.form.addEventListener("input", (event) => { if (event.target.name === "step") this.select(); });
      this.narrow = matchMedia("(max-width: 40rem)");
      this.narrow.addEventListener("change", () => this.plot && this.label());
    }

    kinds() {
      const name = this.trainings[this.fields.training.value];
      const own = this.data.map.groups.filter((group) => group.training === name);
      const before = this.fields.kind.value;
      this.fields.kind.replaceChildren(...own.map((group) => element("option", group.text, { value: group.kind })));
      const kept = own.find((group) => group.kind === before) ?? own.find((group) => group.failed) ?? own[0];
      this.fields.kind.value = kept.kind;
      this.sites();
    }

    sites() {
      const name = this.trainings[this.fields.training.value];
      this.group = this.data.map.groups.find((group) => group.training === name && group.kind === this.fields.kind.value);
      const before = this.fields.site.selectedOptions[0]?.textContent;
      this.fields.site.replaceChildren(...this.group.sites.map((site, k) => element("option", site, { value: k })));
      this.fields.step.max = this.group.steps.length - 1;
      // What was chosen before, if it is here; else the comparison nearest to its bound or beyond.
      const same = this.group.sites.indexOf(before);
      this.fields.site.value = same < 0 ? this.group.worst[1] : same;
      if (same < 0) this.fields.step.value = this.group.worst[0];
    }

    async changed(event) {
      const { name } = event.target;
      if (name === "training") this.kinds();
      if (name === "kind") this.sites();
      if (["training", "kind"].includes(name)) await this.show();
      this.select();
    }

    prepare() {
      super.prepare();
      this.cells = this.plot.renderers.find((renderer) => renderer.name === "cells");
      this.crosses = this.plot.renderers.find((renderer) => renderer.name === "crosses");
      this.source = this.cells.data_source;
      const data = this.source.data instanceof Map ? Object.fromEntries(this.source.data) : { ...this.source.data };
      data.site = new Array(data.x.length);
      for (const group of this.data.map.groups)
        for (let k = group.rows[0]; k < group.rows[1]; k++) data.site[k] = group.sites[data.y[k]];
      this.source.data = data;
      this.columns = data;
      this.source.selected.properties.indices.change.connect(() => {
        const [index] = this.source.selected.indices;
        if (index === undefined || index === this.index) return;
        this.fields.step.value = this.columns.x[index];
        this.fields.site.value = this.columns.y[index];
        this.select();
      });
    }

    choose() {
      const { rows, sites, steps } = this.group;
      const indices = Array.from({ length: rows[1] - rows[0] }, (_, k) => rows[0] + k);
      this.cells.view.filter.indices = indices;
      this.crosses.view.filter.indices = indices.filter((k) => !this.columns.passed[k]);
      this.plot.height = Math.min(760, Math.max(260, 150 + 13 * sites.length));
      this.plot.x_range.setv({ start: -0.5, end: steps.length - 0.5, reset_start: -0.5, reset_end: steps.length - 0.5 });
      this.plot.y_range.setv({ start: sites.length - 0.5, end: -0.5, reset_start: sites.length - 0.5, reset_end: -0.5 });
      this.label();
      this.select();
    }

    label() {
      const { sites, modules, parts, steps } = this.group;
      const first = parts.flatMap((part, k) => (k === 0 || parts[k - 1] !== part ? [k] : []));
      // Where there is no room for the name of each site, the parts of a step are named.
      const narrow = this.narrow.matches || sites.length > 60;
      const rows = narrow ? first : sites.map((_, k) => k);
      const text = (k) => narrow ? parts[k] : sites[k] + (modules[k] ? ` ${modules[k]}` : "");
      const plain = (string) => new Bokeh.Models.PlainText({ text: string });
      const left = this.plot.left[0], below = this.plot.below[0];
      left.major_label_overrides = new Map(rows.map((k) => [k, plain(text(k))]));
      left.ticker.ticks = rows;
      const count = Math.min(this.narrow.matches ? 4 : 8, steps.length);
      const places = [...new Set(Array.from({ length: count }, (_, k) => Math.round((k * (steps.length - 1)) / Math.max(1, count - 1))))];
      below.major_label_overrides = new Map(places.map((k) => [k, steps[k]]));
      below.ticker.ticks = places;
      const parted = this.plot.center.find((item) => item.level === "overlay");
      parted.ticker.ticks = first.slice(1).map((k) => k - 0.5);
    }

    // Show the numbers of the chosen site at the chosen step.
    select() {
      const step = +this.fields.step.value, site = +this.fields.site.value;
      this.fields.at.textContent = this.group.steps[step];
      if (!this.plot) return;
      const data = this.columns;
      this.index = undefined;
      for (let k = this.group.rows[0]; k < this.group.rows[1]; k++)
        if (data.x[k] === step && data.y[k] === site) this.index = k;
      this.source.selected.indices = this.index === undefined ? [] : [this.index];
      this.numbers(this.index, site);
    }

    numbers(index, site) {
      const place = this.block.querySelector(".cell");
      const { training, text, sites, modules } = this.group;
      const name = sites[site] + (modules[site] ? ` (${modules[site]})` : "");
      if (index === undefined) {
        place.replaceChildren(element("p", `${name} was not compared at step ${this.fields.at.textContent}.`));
        return;
      }
      const data = this.columns, passed = data.passed[index] === 1;
      const rows = [
        ["training", training], ["comparison", text], ["site", name], ["step", String(data.step[index])],
        ["found: NumPy's distance from the float64 referee", short(data.numpy[index])],
        ["expected: PyTorch's own distance from it", short(data.torch[index])],
        ["bound on NumPy's", short(data.bound[index])],
        ["share of the bound", portion(data.share[index])],
      ];
      const followed = this.data.map.followed.find((value) => value.training === training && value.kind === this.group.kind && value.site === sites[site] && value.step === data.step[index]);
      if (followed) rows.push([`one value of it, at ${followed.index}: NumPy`, followed.numpy], ["the same: PyTorch", followed.torch], ["the same: referee", followed.referee]);
      const list = element("dl");
      rows.forEach(([term, value]) => list.append(element("dt", term), element("dd", value)));
      const verdict = element("p", passed ? "Within its bound." : "This comparison fails.", { className: passed ? "passes" : "fails" });
      place.replaceChildren(verdict, list, element("p", "Distances are the largest of the array, in units of what was summed to make the value."));
    }
  }

  const figures = [];
  if (typeof Bokeh === "undefined") return;
  Bokeh.set_log_level("error");
  const watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    watch.unobserve(entry.target);
    entry.target.figure.show();
  }), { rootMargin: "800px" });
  // What nobody has scrolled to is drawn when the page has nothing else to do.
  const later = window.requestIdleCallback || ((work) => setTimeout(work, 200));
  const waiting = [];
  const drawNext = () => {
    const next = waiting.shift();
    if (!next) return;
    if (next.plot || next.block.offsetParent === null) return later(drawNext);  // or folded away
    watch.unobserve(next.block);
    next.show().finally(() => later(drawNext));
  };
  for (const block of document.querySelectorAll(".interactive")) {
    block.figure = new (block.dataset.name === "parity-map" ? ParityMap : Figure)(block);
    figures.push(block.figure);
    block.hidden = false;
    block.closest("figure").classList.add("asked");
    watch.observe(block);
    waiting.push(block.figure);
  }
  later(drawNext);
})();
