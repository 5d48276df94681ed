/** Draws tracks over a picture, so that fresh, forecast and blind can be told apart without colour. */

import { speedOf } from "./stream.js";

/** Hues a golden section of the circle apart: neighbouring track numbers differ much. */
const GOLDEN_TURN = 0.618033988749895;
const HALO = "rgb(0 0 0 / 55%)";
const NARROW_PX = 520;

/** Return the colour that stays with a track; all are equally light, so that their texts can be read. */
function colourOf(trackId) {
  return `oklch(80% 0.15 ${Math.round(((trackId * GOLDEN_TURN) % 1) * 360)})`;
}

/**
 * Draw the tracks of a record.
 *
 * @param {CanvasRenderingContext2D} context with one unit a CSS pixel.
 * @param {number} scale CSS pixels a picture pixel.
 * @param {object} shown which of boxes, labels and trails.
 */
export function drawTracks(context, record, trails, atS, scale, shown) {
  const isForecast = record.status === "forecast";
  const pen = { context, scale, isForecast, places: [], family: getComputedStyle(document.body).fontFamily };
  context.save();
  context.lineJoin = "round";
  for (const track of record.tracks) {
    if (shown.trails) drawTrail(context, trails.until(track.id, atS), colourOf(track.id), scale);
  }
  for (const track of record.tracks) {
    if (shown.boxes) drawBox(pen, track);
  }
  for (const track of record.tracks) {
    if (shown.labels) drawLabel(pen, track);
  }
  context.restore();
}

function drawBox({ context, scale, isForecast }, track) {
  const [x1, y1, x2, y2] = track.box.map((value) => value * scale);
  context.globalAlpha = isForecast ? 0.72 : 1;
  context.setLineDash(isForecast ? [7, 5] : []);
  context.strokeStyle = HALO;
  context.lineWidth = 4;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.strokeStyle = colourOf(track.id);
  context.lineWidth = 2;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.setLineDash([]);
}

function drawTrail(context, points, colour, scale) {
  if (points.length < 2) return;
  context.lineCap = "round";
  for (const [width, style] of [[4, HALO], [2, colour]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.globalAlpha = 0.85;
    context.beginPath();
    points.forEach(({ x, y }) => context.lineTo(x * scale, y * scale));
    context.stroke();
  }
}

/** Write number, class and speed on a dark patch above the box, or below where that place is taken. */
function drawLabel({ context, scale, isForecast, places, family }, track) {
  const [x1, y1, , y2] = track.box.map((value) => value * scale);
  const isNarrow = context.canvas.clientWidth < NARROW_PX;
  const size = isNarrow ? 9 : 11;
  const name = `${track.class} ${track.id}`;
  const rest = isNarrow ? ` ${Math.round(speedOf(track))}` : `  ${Math.round(speedOf(track))} px/s`;
  context.font = `600 ${size}px ${family}`;
  const nameWidth = context.measureText(name).width;
  context.font = `400 ${size}px ${family}`;
  const width = nameWidth + context.measureText(rest).width + 8;
  const height = size + 5;
  const place = freePlace(context, places, { x: x1 - 1, width, height }, [y1 - height - 1, y2 + 1, y1 + 1]);
  context.globalAlpha = isForecast ? 0.8 : 1;
  context.fillStyle = "rgb(10 13 18 / 78%)";
  context.fillRect(place.x, place.y, width, height);
  context.fillStyle = colourOf(track.id);
  context.fillRect(place.x, place.y, 2, height);
  context.textBaseline = "middle";
  const middle = place.y + height / 2 + 0.5;
  context.font = `600 ${size}px ${family}`;
  context.fillText(name, place.x + 5, middle);
  context.font = `400 ${size}px ${family}`;
  context.fillStyle = "#fff";
  context.fillText(rest, place.x + 5 + nameWidth, middle);
  places.push({ ...place, width, height });
}

/** Return the first of the heights where nothing is written yet, inside the picture; the first one if none is free. */
function freePlace(context, places, { x, width, height }, heights) {
  const { clientWidth, clientHeight } = context.canvas;
  const inside = Math.max(0, Math.min(x, clientWidth - width));
  const candidates = heights.map((y) => ({ x: inside, y: Math.max(0, Math.min(y, clientHeight - height)) }));
  const isFree = (at) =>
    places.every((other) => at.x + width <= other.x || other.x + other.width <= at.x
      || at.y + height <= other.y || other.y + other.height <= at.y);
  return candidates.find(isFree) ?? candidates[0];
}
