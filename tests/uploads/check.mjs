#!/usr/bin/env node
// Upload clients send files to the service: `check.mjs --program P --node-modules N --folder D --port N --proxy-port N --page-port N`.
//
// It starts the service, because a check kills it. The environment has the settings of its database and storage, if they are not the
// embedded ones. All files go to the folder D. `--only TEXT` runs the checks whose names contain TEXT. Prints one line for each check
// and exits non-zero if any fails.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

import { Browser } from "./browser.mjs";
import { servePage } from "./page_server.mjs";
import { Proxy } from "./proxy.mjs";
import { Service } from "./service.mjs";
import { checks as tusChecks } from "./tus_checks.mjs";
import { checks as uppyChecks } from "./uppy_checks.mjs";
import { within } from "./within.mjs";

const CHECK_SECONDS = 60;

async function main() {
  const names = ["program", "node-modules", "folder", "port", "proxy-port", "page-port", "only"];
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
  const missing = names.filter((name) => name !== "only" && !values[name]);
  if (missing.length > 0) throw new Error(`missing: --${missing.join(", --")}`);
  const { folder, "node-modules": nodeModules } = values;
  // Both have the same host, but the port makes them different origins.
  const origin = `http://127.0.0.1:${values["page-port"]}`;
  const publicUrl = `http://127.0.0.1:${values["proxy-port"]}`;
  const service = new Service({ program: values.program, folder, port: values.port, publicUrl, origin });
  const proxy = new Proxy(Number(values["proxy-port"]), Number(values.port));
  const tus = createRequire(`${nodeModules}/`)("tus-js-client");
  const page = servePage(Number(values["page-port"]), nodeModules);
  const browser = new Browser(`${folder}/chromium`);
  try {
    await Promise.all([service.start(), browser.start()]);
    const world = { service, proxy, browser, page, tus, folder, origin };
    const failed = await runAll(world, { ...tusChecks, ...uppyChecks }, values.only ?? "");
    return failed ? 1 : 0;
  } finally {
    await Promise.allSettled([service.stop(), browser.stop()]);
    proxy.close();
    page.close();
  }
}

async function runAll(world, checks, only) {
  const selected = Object.entries(checks).filter(([name]) => name.includes(only));
  let failed = 0;
  for (const [name, check] of selected) {
    const started = Date.now();
    try {
      // A user of its own for each check, so that it finds only its own images.
      await within(CHECK_SECONDS, check(world, `user-${randomUUID()}`));
      console.log(`ok    ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}: ${error.stack?.split("\n    at ").slice(0, 3).join("\n    at ") ?? error}`);
    }
    // A check that failed must not make others fail.
    world.proxy.reset();
    if (!world.service.isRunning) await world.service.start();
  }
  console.log(`${selected.length - failed} passed, ${failed} failed`);
  return failed;
}

process.exitCode = await main().catch((error) => {
  console.error(error);
  return 1;
});
// Sockets that are still open must not keep the process running.
process.exit();
