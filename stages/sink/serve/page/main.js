/** Puts the page together: what comes goes to the stream, and the views show the stream. */

import { Access } from "./access.js";
import { Banner } from "./banner.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { byId, write } from "./dom.js";
import { duration, timeOfDay } from "./format.js";
import { showLists, showObjects } from "./lists.js";
import { noticeOf } from "./notice.js";
import { Numbers } from "./numbers.js";
import { Picture } from "./picture.js";
import { Stages } from "./stages.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { startTheme } from "./theme.js";
import { TokenPrompt } from "./token.js";
import { startTrace } from "./trace.js";

/** How often it is seen whether something must be said. */
const LOOK_MS = 100;
/** Nothing at all for so long: the connection is opened anew, because a cut cable says nothing. */
const DEAD_S = 10;
/** Looks between two writings of the table of objects. */
const OBJECTS_EVERY = 5;

const access = new Access();
const stream = new Stream();
const picture = new Picture(stream);
const strip = new Strip(stream);
const numbers = new Numbers();
const stages = new Stages();
const controls = new Controls(access);
const banner = new Banner(() => connection.connect());
const prompt = new TokenPrompt(access, () => connection.connect());
const link = { name: "connecting", why: "", sinceS: null, retryAtS: null };
let looks = 0;

const connection = new Connection(access, {
  state: (name, { why = "", retryAt = null }) => {
    if (name !== link.name) link.sinceS = seconds();
    Object.assign(link, { name, why, retryAtS: retryAt === null ? null : retryAt / 1000 });
    if (name === "live") stream.connected(seconds());
    if (name === "locked") prompt.ask();
    look();
  },
  record: (record) => {
    stream.takeRecord(record, seconds());
    if (record.status === "blind") look();
  },
  now: (now) => {
    stream.takeNow(now, seconds());
    showNow(now);
  },
  preview: (buffer) => picture.take(buffer),
  previewLost: (why) => picture.lost(why),
});

function seconds() {
  return performance.now() / 1000;
}

function showNow(now) {
  numbers.show(now);
  stages.show(now);
  showLists(now);
  controls.show(now);
  byId("trace").hidden = !now.traced;
  write(byId("duration"), duration(now.report.duration_s));
  write(byId("as-of"), `Numbers of ${timeOfDay(new Date())}`);
}

/** See what must be said. */
function look() {
  const nowS = seconds();
  const isWatching = document.visibilityState === "visible";
  const recordAtS = isWatching ? stream.recordAtS : null;
  const notice = noticeOf(link, { ...stream.situation(), recordAtS }, nowS);
  banner.show(notice, link, nowS);
  banner.health(healthOf(notice, isWatching), stream.name, link);
  picture.setOld(notice.isOld);
  if (link.name === "live" && nowS - Math.max(stream.nowAtS, stream.recordAtS) > DEAD_S) connection.connect();
  looks += 1;
  if (looks % OBJECTS_EVERY === 0) showObjects(stream.last);
}

/** Return how the run is doing, if that is known. */
function healthOf(notice, isWatching) {
  if (link.name !== "live" || notice.kind === "stalled") return null;
  const reported = stream.now?.report.health;
  return isWatching && notice.kind !== "starting" ? stream.last?.health ?? reported : reported;
}

function watch() {
  const isWatching = document.visibilityState === "visible";
  if (isWatching) stream.connected(seconds());
  connection.watch(isWatching);
}

startTheme(() => strip.recolour());
startTrace(access);
document.addEventListener("visibilitychange", watch);
window.addEventListener("online", () => link.name === "gone" && connection.connect());
window.addEventListener("hashchange", () => location.reload());
new ResizeObserver(() => connection.wantPreview(picture.wanted())).observe(byId("screen"));
connection.wantPreview(picture.wanted());
connection.watch(document.visibilityState === "visible");
setInterval(look, LOOK_MS);
connection.connect();
