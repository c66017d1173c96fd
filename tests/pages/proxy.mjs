// A reverse proxy that serves the service below a path prefix. It strips the prefix and changes nothing else.

import http from "node:http";

export const PREFIX = "/pictures";

export class PrefixProxy {
  constructor(port, target) {
    this.server = http.createServer((request, response) => forward(request, response, target));
    this.server.listen(port, "127.0.0.1");
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

function forward(request, response, target) {
  if (!request.url.startsWith(`${PREFIX}/`)) return response.writeHead(404).end("outside of the prefix\n");
  const { method, headers } = request;
  const path = request.url.slice(PREFIX.length);
  const forwarded = http.request({ host: "127.0.0.1", port: target, method, path, headers, agent: false });
  forwarded.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
    answer.on("error", () => response.destroy()).pipe(response);
  });
  forwarded.on("error", (error) => (response.headersSent ? response.destroy() : response.writeHead(502).end(`${error}\n`)));
  response.on("close", () => forwarded.destroy());
  request.pipe(forwarded);
}
