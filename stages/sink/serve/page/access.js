/** How the page asks the server: where it is, and with which token. */

const KEPT = "framepace token";
/** For an answer to the last byte, unless it is a long one. */
const TIMEOUT_MS = 5000;

/** Knows the token: from the address (`#token=T`, taken out of it at once), or typed in; kept until the tab closes. */
export class Access {
  constructor() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      this.token = given;
      history.replaceState(null, "", location.pathname + location.search);
    }
  }

  get token() {
    return sessionStorage.getItem(KEPT) ?? "";
  }

  set token(token) {
    sessionStorage.setItem(KEPT, token);
  }

  /** Ask for a path of the server; throws when there is no whole answer in time. */
  request(path, { method = "GET", json, timeoutMs = TIMEOUT_MS } = {}) {
    const headers = {};
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    return fetch(new URL(path, document.baseURI), {
      method,
      headers,
      body: json === undefined ? undefined : JSON.stringify(json),
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
    });
  }

  /** Open a websocket at a path of the server. A browser lets no header be set there, so the token is in the query. */
  socket(path, query = {}) {
    const url = new URL(path, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    if (this.token) url.searchParams.set("token", this.token);
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    return socket;
  }
}

/** Return what the server says is wrong, as one line. */
export async function complaint(response) {
  const text = (await response.text()).slice(0, 2000);
  try {
    const said = JSON.parse(text);
    const why = said.error ?? said.detail ?? said.message ?? said;
    return typeof why === "string" ? why : JSON.stringify(why);
  } catch {
    return text.trim() || `${response.status} ${response.statusText}`;
  }
}
