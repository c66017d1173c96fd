// When the first picture of a page is painted, in round trips to the service.

import { logIn, withBrowser } from "./browser.mjs";

/** From two delays follows how many round trips there are, and how long the rest takes. */
const ROUND_TRIPS_MS = [200, 1000];

export async function measureFirstPicture(tools, service, account, share) {
  await measure(tools, "share", share, async () => {});
  await measure(tools, "gallery", `${service.url}/app/`, (browser) => logIn(browser, service, account));
}

async function measure(tools, name, url, prepare) {
  const painted = [];
  for (const latency of ROUND_TRIPS_MS) painted.push(await timeOfFirstPicture(tools, url, latency, prepare));
  const [near, far] = ROUND_TRIPS_MS;
  const trips = (painted[1] - painted[0]) / (far - near);
  console.log(`first picture of the ${name}: painted after ${trips.toFixed(2)} round trips and ${(painted[0] - trips * near).toFixed(0)} ms`);
}

async function timeOfFirstPicture(tools, url, latency, prepare) {
  return withBrowser(tools, async (browser) => {
    await prepare(browser);
    const page = await browser.newPage();
    const session = await page.createCDPSession();
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", { offline: false, latency, downloadThroughput: -1, uploadThroughput: -1 });
    await page.goto(url, { waitUntil: "networkidle0" });
    return page.evaluate(
      () =>
        new Promise((resolve) => {
          const observer = new PerformanceObserver((list) => resolve(list.getEntries().find(({ url }) => url)?.startTime));
          observer.observe({ type: "largest-contentful-paint", buffered: true });
        }),
    );
  });
}
