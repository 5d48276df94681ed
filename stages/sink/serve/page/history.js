/** What became of the frames of the last half minute; older ones are forgotten, so days cost no memory. */

export const SPAN_S = 30;
/** Entries at most: 30 s of a camera with 240 frames a second, and some. */
const MOST = 8192;
/** The estimate of the shortest way here may grow by so much a second, so that it follows a change. */
const DRIFT = 0.01;

/**
 * An entry is {fate, firstFrame, frame, fromS, atS, record}: one frame, the frames without a record before one, or a
 * time without frames. Times are seconds on the server's clock; on the reader's own where records carry none.
 */
export class History {
  entries = [];
  #offsetS = null;
  #offsetAtS = 0;

  /**
   * Take a record.
   *
   * @param {object} record of a frame or a heartbeat.
   * @param {number} arrivedS when it came, on the reader's clock.
   */
  add(record, arrivedS) {
    const saidS = record.published_s ?? arrivedS;
    this.#tie(saidS, arrivedS);
    const before = this.entries.at(-1);
    if (record.frame === null) {
      this.#addAway(record, saidS, before);
    } else {
      this.#addFrame(record, record.captured_s ?? saidS, before);
    }
    this.#forget();
  }

  /** Return the moment that is now, seconds as in the entries. */
  nowS(readerS) {
    return this.#offsetS === null ? readerS : readerS - this.#offsetS;
  }

  /** Forget everything: another run begins. */
  clear() {
    this.entries = [];
    this.#offsetS = null;
  }

  /** Note that the way here may be another one from now on. */
  untie() {
    this.#offsetS = null;
  }

  #tie(saidS, arrivedS) {
    const offsetS = arrivedS - saidS;
    const allowedS = (this.#offsetS ?? Infinity) + DRIFT * (arrivedS - this.#offsetAtS);
    this.#offsetS = Math.min(offsetS, allowedS);
    this.#offsetAtS = arrivedS;
  }

  #addAway(record, saidS, before) {
    if (before?.fate === "away") {
      before.atS = saidS;
      before.record = record;
      return;
    }
    const fromS = Math.max(saidS - record.silent_ms / 1000, before?.atS ?? -Infinity);
    this.entries.push({ fate: "away", firstFrame: null, frame: null, fromS, atS: saidS, record });
  }

  #addFrame(record, atS, before) {
    if (record.gap && before && before.atS < atS) {
      const firstFrame = record.frame - record.gap;
      this.entries.push({ fate: "missing", firstFrame, frame: record.frame - 1, fromS: before.atS, atS, record: null });
    }
    this.entries.push({ fate: record.status, firstFrame: record.frame, frame: record.frame, fromS: atS, atS, record });
  }

  #forget() {
    const oldestS = this.entries.at(-1).atS - SPAN_S - 1;
    let old = Math.max(0, this.entries.length - MOST);
    while (this.entries[old].atS < oldestS) old += 1;
    if (old > 0) this.entries.splice(0, old);
  }
}
