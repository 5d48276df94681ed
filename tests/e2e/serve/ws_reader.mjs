// Reads websockets until the server says goodbye, and prints per address what came and with which code it ended.
// Usage: node ws_reader.mjs ADDRESS...; one that ends in #slow stops reading for four seconds after its first message.
import WebSocket from "ws";

const SLOW_MS = 4000;

function read(address) {
  return new Promise((resolve) => {
    const [url, manner] = address.split("#");
    const records = [];
    const socket = new WebSocket(url, { handshakeTimeout: 20000 });
    socket.on("message", (message, isBinary) => {
      records.push(isBinary ? null : JSON.parse(message.toString()));
      if (manner === "slow" && records.length === 1) {
        socket.pause();
        setTimeout(() => socket.resume(), SLOW_MS);
      }
    });
    socket.on("error", (error) => resolve({ error: String(error), records }));
    socket.on("close", (code, reason) => resolve({ code, reason: reason.toString(), records }));
  });
}

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(read))));
