// The sharp peer of the imaging benchmark: for each path on standard input, the thumbnails as an upload makes them.
//
// sharp in its best use: shrink-on-load once to the largest thumbnail, every smaller one from those pixels. One job at a
// time; the CPU that is told is that of all threads of this process. Answers a line of JSON a picture.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// BENCH_SHARP is the folder that it is installed below.
const sharp = createRequire(`${process.env.BENCH_SHARP}/`)('sharp');

sharp.concurrency(1);
sharp.cache(false);

const QUALITY = 80;

/** Within 512×512, heights 400 and 200, within 128×128. */
const SIZES = [
  ['medium', 512, 512],
  ['h400', undefined, 400],
  ['h200', undefined, 200],
  ['small', 128, 128],
];

function inside(width, height, size) {
  const [, most_width = Infinity, most_height = Infinity] = size;
  const scale = Math.min(1, most_width / width, most_height / height);
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

async function thumbnails(path) {
  const bytes = await readFile(path);
  const before = process.cpuUsage();
  createHash('sha256').update(bytes).digest();
  const { width, height, autoOrient } = await sharp(bytes, { failOn: 'warning' }).metadata();
  const shown = autoOrient ?? { width, height };
  const sizes = SIZES.map((size) => [size[0], ...inside(shown.width, shown.height, size)]).sort((a, b) => b[1] - a[1]);
  const [, largest_width, largest_height] = sizes[0];
  const largest = await sharp(bytes, { failOn: 'warning' })
    .autoOrient()
    .resize(largest_width, largest_height, { fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: largest.info.width, height: largest.info.height, channels: largest.info.channels };
  const made = {};
  for (const [name, wide, high] of sizes) {
    const resized = sharp(largest.data, { raw }).resize(wide, high, { fit: 'fill' });
    const transparent = raw.channels === 4 || raw.channels === 2;
    made[name] = await (transparent ? resized.webp({ quality: QUALITY }) : resized.jpeg({ quality: QUALITY })).toBuffer();
  }
  const { user, system } = process.cpuUsage(before);
  return [user + system, made];
}

for await (const line of createInterface({ input: process.stdin })) {
  const [path, folder] = line.split('\t');
  try {
    const [cpu_us, made] = await thumbnails(path);
    if (folder) {
      for (const [name, bytes] of Object.entries(made)) await writeFile(`${folder}/sharp-${name}`, bytes);
    }
    console.log(JSON.stringify({ cpu_us }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message).split('\n')[0] }));
  }
}
