/** The strip of the last half minute: draws itself, and lets a frame be chosen by pointer and keyboard. */

import { palette, prepare } from "./canvas.js";
import { attribute, byId, make, write } from "./dom.js";
import { FATES } from "./fates.js";
import { COLOURS, drawStrip, layOut, momentAt, steady } from "./ticks.js";
import { factsOf } from "./words.js";

/** Between drawings; the latter where the reader asked for little motion. */
const SMOOTH_MS = 100;
const CALM_MS = 1000;
const PAGE_S = 1;

/** While a frame is chosen the strip stands still, so that it does not run away under the pointer. */
export class Strip {
  #canvas = byId("strip");
  #facts = byId("strip-facts");
  #stream;
  #counts = new Map();
  #colours;
  #chosen = null;
  /** The entry that a finger or a pen chose: it stays chosen when they are gone. */
  #tapped = null;
  #heldS = null;
  #drawnAtMs = -Infinity;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(stream) {
    this.#stream = stream;
    this.recolour();
    this.#makeLegend();
    this.#listen();
    requestAnimationFrame((atMs) => this.#tick(atMs));
  }

  /** Without hovering, a browser says pointerdown, pointerup, pointerleave, focus, click, in this order. */
  #listen() {
    this.#canvas.addEventListener("pointermove", (event) => (event.buttons || !this.#tapped) && this.#point(event));
    this.#canvas.addEventListener("pointerdown", (event) => this.#press(event));
    this.#canvas.addEventListener("pointerup", (event) => this.#lift(event));
    this.#canvas.addEventListener("pointercancel", () => this.#tapped ? this.#choose(this.#tapped) : this.#release());
    this.#canvas.addEventListener("pointerleave", () => this.#tapped ?? this.#release());
    document.addEventListener("click", (event) => this.#tapped && event.target !== this.#canvas && this.#release());
    this.#canvas.addEventListener("focus", () => this.#chosen ?? this.#choose(this.#entries().at(-1)));
    this.#canvas.addEventListener("blur", () => this.#release());
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Read the colours again. */
  recolour() {
    this.#colours = palette(COLOURS);
    this.#drawnAtMs = -Infinity;
  }

  #entries() {
    return this.#stream.history.entries;
  }

  #nowS() {
    return this.#stream.history.nowS(performance.now() / 1000);
  }

  #tick(atMs) {
    if (atMs - this.#drawnAtMs >= (this.#calm.matches ? CALM_MS : SMOOTH_MS)) {
      this.#drawnAtMs = atMs;
      this.#draw();
    }
    requestAnimationFrame((nextMs) => this.#tick(nextMs));
  }

  #draw() {
    if (this.#chosen && !this.#entries().includes(this.#chosen)) this.#release();
    const rightS = steady(this.#heldS ?? this.#nowS(), this.#place());
    const deadlineMs = this.#stream.now?.report.deadline_ms ?? null;
    const [chosen, isHeld] = [this.#chosen, this.#heldS !== null];
    const scene = { entries: this.#entries(), rightS, deadlineMs, chosen, isHeld, colours: this.#colours };
    drawStrip(prepare(this.#canvas), scene);
    this.#count();
    if (!this.#chosen) write(this.#facts, "Choose a tick to see what became of its frame.");
  }

  /** Write how many frames of each fate there are, beside the legend's signs. */
  #count() {
    const sums = Object.fromEntries(Object.keys(FATES).map((fate) => [fate, 0]));
    for (const entry of this.#entries()) {
      sums[entry.fate] += entry.frame === null ? 0 : entry.frame - entry.firstFrame + 1;
    }
    for (const [fate, element] of this.#counts) write(element, String(sums[fate]));
  }

  #makeLegend() {
    for (const [fate, { word, means }] of Object.entries(FATES)) {
      const sign = make("span", `swatch ${fate}`);
      sign.setAttribute("aria-hidden", "true");
      const item = make("li", "", sign, make("span", "", word));
      item.title = means;
      if (fate !== "away") {
        this.#counts.set(fate, make("b", ""));
        item.append(this.#counts.get(fate));
      }
      byId("legend").append(item);
    }
  }

  #press(event) {
    if (event.pointerType === "mouse") this.#tapped = null;
    this.#point(event);
  }

  #lift(event) {
    if (event.pointerType !== "mouse") this.#tapped = this.#chosen;
  }

  #point(event) {
    this.#choose(this.#nearest(momentAt(event.offsetX, this.#heldS ?? this.#nowS(), this.#place())));
  }

  #place() {
    return layOut(this.#canvas.clientWidth, this.#canvas.clientHeight);
  }

  #nearest(atS) {
    let best;
    let bestS = Infinity;
    for (const entry of this.#entries()) {
      const apartS = distance(entry, atS);
      if (apartS < bestS) [best, bestS] = [entry, apartS];
    }
    return best;
  }

  #key(event) {
    const entries = this.#entries();
    const at = this.#chosen ? entries.indexOf(this.#chosen) : entries.length - 1;
    const bySecond = (step) => entries.indexOf(this.#nearest(entries[at].atS + step * PAGE_S));
    const goals = {
      ArrowLeft: () => at - 1, ArrowDown: () => at - 1, ArrowRight: () => at + 1, ArrowUp: () => at + 1,
      PageDown: () => bySecond(-1), PageUp: () => bySecond(1), Home: () => 0, End: () => entries.length - 1,
    };
    if (event.key === "Escape") this.#release();
    else if (!(event.key in goals) || entries.length === 0) return;
    else {
      this.#tapped = null;
      this.#choose(entries[Math.max(0, Math.min(entries.length - 1, goals[event.key]()))]);
    }
    event.preventDefault();
  }

  #choose(entry) {
    if (!entry) return;
    this.#heldS ??= this.#nowS();
    this.#chosen = entry;
    const facts = factsOf(entry, this.#nowS());
    write(this.#facts, facts);
    attribute(this.#canvas, "aria-valuemax", this.#entries().length - 1);
    attribute(this.#canvas, "aria-valuenow", this.#entries().indexOf(entry));
    attribute(this.#canvas, "aria-valuetext", facts);
    this.#draw();
  }

  #release() {
    this.#chosen = this.#tapped = null;
    this.#heldS = null;
    attribute(this.#canvas, "aria-valuetext", "no frame chosen");
  }
}

/** Return how far an entry is from a moment, seconds. Frames without a record fill the time between their neighbours. */
function distance(entry, atS) {
  const frames = entry.fate === "missing" ? entry.frame - entry.firstFrame + 1 : 0;
  const marginS = frames ? (entry.atS - entry.fromS) / (frames + 1) / 2 : 0;
  return Math.max(0, entry.fromS + marginS - atS, atS - entry.atS + marginS);
}
