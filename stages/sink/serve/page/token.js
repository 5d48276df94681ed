/** Asks for the token when the server wants one. */

import { byId, write } from "./dom.js";

const UNKNOWN = "This server shows itself only to those who know its token.";
const WRONG = "That token is not the right one.";

/** The dialogue cannot be left without a token: without one there is nothing to see. */
export class TokenPrompt {
  #access;
  #dialog = byId("ask-token");

  constructor(access, given) {
    this.#access = access;
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("token-form").addEventListener("submit", () => {
      access.token = byId("token").value.trim();
      byId("token").value = "";
      given();
    });
  }

  /** Ask. */
  ask() {
    write(byId("ask-token-why"), this.#access.token ? WRONG : UNKNOWN);
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}
