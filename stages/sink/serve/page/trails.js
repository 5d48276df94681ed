/** Where each track has been in the last seconds. */

const SPAN_S = 4;
const MOST_TRACKS = 256;
const MOST_POINTS = 128;

/** Middle of the lower edge of each track's box, where a thing stands, for a few seconds back. */
export class Trails {
  #points = new Map();

  /** Take the tracks of a record; atS is the moment that their boxes are true for. */
  add(tracks, atS) {
    for (const track of tracks) {
      const [x1, , x2, y2] = track.box;
      let points = this.#points.get(track.id);
      if (!points) {
        points = [];
        this.#points.set(track.id, points);
      }
      points.push({ x: (x1 + x2) / 2, y: y2, atS });
      if (points.length > MOST_POINTS) points.shift();
    }
    this.#forget(atS - SPAN_S);
  }

  /** Return the points of a track up to a moment, oldest first. */
  until(trackId, atS) {
    const points = this.#points.get(trackId) ?? [];
    return points.filter((point) => point.atS <= atS && point.atS > atS - SPAN_S);
  }

  /** Forget everything. */
  clear() {
    this.#points.clear();
  }

  /** Forget tracks that were not seen since; and the oldest ones where there are too many. */
  #forget(sinceS) {
    for (const [trackId, points] of this.#points) {
      if (points.at(-1).atS < sinceS || this.#points.size > MOST_TRACKS) this.#points.delete(trackId);
    }
  }
}
