// Charts: drawn to the width they have, with a line to read values by under the pointer or the arrow keys,
// and every number in a table besides.
import { clock, draw, make, minute, number, table } from "./parts.js";

const HIGH = 220, LEFT = 52, RIGHT = 14, LOW = 26, TOP = 14;

/// The next round number.
function roundUp(most) {
  if (most <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((times) => times * unit).find((bound) => bound >= most);
}

function axes(svg, wide, times, most) {
  const top = roundUp(most);
  const x = (index) => LEFT + (wide - LEFT - RIGHT) * (times.length < 2 ? 0.5 : index / (times.length - 1));
  const y = (value) => HIGH - LOW - (HIGH - LOW - TOP) * (value / top);
  for (let step = 0; step <= 4; step += 1) {
    const value = (top * step) / 4;
    svg.append(draw("line", { class: step ? "grid" : "base", x1: LEFT, x2: wide - RIGHT, y1: y(value), y2: y(value) }),
      draw("text", { x: LEFT - 10, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  const isShort = times.length > 1 && new Date(times.at(-1)) - new Date(times[0]) < 600_000;
  const marks = Math.min(Math.max(2, Math.floor(wide / 130)), times.length);
  for (let mark = 0; mark < marks; mark += 1) {
    const index = marks < 2 ? 0 : Math.round((mark * (times.length - 1)) / (marks - 1));
    const anchor = marks > 1 && mark === marks - 1 ? "end" : "middle";
    svg.append(draw("text", { x: x(index), y: HIGH - 7, "text-anchor": anchor }, (isShort ? clock : minute)(times[index])));
  }
  return { x, y };
}

/// A figure of `series`, each with a `name`, a `kind` that colours it, and a value for each of `times`.
/// `drawn` puts them into the SVG once its width is known.
function figure(label, times, series, most, drawn) {
  const svg = draw("svg", { class: "chart", role: "img", tabindex: 0, "aria-label": `${label}. Arrow keys read values; all of them are in the table below.` });
  const tip = make("div", { class: "tip", role: "status", hidden: true });
  let scales, wide = 0, at = -1;
  const guide = draw("line", { class: "guide", y1: TOP, y2: HIGH - LOW });
  const layout = (width) => {
    wide = Math.max(280, Math.round(width));
    svg.setAttribute("viewBox", `0 0 ${wide} ${HIGH}`);
    svg.replaceChildren();
    scales = axes(svg, wide, times, most);
    if (times.length) drawn(svg, scales, wide);
    guide.classList.add("hidden");
    svg.append(guide);
  };
  const read = (index) => {
    if (!times.length) return;
    at = Math.min(times.length - 1, Math.max(0, index));
    const place = scales.x(at);
    guide.setAttribute("x1", place);
    guide.setAttribute("x2", place);
    guide.classList.remove("hidden");
    tip.hidden = false;
    tip.replaceChildren(make("b", {}, clock(times[at])), ...[...series].reverse().map(({ name, kind, values }) =>
      make("div", {}, make("i", { class: `swatch ${kind}` }), name, make("span", {}, number(values[at])))));
    // By percent, as the drawing is scaled with its figure.
    tip.style.setProperty("left", `${(100 * place) / wide}%`);
    tip.classList.toggle("before", place > wide / 2);
  };
  const leave = () => {
    tip.hidden = true;
    guide.classList.add("hidden");
    at = -1;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * wide;
    read(Math.round(((place - LEFT) / (wide - LEFT - RIGHT)) * (times.length - 1)));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") leave();
    if (step === undefined) return;
    event.preventDefault();
    read(at < 0 && Number.isFinite(step) ? (step < 0 ? times.length - 1 : 0) : at + step);
  });
  layout(960);
  const resized = ([{ contentRect }]) => contentRect.width && Math.abs(contentRect.width - wide) > 1 && requestAnimationFrame(() => layout(contentRect.width));
  new ResizeObserver(resized).observe(svg);
  const columns = [{ head: "at", cell: ([at]) => clock(at) },
    ...series.map(({ name, values }) => ({ head: name, end: true, cell: ([, index]) => number(values[index]) }))];
  const rows = times.map((at, index) => [at, index]).reverse();
  return make("figure", {}, make("figcaption", {}, label),
    make("ul", { class: "legend" }, series.map(({ name, kind }) => make("li", {}, make("i", { class: `swatch ${kind}` }), name))),
    make("div", { class: "plot" }, svg, tip, times.length ? null : make("p", { class: "none" }, "no calls in this time")),
    make("details", {}, make("summary", {}, "As a table"), table(label, columns, rows)));
}

export function lineChart(label, times, series) {
  const most = Math.max(0, ...series.flatMap(({ values }) => values));
  return figure(label, times, series, most, (svg, { x, y }) => {
    for (const { name, kind, values } of [...series].reverse()) {
      const d = values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      if (series.length === 1) {
        const floor = y(0).toFixed(1);
        svg.append(draw("path", { class: `area ${kind}`, d: `${d}L${x(values.length - 1).toFixed(1)} ${floor}L${x(0).toFixed(1)} ${floor}Z` }));
      }
      svg.append(draw("path", { class: `line ${kind}`, d }, draw("title", {}, name)));
      if (values.length === 1) svg.append(draw("circle", { class: `dot ${kind}`, cx: x(0), cy: y(values[0]), r: 4 }));
    }
  });
}

export function columnChart(label, times, series) {
  const sums = times.map((_, index) => series.reduce((sum, { values }) => sum + values[index], 0));
  return figure(label, times, series, Math.max(0, ...sums), (svg, { x, y }, wide) => {
    const width = Math.max(1.5, Math.min(22, ((wide - LEFT - RIGHT) / Math.max(1, times.length)) * 0.72));
    times.forEach((_, index) => {
      let below = 0;
      for (const { kind, values } of series) {
        if (values[index] > 0) {
          const [from, to] = [y(below), y(below + values[index])];
          svg.append(draw("rect", { class: `column ${kind}`, x: x(index) - width / 2, y: to, width, height: Math.max(1, from - to) }));
        }
        below += values[index];
      }
    });
  });
}

/// A line of a few points, for a number it stands beside.
export function spark(values, kind) {
  const [wide, high, most] = [120, 28, Math.max(1e-9, ...values)];
  const x = (index) => (values.length < 2 ? wide / 2 : (wide * index) / (values.length - 1));
  const d = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${(high - 2 - (high - 4) * (value / most)).toFixed(1)}`).join("");
  return draw("svg", { class: "spark", viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    values.length ? draw("path", { class: `line ${kind}`, d }) : null);
}
