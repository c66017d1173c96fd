// Takes screenshots of the pages, for people to look at.

import { mkdirSync } from "node:fs";

/** The pages of the service, by path. */
export const PAGES = ["docs/", "redoc"];
const SIZES = [
  { width: 360, height: 800 },
  { width: 1280, height: 800 },
  { width: 3840, height: 2160 },
];

/** Writes `PAGE-WIDTH-SCHEME.png` for each page, width and colour scheme. */
export async function takeScreenshots(world, folder) {
  mkdirSync(folder, { recursive: true });
  const service = await world.trusted();
  for (const path of PAGES) {
    for (const viewport of SIZES) {
      for (const colorScheme of ["light", "dark"]) {
        const visit = await world.visit({ viewport, colorScheme });
        const page = await visit.open(service, path);
        await page.waitForLoadState("networkidle");
        const file = `${folder}/${path.replaceAll(/\W+/g, " ").trim().replaceAll(" ", "-")}-${viewport.width}-${colorScheme}.png`;
        await page.screenshot({ path: file });
        console.log(file);
        await world.endVisits();
      }
    }
  }
}
