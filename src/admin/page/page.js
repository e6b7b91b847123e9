// The operators' page: asks /admin/v1 for what is known, and draws it. It keeps nothing.
import { functions, handlers } from "./functions.js";
import { installs } from "./installs.js";
import { limits } from "./limits.js";
import { logs } from "./logs.js";
import { SignedOut, ask } from "./parts.js";
import { traffic } from "./traffic.js";

const views = { traffic, functions, handlers, logs, installs, limits };
const place = (id) => document.getElementById(id);
const view = place("view");
// Counts up with each view shown, so that an answer for one that was left is dropped.
let shown = 0;
let timers = [];

function trouble(text) {
  place("trouble").hidden = !text;
  place("trouble").textContent = text || "";
}

function failed(error) {
  if (error instanceof SignedOut) signIn();
  else trouble(error.message);
}

function link(name, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `#${name}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

function leave() {
  shown += 1;
  timers.forEach(clearInterval);
  timers = [];
  return shown;
}

function frame(isSignedIn) {
  place("sign-in").hidden = isSignedIn;
  place("nav").hidden = !isSignedIn;
  place("out").hidden = !isSignedIn;
}

function signIn(reason) {
  leave();
  view.replaceChildren();
  view.removeAttribute("data-shows");
  frame(false);
  place("key").focus();
  document.title = "rowgate: sign in";
  trouble(reason);
}

/// Shows what the address names; `again` is the same view with newer numbers.
async function show(again = false) {
  const [named, query] = location.hash.slice(1).split("?");
  const name = Object.hasOwn(views, named) ? named : "traffic";
  const own = leave();
  const isOwn = () => own === shown;
  const page = {
    query: new URLSearchParams(query),
    link,
    go: (...to) => { location.hash = link(...to); },
    again: () => isOwn() && show(true),
    failed: (error) => isOwn() && failed(error),
    tell: (node) => { place("node").textContent = node; },
    every: (ms, work) => timers.push(setInterval(() => isOwn() && !document.hidden && Promise.resolve(work()).catch(page.failed), ms)),
  };
  try {
    const children = await views[name](page);
    if (!isOwn()) return;
    frame(true);
    for (const anchor of document.querySelectorAll("#nav a")) {
      if (anchor.hash === `#${name}`) {
        anchor.setAttribute("aria-current", "page");
        // Scrolled by hand: the keyboard goes on where it was.
        place("nav").scrollLeft = anchor.offsetLeft - place("nav").offsetLeft - 24;
      } else anchor.removeAttribute("aria-current");
    }
    trouble();
    const opened = again ? [...view.querySelectorAll("details")].map(({ open }) => open) : [];
    view.replaceChildren(...children);
    [...view.querySelectorAll("details")].forEach((details, index) => { details.open = opened[index] || false; });
    document.title = `rowgate: ${name}`;
    view.dataset.shows = name;
    // Nobody is interrupted who reads by keyboard.
    if (name === "traffic") page.every(10000, () => !view.contains(document.activeElement) && !view.querySelector(".tip:not([hidden])") && show(true));
  } catch (error) {
    if (isOwn()) failed(error);
  }
}

place("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = place("key");
  try {
    await ask("session", { method: "POST", body: { key: field.value.trim() } });
    field.value = "";
    await show();
    place("main").focus();
  } catch (error) {
    trouble(error.message);
    field.select();
  }
});
place("out").addEventListener("click", async () => {
  await ask("session", { method: "DELETE" }).catch(() => null);
  signIn();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  place("main").focus();
});
window.addEventListener("hashchange", () => show());
show();
