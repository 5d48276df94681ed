/** All that the page knows of one stream. A page of several streams would have several of these. */

import { History } from "./history.js";
import { Trails } from "./trails.js";

/** Weight of the newest step in what is usual. */
const STEP_SHARE = 0.1;
const MOST_STEP_S = 5;

/** Takes what comes, and keeps what the views show. */
export class Stream {
  history = new History();
  trails = new Trails();
  /** The newest record, heartbeats included. */
  last = null;
  /** The newest record of a frame. */
  lastAnswer = null;
  /** The newest message of `/now`. */
  now = null;
  /**
   * When the newest record and the newest message of `/now` came, on the reader's clock. While no records are due,
   * the former goes on with the latter: what counts as silence begins when they are due again.
   */
  recordAtS = null;
  nowAtS = null;
  /** Since when every answer is blind, on the reader's clock; null while they are not. */
  blindSinceS = null;
  /** What usually lies between two records, seconds. */
  stepS = null;

  /** Take a record of `/results`. */
  takeRecord(record, arrivedS) {
    if (this.#isAnotherRun(record)) {
      this.history.clear();
      this.trails.clear();
      this.lastAnswer = null;
    }
    this.#pace(arrivedS);
    this.last = record;
    this.recordAtS = arrivedS;
    if (record.status !== "blind") this.blindSinceS = null;
    else this.blindSinceS ??= arrivedS;
    this.history.add(record, arrivedS);
    if (record.frame === null) return;
    this.lastAnswer = record;
    this.trails.add(record.tracks, momentOf(record));
  }

  /** Take a message of `/now`. */
  takeNow(now, arrivedS) {
    this.now = now;
    this.nowAtS = arrivedS;
    if (isIdle(now)) this.recordAtS = arrivedS;
  }

  /** Note that the connection is new. */
  connected(atS) {
    this.history.untie();
    this.recordAtS = this.nowAtS = atS;
  }

  /** Return the name of the stream, or null. */
  get name() {
    return this.last?.stream ?? this.now?.report.stream ?? null;
  }

  /** Return what a notice is made from. */
  situation() {
    const { last, now, nowAtS, blindSinceS, stepS } = this;
    return { last, now, nowAtS, blindSinceS, stepS };
  }

  #pace(arrivedS) {
    if (this.last === null || this.recordAtS === null) return;
    const stepS = arrivedS - this.recordAtS;
    this.stepS = this.stepS === null ? stepS : this.stepS + STEP_SHARE * (Math.min(stepS, MOST_STEP_S) - this.stepS);
  }

  #isAnotherRun(record) {
    if (this.last && record.stream !== this.last.stream) return true;
    return record.frame !== null && this.lastAnswer !== null && record.frame <= this.lastAnswer.frame;
  }
}

/** Return whether no records are due: the run is not open yet, or it is lossless, without heartbeats, and paused. */
export function isIdle(now) {
  if (now === null) return false;
  return now.report.ready_s === null || (now.report.mode === "lossless" && now.settings?.paused === true);
}

/** Return the moment that the boxes of a record are true for, seconds. */
export function momentOf(record) {
  return record.boxes_at_s ?? record.captured_s ?? record.pts_s;
}

/** Return how fast the middle of a track's box moves, pixels a second. */
export function speedOf(track) {
  const [vx1, vy1, vx2, vy2] = track.velocity;
  return Math.hypot((vx1 + vx2) / 2, (vy1 + vy2) / 2);
}
