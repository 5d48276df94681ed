/** Shows the notice over the picture, in the header, in the tab's title and its sign. */

import { attribute, byId, write } from "./dom.js";
import { duration } from "./format.js";

/** A notice stays for so long, so that it can be read. */
const LEAST_S = 0.8;
const SIGNS = {
  ok: ["#2f9e6e", "<circle cx='8' cy='8' r='6' fill='C'/>"],
  degraded: ["#c98500", "<path d='M8 1 15 14H1z' fill='C'/>"],
  blind: ["#d9362b", "<rect x='2' y='2' width='12' height='12' fill='C'/>"],
  failed: ["#d9362b", "<path d='M3 3 13 13M13 3 3 13' stroke='C' stroke-width='3'/>"],
  unknown: ["#888888", "<rect x='3' y='3' width='10' height='10' fill='none' stroke='C' stroke-width='3'/>"],
};
/** States that the reader can do something about. */
const CAN_TRY = ["locked", "gone", "over"];
const LINKS = { connecting: "connecting", live: "connected", locked: "token needed", gone: "no connection", over: "run is over" };

/** The words are read aloud when they change; the running seconds beside them are not. */
export class Banner {
  #kind = "none";
  #changedAtS = -Infinity;

  constructor(tryNow) {
    byId("try-now").addEventListener("click", tryNow);
  }

  /** Show a notice; `nowS` on the reader's clock, as the notice's and the link's times. */
  show(notice, link, nowS) {
    if (notice.kind === "none" && this.#kind === "blind" && nowS - this.#changedAtS < LEAST_S) return;
    if (notice.kind !== this.#kind) this.#changedAtS = nowS;
    this.#kind = notice.kind;
    attribute(byId("banner"), "data-kind", notice.kind);
    attribute(document.body, "data-link", link.name);
    attribute(document.body, "data-notice", notice.kind);
    attribute(document.body, "data-old", notice.isOld ? "yes" : null);
    write(byId("banner-title"), notice.title);
    write(byId("banner-text"), notice.text);
    write(byId("banner-count"), counted(notice, link, nowS));
    byId("try-now").hidden = !CAN_TRY.includes(link.name);
    write(byId("link"), LINKS[link.name]);
  }

  /** Show the health in the header and in the tab; null where nobody knows. */
  health(health, stream, link) {
    const word = health ?? "unknown";
    attribute(byId("health"), "data-health", word);
    write(byId("health-word"), word);
    write(byId("stream"), stream ?? "");
    const said = link.name === "live" ? word : LINKS[link.name];
    write(document.querySelector("title"), stream ? `${said} · ${stream} · framepace` : "framepace");
    const [colour, shape] = SIGNS[word] ?? SIGNS.unknown;
    const svg = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>${shape.replace("C", colour)}</svg>`;
    attribute(byId("icon"), "href", `data:image/svg+xml,${encodeURIComponent(svg)}`);
  }
}

function counted({ sinceS }, link, nowS) {
  const parts = [];
  if (sinceS !== null) parts.push(`for ${duration(Math.max(0, nowS - sinceS))}`);
  if (link.retryAtS !== null) {
    const leftS = link.retryAtS - nowS;
    parts.push(leftS > 0.05 ? `again in ${leftS.toFixed(0)} s` : "trying");
  }
  return parts.join(" · ");
}
