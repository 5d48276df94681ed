/** The lists below: what is behind the numbers. */

import { byId, writeFacts, writeTable, write } from "./dom.js";
import { reasonAsLabel } from "./fates.js";
import { NONE, count, duration, fixed, milliseconds } from "./format.js";
import { speedOf } from "./stream.js";

const MOST_OBJECTS = 40;
const MOST_CHANGES = 8;

/** Show what a message of `/now` says beyond the tiles. */
export function showLists(now) {
  showReasons(now);
  showBlames(now.report);
  showBooks(now.report);
  showSource(now.report);
  showDetector(now.report);
  showSinks(now);
  showQueues(now);
  showChanges(now.report);
}

function showReasons({ report, window }) {
  const recent = window.reasons ?? {};
  const rows = Object.entries(report.reasons)
    .filter(([reason, inAll]) => inAll || recent[reason])
    .sort(([a, allA], [b, allB]) => (recent[b] ?? 0) - (recent[a] ?? 0) || allB - allA)
    .map(([reason, inAll]) => [reasonAsLabel(reason), count(recent[reason] ?? 0), count(inAll)]);
  writeTable(byId("reasons"), ["reason", "5 s", "in all"], rows, withoutReasons(report.frames));
}

/** Return what is to be said of frames that no reason was counted for. */
function withoutReasons({ fresh, forecast, blind, missed, undecodable, abandoned }) {
  const unanswered = missed + undecodable + abandoned;
  if (unanswered) return `No reasons are known; frames without an answer: ${count(unanswered)}.`;
  if (forecast + blind) return "No reasons are known.";
  return fresh ? "Every answer was fresh." : "No answers yet.";
}

function showBlames(report) {
  const rows = (report.blames ?? []).slice(0, 5).map((blame) => [
    `${blame.stage}, ${blame.part}`, count(blame.frames), milliseconds(blame.typical_ms), `+${milliseconds(blame.excess_ms)}`,
  ]);
  writeTable(byId("blames"), ["stage", "frames", "usual ms", "excess ms"], rows, "Nothing to blame yet.");
}

function showBooks({ frames, balanced, deadline_ms: deadlineMs, margin_ms: marginMs, mode }) {
  const settled = frames.captured - (sum(Object.values(frames)) - frames.captured);
  const facts = [["captured", count(frames.captured)]];
  for (const fate of ["fresh", "forecast", "blind", "missed", "undecodable", "abandoned"]) {
    const isBad = fate === "missed" && frames[fate] > 0;
    facts.push([`${fate}`, count(frames[fate]), isBad ? "bad" : undefined]);
  }
  facts.push(["being answered", count(Math.max(0, settled))]);
  facts.push(["books", balanced || settled > 0 ? "balance" : "DO NOT BALANCE", balanced || settled > 0 ? "good" : "bad"]);
  facts.push(["mode", mode]);
  if (deadlineMs) facts.push(["answered at the latest", `${milliseconds(deadlineMs - (marginMs ?? 0))} ms after capture`]);
  writeFacts(byId("books"), facts);
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function showSource({ source }) {
  const losses = Object.entries(source.losses).filter(([, times]) => times);
  const facts = [
    ["clock", source.clock ?? NONE],
    ["reconnects", count(source.reconnects)],
    ["lost", losses.length ? losses.map(([why, times]) => `${times} ${why}`).join(", ") : "never", losses.length ? "uneasy" : undefined],
    ["away", source.away === null ? duration(source.away_s) : `${duration(source.away_s)}, now: ${source.away}`, source.away === null ? undefined : "uneasy"],
    ["heartbeats", count(source.heartbeats)],
  ];
  writeFacts(byId("source"), [...facts, ...detailFacts(source.details)]);
}

/** Return the counters of a part of the run, without those that never counted anything. */
function detailFacts(details) {
  return Object.entries(details)
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => [name.replaceAll("_", " "), Number.isInteger(value) ? count(value) : String(value)]);
}

function showDetector({ detector, cpu_s: cpuS, peak_rss_mib: peakMib, duration_s: durationS, ...report }) {
  const facts = detector
    ? [["model", detector.model], ["provider", detector.provider || NONE], ["input", detector.input || NONE], ["runs", count(detector.runs)]]
    : [["model", "none"]];
  facts.push(["processor", `${fixed(durationS ? (100 * cpuS) / durationS : NaN, 0)} % of one core`]);
  facts.push(["memory, peak", `${count(peakMib)} MiB`]);
  facts.push(["ready after", duration(report.ready_s ?? NaN)], ["first answer after", duration(report.first_answer_s ?? NaN)]);
  writeFacts(byId("detector"), facts);
}

function showSinks({ report, viewers }) {
  const facts = Object.entries(report.sinks).flatMap(([name, sink]) => [
    [name, `${count(sink.written)} written, ${count(sink.skipped)} skipped`, "head"],
    ...(sink.failed ? [["failed", sink.failed, "bad"]] : []),
    ...detailFacts(sink.details),
  ]);
  writeFacts(byId("sinks"), [["pictures", `${viewers} looking`], ...facts]);
}

function showQueues({ report, depths }) {
  const rows = Object.entries(report.queues).map(([name, queue]) => [
    name.replace("->", "→"), `${depths?.[name] ?? 0} of ${queue.capacity}`, count(queue.peak), count(queue.dropped),
  ]);
  writeTable(byId("queues"), ["between", "waiting", "peak", "dropped"], rows, "No queues.");
}

function showChanges({ changes, changes_left_out: leftOut }) {
  const list = Array.isArray(changes) ? changes : [];
  byId("changes-panel").hidden = list.length === 0;
  const rows = list.slice(-MOST_CHANGES).reverse().map((change) => [
    duration(change.at_s), change.name, `${plain(change.before)} → ${plain(change.after)}`,
  ]);
  const older = list.length - rows.length + (leftOut ?? 0);
  write(byId("changes-note"), older ? `and ${older} before` : "");
  writeTable(byId("changes"), ["at", "what", "change"], rows, "");
}

function plain(value) {
  if (value === null) return "all";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** Show the objects of a record: what the picture shows, for those who cannot see it or want to read it. */
export function showObjects(record) {
  const tracks = record?.frame === null || !record ? [] : record.tracks;
  const rows = tracks.toSorted((a, b) => a.id - b.id).slice(0, MOST_OBJECTS).map((track) => [
    String(track.id), track.class, track.score.toFixed(2), fixed(speedOf(track), 0), milliseconds(track.measured_age_ms),
  ]);
  const nothing = record?.status === "blind" ? "Nothing is known: that does not mean that nothing is there." : "No objects.";
  writeTable(byId("objects"), ["track", "class", "score", "px/s", "measured ms ago"], rows, nothing);
  write(byId("objects-note"), tracks.length > MOST_OBJECTS ? `${MOST_OBJECTS} of ${tracks.length}` : "");
}
