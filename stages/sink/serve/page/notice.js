/** Decides the one thing that must be said first, from what is known. Pure, so that it can be read and tried easily. */

import { reasonInWords } from "./fates.js";
import { isIdle } from "./stream.js";

/** Records may stay away for so long; heartbeats come twice a second. */
const QUIET_S = 1;
/** Or for so many usual steps, where frames are far between. */
const UNUSUAL = 3;
/** Nothing at all for so long, not even the numbers that come each second: it is the connection. */
const BROKEN_S = 2.5;
const EMPTY = "That does not mean that the scene is empty.";

const NONE = { kind: "none", title: "", text: "", sinceS: null, isOld: false };

/**
 * Return {kind, title, text, sinceS, isOld}: `kind` is `none`, `wait`, `starting`, `paused`, `blind`, `stalled`,
 * `locked`, `over` or `gone`; `isOld`: what the page shows is not how things are.
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
  if (link.name === "locked") {
    const text = "This server wants a token. Try now, and you are asked for it.";
    return { kind: "locked", title: "Locked", text, sinceS: null, isOld: stream.last !== null };
  }
  if (link.name !== "live") return { ...NONE, kind: "wait" };
  return idleness(stream, nowS) ?? silence(stream, nowS) ?? blindness(stream, nowS) ?? paused(stream) ?? NONE;
}

function gone({ why }) {
  return `${why[0].toUpperCase()}${why.slice(1)}. What is shown is old.`;
}

/** Return why no records are due at all, as long as the server goes on saying so. */
function idleness(stream, nowS) {
  if (!isIdle(stream.now) || nowS - stream.nowAtS > BROKEN_S) return null;
  return starting(stream) ?? paused(stream);
}

/** Say what is being opened; a record that came after the numbers proves that all of it is open by now. */
function starting({ last, now, nowAtS, recordAtS }) {
  if (now.report.ready_s !== null || recordAtS > nowAtS) return null;
  const isOld = last !== null;
  const text = `${waitedFor(now.report)}${isOld ? " What is shown is of an earlier run." : ""}`;
  return { kind: "starting", title: "The run is starting", text, sinceS: nowAtS - now.report.duration_s, isOld };
}

/** Parts describe themselves once they are open. */
function waitedFor({ detector, source }) {
  const parts = [];
  if (detector && !detector.provider) parts.push("the model");
  if (Object.keys(source.details).length === 0) parts.push("the source");
  return parts.length ? `Waiting for ${parts.join(" and ")}.` : "Model and source are open; the rest follows.";
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
