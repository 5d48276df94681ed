/** Downloads the trace of the last seconds. */

import { complaint } from "./access.js";
import { byId, make, write } from "./dom.js";

/** A trace has some 10 MB, and its reader may be far away. */
const TIMEOUT_MS = 60_000;

/** Let the button fetch the trace: a link could not send the token. */
export function startTrace(access) {
  byId("trace").addEventListener("click", async () => {
    try {
      const response = await access.request("trace.json", { timeoutMs: TIMEOUT_MS });
      if (!response.ok) throw new Error(await complaint(response));
      const link = make("a");
      link.href = URL.createObjectURL(await response.blob());
      link.download = "framepace-trace.json";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      write(byId("trace-said"), " saved; open it in ui.perfetto.dev");
    } catch (error) {
      write(byId("trace-said"), ` ${error.message}`);
    }
  });
}
