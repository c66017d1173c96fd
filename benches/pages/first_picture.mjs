// When the first picture of a page is painted, in round trips to the service.

import { logIn, withBrowser } from "./browser.mjs";

const ROUND_TRIP_MS = 500;

export async function measureFirstPicture(tools, service, account, share) {
  await measure(tools, "share", share, async () => {});
  await measure(tools, "gallery", `${service.url}/app/`, (browser) => logIn(browser, service, account));
}

async function measure(tools, name, url, prepare) {
  await withBrowser(tools, async (browser) => {
    await prepare(browser);
    const page = await browser.newPage();
    const session = await page.createCDPSession();
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", { offline: false, latency: ROUND_TRIP_MS, downloadThroughput: -1, uploadThroughput: -1 });
    await page.goto(url, { waitUntil: "networkidle0" });
    const painted = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const observer = new PerformanceObserver((list) => resolve(list.getEntries().find(({ url }) => url)?.startTime));
          observer.observe({ type: "largest-contentful-paint", buffered: true });
        }),
    );
    const trips = painted / ROUND_TRIP_MS;
    console.log(`first picture of the ${name}: painted after ${trips.toFixed(2)} round trips of ${ROUND_TRIP_MS} ms`);
  });
}
