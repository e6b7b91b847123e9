// What every view is made of: elements, numbers, times, tables. Text is only ever text: nothing that an
// author, a client or an operator wrote is read as markup, which the policy of the page forbids besides.

const SVG = "http://www.w3.org/2000/svg";

export const make = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
export const draw = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

/// Attributes whose value is a function are listeners.
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

export class SignedOut extends Error {}

export async function ask(path, options = {}) {
  const asked = options.body === undefined ? options : { ...options, body: JSON.stringify(options.body), headers: { "content-type": "application/json" } };
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...asked });
  } catch {
    throw new Error("the gateway does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new SignedOut(body.detail);
  if (!answer.ok) throw Object.assign(new Error(body.detail || `the gateway answers ${answer.status}`), { code: body.code });
  return body;
}

// -- Numbers and times

const whole = new Intl.NumberFormat("en");

export function number(value) {
  if (value === null || value === undefined) return "–";
  return value >= 100 || Number.isInteger(value) ? whole.format(Math.round(value)) : String(Number(value.toPrecision(3)));
}

export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export const minute = (at) => new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
export const day = (at) => (at ? new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : "–");
export const share = (part, of) => (of ? `${number((100 * part) / of)} %` : "–");
export const counted = (count, one) => `${number(count)} ${one}${count === 1 ? "" : "s"}`;

// -- Pieces

export const panel = (title, ...children) => make("section", { class: "panel" }, title ? make("h2", {}, title) : null, children);
export const badge = (text, kind = "") => make("span", { class: `badge ${kind}` }, text);
export const mono = (text) => make("code", {}, text);
export const button = (text, click, attributes = {}) => make("button", { type: "button", click, ...attributes }, text);

export function field(label, control, hint) {
  const id = control.id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return make("div", { class: "field" }, make("label", { for: id }, label), control,
    hint ? make("small", { id: `${id}-hint`, class: "faint" }, hint) : null);
}

/// `options` are pairs of value and text.
export function select(id, options, chosen, change) {
  return make("select", { id, change: (event) => change?.(event.target.value) },
    options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
}

/// One of few: radio buttons that look like one control.
export function segments(name, label, options, chosen, change) {
  return make("fieldset", { class: "segments" }, make("legend", { class: "hidden" }, label), options.map(([value, text]) =>
    make("label", {}, make("input", { type: "radio", name, value, checked: value === chosen, change: () => change(value) }), make("span", {}, text))));
}

/// A table. A column has a `head`, a `cell` of a row, and a `by` to sort by where that can be done; `end` is
/// for numbers. Rows come in the order they are given in.
export function table(caption, columns, rows, { empty = "nothing yet", rowClass = () => null } = {}) {
  const body = make("tbody");
  const fill = (sorted) => body.replaceChildren(...(sorted.length ? sorted.map((row) => make("tr", { class: rowClass(row) }, columns.map((column) =>
    make("td", { class: column.end ? "end" : null }, column.cell(row)))))
    : [make("tr", {}, make("td", { colspan: columns.length, class: "faint" }, empty))]));
  const heads = columns.map((column) => {
    const head = make("th", { scope: "col", class: column.end ? "end" : null });
    head.append(column.by ? button(column.head, () => sort(column, head), { class: "sort" }) : column.head);
    return head;
  });
  function sort(column, head) {
    const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : Boolean(column.end);
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const of = (row) => column.by(row) ?? Infinity;
    const order = (one, other) => (of(one) > of(other) ? 1 : of(one) < of(other) ? -1 : 0);
    fill([...rows].sort(down ? (one, other) => order(other, one) : order));
  }
  fill(rows);
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {}, make("caption", { class: "hidden" }, caption), make("thead", {}, make("tr", {}, heads)), body));
}

/// SQL on lines of their own, its words set apart from what it names.
export function sql(text) {
  const words = /('(?:[^']|'')*'|"(?:[^"]|"")*"|\b(?:SELECT|FROM|WHERE|AND|OR|NOT|ORDER BY|GROUP BY|LIMIT|OFFSET|RETURNING|INSERT INTO|VALUES|UPDATE|SET|DELETE|ON CONFLICT|DO|NOTHING|LEFT JOIN|JOIN|WITH|AS|ON|IN|IS|NULL|CASE|WHEN|THEN|ELSE|END|ASC|DESC|EXISTS|LATERAL|UNION ALL|USING|BETWEEN|DISTINCT)\b|[()])/g;
  const begins = /^(?:FROM|WHERE|ORDER BY|GROUP BY|LIMIT|RETURNING|VALUES|SET|ON CONFLICT|LEFT JOIN|JOIN|SELECT|UPDATE|INSERT INTO|DELETE)$/;
  const pre = make("pre", { class: "sql" });
  let depth = 0;
  for (const piece of text.split(words).filter(Boolean)) {
    if (piece === "(") depth += 1;
    if (piece === ")") depth -= 1;
    const isWord = /^[A-Z][A-Z ]+$/.test(piece);
    if (isWord && depth === 0 && begins.test(piece) && pre.textContent) pre.append("\n");
    if (isWord && depth === 0 && (piece === "AND" || piece === "OR")) pre.append("\n  ");
    pre.append(isWord ? make("b", {}, piece) : piece.startsWith("'") ? make("i", {}, piece) : piece);
  }
  return pre;
}
