// What calls came to over the last hours: all of them, those of one extension, or those of one install.
import { columnChart, lineChart, spark } from "./charts.js";
import { ask, make, mono, number, panel, segments, select, share, table } from "./parts.js";

const KINDS = [["answered", "answered"], ["limited", "over a limit"], ["refused", "refused"], ["failed", "failed"]];
const NOTHING = { answered: 0, limited: 0, refused: 0, failed: 0 };
const total = (tally) => tally.answered + tally.limited + tally.refused + tally.failed;
const plus = (one, other) => Object.fromEntries(KINDS.map(([kind]) => [kind, one[kind] + other[kind]]));

export async function traffic(page) {
  const minutes = Number(page.query.get("minutes")) || 60;
  const [{ node, step_s, points }, extensions] = await Promise.all([ask(`v1/traffic?minutes=${minutes}`), ask("v1/extensions")]);
  page.tell(node);
  const names = new Map(extensions.map(({ id, name }) => [id, name]));
  const of = page.query.get("of");
  const sums = { extensions: new Map(), installs: new Map() };
  for (const point of points) {
    for (const what of ["extensions", "installs"]) {
      for (const [id, tally] of Object.entries(point[what])) sums[what].set(id, plus(sums[what].get(id) || NOTHING, tally));
    }
  }
  const ranked = (what) => [...sums[what].entries()].sort(([, one], [, other]) => total(other) - total(one));
  const name = (id) => names.get(id) || id;

  const times = points.map(({ at }) => at);
  // A point stands for the time since the one before it, and the first for as long as the second.
  const between = (index) => (new Date(times[index]) - new Date(times[index - 1])) / 60000;
  const span = (index) => (times.length > 1 && between(Math.max(1, index))) || step_s / 60;
  const tallyAt = (point) => (of ? point.extensions[of] || point.installs[of] || NOTHING : Object.values(point.extensions).reduce(plus, NOTHING));
  const perMinute = (value) => points.map((point, index) => value(point) / span(index));
  const sum = points.map(tallyAt).reduce(plus, NOTHING);

  const tiles = [["calls", "all", total, "c0"], ...KINDS.map(([kind, text]) => [text, kind, (tally) => tally[kind], `k-${kind}`])];
  const asked = make("div", { class: "tiles" }, tiles.map(([text, kind, value, colour]) => make("div", { class: "tile" },
    make("span", { class: "what" }, make("i", { class: `swatch ${colour}` }), text),
    make("b", {}, number(value(sum))),
    make("span", { class: "faint" }, kind === "all" ? `${number(total(sum) / Math.max(1, minutes))} a minute` : `${share(value(sum), total(sum))} of calls`),
    spark(perMinute((point) => value(tallyAt(point))), colour))));

  const series = [];
  if (of) {
    series.push({ name: names.get(of) || `install ${of}`, kind: "c0", values: perMinute((point) => total(tallyAt(point))) });
  } else {
    const first = ranked("extensions").slice(0, 5).map(([id]) => id);
    first.forEach((id, index) => series.push({ name: name(id), kind: `c${index}`, values: perMinute((point) => total(point.extensions[id] || NOTHING)) }));
    if (sums.extensions.size > first.length) {
      const rest = (point) => Object.entries(point.extensions).filter(([id]) => !first.includes(id)).reduce((all, [, tally]) => all + total(tally), 0);
      series.push({ name: "others", kind: "c5", values: perMinute(rest) });
    }
  }
  const unanswered = KINDS.slice(1).map(([kind, text]) => ({ name: text, kind: `k-${kind}`, values: perMinute((point) => tallyAt(point)[kind]) }));

  const most = Math.max(1, ...ranked("extensions").map(([, tally]) => total(tally)));
  const bar = (tally) => {
    const full = make("span", { class: "bar", "aria-hidden": "true" }, KINDS.map(([kind]) => {
      const part = make("i", { class: `k-${kind}` });
      part.style.setProperty("flex-grow", String(tally[kind]));
      return part;
    }));
    full.style.setProperty("width", `${Math.max(2, (100 * total(tally)) / most)}%`);
    return full;
  };
  const columns = (head, show) => [
    { head, by: ([id]) => name(id), cell: ([id]) => make("a", { href: page.link("traffic", { minutes, of: id }) }, show(id)) },
    { head: "calls", end: true, by: ([, tally]) => total(tally), cell: ([, tally]) => number(total(tally)) },
    { head: "", cell: ([, tally]) => bar(tally) },
    ...KINDS.map(([kind, text]) => ({ head: text, end: true, by: ([, tally]) => tally[kind], cell: ([, tally]) => number(tally[kind]) })),
  ];
  const everything = [["", "every extension"], ...ranked("extensions").map(([id]) => [id, name(id)]), ...ranked("installs").slice(0, 50).map(([id]) => [id, `install ${id}`])];
  if (of && !everything.some(([id]) => id === of)) everything.push([of, name(of)]);
  return [
    make("div", { class: "title" }, make("h1", {}, "Traffic"),
      make("label", { for: "of", class: "hidden" }, "Of"), select("of", everything, of || "", (id) => page.go("traffic", { minutes, of: id })),
      segments("minutes", "The last", [[15, "15 min"], [60, "1 h"], [180, "3 h"], [360, "6 h"]], minutes, (value) => page.go("traffic", { minutes: value, of }))),
    asked,
    panel(null, lineChart(of ? "Calls a minute" : "Calls a minute by extension", times, series)),
    panel(null, columnChart("Calls a minute that were not answered", times, unanswered)),
    panel("Extensions", table("Extensions", columns("extension", name), ranked("extensions"), { empty: "no calls in this time" })),
    panel("Installs, those called most", table("Installs", columns("install", mono), ranked("installs").slice(0, 50), { empty: "no calls in this time" })),
    make("p", { class: "faint" }, "Over a limit: answered 429. Refused: for something else that their caller did. Failed: by no fault of their caller. This gateway alone, since it started."),
  ];
}
