/** Where the time goes: a frame's way through the stages, each bar beginning where the one above it ended. */

import { attribute, byId, fit, make, write } from "./dom.js";
import { milliseconds } from "./format.js";

/** Waiting is hatched, working is filled; the line is the deadline. */
export class Stages {
  #holder = byId("stages");
  #note = byId("stages-note");
  #body = null;

  /** Show a message of `/now`. */
  show(now) {
    const deadlineMs = now.report.deadline_ms;
    const stages = Object.entries(now.window.stages ?? {});
    const sumMs = stages.reduce((sum, [, { wait_ms, run_ms }]) => sum + (wait_ms ?? 0) + (run_ms ?? 0), 0);
    const wholeMs = Math.max(sumMs, deadlineMs ?? 0) * 1.04 || 1;
    this.#body ??= this.#make();
    fit(this.#body, stages.length, makeRow);
    let beginMs = 0;
    stages.forEach(([name, times], place) => {
      showRow(this.#body.children[place], name, times, { beginMs, wholeMs, deadlineMs });
      beginMs += (times.wait_ms ?? 0) + (times.run_ms ?? 0);
    });
    write(this.#note, sumMs ? this.#inAll(sumMs, deadlineMs, now.window.span_s) : "no frames lately");
  }

  #inAll(sumMs, deadlineMs, spanS) {
    const of = deadlineMs ? ` of ${Math.round(deadlineMs)}` : "";
    return `mean ${milliseconds(sumMs)}${of} ms, last ${Math.round(spanS)} s`;
  }

  #make() {
    const heads = ["stage", "", "wait", "run"].map((text) => make("th", "", text));
    heads[1].append(sign("wait"), "wait ", sign("run"), "run");
    for (const head of heads) head.scope = "col";
    const table = make("table", "way", make("thead", "", make("tr", "", ...heads)), make("tbody"));
    this.#holder.append(table);
    return table.tBodies[0];
  }
}

function sign(part) {
  const element = make("span", `swatch ${part}`);
  element.setAttribute("aria-hidden", "true");
  return element;
}

function makeRow() {
  const head = make("th");
  head.scope = "row";
  const bar = make("div", "way-bar", make("i", "wait"), make("i", "run"), make("i", "due"));
  bar.setAttribute("aria-hidden", "true");
  return make("tr", "", head, make("td", "way-cell", bar), make("td"), make("td"));
}

function showRow(row, name, { wait_ms: waitMs, run_ms: runMs, items }, { beginMs, wholeMs, deadlineMs }) {
  const share = (ms) => `${((100 * ms) / wholeMs).toFixed(2)}%`;
  const [wait, run, due] = row.children[1].firstChild.children;
  wait.style.left = share(beginMs);
  wait.style.width = share(waitMs ?? 0);
  run.style.left = share(beginMs + (waitMs ?? 0));
  run.style.width = share(runMs ?? 0);
  wait.hidden = waitMs === null;
  run.hidden = runMs === null;
  due.hidden = !deadlineMs;
  due.style.left = share(deadlineMs ?? 0);
  write(row.children[0], name);
  write(row.children[2], milliseconds(waitMs));
  write(row.children[3], milliseconds(runMs));
  attribute(row, "title", `${name}: ${items} frames`);
}
