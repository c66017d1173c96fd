// Placeholders of pictures that are being loaded, from their ThumbHash (https://evanw.github.io/thumbhash/).

import { assetUrl } from "../assets.js";

/** The library, which is loaded after the first pictures were requested. */
let library = null;

/** Returns the average colour of a picture. It is in the first bytes of the hash: lightness, two differences of colours, and opacity. */
export function averageColor(placeholder) {
  const bytes = bytesOf(placeholder);
  const header = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16);
  const lightness = (header & 63) / 63;
  const [yellowBlue, redGreen] = [6, 12].map((shift) => ((header >> shift) & 63) / 31.5 - 1);
  const blue = lightness - (2 / 3) * yellowBlue;
  const red = (3 * lightness - blue + redGreen) / 2;
  const channels = [red, red - redGreen, blue].map((value) => Math.round(255 * Math.min(Math.max(value, 0), 1)));
  const opacity = isTransparent(placeholder) ? (bytes[5] & 15) / 15 : 1;
  return `rgb(${channels.join(" ")} / ${opacity})`;
}

/** Returns whether parts of a picture are transparent. */
export function isTransparent(placeholder) {
  return bytesOf(placeholder)[2] >> 7 === 1;
}

/** Paints a blurred version of a picture, about 32 pixels wide, which the browser enlarges. */
export async function paint(canvas, placeholder) {
  library ??= import(assetUrl("vendor/thumbhash/thumbhash.js"));
  // Without it, the picture has its average colour until it is loaded.
  const hash = await library.catch(() => null);
  if (!hash || !canvas?.isConnected) return;
  const { w, h, rgba } = hash.thumbHashToRGBA(bytesOf(placeholder));
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba), w, h), 0, 0);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
