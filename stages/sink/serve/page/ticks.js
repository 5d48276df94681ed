/** Draws the frames of the last half minute: a tick each, as high as its age, and its fate told by shape and row. */

import { FATES } from "./fates.js";
import { SPAN_S } from "./history.js";

const GUTTER_PX = 62;
const TOP_PX = 8;
const ROW_PX = 12;
const AXIS_PX = 16;
const ROWS = Object.values(FATES).filter((fate) => fate.row !== null);
const GRID_S = 5;
/** Above the deadline, so that the line can be seen. */
const HEADROOM = 1.18;
const MOST_PITCH_PX = 8;
/** Marks drawn for one gap; more of them are one block anyway. */
const MOST_MISSING = 400;

/** Colours that the style sheet must name. */
export const COLOURS = ["fresh", "forecast", "blind", "missing", "text", "dim", "line", "focus"];

/** Return where things lie in a strip of this size. */
export function layOut(width, height) {
  const ratio = window.devicePixelRatio || 1;
  return {
    snap: (x) => Math.round(x * ratio) / ratio, 
    left: GUTTER_PX,
    right: width - 8,
    top: TOP_PX,
    base: height - AXIS_PX - ROWS.length * ROW_PX - 3,
  };
}

/** Return a moment that moves on by whole pixels of the screen: ticks keep their distances while they move. */
export function steady(atS, place) {
  const stepS = SPAN_S / (place.right - place.left) / (window.devicePixelRatio || 1);
  return Math.floor(atS / stepS) * stepS;
}

/** Return the place across for a moment. */
export function xOf(atS, rightS, place) {
  return place.right - ((rightS - atS) / SPAN_S) * (place.right - place.left);
}

/** Return the moment at a place across. */
export function momentAt(x, rightS, place) {
  return rightS - ((place.right - x) / (place.right - place.left)) * SPAN_S;
}

/**
 * Draw all of it.
 *
 * @param {object[]} entries of the history.
 * @param {number} rightS the moment at the right edge.
 * @param {number | null} deadlineMs height of the line.
 */
export function drawStrip({ context, width, height }, { entries, rightS, deadlineMs, chosen, isHeld, colours }) {
  const place = layOut(width, height);
  const topMs = deadlineMs ? deadlineMs * HEADROOM : Math.max(50, ...entries.map((entry) => entry.record?.age_ms ?? 0));
  const pen = { context, place, colours, rightS, topMs, pitchPx: pitch(entries, place) };
  drawGrid(pen, height, isHeld ? "held" : "now");
  context.save();
  context.beginPath();
  context.rect(place.left, 0, place.right - place.left + 4, height);
  context.clip();
  for (const entry of entries) {
    if (entry.atS > rightS - SPAN_S - 1 && entry.fromS <= rightS) drawEntry(pen, entry);
  }
  if (chosen) drawChosen(pen, chosen);
  context.restore();
  if (deadlineMs) drawDeadline(pen, deadlineMs);
}

/** Return how far apart frames usually are. */
function pitch(entries, place) {
  const steps = [];
  for (let at = 1; at < entries.length; at += 1) {
    const [before, after] = [entries[at - 1], entries[at]];
    if (before.fate !== "away" && after.fate !== "away" && after.atS > before.atS) steps.push(after.atS - before.atS);
  }
  const stepS = steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0.05;
  return Math.min(MOST_PITCH_PX, (stepS / SPAN_S) * (place.right - place.left));
}

/** Return [left, width] of a tick around a place: neighbours touch where there is no room for a gap. */
function across({ place, pitchPx }, x) {
  const left = place.snap(x - pitchPx / 2);
  const width = place.snap(x + pitchPx / 2) - left;
  return [left, Math.max(place.snap(0.5), width > 2.5 ? width - 1 : width)];
}

function drawGrid({ context, place, colours, rightS }, height, rightWord) {
  const labelY = height - 4;
  context.font = `10px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "alphabetic";
  context.lineWidth = 1;
  context.strokeStyle = colours.line;
  context.fillStyle = colours.dim;
  context.beginPath();
  for (let beforeS = 0; beforeS <= SPAN_S; beforeS += GRID_S) {
    const x = Math.round(xOf(rightS - beforeS, rightS, place)) + 0.5;
    context.moveTo(x, place.top);
    context.lineTo(x, labelY - 10);
    context.textAlign = beforeS === 0 ? "right" : "center";
    context.fillText(beforeS === 0 ? rightWord : `−${beforeS} s`, x, labelY);
  }
  context.moveTo(place.left, place.base + 0.5);
  context.lineTo(place.right, place.base + 0.5);
  context.stroke();
  context.textAlign = "right";
  context.fillText("0", place.left - 6, place.base);
  for (const fate of ROWS) context.fillText(fate.word, place.left - 6, rowY(place, fate.row) + ROW_PX - 3);
}

function rowY(place, row) {
  return place.base + 3 + row * ROW_PX;
}

function drawEntry(pen, entry) {
  if (entry.fate === "away") drawAway(pen, entry);
  else if (entry.fate === "missing") drawMissing(pen, entry);
  else drawTick(pen, entry);
}

/** A full tick is fresh; a pale one with a cap is not: a thin cap and the first row, or a thick one and the second. */
function drawTick(pen, entry) {
  const { context, place, colours, rightS, topMs } = pen;
  const [x, tickPx] = across(pen, xOf(entry.atS, rightS, place));
  const ageMs = entry.record.age_ms ?? topMs / 2;
  const high = Math.max(2, (Math.min(ageMs, topMs) / topMs) * (place.base - place.top));
  context.fillStyle = colours[entry.fate];
  if (entry.fate === "fresh") {
    context.fillRect(x, place.base - high, tickPx, high);
    return;
  }
  context.globalAlpha = 0.34;
  context.fillRect(x, place.base - high, tickPx, high);
  context.globalAlpha = 1;
  context.fillRect(x, place.base - high, tickPx, entry.fate === "blind" ? 5 : 2.5);
  context.fillRect(x, rowY(place, FATES[entry.fate].row), tickPx, ROW_PX - 4);
}

function drawMissing(pen, entry) {
  const { context, place, colours, rightS } = pen;
  const [from, to] = [xOf(entry.fromS, rightS, place), xOf(entry.atS, rightS, place)];
  const frames = entry.frame - entry.firstFrame + 1;
  const marks = Math.min(frames, MOST_MISSING);
  context.fillStyle = colours.missing;
  for (let mark = 1; mark <= marks; mark += 1) {
    const [x, tickPx] = across(pen, from + ((to - from) * mark) / (marks + 1));
    context.fillRect(x, rowY(place, FATES.missing.row), Math.max(1.5, tickPx), ROW_PX - 4);
    for (let y = place.top; y < place.base; y += 6) context.fillRect(x, y, Math.max(1, tickPx * 0.6), 3);
  }
}

/** A hatched area: there is nothing to answer. */
function drawAway({ context, place, colours, rightS }, entry) {
  const [from, to] = [xOf(entry.fromS, rightS, place), xOf(entry.atS, rightS, place)];
  const height = place.base - place.top;
  context.save();
  context.beginPath();
  context.rect(from, place.top, to - from, height);
  context.clip();
  context.strokeStyle = colours.blind;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  const first = Math.floor((from - height) / 7) * 7;
  for (let x = first; x < to; x += 7) {
    context.moveTo(x, place.base);
    context.lineTo(x + height, place.top);
  }
  context.stroke();
  context.restore();
  context.fillStyle = colours.blind;
  context.fillRect(from, rowY(place, FATES.blind.row), to - from, ROW_PX - 4);
}

function drawDeadline({ context, place, colours, topMs }, deadlineMs) {
  const y = Math.round(place.base - (deadlineMs / topMs) * (place.base - place.top)) + 0.5;
  context.strokeStyle = colours.text;
  context.lineWidth = 1;
  context.setLineDash([2, 3]);
  context.beginPath();
  context.moveTo(place.left, y);
  context.lineTo(place.right, y);
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = colours.text;
  context.textAlign = "right";
  context.fillText(`${Math.round(deadlineMs)} ms`, place.left - 6, y + 3.5);
}

function drawChosen({ context, place, colours, rightS, pitchPx }, entry) {
  const [from, to] = [xOf(entry.fromS, rightS, place), xOf(entry.atS, rightS, place)];
  const wide = Math.max(pitchPx + 4, to - from);
  const x = (from + to) / 2 - wide / 2;
  context.strokeStyle = colours.focus;
  context.lineWidth = 1.5;
  context.strokeRect(x, place.top - 3, wide, place.base - place.top + 6 + ROWS.length * ROW_PX);
}
