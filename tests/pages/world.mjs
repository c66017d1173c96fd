// What the checks use: Chromium, and services that start when a check first needs them.

import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { createCertificate } from "./certificate.mjs";
import { PageService } from "./page_service.mjs";
import { PREFIX, ReverseProxy } from "./proxy.mjs";
import { Visit } from "./visit.mjs";

/** Documents of the address bar, which Chromium loads into each window, and what playwright-core disables: only the last list counts. */
const DISABLED_FEATURES = [
  ...["WebUIOmniboxPopup", "WebUIOmniboxAimPopup"],
  ...["AvoidUnnecessaryBeforeUnloadCheckSync", "BoundaryEventDispatchTracksNodeRemoval", "DestroyProfileOnBrowserClose"],
  ...["DialMediaRouteProvider", "GlobalMediaControls", "HttpsUpgrades", "LensOverlay", "MediaRouter", "OptimizationHints"],
  ...["PaintHolding", "RenderDocument", "ThirdPartyStoragePartitioning", "Translate"],
];
const FLAGS = [
  "--no-first-run",
  "--no-proxy-server",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  `--disable-features=${DISABLED_FEATURES.join()}`,
];
const ADMINISTRATOR = { email: "root@example.org", password: "correct horse battery" };

export class World {
  #services = new Map();
  #visits = [];
  #proxies = [];
  #ports;

  constructor({ program, nodeModules, folder, ports }) {
    Object.assign(this, { program, folder });
    this.#ports = ports;
    this.playwright = createRequire(`${nodeModules}/`)("playwright-core");
    /** The script of axe-core, which runs in a page. */
    this.axe = readFileSync(`${nodeModules}/axe-core/axe.min.js`, "utf8");
  }

  async start() {
    mkdirSync(this.folder, { recursive: true });
    this.browser = await this.playwright.chromium.launch({
      executablePath: programPath("chromium"),
      args: FLAGS,
      // It loads only pages of the tests, and root and containers have no sandbox.
      chromiumSandbox: false,
      env: { ...process.env, HOME: this.folder },
      // check.mjs handles them.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
  }

  /** The service in mode `trusted`: requests name their user in a header. */
  trusted() {
    return this.#running("trusted", async () => directly(await this.#ports.free()));
  }

  /** The service in mode `required`: users have accounts. */
  required() {
    return this.#running("required", async ({ folder }) => ({ ...directly(await this.#ports.free()), ...withAccounts(folder) }));
  }

  /** The service in mode `trusted`, behind a proxy that serves it below a path prefix. */
  prefixed() {
    return this.#running("prefixed", async () => {
      const port = await this.#ports.free();
      return { port, publicUrl: `http://127.0.0.1:${await this.#proxy(port)}${PREFIX}` };
    });
  }

  /** The service in mode `required`, behind proxies that serve it below a path prefix, and its storage, over HTTPS. */
  secured() {
    return this.#running("secured", async ({ folder, s3Port }) => {
      const tls = await createCertificate(folder);
      const port = await this.#ports.free();
      const publicUrl = `https://127.0.0.1:${await this.#proxy(port, { tls })}${PREFIX}`;
      const s3Url = `https://127.0.0.1:${await this.#proxy(s3Port, { tls, prefix: "" })}`;
      return { port, publicUrl, s3Url, ...withAccounts(folder) };
    });
  }

  /** Opens a new browser context. Its pages are checked by `endVisits`. */
  async visit(options = {}) {
    const visit = new Visit(await this.browser.newContext(options));
    this.#visits.push(visit);
    await visit.start();
    return visit;
  }

  /** Closes the browser contexts. Returns what their pages did that the checks did not expect. */
  async endVisits() {
    const visits = this.#visits;
    this.#visits = [];
    return (await Promise.all(visits.map((visit) => visit.end()))).flat();
  }

  async stop() {
    for (const proxy of this.#proxies) proxy.close();
    await Promise.allSettled([this.browser?.close(), ...[...this.#services.values()].map((service) => service.stop())]);
  }

  /** Stops the services at once; playwright-core does so with Chromium. */
  kill() {
    for (const service of this.#services.values()) service.process?.kill("SIGKILL");
  }

  /** Returns a service, and starts it unless it is running. */
  async #running(name, configure) {
    if (!this.#services.has(name)) {
      const folder = `${this.folder}/${name}`;
      mkdirSync(folder, { recursive: true });
      const s3Port = await this.#ports.free();
      this.#services.set(name, new PageService({ program: this.program, folder, s3Port, ...(await configure({ folder, s3Port })) }));
    }
    const service = this.#services.get(name);
    if (!service.isRunning) await service.start();
    return service;
  }

  /** Starts a proxy in front of a port. Returns its port. */
  async #proxy(target, options) {
    const port = await this.#ports.free();
    this.#proxies.push(new ReverseProxy(port, target, options));
    return port;
  }
}

/** Where a service is that is behind no proxy. */
function directly(port) {
  return { port, publicUrl: `http://127.0.0.1:${port}` };
}

/** The settings of a service whose users have accounts. */
function withAccounts(folder) {
  const passwordFile = `${folder}/password`;
  writeFileSync(passwordFile, ADMINISTRATOR.password);
  const settings = { AUTH_MODE: "required", ADMIN_EMAIL: ADMINISTRATOR.email, ADMIN_PASSWORD_FILE: passwordFile };
  return { settings, administrator: ADMINISTRATOR };
}

/** Returns the path of a program on the PATH, which playwright-core does not search. */
function programPath(name) {
  const isProgram = (file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const found = process.env.PATH.split(path.delimiter).map((folder) => path.join(folder, name)).find(isProgram);
  if (!found) throw new Error(`${name} is not on the PATH`);
  return found;
}
