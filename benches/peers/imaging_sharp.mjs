// The sharp peer of the imaging benchmark: creates the thumbnails of an upload for each path on standard input.
//
// This is the fastest use of sharp: it decodes with shrink-on-load to the largest thumbnail, and creates the smaller ones from
// those pixels. It processes one image at a time, and prints a line of JSON for each, with the CPU time of all threads.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// BENCH_SHARP is the folder that contains node_modules.
const sharp = createRequire(`${process.env.BENCH_SHARP}/`)('sharp');

sharp.concurrency(1);
sharp.cache(false);

const QUALITY = 80;

/** Name, maximum width and maximum height. */
const SIZES = [
  ['medium', 512, 512],
  ['h400', undefined, 400],
  ['h200', undefined, 200],
  ['small', 128, 128],
];

function fit_inside(width, height, size) {
  const [, max_width = Infinity, max_height = Infinity] = size;
  const scale = Math.min(1, max_width / width, max_height / height);
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

async function thumbnails(path) {
  const bytes = await readFile(path);
  const before = process.cpuUsage();
  createHash('sha256').update(bytes).digest();
  const { width, height, autoOrient } = await sharp(bytes, { failOn: 'warning' }).metadata();
  const shown = autoOrient ?? { width, height };
  const sizes = SIZES.map((size) => [size[0], ...fit_inside(shown.width, shown.height, size)]).sort((a, b) => b[1] - a[1]);
  const [, largest_width, largest_height] = sizes[0];
  const largest = await sharp(bytes, { failOn: 'warning' })
    .autoOrient()
    .resize(largest_width, largest_height, { fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: largest.info.width, height: largest.info.height, channels: largest.info.channels };
  const encoded = {};
  for (const [name, thumbnail_width, thumbnail_height] of sizes) {
    const resized = sharp(largest.data, { raw }).resize(thumbnail_width, thumbnail_height, { fit: 'fill' });
    const transparent = raw.channels === 4 || raw.channels === 2;
    encoded[name] = await (transparent ? resized.webp({ quality: QUALITY }) : resized.jpeg({ quality: QUALITY })).toBuffer();
  }
  const { user, system } = process.cpuUsage(before);
  return [user + system, encoded];
}

for await (const line of createInterface({ input: process.stdin })) {
  const [path, folder] = line.split('\t');
  try {
    const [cpu_us, encoded] = await thumbnails(path);
    if (folder) {
      for (const [name, bytes] of Object.entries(encoded)) await writeFile(`${folder}/sharp-${name}`, bytes);
    }
    console.log(JSON.stringify({ cpu_us }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message).split('\n')[0] }));
  }
}
