// A reverse proxy that serves a server below a path prefix, over HTTP or HTTPS. It strips the prefix and changes nothing else.

import http from "node:http";
import https from "node:https";

export const PREFIX = "/pictures";

export class ReverseProxy {
  /** `tls`: the key and the certificate for HTTPS. */
  constructor(port, target, { prefix = PREFIX, tls = null } = {}) {
    const handle = (request, response) => forward(request, response, target, prefix);
    this.server = tls ? https.createServer(tls, handle) : http.createServer(handle);
    this.server.listen(port, "127.0.0.1");
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function forward(request, response, target, prefix) {
  if (!request.url.startsWith(`${prefix}/`)) return response.writeHead(404).end("outside of the prefix\n");
  const { method, headers } = request;
  const path = request.url.slice(prefix.length);
  const forwarded = http.request({ host: "127.0.0.1", port: target, method, path, headers, agent: false });
  forwarded.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
    answer.on("error", () => response.destroy()).pipe(response);
  });
  forwarded.on("error", (error) => (response.headersSent ? response.destroy() : response.writeHead(502).end(`${error}\n`)));
  response.on("close", () => forwarded.destroy());
  request.pipe(forwarded);
}
