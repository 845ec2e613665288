// The interface of the waiting room: the guest, the requests, the live connection.

import { keep, kept } from "/assets/wait-kept.js";

const GUEST = "onsale.guest";
const TIMEOUT_MS = 15_000;
const LIVE_RETRY_MS = [2_000, 60_000]; // first and longest pause before connecting anew
const POLICY_VIOLATION = 1008; // open on too many devices: asking from time to time will do

/** What the interface refuses: `code` and `detail` of its problem document. */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || `The answer was ${status}.`);
    this.status = status;
    this.code = document.code || "";
    this.reason = document.reason || "";
    this.retryMs = Number(retryAfter) * 1000 || 0;
  }
}

/** No answer at all. */
export class Unreachable extends Error {}

const hex = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

async function send(method, path, { body, token, cache = "no-store" } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = hex();
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, headers, cache, body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch {
    throw new Unreachable("There is no connection.");
  }
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    // A proxy's own page, say: the status tells enough.
  }
  if (!response.ok) throw new Problem(response.status, answer, response.headers.get("Retry-After"));
  return answer;
}

/** One guest for all tabs: two that open together must not become two buyers. */
const together = (work) =>
  navigator.locks ? navigator.locks.request(GUEST, work) : work();

function known() {
  try {
    const guest = JSON.parse(kept("localStorage", GUEST));
    return guest?.token && guest.until > Date.now() ? guest : here;
  } catch {
    return here; // somebody has written nonsense there
  }
}

let here = null; // where nothing can be stored, the guest lasts as long as the page

async function guest() {
  return together(async () => {
    const before = known();
    if (before) return before;
    const made = await send("POST", "/v1/guests");
    here = { token: made.token, until: Date.now() + made.expires_in_ms };
    keep("localStorage", GUEST, JSON.stringify(here));
    return here;
  });
}

function forget(token) {
  if (here?.token === token) here = null;
  if (known()?.token === token) keep("localStorage", GUEST, null);
}

export class Line {
  constructor(occurrence) {
    this.path = `/v1/occurrences/${occurrence}`;
  }

  occurrence = () => send("GET", this.path);
  // the same for everybody: a cache on the way may answer, this browser's own would only be late
  serving = () => send("GET", `${this.path}/queue/serving`, { cache: "no-cache" });
  draw = () => send("GET", `${this.path}/queue/draw`, { cache: "no-cache" });
  status = () => this.#mine("GET", "/queue");
  challenge = () => this.#mine("GET", "/queue/challenge");
  join = (challenge) => this.#mine("POST", "/queue", { challenge });
  enter = () => this.#mine("POST", "/queue/enter");
  leave = () => this.#mine("DELETE", "/queue");
  ticket = () => this.#mine("POST", "/queue/ticket");

  async #mine(method, path, body) {
    const { token } = await guest();
    try {
      return await send(method, this.path + path, { body, token });
    } catch (error) {
      if (error.status !== 401) throw error;
      forget(token); // it has expired, or the installation's secret is another
      return send(method, this.path + path, { body, token: (await guest()).token });
    }
  }
}

/** The live connection: tells `said` what it hears and `changed` whether it is open. */
export class Live {
  #socket = null;
  #timer = 0;
  #pause = LIVE_RETRY_MS[0];
  #wanted = false;

  constructor(line, { said, changed }) {
    this.line = line;
    this.said = said;
    this.changed = changed;
    this.open = false;
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
    this.#set(false);
  }

  async #connect() {
    let ticket;
    try {
      ({ ticket } = await this.line.ticket());
    } catch (error) {
      this.#again(error.retryMs);
      return;
    }
    if (!this.#wanted) return;
    const address = new URL(`${this.line.path}/queue/live`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("ticket", ticket);
    const socket = (this.#socket = new WebSocket(address));
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#pause = LIVE_RETRY_MS[0];
      this.#set(true);
      this.said(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      this.#set(false);
      if (code === POLICY_VIOLATION) this.#pause = LIVE_RETRY_MS[1];
      this.#again();
    };
  }

  #again(least = 0) {
    if (!this.#wanted) return;
    // Spread widely: after a failure of the network everybody comes back at once.
    this.#timer = setTimeout(() => this.#connect(), least + this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(this.#pause * 2, LIVE_RETRY_MS[1]);
  }

  #set(open) {
    if (open === this.open) return;
    this.open = open;
    this.changed(open);
  }
}
