// Files as people choose them: photos in several formats and sizes.

import { readFileSync } from "node:fs";

import { animation, landscape, withCamera } from "./pictures.mjs";
import { largePicture } from "./upload_page.mjs";

/** Small, because debug builds read large ones slowly. */
const SIZES = [
  [320, 240],
  [240, 320],
  [250, 250],
  [450, 150],
  [100, 300],
  [161, 119],
];
const TYPES = ["image/jpeg", "image/jpeg", "image/webp", "image/png"];
const DOCUMENTATION = new URL("../../docs/images/", import.meta.url);

/** Returns so many different pictures as Playwright takes them. The browser of the page encodes them. */
export async function photos(page, count) {
  const special = [
    stored("gallery.webp", "image/webp"),
    stored("sharing.webp", "image/webp"),
    { name: "moving.gif", mimeType: "image/gif", buffer: animation(320, 240) },
    { name: "camera.png", mimeType: "image/png", buffer: withCamera(landscape(240, 180, 99), "Instamatic 100") },
    largePicture("large.png"),
  ];
  const drawn = Array.from({ length: count - special.length }, (_, index) => {
    const [size, type] = [SIZES[index % SIZES.length], TYPES[index % TYPES.length]];
    const name = `photo ${index + 1}.${type.split("/")[1].replace("jpeg", "jpg")}`;
    return { type, name, base64: landscape(...size, index).toString("base64") };
  });
  const encoded = await page.evaluate(encode, drawn);
  const files = drawn.map(({ name, type }, index) => ({ name, mimeType: type, buffer: Buffer.from(encoded[index], "base64") }));
  // The large one is in the middle, so that others are sent at the same time.
  return [...files.slice(0, files.length / 2), ...special, ...files.slice(files.length / 2)];
}

function stored(name, mimeType) {
  return { name, mimeType, buffer: readFileSync(new URL(name, DOCUMENTATION)) };
}

/** Runs in the page. */
async function encode(pictures) {
  const convert = async ({ type, base64 }) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type, quality: 0.9 });
    const encoded = new Uint8Array(await blob.arrayBuffer());
    return btoa(Array.from(encoded, (byte) => String.fromCharCode(byte)).join(""));
  };
  return Promise.all(pictures.map(convert));
}
