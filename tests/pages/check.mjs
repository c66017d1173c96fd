#!/usr/bin/env node
// Opens the web pages in Chromium: `check.mjs --program P --node-modules N --folder D`.
//
// It starts the services that the checks need. All files go to the folder D. Prints one line for each check and exits non-zero if any
// fails. `--jobs N` runs so many checks at the same time. `--screenshots FOLDER` takes screenshots instead. `--only TEXT` runs the
// checks, or takes the screenshots, whose names contain TEXT. The services listen on free ports, from `--port N` on if it is given.

import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";

import { Ports } from "./ports.mjs";
import { takeScreenshots } from "./screenshots.mjs";
import { within } from "../uploads/within.mjs";
import { World } from "./world.mjs";

/** More than the checks take, because they share the processors. */
const CHECK_SECONDS = 120;
/** One more than the processors of most machines: checks often wait for the browser. */
const JOBS = 3;
const REQUIRED = ["program", "node-modules", "folder"];

async function main() {
  const names = [...REQUIRED, "jobs", "only", "port", "screenshots"];
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
  const missing = REQUIRED.filter((name) => !values[name]);
  if (missing.length > 0) throw new Error(`missing: --${missing.join(", --")}`);
  const only = values.only ?? "";
  const checks = values.screenshots ? [] : (await allChecks()).filter(([name]) => name.includes(only));
  const jobs = values.screenshots ? 1 : Math.min(Number(values.jobs ?? JOBS), checks.length);
  const ports = new Ports(Number(values.port ?? 0));
  const worlds = Array.from({ length: jobs }, (_, index) => {
    const folder = `${values.folder}/world-${index + 1}`;
    return new World({ program: values.program, nodeModules: values["node-modules"], folder, ports });
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));
  process.once("exit", () => worlds.forEach((world) => world.kill()));
  try {
    if (!values.screenshots) return (await runAll(worlds, checks)) ? 1 : 0;
    await worlds[0].start();
    await takeScreenshots(worlds[0], values.screenshots, only);
    return 0;
  } finally {
    await Promise.all(worlds.map((world) => world.stop()));
  }
}

/** Returns the names and functions of the checks in all files of this folder. */
async function allChecks() {
  const files = readdirSync(new URL(".", import.meta.url)).filter((name) => name.endsWith("_checks.mjs"));
  const modules = await Promise.all(files.sort().map((file) => import(`./${file}`)));
  const all = modules.flatMap(({ checks }) => Object.entries(checks));
  if (new Set(all.map(([name]) => name)).size < all.length) throw new Error("two checks have the same name");
  return all;
}

/** Runs checks in several worlds: each takes the next one when it has finished one. Returns how many failed. */
async function runAll(worlds, checks) {
  const queue = [...checks];
  let failed = 0;
  const work = async (world) => {
    await world.start();
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [name, check] = next;
      const started = Date.now();
      const failures = await run(world, check);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      if (failures.length > 0) failed += 1;
      console.log([`${failures.length > 0 ? "FAIL " : "ok   "} ${name} (${seconds} s)`, ...failures].join("\n      "));
    }
  };
  await Promise.all(worlds.map(work));
  console.log(`${checks.length - failed} passed, ${failed} failed`);
  return failed;
}

/** Runs a check with a visit and a user of its own. Returns why it failed: its error, and what its pages did wrong. */
async function run(world, check) {
  const id = `user-${randomUUID()}`;
  const failures = [];
  try {
    await within(CHECK_SECONDS, check(world, await world.visit(), { id, headers: { "X-User-Id": id } }));
  } catch (error) {
    failures.push(error.stack?.split("\n    at ").slice(0, 3).join("\n    at ") ?? String(error));
  }
  return [...failures, ...(await world.endVisits())];
}

process.exitCode = await main().catch((error) => {
  console.error(error);
  return 1;
});
// Sockets that are still open must not keep the process running.
process.exit();
