// Pictures for pages: landscapes with a sun and hills, in the proportions that photos have, and in some that few have.

import { strict as assert } from "node:assert";

import { SIGNATURE, chunk, png } from "../uploads/png.mjs";

const SIZES = [
  [1200, 800],
  [800, 1200],
  [1000, 1000],
  [1600, 900],
  [1500, 500],
  [450, 1350],
  [640, 480],
  [320, 240],
];
const HILLS = 3;

/**
 * Uploads so many pictures for a user, one after the other, so that their order is known. Each title ends with its number.
 * Returns the images.
 */
export async function uploadMany(service, user, count, { visibility = "public", tags = [], title = "Landscape" } = {}) {
  const images = [];
  for (let number = 1; number <= count; number++) {
    const [width, height] = SIZES[(number - 1) % SIZES.length];
    const fields = { title: `${title} ${number}`, tags: tags.join(","), visibility };
    images.push(await upload(service, user, landscape(width, height, number), `landscape-${number}.png`, fields));
  }
  return images;
}

/** Uploads a PNG for a user. Returns the image. */
export async function upload(service, user, file, name, fields = {}) {
  const form = new FormData();
  form.append("file", new Blob([file], { type: "image/png" }), name);
  for (const [field, value] of Object.entries(fields)) form.append(field, value);
  const response = await fetch(`${service.url}/images`, { method: "POST", headers: user.headers, body: form });
  const body = await response.json();
  assert.equal(response.status, 200, `${name} was not uploaded: ${JSON.stringify(body)}`);
  return body.image;
}

/** Draws a PNG. Each seed has other colours, and another sun and hills. */
export function landscape(width, height, seed) {
  const hue = (seed * 137) % 360;
  const sky = Array.from({ length: height }, (_, y) => color(hue, 0.6, 0.45 + (0.45 * y) / height));
  const sun = color(hue + 180, 0.9, 0.85);
  const hills = Array.from({ length: HILLS }, (_, hill) => color(hue + 40 * (hill + 1), 0.45, 0.5 - 0.13 * hill));
  const [sunX, sunY, radius] = [width * (0.2 + 0.6 * fraction(seed * 0.618)), height * 0.25, Math.min(width, height) * 0.12];
  const tops = hills.map((_, hill) => (x) => {
    const position = (x / width) * (3 + hill) + seed * (hill + 1);
    return height * (0.55 + 0.14 * hill + 0.08 * Math.sin(position) + 0.03 * Math.sin(3.7 * position));
  });
  const row = 1 + 3 * width;
  const rows = Buffer.alloc(row * height);
  for (let x = 0; x < width; x++) {
    const top = tops.map((at) => at(x));
    for (let y = 0; y < height; y++) {
      const hill = top.findLastIndex((top) => y >= top);
      const isSun = (x - sunX) ** 2 + (y - sunY) ** 2 < radius ** 2;
      rows.set(hill >= 0 ? hills[hill] : isSun ? sun : sky[y], y * row + 1 + 3 * x);
    }
  }
  return png(width, height, rows);
}

/** Returns the PNG with metadata that names a camera. */
export function withCamera(file, camera) {
  const value = Buffer.from(`${camera}\0`, "latin1");
  const entry = Buffer.alloc(26);
  entry.write("II*\0", "latin1");
  entry.writeUInt32LE(8, 4); // where the only directory begins
  entry.writeUInt16LE(1, 8);
  entry.writeUInt16LE(0x0110, 10); // the tag `Model`
  entry.writeUInt16LE(2, 12); // text
  entry.writeUInt32LE(value.length, 14);
  entry.writeUInt32LE(entry.length, 18); // where the text begins
  const end = SIGNATURE.length + 25;
  return Buffer.concat([file.subarray(0, end), chunk("eXIf", Buffer.concat([entry, value])), file.subarray(end)]);
}

function fraction(number) {
  return number - Math.floor(number);
}

/** Converts hue, saturation and lightness to red, green and blue. */
function color(hue, saturation, lightness) {
  const amplitude = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((offset) => {
    const position = (offset + hue / 30) % 12;
    return Math.round(255 * (lightness - amplitude * Math.max(-1, Math.min(position - 3, 9 - position, 1))));
  });
}

/** Draws a GIF that changes from one colour to another ten times a second. */
export function animation(width, height) {
  const colors = Buffer.alloc(3 * 128);
  colors.set([255, 120, 0, 0, 80, 200]);
  const repeat = Buffer.from("\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", "latin1");
  const frames = [0, 1].map((color) => {
    const place = Buffer.alloc(10);
    place.write(",", "latin1");
    place.writeUInt16LE(width, 5);
    place.writeUInt16LE(height, 7);
    return Buffer.concat([Buffer.from([0x21, 0xf9, 4, 4, 10, 0, 0, 0]), place, gifPixels(Buffer.alloc(width * height, color))]);
  });
  const size = Buffer.alloc(7);
  size.writeUInt16LE(width, 0);
  size.writeUInt16LE(height, 2);
  size[4] = 0xf6; // 128 colours follow
  return Buffer.concat([Buffer.from("GIF89a"), size, colors, repeat, ...frames, Buffer.from(";")]);
}

/** Encodes pixels without compression: the decoder is reset so often that each code has 8 bits. */
function gifPixels(pixels) {
  const [reset, end, most] = [128, 129, 100];
  const parts = [];
  for (let at = 0; at < pixels.length; at += most) parts.push(Buffer.from([reset]), pixels.subarray(at, at + most));
  const codes = Buffer.concat([...parts, Buffer.from([end])]);
  const blocks = [Buffer.from([7])];
  for (let at = 0; at < codes.length; at += 255) {
    const block = codes.subarray(at, at + 255);
    blocks.push(Buffer.from([block.length]), block);
  }
  return Buffer.concat([...blocks, Buffer.from([0])]);
}
