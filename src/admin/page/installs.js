// Extensions with their revisions, and installs.
import { ask, badge, button, day, field, make, mono, number, panel, select, table } from "./parts.js";

/// As many as one answer has.
const PAGE = 1000;

export async function installs(page) {
  const of = page.query.get("extension") || "";
  const path = (after) => `v1/installs?${new URLSearchParams({ ...(of ? { extension_id: of } : {}), ...(after ? { after } : {}) })}`;
  const [extensions, all] = await Promise.all([ask("v1/extensions"), ask(path())]);
  const names = new Map(extensions.map(({ id, name }) => [id, name]));
  const told = make("div", { id: "revisions", tabindex: -1 });
  const revisions = async (one) => {
    try {
      const list = await ask(`v1/extensions/${one.id}/revisions`);
      told.replaceChildren(panel(`Revisions of ${one.name}`, table(`Revisions of ${one.name}`, [
        { head: "revision", cell: ({ revision, is_current }) => [revision, is_current ? [" ", badge("current", "good")] : null] },
        { head: "version", cell: ({ version }) => version },
        { head: "deployed", cell: ({ created_at }) => day(created_at) },
        { head: "statements", end: true, cell: ({ statements }) => number(statements.length) },
      ], list)));
      told.focus({ preventScroll: true });
      told.scrollIntoView({ block: "nearest" });
    } catch (error) { page.failed(error); }
  };
  const place = make("div");
  const shown = (list) => place.replaceChildren(table("Installs", [
    { head: "install", cell: ({ id }) => mono(id) },
    { head: "extension", by: (one) => names.get(one.extension_id), cell: (one) => names.get(one.extension_id) || mono(one.extension_id) },
    { head: "state", by: (one) => one.state, cell: (one) => badge(one.state, one.state === "active" ? "good" : "warn") },
    { head: "plan", by: (one) => one.plan, cell: (one) => one.plan ?? "–" },
    { head: "pinned", by: (one) => one.pinned_revision, cell: (one) => (one.pinned_revision === null ? "–" : `revision ${one.pinned_revision}`) },
    { head: "account", cell: (one) => mono(one.account_id) },
    { head: "made", by: (one) => one.created_at, cell: (one) => day(one.created_at) },
    { head: "", cell: (one) => make("span", { class: "links" }, make("a", { href: page.link("traffic", { of: one.id }), "aria-label": `Traffic of ${one.id}` }, "traffic"), " ",
      make("a", { href: page.link("logs", { install: one.id }), "aria-label": `Logs of ${one.id}` }, "logs"), " ",
      make("a", { href: page.link("limits", { layer: "install", install_id: one.id }), "aria-label": `Limits of ${one.id}` }, "limits")) },
  ], list));
  shown(all);
  const more = button("More", async () => {
    try {
      const next = await ask(path(all.at(-1).id));
      all.push(...next);
      more.hidden = next.length < PAGE;
      shown(all);
    } catch (error) { page.failed(error); }
  }, { hidden: all.length < PAGE });
  return [
    make("div", { class: "title" }, make("h1", {}, "Installs")),
    panel("Extensions", table("Extensions", [
      { head: "name", by: (one) => one.name, cell: (one) => make("b", {}, one.name) },
      { head: "id", cell: (one) => mono(one.id) },
      { head: "revision", end: true, by: (one) => one.revision, cell: (one) => number(one.revision) },
      { head: "functions", end: true, by: (one) => one.functions.length, cell: (one) => number(one.functions.length) },
      { head: "", cell: (one) => button("Revisions", () => revisions(one), { "aria-label": `Revisions of ${one.name}` }) },
    ], extensions, { empty: "nothing is deployed yet: rowgate apply DIR" })),
    told,
    panel("Installs", make("div", { class: "row" }, field("Of", select("extension", [["", "every extension"], ...extensions.map(({ id, name }) => [id, name])], of,
      (id) => page.go("installs", { extension: id })))), place, more),
  ];
}
