// The scores of Lighthouse (https://github.com/GoogleChrome/lighthouse), from 0 to 100.

import { pathToFileURL } from "node:url";

import { logIn, withBrowser } from "./browser.mjs";

const CATEGORIES = ["performance", "accessibility", "best-practices"];
const RUNS = 3;
const ATTEMPTS = 3;

export async function measureScores(tools, service, account, share) {
  const load = (name) => import(pathToFileURL(tools.resolve(name)).href);
  const { default: lighthouse } = await load("lighthouse");
  const { default: desktop } = await load("lighthouse/core/config/desktop-config.js");
  const phone = { extends: "lighthouse:default" };
  console.log(`median of ${RUNS} runs: ${CATEGORIES.join(", ")}; first and largest contentful paint, blocking time, layout shift`);
  for (const [name, url, isSignedIn] of [["gallery", `${service.url}/app/`, true], ["share", share, false]]) {
    for (const [device, config] of Object.entries({ phone, desktop })) {
      const reports = [];
      for (let run = 0; run < RUNS; run++) {
        reports.push(await withBrowser(tools, (browser) => measure(lighthouse, browser, { url, config, login: isSignedIn ? () => logIn(browser, service, account) : null })));
      }
      const median = reports.toSorted((one, other) => one.categories.performance.score - other.categories.performance.score)[RUNS >> 1];
      const scores = CATEGORIES.map((category) => Math.round(100 * median.categories[category].score));
      const audits = ["first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift"];
      console.log(`${name}, ${device}: ${scores.join(", ")}; ${audits.map((audit) => median.audits[audit].displayValue).join(", ")}`);
      const failed = Object.values(median.audits).filter(({ score, scoreDisplayMode }) => score === 0 && scoreDisplayMode === "binary");
      for (const { id, title } of failed) console.log(`  failed: ${id} (${title})`);
    }
  }
}

async function measure(lighthouse, browser, { url, config, login }) {
  await login?.();
  const port = Number(new URL(browser.wsEndpoint()).port);
  const options = { port, output: "json", logLevel: "error", onlyCategories: CATEGORIES, disableStorageReset: true };
  for (let attempt = 1; ; attempt++) {
    const { lhr } = await lighthouse(url, options, config);
    if (!lhr.runtimeError) return lhr;
    // On a busy machine, a trace sometimes has no navigation.
    if (attempt === ATTEMPTS) throw new Error(lhr.runtimeError.message);
  }
}
