// What functions take, with their SQL and Postgres's plan of it; and handlers that were stopped.
import { ask, badge, button, counted, make, number, panel, share, sql, table } from "./parts.js";

const OF_HANDLERS = ["query", "mutation", "action"];
const worst = (one) => one.p99_ms ?? Infinity;
const within = (one) => (one.p99_ms === null ? "> 30,000" : `≤ ${number(one.p99_ms)}`);

async function used(page) {
  const { node, functions } = await ask("v1/functions");
  page.tell(node);
  return functions;
}

const named = (one) => make("span", {}, make("b", {}, one.function), make("br"), make("small", { class: "faint" }, one.extension || one.extension_id));

export async function functions(page) {
  const all = await used(page);
  all.sort((one, other) => worst(other) - worst(one) || other.mean_ms - one.mean_ms);
  const told = make("div", { id: "explained", tabindex: -1 });
  const explain = async (one) => {
    try {
      const { statements } = await ask(`v1/extensions/${one.extension_id}/functions/${encodeURIComponent(one.function)}`);
      told.replaceChildren(panel(`${one.function}, of ${one.extension || one.extension_id}`,
        make("p", { class: "faint" }, `${counted(statements.length, "statement")}. The plan is Postgres's over an empty copy of the tables, with the indexes they have.`),
        statements.slice(0, 12).map(({ step, given, sql: text, plan }) => make("div", { class: "statement" },
          step || given.length ? make("h3", {}, [step, given.length ? `with ${given.join(", ")}` : null].filter(Boolean).join(": ")) : null,
          make("div", { class: "pair" }, make("div", {}, make("h3", {}, "SQL"), sql(text)), make("div", {}, make("h3", {}, "Plan"), make("pre", {}, plan.join("\n"))))))));
      told.scrollIntoView({ block: "nearest" });
      told.focus({ preventScroll: true });
    } catch (error) { page.failed(error); }
  };
  const columns = [
    { head: "function", by: (one) => one.function, cell: named },
    { head: "kind", by: (one) => one.kind, cell: (one) => badge(one.kind) },
    { head: "calls", end: true, by: (one) => one.calls, cell: (one) => number(one.calls) },
    { head: "failed", end: true, by: (one) => one.failed, cell: (one) => number(one.failed) },
    { head: "mean, ms", end: true, by: (one) => one.mean_ms, cell: (one) => number(one.mean_ms) },
    { head: "99 of 100, ms", end: true, by: worst, cell: within },
    { head: "statement", cell: (one) => (OF_HANDLERS.includes(one.kind) ? make("span", { class: "faint" }, "in Luau")
      : button("SQL", () => explain(one), { "aria-label": `SQL of ${one.function}` })) },
  ];
  return [make("div", { class: "title" }, make("h1", {}, "Functions"), make("p", { class: "faint" }, "The slowest first, since this gateway started")),
    panel(null, table("Functions that were called", columns, all)), told];
}

export async function handlers(page) {
  const all = (await used(page)).filter(({ kind }) => OF_HANDLERS.includes(kind));
  all.sort((one, other) => other.stopped - one.stopped || other.script_cpu_ms - one.script_cpu_ms);
  const reasons = (one) => Object.entries(one.stopped_by).sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => badge(`${reason} ${number(count)}`, "bad"));
  const each = (one) => (one.calls ? one.script_cpu_ms / one.calls : 0);
  const columns = [
    { head: "handler", by: (one) => one.function, cell: named },
    { head: "kind", by: (one) => one.kind, cell: (one) => badge(one.kind) },
    { head: "calls", end: true, by: (one) => one.calls, cell: (one) => number(one.calls) },
    { head: "stopped", end: true, by: (one) => one.stopped, cell: (one) => number(one.stopped) },
    { head: "of calls", end: true, by: (one) => one.stopped / one.calls, cell: (one) => share(one.stopped, one.calls) },
    { head: "why", cell: reasons },
    { head: "processor, ms", end: true, by: (one) => one.script_cpu_ms, cell: (one) => number(one.script_cpu_ms) },
    { head: "each, ms", end: true, by: each, cell: (one) => number(each(one)) },
  ];
  return [make("div", { class: "title" }, make("h1", {}, "Handlers"), make("p", { class: "faint" }, "Those stopped most often first, since this gateway started")),
    panel(null, table("Handlers that were called", columns, all, { rowClass: (one) => (one.stopped ? "marked" : null) })),
    make("p", { class: "faint" }, "A handler is stopped for the time, the memory or the calls it took, or for what it asked; ", make("a", { href: "#logs" }, "Logs"), " have the place in its code.")];
}
