/** The few numbers that say how it goes now. */

import { attribute, byId, make, write } from "./dom.js";
import { NONE, count, fixed, milliseconds, percent } from "./format.js";

const FRESH_ENOUGH = 0.9;
const RATE_APART = 0.9;

/** Four tiles, each a value, its unit, and one line that it is to be read against. */
export class Numbers {
  #tiles = new Map();

  constructor() {
    for (const [name, label, unit] of [
      ["fresh", "Fresh", "%"],
      ["age", "Age p50 / p99", "ms"],
      ["rate", "Frames in / out", "/s"],
      ["missed", "Missed", ""],
    ]) {
      const parts = { value: make("b"), note: make("span", "tile-note") };
      const tile = make("div", "tile", make("h2", "", label), make("p", "", parts.value, make("span", "unit", unit)), parts.note);
      this.#tiles.set(name, { ...parts, tile });
      byId("tiles").append(tile);
      this.#write(name, NONE, "nothing yet", null);
    }
  }

  /** Show a message of `/now`. */
  show({ report, window }) {
    const { frames } = report;
    const answered = frames.fresh + frames.forecast + frames.blind;
    const share = window.fresh_share;
    this.#write("fresh", percent(share), `${percent(answered ? frames.fresh / answered : NaN)} % since the start`,
      Number.isFinite(share) && share < FRESH_ENOUGH ? "uneasy" : null);
    const age = window.age_ms ?? {};
    const due = report.deadline_ms ? `deadline ${Math.round(report.deadline_ms)} ms` : "lossless: no deadline";
    this.#write("age", `${milliseconds(age.p50)} / ${milliseconds(age.p99)}`, due, null);
    const isBehind = window.fps_out < window.fps_in * RATE_APART;
    this.#write("rate", `${fixed(window.fps_in)} / ${fixed(window.fps_out)}`, `${count(frames.captured)} in all`,
      isBehind ? "uneasy" : null);
    const late = report.published_late ? `; ${report.published_late} published late` : "";
    this.#write("missed", count(frames.missed), `${count(window.missed)} in 5 s${late}`, missedKind(report, window));
  }

  #write(name, value, note, kind) {
    const parts = this.#tiles.get(name);
    write(parts.value, value);
    write(parts.note, note);
    attribute(parts.tile, "data-kind", kind);
  }
}

/** Every missed frame is one too many; those of long ago need no alarm. */
function missedKind({ frames, published_late: publishedLate }, window) {
  if (window.missed || publishedLate) return "bad";
  return frames.missed ? "uneasy" : null;
}
