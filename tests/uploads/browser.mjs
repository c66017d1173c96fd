// Drives Chromium with the DevTools protocol, over the pipes 3 and 4: messages in JSON, each followed by a zero byte.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";

import { isRunning, lastLines } from "./service.mjs";

const FLAGS = [
  "--headless=new",
  "--remote-debugging-pipe",
  "--no-first-run",
  "--no-proxy-server",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  // It loads only the page of the tests, and root and containers have no sandbox.
  "--no-sandbox",
];

export class Browser {
  #answers = new Map();
  #pages = new Map();
  #lastId = 0;
  #rest = "";

  constructor(folder) {
    this.folder = folder;
  }

  async start() {
    const log = openSync(`${this.folder}.log`, "a");
    const environment = { ...process.env, HOME: this.folder };
    const argv = [...FLAGS, `--user-data-dir=${this.folder}`, "about:blank"];
    this.process = spawn("chromium", argv, { env: environment, stdio: ["ignore", log, log, "pipe", "pipe"] });
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => this.#receive(text));
    this.process.on("error", (error) => this.#fail(error));
    this.process.on("exit", () => this.#fail(new Error(`Chromium exited:\n${lastLines(`${this.folder}.log`)}`)));
    await this.#send("Browser.getVersion");
  }

  /** Opens a page and waits until its scripts have run. */
  async open(url) {
    const { targetId } = await this.#send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#send("Target.attachToTarget", { targetId, flatten: true });
    const send = (method, parameters) => this.#send(method, parameters, sessionId);
    const page = new Page(send, () => this.#send("Target.closeTarget", { targetId }));
    this.#pages.set(sessionId, page);
    await page.load(url);
    return page;
  }

  async stop() {
    if (!isRunning(this.process)) return;
    const exit = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exit;
  }

  #send(method, params = {}, sessionId = undefined) {
    const id = ++this.#lastId;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  #receive(text) {
    const messages = (this.#rest + text).split("\0");
    this.#rest = messages.pop();
    for (const message of messages.map((message) => JSON.parse(message))) {
      if (message.method) {
        this.#pages.get(message.sessionId)?.receive(message);
        continue;
      }
      const answer = this.#answers.get(message.id);
      this.#answers.delete(message.id);
      if (message.error) answer?.reject(new Error(message.error.message));
      else answer?.resolve(message.result);
    }
  }

  #fail(error) {
    for (const { reject } of this.#answers.values()) reject(error);
    this.#answers.clear();
  }
}

class Page {
  /** What the console of the page shows about errors. */
  errors = [];

  constructor(send, close) {
    this.send = send;
    this.close = close;
  }

  receive({ method, params }) {
    if (method === "Runtime.exceptionThrown") this.errors.push(explain(params.exceptionDetails));
    if (method === "Log.entryAdded" && params.entry.level === "error") this.errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }

  async load(url) {
    await this.send("Page.enable");
    await this.send("Runtime.enable");
    await this.send("Log.enable");
    await this.send("Network.enable");
    await this.send("Page.navigate", { url });
    await this.run("new Promise((resolve) => (document.readyState === 'complete' ? resolve() : addEventListener('load', resolve)))");
  }

  /** Evaluates an expression in the page, and waits if it is a promise. */
  async run(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
    if (exceptionDetails) throw new Error(`in the page: ${explain(exceptionDetails)}`);
    return result.value;
  }

  /** Calls a function of the page with values. */
  call(name, ...values) {
    return this.run(`${name}(${values.map((value) => JSON.stringify(value)).join(", ")})`);
  }

  setOffline(offline) {
    return this.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }
}

function explain({ exception, text }) {
  return exception?.description ?? text;
}
