// Serves the page, the modules that it loads, and the files that it uploads.

import { readFileSync, statSync } from "node:fs";
import http from "node:http";
import path from "node:path";

const HERE = path.dirname(new URL(import.meta.url).pathname);

/** Serves the page on a port. The maps `files` and `scripts` have what checks add: files to upload, and scripts that do so. */
export function servePage(port, nodeModules) {
  const files = new Map();
  const scripts = new Map();
  const server = http.createServer((request, response) => {
    const name = new URL(request.url, "http://localhost").pathname;
    const send = (type, body) => response.writeHead(200, { "Content-Type": type }).end(body);
    try {
      if (name === "/") send("text/html", readFileSync(`${HERE}/page.html`));
      else if (name === "/page.mjs") send("text/javascript", readFileSync(`${HERE}/page.mjs`));
      else if (name.startsWith("/files/")) send("image/png", files.get(name.slice("/files/".length)));
      else if (scripts.has(name)) send("text/javascript", scripts.get(name));
      else if (name.endsWith(".json")) send("application/json", readFileSync(moduleFile(nodeModules, name)));
      else send("text/javascript", moduleSource(nodeModules, name));
    } catch (error) {
      response.writeHead(404).end(String(error));
    }
  });
  server.listen(port, "127.0.0.1");
  return { files, scripts, close: () => server.closeAllConnections() ?? server.close() };
}

function moduleFile(nodeModules, name) {
  const file = path.join(nodeModules, name.slice("/node_modules/".length));
  if (!name.startsWith("/node_modules/") || !file.startsWith(`${nodeModules}/`)) throw new Error("not a module");
  return [file, `${file}.js`, `${file}/index.js`].find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

/** Returns an ES module. Browsers cannot load CommonJS modules, so those are wrapped. */
function moduleSource(nodeModules, name) {
  const source = readFileSync(moduleFile(nodeModules, name), "utf8");
  if (!/\bmodule\.exports\b|^exports\./m.test(source)) return source;
  const code = source.replaceAll(/^\s*(\*|\/\/).*$/gm, "");
  const names = [...new Set([...code.matchAll(/\brequire\(['"]([^'"]+)['"]\)/g)].map((found) => found[1]))];
  const imports = names.map((name, index) => `import r${index} from ${JSON.stringify(name)};`);
  const modules = names.map((name, index) => `${JSON.stringify(name)}: r${index}`);
  return `${imports.join("\n")}
const modules = { ${modules.join(", ")} };
const module = { exports: {} };
(function (module, exports, require, global) {
${source}
})(module, module.exports, (name) => modules[name], globalThis);
export default module.exports;
`;
}
