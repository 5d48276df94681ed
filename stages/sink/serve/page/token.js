/** Asks for the token when the server wants one. */

import { byId, write } from "./dom.js";

const UNKNOWN = "This server shows itself only to those who know its token.";
const WRONG = "That token is not the right one.";

/** The dialogue may be left without a token, because no page can keep a browser from that; it can be asked for again. */
export class TokenPrompt {
  #access;
  #dialog = byId("ask-token");

  constructor(access, given) {
    this.#access = access;
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
