// A browser context that records what its pages must not do: errors in the console, uncaught exceptions, violations of the Content
// Security Policy, and requests to other servers.

import { setTimeout as sleep } from "node:timers/promises";

/** A limit only for what never happens: under load, everything takes longer. */
const ACTION_SECONDS = 30;
/** In this time, an idle page reports what it has done, and a worker starts. */
const SETTLE_MS = 250;

export class Visit {
  #findings = [];
  #expected = [];
  #origins = new Set();

  constructor(context) {
    this.context = context;
  }

  async start() {
    const { context } = this;
    context.setDefaultTimeout(1000 * ACTION_SECONDS);
    context.on("page", (page) => this.#watch(page));
    context.on("weberror", (event) => this.#findings.push(`exception: ${event.error().stack ?? event.error()}`));
    context.on("console", (message) => this.#readConsole(message));
    context.on("request", (request) => this.#readRequest(request.method(), new URL(request.url())));
    await context.exposeBinding("recordViolation", (_, text) => this.#findings.push(`policy violation: ${text}`));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sourceFile, lineNumber }) =>
        window.recordViolation(`${effectiveDirective} blocked ${blockedURI} at ${sourceFile}:${lineNumber}`));
    });
  }

  /** Opens a page of the service in a new tab. The path has no leading slash. `status`: that of the page, if it is not a success. */
  async open(service, path, { status = null } = {}) {
    for (const origin of service.origins) this.#origins.add(origin);
    const page = await this.context.newPage();
    const response = await page.goto(`${service.publicUrl}/${path}`);
    if (status ? response.status() !== status : !response.ok()) throw new Error(`/${path} returned ${response.status()}`);
    return page;
  }

  /** Declares that a finding that matches the pattern is expected, at least once. */
  expect(pattern) {
    this.#expected.push(pattern);
  }

  /** Closes the pages. Returns the findings that were not expected, and the expected ones that are missing. */
  async end() {
    await sleep(SETTLE_MS);
    // The events of a page arrive before its answer.
    await Promise.allSettled(this.context.pages().map((page) => page.evaluate(() => true)));
    await this.context.close().catch(() => {});
    const findings = this.#findings.filter((finding) => !this.#expected.some((pattern) => pattern.test(finding)));
    const missing = this.#expected.filter((pattern) => !this.#findings.some((finding) => pattern.test(finding)));
    return [...findings, ...missing.map((pattern) => `expected, but did not happen: ${pattern}`)];
  }

  /** Listens to the events that a context does not have. */
  #watch(page) {
    page.on("crash", () => this.#findings.push(`crash: ${page.url()}`));
    page.on("websocket", (socket) => this.#readRequest("WebSocket", new URL(socket.url())));
  }

  #readConsole(message) {
    if (!["error", "assert"].includes(message.type())) return;
    const { url, lineNumber } = message.location();
    this.#findings.push(`console: ${message.text()} (${url}:${lineNumber})`);
  }

  #readRequest(method, { protocol, origin, href }) {
    const isLocal = ["data:", "blob:", "about:"].includes(protocol);
    if (!isLocal && !this.#origins.has(origin)) this.#findings.push(`request to another server: ${method} ${href}`);
  }
}
