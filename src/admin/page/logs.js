// What handlers log, as it comes.
import { ask, button, clock, field, make, mono, select } from "./parts.js";

const ROWS_MAX = 500;
const LEVELS = ["debug", "info", "warn", "error"];

export async function logs(page) {
  const install = page.query.get("install") || "";
  const body = make("tbody");
  const count = make("span", { class: "faint", role: "status" });
  let after = 0, level = page.query.get("level") || "debug", words = "", paused = false;
  const isShown = (row) => LEVELS.indexOf(row.dataset.level) >= LEVELS.indexOf(level) && row.textContent.toLowerCase().includes(words);
  const sift = () => {
    let shown = 0;
    for (const row of body.children) {
      row.hidden = !isShown(row);
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${body.children.length}${paused ? ", paused" : ""}`;
  };
  const take = async () => {
    const lines = await ask(`v1/lines?after=${after}${install ? `&install_id=${encodeURIComponent(install)}` : ""}`);
    for (const line of lines) {
      after = Math.max(after, line.number);
      body.prepend(make("tr", { "data-level": line.level }, make("td", { class: "time" }, clock(line.at)),
        make("td", {}, make("span", { class: `badge level-${line.level}` }, line.level)), make("td", {}, line.function),
        make("td", { class: "message" }, make("span", {}, line.message), line.attributes ? make("div", {}, mono(line.attributes)) : null,
          make("small", { class: "faint" }, [line.file ? `${line.file}:${line.line}` : null, `request ${line.request_id}`].filter(Boolean).join(" · "))),
        make("td", {}, make("a", { href: page.link("logs", { install: line.install_id }) }, mono(line.install_id)))));
    }
    while (body.children.length > ROWS_MAX) body.lastChild.remove();
    sift();
  };
  await take();
  page.every(2000, () => (paused ? null : take()));
  const pause = button("Pause", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", paused);
    sift();
  }, { "aria-pressed": "false" });
  const find = make("input", { id: "find", type: "search", placeholder: "words", input: (event) => { words = event.target.value.toLowerCase(); sift(); } });
  return [
    make("div", { class: "title" }, make("h1", {}, "Logs"), make("p", { class: "faint" }, "What handlers log and why they failed; new lines come by themselves")),
    make("div", { class: "row" }, field("From level", select("level", LEVELS.map((one) => [one, one]), level, (value) => { level = value; sift(); })),
      field("With", find), pause, count,
      install ? make("span", { class: "badge" }, "install ", mono(install), " ", make("a", { href: "#logs", "aria-label": "Lines of every install" }, "✕")) : null),
    make("section", { class: "panel" }, make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Lines of handlers" },
      make("table", { class: "lines" }, make("thead", {}, make("tr", {}, ["at", "level", "function", "message", "install"].map((head) => make("th", { scope: "col" }, head)))), body))),
    make("p", { class: "faint" }, "The gateway's own log is on its standard error."),
  ];
}
