// Frames and memory while scrolling through the gallery to its end, with a quarter of the CPU.

import { readFileSync } from "node:fs";

import { logIn, withBrowser } from "./browser.mjs";

const SLOWDOWN = 4;
const PIXELS_PER_FRAME = 60;
const LONG_FRAME_MS = 50;
/** Elements that are loading or animated are not garbage yet. */
const SETTLED_MS = 2000;
/** Memory is measured after so many pictures, and at the end. */
const STEPS = [1000, 2500, 5000];

export async function measureScrolling(tools, service, account, count) {
  await withBrowser(tools, async (browser) => {
    await logIn(browser, service, account);
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 800 });
    const session = await page.createCDPSession();
    // Otherwise, the browser keeps a copy of all responses, for developer tools.
    await page._client().send("Network.disable");
    await page.goto(`${service.url}/app/`);
    await page.waitForSelector(".tile img.loaded");
    await session.send("Emulation.setCPUThrottlingRate", { rate: SLOWDOWN });
    console.log(`scrolling through ${count} pictures, ${PIXELS_PER_FRAME} pixels per frame, CPU slowed down ${SLOWDOWN} times`);
    let frames = [];
    for (const step of [...STEPS.filter((step) => step < count), count]) {
      frames = frames.concat(await page.evaluate(scroll, step, PIXELS_PER_FRAME));
      await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
      await session.send("HeapProfiler.collectGarbage");
      const { usedSize } = await session.send("Runtime.getHeapUsage");
      const { nodes } = await session.send("Memory.getDOMCounters");
      const tiles = await page.$$eval(".tile", ({ length }) => length);
      const memory = await privateMemory(browser);
      console.log(
        `after ${step}: ${(memory / 1e6).toFixed(0)} MB of memory, ${(usedSize / 1e6).toFixed(1)} MB of it JavaScript heap, ${nodes} nodes, ${tiles} tiles`,
      );
    }
    const long = frames.filter((duration) => duration > LONG_FRAME_MS).length;
    console.log(`${frames.length} frames, ${((100 * long) / frames.length).toFixed(2)} % took longer than ${LONG_FRAME_MS} ms`);
  });
}

/** Returns the memory of the process that renders the page, in bytes, without what it shares with others. */
async function privateMemory(browser) {
  const session = await browser.target().createCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const sizes = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => {
    const memory = readFileSync(`/proc/${id}/smaps_rollup`, "utf8");
    return 1024 * Number(/^Private_Dirty:\s+(\d+) kB/m.exec(memory)[1]);
  });
  return Math.max(...sizes);
}

/** In the page: scrolls until so many pictures have been passed. Returns the durations of all frames in milliseconds. */
async function scroll(step, pixels) {
  const MAX_WAITED_FRAMES = 600;
  const frame = () => new Promise(requestAnimationFrame);
  const lastIndex = () => Math.max(...[...document.querySelectorAll(".tile a")].map(({ dataset }) => Number(dataset.index)));
  const durations = [];
  let before = await frame();
  // While more pictures are being loaded, the page cannot be scrolled.
  for (let waited = 0; lastIndex() + 1 < step && waited < MAX_WAITED_FRAMES; ) {
    const from = scrollY;
    scrollBy(0, pixels);
    const now = await frame();
    durations.push(now - before);
    before = now;
    waited = scrollY === from ? waited + 1 : 0;
  }
  return durations;
}
