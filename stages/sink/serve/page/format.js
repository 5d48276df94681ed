/** Numbers as people read them; a dash where there is none. */

export const NONE = "–";

/** Return a number with a fixed count of decimals. */
export function fixed(value, digits = 1) {
  return Number.isFinite(value) ? value.toFixed(digits) : NONE;
}

/** Return milliseconds with about three digits: 0.42, 4.2, 42. */
export function milliseconds(value) {
  if (!Number.isFinite(value)) return NONE;
  return value.toFixed(value < 1 ? 2 : value < 100 ? 1 : 0);
}

/** Return a share of 1 in percent; 100 only if it is all of it. */
export function percent(share) {
  if (!Number.isFinite(share)) return NONE;
  return share === 1 ? "100" : (Math.floor(share * 1000) / 10).toFixed(1);
}

/** Return a count with thin spaces between thousands. */
export function count(value) {
  if (!Number.isFinite(value)) return NONE;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Return a duration: 12.3 s, 4 min 05 s, 3 h 07 min, 2 d 04 h. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const pad = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${pad(Math.floor(whole / 3600) % 24)} h`;
}

/** Return the time of day of the reader. */
export function timeOfDay(date) {
  const pad = (value) => String(value).padStart(2, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}
