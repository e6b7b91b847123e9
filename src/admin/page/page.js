// The operators' page: asks /admin/v1 for what is known, and draws it. It keeps nothing.
"use strict";

const view = document.getElementById("view");
const views = { traffic, functions, handlers, lines, installs, limits };
// Counts up with each view shown, so that an answer for one that was left is dropped.
let shown = 0;
let timer = 0;

/// An element with attributes and children; text is only ever text.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  return filled(element, attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onchange") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : String(child)));
  return element;
}

class SignedOut extends Error {}

async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  const body = await answer.json();
  if (answer.status === 401) throw new SignedOut(body.detail);
  if (!answer.ok) throw new Error(body.detail || `the gateway answers ${answer.status}`);
  return body;
}

function trouble(text) {
  const place = document.getElementById("trouble");
  place.hidden = !text;
  place.textContent = text || "";
}

// -- Numbers and times

const whole = new Intl.NumberFormat("en");
const number = (value) => value === null || value === undefined ? "–" : value >= 100 || Number.isInteger(value) ? whole.format(Math.round(value)) : value.toPrecision(3);
const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
const day = (at) => at ? new Date(at).toLocaleString("en-GB") : "–";
const total = (tally) => tally.answered + tally.limited + tally.refused + tally.failed;

function table(caption, heads, rows) {
  const numeric = (index) => heads[index].startsWith("#") ? "number" : null;
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, heads.map((head, index) =>
        make("th", { scope: "col", class: numeric(index) }, head.replace("#", ""))))),
      make("tbody", {}, rows.length ? rows.map((row) => make("tr", {}, row.map((cell, index) =>
        make("td", { class: numeric(index) }, cell)))) : make("tr", {}, make("td", { colspan: heads.length, class: "faint" }, "nothing yet")))));
}

// -- Charts

const WIDE = 960, HIGH = 220, LEFT = 48, LOW = 24, TOP = 12;

function axes(svg, times, most) {
  const top = scale(most);
  const x = (index) => LEFT + (WIDE - LEFT - 12) * (times.length < 2 ? 0.5 : index / (times.length - 1));
  const y = (value) => HIGH - LOW - (HIGH - LOW - TOP) * (value / top);
  for (let step = 0; step <= 4; step += 1) {
    const value = (top * step) / 4;
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDE - 12, y1: y(value), y2: y(value) }),
      draw("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  const marks = Math.min(6, times.length);
  for (let mark = 0; mark < marks; mark += 1) {
    const index = marks < 2 ? 0 : Math.round((mark * (times.length - 1)) / (marks - 1));
    svg.append(draw("text", { x: x(index), y: HIGH - 6, "text-anchor": "middle" }, clock(times[index])));
  }
  return { x, y };
}

/// The next round number.
function scale(most) {
  if (most <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((times) => times * unit).find((bound) => bound >= most);
}

function chart(label, body, times, series, classes) {
  const legend = make("ul", { class: "legend" }, series.map(({ name }, index) =>
    make("li", {}, make("i", { class: classes[index] }), name)));
  const rows = times.map((at, index) => [clock(at), ...series.map(({ values }) => number(values[index]))]).reverse();
  return make("figure", {}, make("figcaption", {}, label), body, legend,
    make("details", {}, make("summary", {}, "as a table"), table(label, ["at", ...series.map(({ name }) => `#${name}`)], rows)));
}

function lineChart(label, times, series) {
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${label}; the same is in the table below` });
  const { x, y } = axes(svg, times, Math.max(0, ...series.flatMap(({ values }) => values)));
  series.forEach(({ name, values }, index) => {
    const path = values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    svg.append(draw("path", { class: `line s${index}`, d: path }, draw("title", {}, name)));
  });
  return chart(label, svg, times, series, series.map((_, index) => `s${index}`));
}

function columnChart(label, times, series) {
  const sums = times.map((_, index) => series.reduce((sum, { values }) => sum + values[index], 0));
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${label}; the same is in the table below` });
  const { x, y } = axes(svg, times, Math.max(0, ...sums));
  const width = Math.max(1.5, Math.min(24, ((WIDE - LEFT) / Math.max(1, times.length)) * 0.7));
  times.forEach((at, index) => {
    let below = 0;
    for (const { name, values } of series) {
      if (values[index] > 0) {
        const [from, to] = [y(below), y(below + values[index])];
        svg.append(draw("rect", { class: name, x: x(index) - width / 2, y: to, width, height: Math.max(1, from - to) },
          draw("title", {}, `${clock(at)} ${name}: ${number(values[index])} a minute`)));
      }
      below += values[index];
    }
  });
  return chart(label, svg, times, series, series.map(({ name }) => name));
}

// -- Views

let minutes = 60;

async function traffic() {
  const [{ node, points }, extensions] = await Promise.all([ask(`v1/traffic?minutes=${minutes}`), ask("v1/extensions")]);
  document.getElementById("node").textContent = node;
  const names = new Map(extensions.map(({ id, name }) => [id, name]));
  const sums = new Map(), installs = new Map();
  for (const point of points) {
    for (const [into, of] of [[sums, point.extensions], [installs, point.installs]]) {
      for (const [id, tally] of Object.entries(of)) {
        const sum = into.get(id) || { answered: 0, limited: 0, refused: 0, failed: 0 };
        for (const kind of Object.keys(sum)) sum[kind] += tally[kind];
        into.set(id, sum);
      }
    }
  }
  const ranked = (of) => [...of.entries()].sort(([, one], [, other]) => total(other) - total(one));
  const times = points.map(({ at }) => at);
  const spans = times.map((at, index) => index ? (new Date(at) - new Date(times[index - 1])) / 60000 : null);
  const span = (index) => spans[index] || spans[1] || 1 / 6;
  const first = ranked(sums).slice(0, 5).map(([id]) => id);
  const perMinute = (of) => points.map((point, index) => of(point) / span(index));
  const series = first.map((id) => ({ name: names.get(id) || id, values: perMinute((point) => point.extensions[id] ? total(point.extensions[id]) : 0) }));
  if (sums.size > first.length) {
    const rest = (point) => Object.entries(point.extensions).filter(([id]) => !first.includes(id)).reduce((sum, [, tally]) => sum + total(tally), 0);
    series.push({ name: "others", values: perMinute(rest) });
  }
  const kind = (name) => ({ name, values: perMinute((point) => Object.values(point.extensions).reduce((sum, tally) => sum + tally[name], 0)) });
  const all = [...sums.values()];
  const sum = (name) => all.reduce((sum, tally) => sum + tally[name], 0);
  const card = (text, value) => make("div", { class: "card" }, make("b", {}, number(value)), make("span", {}, text));
  const choice = make("select", { id: "minutes", onchange: (event) => { minutes = Number(event.target.value); show(); } },
    [15, 60, 180, 360].map((value) => make("option", { value, selected: value === minutes }, value < 60 ? `${value} minutes` : `${value / 60} h`)));
  const rows = (of, name) => ranked(of).slice(0, 50).map(([id, tally]) =>
    [name(id), number(total(tally)), number(tally.answered), number(tally.limited), number(tally.refused), number(tally.failed)]);
  const heads = ["#calls", "#answered", "#over a limit", "#refused", "#failed"];
  return [
    make("h2", {}, "Traffic"),
    make("div", { class: "row" }, make("label", { for: "minutes" }, "The last"), choice, make("span", { class: "faint" }, "on this gateway")),
    make("div", { class: "cards" }, card("answered", sum("answered")), card("over a limit", sum("limited")),
      card("refused for what they asked", sum("refused")), card("failed by no fault of the caller", sum("failed"))),
    lineChart("Calls a minute by extension", times, series),
    columnChart("Calls a minute that were not answered", times, ["limited", "refused", "failed"].map(kind)),
    table("Extensions", ["extension", ...heads], rows(sums, (id) => names.get(id) || id)),
    table("Installs, those called most", ["install", ...heads], rows(installs, (id) => make("code", {}, id))),
  ];
}

async function functions() {
  const { node, functions: all } = await ask("v1/functions");
  document.getElementById("node").textContent = node;
  const told = make("div", { id: "explained", "aria-live": "polite" });
  const explain = async (one) => {
    try {
      const { statements } = await ask(`v1/extensions/${one.extension_id}/functions/${encodeURIComponent(one.function)}`);
      told.replaceChildren(make("h3", {}, `${one.extension || one.extension_id} ${one.function}`),
        make("p", { class: "faint" }, "Postgres's plan is over an empty copy of the tables, with the indexes they have."),
        ...statements.slice(0, 12).map(({ step, given, sql, plan }) => make("div", {},
          make("h3", {}, [step, given.length ? `with ${given.join(", ")}` : "its statement"].filter(Boolean).join(": ")),
          make("pre", {}, sql), make("pre", {}, plan.join("\n")))));
      told.scrollIntoView({ block: "nearest" });
    } catch (error) { failed(error); }
  };
  const ofHandler = ["query", "mutation", "action"];
  all.sort((one, other) => (other.p99_ms ?? 1e9) - (one.p99_ms ?? 1e9) || other.mean_ms - one.mean_ms);
  const rows = all.map((one) => [
    one.extension || one.extension_id, one.function, one.kind, number(one.calls), number(one.failed), number(one.mean_ms),
    one.p99_ms === null ? "over 30,000" : number(one.p99_ms),
    ofHandler.includes(one.kind) ? "in Luau" : make("button", { type: "button", onclick: () => explain(one), "aria-label": `SQL of ${one.function}` }, "SQL"),
  ]);
  return [make("h2", {}, "Functions, the slowest first"), make("p", { class: "faint" }, "Since this gateway started."),
    table("Functions that were called", ["extension", "function", "kind", "#calls", "#failed", "#mean, ms", "#99 of 100 within, ms", "statement"], rows), told];
}

async function handlers() {
  const { node, functions: all } = await ask("v1/functions");
  document.getElementById("node").textContent = node;
  const ours = all.filter(({ kind }) => ["query", "mutation", "action"].includes(kind));
  ours.sort((one, other) => other.stopped - one.stopped || other.script_cpu_ms - one.script_cpu_ms);
  const rows = ours.map((one) => [one.extension || one.extension_id, one.function, one.kind, number(one.calls), number(one.stopped),
    number(one.failed), number(one.script_cpu_ms), number(one.calls ? one.script_cpu_ms / one.calls : 0)]);
  return [make("h2", {}, "Handlers, those stopped most often first"),
    make("p", { class: "faint" }, "Stopped for time, memory, or what they asked; why is in the lines and in rowgate_script_terminations_total."),
    table("Handlers that were called", ["extension", "handler", "kind", "#calls", "#stopped", "#failed", "#processor time, ms", "#each, ms"], rows)];
}

async function lines() {
  const body = make("tbody");
  let after = 0;
  const own = shown;
  const take = async () => {
    const more = await ask(`v1/lines?after=${after}`);
    for (const one of more) {
      after = Math.max(after, one.number);
      body.prepend(make("tr", {}, make("td", {}, clock(one.at)), make("td", { class: `level-${one.level}` }, one.level),
        make("td", {}, one.function), make("td", {}, one.message, one.file ? make("div", { class: "faint" }, `${one.file}:${one.line}`) : null,
          one.attributes ? make("code", {}, one.attributes) : null), make("td", {}, make("code", {}, one.install_id))));
    }
    while (body.children.length > 500) body.lastChild.remove();
  };
  await take();
  timer = setInterval(() => own === shown && !document.hidden && take().catch(failed), 2000);
  return [make("h2", {}, "Lines of handlers"), make("p", { class: "faint" }, "What handlers log, and why those failed that did; new lines come by themselves. The gateway's own log is on its standard error."),
    make("div", { class: "scroll", tabindex: 0, role: "log", "aria-label": "Lines of handlers" },
      make("table", {}, make("thead", {}, make("tr", {}, ["at", "level", "function", "message", "install"].map((head) => make("th", { scope: "col" }, head)))), body))];
}

async function installs() {
  const [extensions, all] = await Promise.all([ask("v1/extensions"), ask("v1/installs")]);
  const names = new Map(extensions.map(({ id, name }) => [id, name]));
  const told = make("div", { "aria-live": "polite" });
  const revisions = async (one) => {
    try {
      const list = await ask(`v1/extensions/${one.id}/revisions`);
      told.replaceChildren(table(`Revisions of ${one.name}`, ["#revision", "version", "deployed", "#statements"],
        list.map(({ revision, version, deployed_at, statements }) => [revision, version, day(deployed_at), number(statements)])));
    } catch (error) { failed(error); }
  };
  return [make("h2", {}, "Extensions"),
    table("Extensions", ["name", "id", "#revision", "#functions", "history"], extensions.map((one) => [one.name, make("code", {}, one.id), one.revision,
      number(one.functions.length), make("button", { type: "button", onclick: () => revisions(one), "aria-label": `Revisions of ${one.name}` }, "Revisions")])),
    told, make("h2", {}, "Installs"),
    table("Installs, as they were made", ["install", "extension", "state", "pinned to", "account", "made"], all.map((one) => [make("code", {}, one.id),
      names.get(one.extension_id) || one.extension_id, one.state, one.pinned_revision ?? "–", make("code", {}, one.account_id), day(one.created_at)]))];
}

async function limits() {
  const known = await ask("v1/limits").catch((error) => { if (error instanceof SignedOut) throw error; return null; });
  if (!known) return [make("h2", {}, "Limits"), make("p", {}, "This gateway does not tell its limits here; docs/limits.md has the defaults.")];
  return [make("h2", {}, "Limits"), make("p", { class: "faint" }, "Changed by rowgate limits set."),
    make("h3", {}, "Overrides"), make("pre", {}, JSON.stringify(known.overrides ?? [], null, 2)),
    make("h3", {}, "As configured"), make("pre", {}, JSON.stringify(known.configured ?? known, null, 2))];
}

// -- The frame

function failed(error) {
  if (error instanceof SignedOut) signIn();
  else trouble(error.message);
}

function signIn(reason) {
  shown += 1;
  clearInterval(timer);
  view.replaceChildren();
  document.getElementById("nav").hidden = true;
  document.getElementById("out").hidden = true;
  document.getElementById("sign-in").hidden = false;
  document.getElementById("key").focus();
  trouble(reason);
}

async function show() {
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : "traffic";
  const own = (shown += 1);
  clearInterval(timer);
  try {
    const children = await views[name]();
    if (own !== shown) return;
    document.getElementById("sign-in").hidden = true;
    document.getElementById("nav").hidden = false;
    document.getElementById("out").hidden = false;
    for (const link of document.querySelectorAll("#nav a")) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    trouble();
    view.replaceChildren(...children);
    document.title = `rowgate: ${name}`;
    view.dataset.shows = name;
    if (name === "traffic") timer = setInterval(() => own === shown && !document.hidden && !view.contains(document.activeElement) && show(), 10000);
  } catch (error) {
    if (own === shown) failed(error);
  }
}

document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("key");
  try {
    await ask("session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: field.value.trim() }) });
    field.value = "";
    await show();
    document.getElementById("main").focus();
  } catch (error) {
    trouble(error.message);
  }
});
document.getElementById("out").addEventListener("click", async () => {
  await ask("session", { method: "DELETE" }).catch(() => null);
  signIn();
});
window.addEventListener("hashchange", show);
show();
