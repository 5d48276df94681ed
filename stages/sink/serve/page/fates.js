/** What can become of a frame, and the words for why. */

/** In the order of the legend. `row`: its place below the base line of the strip, so that colour is not needed. */
export const FATES = {
  fresh: { word: "fresh", means: "measured on this very frame, in time", row: null },
  forecast: { word: "forecast", means: "earlier measurements, moved to this frame", row: 0 },
  blind: { word: "blind", means: "nothing can be said, which does not mean that the scene is empty", row: 1 },
  missing: { word: "no record", means: "missed, not decodable, or skipped because this page was too slow", row: 2 },
  away: { word: "no frames", means: "the source gives none", row: null },
};

const REASONS = {
  superseded: "a newer frame took the detector",
  would_miss: "it could not have been in time",
  late: "the result was not ready by the deadline",
  failed: "a stage raised an error",
  shed: "skipped before it was decoded",
  warming: "the model is not ready yet",
  paused: "somebody paused the run",
};

const OUTAGES = {
  ended: "the camera hung up",
  error: "the camera cannot be read",
  silent: "nothing comes from the camera",
  frozen: "the camera repeats one picture",
  undecodable: "what comes from the camera cannot be decoded",
  missed: "others have the processor, and frames miss their deadlines",
};

/** Return what a reason means, in plain words; the reason itself where it is not known here. */
export function reasonInWords(reason) {
  return REASONS[reason] ?? OUTAGES[reason] ?? String(reason);
}

/** Return a reason as it is written in a list. */
export function reasonAsLabel(reason) {
  return String(reason).replaceAll("_", " ");
}
