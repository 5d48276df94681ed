/** Says in one line what is known of an entry of the history. */

import { FATES, reasonAsLabel, reasonInWords } from "./fates.js";
import { milliseconds } from "./format.js";

/** Return the facts of one entry. */
export function factsOf(entry, nowS) {
  const ago = `${Math.max(0, nowS - entry.atS).toFixed(1)} s ago`;
  if (entry.fate === "missing") {
    const isOne = entry.firstFrame === entry.frame;
    const which = isOne ? `frame ${entry.frame}` : `frames ${entry.firstFrame} to ${entry.frame}`;
    return [which, `${FATES.missing.word}: ${FATES.missing.means}`, ago].join(" · ");
  }
  if (entry.fate === "away") {
    const seconds = (entry.record.silent_ms / 1000).toFixed(1);
    return [`no frames for ${seconds} s`, reasonInWords(entry.record.reason), ago].join(" · ");
  }
  return [`frame ${entry.frame}`, fateOf(entry.record), ...timesOf(entry.record), ago].join(" · ");
}

function fateOf(record) {
  if (!record.reason) return record.status;
  return `${record.status}, ${reasonAsLabel(record.reason)}: ${reasonInWords(record.reason)}${blameOf(record.blame)}`;
}

/** Return which stage it was, where the record says so. */
function blameOf(blame) {
  if (!blame) return "";
  const did = blame.part === "wait" ? "was waited for" : "took";
  return ` (${blame.stage} ${did} ${milliseconds(blame.took_ms)} ms, usually ${milliseconds(blame.usual_ms)})`;
}

function timesOf(record) {
  const facts = [];
  if (record.age_ms !== undefined) {
    const slackMs = (record.due_s - record.published_s) * 1000;
    facts.push(`${milliseconds(record.age_ms)} ms old, ${milliseconds(Math.max(0, slackMs))} ms to spare`);
  } else {
    facts.push(`at ${record.pts_s.toFixed(2)} s`);
  }
  if (record.status !== "blind") facts.push(`${record.tracks.length} objects`);
  if (record.health) facts.push(`health ${record.health}`);
  return facts;
}
