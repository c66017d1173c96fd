// The ports that services and proxies listen on.

import { once } from "node:events";
import net from "node:net";

const HOST = "127.0.0.1";

export class Ports {
  #next;
  #given = new Set();

  /** Gives out ports from the first one on; 0 lets the system choose them. */
  constructor(first) {
    this.#next = first;
  }

  /** Returns a port that nothing listens on, and that it has not returned before. */
  async free() {
    for (;;) {
      const port = await usable(this.#next === 0 ? 0 : this.#next++);
      if (port === null || this.#given.has(port)) continue;
      this.#given.add(port);
      return port;
    }
  }
}

/** Returns the port, or any if it is 0; null if something listens on it. */
async function usable(port) {
  const server = net.createServer().listen(port, HOST);
  try {
    await once(server, "listening");
  } catch (error) {
    if (error.code === "EADDRINUSE") return null;
    throw error;
  }
  const { port: found } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return found;
}
