/** Shows the newest picture with the boxes of its own record. */

import { drawTracks } from "./boxes.js";
import { prepare } from "./canvas.js";
import { attribute, byId, write } from "./dom.js";
import { fixed } from "./format.js";
import { previewFromBuffer } from "./preview.js";
import { momentOf } from "./stream.js";

const RATE_FPS = 12;
const RATE_OVER_S = 3;

/** The picture of one stream. Only one JPEG is decoded at a time; of those that come meanwhile, the newest is next. */
export class Picture {
  #canvas = byId("picture");
  #screen = byId("screen");
  #facts = byId("picture-facts");
  #nothing = byId("no-picture");
  #stream;
  #shown = { boxes: true, labels: true, trails: false };
  #waiting = null;
  #isDecoding = false;
  #bitmap = null;
  #record = null;
  #drawnAtS = [];
  #why = "";
  #isOld = false;

  constructor(stream) {
    this.#stream = stream;
    for (const name of Object.keys(this.#shown)) {
      const button = byId(`show-${name}`);
      button.addEventListener("click", () => {
        this.#shown[name] = !this.#shown[name];
        attribute(button, "aria-pressed", this.#shown[name]);
        this.draw();
      });
    }
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
  }

  /** Return what the preview should send: never more than the screen can show. */
  wanted() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.min(1920, Math.max(320, Math.ceil((this.#screen.clientWidth * ratio) / 160) * 160));
    return { rate: RATE_FPS, width };
  }

  /** Take a message of the preview. */
  take(buffer) {
    this.#waiting = buffer;
    this.#why = "";
    if (!this.#isDecoding) this.#decode();
  }

  /** Say why no pictures come. */
  lost(why) {
    this.#why = why;
    this.#drawnAtS = [];
    this.#describe();
  }

  /** Say whether the picture is how things were, and no more: boxes would claim to know. */
  setOld(isOld) {
    if (isOld === this.#isOld) return;
    this.#isOld = isOld;
    this.#drawnAtS = [];
    this.draw();
  }

  async #decode() {
    this.#isDecoding = true;
    try {
      while (this.#waiting) {
        const buffer = this.#waiting;
        this.#waiting = null;
        const { record, jpeg } = previewFromBuffer(buffer);
        const bitmap = await createImageBitmap(jpeg);
        this.#bitmap?.close();
        this.#bitmap = bitmap;
        this.#record = record;
        this.#draws(performance.now() / 1000);
        this.draw();
      }
    } catch {
      this.#why = "a picture could not be read";
      this.#describe();
    } finally {
      this.#isDecoding = false;
    }
  }

  #draws(atS) {
    this.#drawnAtS.push(atS);
    while (this.#drawnAtS[0] < atS - RATE_OVER_S) this.#drawnAtS.shift();
  }

  /** Draw the picture again, as it is. */
  draw() {
    if (!this.#bitmap) return;
    const record = this.#record;
    const sourceWidth = record.width ?? this.#bitmap.width;
    const sourceHeight = record.height ?? this.#bitmap.height;
    this.#screen.style.setProperty("--ratio", String(sourceWidth / sourceHeight));
    const { context, width, height } = prepare(this.#canvas);
    context.drawImage(this.#bitmap, 0, 0, width, height);
    if (record.status !== "blind" && !this.#isOld) {
      drawTracks(context, record, this.#stream.trails, momentOf(record), width / sourceWidth, this.#shown);
    }
    this.#nothing.hidden = true;
    attribute(this.#screen, "data-status", record.status);
    this.#describe();
  }

  #describe() {
    const record = this.#record;
    if (!record) {
      write(this.#nothing, this.#why ? `No picture: ${this.#why}` : "No picture yet");
      return;
    }
    const things = record.status === "blind" ? "nothing known" : `${record.tracks.length} objects`;
    const state = this.#isOld ? "old picture" : `${record.status} · ${things}`;
    const rate = this.#isOld ? "" : `${fixed(this.#drawnAtS.length / RATE_OVER_S, 0)} pictures/s`;
    attribute(this.#canvas, "aria-label", `Picture of ${record.stream}, ${state}`);
    const parts = [`frame ${record.frame}`, state, this.#why || rate, `${record.width}×${record.height}`];
    write(this.#facts, parts.filter(Boolean).join(" · "));
  }
}
