#!/usr/bin/env node
// Opens the web pages in Chromium: `check.mjs --program P --node-modules N --folder D --port N --proxy-port N`.
//
// It starts the services that the checks need. All files go to the folder D. Prints one line for each check and exits non-zero if any
// fails. `--screenshots FOLDER` takes screenshots instead. `--only TEXT` runs the checks, or takes the screenshots, whose names contain
// TEXT.

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";

import { checks as accessibilityChecks } from "./accessibility_checks.mjs";
import { checks as accountChecks } from "./account_checks.mjs";
import { checks as adminChecks } from "./admin_checks.mjs";
import { checks as adminGalleryChecks } from "./admin_gallery_checks.mjs";
import { checks as animationChecks } from "./animation_checks.mjs";
import { checks as collectionChecks } from "./collection_checks.mjs";
import { checks as collectionOrderChecks } from "./collection_order_checks.mjs";
import { checks as docsChecks } from "./docs_checks.mjs";
import { checks as editChecks } from "./edit_checks.mjs";
import { checks as editFormChecks } from "./edit_form_checks.mjs";
import { checks as filterChecks } from "./filter_checks.mjs";
import { checks as firstPageChecks } from "./first_page_checks.mjs";
import { checks as galleryChecks } from "./gallery_checks.mjs";
import { checks as linkChecks } from "./link_checks.mjs";
import { checks as gestureChecks } from "./gesture_checks.mjs";
import { takeScreenshots } from "./screenshots.mjs";
import { checks as robustnessChecks } from "./robustness_checks.mjs";
import { checks as scrollingChecks } from "./scrolling_checks.mjs";
import { checks as selectionChecks } from "./selection_checks.mjs";
import { checks as sessionChecks } from "./session_checks.mjs";
import { checks as shareChecks } from "./share_checks.mjs";
import { checks as uploadCancelChecks } from "./upload_cancel_checks.mjs";
import { checks as uploadChecks } from "./upload_checks.mjs";
import { checks as uploadNetworkChecks } from "./upload_network_checks.mjs";
import { checks as uploadSourceChecks } from "./upload_source_checks.mjs";
import { checks as viewerChangeChecks } from "./viewer_change_checks.mjs";
import { checks as viewerChecks } from "./viewer_checks.mjs";
import { checks as visitorChecks } from "./visitor_checks.mjs";
import { checks as visitorListChecks } from "./visitor_list_checks.mjs";
import { checks as visitorPasswordChecks } from "./visitor_password_checks.mjs";
import { checks as visitorUploadChecks } from "./visitor_upload_checks.mjs";
import { within } from "../uploads/within.mjs";
import { World } from "./world.mjs";

const CHECKS = {
  ...galleryChecks,
  ...firstPageChecks,
  ...filterChecks,
  ...scrollingChecks,
  ...viewerChecks,
  ...viewerChangeChecks,
  ...gestureChecks,
  ...animationChecks,
  ...robustnessChecks,
  ...selectionChecks,
  ...sessionChecks,
  ...uploadChecks,
  ...uploadSourceChecks,
  ...uploadNetworkChecks,
  ...uploadCancelChecks,
  ...editChecks,
  ...editFormChecks,
  ...linkChecks,
  ...collectionChecks,
  ...collectionOrderChecks,
  ...shareChecks,
  ...visitorChecks,
  ...visitorListChecks,
  ...visitorPasswordChecks,
  ...visitorUploadChecks,
  ...accountChecks,
  ...adminChecks,
  ...adminGalleryChecks,
  ...accessibilityChecks,
  ...docsChecks,
};
const CHECK_SECONDS = 60;
const REQUIRED = ["program", "node-modules", "folder", "port", "proxy-port"];

async function main() {
  const names = [...REQUIRED, "only", "screenshots"];
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
  const missing = REQUIRED.filter((name) => !values[name]);
  if (missing.length > 0) throw new Error(`missing: --${missing.join(", --")}`);
  const world = new World({
    program: values.program,
    nodeModules: values["node-modules"],
    folder: values.folder,
    port: Number(values.port),
    proxyPort: Number(values["proxy-port"]),
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));
  process.once("exit", () => world.kill());
  try {
    await world.start();
    if (values.screenshots) {
      await takeScreenshots(world, values.screenshots, values.only ?? "");
      return 0;
    }
    return (await runAll(world, values.only ?? "")) ? 1 : 0;
  } finally {
    await world.stop();
  }
}

async function runAll(world, only) {
  const selected = Object.entries(CHECKS).filter(([name]) => name.includes(only));
  let failed = 0;
  for (const [name, check] of selected) {
    const started = Date.now();
    const failures = await run(world, check);
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    if (failures.length > 0) failed += 1;
    console.log([`${failures.length > 0 ? "FAIL " : "ok   "} ${name} (${seconds} s)`, ...failures].join("\n      "));
  }
  console.log(`${selected.length - failed} passed, ${failed} failed`);
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
