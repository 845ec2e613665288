// The waiting page: keeps one place in line, shows it, and tells when it is called.

import { keep, kept } from "/assets/wait-kept.js";
import { Line, Live, Problem, Unreachable } from "/assets/wait-line.js";
import { prove } from "/assets/wait-proof.js";
import { Signals } from "/assets/wait-signals.js";
import * as page from "/assets/wait-view.js";
import * as words from "/assets/wait-words.js";

const TICK_MS = 250;
const AFRESH_MS = 15_000; // how often the shared state is read while one has no place
const RETRY_MS = [2_000, 30_000]; // first and longest pause after a failure
const BESIDE_LIVE = 4; // with a live connection, places are asked for so much more seldom
const DRAWN_SPREAD_MS = 4_000; // in which all who were drawn ask for their number
const DRAW_AGAIN_MS = 6_000; // it may be cached for 5 s
const PROOF_TRIES = 2;

const occurrence = location.pathname.split("/").pop();
const line = new Line(occurrence);
const signals = new Signals();
const GIVEN_UP = `onsale.left.${occurrence}`;
const FIRST_AHEAD = `onsale.ahead.${occurrence}`;

const model = {
  place: null, // the QueueView, or null: none
  serving: null, // the ServingView
  until: 0, // when the running deadline ends, on this device's clock
  deadline: 0, // its time left when it was read: what stands while the sale is paused
  joining: "", // "", "proof", "busy", "refused"
  refusal: "",
  shut: "", // what joining was refused for, until the line changes
  retryAt: 0,
  busy: false,
  note: "",
};
let askTimer = 0;
let pause = RETRY_MS[0];
let asking = false;

const live = new Live(line, {
  said(message) {
    if (message.kind === "you") hear(message);
    else hearServing(message);
    render();
  },
  changed(open) {
    page.connection(open ? "live" : navigator.onLine ? "asking" : "offline");
    // everybody may have lost it in this moment: who has time asks later
    if (!open && model.place) askIn(model.place.ask_in_ms * Math.random());
  },
});

// ---- what is heard

function hear(place) {
  const before = model.place?.state;
  model.place = place;
  model.joining = "";
  const left = place.claim_in_ms ?? place.leave_in_ms ?? place.opens_in_ms ?? 0;
  setDeadline(left);
  if (place.state === before) return;
  model.note = "";
  keep("localStorage", GIVEN_UP, null);
  if (place.state === "called") signals.turn(document.getElementById("event").textContent);
  if (["done", "expired", "closed"].includes(place.state)) live.stop();
  else live.start();
}

function hearServing(serving) {
  const drawn = serving.drawn && !model.serving?.drawn;
  const opens = serving.joining_in_ms ?? serving.opens_in_ms;
  if (serving.version !== model.serving?.version) model.shut = "";
  model.serving = serving;
  if (model.place) {
    for (const name of ["left", "sold_out"]) model.place[name] = serving[name];
    const paused = serving.state === "paused";
    if (model.place.paused !== paused) {
      if (!paused) setDeadline(model.deadline);
      else model.deadline = Math.max(0, model.until - Date.now());
      model.place.paused = paused;
    }
    if (model.place.number === null && drawn) askIn(Math.random() * DRAWN_SPREAD_MS);
    advance(serving);
  } else setDeadline(opens ?? 0);
  if (drawn) showDraw();
}

/** Work out from the broadcast how far it is: nobody has to ask for that. */
function advance({ serving }) {
  const place = model.place;
  if (place.state !== "waiting" || place.ahead === null) return;
  const ahead = Math.max(0, place.number - serving - 1);
  if (ahead >= place.ahead) return;
  if (place.eta) {
    // as the server has told it: more than the rate decides, and only the server knows it
    const share = (ahead + 1) / (place.ahead + 1);
    const { likely_ms: likely, from_ms: from, to_ms: to } = place.eta;
    place.eta = { likely_ms: likely * share, from_ms: from * share, to_ms: to * share };
  }
  place.ahead = ahead;
}

function setDeadline(ms) {
  model.deadline = ms;
  model.until = Date.now() + ms;
}

// ---- asking

function askIn(ms) {
  clearTimeout(askTimer);
  askTimer = setTimeout(ask, ms);
}

async function ask() {
  if (asking) return;
  asking = true;
  try {
    await read();
    pause = RETRY_MS[0];
    if (!live.open) page.connection("asking");
    askIn(nextAsk());
  } catch (error) {
    failed(error);
  } finally {
    asking = false;
    render();
  }
}

async function read() {
  if (!model.serving) await begin();
  try {
    hear(await line.status());
  } catch (error) {
    if (error.code !== "not_in_queue") throw error;
    if (model.place && model.place.state !== "expired") model.place = null;
  }
  if (!model.place || !model.serving) hearServing(await line.serving());
  if (!model.place && !model.joining && mayJoin() && !kept("localStorage", GIVEN_UP)) join();
}

async function begin() {
  page.event(await line.occurrence(), line.path);
}

/** Read and show the draw, for those who have opened its part of the page. */
async function showDraw() {
  if (!page.drawIsOpen()) return;
  try {
    const draw = await line.draw();
    page.draw(draw);
    // a cache on the way may not know of the draw yet
    if (model.serving?.drawn && !draw.drawn) setTimeout(showDraw, DRAW_AGAIN_MS);
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
  }
}

function nextAsk() {
  const { place, serving } = model;
  if (place) return place.ask_in_ms * (live.open ? BESIDE_LIVE : 1);
  const opens = serving.joining_in_ms ?? serving.opens_in_ms;
  const soon = opens === null ? AFRESH_MS : Math.min(AFRESH_MS, Math.max(opens, 0) + 500);
  return soon * (0.8 + 0.4 * Math.random());
}

function failed(error) {
  if (error.code === "occurrence_unknown" || error.status === 404) {
    live.stop();
    model.unknown = true;
    return;
  }
  if (!(error instanceof Problem || error instanceof Unreachable)) console.error(error);
  page.connection("offline");
  model.failure = error.message;
  askIn(Math.max(error.retryMs || 0, pause * (0.5 + Math.random())));
  pause = Math.min(pause * 2, RETRY_MS[1]);
}

// ---- joining, entering, leaving

const SHUT = { off: "off", early: "early", draining: "draining", closed: "closed" };
const mayJoin = () => !model.shut && ["pre-queue", "open", "paused"].includes(model.serving?.state);

async function join() {
  if (model.joining === "proof") return;
  model.joining = "proof";
  model.place = null;
  render();
  try {
    hear(await proveAndJoin());
    keep("sessionStorage", FIRST_AHEAD, null);
    askIn(nextAsk());
  } catch (error) {
    const later = error.status === 429 || error.status === 503 || error instanceof Unreachable;
    if (error.code === "queue_closed") {
      model.joining = "";
      model.shut = SHUT[error.reason];
      askIn(nextAsk());
    } else if (later) {
      model.joining = "busy";
      model.refusal = error.message;
      // those who were refused together come back apart
      setDeadline(Math.max(error.retryMs || 0, RETRY_MS[0]) * (1 + Math.random() / 2));
      model.retryAt = model.until;
    } else {
      model.joining = "refused";
      model.refusal = error.message;
    }
  }
  render();
}

async function proveAndJoin() {
  for (let tries = 1; ; tries += 1) {
    try {
      return await line.join(await prove(page.proofPlace(), line.challenge));
    } catch (error) {
      if (error.code !== "challenge_required" || tries >= PROOF_TRIES) throw error;
    }
  }
}

async function enter() {
  await act(async () => hear(await line.enter()));
}

async function leave() {
  const inside = model.place?.state === "inside";
  const sure = await page.confirmLeaving(
    inside
      ? "To come back you would have to join again. Tickets that you hold are kept until their time is up."
      : "Your place goes to those behind you. To come back you would have to join again.",
  );
  if (!sure) return;
  await act(async () => {
    keep("localStorage", GIVEN_UP, "1");
    live.stop();
    await line.leave();
    model.place = null;
    hearServing(await line.serving());
  });
}

async function act(work) {
  if (model.busy) return;
  model.busy = true;
  model.note = "";
  render();
  try {
    await work();
  } catch (error) {
    model.note = error.message;
    askIn(error.retryMs || RETRY_MS[0]);
  } finally {
    model.busy = false;
    render();
  }
}

// ---- showing

function nameOfView() {
  const { place, serving, joining } = model;
  if (model.unknown) return "unknown";
  if (!serving) return model.failure ? "failed" : "loading";
  if (serving.state === "off") return "off";
  if (place) return place.state === "pre-queue" && serving.drawn ? "drawing" : place.state;
  if (joining) return { proof: "joining", busy: "busy", refused: "refused" }[joining];
  if (model.shut) return model.shut;
  if (serving.state === "planned") return "early";
  return mayJoin() ? "left" : serving.state;
}

const LABELS = {
  early: "You can join in",
  "pre-queue": "The order is drawn in",
  called: "Time to enter",
  inside: "Time to shop",
  busy: "The next try is in",
};

function render() {
  const { place, serving } = model;
  const name = nameOfView();
  page.view(name, { lead: leadOf(name), note: noteOf(name), busy: model.busy });
  if (!serving) return;
  const shown = place || serving;
  page.banner({
    offline: Boolean(place) && !navigator.onLine,
    paused: place ? place.paused : serving.state === "paused",
    soldOut: shown.sold_out && !["inside", "done", "closed"].includes(name),
  });
  page.offer(shown);
  if (name === "waiting") page.place({ number: place.number, ahead: place.ahead, way: way(place) });
  if (place) {
    page.facts({
      eta: place.eta, chance: place.chance,
      turn: turnOf(place),
    });
  }
  page.say(sentence(name), name !== spoken);
  spoken = name;
  tick();
}

let spoken = "";

function turnOf({ state, eta, sold_out: soldOut }) {
  if (state === "pre-queue") return "after the opening";
  if (soldOut) return "if tickets come back";
  return eta ? "" : "cannot be told yet";
}

function leadOf(name) {
  if (name === "failed") return `${model.failure} This page tries again by itself.`;
  if (name === "busy") return `${model.refusal}. This page tries again by itself.`.replace("..", ".");
  if (name === "refused") return model.refusal;
  if (name === "closed" && model.place) return "Nobody is called any more. Your turn had not come.";
  return "";
}

function noteOf(name) {
  if (model.note) return model.note;
  if (["inside", "off"].includes(name)) return `The address of this sale: ${location.origin}${line.path}`;
  return "";
}

function sentence(name) {
  const { place } = model;
  if (name !== "waiting") return document.getElementById("title").textContent;
  const turn = place.eta ? ` Your turn is in ${words.about(place.eta.likely_ms)}.` : "";
  return `You are in line. ${words.people(place.ahead)} ahead of you.${turn}`;
}

/** How much of the way is behind: 0 where this browser has first seen the place. */
function way({ ahead }) {
  const first = Math.max(Number(kept("sessionStorage", FIRST_AHEAD)) || 0, ahead, 1);
  keep("sessionStorage", FIRST_AHEAD, String(first));
  return 1 - ahead / first;
}

function tick() {
  const name = document.body.dataset.view;
  const frozen = Boolean(model.place?.paused) && ["called", "inside"].includes(name);
  const left = frozen ? model.deadline : Math.max(0, model.until - Date.now());
  if (LABELS[name]) page.countdown(LABELS[name], left, frozen);
  page.title({
    waiting: model.place && `${words.count(model.place.ahead)} ahead`,
    called: `▶ Your turn! ${words.clock(left)}`,
    inside: `${words.clock(left)} left`,
    early: `Join in ${words.clock(left)}`,
    "pre-queue": `Draw in ${words.clock(left)}`,
  }[name] || "");
  if (model.joining === "busy" && Date.now() >= model.retryAt) join();
  const over = left === 0 && model.deadline > 0 && LABELS[name] && name !== "busy";
  if (over && !frozen) {
    model.deadline = 0;
    askIn(500 + Math.random() * 1_500);
  }
}

// ---- begin

page.on({
  enter, leave, join,
  retry: () => {
    if (model.joining) join();
    else ask();
  },
  sound: async () => {
    await signals.toggleSound();
    page.signals(signals, "");
  },
  notify: async () => page.signals(signals, await signals.toggleNotify()),
});
page.onDrawOpened(showDraw);
setInterval(tick, TICK_MS);
addEventListener("online", ask);
addEventListener("offline", () => {
  page.connection("offline");
  render();
});
addEventListener("storage", ({ key }) => {
  if (key === GIVEN_UP || key === "onsale.guest") ask(); // another tab has left, or has a new guest
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
});
ask();
