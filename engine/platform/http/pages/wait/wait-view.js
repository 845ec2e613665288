// Draws the page from a model. Everything is set as text, never as markup.

import * as words from "/assets/wait-words.js";

const at = (id) => document.getElementById(id);
const TYPES_SHOWN_MAX = 8;

// What each view says, and which of the parts it has.
const VIEWS = {
  loading: { title: "One moment", lead: "Asking how the line stands …" },
  unknown: {
    title: "There is no such sale",
    lead: "The address may be mistyped, or the sale is over. Check the link that you were given.",
  },
  failed: { title: "This does not work at the moment", parts: ["retry"] },
  off: {
    title: "There is no line",
    lead: "Nobody has to wait for this sale: tickets can be held directly.",
    parts: ["api", "offer"],
  },
  early: {
    title: "It has not begun",
    lead: "Keep this page open: it takes a place for you as soon as it can. Who comes early gains "
      + "nothing, as the order is drawn by lot at the opening.",
    parts: ["countdown", "signals", "draw"],
  },
  joining: {
    title: "Taking your place",
    lead: "Your browser solves a small puzzle first. That keeps programs from taking all places.",
    parts: ["proof", "draw"],
  },
  busy: { title: "Very many are joining", parts: ["countdown", "retry", "draw"] },
  refused: { title: "Your place could not be taken", parts: ["retry"] },
  left: {
    title: "You have left the line",
    lead: "Your place was given up. You can join again and get a new one.",
    parts: ["join", "offer"],
  },
  "pre-queue": {
    title: "You are in",
    lead: "At the opening everybody who is here gets a number by lot. It does not matter who came "
      + "first, and you can close this page and come back.",
    parts: ["countdown", "facts", "offer", "signals", "draw", "leave"],
  },
  drawing: {
    title: "The order is being drawn",
    lead: "Your number will be here in a few seconds.",
    parts: ["offer", "signals", "draw", "leave"],
  },
  waiting: {
    title: "You are in line",
    lead: "Your place is kept, on other tabs of this browser too. You can reload this page.",
    parts: ["stub", "way", "facts", "offer", "signals", "draw", "leave"],
  },
  called: {
    title: "It is your turn",
    lead: "Enter before the time is up, or your place goes to the next in line.",
    parts: ["countdown", "enter", "leave"],
  },
  inside: {
    title: "You are inside",
    lead: "You can hold and buy tickets now, with this browser’s token.",
    parts: ["countdown", "api", "offer", "leave"],
  },
  done: {
    title: "Your order is placed",
    lead: "Enjoy the show. For more tickets you can join the line again.",
    parts: ["join"],
  },
  expired: {
    title: "Your turn is over",
    lead: "The time ran out, so the place went to the next in line. You can join again.",
    parts: ["join", "offer"],
  },
  draining: {
    title: "Nobody can join any more",
    lead: "Those who are in line are still called. Tickets may come back later.",
    parts: ["offer"],
  },
  closed: { title: "The line is closed", lead: "Nobody is called any more.", parts: [] },
};
const PARTS = [
  "countdown", "stub", "way", "facts", "proof", "enter", "api", "join", "retry", "offer",
  "signals", "draw", "leave",
];

function put(id, text) {
  const node = at(id);
  if (node.textContent !== text) node.textContent = text;
}

function show(id, on) {
  at(id).hidden = !on;
}

function make(tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

export function event(occurrence, path) {
  put("event", occurrence.event.name);
  put("when", words.moment(occurrence.starts_at, occurrence.timezone));
  put("venue", occurrence.venue);
  at("draw-link").href = `${path}/queue/draw`;
}

/** Show a view with its parts; `lead` and `note` replace what it says. Moves the focus if new. */
export function view(name, { lead, note = "", busy = false } = {}) {
  const { title, lead: usual, parts = [] } = VIEWS[name];
  const before = document.body.dataset.view;
  document.body.dataset.view = name;
  put("title", title);
  put("lead", lead || usual || "");
  for (const part of PARTS) show(part, parts.includes(part));
  put("note", note);
  at("enter").disabled = busy;
  at("join").disabled = busy;
  if (before === name) return;
  if (name === "called") at("enter").focus();
  else if (before === "called" || document.activeElement === document.body) {
    at("card").focus({ preventScroll: true });
  }
}

export function place({ number, ahead, way }) {
  put("number", words.count(number));
  put("ahead", words.count(ahead));
  at("progress").value = Math.round(way * 1000);
  at("progress").setAttribute("aria-valuetext", `${words.people(ahead)} ahead of you`);
}

export function facts({ eta, chance, turn }) {
  const near = eta ? words.range(eta) : "";
  at("eta").replaceChildren(turn || `in ${words.about(eta.likely_ms)}`);
  if (near && !turn) at("eta").append(make("small", "", near));
  at("chance").replaceChildren(chance === null ? "cannot be told yet" : words.chance(chance));
  if (chance !== null) at("chance").append(make("small", "", `about ${chance} %`));
}

/** The time left, or what stands instead of it. */
export function countdown(label, ms, frozen) {
  put("countdown-label", frozen ? `${label} (stands still)` : label);
  put("clock", words.clock(ms));
}

let offered = "";

export function offer({ left, sold_out: soldOut }) {
  const key = JSON.stringify(left);
  if (key !== offered) {
    offered = key;
    at("left").replaceChildren(...left.slice(0, TYPES_SHOWN_MAX).map((type) => {
      const row = make("li", type.left ? "" : "none", "");
      row.append(make("span", "name", type.name));
      if (type.price_display !== null) row.append(make("span", "price", `from ${type.price_display}`));
      row.append(make("span", "count", words.left(type)));
      return row;
    }));
    const more = left.length - TYPES_SHOWN_MAX;
    if (more > 0) at("left").append(make("li", "note", `and ${more} more`));
  }
  put("offer-title", soldOut ? "Nothing is left" : "What is left");
  if (!left.length) show("offer", false);
}

export function banner({ offline, paused, soldOut }) {
  const text = offline ? "You are offline. Your place is kept, and this page comes back by itself." : paused
    ? "The sale is paused. All clocks stand still: nobody loses time or their place."
    : soldOut ? "Everything is sold. Your place is kept in case tickets come back." : "";
  put("banner", text);
  show("banner", text !== "");
}

export function draw({ drawn, commitment, digest, n }) {
  put("draw-text", drawn
    ? `The ${words.count(n)} who were here at the opening got their numbers by lot. What the lot was was fixed `
      + "before anybody joined, so nobody could choose it; anyone can recompute every number."
    : "What decides the lot is fixed already, and this is its fingerprint. It is published at the "
      + "opening, so that anyone can check that it was not changed, and recompute every number.");
  put("digest-label", drawn ? "SHA-256 of all who joined:" : "SHA-256 of the lot:");
  put("digest", drawn ? digest : commitment);
}

const CONNECTIONS = {
  connecting: "Connecting …",
  live: "Live",
  asking: "Up to date; asking from time to time",
  offline: "No connection; this page tries again by itself",
};

export function connection(state) {
  at("connection").dataset.state = state;
  put("connection-text", CONNECTIONS[state]);
}

let said = "";
let saidAt = 0;
const QUIET_MS = 60_000; // between two sentences about the same

/** Say something to those who listen instead of looking; not too often, unless it is news. */
export function say(text, news) {
  if (text === said || (!news && Date.now() - saidAt < QUIET_MS)) return;
  said = text;
  saidAt = Date.now();
  at("polite").textContent = text;
}

export function title(text) {
  const name = at("event").textContent;
  const full = text ? `${text} · ${name}` : name;
  if (document.title !== full) document.title = full;
}

export function signals(state, note) {
  at("sound").setAttribute("aria-pressed", String(state.sound));
  at("notify").setAttribute("aria-pressed", String(state.notify));
  put("signals-note", note);
}

/** Ask whether to leave; resolves to the answer. */
export function confirmLeaving(text) {
  const dialog = at("leave-dialog");
  put("leave-text", text);
  dialog.returnValue = "";
  dialog.showModal();
  at("stay").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "leave"), { once: true });
  });
}

export function on(handlers) {
  for (const [id, handle] of Object.entries(handlers)) at(id).addEventListener("click", handle);
  at("stay").addEventListener("click", () => at("leave-dialog").close());
  at("really-leave").addEventListener("click", () => at("leave-dialog").close("leave"));
}

export const drawIsOpen = () => at("draw").open;
export const onDrawOpened = (handle) => at("draw").addEventListener("toggle", handle);
export const proofPlace = () => at("proof");
