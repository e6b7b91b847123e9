// Limits: what is said over the configuration, with what it would have refused beside the form that says it.
import { ask, badge, button, counted, day, field, make, minute, mono, number, panel, select, share, table } from "./parts.js";

const LAYERS = [["caller", "caller: one caller within one install"], ["function", "function: callers of one function of an install"],
  ["install", "install: all callers of one install"], ["extension", "extension: all installs of one extension"]];
const CLASSES = ["query_rows", "write_rows", "query", "mutation", "action"];
const CONDITIONS = ["layer", "class", "install_id", "extension_id", "function", "plan", "caller"];
const VALUES = ["per_minute", "burst", "mode"];
const SINCE = [[3600, "the last hour"], [21600, "the last 6 hours"], [86400, "the last 24 hours"]];

const picked = (one, members) => Object.fromEntries(members.filter((member) => one[member] !== undefined && one[member] !== null && one[member] !== "").map((member) => [member, one[member]]));
/// Said once the view is shown again.
let news = "";

const isForTheSame = (one, other) => CONDITIONS.every((member) => (one[member] ?? "") === (other[member] ?? ""));

/// Which calls an override is for, in words.
function of(one, names) {
  const words = { class: "class", function: "function", plan: "plan", caller: "caller" };
  const parts = [badge(one.layer)];
  if (one.extension_id) parts.push(" extension ", names.get(one.extension_id) || mono(one.extension_id));
  if (one.install_id) parts.push(" install ", mono(one.install_id));
  for (const [member, word] of Object.entries(words)) if (one[member]) parts.push(` ${word} `, make("b", {}, one[member]));
  return parts;
}

function says(one) {
  const quota = one.per_minute === undefined ? [] : [one.per_minute === 0 ? "closed" : `${number(one.per_minute)} a minute, ${number(one.burst ?? one.per_minute)} at once`];
  return [...quota, ...(one.mode ? [one.mode] : [])].join(", ");
}

export async function limits(page) {
  const [{ configured, overrides }, extensions, history] = await Promise.all([ask("v1/limits"), ask("v1/extensions"), ask("v1/limits/history")]);
  const names = new Map(extensions.map(({ id, name }) => [id, name]));
  const editor = makeEditor(page, { configured, overrides, extensions });
  const unset = (one) => {
    const again = button("Unset", async () => {
      if (!again.classList.contains("sure")) {
        again.classList.add("sure");
        again.textContent = "Sure?";
        again.addEventListener("blur", () => { again.classList.remove("sure"); again.textContent = "Unset"; }, { once: true });
        return;
      }
      try {
        await ask(`v1/limits?${new URLSearchParams(picked(one, CONDITIONS))}`, { method: "DELETE" });
        news = "Unset: what is wider is in force again.";
        page.again();
      } catch (error) { page.failed(error); }
    });
    return again;
  };
  const changed = (change) => {
    const one = change.after || change.before || {};
    return one.layer ? of(one, names) : ["plan of install ", mono(one.install_id)];
  };
  const value = (one) => (one ? (one.layer ? says(one) : one.plan ?? "none") : "nothing");
  return [
    make("div", { class: "title" }, make("h1", {}, "Limits"), make("p", { class: "faint" }, "Mode ", badge(configured.mode, configured.mode === "enforce" ? "good" : "warn"), " unless said otherwise")),
    editor.element,
    panel("Overrides", table("Overrides", [
      { head: "for", by: (one) => one.layer, cell: (one) => of(one, names) },
      { head: "says", by: (one) => one.per_minute, cell: says },
      { head: "by", by: (one) => one.changed_by, cell: (one) => one.changed_by },
      { head: "at", by: (one) => one.changed_at, cell: (one) => day(one.changed_at) },
      { head: "", cell: (one) => make("span", { class: "links" }, button("Edit", () => editor.edit(one)), unset(one)) },
    ], overrides, { empty: "operators have said nothing: the configuration and what functions declare are in force" })),
    panel("Configured, calls a minute", table("Configured", [
      { head: "class", cell: (name) => name },
      ...["caller", "install", "extension"].map((layer) => ({ head: layer, end: true, cell: (name) => {
        const { per_minute, burst } = configured[layer][name];
        return burst === null || burst === undefined ? number(per_minute) : `${number(per_minute)}, ${number(burst)} at once`;
      } })),
    ], CLASSES)),
    panel("Audit trail", table("Audit trail", [
      { head: "at", cell: (change) => day(change.at) },
      { head: "by", cell: (change) => make("b", {}, change.by) },
      { head: "for", cell: changed },
      { head: "before", cell: (change) => value(change.before) },
      { head: "after", cell: (change) => value(change.after) },
    ], history.slice(0, 200), { empty: "nothing was changed yet" })),
  ];
}

function makeEditor(page, { configured, overrides, extensions }) {
  const said = make("p", { role: "status", class: "faint" }, news), wrong = make("p", { role: "alert", class: "wrong", hidden: true });
  const report = make("div", { class: "report", "aria-live": "polite" });
  news = "";
  let since = 86400, timer = 0, asked = 0;
  const changed = () => { arrange(); clearTimeout(timer); timer = setTimeout(simulate, 300); };
  const input = (id, attributes) => make("input", { id, autocomplete: "off", input: changed, ...attributes });
  const controls = {
    layer: select("layer", LAYERS, "install", changed),
    class: select("class", [["", "every class"], ...CLASSES.map((one) => [one, one])], "query_rows", changed),
    extension_id: select("extension_id", [["", "any"], ...extensions.map(({ id, name }) => [id, name])], "", changed),
    install_id: input("install_id", { type: "text", placeholder: "any", pattern: "[0-9a-fA-F\\-]{36}", spellcheck: "false" }),
    function: input("function", { type: "text", list: "functions", spellcheck: "false" }),
    plan: input("plan", { type: "text", placeholder: "any", maxlength: 63 }),
    caller: select("caller", [["", "any"], ["token", "shows a token"], ["key", "shows an API key"], ["anonymous", "shows nothing"]], "", changed),
    per_minute: input("per_minute", { type: "number", min: 0, max: 4294967295, inputmode: "numeric" }),
    burst: input("burst", { type: "number", min: 1, max: 4294967295, inputmode: "numeric", placeholder: "the same" }),
    mode: select("mode", [["", "as configured"], ["enforce", "enforce"], ["shadow", "shadow: only count"], ["off", "off"]], "", changed),
  };
  const known = make("datalist", { id: "functions" });
  const shown = { class: "Class", extension_id: "Extension", install_id: "Install", function: "Function", plan: "Plan", caller: "Caller" };
  const fields = Object.fromEntries(Object.entries(shown).map(([member, label]) => [member, field(label, controls[member])]));

  /// A layer has use for some conditions; the others are put away.
  function arrange() {
    const layer = controls.layer.value;
    const without = { caller: ["function"], function: ["class", "caller"], install: ["function", "caller"], extension: ["function", "caller", "install_id", "plan"] }[layer];
    for (const member of Object.keys(shown)) {
      fields[member].hidden = without.includes(member) || (["extension_id", "plan"].includes(member) && Boolean(controls.install_id.value) && !without.includes("install_id"));
    }
    const of = extensions.filter(({ id }) => !controls.extension_id.value || id === controls.extension_id.value);
    known.replaceChildren(...[...new Set(of.flatMap(({ functions }) => functions))].map((name) => make("option", { value: name })));
  }

  function override() {
    const given = {};
    for (const member of [...CONDITIONS, ...VALUES]) {
      const value = controls[member].value.trim();
      if (value === "" || fields[member]?.hidden) continue;
      given[member] = ["per_minute", "burst"].includes(member) ? Number(value) : value;
    }
    return given;
  }

  function tell(error) {
    wrong.hidden = !error;
    wrong.textContent = error ? error.message : "";
  }

  async function replay(said, fit) {
    const others = overrides.map((one) => picked(one, [...CONDITIONS, ...VALUES]));
    const body = { since_s: since, ...(fit ? { fit } : {}), ...(said ? { overrides: [...others.filter((one) => !isForTheSame(one, said)), said] } : {}) };
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await ask("v1/limits/simulate", { method: "POST", body });
      } catch (error) {
        // One simulation at a time: somebody else's is soon over.
        if (error.code !== "state_conflict" || attempt === 20) throw error;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  async function simulate() {
    const own = (asked += 1);
    const said = override();
    tell();
    if (said.per_minute === undefined && !said.mode) {
      report.replaceChildren(make("p", { class: "faint" }, "Give a quota or a mode, and what it would have done to the calls of these hours is told here, before it is set."));
      return;
    }
    report.setAttribute("aria-busy", "true");
    try {
      // What only counts is shown as if it refused: that is what it counts.
      const asEnforced = said.mode === "off" ? said : { ...said, mode: "enforce" };
      const now = await replay(null, 99);
      const then = await replay(asEnforced);
      if (own === asked) report.replaceChildren(...told(said, now, then).filter(Boolean));
    } catch (error) {
      if (own !== asked) return;
      report.replaceChildren(make("p", { class: "faint" }, "Nothing was simulated."));
      if (error.code === "arguments_invalid") tell(error);
      else page.failed(error);
    }
    if (own === asked) report.removeAttribute("aria-busy");
  }

  function told(said, now, { report: then }) {
    const tile = (text, value, note, kind) => make("div", { class: "tile" }, make("span", { class: "what" }, text), make("b", { class: kind }, number(value)), make("span", { class: "faint" }, note));
    const fitted = (now.fit?.quotas || []).find(({ layer, class: of }) => layer === said.layer && of === said.class);
    const when = (one) => make("small", { title: `${day(one.first_s * 1000)} to ${day(one.last_s * 1000)}` }, `${minute(one.first_s * 1000)} – ${minute(one.last_s * 1000)}`);
    return [
      make("div", { class: "tiles few" },
        tile("would be refused", then.refused, `${share(then.refused, then.calls)} of ${counted(then.calls, "call")}`, then.refused ? "k-failed" : "k-answered"),
        tile("by the limits in force", now.report.refused, share(now.report.refused, now.report.calls)),
        tile("really were refused", then.refused_then, share(then.refused_then, then.calls)),
        tile("callers it would meet", then.callers_refused, `of ${number(then.callers)}`)),
      said.mode === "shadow" ? make("p", { class: "faint" }, "In mode shadow it counts these and refuses none.") : null,
      then.unknown ? make("p", { class: "faint" }, `${counted(then.unknown, "call")} of installs that are gone were left out.`) : null,
      fitted ? make("p", {}, `99 of 100 ${said.layer}s keep within `, make("b", {}, number(fitted.per_minute)), " a minute of this class. ",
        button(`Use ${number(fitted.per_minute)}`, () => { controls.per_minute.value = fitted.per_minute; controls.burst.value = ""; changed(); })) : null,
      table("Who would be refused most", [
        { head: "install", cell: (one) => mono(one.install_id) },
        { head: "caller", cell: (one) => make("span", { title: one.caller_number }, `${one.caller} ${one.caller_number.slice(0, 6)}`) },
        { head: "class", cell: (one) => one.class },
        { head: "refused", end: true, by: (one) => one.refused, cell: (one) => `${number(one.refused)} of ${number(one.calls)}` },
        { head: "by", cell: (one) => Object.entries(one.by).map(([layer, count]) => badge(`${layer} ${number(count)}`)) },
        { head: "were", end: true, cell: (one) => number(one.refused_then) },
        { head: "when", cell: when },
      ], then.most_refused.slice(0, 20), { empty: "nobody would have been refused" }),
    ];
  }

  async function set(event) {
    event.preventDefault();
    tell();
    try {
      await ask("v1/limits", { method: "PUT", body: override() });
      news = "Set: in force on every gateway within a second.";
      page.again();
    } catch (error) {
      if (error.code === "arguments_invalid" || error.code === "state_conflict") tell(error);
      else page.failed(error);
    }
  }

  const form = make("form", { class: "editor", submit: set },
    make("div", { class: "fields" }, field("Layer", controls.layer), Object.values(fields), known,
      field("Calls a minute", controls.per_minute, "0 closes it"), field("At once", controls.burst), field("Mode", controls.mode)),
    make("div", { class: "row" }, make("button", { type: "submit", class: "main" }, "Set"), said), wrong);
  // Where the address says what is to be set, as links of other views do.
  if (page.query.get("layer")) for (const member of [...CONDITIONS, ...VALUES]) controls[member].value = page.query.get(member) ?? "";
  arrange();
  simulate();
  const beside = make("div", { class: "beside" }, make("div", { class: "row" }, make("h3", {}, "What it would have done in"),
    make("label", { for: "since", class: "hidden" }, "Over"), select("since", SINCE, since, (value) => { since = Number(value); changed(); })), report);
  const element = panel("Set a limit", make("div", { class: "split" }, form, beside));
  const edit = (one) => {
    for (const member of [...CONDITIONS, ...VALUES]) controls[member].value = one[member] ?? "";
    changed();
    element.scrollIntoView({ block: "nearest" });
    controls.per_minute.focus();
  };
  return { element, edit };
}
