/** Dark or light: as the system says, or as the reader chose. */

import { attribute, byId, write } from "./dom.js";

const KEPT = "framepace colours";
const CHOICES = ["auto", "dark", "light"];

/** Let the button go through the choices; `changed` is called whenever the colours are others. */
export function startTheme(changed) {
  const button = byId("theme");
  const apply = () => {
    const choice = CHOICES.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "auto";
    attribute(document.documentElement, "data-colours", choice === "auto" ? null : choice);
    write(button, choice);
    attribute(button, "aria-label", `Colours: ${choice}`);
    changed();
    return choice;
  };
  button.addEventListener("click", () => {
    const next = CHOICES[(CHOICES.indexOf(apply()) + 1) % CHOICES.length];
    localStorage.setItem(KEPT, next);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
}
