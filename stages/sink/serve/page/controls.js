/** Pause, stop and settings: only where the server lets the page change anything. */

import { complaint } from "./access.js";
import { attribute, byId, make, write } from "./dom.js";

const BY_COMMAS = "by commas; empty for all";

/** What is being typed is left alone; everything else follows what the server says. */
export class Controls {
  #access;
  #inputs = new Map();
  #settings = {};
  #isBusy = false;

  constructor(access) {
    this.#access = access;
    byId("pause").addEventListener("click", () => this.#pause());
    byId("stop").addEventListener("click", () => byId("ask-stop").showModal());
    byId("ask-stop").addEventListener("close", () => this.#stop());
    byId("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
  }

  /** Show a message of `/now`. */
  show({ controllable, settings }) {
    byId("control").hidden = !controllable;
    if (!controllable) return;
    this.#settings = settings ?? {};
    const isPaused = this.#settings.paused === true;
    write(byId("pause"), isPaused ? "Resume" : "Pause");
    byId("pause").hidden = !("paused" in this.#settings);
    const names = Object.keys(this.#settings).filter((name) => name !== "paused");
    if (names.join() !== [...this.#inputs.keys()].join()) this.#makeForm(names);
    for (const [name, input] of this.#inputs) {
      if (!input.dataset.dirty) input.value = asText(this.#settings[name]);
    }
  }

  #makeForm(names) {
    this.#inputs.clear();
    const rows = names.map((name, place) => {
      const input = make("input");
      input.id = `setting-${place}`;
      input.autocomplete = "off";
      input.spellcheck = false;
      if (typeof this.#settings[name] === "number") input.inputMode = "decimal";
      input.addEventListener("input", () => (input.dataset.dirty = "yes"));
      this.#inputs.set(name, input);
      const head = make("label", "", ...labelOf(name, this.#settings[name]));
      head.htmlFor = input.id;
      return make("p", "setting", head, input);
    });
    const apply = make("button", "", "Apply");
    apply.type = "submit";
    byId("settings").replaceChildren(...rows, ...(rows.length ? [make("p", "buttons", apply)] : []));
  }

  #pause() {
    const isPaused = this.#settings.paused === true;
    return this.#ask(`control/${isPaused ? "resume" : "pause"}`, { method: "POST" }, isPaused ? "Resumed." : "Paused.");
  }

  #stop() {
    if (byId("ask-stop").returnValue !== "yes") return;
    byId("ask-stop").returnValue = "";
    this.#ask("control/stop", { method: "POST" }, "Stopping.");
  }

  async #apply() {
    const changes = {};
    for (const [name, input] of this.#inputs) {
      if (input.dataset.dirty) changes[name] = asValue(input.value, this.#settings[name]);
    }
    if (Object.keys(changes).length === 0) {
      write(byId("control-said"), "Nothing was changed.");
      return;
    }
    if (await this.#ask("settings", { method: "PATCH", json: changes }, "Applied.")) {
      for (const input of this.#inputs.values()) delete input.dataset.dirty;
    }
  }

  async #ask(path, what, done) {
    if (this.#isBusy) return false;
    this.#isBusy = true;
    try {
      const response = await this.#access.request(path, what);
      write(byId("control-said"), response.ok ? done : `Refused: ${await complaint(response)}`);
      attribute(byId("control-said"), "data-kind", response.ok ? null : "bad");
      return response.ok;
    } catch {
      write(byId("control-said"), "No answer from the server.");
      attribute(byId("control-said"), "data-kind", "bad");
      return false;
    } finally {
      this.#isBusy = false;
    }
  }
}

/** Return what a setting is called, and how it is to be written: `detect.min_score` is `detect: min score`. */
function labelOf(name, value) {
  const isMilliseconds = name.endsWith("_ms");
  const words = name.replace(/_ms$/, "").replace(".", ": ").replaceAll("_", " ");
  const unit = isMilliseconds ? "ms" : typeof value === "number" ? "" : BY_COMMAS;
  return [words, make("span", "unit", unit)];
}

function asText(value) {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** Return what was typed as the kind of value that the setting has; what is no number goes as text, to be refused. */
function asValue(text, present) {
  if (typeof present === "number") {
    const number = Number(text.replace(",", "."));
    return text.trim() === "" || Number.isNaN(number) ? text : number;
  }
  if (typeof present === "boolean") return text.trim() === "true";
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  if (Array.isArray(present) || present === null) return parts.length ? parts : null;
  return text;
}
