// A TCP proxy in front of the service. It can slow down, lose or cut connections, as networks do.

import net from "node:net";

const SLICE = 16 * 1024;

export class Proxy {
  /** Bytes per second from the clients, on each connection. */
  rate = Infinity;
  #untilCut = Infinity;
  #cutsSilently = false;
  #untilForwarded = Infinity;
  #onForwarded = () => {};
  #losesResponseTo = null;
  #sockets = new Set();

  constructor(port, target) {
    this.server = net.createServer((client) => this.#connect(client, net.connect(target, "127.0.0.1")));
    this.server.listen(port, "127.0.0.1");
  }

  /** Closes a connection when clients have sent so many bytes from now on. If `silently`, the service does not notice. */
  cutAfter(bytes, { silently = false } = {}) {
    this.#untilCut = bytes;
    this.#cutsSilently = silently;
  }

  /** Waits until clients have sent so many bytes from now on. */
  forwarded(bytes) {
    return new Promise((resolve) => {
      this.#untilForwarded = bytes;
      this.#onForwarded = resolve;
    });
  }

  /** Forwards the next request with this method and header line, but closes the connection instead of forwarding the response. */
  loseResponseTo(method, headerLine) {
    this.#losesResponseTo = { method, headerLine: headerLine.toLowerCase() };
  }

  /** Forwards everything again, at full speed. */
  reset() {
    this.rate = Infinity;
    this.#untilCut = Infinity;
    this.#losesResponseTo = null;
  }

  /** Whether everything that was planned has happened. */
  get isDone() {
    return this.#untilCut === Infinity && this.#losesResponseTo === null;
  }

  close() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #connect(client, service) {
    const end = () => {
      client.destroy();
      service.destroy();
      this.#sockets.delete(client);
      this.#sockets.delete(service);
    };
    let losesResponse = false;
    for (const socket of [client, service]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => socket.isCut || end());
      socket.on("close", () => socket.isCut || end());
    }
    // The client is never paused, because a paused socket does not notice that the other end was closed.
    let forwarding = Promise.resolve();
    client.on("data", (data) => {
      losesResponse ||= this.#isLost(data);
      forwarding = forwarding.then(() => this.#forward(data, client, service));
    });
    service.on("data", (data) => {
      if (losesResponse) {
        this.#losesResponseTo = null;
        return end();
      }
      client.write(data);
    });
  }

  async #forward(data, client, service) {
    for (let at = 0; at < data.length && service.writable && !client.isCut; at += SLICE) {
      const slice = data.subarray(at, at + SLICE);
      service.write(slice);
      this.#untilForwarded -= slice.length;
      if (this.#untilForwarded < 0) this.#onForwarded();
      this.#untilCut -= slice.length;
      if (this.#untilCut < 0) {
        this.#untilCut = Infinity;
        // What was written arrives, as it does when a client disappears.
        if (!this.#cutsSilently) service.end();
        client.isCut = true;
        client.destroy();
        return;
      }
      if (this.rate !== Infinity) await new Promise((resolve) => setTimeout(resolve, (1000 * slice.length) / this.rate));
    }
  }

  #isLost(data) {
    if (!this.#losesResponseTo) return false;
    const head = data.toString("latin1").split("\r\n\r\n")[0];
    return head.startsWith(`${this.#losesResponseTo.method} `) && head.toLowerCase().includes(this.#losesResponseTo.headerLine);
  }
}
