/** Decides the one thing that must be said first, from what is known. Pure, so that it can be read and tried easily. */

import { reasonInWords } from "./fates.js";

/** Records may stay away for so long; heartbeats come twice a second. */
const QUIET_S = 1;
/** Or for so many usual steps, where frames are far between. */
const UNUSUAL = 3;
/** Nothing at all for so long, not even the numbers that come each second: it is the connection. */
const BROKEN_S = 2.5;
const EMPTY = "That does not mean that the scene is empty.";

const NONE = { kind: "none", title: "", text: "", sinceS: null, isOld: false };

/**
 * Return {kind, title, text, sinceS, isOld}: `kind` is `none`, `wait`, `paused`, `blind`, `stalled`, `over` or `gone`;
 * `isOld`: what the page shows is not how things are.
 *
 * @param {object} link {name, why, retryAtS} of the connection.
 * @param {object} stream what came, with the times at which it came, seconds on the reader's clock.
 * @param {number} nowS on the reader's clock.
 */
export function noticeOf(link, stream, nowS) {
  if (link.name === "gone") return { kind: "gone", title: "No connection", text: gone(link), sinceS: link.sinceS, isOld: true };
  if (link.name === "over") {
    const text = "The program ended it. This page goes on when it runs again.";
    return { kind: "over", title: "The run is over", text, sinceS: link.sinceS, isOld: true };
  }
  if (link.name !== "live") return { ...NONE, kind: "wait" };
  return silence(stream, nowS) ?? blindness(stream, nowS) ?? paused(stream) ?? NONE;
}

function gone({ why }) {
  return `${why[0].toUpperCase()}${why.slice(1)}. What is shown is old.`;
}

function silence({ recordAtS, nowAtS, stepS }, nowS) {
  if (recordAtS === null || nowS - recordAtS <= Math.max(QUIET_S, UNUSUAL * (stepS ?? 0))) return null;
  const isBroken = nowS - nowAtS > BROKEN_S;
  const title = isBroken ? "Nothing comes any more" : "No answers";
  const what = isBroken ? "The server or the way to it is stuck." : "The server is there, but the pipeline says nothing.";
  return { kind: "stalled", title, text: `${what} What is shown is old.`, sinceS: recordAtS, isOld: true };
}

function blindness({ last, blindSinceS }, nowS) {
  if (!last || last.status !== "blind" || last.reason === "paused") return null;
  const why = reasonInWords(last.reason);
  if (last.frame === null) {
    const sinceS = nowS - last.silent_ms / 1000;
    return { kind: "blind", title: `Blind: ${why}`, text: `The picture is old. ${EMPTY}`, sinceS, isOld: true };
  }
  return { kind: "blind", title: `Blind: ${why}`, text: EMPTY, sinceS: blindSinceS, isOld: false };
}

function paused({ last, now }) {
  if (last?.reason !== "paused" && now?.settings?.paused !== true) return null;
  return { kind: "paused", title: "Paused", text: `Nothing is detected. ${EMPTY}`, sinceS: null, isOld: false };
}
