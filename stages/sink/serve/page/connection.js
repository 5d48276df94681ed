/** Keeps the page connected: asks first, then opens the websockets, and comes back by itself when they are gone. */

import { complaint } from "./access.js";

const FIRST_MS = 500;
const MOST_MS = 10_000;
/** A connection that lasted so long was a good one: the next wait is short again. */
const SETTLED_MS = 5000;
/** Close codes of RFC 6455 section 7.4.1 and its registry. */
const GOING_AWAY = 1001;
const TRY_LATER = 1013;

/**
 * The three websockets of one server.
 *
 * Its state is `connecting`, `live`, `locked` (a token is needed), `over` (the run ended) or `gone`. Results and
 * numbers come and go together; the preview on its own, because the server may refuse it to one viewer too many.
 *
 * @param {object} told called with what happens: `state(name, {why, retryAt})`, `record(record)`, `now(now)`,
 *   `preview(buffer)`, `previewLost(why)`. Times are of performance.now().
 */
export class Connection {
  #access;
  #told;
  #sockets = new Map();
  #timers = new Map();
  #waitMs = FIRST_MS;
  #attempt = 0;
  #isWatching = true;
  #preview = {};

  constructor(access, told) {
    this.#access = access;
    this.#told = told;
    this.state = "connecting";
  }

  /** Connect now, whatever was planned. */
  async connect() {
    const attempt = ++this.#attempt;
    this.#closeAll();
    let response;
    try {
      response = await this.#access.request("report");
      if (attempt !== this.#attempt) return;
      if (response.status === 401) {
        this.#become("locked", {});
        return;
      }
      if (!response.ok) throw new Error(await complaint(response));
    } catch (error) {
      if (attempt === this.#attempt) this.#lost(response ? error.message : "nobody answers at this address");
      return;
    }
    this.#openEssential("now", (data) => this.#told.now(JSON.parse(data)));
    if (this.#isWatching) this.#openWatched();
  }

  /** Set what the preview asks for: pictures a second and pixels across. */
  wantPreview(query) {
    const changed = JSON.stringify(query) !== JSON.stringify(this.#preview);
    this.#preview = query;
    if (changed && this.#sockets.has("preview")) this.#openPreview();
  }

  /** Say whether anybody looks. A page that nobody sees gets no pictures and no records, only the numbers. */
  watch(isWatching) {
    if (isWatching === this.#isWatching) return;
    this.#isWatching = isWatching;
    if (!isWatching) {
      this.#close("results");
      this.#close("preview");
    } else if (this.#sockets.has("now")) {
      this.#openWatched();
    } else if (this.state === "gone" || this.state === "over") {
      this.connect();
    }
  }

  #openWatched() {
    this.#openEssential("results", (data) => this.#told.record(JSON.parse(data)));
    this.#openPreview();
  }

  /** Open a websocket without which the page is not connected. */
  #openEssential(path, take) {
    this.#open(path, {}, take, (code) => {
      this.#lost(code === TRY_LATER ? "the server has no place for another page" : "the connection broke", code);
    });
  }

  #openPreview(waitMs = FIRST_MS) {
    const openedAt = performance.now();
    this.#open("preview", this.#preview, this.#told.preview, (code) => {
      const lasted = performance.now() - openedAt > SETTLED_MS;
      const nextMs = lasted ? FIRST_MS : Math.min(waitMs * 2, MOST_MS);
      this.#told.previewLost(code === TRY_LATER ? "no place for another viewer" : "no pictures come");
      this.#later("preview", nextMs, () => this.#openPreview(nextMs));
    });
  }

  #open(path, query, take, lost) {
    this.#close(path);
    const socket = this.#access.socket(path, query);
    this.#sockets.set(path, socket);
    const isMine = () => this.#sockets.get(path) === socket;
    socket.onopen = () => {
      if (isMine() && path === "now") this.#connected();
    };
    socket.onmessage = (message) => {
      if (isMine()) take(message.data);
    };
    socket.onclose = (closing) => {
      if (isMine()) lost(closing.code);
    };
  }

  #connected() {
    this.#become("live", {});
    this.#later("settled", SETTLED_MS, () => (this.#waitMs = FIRST_MS));
  }

  #lost(why, code) {
    this.#closeAll();
    const waitMs = this.#waitMs * (0.8 + 0.4 * Math.random());
    this.#waitMs = Math.min(this.#waitMs * 2, MOST_MS);
    const name = code === GOING_AWAY || (this.state === "over" && code === undefined) ? "over" : "gone";
    this.#become(name, { why, retryAt: performance.now() + waitMs });
    this.#later("retry", waitMs, () => this.connect());
  }

  #become(name, details) {
    this.state = name;
    this.#told.state(name, details);
  }

  #later(name, waitMs, act) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(act, waitMs));
  }

  #close(path) {
    const socket = this.#sockets.get(path);
    this.#sockets.delete(path);
    if (path === "preview") clearTimeout(this.#timers.get("preview"));
    if (socket) socket.close();
  }

  #closeAll() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const path of [...this.#sockets.keys()]) this.#close(path);
  }
}
