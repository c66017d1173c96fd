// When the first picture of a share is painted, in round trips to the service.

import { withBrowser } from "./browser.mjs";

const ROUND_TRIP_MS = 500;

export async function measureFirstPicture(tools, share) {
  await withBrowser(tools, async (browser) => {
    const page = await browser.newPage();
    const session = await page.createCDPSession();
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", { offline: false, latency: ROUND_TRIP_MS, downloadThroughput: -1, uploadThroughput: -1 });
    await page.goto(share, { waitUntil: "networkidle0" });
    const painted = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const observer = new PerformanceObserver((list) => resolve(list.getEntries().find(({ url }) => url)?.startTime));
          observer.observe({ type: "largest-contentful-paint", buffered: true });
        }),
    );
    const trips = painted / ROUND_TRIP_MS;
    console.log(`first picture of a share: painted after ${trips.toFixed(2)} round trips of ${ROUND_TRIP_MS} ms`);
  });
}
