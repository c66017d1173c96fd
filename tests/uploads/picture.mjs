// A PNG of random noise. Noise is incompressible, so the size of the file is known.

import { randomBytes } from "node:crypto";

import { png } from "./png.mjs";

/** Returns a picture of different pixels each time, of about `3 * width * height` bytes. */
export function noise(width, height) {
  const row = 1 + 3 * width;
  const rows = randomBytes(row * height);
  // Each row begins with its filter: none.
  for (let y = 0; y < height; y++) rows[y * row] = 0;
  return png(width, height, rows, { level: 0 });
}
