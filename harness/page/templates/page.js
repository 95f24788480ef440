// State of the view lives in the fragment; texts reach the page as text nodes alone.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cells = new Map(data.cells.map((cell) => [cell.id, cell]));
  const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const panel = document.getElementById("panel");
  const filter = document.getElementById("filter");
  const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
  const seen = (text) => String(text).replace(UNSEEN, "\ufffd");
  const SVG = "http://www.w3.org/2000/svg";

  function el(tag, attributes = {}, ...children) {
    const node = attributes.svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "svg" || value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) {
      if (child === null || child === undefined || child === false) continue;
      node.append(child instanceof Node ? child : document.createTextNode(seen(child)));
    }
    return node;
  }
  const svg = (tag, attributes, ...children) => el(tag, { ...attributes, svg: true }, ...children);

  // ---- state <-> fragment -------------------------------------------------------------------
  const fresh = () => ({ q: "", hide: new Set(), show: new Set(), columns: new Map(), sort: new Map(), open: "", seed: "" });
  let state = fresh();
  const pieces = (text) => (text ? text.split("|") : []);

  function read() {
    const found = fresh();
    const text = location.hash.slice(1);
    if (!text.includes("=")) return found;
    const given = new URLSearchParams(text);
    found.q = given.get("q") || "";
    found.hide = new Set(pieces(given.get("hide")));
    found.show = new Set(pieces(given.get("show")));
    for (const piece of pieces(given.get("columns"))) {
      const [grid, list] = piece.split("~");
      found.columns.set(grid, new Set((list || "").split(".").filter(Boolean)));
    }
    for (const piece of pieces(given.get("sort"))) {
      const [grid, key, way] = piece.split("~");
      found.sort.set(grid, [key || "", way === "d" ? "d" : "a"]);
    }
    found.open = given.get("open") || "";
    found.seed = given.get("seed") || "";
    return found;
  }

  function write({ push = false } = {}) {
    const given = new URLSearchParams();
    if (state.q) given.set("q", state.q);
    if (state.hide.size) given.set("hide", [...state.hide].join("|"));
    if (state.show.size) given.set("show", [...state.show].join("|"));
    const hidden = [...state.columns].filter(([, list]) => list.size);
    if (hidden.length) given.set("columns", hidden.map(([grid, list]) => `${grid}~${[...list].join(".")}`).join("|"));
    if (state.sort.size) given.set("sort", [...state.sort].map(([grid, [key, way]]) => `${grid}~${key}~${way}`).join("|"));
    if (state.open) given.set("open", state.open);
    if (state.open && state.seed) given.set("seed", state.seed);
    const address = `#${given}`;
    if (address === (location.hash || "#")) return;
    history[push ? "pushState" : "replaceState"](null, "", address === "#" ? location.pathname + location.search : address);
  }

  // The element that a fragment without "=" names; none where it is no name.
  function named(fragment) {
    try { return document.getElementById(decodeURIComponent(fragment)); } catch { return null; }
  }

  // ---- tables -------------------------------------------------------------------------------
  const grids = all("table[data-grid]").map((table) => ({
    table,
    ref: table.dataset.grid,
    body: table.tBodies[0],
    order: [...table.tBodies[0].rows],
  }));

  function prepare(grid) {
    for (const head of all("thead th[data-k]", grid.table)) {
      const label = head.querySelector(".head");
      const button = el("button", { type: "button", class: "sort", onclick: () => turn(grid, head.dataset.k) }, label.textContent);
      label.replaceWith(button);
    }
    grid.table.addEventListener("keydown", (event) => move(event, grid));
    const box = el("div", { class: "box" });
    for (const head of all("thead th.of", grid.table)) {
      const input = el("input", { type: "checkbox", "data-c": head.dataset.c, onchange: () => {
        const list = state.columns.get(grid.ref) || new Set();
        if (input.checked) list.delete(head.dataset.c);
        else list.add(head.dataset.c);
        state.columns.set(grid.ref, list);
        changed();
      } });
      box.append(el("label", { class: head.classList.contains("probe") ? "probe" : null }, input, ` ${head.textContent}`));
    }
    document.querySelector(`details.choose[data-grid="${CSS.escape(grid.ref)}"]`).append(box);
  }

  function turn(grid, key) {
    const [now, way] = state.sort.get(grid.ref) || ["", ""];
    const numeric = /\.(paper|ours|difference)$/.test(key);
    const first = numeric ? "d" : "a";
    if (now !== key) state.sort.set(grid.ref, [key, first]);
    else if (way === first) state.sort.set(grid.ref, [key, first === "d" ? "a" : "d"]);
    else state.sort.delete(grid.ref);
    changed();
  }

  function value(row, key) {
    const cell = row.querySelector(`[data-k="${CSS.escape(key)}"]`);
    if (!cell) return null;
    if (cell.dataset.v === undefined) return /\./.test(key) ? null : cell.textContent.trim();
    const number = Number(cell.dataset.v);
    return Number.isNaN(number) ? cell.dataset.v : number;
  }

  function compare(one, other, way) {
    if (one === null || other === null) return (one === null) - (other === null);
    const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true });
    return way === "d" ? -order : order;
  }

  function lay(grid) {
    const [key, way] = state.sort.get(grid.ref) || [];
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = grid.order;
    if (key) {
      rows = grid.order.filter((row) => row.classList.contains("row"));
      const keyed = rows.map((row, place) => [value(row, key), place, row]);
      keyed.sort((a, b) => compare(a[0], b[0], way) || a[1] - b[1]);
      rows = keyed.map((entry) => entry[2]);
    }
    grid.body.replaceChildren(...rows);
    let hits = 0;
    let group = null;
    for (const row of rows) {
      if (row.classList.contains("group")) {
        group = row;
        row.hidden = words.length > 0;
        continue;
      }
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      hits += !row.hidden;
      if (group && !row.hidden) group.hidden = false;
    }
    for (const head of all("thead th[data-k]", grid.table)) {
      if (head.dataset.k === key) head.setAttribute("aria-sort", way === "d" ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const hidden = state.columns.get(grid.ref) || new Set();
    for (const cell of all("[data-c]", grid.table)) cell.hidden = hidden.has(cell.dataset.c);
    for (const input of all(`details.choose[data-grid="${CSS.escape(grid.ref)}"] input`)) input.checked = !hidden.has(input.dataset.c);
    span(grid);
    return hits;
  }

  // Headings span the parts that are shown.
  function span(grid) {
    const rows = all("thead tr", grid.table);
    const shown = (cell) => !cell.hidden && getComputedStyle(cell).display !== "none";
    let total = all("thead th.word", grid.table).length;
    for (const head of all("th.of", rows[0])) {
      const parts = all(`th[data-c="${CSS.escape(head.dataset.c)}"]`, rows[1]).filter(shown).length;
      head.colSpan = Math.max(1, parts);
      if (shown(head)) total += parts;
    }
    for (const head of all("tr.group th", grid.body)) head.colSpan = total;
  }

  // Arrow keys go to the next cell that can be focused, within the rows and columns shown.
  function move(event, grid) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    const here = event.target.closest("td, th");
    if (!step || !here || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = all("thead tr, tbody tr.row", grid.table).filter((row) => !row.hidden);
    const target = step[0] ? vertical(rows, here, step[0]) : horizontal(here, step[1]);
    if (!target) return;
    event.preventDefault();
    target.focus();
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const focusable = (cell) => cell && cell.offsetParent !== null && cell.querySelector("a.open, button.sort");

  function horizontal(here, way) {
    let cell = here;
    do cell = way > 0 ? cell.nextElementSibling : cell.previousElementSibling;
    while (cell && !focusable(cell));
    return cell && focusable(cell);
  }

  function vertical(rows, here, way) {
    const key = here.dataset.k;
    let place = rows.indexOf(here.parentElement) + way;
    for (; place >= 0 && place < rows.length; place += way) {
      const target = focusable(rows[place].querySelector(`[data-k="${CSS.escape(key)}"]`));
      if (target) return target;
    }
    return null;
  }

  // ---- panel --------------------------------------------------------------------------------
  let returnTo = null;
  const round = (number, digits) => (number === null || number === undefined ? "–" : number.toFixed(digits).replace("-", "−"));
  const many = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const short = (text) => (/^[0-9a-f]{40,}/.test(text) ? text.slice(0, 12) + text.replace(/^[0-9a-f]+/, "") : text);

  function duration(seconds) {
    const whole = Math.round(seconds);
    if (whole < 60) return `${seconds.toFixed(1)} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  }

  function facts(pairs) {
    const list = el("dl");
    for (const [name, content] of pairs) {
      if (content === undefined || content === null || content === "") continue;
      list.append(el("dt", {}, name), el("dd", {}, content));
    }
    return list;
  }

  function show() {
    const cell = cells.get(state.open);
    for (const link of all("a.current")) link.classList.remove("current");
    if (!cell) {
      const wasOpen = !panel.hidden;
      panel.hidden = true;
      panel.replaceChildren();
      if (wasOpen && returnTo && returnTo.isConnected) returnTo.focus({ preventScroll: true });
      return;
    }
    for (const link of all("a[data-ref]")) if (link.dataset.ref === cell.id && !link.dataset.seed) link.classList.add("current");
    const runs = cell.seeds;
    const chosen = runs.find((run) => String(run.seed) === state.seed) || runs.find((run) => run.status === "done") || runs[0];
    const wasHidden = panel.hidden;
    panel.replaceChildren(
      el("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: close }, "Close"),
      el("span", { class: "eyebrow" }, `${cell.profile} · ${cell.table} · ${cell.column}`),
      el("h2", { id: "panel-title" }, cell.row),
      el("p", { class: "value" }, cell.text.split(" ", 1)[0] || "–", el("span", { class: "spread" }, cell.text.slice(cell.text.split(" ", 1)[0].length))),
      ...(/\d/.test(cell.paper) ? [el("p", { class: "spread" }, `published ${cell.paper}`)] : []),
      ...verdict(cell),
      ...(runs.length > 1 ? [tabs(cell, chosen)] : []),
      ...(chosen ? one(cell, chosen) : []),
      ...(cell.cost ? [el("h3", {}, "Cost"), facts(Object.entries(cell.cost).filter(([, v]) => v !== null).map(([k, v]) => [k, typeof v === "object" ? JSON.stringify(v) : v]))] : []),
    );
    panel.hidden = false;
    panel.scrollTop = 0;
    if (wasHidden) panel.querySelector(".close").focus({ preventScroll: true });
  }

  function close() {
    state.open = "";
    state.seed = "";
    write({ push: true });
    show();
  }

  function verdict(cell) {
    if (!cell.verdict) return [];
    return [
      el("h3", {}, `Verdict: ${cell.verdict.text}`),
      el("p", {}, cell.verdict.reason),
      el("ul", {}, cell.verdict.lines.map((line) => el("li", {}, line))),
    ];
  }

  function tabs(cell, chosen) {
    const list = el("div", { class: "tabs", role: "tablist", "aria-label": "Seeds" });
    for (const run of cell.seeds) {
      const selected = run === chosen;
      list.append(el("button", { type: "button", class: "quiet", role: "tab", "aria-selected": String(selected), tabindex: selected ? "0" : "-1", onclick: () => pick(run) }, `seed ${run.seed}: ${run.value === undefined ? run.status : round(run.value, cell.digits)}${run.stale ? "†" : ""}`));
    }
    list.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const count = cell.seeds.length;
      pick(cell.seeds[(cell.seeds.indexOf(chosen) + way + count) % count]);
      panel.querySelector('[role="tab"][aria-selected="true"]').focus();
    });
    return list;
  }

  function pick(run) {
    state.seed = String(run.seed);
    write();
    show();
  }

  function one(cell, entry) {
    const run = own(data.runs, entry.key) || { stages: [] };
    const stages = run.stages.map((key) => [key, own(data.stages, key)]).filter((pair) => pair[1]);
    return [
      el("h3", {}, `Run, seed ${entry.seed}`),
      facts([
        ["status", entry.status + (entry.stale ? ", made by other sources than the present ones †" : "")],
        ["error", entry.error],
        ["number", entry.lacking],
        ["shown", entry.value === undefined ? null : `${round(entry.value, cell.digits)} (${cell.metric}, ${cell.rule} epoch)`],
        ["last epoch", entry.last === undefined ? null : round(entry.last, cell.digits)],
        ["best epoch", entry.best === undefined ? null : round(entry.best, cell.digits)],
        ["images", entry.n],
        ["collapsed", entry.collapsed ? "every image is predicted as one class" : null],
        ["data set", run.dataset && `${run.dataset}, split ${run.split}`],
        ["data", run.data],
        ["key", entry.key],
      ]),
      ...reproduce(entry.command),
      ...curves(cell, entry, stages),
      ...confusion(run),
      el("h3", {}, "Settings"),
      ...settings(cell),
      ...stages.flatMap(([key, stage]) => [el("h3", {}, `How the ${stage.phase} was made`), made(key, stage)]),
    ];
  }

  function reproduce(command) {
    if (!command) return [];
    const copy = el("button", { type: "button", class: "quiet", onclick: () => {
      const selection = getSelection();
      selection.selectAllChildren(text);
      let copied = false;
      try { copied = document.execCommand("copy"); } catch { copied = false; }
      copy.textContent = copied ? "Copied" : "Selected";
    } }, "Copy");
    const text = el("pre", {}, el("code", {}, command));
    return [el("h3", {}, "Command"), text, copy];
  }

  function made(key, stage) {
    const macs = Object.entries(stage.macs || {}).map(([name, count]) => `${many.format(count / 1e6)} M ${name}`).join(", ");
    return facts([
      ["status", stage.status],
      ["error", stage.error],
      ["commit", stage.commit && short(stage.commit)],
      ["began", stage.started],
      ["took", stage.seconds === undefined ? null : duration(stage.seconds) + (stage.attempts ? ` in ${stage.attempts} stretches` : "")],
      ["device", stage.device],
      ["training images", stage.images === undefined ? null : many.format(stage.images) + (stage.stored_size ? `, stored at ${stage.stored_size} px` : "")],
      ["parameters", stage.parameters && `${many.format(stage.parameters[0])}, ${many.format(stage.parameters[1])} trained`],
      ["operations per image", macs],
      ["latency", stage.latency_ms === undefined ? null : `${many.format(stage.latency_ms)} ms, median of a batch`],
      ["GPU memory", stage.peak_bytes === undefined ? null : `${many.format(stage.peak_bytes / 2 ** 30)} GiB at most`],
      ["micro-batch", stage.micro_batch],
      ["versions", stage.versions === undefined ? null : Object.entries(data.versions[stage.versions]).map((pair) => pair.join(" ")).join(", ")],
      ["key", key],
      ["weights", stage.weights],
    ]);
  }

  function curves(cell, entry, stages) {
    const parts = [];
    stages.forEach(([, stage], place) => {
      const drawn = stage.curves || {};
      if (!drawn.y || drawn.x.length < 2) return;
      const others = cell.seeds.filter((other) => other !== entry)
        .map((other) => own(data.runs, other.key)).filter((run) => run && run.stages[place])
        .map((run) => own(data.stages, run.stages[place])).filter((other) => other && other.curves && other.curves.y);
      const plots = el("div", { class: "plots" });
      for (const name of Object.keys(drawn.y)) {
        plots.append(el("div", {}, el("p", {}, name), plot(drawn.x, drawn.y[name], others.map((other) => [other.curves.x, own(other.curves.y, name) || []]), name)));
      }
      const thin = drawn.x.length < drawn.of ? `, ${drawn.x.length} of ${drawn.of} epochs drawn` : "";
      const grey = others.length ? `; other seeds in grey` : "";
      parts.push(el("h3", {}, `Curves of the ${stage.phase}`), el("p", { class: "spread" }, `${drawn.of} epochs${thin}${grey}`), plots);
    });
    return parts;
  }

  function plot(x, y, others, name) {
    const [width, height, left, bottom] = [240, 110, 42, 16];
    const lines = [[x, y], ...others];
    const values = lines.flatMap((line) => line[1]).filter((v) => v !== null && v !== undefined);
    if (!values.length) return el("p", {}, "no finite figure");
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const last = Math.max(...lines.flatMap((line) => line[0]));
    const px = (v) => left + ((width - left - 8) * (v - 1)) / Math.max(1, last - 1);
    const py = (v) => 6 + ((height - bottom - 6) * (high - v)) / (high - low);
    const path = (line) => {
      let text = "";
      line[0].forEach((at, i) => {
        const v = line[1][i];
        if (v === null || v === undefined) return;
        text += `${text && line[1][i - 1] !== null ? "L" : "M"}${px(at).toFixed(1)} ${py(v).toFixed(1)}`;
      });
      return text;
    };
    const label = (v) => Number(v.toPrecision(3)).toString().replace("-", "−");
    const title = `${name}: from ${label(y.find((v) => v !== null) ?? NaN)} to ${label(y.findLast((v) => v !== null) ?? NaN)}`;
    const end = y.findLastIndex((v) => v !== null);
    return svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": seen(title) },
      svg("title", {}, title),
      svg("path", { class: "axis", d: `M${left} 4V${height - bottom}H${width - 6}` }),
      svg("text", { x: left - 4, y: 12, "text-anchor": "end" }, label(high)),
      svg("text", { x: left - 4, y: height - bottom, "text-anchor": "end" }, label(low)),
      svg("text", { x: left, y: height - 4 }, "1"),
      svg("text", { x: width - 8, y: height - 4, "text-anchor": "end" }, `epoch ${last}`),
      others.map((line) => svg("path", { class: "other", d: path(line) })),
      svg("path", { class: "line", d: path([x, y]) }),
      end < 0 ? null : svg("circle", { cx: px(x[end]).toFixed(1), cy: py(y[end]).toFixed(1), r: 2.2 }));
  }

  function confusion(run) {
    if (run.no_confusion) return [el("h3", {}, "Confusion matrix"), el("p", {}, run.no_confusion)];
    if (!run.confusion) return [];
    const table = el("table", { class: "matrix" });
    table.append(el("tr", {}, el("th", {}, "label ↓, predicted →"), run.classes.map((name) => el("th", { scope: "col" }, name))));
    run.confusion.forEach((counts, row) => {
      const total = counts.reduce((sum, n) => sum + n, 0);
      table.append(el("tr", {}, el("th", { scope: "row" }, run.classes[row]), counts.map((n, column) => {
        const share = total ? n / total : 0;
        const td = el("td", { class: row === column ? "hit" : null, title: `${many.format(100 * share)} % of ${total}` }, n);
        td.style.setProperty("--share", share);
        return td;
      })));
    });
    const total = run.confusion.flat().reduce((sum, n) => sum + n, 0);
    return [el("h3", {}, "Confusion matrix"), el("p", { class: "spread" }, `${total} images; shaded by the share of each label`), el("div", { class: "scroll" }, table)];
  }

  const told = (v) => (v === null ? "none" : typeof v === "object" ? JSON.stringify(v) : String(v));

  function settings(cell) {
    return cell.chain.flatMap(([phase, number]) => {
      const mine = data.settings[number];
      const match = cell.compared.find((pair) => pair[0] === phase);
      const theirs = match ? data.settings[match[1]] : null;
      const names = [...new Set([...Object.keys(mine), ...(theirs ? Object.keys(theirs) : [])])];
      const differs = (name) => theirs !== null && JSON.stringify(own(mine, name)) !== JSON.stringify(own(theirs, name));
      const first = names.filter(differs);
      const line = (name) => el("tr", { class: differs(name) ? "differs" : null },
        el("td", {}, name), el("td", {}, Object.hasOwn(mine, name) ? told(mine[name]) : "–"),
        theirs ? el("td", {}, differs(name) ? (Object.hasOwn(theirs, name) ? told(theirs[name]) : "–") : "") : null);
      const table = (list) => el("table", { class: "settings" },
        el("thead", {}, el("tr", {}, el("th", {}, "setting"), el("th", {}, "this row"), theirs ? el("th", {}, cell.reference) : null)),
        el("tbody", {}, list.map(line)));
      const said = !cell.reference ? "the row that others are compared with" : !theirs ? `${cell.reference} has no ${phase}` : first.length ? `${first.length} of ${names.length} differ from ${cell.reference}` : `as in ${cell.reference}`;
      return [
        el("p", {}, el("b", {}, phase), `: ${said}`),
        first.length ? table(first) : null,
        el("details", { class: "more" }, el("summary", {}, `All ${names.length} settings`), table(names)),
      ].filter(Boolean);
    });
  }

  // ---- the whole view -----------------------------------------------------------------------
  function changed() {
    write();
    layAll();
  }

  function layAll() {
    for (const part of ["paper", "difference", "verdict"]) document.body.classList.toggle(`hide-${part}`, state.hide.has(part));
    for (const what of ["seeds", "probes"]) document.body.classList.toggle(`show-${what}`, state.show.has(what));
    for (const input of all("input[data-part]")) input.checked = !state.hide.has(input.dataset.part);
    for (const input of all("input[data-show]")) input.checked = state.show.has(input.dataset.show);
    if (filter.value !== state.q) filter.value = state.q;
    const focused = document.activeElement;
    let hits = 0;
    const shown = new Set();
    for (const grid of grids) {
      const found = lay(grid);
      hits += found;
      if (found) shown.add(grid.table.closest("article"));
    }
    for (const article of all("article.table")) article.hidden = Boolean(state.q) && !shown.has(article);
    if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    document.getElementById("hits").textContent = state.q ? `${hits} row${hits === 1 ? "" : "s"}` : "";
  }

  function apply() {
    state = read();
    layAll();
    show();
  }

  function theme() {
    const button = document.getElementById("theme");
    const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
    try { const kept = localStorage.getItem("harness-theme"); if (kept) document.documentElement.dataset.theme = kept; } catch { /* no storage here */ }
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("harness-theme", document.documentElement.dataset.theme); } catch { /* no storage here */ }
      label();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.dataset.ref !== undefined) {
      event.preventDefault();
      returnTo = link;
      state.open = link.dataset.ref;
      state.seed = link.dataset.seed || "";
      write({ push: true });
      show();
    } else if ((link.getAttribute("href") || "").startsWith("#")) {
      const target = named(link.getAttribute("href").slice(1));
      if (!target) return;
      event.preventDefault();
      target.scrollIntoView();
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) { event.preventDefault(); close(); }
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { event.preventDefault(); filter.focus(); }
  });
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  let wait = 0;
  filter.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => { state.q = filter.value; changed(); }, 80); });
  for (const input of all("input[data-part]")) input.addEventListener("change", () => { state.hide[input.checked ? "delete" : "add"](input.dataset.part); changed(); });
  for (const input of all("input[data-show]")) input.addEventListener("change", () => { state.show[input.checked ? "add" : "delete"](input.dataset.show); changed(); });
  document.getElementById("reset").addEventListener("click", () => { const { open, seed } = state; state = { ...fresh(), open, seed }; changed(); });
  addEventListener("hashchange", apply);
  addEventListener("popstate", apply);

  // ---- news from `harness serve` -------------------------------------------------------------
  async function news() {
    const box = document.getElementById("live");
    let lines = ["The server does not answer; the page is as it last was."];
    try {
      const answer = await (await fetch("status.json", { cache: "no-store" })).json();
      if (answer.version !== data.version) { location.reload(); return; }
      lines = answer.running.length ? answer.running : ["Nothing is being trained."];
    } catch { /* told in the line above */ }
    box.replaceChildren(...lines.map((line) => el("p", {}, line)));
  }

  document.body.classList.add("with-js");
  for (const node of all(".js")) if (!["panel", "live"].includes(node.id)) node.hidden = false;
  theme();
  grids.forEach(prepare);
  apply();
  if (state.open && cells.has(state.open)) {
    const link = all("a.current")[0];
    if (link) { returnTo = link; link.scrollIntoView({ block: "center", behavior: "instant" }); }
  } else if (location.hash && !location.hash.includes("=")) {
    const target = named(location.hash.slice(1));
    if (target) target.scrollIntoView({ behavior: "instant" });
  }
  if (data.version) { document.getElementById("live").hidden = false; news(); setInterval(news, 2000); }
})();
